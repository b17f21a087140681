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
#include "base/log.h"
#include "fake_env.h"
#include "peer/peer.h"

#define MSEC NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

static const struct uuid cluster_id = { { 0xc1 } };
static const struct uuid peer_uuid = { { 0x01, 0x02 } };
static const struct uuid other_uuid = { { 0x77 } };

struct world {
	struct fake_env env;
	struct peer_set *set;
	struct peer *peer;
	int ups, downs, last_err;
	bool in_call;			/* done() must not be called now */
};

static void on_changed(void *ctx, struct peer *peer, int err)
{
	struct world *w = ctx;

	assert_false(w->in_call);
	assert_ptr_equal(peer, w->peer);
	w->last_err = err;
	if (err == 0)
		w->ups++;
	else
		w->downs++;
}

static const struct peer_set_ops set_ops = { .changed = on_changed };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct peer_set_config cfg = {
		.cluster = cluster_id,
		.role = WIRE_ROLE_VOLUME,
		.ops = &set_ops,
		.ctx = w,
	};

	log_set_sink(NULL);
	fake_env_init(&w->env);
	w->set = peer_set_new(&w->env.env, &cfg);
	w->peer = peer_set_update(w->set, &peer_uuid, "a:1");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	peer_set_free(w->set);
	fake_env_release(&w->env);
	free(w);
	return 0;
}

/* ---- calls -------------------------------------------------------------- */

struct test_call {
	struct peer_call call;
	struct world *world;
	union {
		struct wire_read read;
		struct wire_append append;
		struct wire_fence fence;
	} body;
	struct iovec data, room;
	int done, order;
	uint8_t got[64];
	uint32_t got_len;
	bool free_set;
};

static int done_order;

static void on_done(struct peer_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	assert_false(t->world->in_call);
	t->done++;
	t->order = ++done_order;
	if (call->scratch != NULL) {
		t->got_len = call->reply_len;
		memcpy(t->got, call->scratch[0].iov_base,
		       MIN(t->got_len, (uint32_t)sizeof(t->got)));
	}
	if (t->free_set) {
		peer_set_free(t->world->set);
		t->world->set = NULL;
	}
}

static void submit(struct world *w, struct test_call *t)
{
	t->world = w;
	t->call.body = &t->body;
	t->call.done = on_done;
	w->in_call = true;
	peer_call(w->peer, &t->call);
	w->in_call = false;
	assert_int_equal(t->done, 0);
}

static void submit_read(struct world *w, struct test_call *t)
{
	memset(t, 0, sizeof(*t));
	t->call.type = WIRE_READ;
	submit(w, t);
}

/* An append of one block, on the heap so that ASan watches it. */
static void submit_append(struct world *w, struct test_call *t)
{
	memset(t, 0, sizeof(*t));
	t->call.type = WIRE_APPEND;
	t->data.iov_base = calloc(1, BLOCK_SIZE);
	t->data.iov_len = BLOCK_SIZE;
	t->call.data = &t->data;
	t->call.data_count = 1;
	t->call.data_len = BLOCK_SIZE;
	submit(w, t);
}

static void cancel(struct world *w, struct test_call *t)
{
	w->in_call = true;
	peer_call_cancel(&t->call);
	w->in_call = false;
	free(t->data.iov_base);
	free(t->room.iov_base);
	memset(&t->data, 0, sizeof(t->data));
	memset(&t->room, 0, sizeof(t->room));
}

/* ---- the other side ------------------------------------------------------ */

