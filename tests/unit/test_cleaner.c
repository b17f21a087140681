// SPDX-License-Identifier: Apache-2.0
/* Chunk death, the cleaner, and what the peers keep, in a simulated cluster. */
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
#include "volume/internal.h"
#include "volume_bed.h"

#define CHUNK_BLOCKS 256u

/* Small steps, so that a test needs few writes. */
static void configure(struct bed *w, uint32_t threshold)
{
	w->cfg.clean_threshold = threshold;
	w->cfg.checkpoint_log_bytes = 2 * MIB;
	w->cfg.tail_chunks = 2;
}

/* Bytes of chunk files that a store has. */
static uint64_t store_bytes(struct bed *w, unsigned int i)
{
	struct store_stats stats;

	store_stats(w->store[i], &stats);
	return stats.used;
}

/* Blocks of the volume that hold something. */
static uint64_t model_bytes(const struct bed *w)
{
	uint64_t blocks = 0;
	uint32_t i;

	for (i = 0; i < BLOCKS; i++)
		blocks += w->model[i] != 0;
	return blocks * BLOCK_SIZE;
}

static void run(struct bed *w, unsigned int seconds)
{
	sim_run(w->sim, seconds * NSEC_PER_SEC);
}

/* What may be stored beyond the bound: chunks that a checkpoint has to come for
 * first, the declared tail, and the cleaner's own slack. */
#define CONSTANT (9ull * MIB)

static void overwrite_for_ever(struct bed *w, unsigned int rounds,
			       unsigned int writes)
{
	struct volume_stats stats;

	while (rounds-- > 0) {
		bed_write_random(w, writes);
		stats = bed_stats(w);
		if (stats.stored_bytes > model_bytes(w) * 100 /
		    (100 - w->cfg.clean_threshold) + CONSTANT)
			fail_msg("%" PRIu64 " bytes stored, of %" PRIu64
				 " written; live by its own account %" PRIu64,
				 stats.stored_bytes, model_bytes(w),
				 stats.live_bytes);
	}
}

static void random_overwrites_keep_garbage_bounded(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	configure(w, 25);
	bed_attach(w);
	overwrite_for_ever(w, 60, 20);
	assert_true(bed_stats(w).cleaned_chunks > 20);
	assert_true(bed_stats(w).relocated_bytes > 0);
	bed_verify(w);
	run(w, 20);
	for (i = 0; i < 3; i++)
		assert_true(store_bytes(w, i) <
			    model_bytes(w) * 4 / 3 + CONSTANT + MIB);
	bed_take_over(w);
	bed_verify(w);
	overwrite_for_ever(w, 10, 20);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

/* The map's page of what is never written again lies in a chunk whose other
 * blocks die: it has to move. */
static void pages_of_what_rests_are_kept(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	configure(w, 5);
	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 1792, 128, 0x21, false));
	for (i = 0; i < 400; i++)
		assert_int_equal(0, bed_write_blocks(w, i % 8 * 16, 16,
						     1 + i % 250, false));
	run(w, 20);
	assert_true(bed_stats(w).cleaned_chunks > 10);
	bed_take_over(w);
	bed_verify(w);
}

/*
 * Chunks full of what rests are no victims, so nobody moves their blocks, which
 * would write the pages anew: those lie together among blocks that die, and are
 * the last that is needed of the chunk.
 */
static void pages_leave_the_chunk_that_is_cleaned(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	configure(w, 5);
	w->cfg.checkpoint_log_bytes = 8 * MIB;
	bed_attach(w);
	for (i = 256; i < 1792; i += 128)
		assert_int_equal(0, bed_write_blocks(w, i, 128, 0x21, false));
	for (i = 0; i < 800; i++)
		assert_int_equal(0, bed_write_blocks(w, i % 8 * 16, 16,
						     1 + i % 250, false));
	run(w, 20);
	assert_true(bed_stats(w).cleaned_chunks > 10);
	bed_take_over(w);
	bed_verify(w);
}

static void no_cleaning_when_it_is_forbidden(void **state)
{
	struct bed *w = *state;

	configure(w, CLEAN_NEVER);
	bed_attach(w);
	bed_write_random(w, 500);
	assert_int_equal(0, bed_stats(w).cleaned_chunks);
	assert_true(bed_stats(w).stored_bytes > 4 * model_bytes(w));
	bed_verify(w);
}

static void trim_of_everything_returns_the_space(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	configure(w, 25);
	bed_attach(w);
	for (i = 0; i < BLOCKS; i += 128)
		assert_int_equal(0, bed_write_blocks(w, i, 128, 0x5a, false));
	assert_int_equal(0, bed_flush(w));
	assert_true(store_bytes(w, 0) > 8 * MIB);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM, 0,
				       (uint64_t)BLOCKS * BLOCK_SIZE, false));
	memset(w->model, 0, sizeof(w->model));
	/* What was trimmed is counted by the checkpoint of the detach. */
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	assert_true(bed_stats(w).live_bytes < MIB / 8);
	run(w, 30);
	bed_verify(w);
	for (i = 0; i < 3; i++)
		assert_true(store_bytes(w, i) < 4 * MIB);
}

