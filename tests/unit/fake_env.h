/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An env whose clock and network the test moves by hand. Data of a frame is
 * read when the test says that it is sent, as a slow socket would do, so that
 * memory given up too early shows under ASan.
 */
#ifndef TORUS_TESTS_FAKE_ENV_H
#define TORUS_TESTS_FAKE_ENV_H

#include "env/env.h"
#include "env/timer_heap.h"

struct fake_env {
	struct env env;
	uint64_t now;
	struct timer_heap timers;
	struct list_head conns;
	struct list_head orphans;	/* frames of closed connections */
	unsigned int connects;
	bool no_memory;			/* connect and send fail */
};

struct fake_frame {
	struct list_head node;
	struct wire_header hdr;
	uint8_t body[WIRE_BODY_MAX] __attribute__((aligned(8)));
	struct iovec data[300];
	int data_count;
	uint8_t *bytes;			/* data, once it is sent */
	env_sent_fn sent;
	void *arg;
};

struct env_conn {
	struct list_head node;
	struct fake_env *env;
	const struct env_conn_ops *ops;
	void *ctx;
	char address[64];
	struct list_head unsent, outbox;	/* struct fake_frame */
};

void fake_env_init(struct fake_env *f);
void fake_env_release(struct fake_env *f);

/** fake_env_run() - let @ns pass; due timers and late sent() are called. */
void fake_env_run(struct fake_env *f, uint64_t ns);

/** fake_conn() - the newest connection; NULL: none. */
struct env_conn *fake_conn(struct fake_env *f);

/** fake_send_all() - everything handed over so far leaves. */
void fake_send_all(struct env_conn *conn);

/** fake_take() - the oldest frame that left and was not taken; NULL: none. */
struct fake_frame *fake_take(struct env_conn *conn);
void fake_frame_free(struct fake_frame *frame);

/**
 * fake_receive() - a frame from the other side, in two steps, so that the test
 * can do something while its data is under way.
 */
struct fake_receipt {
	struct env_conn *conn;
	struct wire_header hdr;
	uint8_t body[WIRE_BODY_MAX] __attribute__((aligned(8)));
	struct iovec room[300];
	int count;
	uint8_t scratch[65536];
	bool scratched;
};
void fake_receive_begin(struct env_conn *conn, const struct wire_header *hdr,
			const void *body, struct fake_receipt *r);
void fake_receive_end(struct fake_receipt *r, const void *data);

/** fake_break() - the connection ends with @err. */
void fake_break(struct env_conn *conn, int err);

#endif