static void expect_hello(struct env_conn *conn)
{
	struct wire_hello hello;
	struct fake_frame *frame;

	fake_send_all(conn);
	frame = fake_take(conn);
	assert_non_null(frame);
	assert_int_equal(frame->hdr.type, WIRE_HELLO);
	assert_int_equal(frame->hdr.body_len, sizeof(hello));
	memcpy(&hello, frame->body, sizeof(hello));
	assert_true(uuid_equal(&hello.cluster, &cluster_id));
	assert_true(uuid_equal(&hello.to, &peer_uuid));
	assert_true(uuid_is_null(&hello.from));
	assert_int_equal(le32_to_cpu(hello.role), WIRE_ROLE_VOLUME);
	assert_int_equal(le16_to_cpu(hello.version_max), WIRE_VERSION);
	fake_frame_free(frame);
	/* Nothing else leaves before the answer. */
	assert_null(fake_take(conn));
}

static struct wire_hello good_hello(uint8_t incarnation)
{
	return (struct wire_hello) {
		.version_min = cpu_to_le16(1),
		.version_max = cpu_to_le16(WIRE_VERSION + 5),
		.role = cpu_to_le32(WIRE_ROLE_PEER),
		.cluster = cluster_id,
		.from = peer_uuid,
		.incarnation = { { incarnation } },
	};
}

static void answer_hello(struct env_conn *conn, const struct wire_hello *hello,
			 uint32_t status)
{
	struct wire_header hdr = {
		.type = WIRE_HELLO,
		.flags = WIRE_REPLY,
		.status = status,
		.body_len = sizeof(*hello),
	};
	struct fake_receipt r;

	fake_receive_begin(conn, &hdr, hello, &r);
	fake_receive_end(&r, NULL);
}

static struct env_conn *open_conn(struct world *w)
{
	struct env_conn *conn = fake_conn(&w->env);

	assert_non_null(conn);
	conn->ops->opened(conn->ctx, conn);
	expect_hello(conn);
	return conn;
}

static struct env_conn *bring_up(struct world *w)
{
	struct wire_hello hello = good_hello(1);
	struct env_conn *conn;

	if (peer_state(w->peer) == PEER_DOWN)
		peer_connect(w->peer);
	conn = open_conn(w);
	answer_hello(conn, &hello, WIRE_OK);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	return conn;
}

static uint64_t take_request(struct env_conn *conn, enum wire_type type)
{
	struct fake_frame *frame;
	uint64_t request;

	fake_send_all(conn);
	frame = fake_take(conn);
	assert_non_null(frame);
	assert_int_equal(frame->hdr.type, type);
	request = frame->hdr.request;
	fake_frame_free(frame);
	return request;
}

static struct wire_header reply_header(enum wire_type type, uint64_t request,
				       uint32_t data_len)
{
	return (struct wire_header) {
		.type = (uint16_t)type,
		.request = request,
		.flags = WIRE_REPLY,
		.body_len = (uint32_t)wire_body_size(type, true),
		.data_len = data_len,
	};
}

static const uint8_t zeros[65536];

static void reply(struct env_conn *conn, enum wire_type type, uint64_t request,
		  const void *data, uint32_t data_len)
{
	struct wire_header hdr = reply_header(type, request, data_len);
	struct fake_receipt r;

	fake_receive_begin(conn, &hdr, zeros, &r);
	fake_receive_end(&r, data);
}

/* ---- tests -------------------------------------------------------------- */

static void calls_wait_for_hello_and_keep_their_order(void **state)
{
	struct wire_hello hello = good_hello(1);
	struct world *w = *state;
	struct test_call a, b, c;
	struct env_conn *conn;
	uint64_t ra, rb, rc;

	assert_true(peer_usable(w->peer));
	submit_read(w, &a);
	submit_append(w, &b);
	assert_int_equal(peer_state(w->peer), PEER_CONNECTING);
	conn = open_conn(w);
	answer_hello(conn, &hello, WIRE_OK);
	assert_int_equal(w->ups, 1);
	assert_true(uuid_equal(peer_incarnation(w->peer), &hello.incarnation));
	submit_read(w, &c);
	ra = take_request(conn, WIRE_READ);
	rb = take_request(conn, WIRE_APPEND);
	rc = take_request(conn, WIRE_READ);
	assert_true(ra != rb && rb != rc && ra != rc);
	/* Answers come in any order. */
	reply(conn, WIRE_READ, rc, NULL, 0);
	reply(conn, WIRE_APPEND, rb, NULL, 0);
	reply(conn, WIRE_READ, ra, NULL, 0);
	assert_int_equal(a.done + b.done + c.done, 3);
	assert_true(c.order < b.order && b.order < a.order);
	assert_int_equal(a.call.err | b.call.err | c.call.err, 0);
	assert_int_equal(peer_stats(w->peer)->calls, 3);
	assert_int_equal(peer_stats(w->peer)->bytes_sent, BLOCK_SIZE);
	cancel(w, &b);
}

