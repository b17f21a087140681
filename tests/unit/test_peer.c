// SPDX-License-Identifier: Apache-2.0
/* peer.h over an env whose clock and network the test moves by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "peer_world.h"

static const struct uuid other_uuid = { { 0x77 } };

/* ---- tests -------------------------------------------------------------- */

static void calls_wait_for_hello_and_keep_their_order(void **state)
{
	struct wire_hello hello = world_hello(1);
	struct world *w = *state;
	struct test_call a, b, c;
	struct env_conn *conn;
	uint64_t ra, rb, rc;

	assert_true(peer_usable(w->peer));
	world_submit_read(w, &a);
	world_submit_append(w, &b);
	assert_int_equal(peer_state(w->peer), PEER_CONNECTING);
	conn = world_open_conn(w);
	world_answer_hello(conn, &hello, WIRE_OK);
	assert_int_equal(w->ups, 1);
	assert_true(uuid_equal(peer_incarnation(w->peer), &hello.incarnation));
	world_submit_read(w, &c);
	ra = world_take_request(conn, WIRE_READ);
	rb = world_take_request(conn, WIRE_APPEND);
	rc = world_take_request(conn, WIRE_READ);
	assert_true(ra != rb && rb != rc && ra != rc);
	/* Answers come in any order. */
	world_reply(conn, WIRE_READ, rc, NULL, 0);
	world_reply(conn, WIRE_APPEND, rb, NULL, 0);
	world_reply(conn, WIRE_READ, ra, NULL, 0);
	assert_int_equal(a.done + b.done + c.done, 3);
	assert_true(c.order < b.order && b.order < a.order);
	assert_int_equal(a.call.err | b.call.err | c.call.err, 0);
	assert_int_equal(peer_stats(w->peer)->calls, 3);
	assert_int_equal(peer_stats(w->peer)->bytes_sent, BLOCK_SIZE);
	world_cancel(w, &b);
}

static void bodies_are_copied_when_the_call_is_made(void **state)
{
	struct world *w = *state;
	struct fake_frame *frame;
	struct test_call call;
	struct env_conn *conn;

	memset(&call, 0, sizeof(call));
	call.call.type = WIRE_FENCE;
	call.body.fence.epoch = cpu_to_le64(7);
	world_submit(w, &call);
	memset(&call.body, 0xff, sizeof(call.body));
	conn = world_bring_up(w);
	fake_send_all(conn);
	frame = fake_take(conn);
	assert_int_equal(frame->hdr.body_len, sizeof(struct wire_fence));
	assert_int_equal(le64_to_cpu(((struct wire_fence *)
				      (void *)frame->body)->epoch), 7);
	fake_frame_free(frame);
	world_cancel(w, &call);
}

/* A read into room of its own, that is in @call and freed by its caller. */
static void submit_read_into_room(struct world *w, struct test_call *call,
				  uint32_t room, uint64_t timeout_ns)
{
	memset(call, 0, sizeof(*call));
	call->room.iov_base = malloc(room);
	call->room.iov_len = room;
	call->call.reply_data = &call->room;
	call->call.reply_data_count = 1;
	call->call.type = WIRE_READ;
	call->call.timeout_ns = timeout_ns;
	world_submit(w, call);
}

static void replies_land_where_the_call_said(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call room, scratch;
	uint8_t blocks[2 * BLOCK_SIZE];

	memset(blocks, 0x5a, sizeof(blocks));
	submit_read_into_room(w, &room, 3 * BLOCK_SIZE, 0);
	world_submit_read(w, &scratch);
	/* A shorter answer is fine: the caller sees its length. */
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), blocks,
		    sizeof(blocks));
	assert_int_equal(room.done, 1);
	assert_int_equal(room.call.reply_len, sizeof(blocks));
	assert_null(room.call.scratch);
	assert_memory_equal(room.room.iov_base, blocks, sizeof(blocks));
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), blocks,
		    BLOCK_SIZE);
	assert_int_equal(scratch.done, 1);
	assert_int_equal(scratch.got_len, BLOCK_SIZE);
	assert_memory_equal(scratch.got, blocks, sizeof(scratch.got));
	free(room.room.iov_base);
}

