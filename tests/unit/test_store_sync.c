// SPDX-License-Identifier: Apache-2.0
/* SYNC, durable appends, the background, and what a crash takes and leaves. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t length_now(struct fixture *f)
{
	struct wire_chunk_reply chunk;
	uint32_t status = stat_chunk(f, CHUNK, f->epoch, &chunk);

	if (status == WIRE_ENOCHUNK)
		return 0;
	assert_int_equal(status, WIRE_OK);
	return le32_to_cpu(chunk.length);
}

static uint32_t durable_now(struct fixture *f)
{
	struct wire_chunk_reply chunk;

	assert_int_equal(stat_chunk(f, CHUNK, f->epoch, &chunk), WIRE_OK);
	return le32_to_cpu(chunk.durable);
}

static void test_synced_bytes_survive_a_crash(void **state)
{
	struct fixture *f = *state;
	uint32_t synced, i;

	for (i = 0; i < 20; i++)
		append_new(f, 1 + i);
	synced = f->block;
	assert_int_equal(sync_chunk(f, 1, synced), WIRE_OK);
	assert_int_equal(durable_now(f), synced);
	for (i = 0; i < 5; i++)
		append_new(f, 3);
	assert_int_equal(durable_now(f), synced);
	fixture_crash(f);
	fixture_reopen(f);
	assert_true(length_now(f) >= synced);
	assert_true(length_now(f) <= f->block);
	assert_int_equal(read_blocks(f, 1, 0, synced < 200 ? synced : 200,
				     NULL), WIRE_OK);
}

static void test_durable_append_survives_a_crash(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 17, 0);

	assert_int_equal(append(f, &m, WIRE_DURABLE, NULL), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f), m.blocks);
	made_free(&m);
}

static void test_sync_of_more_than_there_is_is_refused(void **state)
{
	struct fixture *f = *state;

	append_new(f, 3);
	assert_int_equal(sync_chunk(f, 1, 5), WIRE_EOFFSET);
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_OK);
}

static void test_sync_of_an_unknown_chunk_says_so(void **state)
{
	assert_int_equal(sync_chunk(*state, 1, 1), WIRE_ENOCHUNK);
}

static void test_many_syncs_share_one(void **state)
{
	struct fixture *f = *state;
	struct wire_sync body = {
		.volume = cpu_to_le64(VOLUME), .epoch = cpu_to_le64(1),
		.count = cpu_to_le32(1),
	};
	struct wire_range range = { .chunk = cpu_to_le64(CHUNK),
				    .length = cpu_to_le32(4) };
	struct store_stats before, after;
	struct reply r[50];
	int i;

	append_new(f, 3);
	store_stats(f->store, &before);
	for (i = 0; i < 50; i++)
		send_request(f, &r[i], WIRE_SYNC, 0, &body, &range,
			     sizeof(range));
	for (i = 0; i < 50; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
	store_stats(f->store, &after);
	assert_in_range(after.syncs - before.syncs, 1, 2);
}

static void test_failed_sync_makes_the_copy_bad_for_good(void **state)
{
	struct fixture *f = *state;
	struct reply r;
	struct made m;

	append_new(f, 3);
	sim_node_disk_faults(f->node)->sync_eio = 1;
	/* The journal cannot be synced either: EIO, and no lie. */
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_EIO);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_EIO);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EIO);
	assert_int_equal(fence(f, 2, NULL), WIRE_EIO);
	assert_int_equal(scan(f, 1, &r), WIRE_EBADCOPY);
	reply_release(&r);
	made_free(&m);
}

/* One sync fails, the ones after it, of the journal, do not. */
static void fail_one_sync(struct fixture *f, uint32_t length)
{
	struct wire_sync body = {
		.volume = cpu_to_le64(VOLUME), .epoch = cpu_to_le64(1),
		.count = cpu_to_le32(1),
	};
	struct wire_range range = { .chunk = cpu_to_le64(CHUNK),
				    .length = cpu_to_le32(length) };
	struct store_stats stats;
	struct reply r;

	sim_node_disk_faults(f->node)->sync_eio = 1;
	send_request(f, &r, WIRE_SYNC, 0, &body, &range, sizeof(range));
	do {
		assert_true(sim_step(f->sim));
		store_stats(f->store, &stats);
	} while (stats.errors == 0);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	memcpy(&range, r.data, sizeof(range));
	assert_int_equal(le32_to_cpu(range.status), WIRE_EBADCOPY);
	reply_release(&r);
}

static void test_bad_copy_stays_bad_over_restart_and_crash(void **state)
{
	struct fixture *f = *state;
	struct made m;
	uint8_t out[BLOCK_SIZE];

	append_new(f, 3);
	/* So that only the file is unsynced, not its name. */
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_OK);
	append_new(f, 3);
	fail_one_sync(f, 8);
	assert_int_equal(sync_chunk(f, 1, 8), WIRE_EBADCOPY);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EBADCOPY);
	assert_int_equal(seal(f, CHUNK, 1, 8, f->prev_crc), WIRE_EBADCOPY);
	/* Its bytes may still be of use to who can check them. */
	assert_int_equal(read_blocks(f, 1, 0, 1, out), WIRE_OK);
	fixture_kill(f);
	fixture_reopen(f);
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_EBADCOPY);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(sync_chunk(f, 1, 4), WIRE_EBADCOPY);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EBADCOPY);
	made_free(&m);
}

