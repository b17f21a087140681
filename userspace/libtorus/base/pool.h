/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded pool of equal objects, all allocated and touched at the start:
 * what the I/O path may use without asking the system for memory.
 */
#ifndef TORUS_BASE_POOL_H
#define TORUS_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct pool {
	char *memory;
	size_t object_size;		/* rounded up to @align */
	size_t count, free_count;
	void **free;			/* the free objects: a stack */
};

/**
 * pool_init() - @count objects of @size bytes, each aligned to @align (a power
 * of two, at least sizeof(void *)).
 * Returns 0 or -ENOMEM.
 */
int pool_init(struct pool *pool, size_t size, size_t align, size_t count);
void pool_release(struct pool *pool);

/** pool_get() - an object with undefined content; NULL: all are in use. */
void *pool_get(struct pool *pool);

/** pool_put() - give @object, which came from this pool, back. */
void pool_put(struct pool *pool, void *object);

#endif
