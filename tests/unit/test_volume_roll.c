// SPDX-License-Identifier: Apache-2.0
/* Open chunks do not stay as they are: repair and rebalance see sealed ones
 * only. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "volume/internal.h"
#include "volume/sealed.h"
#include "volume_bed.h"

static void run(struct bed *w, unsigned int seconds)
{
	sim_run(w->sim, seconds * NSEC_PER_SEC);
}

/* Copies that a store has, and how many of these are open. */
static unsigned int copies(struct bed *w, unsigned int i, unsigned int *open)
{
	struct store_copy copy = { 0 };
	unsigned int count = 0;

	*open = 0;
	while (store_copy_next(w->store[i], copy.volume, copy.chunk, &copy)) {
		count++;
		*open += copy.state == WIRE_COPY_OPEN;
	}
	return count;
}

static unsigned int open_copies(struct bed *w)
{
	unsigned int i, open, all = 0;

	for (i = 0; i < STORES; i++) {
		if (w->store[i] == NULL)
			continue;
		copies(w, i, &open);
		all += open;
	}
	return all;
}

static void an_idle_chunk_is_sealed(void **state)
{
	struct bed *w = *state;
	uint64_t changes;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 4, 0x31, false));
	run(w, 300);
	assert_int_equal(3, open_copies(w));
	run(w, 400);
	assert_int_equal(0, open_copies(w));
	changes = bed_stats(w).ensemble_changes;
	/* Nothing more happens, however long. */
	run(w, 3600);
	assert_int_equal(changes, bed_stats(w).ensemble_changes);
	assert_int_equal(0, bed_write_blocks(w, 4, 4, 0x32, false));
	bed_verify(w);
}

static void a_slow_writer_is_not_idle(void **state)
{
	struct bed *w = *state;
	uint64_t changes;
	unsigned int i;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 1, 0x31, false));
	changes = bed_stats(w).ensemble_changes;
	for (i = 1; i < 30; i++) {
		run(w, 100);
		assert_int_equal(0, bed_write_blocks(w, i, 1, 0x31, false));
	}
	assert_int_equal(changes, bed_stats(w).ensemble_changes);
	assert_int_equal(3, open_copies(w));
}

static void a_peer_that_is_back_is_taken_back(void **state)
{
	struct bed *w = *state;
	unsigned int open;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 4, 0x31, false));
	bed_stop_store(w, 1, false);
	assert_int_equal(0, bed_write_blocks(w, 4, 4, 0x32, false));
	run(w, 5);
	assert_int_equal(2, open_copies(w));
	bed_start_store(w, 1);
	run(w, 100);
	/* What was short is sealed, and repair can have it. */
	assert_int_equal(0, open_copies(w));
	assert_int_equal(0, bed_write_blocks(w, 8, 4, 0x33, false));
	copies(w, 1, &open);
	assert_int_equal(1, open);
	bed_verify(w);
}

/* A member of weight 0 moves to the end of every permutation. */
static void drain(struct bed *w, unsigned int i)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	bed_ring_spec(w, &doc->previous);
	doc->has_previous = true;
	doc->current = doc->previous;
	doc->current.version++;
	doc->current.type = RING_KETAMA;
	doc->current.members[i].weight = 0;
	key_ring(&w->cluster, key);
	bed_put(w, key, ring_doc_encode(doc));
	free(doc);
}

static void a_draining_member_gets_no_more(void **state)
{
	struct bed *w = *state;
	unsigned int before, open, i;

	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 30);
	drain(w, 1);
	run(w, 10);
	assert_int_equal(0, open_copies(w));
	before = copies(w, 1, &open);
	assert_true(before > 0);
	for (i = 0; i < 4; i++)
		bed_write_random(w, 30);
	assert_int_equal(before, copies(w, 1, &open));
	bed_verify(w);
}

/* ---- a root that lies behind ------------------------------------------------ */

/* Writes until the log has gone on in another chunk. */
static void fill_a_chunk(struct bed *w)
{
	uint64_t chunk = w->volume->end.chunk;
	unsigned int i;

	for (i = 0; w->volume->end.chunk == chunk; i++)
		assert_int_equal(0, bed_write_blocks(w, i * 8 % BLOCKS, 8,
						     (uint8_t)(i + 1), false));
}

static void a_root_does_not_stay_behind_a_chunk(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	uint64_t before, changes;

	bed_attach(w);
	run(w, 10);
	before = bed_stats(w).checkpoints;
	fill_a_chunk(w);
	run(w, 3500);
	assert_int_equal(before, bed_stats(w).checkpoints);
	run(w, 200);
	assert_int_equal(before + 1, bed_stats(w).checkpoints);
	assert_true(w->volume->checkpoint.horizon > 1);
	/* Nothing more happens, however long: it is the root of all there is, and
	 * the chunk that it is in is on the sealed list. */
	run(w, 700);
	changes = bed_stats(w).ensemble_changes;
	run(w, 24 * 3600);
	assert_int_equal(before + 1, bed_stats(w).checkpoints);
	assert_int_equal(changes, bed_stats(w).ensemble_changes);
	bed_get_volume(w, &doc);
	assert_non_null(sealed_find(&doc, block_addr_chunk(doc.root.addr)));
	/* Few writes are worth it when that chunk was left behind. */
	assert_int_equal(0, bed_write_blocks(w, 0, 4, 0x31, false));
	run(w, 2 * 3600);
	assert_int_equal(before + 2, bed_stats(w).checkpoints);
	run(w, 24 * 3600);
	assert_int_equal(before + 2, bed_stats(w).checkpoints);
	bed_verify(w);
}

/* The chunk that the writer is in has no end to be known. */
static void a_root_in_the_same_chunk_is_good_enough(void **state)
{
	struct bed *w = *state;
	uint64_t before;
	unsigned int i;

	bed_attach(w);
	run(w, 10);
	before = bed_stats(w).checkpoints;
	for (i = 0; i < 70; i++) {
		assert_int_equal(0, bed_write_blocks(w, i, 1, 0x41, false));
		run(w, 300);
	}
	assert_int_equal(before, bed_stats(w).checkpoints);
	bed_verify(w);
}

/* Nor behind what the owner before has left, who may have died before it sent
 * SEAL; nor where somebody writes now and then, and is never idle. */
static void a_slow_writer_has_a_new_root_in_time(void **state)
{
	struct bed *w = *state;
	uint64_t before;
	unsigned int i;

	bed_attach(w);
	fill_a_chunk(w);
	assert_int_equal(0, bed_flush(w));
	run(w, 10);
	bed_take_over(w);
	before = bed_stats(w).checkpoints;
	for (i = 0; i < 40; i++) {
		assert_int_equal(before, bed_stats(w).checkpoints);
		assert_int_equal(0, bed_write_blocks(w, i, 1, 0x41, false));
		run(w, 85);
	}
	for (; i < 100; i++) {
		assert_int_equal(0, bed_write_blocks(w, i, 1, 0x41, false));
		run(w, 100);
	}
	assert_int_equal(before + 1, bed_stats(w).checkpoints);
	bed_verify(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
		TEST(an_idle_chunk_is_sealed),
		TEST(a_slow_writer_is_not_idle),
		TEST(a_peer_that_is_back_is_taken_back),
		TEST(a_draining_member_gets_no_more),
		TEST(a_root_does_not_stay_behind_a_chunk),
		TEST(a_root_in_the_same_chunk_is_good_enough),
		TEST(a_slow_writer_has_a_new_root_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
