// SPDX-License-Identifier: GPL-2.0
/*
 * Who may bind, serve, start and end a session, and how it dies.
 */
#include <kunit/test.h>
#include <linux/netlink.h>
#include <net/sock.h>

#include "channel.h"
#include "device.h"
#include "fixture.h"
#include "genl.h"
#include "lifecycle.h"
#include "ring.h"
#include "session.h"

#define ALL_QUEUES (BIT_ULL(TORUS_TEST_QUEUES) - 1)

static int bind_queues(struct kunit *test, struct torus_device *dev, u64 id,
		       struct torus_test_helper *helper, u64 mask)
{
	struct netlink_ext_ack extack = {};
	int ret = torus_session_bind_queues(dev, id, &helper->sender, mask,
					    &extack);

	if (ret)
		KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	return ret;
}

static int start(struct torus_device *dev, u64 id,
		 struct torus_test_helper *helper,
		 const struct torus_session_log *log)
{
	struct netlink_ext_ack extack = {};

	return torus_session_start(dev, id, &helper->sender, log, &extack);
}

static int end(struct torus_device *dev, u64 id,
	       struct torus_test_helper *helper)
{
	struct netlink_ext_ack extack = {};

	return torus_session_end(dev, id, &helper->sender, &extack);
}

/* ---- bind ----------------------------------------------------------------- */

static void second_helper_is_refused(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	u64 first = torus_test_bind_new(test, dev, torus_test_helper(test));
	u64 second;

	KUNIT_EXPECT_EQ(test, -EBUSY,
			torus_test_bind(test, dev, torus_test_helper(test),
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					false, &second));
	KUNIT_ASSERT_NOT_NULL(test, dev->session);
	KUNIT_EXPECT_EQ(test, dev->session->id, first);
}

static void takeover_ends_the_other_session(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *old = torus_test_helper(test);
	struct torus_test_helper *new = torus_test_helper(test);
	u64 first = torus_test_bind_new(test, dev, old);
	u64 second;

	KUNIT_ASSERT_EQ(test, 0,
			torus_test_bind(test, dev, new,
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					true, &second));
	KUNIT_EXPECT_NE(test, first, second);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, first, old, 1), -ESTALE);
	KUNIT_EXPECT_EQ(test, end(dev, first, old), -ESTALE);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, second, new, 1), 0);
}

static void takeover_needs_nobody_to_replace(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	u64 id;

	KUNIT_EXPECT_EQ(test, 0,
			torus_test_bind(test, dev, torus_test_helper(test),
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					true, &id));
}

static void arena_serves_one_session_ever(struct kunit *test)
{
	struct file *memfd = torus_test_memfd(test, TORUS_TEST_ARENA);
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_device *other = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u64 id;

	KUNIT_ASSERT_EQ(test, 0, torus_test_bind(test, dev, helper, memfd,
						 false, &id));
	/* Of a session that lives, on another device. */
	KUNIT_EXPECT_EQ(test, -EINVAL,
			torus_test_bind(test, other, helper, memfd, false,
					&id));
	torus_test_helper_die(helper);
	torus_test_settle(dev);
	/* Of the last session of this device, which may be written still. */
	KUNIT_EXPECT_EQ(test, -EINVAL,
			torus_test_bind(test, dev, torus_test_helper(test),
					memfd, false, &id));
}

static void small_arena_is_refused(struct kunit *test)
{
	struct torus_device_config config = torus_test_config(test);
	struct torus_device *dev;
	u64 id;

	config.io_size_max = TORUS_TEST_ARENA;
	dev = torus_test_add(test, &config);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			torus_test_bind(test, dev, torus_test_helper(test),
					torus_test_memfd(test,
							 TORUS_TEST_ARENA),
					false, &id));
	KUNIT_EXPECT_NULL(test, dev->session);
}

static void arena_must_be_open(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct netlink_ext_ack extack = {};
	struct torus_session_claim claim = {
		.form = TORUS_CHANNEL_MESSAGES,
		.arena_fd = S32_MAX,
	};
	u64 id;

	KUNIT_EXPECT_EQ(test, -EBADF,
			torus_session_bind(dev, &helper->sender, &claim, &id,
					   &extack));
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	KUNIT_EXPECT_NULL(test, dev->session);
}

/* ---- queues --------------------------------------------------------------- */

static void queues_that_are_not_there_are_refused(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper,
					  ALL_QUEUES + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, U64_MAX),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, BIT_ULL(63)),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, dev->session->bound, 0);
}

