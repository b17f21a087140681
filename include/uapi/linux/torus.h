/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/torus.yaml */
/* YNL-GEN uapi header */

#ifndef _UAPI_LINUX_TORUS_H
#define _UAPI_LINUX_TORUS_H

#define TORUS_FAMILY_NAME	"torus"
#define TORUS_FAMILY_VERSION	1

#define TORUS_VOLUME_NAME_MAX		255
#define TORUS_INCARNATION_LEN		16
#define TORUS_DEVICES_MAX		4096
#define TORUS_QUEUES_MAX		64
#define TORUS_DEPTH_MAX			1024
#define TORUS_DEPTH_DEFAULT		128
#define TORUS_IO_SIZE_MIN		4096
#define TORUS_IO_SIZE_LIMIT		4194304
#define TORUS_IO_SIZE_DEFAULT		1048576
#define TORUS_IO_TIMEOUT_MS_DEFAULT	120000
#define TORUS_DEAD_TIMEOUT_MS_DEFAULT	60000
#define TORUS_TIMEOUT_MS_LIMIT		86400000
#define TORUS_ARENA_UNIT		4096
#define TORUS_ARENA_SIZE_LIMIT		1073741824
#define TORUS_DESC_SIZE			32
#define TORUS_COMPLETION_SIZE		32
#define TORUS_DESC_BATCH		16
#define TORUS_COMPLETION_BATCH		64
#define TORUS_BLOCK_SIZE_MIN		512
#define TORUS_BLOCK_SIZE_LIMIT		4096

/**
 * enum torus_state - where a device is in its life
 * @TORUS_STATE_NEW: added; no session has started, there is no block device
 *   yet
 * @TORUS_STATE_STARTING: a session serves, the block device is being made
 * @TORUS_STATE_LIVE: the block device is there and a session serves it
 * @TORUS_STATE_RECOVERING: no session; requests are kept until one starts or
 *   dead-timeout ends
 * @TORUS_STATE_FAILED: every request ends in an error; only delete is left
 * @TORUS_STATE_DELETING: forced delete is under way; every request ends in an
 *   error
 * @TORUS_STATE_DELETED: the last event of a device
 */
enum torus_state {
	TORUS_STATE_NEW = 1,
	TORUS_STATE_STARTING,
	TORUS_STATE_LIVE,
	TORUS_STATE_RECOVERING,
	TORUS_STATE_FAILED,
	TORUS_STATE_DELETING,
	TORUS_STATE_DELETED,
};

/**
 * enum torus_channel - how descriptors and completions travel
 * @TORUS_CHANNEL_MESSAGES: inside netlink messages
 * @TORUS_CHANNEL_RING: in rings inside the arena, with messages as doorbells
 */
enum torus_channel {
	TORUS_CHANNEL_MESSAGES = 1,
	TORUS_CHANNEL_RING,
};

/**
 * enum torus_op - what a descriptor asks for
 */
enum torus_op {
	TORUS_OP_READ = 1,
	TORUS_OP_WRITE,
	TORUS_OP_FLUSH,
	TORUS_OP_DISCARD,
	TORUS_OP_WRITE_ZEROES,
};

/**
 * enum torus_io_flag - flags of a descriptor
 * @TORUS_IO_FLAG_FUA: the log up to this write's record is durable before
 *   completion
 * @TORUS_IO_FLAG_NOUNMAP: write zeroes without giving up the space
 * @TORUS_IO_FLAG_DEFERRED: the data of this write is brought to the arena by a
 *   drain, not with its descriptor; in the ring form only
 */
enum torus_io_flag {
	TORUS_IO_FLAG_FUA = 1,
	TORUS_IO_FLAG_NOUNMAP = 2,
	TORUS_IO_FLAG_DEFERRED = 4,
};

/**
 * enum torus_result - how a request ended
 * @TORUS_RESULT_OK: all of it was done; length is exactly the descriptor's
 * @TORUS_RESULT_IO_ERROR: it failed
 * @TORUS_RESULT_NO_SPACE: the cluster is full
 * @TORUS_RESULT_TIMEOUT: the helper's I/O timeout passed
 * @TORUS_RESULT_MEDIUM: no good copy is left of what was asked for
 * @TORUS_RESULT_NOT_SUPPORTED: the helper cannot do this operation
 * @TORUS_RESULT_LOST: The helper lost the volume (fenced, replaced). The
 *   driver ends the session and keeps the request for the next one.
 */
