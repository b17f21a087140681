// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of a helper's completions, in both forms of the channel. The
 * requests are real ones of the disk's queue, but carry no data.
 */
#include <kunit/test.h>
#include <linux/blk-mq.h>
#include <linux/netlink.h>
#include <net/netlink.h>

#include "channel.h"
#include "device.h"
#include "fixture.h"
#include "genl.h"
#include "queue.h"
#include "ring.h"
#include "session.h"

#define ENTRIES_MAX (TORUS_COMPLETION_BATCH + 1)

/* A live device, and the session by which it is served. */
struct service {
	struct torus_device *dev;
	struct torus_test_helper *helper;
	struct torus_session *session;
	struct netlink_ext_ack extack;
	u8 message[NLA_HDRLEN + ENTRIES_MAX * TORUS_COMPLETION_SIZE]
		__aligned(8);
};

static void put_session(void *data)
{
	struct service *service = data;

	torus_session_put(service->session);
}

static struct service *begin(struct kunit *test, enum torus_channel form)
{
	struct service *service = kunit_kzalloc(test, sizeof(*service),
						GFP_KERNEL);
	u64 id;

	KUNIT_ASSERT_NOT_NULL(test, service);
	service->dev = torus_test_add(test, NULL);
	service->helper = torus_test_helper(test);
	service->helper->form = form;
	id = torus_test_serve(test, service->dev, service->helper);
	service->session = torus_session_get_active(service->dev, id);
	KUNIT_ASSERT_NOT_NULL(test, service->session);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_session,
							   service));
	return service;
}

/* Hands a request to the helper; what the helper should answer. */
static struct torus_completion send_request(struct kunit *test,
					    struct service *service)
{
	struct request *rq = blk_mq_alloc_request(service->dev->disk->queue,
						  REQ_OP_DRV_OUT, 0);
	struct torus_completion entry = {};
	struct torus_queue *queue;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rq);
	queue = rq->mq_hctx->driver_data;
	blk_mq_start_request(rq);
	torus_slot_queue(&queue->slots[rq->tag], rq, 0);
	entry.queue = queue->index;
	entry.tag = rq->tag;
	entry.generation = torus_slot_send(&queue->slots[rq->tag]);
	return entry;
}

static enum torus_slot_state state_of(struct service *service,
				      const struct torus_completion *entry)
{
	struct torus_queue *queue = &service->dev->queues[entry->queue];

	return torus_slot_state(&queue->slots[entry->tag]);
}

/* Has a message of @len bytes carried out. */
static int complete_bytes(struct service *service, struct sock *sk,
			  const void *data, unsigned int len)
{
	struct nlattr *nla = (void *)service->message;

	nla->nla_type = TORUS_A_IO_COMPLETIONS;
	nla->nla_len = NLA_HDRLEN + len;
	memcpy(nla_data(nla), data, len);
	service->extack = (struct netlink_ext_ack) {};
	return torus_channel_complete(service->session, sk, nla,
				      &service->extack);
}

static int complete_one(struct service *service,
			const struct torus_completion *entry)
{
	return complete_bytes(service, service->helper->sender.sk, entry,
			      sizeof(*entry));
}

static void completion_ends_its_request(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = send_request(test, service);
	struct torus_queue *queue = &service->dev->queues[entry.queue];

	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), 0);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_IDLE);
	KUNIT_EXPECT_EQ(test, atomic64_read(&queue->late), 0);
	/* The second time it is late, and nobody's. */
	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&queue->late), 1);
	KUNIT_EXPECT_FALSE(test, service->session->dead);
}

static void twice_in_one_batch_counts_once(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = send_request(test, service);
	struct torus_completion batch[2] = { entry, entry };
	struct torus_queue *queue = &service->dev->queues[entry.queue];

	KUNIT_EXPECT_EQ(test, complete_bytes(service,
					     service->helper->sender.sk, batch,
					     sizeof(batch)), 0);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_IDLE);
	KUNIT_EXPECT_EQ(test, atomic64_read(&queue->late), 1);
}

static void wrong_generation_ends_nothing(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = send_request(test, service);
	struct torus_completion wrong = entry;

	wrong.generation++;
	wrong.sequence = 50;
	KUNIT_EXPECT_EQ(test, complete_one(service, &wrong), 0);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_SENT);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 0);
	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), 0);
}

