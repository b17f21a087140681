// SPDX-License-Identifier: GPL-2.0
/* The driver's end of the rings, against a helper that writes what it likes. */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "ring.h"

#define QUEUES 2
#define DEPTH 40
#define ENTRIES 64
#define PAGES_MAX 8

static_assert(sizeof(struct torus_ring) == 256);
static_assert(offsetof(struct torus_ring, desc_tail) == 0);
static_assert(offsetof(struct torus_ring, helper_waits) == 64);
static_assert(offsetof(struct torus_ring, completion_tail) == 128);
static_assert(offsetof(struct torus_ring, data_tail) == 192);
static_assert(TORUS_RING_BATCH < ENTRIES);

struct memory {
	struct page *pages[PAGES_MAX];
	struct torus_ring_end *ends;
};

static void free_memory(void *data)
{
	struct memory *memory = data;
	unsigned int i;

	torus_rings_destroy(memory->ends);
	for (i = 0; i < PAGES_MAX && memory->pages[i]; i++)
		__free_page(memory->pages[i]);
}

static struct torus_ring_end *make_ends(struct kunit *test)
{
	struct memory *memory = kunit_kzalloc(test, sizeof(*memory),
					      GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_memory,
							   memory));
	KUNIT_ASSERT_LE(test, QUEUES * torus_ring_stride(DEPTH),
			PAGES_MAX * PAGE_SIZE);
	for (i = 0; i < PAGES_MAX; i++) {
		memory->pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, memory->pages[i]);
	}
	memory->ends = torus_rings_create(memory->pages, QUEUES, DEPTH);
	KUNIT_ASSERT_NOT_NULL(test, memory->ends);
	return memory->ends;
}

static void put(struct torus_ring_end *end, u32 generation)
{
	struct torus_desc desc = { .generation = generation };

	spin_lock(&end->lock);
	torus_ring_put(end, &desc);
	spin_unlock(&end->lock);
}

/* What the helper does: writes entries whose generation is their index. */
static void publish(struct torus_ring_end *end, unsigned int nr)
{
	u32 tail = end->shared->completion_tail;

	for (; nr; nr--, tail++)
		end->completions[tail % ENTRIES] = (struct torus_completion) {
			.generation = tail,
		};
	end->shared->completion_tail = tail;
}

static void rings_lie_one_after_another(struct kunit *test)
{
	struct torus_ring_end *ends = make_ends(test);
	void *first = ends[0].shared, *second = ends[1].shared;

	KUNIT_EXPECT_EQ(test, ends[0].entries, ENTRIES);
	KUNIT_EXPECT_EQ(test, second - first, torus_ring_stride(DEPTH));
	KUNIT_EXPECT_EQ(test, (void *)ends[0].descs - first, TORUS_RING_DESCS);
	KUNIT_EXPECT_EQ(test, (void *)ends[0].completions - first,
			TORUS_RING_DESCS + ENTRIES * TORUS_DESC_SIZE);
	KUNIT_EXPECT_TRUE(test, (void *)(ends[0].completions + ENTRIES) <=
			  second);
}

static void every_depth_has_room(struct kunit *test)
{
	u32 depth, entries;

	for (depth = 1; depth <= TORUS_DEPTH_MAX; depth++) {
		entries = torus_ring_entries(depth);
		KUNIT_ASSERT_GE(test, entries, depth);
		KUNIT_ASSERT_TRUE(test, is_power_of_2(entries));
		KUNIT_ASSERT_EQ(test, torus_ring_stride(depth) %
				TORUS_ARENA_UNIT, 0);
		KUNIT_ASSERT_GE(test, torus_ring_stride(depth),
				TORUS_RING_DESCS + entries *
				(TORUS_DESC_SIZE + TORUS_COMPLETION_SIZE));
	}
}

static void descriptors_wrap_with_the_ring(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);
	u32 i;

	for (i = 0; i <= ENTRIES; i++) {
		put(end, 1000 + i);
		KUNIT_EXPECT_EQ(test, end->shared->desc_tail, i + 1);
		KUNIT_EXPECT_EQ(test, end->descs[i % ENTRIES].generation,
				1000 + i);
	}
	KUNIT_EXPECT_EQ(test, end->descs[1].generation, 1001);
}

