/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The armed timers of an env, earliest first; those that are due at the same
 * time fire in the order in which they were armed. A binary heap whose
 * positions are kept in the timers, so that re-arming and cancelling need no
 * search.
 */
#ifndef TORUS_ENV_TIMER_HEAP_H
#define TORUS_ENV_TIMER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "env/env.h"

struct timer_heap {
	struct env_timer **slot;	/* 1-based: slot[0] is not used */
	size_t count, capacity;
	uint64_t order;			/* of the next timer armed */
};

/** timer_heap_init() - room for @capacity timers at first; 0 or -ENOMEM. */
int timer_heap_init(struct timer_heap *heap, size_t capacity);

/** timer_heap_free() - disarm every timer and free the heap's memory. */
void timer_heap_free(struct timer_heap *heap);

/**
 * timer_heap_set() - arm @timer for @when; an armed one is moved.
 * Returns 0, or -ENOMEM (@timer is as it was; cannot happen to an armed one).
 */
int timer_heap_set(struct timer_heap *heap, struct env_timer *timer,
		   uint64_t when);

/** timer_heap_cancel() - disarm; harmless when not armed. */
void timer_heap_cancel(struct timer_heap *heap, struct env_timer *timer);

/** timer_heap_first() - the earliest timer, still armed; NULL: none. */
struct env_timer *timer_heap_first(const struct timer_heap *heap);

/**
 * timer_heap_turn() - call before a turn of the loop: pop() with this value
 * returns only timers armed before it, so that a timer that re-arms itself
 * with no delay cannot keep the loop from everything else.
 */
static inline uint64_t timer_heap_turn(const struct timer_heap *heap)
{
	return heap->order;
}

/**
 * timer_heap_pop() - disarm and return the earliest timer if it is due at @now
 * and was armed before @turn (UINT64_MAX: no matter); else NULL.
 */
struct env_timer *timer_heap_pop(struct timer_heap *heap, uint64_t now,
				 uint64_t turn);

#endif
