// SPDX-License-Identifier: Apache-2.0
/* How long a peer takes: what is kept of it, and when it is too long. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "peer_world.h"

/* What is sent to a hung peer goes into buffers, as long as they have room. */
static void sending_more_is_no_progress(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call[5];

	for (int i = 0; i < 5; i++) {
		world_submit_append(w, &call[i]);
		world_take_request(conn, WIRE_APPEND);
		fake_env_run(&w->env, 200 * MSEC - (i == 4));
	}
	assert_int_equal(peer_state(w->peer), PEER_UP);
	fake_env_run(&w->env, 1);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(call[i].call.err, -ETIMEDOUT);
		world_cancel(w, &call[i]);
	}
}

/* A slow line is not a hung peer: it is progress that something leaves. */
static void what_waits_to_be_sent_has_progress(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call first, second;

	world_submit_append(w, &first);
	world_submit_append(w, &second);
	fake_env_run(&w->env, 900 * MSEC);
	/* Both leave, late; none is answered. */
	world_take_request(conn, WIRE_APPEND);
	world_take_request(conn, WIRE_APPEND);
	fake_env_run(&w->env, 900 * MSEC);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	fake_env_run(&w->env, 100 * MSEC);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	world_cancel(w, &first);
	world_cancel(w, &second);
}

/* Nobody waits for it any more, and yet it is found out. */
static void a_peer_that_was_given_up_on_once_must_answer_a_ping(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;
	uint64_t request;

	world_submit_read(w, &call);
	request = world_take_request(conn, WIRE_READ);
	fake_env_run(&w->env, 5 * MSEC);
	peer_call_abandon(&call.call);
	world_reply(conn, WIRE_PING, world_take_request(conn, WIRE_PING), NULL,
		    0);
	/* Late, and into nobody's memory. */
	world_reply(conn, WIRE_READ, request, world_zeros, BLOCK_SIZE);
	fake_env_run(&w->env, 10 * SEC);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	world_submit_read(w, &call);
	world_take_request(conn, WIRE_READ);
	peer_call_abandon(&call.call);
	world_take_request(conn, WIRE_PING);
	fake_env_run(&w->env, SEC - 1);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	fake_env_run(&w->env, 1);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	assert_int_equal(w->last_err, -ETIMEDOUT);
	assert_int_equal(call.done, 0);
	peer_call_abandon(&call.call);
}

static void latencies_are_kept_by_kind(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	const struct peer_stats *stats = peer_stats(w->peer);
	struct test_call call;

	for (int i = 0; i < 200; i++) {
		world_submit_read(w, &call);
		fake_env_run(&w->env, (i % 20 == 19 ? 50 : 2) * MSEC);
		world_reply(conn, WIRE_READ,
			    world_take_request(conn, WIRE_READ), NULL, 0);
	}
	world_submit_append(w, &call);
	fake_env_run(&w->env, 7 * MSEC);
	world_reply(conn, WIRE_APPEND, world_take_request(conn, WIRE_APPEND),
		    NULL, 0);
	world_cancel(w, &call);
	assert_in_range(stats->reads.p50, 2 * MSEC, 2 * MSEC * 9 / 8);
	assert_in_range(stats->reads.p99, 50 * MSEC, 50 * MSEC * 9 / 8);
	assert_in_range(stats->appends.p99, 7 * MSEC, 7 * MSEC * 9 / 8);
	assert_int_equal(stats->syncs.p99, 0);
	assert_int_equal(stats->latency_max_ns, 50 * MSEC);
}

static void old_latencies_are_forgotten(void **state)
{
	struct latency *l = calloc(1, sizeof(*l));
	uint64_t now = 5;

	assert_non_null(l);
	latency_add(l, now, 0);
	assert_true(l->p99 > 0);
	latency_add(l, now, UINT64_MAX);
	/* By number: some thousands of others came after it. */
	for (int i = 0; i < 20000; i++)
		latency_add(l, now, 3 * MSEC);
	assert_in_range(l->p50, 3 * MSEC, 3 * MSEC * 9 / 8);
	assert_in_range(l->p99, 3 * MSEC, 3 * MSEC * 9 / 8);
	/* By time: a few of them, after a while. */
	for (int i = 0; i < 100; i++)
		latency_add(l, now += SEC, 40 * MSEC);
	assert_in_range(l->p50, 40 * MSEC, 40 * MSEC * 9 / 8);
	/* What is known of a peer that is silent for a day stays. */
	latency_add(l, now += 86400 * SEC, 40 * MSEC);
	assert_in_range(l->p99, 40 * MSEC, 40 * MSEC * 9 / 8);
	free(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sending_more_is_no_progress),
		TEST(what_waits_to_be_sent_has_progress),
		TEST(a_peer_that_was_given_up_on_once_must_answer_a_ping),
		TEST(latencies_are_kept_by_kind),
		TEST(old_latencies_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
