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
 *   bytes there belong to the helper until it sends the completion. Only for
 *   reads and writes.
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

#endif /* _UAPI_LINUX_TORUS_IO_H */