static void acknowledged_record_is_remembered(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion first = send_request(test, service);
	struct torus_completion second = send_request(test, service);

	second.sequence = 50;
	second.header_crc = 5;
	KUNIT_ASSERT_EQ(test, complete_one(service, &second), 0);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 50);
	KUNIT_EXPECT_EQ(test, service->dev->header_crc, 5);
	/* Out of order, as completions may be. */
	first.sequence = 49;
	first.header_crc = 4;
	KUNIT_ASSERT_EQ(test, complete_one(service, &first), 0);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 50);
	KUNIT_EXPECT_EQ(test, service->dev->header_crc, 5);
}

static void failed_request_is_not_remembered(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = send_request(test, service);

	entry.sequence = 50;
	entry.result = TORUS_RESULT_IO_ERROR;
	KUNIT_ASSERT_EQ(test, complete_one(service, &entry), 0);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_IDLE);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 0);
}

static void dead_session_ends_and_remembers_nothing(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = { .sequence = 50 };

	torus_session_kill(service->session, -ECANCELED);
	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), -ESTALE);
	KUNIT_EXPECT_NOT_NULL(test, service->extack._msg);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 0);
}

static void lost_volume_ends_the_session(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion entry = {
		.result = TORUS_RESULT_LOST,
		.sequence = 50,
	};

	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), 0);
	KUNIT_EXPECT_TRUE(test, service->session->dead);
	KUNIT_EXPECT_EQ(test, service->dev->state, TORUS_STATE_RECOVERING);
	KUNIT_EXPECT_EQ(test, service->dev->error, -EREMOTEIO);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 0);
}

static void malformed_entry_refuses_the_whole_batch(struct kunit *test)
{
	static const struct torus_completion wrong[] = {
		{ .queue = TORUS_TEST_QUEUES },
		{ .queue = U16_MAX },
		{ .tag = TORUS_TEST_DEPTH },
		{ .tag = U16_MAX },
		{ .result = TORUS_RESULT_MAX + 1 },
		{ .result = U32_MAX },
		{ .reserved = 1 },
	};
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_completion batch[2] = { send_request(test, service) };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		batch[1] = wrong[i];
		KUNIT_EXPECT_EQ_MSG(test,
				    complete_bytes(service,
						   service->helper->sender.sk,
						   batch, sizeof(batch)),
				    -EINVAL, "entry %u", i);
		KUNIT_EXPECT_NOT_NULL(test, service->extack._msg);
		KUNIT_EXPECT_EQ(test, state_of(service, &batch[0]),
				TORUS_SLOT_SENT);
	}
	KUNIT_EXPECT_EQ(test, atomic64_read(&service->dev->queues[0].malformed),
			ARRAY_SIZE(wrong));
	KUNIT_EXPECT_EQ(test, complete_one(service, &batch[0]), 0);
}

static void batch_of_a_wrong_length_is_refused(struct kunit *test)
{
	static const unsigned int lens[] = {
		0, 1, TORUS_COMPLETION_SIZE - 1, TORUS_COMPLETION_SIZE + 1,
		ENTRIES_MAX * TORUS_COMPLETION_SIZE,
	};
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct sock *sk = service->helper->sender.sk;
	struct torus_completion *batch;
	unsigned int i;

	batch = kunit_kcalloc(test, ENTRIES_MAX, sizeof(*batch), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, batch);
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		KUNIT_EXPECT_EQ_MSG(test, complete_bytes(service, sk, batch,
							 lens[i]),
				    -EINVAL, "%u bytes", lens[i]);
	KUNIT_EXPECT_EQ(test, complete_bytes(service, sk, batch,
					     TORUS_COMPLETION_BATCH *
					     TORUS_COMPLETION_SIZE), 0);
}

static void foreign_socket_is_refused(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_MESSAGES);
	struct torus_test_helper *stranger = torus_test_helper(test);
	struct torus_completion entry = send_request(test, service);

	KUNIT_EXPECT_EQ(test, complete_bytes(service, stranger->sender.sk,
					     &entry, sizeof(entry)), -EPERM);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_SENT);
	KUNIT_EXPECT_EQ(test, complete_one(service, &entry), 0);
}

static void forms_do_not_mix(struct kunit *test)
{
	struct service *messages = begin(test, TORUS_CHANNEL_MESSAGES);
	struct service *rings = begin(test, TORUS_CHANNEL_RING);
	struct torus_completion entry = {};
	struct netlink_ext_ack extack = {};

	KUNIT_EXPECT_EQ(test, complete_one(rings, &entry), -EOPNOTSUPP);
	KUNIT_EXPECT_NOT_NULL(test, rings->extack._msg);
	KUNIT_EXPECT_EQ(test, torus_channel_drain(messages->session,
						  messages->helper->sender.sk,
						  &extack), -EOPNOTSUPP);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
}

