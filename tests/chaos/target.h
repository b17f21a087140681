/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_TARGET_H
#define TORUS_CHAOS_TARGET_H

/*
 * What a load runs against: an NBD server's unix socket, or a block device.
 * One thread uses one target; only target_abort() may come from another.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum target_op { TARGET_READ, TARGET_WRITE, TARGET_TRIM, TARGET_ZERO, TARGET_FLUSH };

struct target {
	_Atomic int fd;		/* -1: not open */
	bool is_nbd;
	uint64_t size;		/* bytes */
	uint64_t handle;	/* of the last NBD request */
	_Atomic bool aborted;
};

#define TARGET_CLOSED { .fd = -1 }

/* What it should go by in messages. */
const char *target_op_name(enum target_op op);

/*
 * target_open() - open the socket or device @path. 0 or -errno. One that was
 * aborted cannot be opened before the caller has set `aborted` back.
 */
int target_open(struct target *target, const char *path);

void target_close(struct target *target);

/*
 * target_io() - do one request and wait for it. @offset and @length are bytes,
 * multiples of 4096; @fua counts for writes and zeros. Returns 0; -ENOTCONN if
 * the server went away, so that nobody knows whether it was done; -ETIMEDOUT if
 * there is no answer for 200 s, which no timeout of Torus explains; the errno
 * that the server gave, negative.
 */
int target_io(struct target *target, enum target_op op, bool fua,
	      uint64_t offset, uint32_t length, void *data);

/* target_abort() - make a request that waits for an NBD server end. */
void target_abort(struct target *target);

/* For target.c: the two kinds. */
int nbd_open(struct target *target, const char *path);
int nbd_io(struct target *target, enum target_op op, bool fua, uint64_t offset,
	   uint32_t length, void *data);
int device_open(struct target *target, const char *path);
int device_io(struct target *target, enum target_op op, bool fua,
	      uint64_t offset, uint32_t length, void *data);

#endif