/* Answer HELLO with this; the call must fail with @err and a back-off begin. */
static void expect_refused(const struct wire_hello *hello, uint32_t status,
			   int err)
{
	struct test_call call;
	struct env_conn *conn;
	void *state;
	struct world *w;

	world_setup(&state);
	w = state;
	world_submit_read(w, &call);
	conn = world_open_conn(w);
	world_answer_hello(conn, hello, status);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	assert_null(fake_conn(&w->env));
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, err);
	assert_int_equal(w->downs, 1);
	assert_int_equal(w->last_err, err);
	assert_false(peer_usable(w->peer));
	world_teardown(&state);
}

static void a_wrong_hello_is_refused(void **state)
{
	struct wire_hello hello = world_hello(1);

	hello.cluster = other_uuid;
	expect_refused(&hello, WIRE_OK, -EPERM);
	hello = world_hello(1);
	hello.from = other_uuid;
	expect_refused(&hello, WIRE_OK, -EADDRNOTAVAIL);
	hello = world_hello(1);
	hello.version_min = cpu_to_le16(WIRE_VERSION + 1);
	expect_refused(&hello, WIRE_OK, -EPROTONOSUPPORT);
	hello = world_hello(1);
	hello.features = cpu_to_le64(1);
	expect_refused(&hello, WIRE_OK, -EPROTO);
	hello = world_hello(1);
	expect_refused(&hello, WIRE_ECLUSTER, -EPERM);
	expect_refused(&hello, WIRE_EVERSION, -EPROTONOSUPPORT);
}

static void a_first_frame_that_is_no_hello_is_refused(void **state)
{
	struct wire_header hdr = world_reply_header(WIRE_FENCE, 0, 0);
	struct world *w = *state;
	struct fake_receipt r;

	peer_connect(w->peer);
	fake_receive_begin(world_open_conn(w), &hdr, world_zeros, &r);
	fake_receive_end(&r, NULL);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	fake_env_run(&w->env, 0);
	assert_int_equal(w->last_err, -EPROTO);
}

static void the_back_off_doubles_to_a_minute(void **state)
{
	static const unsigned int delays[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct world *w = *state;
	size_t i;

	peer_connect(w->peer);
	for (i = 0; i < ARRAY_SIZE(delays); i++) {
		assert_int_equal(w->env.connects, i + 1);
		fake_break(fake_conn(&w->env), -ECONNREFUSED);
		assert_int_equal(peer_state(w->peer), PEER_DOWN);
		assert_false(peer_usable(w->peer));
		fake_env_run(&w->env, delays[i] * SEC - 1);
		assert_int_equal(w->env.connects, i + 1);
		fake_env_run(&w->env, 1);
		assert_int_equal(peer_state(w->peer), PEER_CONNECTING);
		assert_false(peer_usable(w->peer));
	}
	assert_int_equal(w->downs, ARRAY_SIZE(delays));
}

static void only_an_answered_call_ends_a_row_of_failures(void **state)
{
	struct world *w = *state;
	struct test_call call;
	struct env_conn *conn;

	fake_break(world_bring_up(w), 0);		/* 1 s */
	fake_env_run(&w->env, SEC);
	fake_break(world_bring_up(w), 0);		/* 2 s: HELLO did not count */
	fake_env_run(&w->env, 2 * SEC - 1);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	fake_env_run(&w->env, 1);
	conn = world_bring_up(w);
	assert_true(peer_usable(w->peer));
	world_submit_read(w, &call);
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), NULL, 0);
	fake_break(conn, 0);			/* 1 s again */
	fake_env_run(&w->env, SEC);
	assert_int_equal(peer_state(w->peer), PEER_CONNECTING);
}

static void calls_during_a_back_off_fail_at_once(void **state)
{
	struct world *w = *state;
	struct test_call call;

	peer_connect(w->peer);
	fake_break(fake_conn(&w->env), -EHOSTUNREACH);
	world_submit_read(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -EHOSTUNREACH);
	assert_int_equal(w->env.connects, 1);
	/* Who knows better may say so. */
	peer_connect(w->peer);
	assert_int_equal(w->env.connects, 2);
	world_bring_up(w);
}