static void replies_land_where_the_call_said(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call room, scratch;
	uint8_t blocks[2 * BLOCK_SIZE];

	memset(blocks, 0x5a, sizeof(blocks));
	memset(&room, 0, sizeof(room));
	room.room.iov_base = malloc(3 * BLOCK_SIZE);
	room.room.iov_len = 3 * BLOCK_SIZE;
	room.call.reply_data = &room.room;
	room.call.reply_data_count = 1;
	room.call.type = WIRE_READ;
	submit(w, &room);
	submit_read(w, &scratch);
	/* A shorter answer is fine: the caller sees its length. */
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), blocks,
	      sizeof(blocks));
	assert_int_equal(room.done, 1);
	assert_int_equal(room.call.reply_len, sizeof(blocks));
	assert_null(room.call.scratch);
	assert_memory_equal(room.room.iov_base, blocks, sizeof(blocks));
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), blocks,
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

	setup(&state);
	w = state;
	submit_read(w, &call);
	conn = open_conn(w);
	answer_hello(conn, hello, status);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	assert_null(fake_conn(&w->env));
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, err);
	assert_int_equal(w->downs, 1);
	assert_int_equal(w->last_err, err);
	assert_false(peer_usable(w->peer));
	teardown(&state);
}

static void a_wrong_hello_is_refused(void **state)
{
	struct wire_hello hello = good_hello(1);

	hello.cluster = other_uuid;
	expect_refused(&hello, WIRE_OK, -EPERM);
	hello = good_hello(1);
	hello.from = other_uuid;
	expect_refused(&hello, WIRE_OK, -EADDRNOTAVAIL);
	hello = good_hello(1);
	hello.version_min = cpu_to_le16(WIRE_VERSION + 1);
	expect_refused(&hello, WIRE_OK, -EPROTONOSUPPORT);
	hello = good_hello(1);
	hello.features = cpu_to_le64(1);
	expect_refused(&hello, WIRE_OK, -EPROTO);
	hello = good_hello(1);
	expect_refused(&hello, WIRE_ECLUSTER, -EPERM);
	expect_refused(&hello, WIRE_EVERSION, -EPROTONOSUPPORT);
}

static void a_first_frame_that_is_no_hello_is_refused(void **state)
{
	struct wire_header hdr = reply_header(WIRE_FENCE, 0, 0);
	struct world *w = *state;
	struct fake_receipt r;

	peer_connect(w->peer);
	fake_receive_begin(open_conn(w), &hdr, zeros, &r);
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

	fake_break(bring_up(w), 0);		/* 1 s */
	fake_env_run(&w->env, SEC);
	fake_break(bring_up(w), 0);		/* 2 s: HELLO did not count */
	fake_env_run(&w->env, 2 * SEC - 1);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	fake_env_run(&w->env, 1);
	conn = bring_up(w);
	assert_true(peer_usable(w->peer));
	submit_read(w, &call);
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), NULL, 0);
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
	submit_read(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -EHOSTUNREACH);
	assert_int_equal(w->env.connects, 1);
	/* Who knows better may say so. */
	peer_connect(w->peer);
	assert_int_equal(w->env.connects, 2);
	bring_up(w);
}