static void descriptors_wrap_with_the_tail(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	end->desc_tail = U32_MAX;
	put(end, 1);
	KUNIT_EXPECT_EQ(test, end->shared->desc_tail, 0);
	KUNIT_EXPECT_EQ(test, end->descs[ENTRIES - 1].generation, 1);
	put(end, 2);
	KUNIT_EXPECT_EQ(test, end->shared->desc_tail, 1);
	KUNIT_EXPECT_EQ(test, end->descs[0].generation, 2);
}

static void own_tail_is_not_read_back(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	put(end, 1);
	end->shared->desc_tail = 77;
	put(end, 2);
	KUNIT_EXPECT_EQ(test, end->shared->desc_tail, 2);
	KUNIT_EXPECT_EQ(test, end->descs[1].generation, 2);
}

static void doorbell_rings_once_per_sleep(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 0);
	end->shared->helper_waits = 5;
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 5);
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 0);
	/* It woke up, and sleeps again. */
	end->shared->helper_waits = 0;
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 0);
	end->shared->helper_waits = 6;
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 6);
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 0);
	end->shared->helper_waits = U32_MAX;
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), U32_MAX);
	end->shared->helper_waits = 1;
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 1);
}

static void doorbell_that_failed_is_rung_again(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	end->shared->helper_waits = 5;
	KUNIT_ASSERT_EQ(test, torus_ring_ticket(end), 5);
	torus_ring_unticket(end, 5);
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 5);
	/* One that failed late does not take back the next one. */
	end->shared->helper_waits = 6;
	KUNIT_ASSERT_EQ(test, torus_ring_ticket(end), 6);
	torus_ring_unticket(end, 5);
	KUNIT_EXPECT_EQ(test, torus_ring_ticket(end), 0);
}

static void expect_taken(struct kunit *test, struct torus_ring_end *end, int nr,
			 u32 first)
{
	int i;

	KUNIT_ASSERT_EQ(test, torus_ring_take(end), nr);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, end->taken[i].generation, first + i);
}

static void completions_are_taken_in_order_and_once(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	expect_taken(test, end, 0, 0);
	publish(end, 3);
	expect_taken(test, end, 3, 0);
	expect_taken(test, end, 0, 0);
	publish(end, ENTRIES);
	expect_taken(test, end, TORUS_RING_BATCH, 3);
	expect_taken(test, end, ENTRIES - TORUS_RING_BATCH,
		     3 + TORUS_RING_BATCH);
	expect_taken(test, end, 0, 0);
}

static void completions_wrap_with_the_tail(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	end->completion_head = U32_MAX - 1;
	end->shared->completion_tail = U32_MAX - 1;
	publish(end, 4);
	KUNIT_EXPECT_EQ(test, end->shared->completion_tail, 2);
	expect_taken(test, end, 4, U32_MAX - 1);
	KUNIT_EXPECT_EQ(test, end->completion_head, 2);
}

static void impossible_tail_is_refused(struct kunit *test)
{
	static const s64 steps[] = { ENTRIES + 1, -1, -ENTRIES, 1LL << 31 };
	struct torus_ring_end *end = make_ends(test);
	unsigned int i;

	publish(end, 5);
	expect_taken(test, end, 5, 0);
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		end->shared->completion_tail = 5 + steps[i];
		KUNIT_EXPECT_EQ_MSG(test, torus_ring_take(end), -EPROTO,
				    "step %lld", steps[i]);
		KUNIT_EXPECT_EQ(test, end->completion_head, 5);
	}
}

static void taken_completions_do_not_change_any_more(struct kunit *test)
{
	struct torus_ring_end *end = make_ends(test);

	publish(end, 1);
	expect_taken(test, end, 1, 0);
	end->completions[0].generation = 99;
	end->completions[0].queue = 99;
	KUNIT_EXPECT_EQ(test, end->taken[0].generation, 0);
	KUNIT_EXPECT_EQ(test, end->taken[0].queue, 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(rings_lie_one_after_another),
	KUNIT_CASE(every_depth_has_room),
	KUNIT_CASE(descriptors_wrap_with_the_ring),
	KUNIT_CASE(descriptors_wrap_with_the_tail),
	KUNIT_CASE(own_tail_is_not_read_back),
	KUNIT_CASE(doorbell_rings_once_per_sleep),
	KUNIT_CASE(doorbell_that_failed_is_rung_again),
	KUNIT_CASE(completions_are_taken_in_order_and_once),
	KUNIT_CASE(completions_wrap_with_the_tail),
	KUNIT_CASE(impossible_tail_is_refused),
	KUNIT_CASE(taken_completions_do_not_change_any_more),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_ring",
	.test_cases = cases,
};

kunit_test_suite(suite);
