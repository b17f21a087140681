// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "peer_world.h"

const struct uuid world_cluster = { { 0xc1 } };
const struct uuid world_peer = { { 0x01, 0x02 } };


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

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct peer_set_config cfg = {
		.cluster = world_cluster,
		.role = WIRE_ROLE_VOLUME,
		.ops = &set_ops,
		.ctx = w,
	};

	log_set_sink(NULL);
	fake_env_init(&w->env);
	w->set = peer_set_new(&w->env.env, &cfg);
	w->peer = peer_set_update(w->set, &world_peer, "a:1");
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	peer_set_free(w->set);
	fake_env_release(&w->env);
	free(w);
	return 0;
}

/* ---- calls -------------------------------------------------------------- */

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

void world_submit(struct world *w, struct test_call *t)
{
	t->world = w;
	t->call.body = &t->body;
	t->call.done = on_done;
	w->in_call = true;
	peer_call(w->peer, &t->call);
	w->in_call = false;
	assert_int_equal(t->done, 0);
}

void world_submit_read(struct world *w, struct test_call *t)
{
	memset(t, 0, sizeof(*t));
	t->call.type = WIRE_READ;
	world_submit(w, t);
}

/* An append of one block, on the heap so that ASan watches it. */
void world_submit_append(struct world *w, struct test_call *t)
{
	memset(t, 0, sizeof(*t));
	t->call.type = WIRE_APPEND;
	t->data.iov_base = calloc(1, BLOCK_SIZE);
	t->data.iov_len = BLOCK_SIZE;
	t->call.data = &t->data;
	t->call.data_count = 1;
	t->call.data_len = BLOCK_SIZE;
	world_submit(w, t);
}

void world_cancel(struct world *w, struct test_call *t)
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
	assert_true(uuid_equal(&hello.cluster, &world_cluster));
	assert_true(uuid_equal(&hello.to, &world_peer));
	assert_true(uuid_is_null(&hello.from));
	assert_int_equal(le32_to_cpu(hello.role), WIRE_ROLE_VOLUME);
	assert_int_equal(le16_to_cpu(hello.version_max), WIRE_VERSION);
	fake_frame_free(frame);
	/* Nothing else leaves before the answer. */
	assert_null(fake_take(conn));
}

struct wire_hello world_hello(uint8_t incarnation)
{
	return (struct wire_hello) {
		.version_min = cpu_to_le16(1),
		.version_max = cpu_to_le16(WIRE_VERSION + 5),
		.role = cpu_to_le32(WIRE_ROLE_PEER),
		.cluster = world_cluster,
		.from = world_peer,
		.incarnation = { { incarnation } },
	};
}

void world_answer_hello(struct env_conn *conn, const struct wire_hello *hello,
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

struct env_conn *world_open_conn(struct world *w)
{
	struct env_conn *conn = fake_conn(&w->env);

	assert_non_null(conn);
	conn->ops->opened(conn->ctx, conn);
	expect_hello(conn);
	return conn;
}

struct env_conn *world_bring_up(struct world *w)
{
	struct wire_hello hello = world_hello(1);
	struct env_conn *conn;

	if (peer_state(w->peer) == PEER_DOWN)
		peer_connect(w->peer);
	conn = world_open_conn(w);
	world_answer_hello(conn, &hello, WIRE_OK);
	assert_int_equal(peer_state(w->peer), PEER_UP);
	return conn;
}

uint64_t world_take_request(struct env_conn *conn, enum wire_type type)
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

struct wire_header world_reply_header(enum wire_type type, uint64_t request,
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

const uint8_t world_zeros[65536];

void world_reply(struct env_conn *conn, enum wire_type type, uint64_t request,
		 const void *data, uint32_t data_len)
{
	struct wire_header hdr = world_reply_header(type, request, data_len);
	struct fake_receipt r;

	fake_receive_begin(conn, &hdr, world_zeros, &r);
	fake_receive_end(&r, data);
}