enum torus_result {
	TORUS_RESULT_OK,
	TORUS_RESULT_IO_ERROR,
	TORUS_RESULT_NO_SPACE,
	TORUS_RESULT_TIMEOUT,
	TORUS_RESULT_MEDIUM,
	TORUS_RESULT_NOT_SUPPORTED,
	TORUS_RESULT_LOST,

	/* private: */
	__TORUS_RESULT_MAX,
	TORUS_RESULT_MAX = (__TORUS_RESULT_MAX - 1)
};

enum {
	TORUS_A_DEV_ID = 1,
	TORUS_A_DEV_VOLUME,
	TORUS_A_DEV_SIZE,
	TORUS_A_DEV_BLOCK_SIZE,
	TORUS_A_DEV_QUEUES,
	TORUS_A_DEV_DEPTH,
	TORUS_A_DEV_IO_SIZE_MAX,
	TORUS_A_DEV_IO_TIMEOUT_MS,
	TORUS_A_DEV_DEAD_TIMEOUT_MS,
	TORUS_A_DEV_READ_ONLY,
	TORUS_A_DEV_INCARNATION,
	TORUS_A_DEV_FORCE,
	TORUS_A_DEV_FAIL,
	TORUS_A_DEV_STATE,
	TORUS_A_DEV_ERROR,
	TORUS_A_DEV_HELPER_PID,
	TORUS_A_DEV_SESSION_ID,
	TORUS_A_DEV_SEQUENCE,
	TORUS_A_DEV_HEADER_CRC,
	TORUS_A_DEV_IN_FLIGHT,
	TORUS_A_DEV_SENT,
	TORUS_A_DEV_COMPLETED,
	TORUS_A_DEV_LATE,
	TORUS_A_DEV_MALFORMED,
	TORUS_A_DEV_REQUEUED,
	TORUS_A_DEV_OVERFLOWS,
	TORUS_A_DEV_OPENERS,
	TORUS_A_DEV_PAD,

	__TORUS_A_DEV_MAX,
	TORUS_A_DEV_MAX = (__TORUS_A_DEV_MAX - 1)
};

enum {
	TORUS_A_SESSION_DEV_ID = 1,
	TORUS_A_SESSION_ID,
	TORUS_A_SESSION_CHANNEL,
	TORUS_A_SESSION_ARENA_FD,
	TORUS_A_SESSION_TAKEOVER,
	TORUS_A_SESSION_QUEUE_MASK,
	TORUS_A_SESSION_RCVBUF_MIN,
	TORUS_A_SESSION_RING_ENTRIES,
	TORUS_A_SESSION_RING_STRIDE,
	TORUS_A_SESSION_VOLUME,
	TORUS_A_SESSION_SIZE,
	TORUS_A_SESSION_BLOCK_SIZE,
	TORUS_A_SESSION_QUEUES,
	TORUS_A_SESSION_DEPTH,
	TORUS_A_SESSION_IO_SIZE_MAX,
	TORUS_A_SESSION_READ_ONLY,
	TORUS_A_SESSION_INCARNATION,
	TORUS_A_SESSION_SEQUENCE,
	TORUS_A_SESSION_HEADER_CRC,
	TORUS_A_SESSION_CHECK_CRC,
	TORUS_A_SESSION_STATE,
	TORUS_A_SESSION_PAD,

	__TORUS_A_SESSION_MAX,
	TORUS_A_SESSION_MAX = (__TORUS_A_SESSION_MAX - 1)
};

enum {
	TORUS_A_IO_DEV_ID = 1,
	TORUS_A_IO_SESSION_ID,
	TORUS_A_IO_DESCRIPTORS,
	TORUS_A_IO_COMPLETIONS,
	TORUS_A_IO_PAD,

	__TORUS_A_IO_MAX,
	TORUS_A_IO_MAX = (__TORUS_A_IO_MAX - 1)
};

enum {
	TORUS_CMD_DEV_ADD = 1,
	TORUS_CMD_DEV_DEL,
	TORUS_CMD_DEV_GET,
	TORUS_CMD_DEV_SET,
	TORUS_CMD_DEV_EVENT,
	TORUS_CMD_SESSION_BIND,
	TORUS_CMD_SESSION_QUEUE,
	TORUS_CMD_SESSION_START,
	TORUS_CMD_SESSION_END,
	TORUS_CMD_REQUEST,
	TORUS_CMD_COMPLETE,
	TORUS_CMD_DOORBELL,
	TORUS_CMD_DRAIN,

	__TORUS_CMD_MAX,
	TORUS_CMD_MAX = (__TORUS_CMD_MAX - 1)
};

#define TORUS_MCGRP_STATE	"state"

#endif /* _UAPI_LINUX_TORUS_H */
