// SPDX-License-Identifier: Apache-2.0
/* A store that fills up: what it still takes, and what it says. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "store/private.h"

#define SIZE (64ull << 20)

static struct wire_stat_reply stat_now(struct fixture *f)
{
	struct wire_stat_reply stat;
	struct reply r;

	send_request(f, &r, WIRE_STAT, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	stat = r.body.stat;
	reply_release(&r);
	assert_int_equal(le32_to_cpu(stat.space_state),
			 store_space_state(f->store));
	return stat;
}

static uint32_t state_now(struct fixture *f)
{
	return le32_to_cpu(stat_now(f).space_state);
}

/* A record that is not taken is no part of the chain. */
static uint32_t try_append(struct fixture *f, uint32_t payload,
			   enum extent_kind kind, uint32_t flags)
{
	uint64_t sequence = f->sequence;
	uint32_t crc = f->prev_crc, block = f->block, status;
	struct made m;

	f->kind = kind;
	m = make_record(f, payload, 0);
	f->kind = 0;
	status = append(f, &m, flags, NULL);
	if (status != WIRE_OK) {
		f->sequence = sequence;
		f->prev_crc = crc;
		f->block = block;
	}
	made_free(&m);
	return status;
}

/* User data until none is taken. */
static void fill(struct fixture *f)
{
	uint32_t size = 256;

	while (size > 0) {
		if (try_append(f, size, EXTENT_DATA, 0) != WIRE_OK)
			size /= 2;
		assert_true(f->block < CHUNK_BLOCKS_MAX - 300);
	}
	assert_int_equal(try_append(f, 1, EXTENT_DATA, 0), WIRE_ENOSPC);
}

static void reopen_with(struct fixture *f, uint64_t size, uint32_t near_full,
			uint32_t full)
{
	fixture_close(f);
	f->cfg.size = size;
	f->cfg.near_full_percent = near_full;
	f->cfg.full_percent = full;
	fixture_reopen(f);
}

static void test_thresholds_are_near_full_and_full(void **state)
{
	struct fixture *f = *state;
	uint64_t used, near_at = 0;

	reopen_with(f, SIZE, 0, 0);
	assert_int_equal(state_now(f), WIRE_SPACE_OK);
	while (try_append(f, 15, EXTENT_DATA, 0) == WIRE_OK)
		if (near_at == 0 && state_now(f) == WIRE_SPACE_NEAR_FULL)
			near_at = le64_to_cpu(stat_now(f).used);
	assert_in_range(near_at, SIZE / 100 * 85, SIZE / 100 * 86);
	fill(f);
	assert_int_equal(state_now(f), WIRE_SPACE_FULL);
	used = le64_to_cpu(stat_now(f).used);
	assert_in_range(used, SIZE / 100 * 95 - 2 * BLOCK_SIZE,
			SIZE / 100 * 95 + BLOCK_SIZE);
	assert_true(le64_to_cpu(stat_now(f).space_left) < 2 * BLOCK_SIZE);
}

static void test_thresholds_are_configured(void **state)
{
	struct fixture *f = *state;
	uint64_t used;

	reopen_with(f, SIZE, 30, 50);
	fill(f);
	used = le64_to_cpu(stat_now(f).used);
	assert_in_range(used, SIZE / 100 * 50 - 2 * BLOCK_SIZE,
			SIZE / 100 * 50 + BLOCK_SIZE);
	/* The reserve is kept whatever they say: two chunks here. */
	reopen_with(f, SIZE, 99, 100);
	fill(f);
	used = le64_to_cpu(stat_now(f).used);
	assert_in_range(used, SIZE - (2 << 20) - 2 * BLOCK_SIZE,
			SIZE - (2 << 20) + BLOCK_SIZE);
	assert_int_equal(state_now(f), WIRE_SPACE_FULL);
}

static void test_full_store_takes_what_frees_space(void **state)
{
	struct fixture *f = *state;
	uint32_t pages = 0, status;

	reopen_with(f, SIZE, 0, 0);
	fill(f);
	/* Trim, map pages, table pages, cleaning, copies in recovery. */
	assert_int_equal(try_append(f, 0, EXTENT_ZERO, 0), WIRE_OK);
	assert_int_equal(try_append(f, 8, EXTENT_CHUNK_PAGE, 0), WIRE_OK);
	assert_int_equal(try_append(f, 8, EXTENT_RELOCATION, 0), WIRE_OK);
	assert_int_equal(try_append(f, 8, EXTENT_DATA, WIRE_COPY), WIRE_OK);
	do {
		status = try_append(f, 60, EXTENT_MAP_PAGE, 0);
		pages++;
	} while (status == WIRE_OK);
	assert_int_equal(status, WIRE_ENOSPC);
	assert_true(pages > 8);
	assert_int_equal(try_append(f, 8, EXTENT_RELOCATION, 0), WIRE_ENOSPC);
	/* And of the journal's share nothing was taken. */
	assert_true(SIZE - le64_to_cpu(stat_now(f).used) >= 65536);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 2, f->block, f->prev_crc), WIRE_OK);
}

