/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store on a simulated host, and a client that talks to it over the
 * simulated network: what the test_store_*.c share.
 */
#ifndef TORUS_TESTS_STORE_FIXTURE_H
#define TORUS_TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "../sim/lib/env_sim.h"
#include "store/store.h"
#include "wire/proto.h"

#define VOLUME 0x11ull
#define CHUNK 5ull

/* One request and what came back. */
struct reply {
	struct wire_header hdr;
	bool done;
	bool lost;			/* the connection ended first */
	union {
		struct wire_hello hello;
		struct wire_append_reply append;
		struct wire_sync_reply sync;
		struct wire_read_reply read;
		struct wire_fence_reply fence;
		struct wire_scan_reply scan;
		struct wire_chunk_reply chunk;
		struct wire_list_reply list;
		struct wire_stat_reply stat;
		struct wire_lookup lookup;
		struct wire_restore_reply restore;
		struct wire_maintenance_reply maintenance;
	} body;
	uint8_t *data;			/* from malloc */
	/* of the request */
	uint64_t id;
	void *sent;			/* its data, from malloc */
	struct iovec iov;
	struct list_head node;
};

/* A record that the test made, with what follows in the chain. */
struct made {
	uint8_t *bytes;
	uint32_t blocks;		/* all of it */
	uint32_t block;
	uint32_t crc;
	uint64_t chunk;
	uint64_t epoch;			/* of the message */
};

struct fixture {
	struct sim *sim;
	struct sim_node *node, *client;
	struct store_config cfg;
	struct store *store;
	int open_err;
	bool opened, closed;
	struct uuid incarnation;
	struct env_conn *conn;
	bool connected;
	struct list_head waiting;	/* reply.node */
	uint64_t next_id;
	/* the chain that record() continues */
	uint64_t sequence, epoch;
	uint32_t prev_crc, block;
	enum extent_kind kind;		/* of records with payload; 0 = DATA */
};

void fixture_init(struct fixture *f);
void fixture_release(struct fixture *f);

/** fixture_open() - open and serve; returns store_open()'s error. */
int fixture_open(struct fixture *f);

/** fixture_stop() - end the store: kill keeps the page cache, crash does not,
 * close is clean. */
void fixture_kill(struct fixture *f);
void fixture_crash(struct fixture *f);
void fixture_close(struct fixture *f);

/** fixture_connect() - connect, without HELLO. */
void fixture_connect(struct fixture *f);
void fixture_disconnect(struct fixture *f);

/** fixture_hello() - HELLO in @role; the status. */
uint32_t fixture_hello(struct fixture *f, enum wire_role role);

/** fixture_reconnect() - connect anew, and HELLO in @role. */
void fixture_reconnect(struct fixture *f, enum wire_role role);

/** fixture_reopen() - open what was ended, connect in the role of volume. */
void fixture_reopen(struct fixture *f);

/** fixture_setup(), fixture_teardown() - of a cmocka test: *state is a struct
 * fixture whose store serves, connected in the role of volume. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/** send_request() - @data is copied. wait_reply() - run until it is there;
 * returns the status. reply_release() - free what came. */
void send_request(struct fixture *f, struct reply *r, enum wire_type type,
		  uint32_t flags, const void *body, const void *data,
		  uint32_t len);
uint32_t wait_reply(struct fixture *f, struct reply *r);
void reply_release(struct reply *r);

/** make_record() - the next record of the chain, @payload random blocks. */
struct made make_record(struct fixture *f, uint32_t payload, uint16_t flags);
void made_free(struct made *m);
void new_chain(struct fixture *f);

/* One call each, in the role of volume; the status. */
void send_append(struct fixture *f, struct reply *r, const struct made *m,
		 uint32_t flags);
uint32_t append(struct fixture *f, const struct made *m, uint32_t flags,
		uint32_t *length);
/** append_new() - make a record, append it: WIRE_OK or the test fails. */
uint32_t append_new(struct fixture *f, uint32_t payload);
uint32_t sync_chunk(struct fixture *f, uint64_t epoch, uint32_t length);
uint32_t fence(struct fixture *f, uint64_t epoch,
	       struct wire_fence_reply *reply);
uint32_t seal(struct fixture *f, uint64_t chunk, uint64_t epoch,
	      uint32_t length, uint32_t crc);
uint32_t stat_chunk(struct fixture *f, uint64_t chunk, uint64_t epoch,
		    struct wire_chunk_reply *reply);
uint32_t read_blocks(struct fixture *f, uint64_t epoch, uint32_t block,
		     uint32_t blocks, uint8_t *out);
/** scan_length() - SCAN from block 0; *reply filled in. */
uint32_t scan(struct fixture *f, uint64_t epoch, struct reply *r);

#endif