static void connecting_takes_only_so_long(void **state)
{
	struct world *w = *state;
	struct test_call call;

	world_submit_read(w, &call);
	world_open_conn(w);
	fake_env_run(&w->env, 3 * SEC - 1);
	assert_int_equal(call.done, 0);
	fake_env_run(&w->env, 1);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
}

static void a_late_answer_is_thrown_away(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call late, next;
	uint64_t request;

	submit_read_into_room(w, &late, BLOCK_SIZE, 100 * MSEC);
	request = world_take_request(conn, WIRE_READ);
	fake_env_run(&w->env, 100 * MSEC);
	assert_int_equal(late.done, 1);
	assert_int_equal(late.call.err, -ETIMEDOUT);
	free(late.room.iov_base);
	world_submit_read(w, &next);
	world_reply(conn, WIRE_READ, request, world_zeros, BLOCK_SIZE);
	assert_int_equal(late.done, 1);
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), NULL, 0);
	assert_int_equal(next.done, 1);
	assert_int_equal(w->env.connects, 1);
}

static void no_progress_ends_the_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call a, b;
	uint64_t ra;

	/* A long silence without calls is no lack of progress. */
	world_submit_read(w, &a);
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), NULL, 0);
	fake_env_run(&w->env, 10 * SEC);
	world_submit_read(w, &a);
	world_submit_read(w, &b);
	ra = world_take_request(conn, WIRE_READ);
	world_take_request(conn, WIRE_READ);
	fake_env_run(&w->env, 900 * MSEC);
	world_reply(conn, WIRE_READ, ra, NULL, 0);
	assert_int_equal(a.done, 1);
	fake_env_run(&w->env, SEC - 1);
	assert_int_equal(b.done, 0);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	fake_env_run(&w->env, 1);
	assert_int_equal(b.done, 1);
	assert_int_equal(b.call.err, -ETIMEDOUT);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	assert_int_equal(w->last_err, -ETIMEDOUT);
}

static void submit_fence(struct world *w, struct test_call *t,
			 uint64_t timeout_ns)
{
	memset(t, 0, sizeof(*t));
	t->call.type = WIRE_FENCE;
	t->call.timeout_ns = timeout_ns;
	world_submit(w, t);
}

/* A store says nothing while its disk syncs; its loop answers pings. */
static void a_busy_disk_is_not_a_dead_peer(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;
	uint64_t request;

	submit_fence(w, &call, 30 * SEC);
	request = world_take_request(conn, WIRE_FENCE);
	for (int i = 0; i < 20; i++) {
		fake_env_run(&w->env, 500 * MSEC);
		world_reply(conn, WIRE_PING,
			    world_take_request(conn, WIRE_PING), NULL, 0);
	}
	assert_int_equal(call.done, 0);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	world_reply(conn, WIRE_FENCE, request, NULL, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, 0);
	/* Nothing is outstanding: nothing more is sent. */
	fake_env_run(&w->env, 10 * SEC);
	fake_send_all(conn);
	assert_null(fake_take(conn));
	assert_int_equal(w->env.connects, 1);
}

static void an_unanswered_ping_ends_the_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;

	submit_fence(w, &call, 30 * SEC);
	world_take_request(conn, WIRE_FENCE);
	fake_env_run(&w->env, 500 * MSEC);
	world_take_request(conn, WIRE_PING);
	fake_env_run(&w->env, SEC - 1);
	assert_int_equal(call.done, 0);
	fake_env_run(&w->env, 1);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
}

/* What a store must answer at once has no use of pings. */
static void pings_do_not_excuse_a_read(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call fence, read;

	submit_fence(w, &fence, 30 * SEC);
	world_take_request(conn, WIRE_FENCE);
	fake_env_run(&w->env, 500 * MSEC);
	world_submit_read(w, &read);
	world_reply(conn, WIRE_PING, world_take_request(conn, WIRE_PING), NULL,
		    0);
	fake_env_run(&w->env, SEC - 1);
	assert_int_equal(read.done, 0);
	fake_env_run(&w->env, 1);
	assert_int_equal(read.done, 1);
	assert_int_equal(fence.done, 1);
	assert_int_equal(read.call.err, -ETIMEDOUT);
}