/* ---- rings ---------------------------------------------------------------- */

/* What a helper does in the ring of queue @ring. */
static void publish(struct service *service, unsigned int ring,
		    const struct torus_completion *entry)
{
	struct torus_ring_end *end = &service->session->rings[ring];
	u32 tail = end->shared->completion_tail;

	end->completions[tail & (end->entries - 1)] = *entry;
	/* The entry first: the driver reads the tail with acquire. */
	smp_store_release(&end->shared->completion_tail, tail + 1);
}

static int drain(struct service *service)
{
	return torus_channel_drain(service->session, service->helper->sender.sk,
				   &service->extack);
}

static void expect_ended_for_nonsense(struct kunit *test,
				      struct service *service)
{
	KUNIT_EXPECT_TRUE(test, service->session->dead);
	KUNIT_EXPECT_EQ(test, service->dev->state, TORUS_STATE_RECOVERING);
	KUNIT_EXPECT_EQ(test, service->dev->error, -EPROTO);
	KUNIT_EXPECT_EQ(test, atomic64_read(&service->dev->queues[0].malformed),
			1);
}

static void drain_ends_requests(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_completion entry = send_request(test, service);

	entry.sequence = 50;
	publish(service, entry.queue, &entry);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_SENT);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	KUNIT_EXPECT_EQ(test, state_of(service, &entry), TORUS_SLOT_IDLE);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 50);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	KUNIT_EXPECT_FALSE(test, service->session->dead);
}

static void late_entry_in_a_ring_is_skipped(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_completion entry = { .generation = 77, .sequence = 50 };

	publish(service, 0, &entry);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	KUNIT_EXPECT_FALSE(test, service->session->dead);
	KUNIT_EXPECT_EQ(test, service->dev->sequence, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&service->dev->queues[0].late), 1);
}

static void entry_of_another_queue_ends_the_session(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_completion entry = { .queue = 1 };

	publish(service, 0, &entry);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	expect_ended_for_nonsense(test, service);
}

static void malformed_entry_ends_the_session(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_completion entry = { .tag = TORUS_TEST_DEPTH };

	publish(service, 0, &entry);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	expect_ended_for_nonsense(test, service);
}

static void impossible_tail_ends_the_session(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_ring_end *end = &service->session->rings[0];

	WRITE_ONCE(end->shared->completion_tail, end->entries + 1);
	KUNIT_EXPECT_EQ(test, drain(service), 0);
	expect_ended_for_nonsense(test, service);
}

static void stranger_cannot_have_rings_drained(struct kunit *test)
{
	struct service *service = begin(test, TORUS_CHANNEL_RING);
	struct torus_test_helper *stranger = torus_test_helper(test);

	KUNIT_EXPECT_EQ(test, torus_channel_drain(service->session,
						  stranger->sender.sk,
						  &service->extack), -EPERM);
	KUNIT_EXPECT_NOT_NULL(test, service->extack._msg);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(completion_ends_its_request),
	KUNIT_CASE(twice_in_one_batch_counts_once),
	KUNIT_CASE(wrong_generation_ends_nothing),
	KUNIT_CASE(acknowledged_record_is_remembered),
	KUNIT_CASE(failed_request_is_not_remembered),
	KUNIT_CASE(dead_session_ends_and_remembers_nothing),
	KUNIT_CASE(lost_volume_ends_the_session),
	KUNIT_CASE(malformed_entry_refuses_the_whole_batch),
	KUNIT_CASE(batch_of_a_wrong_length_is_refused),
	KUNIT_CASE(foreign_socket_is_refused),
	KUNIT_CASE(forms_do_not_mix),
	KUNIT_CASE(drain_ends_requests),
	KUNIT_CASE(late_entry_in_a_ring_is_skipped),
	KUNIT_CASE(entry_of_another_queue_ends_the_session),
	KUNIT_CASE(malformed_entry_ends_the_session),
	KUNIT_CASE(impossible_tail_ends_the_session),
	KUNIT_CASE(stranger_cannot_have_rings_drained),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_channel",
	.test_cases = cases,
};

kunit_test_suite(suite);
