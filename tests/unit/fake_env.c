// SPDX-License-Identifier: Apache-2.0
#include "fake_env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake_env *fake_of(struct env *env)
{
	return container_of(env, struct fake_env, env);
}

static uint64_t fake_now(struct env *env)
{
	return fake_of(env)->now;
}

/* Never random: the largest delays, so that tests know when they end. */
static void fake_random(struct env *env, void *buf, size_t len)
{
	memset(buf, 0, len);
}

static void fake_timer_set(struct env *env, struct env_timer *timer,
			   uint64_t when)
{
	if (timer_heap_set(&fake_of(env)->timers, timer, when) < 0)
		abort();
}

static void fake_timer_cancel(struct env *env, struct env_timer *timer)
{
	timer_heap_cancel(&fake_of(env)->timers, timer);
}

static struct env_conn *fake_connect(struct env *env, const char *address,
				     const struct env_conn_ops *ops, void *ctx)
{
	struct fake_env *f = fake_of(env);
	struct env_conn *conn;

	if (f->no_memory)
		return NULL;
	conn = calloc(1, sizeof(*conn));
	conn->env = f;
	conn->ops = ops;
	conn->ctx = ctx;
	snprintf(conn->address, sizeof(conn->address), "%s", address);
	list_init(&conn->unsent);
	list_init(&conn->outbox);
	list_add_tail(&conn->node, &f->conns);
	f->connects++;
	return conn;
}

static int fake_send(struct env_conn *conn, const struct wire_header *hdr,
		     const void *body, const struct iovec *data,
		     int data_count, env_sent_fn sent, void *arg)
{
	struct fake_frame *frame;

	if (conn->env->no_memory)
		return -ENOMEM;
	frame = calloc(1, sizeof(*frame));
	frame->hdr = *hdr;
	if (hdr->body_len > 0)
		memcpy(frame->body, body, hdr->body_len);
	if (data_count > 0)
		memcpy(frame->data, data,
		       (size_t)data_count * sizeof(*data));
	frame->data_count = data_count;
	frame->sent = sent;
	frame->arg = arg;
	list_add_tail(&frame->node, &conn->unsent);
	return 0;
}

void fake_frame_free(struct fake_frame *frame)
{
	free(frame->bytes);
	free(frame);
}

static void free_frames(struct list_head *frames)
{
	while (!list_empty(frames)) {
		struct fake_frame *frame =
			list_first_entry(frames, struct fake_frame, node);

		list_del_init(&frame->node);
		fake_frame_free(frame);
	}
}

static void conn_free(struct env_conn *conn)
{
	list_del_init(&conn->node);
	free_frames(&conn->outbox);
	free(conn);
}

static void fake_close(struct env_conn *conn)
{
	list_splice_tail_init(&conn->unsent, &conn->env->orphans);
	conn_free(conn);
}

static const struct env_ops fake_ops = {
	.now = fake_now,
	.realtime = fake_now,
	.random = fake_random,
	.timer_set = fake_timer_set,
	.timer_cancel = fake_timer_cancel,
	.connect = fake_connect,
	.send = fake_send,
	.close = fake_close,
};

void fake_env_init(struct fake_env *f)
{
	memset(f, 0, sizeof(*f));
	f->env.ops = &fake_ops;
	f->now = 1000 * NSEC_PER_SEC;
	if (timer_heap_init(&f->timers, 8) < 0)
		abort();
	list_init(&f->conns);
	list_init(&f->orphans);
}

static void end_orphans(struct fake_env *f)
{
	while (!list_empty(&f->orphans)) {
		struct fake_frame *frame =
			list_first_entry(&f->orphans, struct fake_frame, node);

		list_del_init(&frame->node);
		if (frame->sent != NULL)
			frame->sent(frame->arg, -ECANCELED);
		fake_frame_free(frame);
	}
}