static void connecting_takes_only_so_long(void **state)
{
	struct world *w = *state;
	struct test_call call;

	submit_read(w, &call);
	open_conn(w);
	fake_env_run(&w->env, 3 * SEC - 1);
	assert_int_equal(call.done, 0);
	fake_env_run(&w->env, 1);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
}

static void a_late_answer_is_thrown_away(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call late, next;
	uint64_t request;

	memset(&late, 0, sizeof(late));
	late.room.iov_base = malloc(BLOCK_SIZE);
	late.room.iov_len = BLOCK_SIZE;
	late.call.reply_data = &late.room;
	late.call.reply_data_count = 1;
	late.call.type = WIRE_READ;
	late.call.timeout_ns = 100 * MSEC;
	submit(w, &late);
	request = take_request(conn, WIRE_READ);
	fake_env_run(&w->env, 100 * MSEC);
	assert_int_equal(late.done, 1);
	assert_int_equal(late.call.err, -ETIMEDOUT);
	free(late.room.iov_base);
	submit_read(w, &next);
	reply(conn, WIRE_READ, request, zeros, BLOCK_SIZE);
	assert_int_equal(late.done, 1);
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), NULL, 0);
	assert_int_equal(next.done, 1);
	assert_int_equal(w->env.connects, 1);
}

static void no_progress_ends_the_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call a, b;
	uint64_t ra;

	/* A long silence without calls is no lack of progress. */
	submit_read(w, &a);
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), NULL, 0);
	fake_env_run(&w->env, 10 * SEC);
	submit_read(w, &a);
	submit_read(w, &b);
	ra = take_request(conn, WIRE_READ);
	take_request(conn, WIRE_READ);
	fake_env_run(&w->env, 900 * MSEC);
	reply(conn, WIRE_READ, ra, NULL, 0);
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

static void cancelled_calls_leave_no_trace(void **state)
{
	struct world *w = *state;
	struct test_call queued, flying, failed, never;
	struct env_conn *conn;
	uint64_t request;

	memset(&never, 0, sizeof(never));
	cancel(w, &never);
	submit_append(w, &queued);
	cancel(w, &queued);
	conn = bring_up(w);
	submit_append(w, &flying);
	request = take_request(conn, WIRE_APPEND);
	cancel(w, &flying);
	cancel(w, &flying);
	reply(conn, WIRE_APPEND, request, NULL, 0);
	submit_read(w, &failed);
	peer_fail(w->peer, -EIO);
	cancel(w, &failed);
	fake_env_run(&w->env, SEC / 2);
	assert_int_equal(queued.done + flying.done + failed.done, 0);
	assert_int_equal(w->env.connects, 1);
}

static void a_cancel_while_data_leaves_makes_a_new_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call first, doomed, last;

	submit_append(w, &first);
	take_request(conn, WIRE_APPEND);
	submit_append(w, &doomed);
	submit_append(w, &last);
	cancel(w, &doomed);		/* frees its data */
	assert_int_equal(w->env.connects, 2);
	conn = bring_up(w);
	/* The others are sent again, in order. */
	assert_int_equal(take_request(conn, WIRE_APPEND), first.call.request);
	assert_int_equal(take_request(conn, WIRE_APPEND), last.call.request);
	reply(conn, WIRE_APPEND, first.call.request, NULL, 0);
	reply(conn, WIRE_APPEND, last.call.request, NULL, 0);
	assert_int_equal(first.call.err | last.call.err, 0);
	assert_int_equal(first.done + last.done, 2);
	assert_int_equal(doomed.done, 0);
	assert_int_equal(w->downs, 0);
	cancel(w, &first);
	cancel(w, &last);
}

static void reconnecting_does_not_renew_patience(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call stuck, other;

	submit_append(w, &other);
	take_request(conn, WIRE_APPEND);
	fake_env_run(&w->env, 600 * MSEC);
	submit_append(w, &stuck);
	cancel(w, &stuck);
	bring_up(w);
	fake_env_run(&w->env, 400 * MSEC);
	assert_int_equal(other.done, 1);
	assert_int_equal(other.call.err, -ETIMEDOUT);
	cancel(w, &other);
}