/* The disk's own limit; the connection stays. */
static void a_call_without_end_ends_at_its_timeout(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;

	submit_fence(w, &call, 1700 * MSEC);
	world_take_request(conn, WIRE_FENCE);
	for (int i = 0; i < 3; i++) {
		fake_env_run(&w->env, 500 * MSEC);
		world_reply(conn, WIRE_PING,
			    world_take_request(conn, WIRE_PING), NULL, 0);
	}
	fake_env_run(&w->env, 200 * MSEC);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
	assert_int_equal(peer_state(w->peer), PEER_UP);
}

static void cancelled_calls_leave_no_trace(void **state)
{
	struct world *w = *state;
	struct test_call queued, flying, failed, never;
	struct env_conn *conn;
	uint64_t request;

	memset(&never, 0, sizeof(never));
	world_cancel(w, &never);
	world_submit_append(w, &queued);
	world_cancel(w, &queued);
	conn = world_bring_up(w);
	world_submit_append(w, &flying);
	request = world_take_request(conn, WIRE_APPEND);
	world_cancel(w, &flying);
	world_cancel(w, &flying);
	world_reply(conn, WIRE_APPEND, request, NULL, 0);
	world_submit_read(w, &failed);
	peer_fail(w->peer, -EIO);
	world_cancel(w, &failed);
	fake_env_run(&w->env, SEC / 2);
	assert_int_equal(queued.done + flying.done + failed.done, 0);
	assert_int_equal(w->env.connects, 1);
}

static void a_cancel_while_data_leaves_makes_a_new_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call first, doomed, last;

	world_submit_append(w, &first);
	world_take_request(conn, WIRE_APPEND);
	world_submit_append(w, &doomed);
	world_submit_append(w, &last);
	world_cancel(w, &doomed);		/* frees its data */
	assert_int_equal(w->env.connects, 2);
	conn = world_bring_up(w);
	/* The others are sent again, in order. */
	assert_int_equal(world_take_request(conn, WIRE_APPEND), first.call.request);
	assert_int_equal(world_take_request(conn, WIRE_APPEND), last.call.request);
	world_reply(conn, WIRE_APPEND, first.call.request, NULL, 0);
	world_reply(conn, WIRE_APPEND, last.call.request, NULL, 0);
	assert_int_equal(first.call.err | last.call.err, 0);
	assert_int_equal(first.done + last.done, 2);
	assert_int_equal(doomed.done, 0);
	assert_int_equal(w->downs, 0);
	world_cancel(w, &first);
	world_cancel(w, &last);
}

static void reconnecting_does_not_renew_patience(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call stuck, other;

	world_submit_append(w, &other);
	world_take_request(conn, WIRE_APPEND);
	fake_env_run(&w->env, 600 * MSEC);
	world_submit_append(w, &stuck);
	world_cancel(w, &stuck);
	world_bring_up(w);
	fake_env_run(&w->env, 400 * MSEC);
	assert_int_equal(other.done, 1);
	assert_int_equal(other.call.err, -ETIMEDOUT);
	world_cancel(w, &other);
}

static void a_timeout_while_data_arrives_makes_a_new_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct wire_header hdr;
	struct fake_receipt r;
	struct test_call call;

	submit_read_into_room(w, &call, BLOCK_SIZE, 500 * MSEC);
	hdr = world_reply_header(WIRE_READ, world_take_request(conn, WIRE_READ),
				 BLOCK_SIZE);
	fake_receive_begin(conn, &hdr, world_zeros, &r);
	assert_ptr_equal(r.room[0].iov_base, call.room.iov_base);
	fake_env_run(&w->env, 500 * MSEC);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
	assert_int_equal(w->env.connects, 2);
	free(call.room.iov_base);
}

