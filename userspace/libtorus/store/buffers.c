// SPDX-License-Identifier: Apache-2.0
/*
 * Fairness: while somebody waits, newcomers queue behind him, so that a large
 * buffer is not starved by small ones. A waiter is taken off the line before
 * it is called; it takes its buffer or queues again.
 */
#include "store/buffers.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

int store_pool_init(struct store_pool *pool, size_t bytes)
{
	size_t count = MAX(bytes / STORE_SEGMENT_SIZE,
			   (size_t)STORE_SEGMENTS_MAX);

	list_init(&pool->waiters);
	return pool_init(&pool->segments, STORE_SEGMENT_SIZE, BLOCK_SIZE, count);
}

void store_pool_release(struct store_pool *pool)
{
	pool_release(&pool->segments);
}

static bool take_segments(struct store_pool *pool, struct store_buffer *buf,
			  uint32_t bytes)
{
	uint32_t i, count = DIV_ROUND_UP(bytes, STORE_SEGMENT_SIZE);

	assert(bytes > 0 && bytes <= STORE_BUFFER_MAX);
	if (pool->segments.free_count < count)
		return false;
	for (i = 0; i < count; i++)
		buf->iov[i].iov_base = pool_get(&pool->segments);
	buf->count = count;
	store_buffer_resize(buf, bytes);
	return true;
}

bool store_buffer_take(struct store_pool *pool, struct store_buffer *buf,
		       uint32_t bytes)
{
	if (!list_empty(&pool->waiters))
		return false;
	return take_segments(pool, buf, bytes);
}

void store_buffer_give(struct store_pool *pool, struct store_buffer *buf)
{
	struct store_pool_wait *wait;
	struct list_head ready;
	uint32_t i;

	for (i = 0; i < buf->count; i++)
		pool_put(&pool->segments, buf->iov[i].iov_base);
	buf->count = 0;
	if (pool->stopped || list_empty(&pool->waiters) ||
	    pool->segments.free_count < STORE_SEGMENTS_MAX)
		return;
	/* Each gets one turn: those that queue again wait for the next give. */
	list_init(&ready);
	list_splice_tail_init(&pool->waiters, &ready);
	while (!list_empty(&ready)) {
		wait = list_first_entry(&ready, struct store_pool_wait, node);
		list_del_init(&wait->node);
		wait->fn(wait);
	}
}

void store_pool_queue(struct store_pool *pool, struct store_pool_wait *wait)
{
	list_add_tail(&wait->node, &pool->waiters);
}

void store_buffer_resize(struct store_buffer *buf, uint32_t bytes)
{
	uint32_t i, left = bytes;

	assert(bytes <= buf->count * STORE_SEGMENT_SIZE);
	buf->bytes = bytes;
	for (i = 0; i < buf->count; i++) {
		buf->iov[i].iov_len = MIN(left, STORE_SEGMENT_SIZE);
		left -= (uint32_t)buf->iov[i].iov_len;
	}
}

void store_buffer_copy(struct store_buffer *buf, uint32_t at, const void *src,
		       uint32_t len)
{
	const uint8_t *from = src;

	assert(at + len <= buf->count * STORE_SEGMENT_SIZE);
	while (len > 0) {
		uint32_t inside = at % STORE_SEGMENT_SIZE;
		uint32_t part = MIN(len, STORE_SEGMENT_SIZE - inside);
		uint8_t *to = buf->iov[at / STORE_SEGMENT_SIZE].iov_base;

		memcpy(to + inside, from, part);
		from += part;
		at += part;
		len -= part;
	}
}