static void queue_has_one_socket(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_test_helper *other = torus_test_helper(test);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, helper, 1), 0);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 1), -EBUSY);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, other, 1), -EBUSY);
	/* All or nothing. */
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, other, ALL_QUEUES),
			-EBUSY);
	KUNIT_EXPECT_EQ(test, dev->session->bound, 1);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, other,
					  ALL_QUEUES & ~1ULL), 0);
}

static void socket_serves_one_session(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_device *other = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u64 id = torus_test_bind_new(test, dev, helper);
	u64 other_id = torus_test_bind_new(test, other, helper);

	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, helper, 1), 0);
	KUNIT_EXPECT_EQ(test, bind_queues(test, other, other_id, helper, 1),
			-EBUSY);
}

static void small_receive_buffer_is_refused(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u32 min = torus_channel_rcvbuf_min(dev, TORUS_CHANNEL_MESSAGES);
	u64 id = torus_test_bind_new(test, dev, helper);
	struct sock *sk = helper->sender.sk;

	WRITE_ONCE(sk->sk_rcvbuf, min - 1);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 1), -ENOBUFS);
	WRITE_ONCE(sk->sk_rcvbuf, min);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, ALL_QUEUES),
			-ENOBUFS);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 1), 0);
	/* One socket for two queues needs room for both. */
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 2), -ENOBUFS);
	WRITE_ONCE(sk->sk_rcvbuf, 2 * min);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 2), 0);
}

static void receive_buffer_grows_with_the_depth(struct kunit *test)
{
	struct torus_device dev = { .depth = 1 };
	u32 one = torus_channel_rcvbuf_min(&dev, TORUS_CHANNEL_MESSAGES);
	u32 rings = torus_channel_rcvbuf_min(&dev, TORUS_CHANNEL_RING);

	/* Twice what can be under way, with what a message costs the kernel. */
	KUNIT_EXPECT_GT(test, one, 2 * TORUS_DESC_BATCH * TORUS_DESC_SIZE);
	KUNIT_EXPECT_GT(test, rings, 0);
	dev.depth = TORUS_DEPTH_MAX;
	KUNIT_EXPECT_EQ(test, torus_channel_rcvbuf_min(&dev,
						       TORUS_CHANNEL_MESSAGES),
			TORUS_DEPTH_MAX * one);
	/* Doorbells do not become more with the requests. */
	KUNIT_EXPECT_EQ(test, torus_channel_rcvbuf_min(&dev,
						       TORUS_CHANNEL_RING),
			rings);
}

static void rings_need_their_part_of_the_arena(struct kunit *test)
{
	u32 rings = TORUS_TEST_QUEUES * torus_ring_stride(TORUS_TEST_DEPTH);
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u32 data = 2 * dev->io_size_max;
	u64 id;

	helper->form = TORUS_CHANNEL_RING;
	KUNIT_EXPECT_EQ(test, -EINVAL,
			torus_test_bind(test, dev, helper,
					torus_test_memfd(test, data + rings -
							 PAGE_SIZE),
					false, &id));
	KUNIT_ASSERT_EQ(test, 0,
			torus_test_bind(test, dev, helper,
					torus_test_memfd(test, data + rings),
					false, &id));
	KUNIT_EXPECT_NOT_NULL(test, dev->session->rings);
	/* What is handed out begins after them. */
	KUNIT_EXPECT_EQ(test, torus_arena_get(&dev->session->arena, 1),
			rings / TORUS_ARENA_UNIT);
}

static void messages_need_no_rings(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	torus_test_bind_new(test, dev, torus_test_helper(test));
	KUNIT_EXPECT_NULL(test, dev->session->rings);
	KUNIT_EXPECT_EQ(test, torus_arena_get(&dev->session->arena, 1), 0);
}

static void bound_socket_may_use_the_reserves(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, helper, 1), 0);
	KUNIT_EXPECT_TRUE(test, sock_flag(helper->sender.sk, SOCK_MEMALLOC));
}

/* ---- start and end -------------------------------------------------------- */

static void start_needs_every_queue(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, 0, 0);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -EINVAL);
	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, helper, 1), 0);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -EINVAL);
	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, helper, 2), 0);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), 0);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -EALREADY);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 1), -EBUSY);
}

