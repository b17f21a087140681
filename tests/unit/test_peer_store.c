// SPDX-License-Identifier: Apache-2.0
/*
 * A client and a store on one reactor, over TCP on the loopback and a
 * directory of a real file system: the layers from wire to store, as they are
 * used.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "peer/peer.h"
#include "store/store.h"
#include "wire/scan.h"

#define VOLUME_ID 0x77
#define CHUNK 1
#define RECORDS 64
#define PAYLOAD 16u			/* blocks of one record */
#define RECORD_BLOCKS (1 + PAYLOAD)
#define RECORD_BYTES (RECORD_BLOCKS * BLOCK_SIZE)

static const struct uuid cluster_id = { { 0xc1 } };

static struct {
	char path[64];
	struct env *env;
	struct store *store;
	int opened, closed, pending;
	struct peer_set *set;
	struct peer *peer;
	uint8_t *records;		/* RECORDS of them, chained */
	uint32_t end_crc[RECORDS];
} w;

/* ---- the world ------------------------------------------------------------ */

static void turn_until(const int *done)
{
	int turns;

	for (turns = 0; turns < 20000 && *done == 0; turns++)
		assert_int_equal(env_uring_turn(w.env, NSEC_PER_MSEC), 0);
	assert_int_not_equal(*done, 0);
}

static void on_open(void *ctx, int err)
{
	assert_int_equal(err, 0);
	*(int *)ctx = 1;
}

static void open_store(void)
{
	struct store_config cfg = { .cluster = cluster_id, .size = 1u << 30 };

	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot");
	w.opened = 0;
	w.store = store_open(w.env, &cfg, on_open, &w.opened);
	assert_non_null(w.store);
	turn_until(&w.opened);
}

static void open_peer(const struct uuid *id)
{
	struct peer_set_config cfg = {
		.cluster = cluster_id,
		.role = WIRE_ROLE_VOLUME,
		/* Sanitizers on a loaded machine are slow, not dead. */
		.replica_timeout_ns = 20 * NSEC_PER_SEC,
		.connect_timeout_ns = 20 * NSEC_PER_SEC,
	};
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%u",
		 env_uring_port(w.env));
	w.set = peer_set_new(w.env, &cfg);
	w.peer = peer_set_update(w.set, id, address);
	assert_non_null(w.peer);
}

/* Record i fills blocks i * RECORD_BLOCKS on; its bytes follow from i. */
static void make_records(void)
{
	struct record *r = record_new();
	uint32_t i, j, k;

	w.records = aligned_alloc(BLOCK_SIZE, RECORDS * RECORD_BYTES);
	for (i = 0; i < RECORDS; i++) {
		uint8_t *at = w.records + i * RECORD_BYTES;

		r->volume = VOLUME_ID;
		r->chunk = CHUNK;
		r->epoch = 1;
		r->sequence = i + 1;
		r->block = i * RECORD_BLOCKS;
		r->payload_blocks = PAYLOAD;
		r->extent_count = 1;
		r->extents[0] = (struct extent) { i * PAYLOAD, 0, PAYLOAD,
						  EXTENT_DATA };
		for (j = 0; j < PAYLOAD; j++) {
			uint8_t *block = at + (1 + j) * BLOCK_SIZE;

			for (k = 0; k < BLOCK_SIZE; k++)
				block[k] = (uint8_t)(i * 7 + j * 3 + k);
			r->payload_crc[j] = crc32c(0, block, BLOCK_SIZE);
		}
		record_encode(r, at);
		r->prev_crc = r->crc;
		w.end_crc[i] = r->crc;
	}
	record_free(r);
}