static void a_timeout_while_data_arrives_makes_a_new_connection(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct wire_header hdr;
	struct fake_receipt r;
	struct test_call call;

	memset(&call, 0, sizeof(call));
	call.room.iov_base = malloc(BLOCK_SIZE);
	call.room.iov_len = BLOCK_SIZE;
	call.call.reply_data = &call.room;
	call.call.reply_data_count = 1;
	call.call.type = WIRE_READ;
	call.call.timeout_ns = 500 * MSEC;
	submit(w, &call);
	hdr = reply_header(WIRE_READ, take_request(conn, WIRE_READ),
			   BLOCK_SIZE);
	fake_receive_begin(conn, &hdr, zeros, &r);
	assert_ptr_equal(r.room[0].iov_base, call.room.iov_base);
	fake_env_run(&w->env, 500 * MSEC);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ETIMEDOUT);
	assert_int_equal(w->env.connects, 2);
	assert_ptr_not_equal(fake_conn(&w->env), conn);
	free(call.room.iov_base);
}

static void an_answer_waits_for_its_request_to_have_left(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call call;

	submit_append(w, &call);
	reply(conn, WIRE_APPEND, call.call.request, NULL, 0);
	assert_int_equal(call.done, 0);
	fake_send_all(conn);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, 0);
	fake_frame_free(fake_take(conn));
	cancel(w, &call);
}

static void expect_killed(struct wire_header hdr, uint32_t room)
{
	struct test_call call;
	struct env_conn *conn;
	struct fake_receipt r;
	struct world *w;
	void *state;

	setup(&state);
	w = state;
	conn = bring_up(w);
	memset(&call, 0, sizeof(call));
	call.room.iov_base = malloc(room);
	call.room.iov_len = room;
	call.call.reply_data = &call.room;
	call.call.reply_data_count = 1;
	call.call.type = WIRE_READ;
	submit(w, &call);
	assert_int_equal(take_request(conn, WIRE_READ), 1);
	fake_receive_begin(conn, &hdr, zeros, &r);
	fake_receive_end(&r, zeros);
	assert_int_equal(peer_state(w->peer), PEER_DOWN);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -EPROTO);
	free(call.room.iov_base);
	teardown(&state);
}

static void answers_that_lie_end_the_connection(void **state)
{
	/* More data than was asked for. */
	expect_killed(reply_header(WIRE_READ, 1, 2 * BLOCK_SIZE), BLOCK_SIZE);
	/* A request that was never made. */
	expect_killed(reply_header(WIRE_READ, 2, 0), BLOCK_SIZE);
	expect_killed(reply_header(WIRE_READ, 0, 0), BLOCK_SIZE);
	/* Another type. */
	expect_killed(reply_header(WIRE_FENCE, 1, 0), BLOCK_SIZE);
	/* No answer at all. */
	expect_killed((struct wire_header) {
		.type = WIRE_FENCE, .request = 1,
		.body_len = sizeof(struct wire_fence) }, BLOCK_SIZE);
}

static void a_lost_connection_fails_its_calls_from_the_loop(void **state)
{
	struct world *w = *state;
	struct test_call a, b;
	struct env_conn *conn = bring_up(w);

	submit_append(w, &a);
	take_request(conn, WIRE_APPEND);
	submit_append(w, &b);
	fake_break(conn, 0);
	fake_env_run(&w->env, 0);
	assert_int_equal(a.done + b.done, 2);
	assert_int_equal(a.call.err, -ECONNRESET);
	assert_int_equal(b.call.err, -ECONNRESET);
	assert_true(a.order < b.order);
	assert_int_equal(w->downs, 1);
	cancel(w, &a);
	cancel(w, &b);

	fake_env_run(&w->env, SEC);
	bring_up(w);
	submit_read(w, &a);
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
	struct wire_hello hello = good_hello(2);
	struct world *w = *state;

	fake_break(bring_up(w), 0);
	fake_env_run(&w->env, SEC);
	answer_hello(open_conn(w), &hello, WIRE_OK);
	assert_int_equal(w->ups, 2);
	assert_true(uuid_equal(peer_incarnation(w->peer), &hello.incarnation));
}