static void only_the_owner_starts_and_ends(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *owner = torus_test_helper(test);
	struct torus_test_helper *other = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, 0, 0);
	u64 id = torus_test_bind_new(test, dev, owner);

	torus_test_bind_queues(test, dev, other, id);
	KUNIT_EXPECT_EQ(test, start(dev, id, other, &log), -EPERM);
	KUNIT_EXPECT_EQ(test, end(dev, id, other), -EPERM);
	KUNIT_EXPECT_EQ(test, start(dev, id, owner, &log), 0);
	KUNIT_EXPECT_EQ(test, end(dev, id, owner), 0);
	KUNIT_EXPECT_EQ(test, end(dev, id, owner), -ESTALE);
}

static void unknown_session_is_stale(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, 0, 0);
	u64 id = torus_test_bind_new(test, dev, helper);

	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id + 1, helper, 1),
			-ESTALE);
	KUNIT_EXPECT_EQ(test, start(dev, id + 1, helper, &log), -ESTALE);
	KUNIT_EXPECT_EQ(test, end(dev, id + 1, helper), -ESTALE);
	KUNIT_EXPECT_EQ(test, end(dev, 0, helper), -ESTALE);
}

static void ended_session_can_do_nothing(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, 0, 0);
	u64 id = torus_test_bind_new(test, dev, helper);

	torus_test_bind_queues(test, dev, helper, id);
	KUNIT_ASSERT_EQ(test, end(dev, id, helper), 0);
	KUNIT_EXPECT_EQ(test, bind_queues(test, dev, id, helper, 1), -ESTALE);
	KUNIT_EXPECT_EQ(test, start(dev, id, helper, &log), -ESTALE);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_NEW);
}

/* ---- death ---------------------------------------------------------------- */

static struct torus_session *held_session(struct kunit *test,
					  struct torus_device *dev, u64 id)
{
	struct torus_session *session = torus_session_get_active(dev, id);

	KUNIT_ASSERT_NOT_NULL(test, session);
	return session;
}

static void killing_twice_is_killing_once(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	u64 id = torus_test_serve(test, dev, torus_test_helper(test));
	struct torus_session *session = held_session(test, dev, id);

	torus_session_kill(session, -ETIMEDOUT);
	torus_session_kill(session, -EREMOTEIO);
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_RECOVERING);
	KUNIT_EXPECT_EQ(test, dev->error, -ETIMEDOUT);
	KUNIT_EXPECT_NULL(test, dev->session);
	torus_session_put(session);
	torus_test_settle(dev);
	KUNIT_EXPECT_TRUE(test, list_empty(&dev->dead_sessions));
	KUNIT_EXPECT_NULL(test, dev->active);
}

static void dead_session_waits_for_its_users(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	u64 id = torus_test_serve(test, dev, torus_test_helper(test));
	struct torus_session *session = held_session(test, dev, id);

	torus_session_kill(session, 0);
	/* It is dead for everybody else, but its arena is there for us. */
	KUNIT_EXPECT_NULL(test, torus_session_get_active(dev, id));
	KUNIT_EXPECT_TRUE(test, work_busy(&dev->reconcile_work));
	KUNIT_EXPECT_FALSE(test, completion_done(&session->unused));
	KUNIT_EXPECT_NOT_NULL(test, session->arena.pages);
	torus_session_put(session);
	torus_test_settle(dev);
	KUNIT_EXPECT_NULL(test, dev->active);
}

static void only_the_active_session_is_given(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct torus_session_log log = torus_test_log(dev, 0, 0);
	u64 id = torus_test_bind_new(test, dev, helper);
	struct torus_session *session;

	torus_test_bind_queues(test, dev, helper, id);
	KUNIT_EXPECT_NULL(test, torus_session_get_active(dev, id));
	KUNIT_ASSERT_EQ(test, start(dev, id, helper, &log), 0);
	torus_test_settle(dev);
	session = held_session(test, dev, id);
	torus_session_put(session);
	KUNIT_EXPECT_NULL(test, torus_session_get_active(dev, id + 1));
	torus_test_helper_die(helper);
	KUNIT_EXPECT_NULL(test, torus_session_get_active(dev, id));
}

static void end_of_any_socket_ends_the_session(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *owner = torus_test_helper(test);
	struct torus_test_helper *queue = torus_test_helper(test);
	u64 id = torus_test_bind_new(test, dev, owner);

	KUNIT_ASSERT_EQ(test, bind_queues(test, dev, id, queue, 2), 0);
	torus_test_helper_die(queue);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_EQ(test, end(dev, id, owner), -ESTALE);
}

