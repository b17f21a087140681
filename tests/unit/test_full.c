// SPDX-License-Identifier: Apache-2.0
/* A cluster without room: what still works, and that it ends. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "volume_bed.h"

static void run(struct bed *w, unsigned int seconds)
{
	sim_run(w->sim, seconds * NSEC_PER_SEC);
}

/* Stores of @size bytes from now on. */
static void resize_stores(struct bed *w, uint64_t size, unsigned int first,
			  unsigned int count)
{
	unsigned int i;

	w->store_size = size;
	for (i = first; i < first + count; i++) {
		bed_stop_store(w, i, false);
		bed_start_store(w, i);
	}
	w->store_size = 0;
}

static void configure(struct bed *w)
{
	w->cfg.clean_threshold = 25;
	w->cfg.checkpoint_log_bytes = 2 * MIB;
	w->cfg.tail_chunks = 2;
}

/* Writes what was never written until there is no room. Blocks written. */
static uint32_t fill(struct bed *w)
{
	uint32_t first;
	int err;

	for (first = 0; first < BLOCKS; first += 16) {
		err = bed_write_blocks(w, first, 16, 0x40 + first / 16, false);
		if (err) {
			assert_int_equal(-ENOSPC, err);
			return first;
		}
	}
	fail_msg("there was room for all");
	return 0;
}

static void trim(struct bed *w, uint32_t first, uint32_t count)
{
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM,
				       (uint64_t)first * BLOCK_SIZE,
				       (uint64_t)count * BLOCK_SIZE, false));
	memset(w->model + first, 0, count);
}

/* More than what may be left: a smaller one could still fit. */
static void no_room(struct bed *w, uint32_t block)
{
	assert_int_equal(-ENOSPC, bed_write_blocks(w, block, 64, 0xaa, false));
}

static void new_writes_fail_and_all_else_goes_on(void **state)
{
	struct bed *w = *state;
	struct volume_stats before;
	uint32_t filled;
	unsigned int i;

	configure(w);
	w->cfg.clean_threshold = CLEAN_NEVER;
	resize_stores(w, 8 * MIB, 0, 3);
	bed_attach(w);
	filled = fill(w);
	assert_true(filled > 512);
	before = bed_stats(w);
	for (i = 0; i < 100; i++) {
		run(w, 1);
		no_room(w, filled + 16);
	}
	/* One look at whether there is room again costs one ensemble. */
	assert_true(bed_stats(w).ensemble_changes -
		    before.ensemble_changes < 12);
	bed_verify(w);
	assert_int_equal(0, bed_flush(w));
	trim(w, 0, 16);
	bed_verify(w);
	assert_false(w->failed);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
}

/* Some minutes at most: peers are asked again after a back-off. */
static void room_again(struct bed *w, uint32_t block)
{
	int err = -ENOSPC;
	unsigned int i;

	for (i = 0; i < 300 && err; i++) {
		run(w, 1);
		err = bed_write_blocks(w, block, 4, 0xbb, false);
		assert_true(err == 0 || err == -ENOSPC);
	}
	assert_int_equal(0, err);
}

static void trimming_and_cleaning_make_room(void **state)
{
	struct bed *w = *state;
	uint32_t filled;
	unsigned int i;

	configure(w);
	resize_stores(w, 8 * MIB, 0, 3);
	bed_attach(w);
	filled = fill(w);
	trim(w, 0, filled / 2);
	room_again(w, 0);
	/* And not only for one. */
	for (i = 16; i < filled / 4; i += 16)
		room_again(w, i);
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
}

/* Holes everywhere: only moving what is live gives a chunk back. */
static void a_full_cluster_is_cleaned(void **state)
{
	struct bed *w = *state;
	uint32_t filled, i;

	configure(w);
	resize_stores(w, 8 * MIB, 0, 3);
	bed_attach(w);
	filled = fill(w);
	for (i = 0; i < filled; i += 16)
		trim(w, i, 8);
	room_again(w, 0);
	assert_true(bed_stats(w).relocated_bytes > 0);
	bed_verify(w);
}