static void test_background_syncs_after_the_interval(void **state)
{
	struct fixture *f = *state;

	append_new(f, 9);
	assert_int_equal(durable_now(f), 0);
	sim_run(f->sim, 4 * NSEC_PER_SEC);
	assert_int_equal(durable_now(f), 0);
	sim_run(f->sim, 2 * NSEC_PER_SEC);
	assert_int_equal(durable_now(f), 10);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f), 10);
}

static void test_failed_background_sync_makes_the_copy_bad(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;

	append_new(f, 9);
	assert_int_equal(sync_chunk(f, 1, 10), WIRE_OK);
	append_new(f, 9);
	sim_node_disk_faults(f->node)->sync_eio = 1;
	do {
		assert_true(sim_step(f->sim));
		store_stats(f->store, &stats);
	} while (stats.errors == 0);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	sim_run(f->sim, NSEC_PER_SEC);
	assert_int_equal(sync_chunk(f, 1, 20), WIRE_EBADCOPY);
}

static void test_idle_store_has_nothing_to_do(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	append_new(f, 9);
	sim_run(f->sim, 20 * NSEC_PER_SEC);
	before = sim_events(f->sim);
	sim_run(f->sim, 1000 * NSEC_PER_SEC);
	assert_int_equal(sim_events(f->sim), before);
}

static void test_kill_keeps_bytes_and_incarnation(void **state)
{
	struct fixture *f = *state;
	struct uuid before = f->incarnation;
	uint32_t i;

	for (i = 0; i < 10; i++)
		append_new(f, 2);
	fixture_kill(f);
	fixture_reopen(f);
	assert_true(uuid_equal(&before, &f->incarnation));
	assert_int_equal(length_now(f), f->block);
	append_new(f, 2);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
}

static void test_crash_changes_the_incarnation(void **state)
{
	struct fixture *f = *state;
	struct uuid before = f->incarnation, then;

	fixture_crash(f);
	fixture_reopen(f);
	assert_false(uuid_equal(&before, &f->incarnation));
	then = f->incarnation;
	fixture_kill(f);
	fixture_reopen(f);
	assert_true(uuid_equal(&then, &f->incarnation));
	fixture_kill(f);
	f->cfg.new_incarnation = true;
	fixture_reopen(f);
	assert_false(uuid_equal(&then, &f->incarnation));
}

static void test_clean_close_leaves_all_durable(void **state)
{
	struct fixture *f = *state;

	append_new(f, 30);
	fixture_close(f);
	sim_node_crash(f->node);
	fixture_reopen(f);
	assert_int_equal(length_now(f), f->block);
	assert_int_equal(durable_now(f), f->block);
}

/* Whatever a crash leaves of unsynced records, it is a prefix of them. */
static void test_crashes_leave_a_valid_prefix_to_append_to(void **state)
{
	struct fixture *f = *state;
	uint32_t round, i, synced = 0;

	for (round = 0; round < 30; round++) {
		struct wire_chunk_reply chunk;
		struct reply r;
		uint32_t n = 1 + round % 7;

		for (i = 0; i < n; i++)
			append_new(f, 1 + (round * 5 + i) % 9);
		if (round % 3 == 0) {
			assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
			synced = f->block;
		}
		if (round % 2 == 0)
			fixture_crash(f);
		else
			fixture_kill(f);
		fixture_reopen(f);
		if (stat_chunk(f, CHUNK, 1, &chunk) == WIRE_ENOCHUNK) {
			assert_int_equal(synced, 0);
			new_chain(f);
			continue;
		}
		assert_true(le32_to_cpu(chunk.length) >= synced);
		assert_int_equal(scan(f, 1, &r), WIRE_OK);
		assert_int_equal(le32_to_cpu(r.body.scan.next_block),
				 le32_to_cpu(chunk.length));
		f->sequence = le32_to_cpu(r.body.scan.count);
		reply_release(&r);
		f->block = le32_to_cpu(chunk.length);
		f->prev_crc = le32_to_cpu(chunk.end_crc);
		/* The sequence continues from the records that are left. */
		if (f->block == 0)
			new_chain(f);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_synced_bytes_survive_a_crash),
		TEST(test_durable_append_survives_a_crash),
		TEST(test_sync_of_more_than_there_is_is_refused),
		TEST(test_sync_of_an_unknown_chunk_says_so),
		TEST(test_many_syncs_share_one),
		TEST(test_failed_sync_makes_the_copy_bad_for_good),
		TEST(test_bad_copy_stays_bad_over_restart_and_crash),
		TEST(test_background_syncs_after_the_interval),
		TEST(test_failed_background_sync_makes_the_copy_bad),
		TEST(test_idle_store_has_nothing_to_do),
		TEST(test_kill_keeps_bytes_and_incarnation),
		TEST(test_crash_changes_the_incarnation),
		TEST(test_clean_close_leaves_all_durable),
		TEST(test_crashes_leave_a_valid_prefix_to_append_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