static void end_of_a_stranger_ends_nothing(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *stranger = torus_test_helper(test);
	struct torus_test_helper *owner = torus_test_helper(test);

	torus_test_bind_new(test, dev, owner);
	/* Not even if it had the port that ours is known by. */
	dev->session->owner.portid = stranger->sender.portid;
	torus_test_helper_die(stranger);
	KUNIT_EXPECT_NOT_NULL(test, dev->session);
	dev->session->owner.portid = owner->sender.portid;
}

static void end_of_one_ends_all_it_serves(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_device *other = torus_test_add(test, NULL);
	struct torus_test_helper *owner = torus_test_helper(test);

	torus_test_bind_new(test, dev, owner);
	torus_test_bind_new(test, other, owner);
	torus_test_helper_die(owner);
	KUNIT_EXPECT_NULL(test, dev->session);
	KUNIT_EXPECT_NULL(test, other->session);
}

static void sockets_are_given_back(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);
	struct torus_test_helper *helper = torus_test_helper(test);
	struct sock *sk = helper->sender.sk;
	int before = refcount_read(&sk->sk_refcnt);
	u64 id = torus_test_serve(test, dev, helper);

	KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt),
			before + 1 + TORUS_TEST_QUEUES);
	KUNIT_ASSERT_EQ(test, end(dev, id, helper), 0);
	torus_test_settle(dev);
	KUNIT_EXPECT_EQ(test, refcount_read(&sk->sk_refcnt), before);
	/* And may serve again. */
	torus_test_serve(test, dev, helper);
}

static void stall_ends_a_session_that_had_its_time(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	torus_test_serve(test, dev, torus_test_helper(test));
	/* It has been there for less than a day: another had the request. */
	KUNIT_EXPECT_FALSE(test, torus_session_stalled(dev, 24 * 3600 * HZ));
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_LIVE);
	dev->session->active_at = jiffies - HZ;
	KUNIT_EXPECT_TRUE(test, torus_session_stalled(dev, HZ));
	KUNIT_EXPECT_EQ(test, dev->state, TORUS_STATE_RECOVERING);
	KUNIT_EXPECT_EQ(test, dev->error, -ETIMEDOUT);
	/* There is none left to end. */
	KUNIT_EXPECT_FALSE(test, torus_session_stalled(dev, 0));
}

static void session_that_is_not_active_cannot_stall(struct kunit *test)
{
	struct torus_device *dev = torus_test_add(test, NULL);

	torus_test_bind_new(test, dev, torus_test_helper(test));
	KUNIT_EXPECT_FALSE(test, torus_session_stalled(dev, 0));
	KUNIT_EXPECT_NOT_NULL(test, dev->session);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(second_helper_is_refused),
	KUNIT_CASE(takeover_ends_the_other_session),
	KUNIT_CASE(takeover_needs_nobody_to_replace),
	KUNIT_CASE(arena_serves_one_session_ever),
	KUNIT_CASE(small_arena_is_refused),
	KUNIT_CASE(arena_must_be_open),
	KUNIT_CASE(queues_that_are_not_there_are_refused),
	KUNIT_CASE(queue_has_one_socket),
	KUNIT_CASE(socket_serves_one_session),
	KUNIT_CASE(small_receive_buffer_is_refused),
	KUNIT_CASE(receive_buffer_grows_with_the_depth),
	KUNIT_CASE(rings_need_their_part_of_the_arena),
	KUNIT_CASE(messages_need_no_rings),
	KUNIT_CASE(bound_socket_may_use_the_reserves),
	KUNIT_CASE(start_needs_every_queue),
	KUNIT_CASE(only_the_owner_starts_and_ends),
	KUNIT_CASE(unknown_session_is_stale),
	KUNIT_CASE(ended_session_can_do_nothing),
	KUNIT_CASE(killing_twice_is_killing_once),
	KUNIT_CASE(dead_session_waits_for_its_users),
	KUNIT_CASE(only_the_active_session_is_given),
	KUNIT_CASE(end_of_any_socket_ends_the_session),
	KUNIT_CASE(end_of_a_stranger_ends_nothing),
	KUNIT_CASE(end_of_one_ends_all_it_serves),
	KUNIT_CASE(sockets_are_given_back),
	KUNIT_CASE(stall_ends_a_session_that_had_its_time),
	KUNIT_CASE(session_that_is_not_active_cannot_stall),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_session",
	.test_cases = cases,
};

kunit_test_suite(suite);