static void one_full_peer_is_left_out(void **state)
{
	struct bed *w = *state;
	struct volume_stats stats;
	uint32_t first;

	configure(w);
	bed_put_ring(w, 2, 4);
	resize_stores(w, 3 * MIB, 1, 1);
	bed_attach(w);
	for (first = 0; first < BLOCKS; first += 16) {
		assert_int_equal(0, bed_write_blocks(w, first, 16, 0x11 + first / 16,
						     false));
		run(w, 1);
	}
	stats = bed_stats(w);
	assert_true(stats.ensemble_changes < 20);
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

/* Its document says that it is nearly full: who else there is takes it. */
static void a_nearly_full_peer_is_spared(void **state)
{
	struct peer_doc doc = { .size = 1u << 30, .used = 950u << 20 };
	struct bed *w = *state;
	struct store_stats stats;
	char key[META_KEY_MAX];

	doc.id = w->ids[1];
	snprintf(doc.address, sizeof(doc.address), "store1:1");
	key_peer(&w->cluster, &doc.id, key);
	bed_put(w, key, peer_doc_encode(&doc));
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 100);
	store_stats(w->store[1], &stats);
	assert_int_equal(0, stats.chunks);
	store_stats(w->store[3], &stats);
	assert_true(stats.chunks > 0);
	bed_verify(w);
}

/* Freed space is less than a record may have, and all that there will be. */
static void a_small_store_has_room_for_little(void **state)
{
	struct bed *w = *state;

	configure(w);
	resize_stores(w, 8 * MIB, 0, 3);
	bed_attach(w);
	fill(w);
	trim(w, 0, 192);
	room_again(w, 0);
	bed_verify(w);
}

/* Trims that free nothing until the reserve is used up, too. */
static void detaching_needs_no_room(void **state)
{
	struct bed *w = *state;
	uint32_t filled, i;
	int err = 0;

	configure(w);
	w->cfg.clean_threshold = CLEAN_NEVER;
	resize_stores(w, 8 * MIB, 0, 3);
	bed_attach(w);
	filled = fill(w);
	for (i = 0; i < 2000 && !err; i++)
		err = bed_io_run(w, VOLUME_TRIM,
				 (uint64_t)(filled + i % 16) * BLOCK_SIZE,
				 BLOCK_SIZE, true);
	assert_int_equal(-ETIMEDOUT, err);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

/*
 * The third peer is full, so there are two copies, and one of them goes before
 * it was durable: the flush needs another, and the full peer has its reserve for
 * that.
 */
static void a_flush_copies_to_a_full_peer(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	uint32_t first = 0;

	configure(w);
	w->cfg.clean_threshold = CLEAN_NEVER;
	w->cfg.sync_interval_ns = LONG;
	resize_stores(w, 3 * MIB, 2, 1);
	bed_attach(w);
	do {
		assert_int_equal(0, bed_write_blocks(w, first, 16, 0x11, false));
		first += 16;
		bed_get_volume(w, &doc);
	} while (!doc.tail.excluded_count);
	assert_true(uuid_equal(&w->ids[2], &doc.tail.excluded[0]));
	assert_int_equal(0, bed_write_blocks(w, first, 16, 0x22, false));
	bed_stop_store(w, 1, true);
	assert_int_equal(0, bed_flush(w));
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
		TEST(new_writes_fail_and_all_else_goes_on),
		TEST(trimming_and_cleaning_make_room),
		TEST(a_full_cluster_is_cleaned),
		TEST(one_full_peer_is_left_out),
		TEST(a_nearly_full_peer_is_spared),
		TEST(a_flush_copies_to_a_full_peer),
		TEST(a_small_store_has_room_for_little),
		TEST(detaching_needs_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
