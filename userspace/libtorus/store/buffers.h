/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded memory for record data: 64 KiB segments from a pool that is
 * allocated once. A buffer is a row of segments; who finds no room waits in
 * line and is called when some was given back.
 */
#ifndef TORUS_STORE_BUFFERS_H
#define TORUS_STORE_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/pool.h"
#include "wire/proto.h"

#define STORE_SEGMENT_SIZE 65536u
/* Enough for the largest record, and so for the largest read. */
#define STORE_SEGMENTS_MAX \
	((WIRE_APPEND_MAX + STORE_SEGMENT_SIZE - 1) / STORE_SEGMENT_SIZE)
#define STORE_BUFFER_MAX (STORE_SEGMENTS_MAX * STORE_SEGMENT_SIZE)

struct store_buffer {
	uint32_t bytes;			/* asked for; the iov sums up to it */
	uint32_t count;			/* segments; 0 = holds nothing */
	struct iovec iov[STORE_SEGMENTS_MAX];
};

struct store_pool {
	struct pool segments;
	struct list_head waiters;	/* store_pool_wait, first come first */
	bool stopped;			/* the store ends: call nobody */
};

struct store_pool_wait {
	struct list_head node;
	void (*fn)(struct store_pool_wait *wait);
};

/** store_pool_init() - @bytes, at least one buffer; 0 or -ENOMEM. */
int store_pool_init(struct store_pool *pool, size_t bytes);
void store_pool_release(struct store_pool *pool);

/**
 * store_buffer_take() - room for @bytes (1 to STORE_BUFFER_MAX) in @buf.
 * Returns false when there is none, or when others wait for it: the caller
 * then waits too.
 */
bool store_buffer_take(struct store_pool *pool, struct store_buffer *buf,
		       uint32_t bytes);

/** store_buffer_give() - give the segments back; harmless for an empty one.
 * May call waiters. */
void store_buffer_give(struct store_pool *pool, struct store_buffer *buf);

/** store_pool_queue() - wait->fn is called when there may be room. */
void store_pool_queue(struct store_pool *pool, struct store_pool_wait *wait);

/** store_buffer_resize() - shorten what the iov covers; keeps the segments. */
void store_buffer_resize(struct store_buffer *buf, uint32_t bytes);

/** store_buffer_copy() - copy @len bytes to byte @at of @buf. */
void store_buffer_copy(struct store_buffer *buf, uint32_t at, const void *src,
		       uint32_t len);

#endif
