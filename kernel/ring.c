// SPDX-License-Identifier: GPL-2.0
/*
 * The rings of a queue: single direction each, in the arena, and the driver's
 * private view of them. What the helper can write is never believed: indices
 * are our own, an entry is copied once and checked afterwards, and a tail that
 * cannot be is an error of the helper.
 *
 * The pages are mapped once, as one range, since the entries are reached for
 * each request. The helper's mapping and ours are of the same pages.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "fault.h"
#include "ring.h"

static_assert(sizeof(struct torus_ring) <= TORUS_RING_DESCS);
static_assert(offsetof(struct torus_ring, helper_waits) == 64);
static_assert(offsetof(struct torus_ring, completion_tail) == 128);
static_assert(offsetof(struct torus_ring, data_tail) == 192);
static_assert(sizeof(struct torus_desc) == TORUS_DESC_SIZE);
static_assert(sizeof(struct torus_completion) == TORUS_COMPLETION_SIZE);

static void init_end(struct torus_ring_end *end, void *memory, u32 entries)
{
	end->shared = memory;
	end->descs = memory + TORUS_RING_DESCS;
	end->completions = (void *)(end->descs + entries);
	end->entries = entries;
	spin_lock_init(&end->lock);
	atomic_set(&end->drains, 0);
}

struct torus_ring_end *torus_rings_create(struct page **pages,
					  unsigned int nr_queues, u32 depth)
{
	u32 stride = torus_ring_stride(depth);
	struct torus_ring_end *ends;
	unsigned int i;
	void *memory;

	ends = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
	       kvcalloc(nr_queues, sizeof(*ends), GFP_KERNEL);
	if (!ends)
		return NULL;
	memory = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		 vmap(pages, DIV_ROUND_UP((size_t)nr_queues * stride, PAGE_SIZE),
		      VM_MAP, PAGE_KERNEL);
	if (!memory) {
		kvfree(ends);
		return NULL;
	}
	for (i = 0; i < nr_queues; i++)
		init_end(&ends[i], memory + (size_t)i * stride,
			 torus_ring_entries(depth));
	return ends;
}

void torus_rings_destroy(struct torus_ring_end *ends)
{
	if (!ends)
		return;
	vunmap(ends[0].shared);
	kvfree(ends);
}

void torus_ring_put(struct torus_ring_end *end, const struct torus_desc *desc)
{
	lockdep_assert_held(&end->lock);
	end->descs[end->desc_tail & (end->entries - 1)] = *desc;
	/* After what the caller has noted of it, for whoever fetches its data. */
	smp_store_release(&end->desc_tail, end->desc_tail + 1);
	/* The entry first; the helper reads the tail with acquire. */
	smp_store_release(&end->shared->desc_tail, end->desc_tail);
}

u32 torus_ring_ticket(struct torus_ring_end *end)
{
	u32 ticket;

	/*
	 * The tail was written before helper_waits is read. The helper writes
	 * helper_waits before it reads the tail: one of the two sees the other.
	 */
	smp_mb();
	ticket = READ_ONCE(end->shared->helper_waits);
	if (!ticket || READ_ONCE(end->rung) == ticket ||
	    xchg(&end->rung, ticket) == ticket)
		return 0;
	return ticket;
}

void torus_ring_unticket(struct torus_ring_end *end, u32 ticket)
{
	cmpxchg(&end->rung, ticket, 0);
	WRITE_ONCE(end->owed, true);
}

/* A volatile read of each word: what was checked is what is used. */
static void copy_entry(struct torus_completion *to,
		       const struct torus_completion *from)
{
	const u64 *word = (const u64 *)from;
	u64 *out = (u64 *)to;
	unsigned int i;

	for (i = 0; i < sizeof(*to) / sizeof(u64); i++)
		out[i] = READ_ONCE(word[i]);
}

int torus_ring_take(struct torus_ring_end *end)
{
	/* With the helper's release: what lies before the tail is written. */
	u32 tail = smp_load_acquire(&end->shared->completion_tail);
	u32 nr = tail - end->completion_head, i;

	if (nr > end->entries)
		return -EPROTO;
	nr = min_t(u32, nr, TORUS_RING_BATCH);
	for (i = 0; i < nr; i++)
		copy_entry(&end->taken[i],
			   &end->completions[(end->completion_head + i) &
					     (end->entries - 1)]);
	end->completion_head += nr;
	return nr;
}
