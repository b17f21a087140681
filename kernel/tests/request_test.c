// SPDX-License-Identifier: GPL-2.0
/* The life of a slot: who may move it, and who no longer may. */
#include <kunit/test.h>

#include "request.h"

#define UNIT 7

/* A slot whose newest sending had @generation, and a request for it. */
struct life {
	struct torus_slot slot;
	struct request rq;
};

static struct life *begin(struct kunit *test, u32 generation)
{
	struct life *life = kunit_kzalloc(test, sizeof(*life), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, life);
	/* The upper part of the word; see request.c. */
	atomic64_set(&life->slot.word, (s64)generation << 8);
	KUNIT_ASSERT_EQ(test, torus_slot_generation(&life->slot), generation);
	return life;
}

static void expect(struct kunit *test, struct life *life,
		   enum torus_slot_state state, u32 generation)
{
	KUNIT_EXPECT_EQ(test, torus_slot_state(&life->slot), state);
	KUNIT_EXPECT_EQ(test, torus_slot_generation(&life->slot), generation);
}

static u32 send(struct life *life)
{
	torus_slot_queue(&life->slot, &life->rq, UNIT);
	return torus_slot_send(&life->slot);
}

static void new_slot_is_idle(struct kunit *test)
{
	struct life *life = begin(test, 0);

	expect(test, life, TORUS_SLOT_IDLE, 0);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, 0));
	KUNIT_EXPECT_FALSE(test, torus_slot_unsend(&life->slot, 0));
	KUNIT_EXPECT_NULL(test, torus_slot_revoke(&life->slot));
	expect(test, life, TORUS_SLOT_IDLE, 0);
}

static void queued_slot_keeps_request_and_place(struct kunit *test)
{
	struct life *life = begin(test, 5);

	torus_slot_queue(&life->slot, &life->rq, UNIT);
	expect(test, life, TORUS_SLOT_QUEUED, 5);
	KUNIT_EXPECT_PTR_EQ(test, life->slot.rq, &life->rq);
	KUNIT_EXPECT_EQ(test, life->slot.unit, UNIT);
	KUNIT_EXPECT_TRUE(test, time_in_range(life->slot.since, jiffies - HZ,
					      jiffies));
}

static void queued_slot_cannot_be_completed(struct kunit *test)
{
	struct life *life = begin(test, 5);

	torus_slot_queue(&life->slot, &life->rq, UNIT);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, 5));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, 6));
	expect(test, life, TORUS_SLOT_QUEUED, 5);
}

static void each_sending_has_its_own_generation(struct kunit *test)
{
	struct life *life = begin(test, 5);

	KUNIT_EXPECT_EQ(test, send(life), 6);
	expect(test, life, TORUS_SLOT_SENT, 6);
	KUNIT_EXPECT_TRUE(test, torus_slot_unsend(&life->slot, 6));
	expect(test, life, TORUS_SLOT_QUEUED, 6);
	KUNIT_EXPECT_EQ(test, torus_slot_send(&life->slot), 7);
	expect(test, life, TORUS_SLOT_SENT, 7);
}

static void completion_ends_a_sending_once(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_EXPECT_TRUE(test, torus_slot_claim(&life->slot, generation));
	expect(test, life, TORUS_SLOT_CLAIMED, generation);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
	KUNIT_EXPECT_PTR_EQ(test, life->slot.rq, &life->rq);
	torus_slot_idle(&life->slot);
	expect(test, life, TORUS_SLOT_IDLE, generation);
	KUNIT_EXPECT_NULL(test, life->slot.rq);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
}

/* A drain that copies the data of a deferred write holds it meanwhile. */
static void unclaimed_slot_is_the_helpers_as_before(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_ASSERT_TRUE(test, torus_slot_claim(&life->slot, generation));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
	torus_slot_unclaim(&life->slot);
	expect(test, life, TORUS_SLOT_SENT, generation);
	KUNIT_EXPECT_PTR_EQ(test, life->slot.rq, &life->rq);
	KUNIT_EXPECT_TRUE(test, torus_slot_claim(&life->slot, generation));
}

static void completion_of_another_sending_is_refused(struct kunit *test)
{
	struct life *life = begin(test, 5);
	u32 generation = send(life);

	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, 0));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation - 1));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation + 1));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, U32_MAX));
	expect(test, life, TORUS_SLOT_SENT, generation);
}

static void late_completion_misses_the_recycled_tag(struct kunit *test)
{
	struct life *life = begin(test, 0);
	struct request next = {};
	u32 first = send(life);
	u32 second;

	KUNIT_ASSERT_TRUE(test, torus_slot_claim(&life->slot, first));
	torus_slot_idle(&life->slot);
	torus_slot_queue(&life->slot, &next, UNIT + 1);
	second = torus_slot_send(&life->slot);
	KUNIT_EXPECT_NE(test, first, second);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, first));
	expect(test, life, TORUS_SLOT_SENT, second);
	KUNIT_EXPECT_TRUE(test, torus_slot_claim(&life->slot, second));
	KUNIT_EXPECT_PTR_EQ(test, life->slot.rq, &next);
}

static void completion_after_unsend_is_late(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_ASSERT_TRUE(test, torus_slot_unsend(&life->slot, generation));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
	torus_slot_send(&life->slot);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
}

static void claimed_slot_cannot_be_unsent(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_ASSERT_TRUE(test, torus_slot_claim(&life->slot, generation));
	KUNIT_EXPECT_FALSE(test, torus_slot_unsend(&life->slot, generation));
	expect(test, life, TORUS_SLOT_CLAIMED, generation);
}