void fake_env_release(struct fake_env *f)
{
	end_orphans(f);
	while (!list_empty(&f->conns))
		conn_free(list_first_entry(&f->conns, struct env_conn, node));
	timer_heap_free(&f->timers);
}

void fake_env_run(struct fake_env *f, uint64_t ns)
{
	uint64_t end = f->now + ns;
	struct env_timer *timer;

	end_orphans(f);
	while ((timer = timer_heap_first(&f->timers)) != NULL &&
	       timer->when <= end) {
		if (timer->when > f->now)
			f->now = timer->when;
		timer_heap_cancel(&f->timers, timer);
		timer->fn(timer);
		end_orphans(f);
	}
	f->now = end;
}

struct env_conn *fake_conn(struct fake_env *f)
{
	if (list_empty(&f->conns))
		return NULL;
	return list_last_entry(&f->conns, struct env_conn, node);
}

static void frame_leave(struct fake_frame *frame)
{
	uint8_t *at;
	int i;

	at = frame->bytes = malloc(frame->hdr.data_len + 1);
	for (i = 0; i < frame->data_count; i++) {
		memcpy(at, frame->data[i].iov_base, frame->data[i].iov_len);
		at += frame->data[i].iov_len;
	}
	if ((size_t)(at - frame->bytes) != frame->hdr.data_len)
		abort();
}

/* @conn may be closed from sent(); frames then went to the orphans. */
void fake_send_all(struct env_conn *conn)
{
	struct fake_env *f = conn->env;

	while (fake_conn(f) == conn && !list_empty(&conn->unsent)) {
		struct fake_frame *frame =
			list_first_entry(&conn->unsent, struct fake_frame,
					 node);

		frame_leave(frame);
		list_move_tail(&frame->node, &conn->outbox);
		if (frame->sent != NULL)
			frame->sent(frame->arg, 0);
	}
}

struct fake_frame *fake_take(struct env_conn *conn)
{
	struct fake_frame *frame;

	if (list_empty(&conn->outbox))
		return NULL;
	frame = list_first_entry(&conn->outbox, struct fake_frame, node);
	list_del_init(&frame->node);
	return frame;
}

void fake_receive_begin(struct env_conn *conn, const struct wire_header *hdr,
			const void *body, struct fake_receipt *r)
{
	r->conn = conn;
	r->hdr = *hdr;
	if (hdr->body_len > 0)
		memcpy(r->body, body, hdr->body_len);
	r->count = 0;
	if (hdr->data_len > 0 && conn->ops->data_room != NULL)
		r->count = conn->ops->data_room(conn->ctx, conn, &r->hdr,
						r->body, r->room, 300);
	r->scratched = r->count == 0 && hdr->data_len > 0;
	if (r->scratched) {
		r->room[0].iov_base = r->scratch;
		r->room[0].iov_len = hdr->data_len;
		r->count = 1;
	}
}

void fake_receive_end(struct fake_receipt *r, const void *data)
{
	const uint8_t *from = data;
	int i;

	for (i = 0; i < r->count; i++) {
		memcpy(r->room[i].iov_base, from, r->room[i].iov_len);
		from += r->room[i].iov_len;
	}
	if ((size_t)(from - (const uint8_t *)data) != r->hdr.data_len)
		abort();
	r->conn->ops->message(r->conn->ctx, r->conn, &r->hdr, r->body, r->room,
			      r->count);
}

void fake_break(struct env_conn *conn, int err)
{
	const struct env_conn_ops *ops = conn->ops;
	struct fake_env *f = conn->env;
	void *ctx = conn->ctx;

	while (fake_conn(f) == conn && !list_empty(&conn->unsent)) {
		struct fake_frame *frame =
			list_first_entry(&conn->unsent, struct fake_frame,
					 node);

		list_del_init(&frame->node);
		if (frame->sent != NULL)
			frame->sent(frame->arg, err);
		fake_frame_free(frame);
	}
	conn_free(conn);
	ops->closed(ctx, NULL, err);
}
