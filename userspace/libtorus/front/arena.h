/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory through which the data of reads and writes passes between driver
 * and helper: a memfd, sealed so that it stays the same pages for ever.
 */
#ifndef TORUS_FRONT_ARENA_H
#define TORUS_FRONT_ARENA_H

#include <stddef.h>
#include <stdint.h>

#define ARENA_SIZE_DEFAULT (32ull << 20)

struct arena {
	int fd;				/* -1: none */
	uint8_t *memory;
	size_t size;
};

/** arena_clear() - an arena that arena_release() may be called for. */
static inline void arena_clear(struct arena *arena)
{
	arena->fd = -1;
	arena->memory = NULL;
	arena->size = 0;
}

/** arena_check_size() - 0, or -EINVAL with error text that says what may be. */
int arena_check_size(uint64_t size, uint32_t io_size_max);

/**
 * arena_init() - make one of @size bytes, all of them in memory.
 * Not inherited by children, and not in core dumps. -errno with error text.
 */
int arena_init(struct arena *arena, size_t size);
void arena_release(struct arena *arena);

#endif