static int setup(void **state)
{
	memset(&w, 0, sizeof(w));
	log_set_sink(NULL);
	snprintf(w.path, sizeof(w.path), "/tmp/torus-peer-store-XXXXXX");
	assert_non_null(mkdtemp(w.path));
	w.env = env_uring_new(&(struct env_uring_config){ .root = w.path });
	assert_non_null(w.env);
	open_store();
	assert_int_equal(store_serve(w.store, "127.0.0.1:0"), 0);
	open_peer(store_peer(w.store));
	make_records();
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	int i;

	peer_set_free(w.set);
	store_close(w.store, on_open, &w.closed);
	turn_until(&w.closed);
	/* sent() of what was cancelled comes from the loop. */
	for (i = 0; i < 3; i++)
		env_uring_turn(w.env, 0);
	store_free(w.store);
	env_uring_free(w.env);
	free(w.records);
	return nftw(w.path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- calls ---------------------------------------------------------------- */

struct test_call {
	struct peer_call call;
	struct iovec iov;
	struct wire_append append;
	int done;
	uint8_t reply[WIRE_BODY_MAX] __attribute__((aligned(8)));
};

static void on_done(struct peer_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	if (call->reply != NULL)
		memcpy(t->reply, call->reply,
		       (size_t)wire_body_size(call->type, true));
	t->done = 1;
}

static void append(struct test_call *t, uint32_t i, uint64_t epoch)
{
	memset(t, 0, sizeof(*t));
	t->append = (struct wire_append) {
		.volume = cpu_to_le64(VOLUME_ID),
		.chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(epoch),
		.block = cpu_to_le32(i * RECORD_BLOCKS),
		.blocks = cpu_to_le32(RECORD_BLOCKS),
	};
	t->iov.iov_base = w.records + i * RECORD_BYTES;
	t->iov.iov_len = RECORD_BYTES;
	t->call.type = WIRE_APPEND;
	t->call.body = &t->append;
	t->call.data = &t->iov;
	t->call.data_count = 1;
	t->call.data_len = RECORD_BYTES;
	t->call.done = on_done;
	peer_call(w.peer, &t->call);
}

/* Submit, wait, and expect @status. */
static void call_now(struct test_call *t, enum wire_type type,
		     const void *body, uint32_t status)
{
	t->call.type = type;
	t->call.body = body;
	t->call.done = on_done;
	t->done = 0;
	peer_call(w.peer, &t->call);
	turn_until(&t->done);
	assert_int_equal(t->call.err, 0);
	assert_int_equal(t->call.status, status);
}

static void append_all(void)
{
	struct test_call *calls = calloc(RECORDS, sizeof(*calls));
	uint32_t i;

	for (i = 0; i < RECORDS; i++)
		append(&calls[i], i, 1);
	for (i = 0; i < RECORDS; i++) {
		turn_until(&calls[i].done);
		assert_int_equal(calls[i].call.err, 0);
		assert_int_equal(calls[i].call.status, WIRE_OK);
	}
	free(calls);
}

static void read_back(uint32_t i)
{
	struct wire_read body = {
		.volume = cpu_to_le64(VOLUME_ID),
		.chunk = cpu_to_le64(CHUNK),
		.attached = cpu_to_le64(VOLUME_ID),
		.epoch = cpu_to_le64(1),
		.block = cpu_to_le32(i * RECORD_BLOCKS),
		.blocks = cpu_to_le32(RECORD_BLOCKS),
	};
	struct test_call t = { 0 };
	struct iovec room = { malloc(RECORD_BYTES), RECORD_BYTES };

	t.call.reply_data = &room;
	t.call.reply_data_count = 1;
	call_now(&t, WIRE_READ, &body, WIRE_OK);
	assert_int_equal(t.call.reply_len, RECORD_BYTES);
	assert_memory_equal(room.iov_base, w.records + i * RECORD_BYTES,
			    RECORD_BYTES);
	free(room.iov_base);
}

/* ---- tests ---------------------------------------------------------------- */

static void what_is_appended_is_read(void **state)
{
	append_all();
	read_back(0);
	read_back(17);
	read_back(RECORDS - 1);
	assert_int_equal(peer_state(w.peer), PEER_UP);
	assert_int_equal(peer_stats(w.peer)->failures, 0);
	assert_true(uuid_equal(peer_incarnation(w.peer),
			       store_incarnation(w.store)));
}

static void packed_headers_cross_the_wire(void **state)
{
	struct wire_scan body = {
		.volume = cpu_to_le64(VOLUME_ID),
		.chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(1),
		.bytes_max = cpu_to_le32(WIRE_DATA_MAX),
	};
	struct wire_scan_reply *reply;
	struct record *r = record_new();
	struct test_call t = { 0 };
	struct iovec room = { malloc(WIRE_DATA_MAX), WIRE_DATA_MAX };
	struct scan_iter it;
	const void *header;
	uint32_t bytes, count = 0;

	append_all();
	t.call.reply_data = &room;
	t.call.reply_data_count = 1;
	call_now(&t, WIRE_SCAN, &body, WIRE_OK);
	reply = (void *)t.reply;
	assert_int_equal(le32_to_cpu(reply->count), RECORDS);
	assert_int_equal(le32_to_cpu(reply->length), RECORDS * RECORD_BLOCKS);
	assert_int_equal(le32_to_cpu(reply->end_crc), w.end_crc[RECORDS - 1]);
	scan_iter_init(&it, room.iov_base, t.call.reply_len);
	while (scan_next(&it, &header, &bytes) == 1) {
		assert_int_equal(record_decode(header, bytes, r), 0);
		assert_int_equal(r->crc, w.end_crc[count]);
		count++;
	}
	assert_int_equal(count, RECORDS);
	record_free(r);
	free(room.iov_base);
}

static void ranges_come_back_with_their_status(void **state)
{
	struct wire_range ranges[2] = {
		{ .chunk = cpu_to_le64(CHUNK),
		  .length = cpu_to_le32(RECORDS * RECORD_BLOCKS) },
		{ .chunk = cpu_to_le64(99), .length = cpu_to_le32(1) },
	};
	struct wire_sync body = {
		.volume = cpu_to_le64(VOLUME_ID),
		.epoch = cpu_to_le64(1),
		.count = cpu_to_le32(2),
	};
	struct wire_range got[2];
	struct iovec data = { ranges, sizeof(ranges) };
	struct iovec room = { got, sizeof(got) };
	struct test_call t = { 0 };

	append_all();
	t.call.data = &data;
	t.call.data_count = 1;
	t.call.data_len = sizeof(ranges);
	t.call.reply_data = &room;
	t.call.reply_data_count = 1;
	call_now(&t, WIRE_SYNC, &body, WIRE_OK);
	assert_int_equal(t.call.reply_len, sizeof(got));
	assert_int_equal(le32_to_cpu(got[0].status), WIRE_OK);
	assert_int_equal(le32_to_cpu(got[1].status), WIRE_ENOCHUNK);
}

static void cancelled_appends_do_not_disturb_the_others(void **state)
{
	struct test_call *calls = calloc(RECORDS, sizeof(*calls));
	struct test_call again;
	uint32_t i;

	for (i = 0; i < RECORDS; i++)
		append(&calls[i], i, 1);
	/* Up, with frames still in line: HELLO has just been answered. */
	while (peer_state(w.peer) != PEER_UP)
		assert_int_equal(env_uring_turn(w.env, NSEC_PER_MSEC), 0);
	peer_call_cancel(&calls[RECORDS - 1].call);
	for (i = 0; i < RECORDS - 1; i++) {
		turn_until(&calls[i].done);
		assert_int_equal(calls[i].call.err, 0);
		assert_int_equal(calls[i].call.status, WIRE_OK);
	}
	assert_int_equal(calls[RECORDS - 1].done, 0);
	append(&again, RECORDS - 1, 1);
	turn_until(&again.done);
	assert_int_equal(again.call.status, WIRE_OK);
	read_back(RECORDS - 1);
	free(calls);
}

static void a_fence_refuses_older_writers(void **state)
{
	struct wire_fence body = {
		.volume = cpu_to_le64(VOLUME_ID), .epoch = cpu_to_le64(2),
	};
	struct wire_append_reply *reply;
	struct test_call t = { 0 }, old;

	append(&old, 0, 1);
	turn_until(&old.done);
	assert_int_equal(old.call.status, WIRE_OK);
	call_now(&t, WIRE_FENCE, &body, WIRE_OK);
	append(&old, 1, 1);
	turn_until(&old.done);
	assert_int_equal(old.call.status, WIRE_EFENCED);
	reply = (void *)old.reply;
	assert_int_equal(le64_to_cpu(reply->epoch), 2);
	append(&old, 1, 2);
	turn_until(&old.done);
	assert_int_equal(old.call.status, WIRE_OK);
}

static void another_peer_is_not_mistaken(void **state)
{
	struct uuid stranger = { { 0xee } };
	struct wire_fence body = {
		.volume = cpu_to_le64(VOLUME_ID), .epoch = cpu_to_le64(1),
	};
	struct test_call t = { 0 };

	peer_set_free(w.set);
	open_peer(&stranger);
	t.call.type = WIRE_FENCE;
	t.call.body = &body;
	t.call.done = on_done;
	peer_call(w.peer, &t.call);
	turn_until(&t.done);
	assert_int_equal(t.call.err, -EADDRNOTAVAIL);
	assert_false(peer_usable(w.peer));
}

static void a_closed_store_fails_its_calls(void **state)
{
	struct test_call t;

	append(&t, 0, 1);
	turn_until(&t.done);
	store_close(w.store, on_open, &w.closed);
	turn_until(&w.closed);
	append(&t, 1, 1);
	turn_until(&t.done);
	assert_true(t.call.err < 0);
	while (peer_state(w.peer) == PEER_UP)
		assert_int_equal(env_uring_turn(w.env, NSEC_PER_MSEC), 0);
	/* What was answered is there when the store is. */
	store_free(w.store);
	open_store();
	assert_int_equal(store_serve(w.store, "127.0.0.1:0"), 0);
	peer_set_free(w.set);
	open_peer(store_peer(w.store));
	read_back(0);
	w.closed = 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_appended_is_read),
		TEST(packed_headers_cross_the_wire),
		TEST(ranges_come_back_with_their_status),
		TEST(cancelled_appends_do_not_disturb_the_others),
		TEST(a_fence_refuses_older_writers),
		TEST(another_peer_is_not_mistaken),
		TEST(a_closed_store_fails_its_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
