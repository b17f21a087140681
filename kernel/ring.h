/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_RING_H
#define _TORUS_RING_H

#include <linux/align.h>
#include <linux/bitmap.h>
#include <linux/log2.h>
#include <linux/spinlock.h>
#include <linux/torus.h>
#include <linux/torus_io.h>

struct page;

/* Completions that are taken from the ring at a time. */
#define TORUS_RING_BATCH 32

/**
 * struct torus_ring_end - the driver's end of the two rings of one queue
 * @shared: what both sides write; the helper may write anything anywhere
 * @descs: ring of descriptors
 * @completions: ring of completions
 * @entries: length of both, a power of two
 *
 * @lock: serialises publication; a leaf lock, taken in process context only
 * @desc_tail: descriptors published; under @lock
 * @rung: what helper_waits was when the doorbell was rung last, or 0
 * @owed: a doorbell could not be sent since the last look
 * @deferred: tags whose data is to be copied by a drain
 *
 * @drains: how often somebody asked for a drain that is not over yet; who makes
 *	it one is the one consumer, which owns the rest
 * @completion_head: completions taken
 * @ended: requests that they ended
 * @data_tail: descriptors whose data is in the arena, as the helper was told
 * @taken: copies of some, since the helper may change its own at any time
 */
struct torus_ring_end {
	struct torus_ring *shared;
	struct torus_desc *descs;
	struct torus_completion *completions;
	u32 entries;

	spinlock_t lock ____cacheline_aligned_in_smp;
	u32 desc_tail;
	u32 rung;
	bool owed;
	DECLARE_BITMAP(deferred, TORUS_DEPTH_MAX);

	atomic_t drains ____cacheline_aligned_in_smp;
	u32 completion_head;
	u32 ended;
	u32 data_tail;
	struct torus_completion taken[TORUS_RING_BATCH];
};

/** torus_ring_entries - length of the rings of a queue of @depth requests */
static inline u32 torus_ring_entries(u32 depth)
{
	return roundup_pow_of_two(depth);
}

/** torus_ring_stride - bytes of the arena that the rings of one queue take */
static inline u32 torus_ring_stride(u32 depth)
{
	return ALIGN(TORUS_RING_DESCS + torus_ring_entries(depth) *
		     (TORUS_DESC_SIZE + TORUS_COMPLETION_SIZE),
		     TORUS_ARENA_UNIT);
}

/**
 * torus_rings_create - make the driver's ends of the rings of all queues
 * @pages: of the arena, from its start, held by the caller to the end
 * @nr_queues: how many ends to make
 * @depth: of each queue
 *
 * Return: an array, or NULL if there is no memory.
 */
struct torus_ring_end *torus_rings_create(struct page **pages,
					  unsigned int nr_queues, u32 depth);

/** torus_rings_destroy - free what torus_rings_create() made; NULL is fine */
void torus_rings_destroy(struct torus_ring_end *ends);

/**
 * torus_ring_put - publish a descriptor
 *
 * There is room: never are there more than the queue has tags. @lock is held.
 */
void torus_ring_put(struct torus_ring_end *end, const struct torus_desc *desc);

/**
 * torus_ring_ticket - whether the helper is to be woken
 *
 * After torus_ring_put(). Says so once for each time that the helper goes to
 * sleep.
 *
 * Return: 0, or what torus_ring_unticket() takes if it could not be woken.
 */
u32 torus_ring_ticket(struct torus_ring_end *end);

/** torus_ring_unticket - the doorbell did not ring: have it tried again */
void torus_ring_unticket(struct torus_ring_end *end, u32 ticket);

/**
 * torus_ring_take - copy the next completions to @taken
 *
 * By the one consumer.
 *
 * Return: how many, or -EPROTO if the helper published more than can be.
 */
int torus_ring_take(struct torus_ring_end *end);

#endif /* _TORUS_RING_H */