static void out_of_memory_fails_the_call(void **state)
{
	struct world *w = *state;
	struct test_call call;

	w->env.no_memory = true;
	submit_read(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.done, 1);
	assert_int_equal(call.call.err, -ENOMEM);
	w->env.no_memory = false;
	fake_env_run(&w->env, SEC);
	bring_up(w);
	w->env.no_memory = true;
	submit_append(w, &call);
	fake_env_run(&w->env, 0);
	assert_int_equal(call.call.err, -ENOMEM);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	cancel(w, &call);
}

static void a_new_address_is_used_at_once(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call call;

	submit_read(w, &call);
	take_request(conn, WIRE_READ);
	assert_ptr_equal(peer_set_update(w->set, &peer_uuid, "a:1"), w->peer);
	assert_int_equal(w->env.connects, 1);
	assert_ptr_equal(peer_set_update(w->set, &peer_uuid, "b:2"), w->peer);
	assert_string_equal(peer_address(w->peer), "b:2");
	conn = bring_up(w);
	assert_string_equal(conn->address, "b:2");
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), NULL, 0);
	assert_int_equal(call.done, 1);
	/* Also during a back-off. */
	fake_break(conn, 0);
	peer_set_update(w->set, &peer_uuid, "c:3");
	assert_string_equal(fake_conn(&w->env)->address, "c:3");
}

static void disconnected_peers_stay_so_until_called(void **state)
{
	struct world *w = *state;
	struct test_call call;

	bring_up(w);
	submit_read(w, &call);
	peer_disconnect(w->peer);
	fake_env_run(&w->env, 1000 * SEC);
	assert_int_equal(call.call.err, -ECANCELED);
	assert_int_equal(w->env.connects, 1);
	assert_true(peer_usable(w->peer));
	submit_read(w, &call);
	assert_int_equal(w->env.connects, 2);
	cancel(w, &call);
}

static void the_set_may_be_freed_from_done(void **state)
{
	struct world *w = *state;
	struct test_call call;
	struct env_conn *conn = bring_up(w);

	submit_append(w, &call);
	call.free_set = true;
	reply(conn, WIRE_APPEND, take_request(conn, WIRE_APPEND), NULL, 0);
	assert_null(w->set);
	fake_env_run(&w->env, SEC);
	free(call.data.iov_base);
}

static void the_set_may_be_freed_from_a_failed_call(void **state)
{
	struct world *w = *state;
	struct test_call call;

	submit_read(w, &call);
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

	bring_up(w);
	submit_append(w, &call);
	cancel(w, &call);
	peer_set_free(w->set);
	w->set = NULL;
	fake_env_run(&w->env, SEC);
}

static void idle_sets_set_no_timer(void **state)
{
	struct world *w = *state;
	struct env_conn *conn = bring_up(w);
	struct test_call call;

	submit_read(w, &call);
	reply(conn, WIRE_READ, take_request(conn, WIRE_READ), NULL, 0);
	fake_env_run(&w->env, SEC);
	assert_null(timer_heap_first(&w->env.timers));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_wait_for_hello_and_keep_their_order),
		TEST(replies_land_where_the_call_said),
		cmocka_unit_test(a_wrong_hello_is_refused),
		TEST(a_first_frame_that_is_no_hello_is_refused),
		TEST(the_back_off_doubles_to_a_minute),
		TEST(only_an_answered_call_ends_a_row_of_failures),
		TEST(calls_during_a_back_off_fail_at_once),
		TEST(connecting_takes_only_so_long),
		TEST(a_late_answer_is_thrown_away),
		TEST(no_progress_ends_the_connection),
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