/* A torusd is started anew while chunks are freed: it is told when it is back. */
static void a_peer_that_was_away_gives_back_space_when_it_returns(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	configure(w, 25);
	bed_attach(w);
	for (i = 0; i < BLOCKS; i += 128)
		assert_int_equal(0, bed_write_blocks(w, i, 128, 0x5a, false));
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM, 0,
				       (uint64_t)BLOCKS * BLOCK_SIZE, false));
	memset(w->model, 0, sizeof(w->model));
	assert_int_equal(0, bed_detach(w));
	assert_true(store_bytes(w, 0) > 6 * MIB);
	bed_stop_store(w, 0, false);
	bed_attach(w);
	run(w, 60);
	assert_true(store_bytes(w, 1) < 4 * MIB);
	bed_start_store(w, 0);
	assert_true(store_bytes(w, 0) > 6 * MIB);
	run(w, 10);
	assert_true(store_bytes(w, 0) < 4 * MIB);
	bed_verify(w);
}

/* What was cleaned just before is gone after detaching, not an hour later. */
static void detaching_gives_back_what_was_cleaned(void **state)
{
	struct bed *w = *state;
	uint64_t stored;
	unsigned int i;

	configure(w, 25);
	bed_attach(w);
	for (i = 0; i < BLOCKS; i += 128)
		assert_int_equal(0, bed_write_blocks(w, i, 128, 0x5a, false));
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM, 0,
				       (uint64_t)BLOCKS * BLOCK_SIZE, false));
	memset(w->model, 0, sizeof(w->model));
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	for (i = 0; i < 100000 && bed_stats(w).cleaned_chunks < 4; i++)
		sim_run(w->sim, NSEC_PER_MSEC / 20);
	assert_in_range(bed_stats(w).cleaned_chunks, 4, 7);
	stored = bed_stats(w).stored_bytes;
	assert_int_equal(0, bed_detach(w));
	for (i = 0; i < 3; i++)
		assert_in_range(store_bytes(w, i), 0, stored + 2 * MIB);
}

static void headers_of_a_log_written_one_by_one_are_garbage(void **state)
{
	struct bed *w = *state;
	struct volume_stats before, after;
	unsigned int i;

	configure(w, 25);
	bed_attach(w);
	for (i = 0; i < BLOCKS; i++)
		assert_int_equal(0, bed_write_blocks(w, i, 1, 0x77, false));
	before = bed_stats(w);
	run(w, 30);
	after = bed_stats(w);
	assert_true(before.cleaned_chunks + after.cleaned_chunks > 4);
	assert_true(after.stored_bytes < 8 * MIB * 4 / 3 + 4 * MIB);
	bed_verify(w);
}

/* Some blocks at once, each somewhere else, and each with its own value. */
static void write_at_once(struct bed *w, unsigned int count)
{
	uint8_t *data = w->data;
	struct bed_io io[16];
	unsigned int i;
	uint32_t block;

	for (i = 0; i < count; i++) {
		block = (uint32_t)(sim_below(w->sim, 32) * 16 + i);
		w->model[block] = (uint8_t)sim_between(w->sim, 1, 255);
		w->data = data + (size_t)i * BLOCK_SIZE;
		memset(w->data, w->model[block], BLOCK_SIZE);
		bed_io_start(w, &io[i], VOLUME_WRITE,
			     (uint64_t)block * BLOCK_SIZE, BLOCK_SIZE, false);
		sim_run(w->sim, sim_below(w->sim, NSEC_PER_MSEC / 30));
	}
	while (w->open > 0)
		assert_true(sim_step(w->sim));
	w->data = data;
	for (i = 0; i < count; i++)
		assert_int_equal(0, io[i].err);
}

/*
 * A block that is overwritten while its old version is being moved, then a
 * checkpoint, then another owner: who replays the log from that root must not
 * bring the old version back.
 */
static void what_was_moved_never_comes_back(void **state)
{
	uint64_t checkpoints = 0, relocated = 0;
	struct bed *w = *state;
	unsigned int i;

	configure(w, 1);
	w->cfg.overlay_bytes = 4 << 10;
	bed_attach(w);
	for (i = 0; i < 1500; i++) {
		write_at_once(w, 16);
		if (i % 24 != 23)
			continue;
		checkpoints += bed_stats(w).checkpoints;
		relocated += bed_stats(w).relocated_bytes;
		bed_take_over(w);
		bed_verify(w);
	}
	assert_true(checkpoints > 100);
	assert_true(relocated > MIB);
}

/* What little each of them is worth must not get lost: users wait for it. */
static void small_records_give_credit(void **state)
{
	struct bed *w = *state;
	struct cleaner *c;
	int i;

	bed_attach(w);
	c = &w->volume->cleaner;
	c->victims[0] = (struct clean_victim){ .chunk = 1, .length = 100,
					       .live = 60 };
	for (i = 0; i < 50; i++)
		cleaner_walked(w->volume, 2);
	assert_int_equal(30, c->credit);
	assert_int_equal(0, bed_detach(w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
		TEST(random_overwrites_keep_garbage_bounded),
		TEST(pages_of_what_rests_are_kept),
		TEST(pages_leave_the_chunk_that_is_cleaned),
		TEST(no_cleaning_when_it_is_forbidden),
		TEST(what_was_moved_never_comes_back),
		TEST(trim_of_everything_returns_the_space),
		TEST(a_peer_that_was_away_gives_back_space_when_it_returns),
		TEST(detaching_gives_back_what_was_cleaned),
		TEST(headers_of_a_log_written_one_by_one_are_garbage),
		TEST(small_records_give_credit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