static void deleted_volume(void *ctx, int err)
{
	assert_int_equal(err, 0);
	*(bool *)ctx = true;
}

static void test_deletion_makes_room_in_a_full_store(void **state)
{
	struct fixture *f = *state;
	bool done = false;

	reopen_with(f, SIZE, 0, 0);
	fill(f);
	while (try_append(f, 60, EXTENT_MAP_PAGE, 0) == WIRE_OK)
		;
	store_delete_volume(f->store, VOLUME, deleted_volume, &done);
	assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
	assert_int_equal(state_now(f), WIRE_SPACE_OK);
	assert_true(le64_to_cpu(stat_now(f).used) < 1 << 20);
}

static void test_full_disk_below_the_store_counts(void **state)
{
	struct fixture *f = *state;

	sim_node_disk_faults(f->node)->capacity = 16 << 20;
	reopen_with(f, SIZE, 0, 0);
	fill(f);
	assert_int_equal(state_now(f), WIRE_SPACE_FULL);
	assert_true(le64_to_cpu(stat_now(f).used) < 15 << 20);
	assert_int_equal(try_append(f, 0, EXTENT_ZERO, 0), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, f->block, f->prev_crc), WIRE_OK);
}

/* Nobody writes here while it is full; the first one who does is not told what
 * was true once. */
static void test_room_on_the_disk_is_noticed(void **state)
{
	struct fixture *f = *state;

	sim_disk_fill(f->node, 0);
	assert_int_equal(try_append(f, 1, EXTENT_DATA, 0), WIRE_ENOSPC);
	sim_run(f->sim, 60 * NSEC_PER_SEC);
	assert_int_equal(state_now(f), WIRE_SPACE_FULL);
	sim_disk_fill(f->node, UINT64_MAX);
	sim_run(f->sim, 6 * NSEC_PER_SEC);
	assert_int_equal(state_now(f), WIRE_SPACE_OK);
	assert_int_equal(try_append(f, 1, EXTENT_DATA, 0), WIRE_OK);
}

/* Also by a store that takes its time to start. */
static void test_room_is_noticed_after_a_slow_start(void **state)
{
	struct fixture *f = *state;
	struct sim_disk_faults *disk = sim_node_disk_faults(f->node);

	fixture_disconnect(f);
	fixture_close(f);
	sim_disk_fill(f->node, 64 << 10);
	disk->slow_until = UINT64_MAX;
	disk->slow_extra = 3 * NSEC_PER_SEC;
	assert_int_equal(fixture_open(f), 0);
	disk->slow_until = 0;
	fixture_reconnect(f, WIRE_ROLE_VOLUME);
	assert_int_equal(state_now(f), WIRE_SPACE_FULL);
	sim_disk_fill(f->node, UINT64_MAX);
	sim_run(f->sim, 11 * NSEC_PER_SEC);
	assert_int_equal(state_now(f), WIRE_SPACE_OK);
}

/* Space that is taken while the file system is asked is not forgotten. */
static void test_what_comes_during_a_look_counts(void **state)
{
	struct fixture *f = *state;

	f->store->appended_since = 5 * BLOCK_SIZE;
	store_space_look(f->store);
	store_space_add(f->store, 3 * BLOCK_SIZE);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_false(f->store->statfs_running);
	assert_int_equal(3 * BLOCK_SIZE, f->store->appended_since);
	store_space_look(f->store);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_int_equal(0, f->store->appended_since);
	store_space_add(f->store, -3 * BLOCK_SIZE);
}

int main(void)
{
#define SPACE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		SPACE_TEST(test_thresholds_are_near_full_and_full),
		SPACE_TEST(test_thresholds_are_configured),
		SPACE_TEST(test_full_store_takes_what_frees_space),
		SPACE_TEST(test_deletion_makes_room_in_a_full_store),
		SPACE_TEST(test_full_disk_below_the_store_counts),
		SPACE_TEST(test_room_on_the_disk_is_noticed),
		SPACE_TEST(test_room_is_noticed_after_a_slow_start),
		SPACE_TEST(test_what_comes_during_a_look_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
