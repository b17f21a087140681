/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: this process' hold on a device. It is bound, gets a socket for
 * each queue, is started, and ends when one of its sockets is closed, at the
 * latest with this process.
 */
#ifndef TORUS_FRONT_SESSION_H
#define TORUS_FRONT_SESSION_H

#include <linux/torus.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "front/control.h"
#include "front/netlink.h"
#include "volume/volume.h"

/* What the driver answers to bind. */
struct session_device {
	uint32_t id;
	char volume[CONTROL_VOLUME_MAX];
	uint64_t size;
	uint32_t block_size, queues, depth, io_size_max;
	bool read_only;
	struct uuid incarnation;
	struct log_position remembered;
	uint32_t state;
	uint32_t rcvbuf_min;		/* per queue, as SO_RCVBUF reads it */
	/* In the ring form, else 0: length of a ring, bytes of both of a queue. */
	uint32_t ring_entries, ring_stride;
};

struct session {
	struct netlink owner;		/* its end is the session's */
	uint64_t id;
	struct session_device device;
};

/**
 * session_bind() - claim a device for this process.
 * @form: how descriptors are to travel
 * @arena_fd: sealed, in memory, not of an earlier session
 * @takeover: end another session if there is one
 * -EBUSY: another helper has it; -EIO: it has failed or is being deleted;
 * -EOPNOTSUPP: the driver does not know @form.
 */
int session_bind(struct session *session, uint32_t device,
		 enum torus_channel form, int arena_fd, bool takeover);

/**
 * session_bind_queues() - give @data to the queues of @mask: sets the receive
 * buffer they need, and lets nobody but the kernel send to it.
 */
int session_bind_queues(struct session *session, struct netlink *data,
			uint64_t mask);

/**
 * session_start() - let requests come.
 * @recovered: the newest record of the log that serves the device
 * @found: the record that this log has where the driver remembers one;
 *	sequence 0: what was read of it begins later
 * @incarnation: which the attachment in the metadata names
 * -ESTALE: it is not the log that the device was served from; it has failed.
 */
int session_start(struct session *session, struct log_position recovered,
		  struct log_position found, const struct uuid *incarnation);

/** session_check_crc() - what to say to the driver about @found. For session.c
 * and its tests. */
uint32_t session_check_crc(const struct session *session,
			   struct log_position found);

/** session_release() - closes the owner's socket, which ends the session. */
void session_release(struct session *session);

/** session_parse_device() - from the answer to bind; 0 or -EBADMSG. For
 * session.c and its tests. */
int session_parse_device(struct nlmsghdr *hdr, uint64_t *id,
			 struct session_device *device);

#endif
