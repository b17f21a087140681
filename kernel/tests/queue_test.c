// SPDX-License-Identifier: GPL-2.0
/* The list of tags whose descriptors have not been sent. */
#include <kunit/test.h>

#include "device.h"
#include "fixture.h"
#include "queue.h"

static void expect_popped(struct kunit *test, struct torus_queue *queue,
			  unsigned int max, unsigned int nr, u16 first)
{
	u16 tags[TORUS_TEST_DEPTH + 1];
	unsigned int i;

	KUNIT_ASSERT_EQ(test, torus_queue_pop(queue, tags, max), nr);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, tags[i], (first + i) % TORUS_TEST_DEPTH);
}

static void tags_leave_in_the_order_they_came(struct kunit *test)
{
	struct torus_queue *queue = torus_test_add(test, NULL)->queues;
	unsigned int i;

	for (i = 0; i < TORUS_TEST_DEPTH; i++)
		KUNIT_EXPECT_EQ(test, torus_queue_push(queue, i), i + 1);
	expect_popped(test, queue, 1, 1, 0);
	expect_popped(test, queue, TORUS_TEST_DEPTH + 1, TORUS_TEST_DEPTH - 1,
		      1);
	expect_popped(test, queue, 1, 0, 0);
}

static void list_wraps_at_every_place(struct kunit *test)
{
	struct torus_queue *queue = torus_test_add(test, NULL)->queues;
	unsigned int first, i;

	for (first = 0; first < 3 * TORUS_TEST_DEPTH; first += 3) {
		for (i = 0; i < 3; i++)
			torus_queue_push(queue,
					 (first + i) % TORUS_TEST_DEPTH);
		expect_popped(test, queue, TORUS_TEST_DEPTH, 3, first);
	}
}

static void only_what_was_sent_is_in_flight(struct kunit *test)
{
	struct torus_queue *queue = torus_test_add(test, NULL)->queues;
	struct request rq = {};
	u32 generation;

	KUNIT_EXPECT_EQ(test, torus_queue_in_flight(queue), 0);
	torus_slot_queue(&queue->slots[1], &rq, 0);
	KUNIT_EXPECT_EQ(test, torus_queue_in_flight(queue), 0);
	generation = torus_slot_send(&queue->slots[1]);
	KUNIT_EXPECT_EQ(test, torus_queue_in_flight(queue), 1);
	KUNIT_EXPECT_TRUE(test, torus_slot_claim(&queue->slots[1], generation));
	KUNIT_EXPECT_EQ(test, torus_queue_in_flight(queue), 0);
	torus_slot_idle(&queue->slots[1]);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(tags_leave_in_the_order_they_came),
	KUNIT_CASE(list_wraps_at_every_place),
	KUNIT_CASE(only_what_was_sent_is_in_flight),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_queue",
	.test_cases = cases,
};

kunit_test_suite(suite);