static void revoke_takes_what_is_queued(struct kunit *test)
{
	struct life *life = begin(test, 5);

	torus_slot_queue(&life->slot, &life->rq, UNIT);
	KUNIT_EXPECT_PTR_EQ(test, torus_slot_revoke(&life->slot), &life->rq);
	expect(test, life, TORUS_SLOT_IDLE, 5);
	KUNIT_EXPECT_NULL(test, life->slot.rq);
}

static void revoke_takes_what_was_sent_once(struct kunit *test)
{
	struct life *life = begin(test, 5);
	u32 generation = send(life);

	KUNIT_EXPECT_PTR_EQ(test, torus_slot_revoke(&life->slot), &life->rq);
	expect(test, life, TORUS_SLOT_IDLE, generation);
	KUNIT_EXPECT_NULL(test, torus_slot_revoke(&life->slot));
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, generation));
}

static void revoke_leaves_the_winner_its_request(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_ASSERT_TRUE(test, torus_slot_claim(&life->slot, generation));
	KUNIT_EXPECT_NULL(test, torus_slot_revoke(&life->slot));
	expect(test, life, TORUS_SLOT_CLAIMED, generation);
	KUNIT_EXPECT_PTR_EQ(test, life->slot.rq, &life->rq);
}

static void unsend_after_revoke_does_nothing(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 generation = send(life);

	KUNIT_ASSERT_PTR_EQ(test, torus_slot_revoke(&life->slot), &life->rq);
	KUNIT_EXPECT_FALSE(test, torus_slot_unsend(&life->slot, generation));
	expect(test, life, TORUS_SLOT_IDLE, generation);
	/* Also when the tag has found another request since. */
	torus_slot_queue(&life->slot, &life->rq, UNIT);
	KUNIT_EXPECT_FALSE(test, torus_slot_unsend(&life->slot, generation));
	torus_slot_send(&life->slot);
	KUNIT_EXPECT_FALSE(test, torus_slot_unsend(&life->slot, generation));
	expect(test, life, TORUS_SLOT_SENT, generation + 1);
}

static void generation_survives_revoke(struct kunit *test)
{
	struct life *life = begin(test, 0);
	u32 before = send(life);

	KUNIT_ASSERT_NOT_NULL(test, torus_slot_revoke(&life->slot));
	KUNIT_EXPECT_EQ(test, send(life), before + 1);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, before));
}

static void generation_wraps(struct kunit *test)
{
	struct life *life = begin(test, U32_MAX - 1);

	KUNIT_EXPECT_EQ(test, send(life), U32_MAX);
	expect(test, life, TORUS_SLOT_SENT, U32_MAX);
	KUNIT_EXPECT_TRUE(test, torus_slot_unsend(&life->slot, U32_MAX));
	KUNIT_EXPECT_EQ(test, torus_slot_send(&life->slot), 0);
	expect(test, life, TORUS_SLOT_SENT, 0);
	KUNIT_EXPECT_FALSE(test, torus_slot_claim(&life->slot, U32_MAX));
	KUNIT_EXPECT_TRUE(test, torus_slot_claim(&life->slot, 0));
	torus_slot_idle(&life->slot);
	expect(test, life, TORUS_SLOT_IDLE, 0);
	KUNIT_EXPECT_EQ(test, send(life), 1);
}

/* What the block layer gives the driver: a request and its data behind it. */
static struct request *request_with_data(struct kunit *test)
{
	return kunit_kzalloc(test, sizeof(struct request) +
			     sizeof(struct torus_rq), GFP_KERNEL);
}

static void stalls_are_counted_over_a_requests_whole_life(struct kunit *test)
{
	struct request *rq = request_with_data(test);
	struct torus_rq *data;

	KUNIT_ASSERT_NOT_NULL(test, rq);
	data = blk_mq_rq_to_pdu(rq);
	data->stalls = 99;
	torus_request_prepare(rq);
	KUNIT_EXPECT_EQ(test, data->stalls, 0);
	data->stalls = 2;
	/* It was requeued and comes again. */
	torus_request_prepare(rq);
	KUNIT_EXPECT_EQ(test, data->stalls, 2);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(new_slot_is_idle),
	KUNIT_CASE(queued_slot_keeps_request_and_place),
	KUNIT_CASE(queued_slot_cannot_be_completed),
	KUNIT_CASE(each_sending_has_its_own_generation),
	KUNIT_CASE(completion_ends_a_sending_once),
	KUNIT_CASE(unclaimed_slot_is_the_helpers_as_before),
	KUNIT_CASE(completion_of_another_sending_is_refused),
	KUNIT_CASE(late_completion_misses_the_recycled_tag),
	KUNIT_CASE(completion_after_unsend_is_late),
	KUNIT_CASE(claimed_slot_cannot_be_unsent),
	KUNIT_CASE(revoke_takes_what_is_queued),
	KUNIT_CASE(revoke_takes_what_was_sent_once),
	KUNIT_CASE(revoke_leaves_the_winner_its_request),
	KUNIT_CASE(unsend_after_revoke_does_nothing),
	KUNIT_CASE(generation_survives_revoke),
	KUNIT_CASE(generation_wraps),
	KUNIT_CASE(stalls_are_counted_over_a_requests_whole_life),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_request",
	.test_cases = cases,
};

kunit_test_suite(suite);
