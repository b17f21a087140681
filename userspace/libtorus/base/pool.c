// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_SMALLEST 4096u

int pool_init(struct pool *pool, size_t size, size_t align, size_t count)
{
	size_t object_size = (size + align - 1) & ~(align - 1), bytes, i;

	memset(pool, 0, sizeof(*pool));
	if (__builtin_mul_overflow(object_size, count, &bytes))
		return -ENOMEM;
	pool->memory = aligned_alloc(align, bytes ? bytes : align);
	pool->free = calloc(count ? count : 1, sizeof(*pool->free));
	if (pool->memory == NULL || pool->free == NULL) {
		pool_release(pool);
		return -ENOMEM;
	}
	/* Touched, not filled: a store that starts has megabytes of them. */
	for (i = 0; i < bytes; i += PAGE_SMALLEST)
		pool->memory[i] = 0;
	pool->object_size = object_size;
	pool->count = count;
	/* The stack is filled so that objects come out in address order. */
	for (i = count; i > 0; i--)
		pool->free[pool->free_count++] =
			pool->memory + (i - 1) * object_size;
	return 0;
}

void pool_release(struct pool *pool)
{
	free(pool->memory);
	free(pool->free);
	memset(pool, 0, sizeof(*pool));
}

void *pool_get(struct pool *pool)
{
	if (pool->free_count == 0)
		return NULL;
	return pool->free[--pool->free_count];
}

void pool_put(struct pool *pool, void *object)
{
	assert((char *)object >= pool->memory &&
	       (char *)object < pool->memory + pool->count * pool->object_size);
	assert(pool->free_count < pool->count);
	pool->free[pool->free_count++] = object;
}