static void an_answer_waits_for_its_request_to_have_left(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;

	world_submit_append(w, &call);
	world_reply(conn, WIRE_APPEND, call.call.request, NULL, 0);
	assert_int_equal(call.done, 0);
	fake_send_all(conn);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, 0);
	fake_frame_free(fake_take(conn));
	world_cancel(w, &call);
}

static void expect_killed(struct wire_header hdr, uint32_t room)
{
	struct test_call call;
	struct env_conn *conn;
	struct fake_receipt r;
	struct world *w;
	void *state;

	world_setup(&state);
	w = state;
	conn = world_bring_up(w);
	submit_read_into_room(w, &call, room, 0);
	assert_int_equal(world_take_request(conn, WIRE_READ), 1);
	fake_receive_begin(conn, &hdr, world_zeros, &r);
	fake_receive_end(&r, world_zeros);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -EPROTO);
	free(call.room.iov_base);
	world_teardown(&state);
}

static void answers_that_lie_end_the_connection(void **state)
{
	/* More data than was asked for. */
	expect_killed(world_reply_header(WIRE_READ, 1, 2 * BLOCK_SIZE), BLOCK_SIZE);
	/* A request that was never made. */
	expect_killed(world_reply_header(WIRE_READ, 2, 0), BLOCK_SIZE);
	expect_killed(world_reply_header(WIRE_READ, 0, 0), BLOCK_SIZE);
	/* Another type. */
	expect_killed(world_reply_header(WIRE_FENCE, 1, 0), BLOCK_SIZE);
	/* No answer at all. */
	expect_killed((struct wire_header) {
		.type = WIRE_FENCE, .request = 1,
		.body_len = sizeof(struct wire_fence) }, BLOCK_SIZE);
}

static void a_lost_connection_fails_its_calls_from_the_loop(void **state)
{
	struct world *w = *state;
	struct test_call a, b;
	struct env_conn *conn = world_bring_up(w);

	world_submit_append(w, &a);
	world_take_request(conn, WIRE_APPEND);
	world_submit_append(w, &b);
	fake_break(conn, 0);
	fake_env_run(&w->env, 0);
	assert_int_equal(a.done + b.done, 2);
	assert_int_equal(a.call.err, -ECONNRESET);
	assert_int_equal(b.call.err, -ECONNRESET);
	assert_true(a.order < b.order);
	assert_int_equal(w->downs, 1);
	world_cancel(w, &a);
	world_cancel(w, &b);

	fake_env_run(&w->env, SEC);
	world_bring_up(w);
	world_submit_read(w, &a);
	w->in_call = true;
	peer_fail(w->peer, -EIO);
	w->in_call = false;
	assert_int_equal(a.done, 0);
	fake_env_run(&w->env, 0);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.call.err, -EIO);
	assert_false(peer_usable(w->peer));
}

static void a_new_incarnation_is_reported(void **state)
{
	struct wire_hello hello = world_hello(2);
	struct world *w = *state;

	fake_break(world_bring_up(w), 0);
	fake_env_run(&w->env, SEC);
	world_answer_hello(world_open_conn(w), &hello, WIRE_OK);
	assert_int_equal(w->ups, 2);
	assert_true(uuid_equal(peer_incarnation(w->peer), &hello.incarnation));
}

static void out_of_memory_fails_the_call(void **state)
{
	struct world *w = *state;
	struct test_call call;

	w->env.no_memory = true;
	world_submit_read(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ENOMEM);
	w->env.no_memory = false;
	fake_env_run(&w->env, SEC);
	world_bring_up(w);
	w->env.no_memory = true;
	world_submit_append(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.call.err, -ENOMEM);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	world_cancel(w, &call);
}

static void a_new_address_is_used_at_once(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;

	world_submit_read(w, &call);
	world_take_request(conn, WIRE_READ);
	assert_ptr_equal(peer_set_update(w->set, &world_peer, "a:1"), w->peer);
	assert_int_equal(w->env.connects, 1);
	assert_ptr_equal(peer_set_update(w->set, &world_peer, "b:2"), w->peer);
	assert_string_equal(peer_address(w->peer), "b:2");
	conn = world_bring_up(w);
	assert_string_equal(conn->address, "b:2");
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), NULL, 0);
	assert_int_equal(call.done, 1);
	/* Also during a back-off. */
	fake_break(conn, 0);
	peer_set_update(w->set, &world_peer, "c:3");
	assert_string_equal(fake_conn(&w->env)->address, "c:3");
}

