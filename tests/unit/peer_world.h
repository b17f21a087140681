/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One peer as its client sees it, over fake_env: the test is the network and
 * the torusd at the other end.
 */
#ifndef TORUS_TESTS_PEER_WORLD_H
#define TORUS_TESTS_PEER_WORLD_H

#include "fake_env.h"
#include "peer/peer.h"

#define MSEC NSEC_PER_MSEC
#define SEC NSEC_PER_SEC

extern const struct uuid world_cluster, world_peer;
extern const uint8_t world_zeros[65536];

struct world {
	struct fake_env env;
	struct peer_set *set;
	struct peer *peer;
	int ups, downs, last_err;
	bool in_call;			/* done() must not be called now */
};

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

/* cmocka fixtures: *state is a struct world. */
int world_setup(void **state);
int world_teardown(void **state);

/* Calls; a done() from inside one of these fails the test. */
void world_submit(struct world *w, struct test_call *t);
void world_submit_read(struct world *w, struct test_call *t);
void world_submit_append(struct world *w, struct test_call *t);
void world_cancel(struct world *w, struct test_call *t);

/* The other end. */
struct wire_hello world_hello(uint8_t incarnation);
void world_answer_hello(struct env_conn *conn, const struct wire_hello *hello,
			uint32_t status);
struct env_conn *world_open_conn(struct world *w);
struct env_conn *world_bring_up(struct world *w);
uint64_t world_take_request(struct env_conn *conn, enum wire_type type);
struct wire_header world_reply_header(enum wire_type type, uint64_t request,
				      uint32_t data_len);
void world_reply(struct env_conn *conn, enum wire_type type, uint64_t request,
		 const void *data, uint32_t data_len);

#endif
