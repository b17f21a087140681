/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What a descriptor and a completion look like, in messages and in rings.
 * Both ends are on one machine: fields are in host byte order, as everywhere
 * in netlink. Documentation/netlink/specs/torus.yaml describes the same.
 */
#ifndef _UAPI_LINUX_TORUS_IO_H
#define _UAPI_LINUX_TORUS_IO_H

#include <linux/types.h>
#include <linux/torus.h>

/**
 * struct torus_desc - one request, from the driver to the helper
 * @op: enum torus_op
 * @flags: enum torus_io_flag
 * @queue: hardware queue, below the queues of the device
 * @tag: slot in that queue, below its depth
 * @reserved: zero
 * @generation: belongs to this sending of the slot; the completion repeats it
 * @length: bytes; 0 for a flush
 * @offset: bytes from the start of the device
 * @arena_offset: bytes from the start of the arena, a multiple of 4096; @length
 *   bytes there belong to the helper until it sends the completion, for a write
 *   with TORUS_IO_FLAG_DEFERRED from when data_tail has passed it. Only for reads
 *   and writes.
 */
struct torus_desc {
	__u8 op;
	__u8 flags;
	__u16 queue;
	__u16 tag;
	__u16 reserved;
	__u32 generation;
	__u32 length;
	__u64 offset;
	__u64 arena_offset;
};

/**
 * struct torus_completion - the end of one request, from the helper
 * @queue: as in the descriptor
 * @tag: as in the descriptor
 * @generation: as in the descriptor
 * @result: enum torus_result
 * @length: with TORUS_RESULT_OK exactly the descriptor's length, else ignored
 * @sequence: log sequence of the record that this request is acknowledged at;
 *   0 if it has none (reads)
 * @header_crc: CRC32C of that record's header
 * @reserved: zero
 */
struct torus_completion {
	__u16 queue;
	__u16 tag;
	__u32 generation;
	__u32 result;
	__u32 length;
	__u64 sequence;
	__u32 header_crc;
	__u32 reserved;
};

/**
 * struct torus_ring - what the two sides share about one queue, in the ring form
 * @desc_tail: descriptors that the driver has published, modulo 2^32
 * @helper_waits: 0 while the helper looks at @desc_tail by itself. Else it
 *   sleeps, or is about to, and wants one message TORUS_CMD_DOORBELL when there
 *   is a descriptor. It is a number that counts up by one from sleep to sleep
 *   and, but for 2^32 of them, never comes again in a session.
 * @completion_tail: completions that the helper has published, modulo 2^32
 * @data_tail: descriptors whose data is in the arena, modulo 2^32, as of the
 *   newest drain; written by the driver with release semantics. Those from here
 *   on that have TORUS_IO_FLAG_DEFERRED may have to wait for a drain
 * @reserved0: for a cache line of its own; so are the others
 *
 * All are 0 at bind. At TORUS_RING_DESCS bytes from here is an array of struct
 * torus_desc, as long as the power of two that bind tells; then follows one of
 * struct torus_completion with as many. Entry N is at N modulo that length. As
 * there are never more requests than entries, nobody waits for room, and
 * neither side tells how far it has read.
 *
 * Both sides write entries first, then the tail with release semantics, and read
 * the tail with acquire semantics. A helper that is about to sleep writes
 * @helper_waits, passes a full barrier, and looks at @desc_tail once more; the
 * driver has a full barrier between its tail and its look at @helper_waits.
 */
struct torus_ring {
	__u32 desc_tail;
	__u32 reserved0[15];
	__u32 helper_waits;
	__u32 reserved1[15];
	__u32 completion_tail;
	__u32 reserved2[15];
	__u32 data_tail;
	__u32 reserved3[15];
};

#define TORUS_RING_DESCS	256

#endif /* _UAPI_LINUX_TORUS_IO_H */