static void disconnected_peers_stay_so_until_called(void **state)
{
	struct world *w = *state;
	struct test_call call;

	world_bring_up(w);
	world_submit_read(w, &call);
	peer_disconnect(w->peer);
	fake_env_run(&w->env, 1000 * SEC);
	assert_int_equal(call.call.err, -ECANCELED);
	assert_int_equal(w->env.connects, 1);
	assert_true(peer_usable(w->peer));
	world_submit_read(w, &call);
	assert_int_equal(w->env.connects, 2);
	world_cancel(w, &call);
}

static void the_set_may_be_freed_from_done(void **state)
{
	struct world *w = *state;
	struct test_call call;
	struct env_conn *conn = world_bring_up(w);

	world_submit_append(w, &call);
	call.free_set = true;
	world_reply(conn, WIRE_APPEND, world_take_request(conn, WIRE_APPEND), NULL, 0);
	assert_null(w->set);
	fake_env_run(&w->env, SEC);
	free(call.data.iov_base);
}

static void the_set_may_be_freed_from_a_failed_call(void **state)
{
	struct world *w = *state;
	struct test_call call;

	world_submit_read(w, &call);
	call.free_set = true;
	fake_break(fake_conn(&w->env), -ECONNREFUSED);
	fake_env_run(&w->env, SEC);
	assert_int_equal(call.done, 1);
	assert_null(w->set);
}

static void sent_may_come_after_the_set_is_gone(void **state)
{
	struct world *w = *state;
	struct test_call call;

	world_bring_up(w);
	world_submit_append(w, &call);
	world_cancel(w, &call);
	peer_set_free(w->set);
	w->set = NULL;
	fake_env_run(&w->env, SEC);
}

static void idle_sets_set_no_timer(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = world_bring_up(w);
	struct test_call call;

	world_submit_read(w, &call);
	world_reply(conn, WIRE_READ, world_take_request(conn, WIRE_READ), NULL, 0);
	fake_env_run(&w->env, SEC);
	assert_null(timer_heap_first(&w->env.timers));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_wait_for_hello_and_keep_their_order),
		TEST(bodies_are_copied_when_the_call_is_made),
		TEST(replies_land_where_the_call_said),
		cmocka_unit_test(a_wrong_hello_is_refused),
		TEST(a_first_frame_that_is_no_hello_is_refused),
		TEST(the_back_off_doubles_to_a_minute),
		TEST(only_an_answered_call_ends_a_row_of_failures),
		TEST(calls_during_a_back_off_fail_at_once),
		TEST(connecting_takes_only_so_long),
		TEST(a_late_answer_is_thrown_away),
		TEST(no_progress_ends_the_connection),
		TEST(a_busy_disk_is_not_a_dead_peer),
		TEST(an_unanswered_ping_ends_the_connection),
		TEST(pings_do_not_excuse_a_read),
		TEST(a_call_without_end_ends_at_its_timeout),
		TEST(cancelled_calls_leave_no_trace),
		TEST(a_cancel_while_data_leaves_makes_a_new_connection),
		TEST(reconnecting_does_not_renew_patience),
		TEST(a_timeout_while_data_arrives_makes_a_new_connection),
		TEST(an_answer_waits_for_its_request_to_have_left),
		cmocka_unit_test(answers_that_lie_end_the_connection),
		TEST(a_lost_connection_fails_its_calls_from_the_loop),
		TEST(a_new_incarnation_is_reported),
		TEST(out_of_memory_fails_the_call),
		TEST(a_new_address_is_used_at_once),
		TEST(disconnected_peers_stay_so_until_called),
		TEST(the_set_may_be_freed_from_done),
		TEST(the_set_may_be_freed_from_a_failed_call),
		TEST(sent_may_come_after_the_set_is_gone),
		TEST(idle_sets_set_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
