// SPDX-License-Identifier: Apache-2.0
/* Where copies go: repair, rebalance, and what may be dropped. */
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
#include "maint/private.h"
#include "maint_bed.h"
#include "store/private.h"

#define BLOCKS	4u
#define BYTES	((uint64_t)BLOCKS * BLOCK_SIZE)
#define SEC	NSEC_PER_SEC

static unsigned int count_bits(uint32_t mask)
{
	return (unsigned int)__builtin_popcount(mask);
}

static unsigned int first_of(uint32_t mask)
{
	return (unsigned int)__builtin_ctz(mask);
}

/* ---- repair ----------------------------------------------------------------- */

static void what_owners_lack_is_copied_to_them(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk;

	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	for (chunk = 1; chunk <= 30; chunk++)
		mbed_put(w, 1u << first_of(mbed_owners(w, chunk, 0)), BLOCKS);
	mbed_settle(w);
	mbed_check_places(w);
	assert_int_equal(30 * 2 * BYTES, mbed_copied_bytes(w));
}

static void a_chunk_of_several_pieces_is_the_same_elsewhere(void **state)
{
	struct mbed *w = *state;

	mbed_ring(w, 3, 0x7, 0);
	mbed_start_all(w, 0x7);
	mbed_put(w, 1, 1500);
	mbed_put(w, 2, 1);
	mbed_settle(w);
	mbed_check_places(w);
}

static void fewest_copies_come_first(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk, single = 0;
	struct maint *m;

	/* All on the first store; every third chunk nowhere else. */
	w->cfg.transfers = 1;
	mbed_ring(w, 3, 0x7, 0);
	mbed_start(w, 0);
	mbed_start(w, 1);
	mbed_start(w, 2);
	for (chunk = 1; chunk <= 60; chunk++)
		mbed_put(w, chunk % 3 == 0 ? 1 : 3, BLOCKS);
	mbed_maintain(w, 0);
	m = w->store[0].maint;
	while (m->copied_chunks < 20)
		assert_true(sim_step(w->sim));
	for (chunk = 1; chunk <= 60; chunk++)
		single += count_bits(mbed_holders(w, chunk)) < 2;
	assert_int_equal(0, single);
	mbed_settle(w);
	mbed_check_places(w);
}

static void a_lost_peer_is_replaced_after_the_grace(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk;
	uint32_t held;

	w->cfg.recovery_grace_ns = 60 * SEC;
	mbed_ring(w, 3, 0x1f, 0);
	mbed_start_all(w, 0x1f);
	mbed_put_many(w, 60, BLOCKS, 0);
	mbed_settle(w);
	assert_int_equal(0, mbed_copied_bytes(w));
	held = mbed_copies(w, 2);
	mbed_stop(w, 2);
	sim_run(w->sim, 50 * SEC);
	assert_int_equal(0, mbed_copied_bytes(w));
	mbed_settle(w);
	assert_int_equal(held * BYTES, mbed_copied_bytes(w));
	for (chunk = 1; chunk <= w->chunks; chunk++)
		assert_int_equal(mbed_owners(w, chunk, 1u << 2),
				 mbed_holders(w, chunk));
	/* It is back: what was copied elsewhere goes. */
	mbed_start_all(w, 1u << 2);
	mbed_settle(w);
	assert_int_equal(held * BYTES, mbed_copied_bytes(w));
	assert_int_equal(held, mbed_dropped(w));
	mbed_check_places(w);
}

/* Owner and stand-in are full: who comes next gets the copy, and a copy that is
 * nowhere needed waits for room without an end to maintenance. */
static void full_peers_are_passed_over(void **state)
{
	struct mbed *w = *state;
	uint16_t order[RING_MEMBERS_MAX];
	uint64_t chunk;

	mbed_volume(w, 2);
	mbed_ring(w, 2, MBED_ALL, 0);
	assert_int_equal(MBED_STORES, ring_permutation(w->function, MBED_VOLUME,
						       1, order));
	w->store[order[1]].size = 200 * BLOCK_SIZE;
	w->store[order[2]].size = 200 * BLOCK_SIZE;
	mbed_start_all(w, MBED_ALL);
	chunk = mbed_put(w, 1u << order[0] | 1u << order[5], 300);
	mbed_settle(w);
	assert_int_equal(1u << order[0] | 1u << order[3] | 1u << order[5],
			 mbed_holders(w, chunk));
	/* There is room again. */
	w->store[order[1]].size = 0;
	mbed_stop(w, order[1]);
	mbed_start(w, order[1]);
	mbed_maintain(w, order[1]);
	sim_run(w->sim, 3 * MBED_LONG);
	mbed_settle(w);
	mbed_check_places(w);
}

/* One that had no room for a large chunk may have some for a small one. */
static void a_full_peer_is_asked_to_take_less(void **state)
{
	struct mbed *w = *state;
	uint64_t large, small;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	w->store[1].size = 200 * BLOCK_SIZE;
	mbed_start_all(w, 0x3);
	large = mbed_put(w, 0x1, 300);
	mbed_settle(w);
	small = mbed_put(w, 0x1, BLOCKS);
	mbed_settle(w);
	assert_int_equal(0x1, mbed_holders(w, large));
	assert_int_equal(0x3, mbed_holders(w, small));
}

static void a_short_outage_copies_only_what_is_missing(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk;
	uint32_t missed = 0;

	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 60, BLOCKS, 0);
	mbed_settle(w);
	mbed_stop(w, 1);
	mbed_put_many(w, 20, BLOCKS, 1u << 1);
	for (chunk = 61; chunk <= 80; chunk++)
		missed += (mbed_owners(w, chunk, 0) >> 1) & 1;
	assert_in_range(missed, 5, 20);
	sim_run(w->sim, 120 * SEC);
	assert_int_equal(0, mbed_copied_bytes(w));
	mbed_start_all(w, 1u << 1);
	mbed_settle(w);
	assert_int_equal(missed * BYTES, mbed_copied_bytes(w));
	mbed_check_places(w);
}

static void verified(struct store_copy_op *op, int err)
{
	bool *done = op->ctx;

	assert_int_equal(-EUCLEAN, err);
	*done = true;
}

/* The copy rots, and its store has found that out. */
static void spoil(struct mbed *w, unsigned int i, uint64_t chunk)
{
	bool done = false;
	struct store_copy_op op = {
		.volume = MBED_VOLUME, .chunk = chunk, .done = verified,
		.ctx = &done,
	};
	char path[64];

	snprintf(path, sizeof(path), "chunks/%016llx/%012llx",
		 (unsigned long long)MBED_VOLUME, (unsigned long long)chunk);
	assert_int_equal(0, sim_disk_flip(w->store[i].node, path, 9));
	store_copy_verify(w->store[i].store, &op);
	assert_true(sim_run_until(w->sim, &done, SEC));
}

static void a_bad_copy_that_does_not_belong_here_goes(void **state)
{
	struct store_copy copy;
	struct mbed *w = *state;
	unsigned int other, i;
	uint64_t chunk;

	mbed_ring(w, 3, 0xf, 0);
	for (i = 0; i < 4; i++)
		mbed_start(w, i);
	chunk = mbed_put(w, 0xf, BLOCKS);
	other = first_of(0xf & ~mbed_owners(w, chunk, 0));
	spoil(w, other, chunk);
	for (i = 0; i < 4; i++)
		mbed_maintain(w, i);
	mbed_settle(w);
	assert_false(store_copy_get(w->store[other].store, MBED_VOLUME, chunk,
				    &copy));
	mbed_check_places(w);
}

/* When it is looked at first, an owner has no copy yet: the others give it one. */
static void a_bad_copy_goes_when_the_owners_have_theirs(void **state)
{
	unsigned int other, lacking, i;
	struct store_copy copy;
	struct mbed *w = *state;
	uint32_t owners;
	uint64_t chunk;

	mbed_ring(w, 3, 0xf, 0);
	for (i = 0; i < 4; i++)
		mbed_start(w, i);
	owners = mbed_owners(w, 1, 0);
	other = first_of(0xf & ~owners);
	lacking = first_of(owners);
	chunk = mbed_put(w, 0xf & ~(1u << lacking), BLOCKS);
	spoil(w, other, chunk);
	mbed_maintain(w, other);
	sim_run(w->sim, 20 * SEC);
	for (i = 0; i < 4; i++)
		if (i != other)
			mbed_maintain(w, i);
	mbed_settle(w);
	assert_false(store_copy_get(w->store[other].store, MBED_VOLUME, chunk,
				    &copy));
	mbed_check_places(w);
}

static void a_copy_that_stayed_open_is_replaced(void **state)
{
	struct mbed *w = *state;

	mbed_ring(w, 3, 0x7, 0);
	mbed_start_all(w, 0x7);
	mbed_put_open(w, 0x7, 0x4, BLOCKS);
	mbed_settle(w);
	mbed_check_places(w);
	assert_int_equal(BYTES, mbed_copied_bytes(w));
}

/* What waits to be tried again is left to do. */
static void what_is_put_off_counts(void **state)
{
	struct mbed *w = *state;
	uint64_t bytes, fewer, chunks = 0;
	unsigned int i;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start_all(w, 0x3);
	/* The other owner's may be counted on, so it is not replaced. */
	mbed_put_shorter(w, 0x1, 1);
	mbed_fence(w, 1, 2);
	mbed_stop(w, 1);
	mbed_start_all(w, 0x2);
	sim_run(w->sim, 60 * SEC);
	for (i = 0; i < 20; i++) {
		sim_run(w->sim, 7 * SEC);
		chunks = maint_put_off(w->store[0].maint, &bytes, &fewer);
		assert_int_equal(1, chunks);
		assert_int_equal(1, fewer);
		assert_int_equal(w->blocks[1] * BLOCK_SIZE, bytes);
	}
	assert_true(store_copy_settle(w->store[1].store, MBED_VOLUME, 1,
				      w->blocks[1], 0, 2));
	sim_run(w->sim, 1200 * SEC);
	mbed_settle(w);
	assert_int_equal(0, maint_put_off(w->store[0].maint, &bytes, &fewer));
	assert_int_equal(0, bytes);
}

static void a_volume_that_is_not_known_is_copied_and_not_dropped(void **state)
{
	struct mbed *w = *state;

	mbed_ring(w, 2, 0x3, 0);
	mbed_forget_volume(w);
	mbed_start_all(w, 0x7);
	mbed_put(w, 0x4, BLOCKS);
	mbed_settle(w);
	assert_int_equal(0x7, mbed_holders(w, 1));
	mbed_volume(w, 2);
	sim_run(w->sim, 2 * 3600 * SEC);
	mbed_settle(w);
	assert_int_equal(0x3, mbed_holders(w, 1));
}

/* A recoverer may count on records that the owners do not have. */
static void an_open_copy_that_a_later_epoch_knows_of_stays(void **state)
{
	struct mbed *w = *state;
	struct store_copy copy;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start_all(w, 0x7);
	mbed_put_shorter(w, 0x3, 2);
	mbed_fence(w, 2, 2);
	sim_run(w->sim, 2 * 3600 * SEC);
	mbed_settle(w);
	assert_true(store_copy_get(w->store[2].store, MBED_VOLUME, 1, &copy));
	assert_int_equal(WIRE_COPY_OPEN, copy.state);
	assert_int_equal(0x3, mbed_holders(w, 1));
}

/* Unless a published root says how much of it counts. */
static void an_open_copy_that_is_settled_goes(void **state)
{
	struct mbed *w = *state;
	struct store_copy copy;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start_all(w, 0x7);
	mbed_put_shorter(w, 0x3, 2);
	mbed_put_shorter(w, 0x3, 2);
	mbed_fence(w, 2, 2);
	assert_true(store_copy_get(w->store[0].store, MBED_VOLUME, 1, &copy));
	assert_true(store_copy_settle(w->store[2].store, MBED_VOLUME, 1,
				      copy.length, 0, 2));
	/* Of the other one the owners have less than counts. */
	assert_true(store_copy_settle(w->store[2].store, MBED_VOLUME, 2,
				      copy.length + 1, 0, 2));
	sim_run(w->sim, 2 * 3600 * SEC);
	mbed_settle(w);
	assert_false(store_copy_get(w->store[2].store, MBED_VOLUME, 1, &copy));
	assert_true(store_copy_get(w->store[2].store, MBED_VOLUME, 2, &copy));
	assert_int_equal(0x3, mbed_holders(w, 1));
}

/* The only sealed copy rots while the other owner has missed its SEAL. */
static void an_open_copy_heals_the_only_sealed_one(void **state)
{
	struct mbed *w = *state;
	struct store_copy copy;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start(w, 0);
	mbed_start(w, 1);
	mbed_put_open(w, 0x3, 0x2, BLOCKS);
	mbed_fence(w, 1, 2);
	spoil(w, 0, 1);
	mbed_maintain(w, 0);
	mbed_maintain(w, 1);
	/* It may not, as long as nobody knows how much of it counts. */
	sim_run(w->sim, 300 * SEC);
	assert_true(store_copy_get(w->store[1].store, MBED_VOLUME, 1, &copy));
	assert_int_equal(WIRE_COPY_OPEN, copy.state);
	assert_true(store_copy_settle(w->store[1].store, MBED_VOLUME, 1,
				      BLOCKS, 0, 2));
	sim_run(w->sim, 300 * SEC);
	mbed_settle(w);
	mbed_check_places(w);
	assert_int_equal(0x3, mbed_holders(w, 1));
}

/* Not if a good one can come, nor against what that epoch has sealed. */
static void an_open_copy_is_not_sealed_against_others(void **state)
{
	struct mbed *w = *state;
	struct store_copy copy;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start(w, 0);
	mbed_start(w, 1);
	mbed_put_shorter(w, 0x1, 1);
	spoil(w, 0, 1);
	mbed_maintain(w, 0);
	mbed_maintain(w, 1);
	assert_true(store_copy_get(w->store[1].store, MBED_VOLUME, 1, &copy));
	assert_true(store_copy_settle(w->store[1].store, MBED_VOLUME, 1,
				      copy.length, 0, 1));
	sim_run(w->sim, 600 * SEC);
	assert_true(store_copy_get(w->store[1].store, MBED_VOLUME, 1, &copy));
	assert_int_equal(WIRE_COPY_OPEN, copy.state);
}

static void an_open_copy_that_nobody_wants_goes(void **state)
{
	struct mbed *w = *state;
	struct store_copy copy;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start_all(w, 0x7);
	mbed_put_shorter(w, 0x3, 2);
	sim_run(w->sim, 2 * 3600 * SEC);
	mbed_settle(w);
	assert_false(store_copy_get(w->store[2].store, MBED_VOLUME, 1, &copy));
	assert_int_equal(0x3, mbed_holders(w, 1));
}

/* ---- rings -------------------------------------------------------------------- */

static void a_new_peer_moves_its_share_and_little_more(void **state)
{
	struct mbed *w = *state;
	uint64_t least = 200 * 3 * BYTES / 5;
	struct ring_doc *doc = calloc(1, sizeof(*doc));

	assert_non_null(doc);
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0x1f);
	mbed_put_many(w, 200, BLOCKS, 0);
	mbed_settle(w);
	mbed_ring(w, 3, 0x1f, 0);
	mbed_settle(w);
	mbed_check_places(w);
	print_message("moved %llu bytes, %.2f times the least\n",
		      (unsigned long long)mbed_copied_bytes(w),
		      (double)mbed_copied_bytes(w) / (double)least);
	assert_in_range(mbed_copied_bytes(w), least / 2, least * 12 / 10);
	/* All of them say so, and the ring before is forgotten. */
	mbed_read_ring(w, doc);
	assert_int_equal(2, doc->current.version);
	assert_false(doc->has_previous);
	free(doc);
}

/* Somebody writes all the time, so that there is always a chunk to look at. */
static void a_ring_change_ends_under_load(void **state)
{
	struct mbed *w = *state;
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	unsigned int seconds = 0;

	assert_non_null(doc);
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0x1f);
	mbed_put_many(w, 20, BLOCKS, 0);
	mbed_settle(w);
	mbed_ring(w, 3, 0x1f, 0);
	do {
		mbed_put_many(w, 1, BLOCKS, 0);
		sim_run(w->sim, SEC);
		mbed_read_ring(w, doc);
		assert_in_range(++seconds, 0, 120);
	} while (doc->has_previous);
	assert_false(maint_settled(w->store[0].maint) &&
		     maint_settled(w->store[1].maint) &&
		     maint_settled(w->store[2].maint));
	free(doc);
	mbed_settle(w);
	mbed_check_places(w);
}

static void a_drained_peer_becomes_empty(void **state)
{
	struct mbed *w = *state;

	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 60, BLOCKS, 0);
	mbed_settle(w);
	assert_in_range(mbed_copies(w, 3), 20, 60);
	mbed_ring(w, 3, 0xf, 1u << 3);
	mbed_settle(w);
	assert_int_equal(0, mbed_copies(w, 3));
	mbed_check_places(w);
}

static void nothing_is_dropped_while_rings_differ(void **state)
{
	struct mbed *w = *state;
	uint32_t before;
	uint64_t chunk;

	mbed_ring(w, 2, 0x7, 0);
	mbed_volume(w, 2);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 40, BLOCKS, 0);
	mbed_settle(w);
	before = mbed_copies(w, 0);
	/* All owners will be among 1, 2, 3, and these do not hear of it. */
	sim_meta_unreachable(w->store[1].node, 600 * SEC);
	sim_meta_unreachable(w->store[2].node, 600 * SEC);
	sim_meta_unreachable(w->store[3].node, 600 * SEC);
	mbed_ring(w, 2, 0xe, 0);
	sim_run(w->sim, 300 * SEC);
	assert_int_equal(2, w->store[0].maint->ring_version);
	assert_int_equal(1, w->store[1].maint->ring_version);
	assert_int_equal(before, mbed_copies(w, 0));
	for (chunk = 1; chunk <= w->chunks; chunk++)
		assert_true(count_bits(mbed_holders(w, chunk)) >= 2);
	mbed_settle(w);
	mbed_check_places(w);
	assert_int_equal(0, mbed_copies(w, 0));
}

/* Between the decision and the step that unlinks. */
static void a_ring_that_comes_meanwhile_calls_a_drop_off(void **state)
{
	struct mbed *w = *state;
	struct maint *m;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0x3, 0);
	mbed_start_all(w, 0x7);
	mbed_put(w, 0x7, BLOCKS);
	m = w->store[2].maint;
	while (m->dropping_count == 0)
		assert_true(sim_step(w->sim));
	m->ring_version++;
	while (m->dropping_count > 0)
		assert_true(sim_step(w->sim));
	assert_true(mbed_has(w, 2, 1));
	assert_int_equal(0, m->dropped_chunks);
	m->ring_version--;
	mbed_settle(w);
	assert_int_equal(0x3, mbed_holders(w, 1));
}

static void check_copies(struct mbed *w, unsigned int least)
{
	uint64_t chunk;

	for (chunk = 1; chunk <= w->chunks; chunk++)
		assert_true(count_bits(mbed_holders(w, chunk)) >= least);
}

/* Owners change faster than they can be told of it, at different times. */
static void ring_changes_in_flight_lose_no_copy(void **state)
{
	static const uint32_t masks[] = { 0x3, 0xc, 0x9, 0x6, 0x5, 0xa };
	struct mbed *w = *state;
	unsigned int round, i, step;

	mbed_volume(w, 2);
	mbed_ring(w, 2, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 12, BLOCKS, 0);
	mbed_settle(w);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 4; i++)
			if (sim_chance(w->sim, 1, 3))
				sim_meta_unreachable(w->store[i].node,
						     sim_below(w->sim, 40 * SEC));
		mbed_ring(w, 2, masks[sim_below(w->sim, ARRAY_SIZE(masks))], 0);
		for (step = (unsigned int)sim_below(w->sim, 300); step > 0;
		     step--) {
			sim_run(w->sim, 100 * NSEC_PER_MSEC);
			check_copies(w, 2);
		}
	}
	mbed_settle(w);
	mbed_check_places(w);
}

/* ---- faults --------------------------------------------------------------------- */

/* Peers come and go, connections break in the middle of transfers. */
static void faults_delay_it_and_no_more(void **state)
{
	struct mbed *w = *state;
	unsigned int round, i;

	w->cfg.recovery_grace_ns = 20 * SEC;
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	for (round = 1; round <= 30; round++)
		mbed_put(w, 1u << first_of(mbed_owners(w, round, 0)), 600);
	for (round = 0; round < 60; round++) {
		i = (unsigned int)sim_below(w->sim, 4);
		if (sim_chance(w->sim, 1, 4)) {
			mbed_stop(w, i);
			sim_run(w->sim, sim_below(w->sim, 30 * SEC));
			mbed_start_all(w, 1u << i);
		} else if (sim_chance(w->sim, 1, 2)) {
			sim_net_break(w->store[i].node, NULL);
		} else {
			sim_node_hang(w->store[i].node,
				      sim_below(w->sim, 20 * SEC));
		}
		sim_run(w->sim, sim_below(w->sim, 3 * SEC));
		check_copies(w, 1);
	}
	mbed_settle(w);
	mbed_check_places(w);
}

/* A peer that comes and goes all the time is looked at now and then only. */
static void a_flapping_peer_causes_no_storm(void **state)
{
	struct mbed *w = *state;
	const struct peer_stats *stats;
	unsigned int i;
	uint64_t calls;

	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 40, BLOCKS, 0);
	mbed_settle(w);
	stats = peer_stats(members_find(w->store[0].maint, &w->store[1].id)
			   ->peer);
	calls = stats->calls;
	for (i = 0; i < 600; i++) {
		sim_net_break(w->store[1].node, NULL);
		sim_run(w->sim, 100 * NSEC_PER_MSEC);
	}
	/* A minute: one LOOKUP per walk, a walk per second at most. */
	assert_in_range(stats->calls - calls, 0, 70);
	mbed_settle(w);
	assert_int_equal(0, mbed_copied_bytes(w));
	mbed_check_places(w);
}

/* ---- limits ---------------------------------------------------------------------- */

static void more_than_fits_is_found_again(void **state)
{
	struct mbed *w = *state;
	struct maint *m;

	mbed_ring(w, 3, 0x7, 0);
	mbed_start(w, 0);
	mbed_start(w, 1);
	mbed_start(w, 2);
	mbed_put_many(w, 50, BLOCKS, 0x6);
	mbed_maintain(w, 0);
	m = w->store[0].maint;
	m->queued_max = 8;
	m->parked_max = 8;
	mbed_settle(w);
	mbed_check_places(w);
	assert_int_equal(100, m->copied_chunks);
}

static void copies_keep_to_the_rate(void **state)
{
	struct mbed *w = *state;
	uint64_t began;

	w->cfg.rate_idle = 1u << 20;
	mbed_ring(w, 3, 0x7, 0);
	mbed_start(w, 0);
	mbed_start(w, 1);
	mbed_start(w, 2);
	mbed_put(w, 1, 2000);
	mbed_maintain(w, 0);
	while (w->store[0].maint->pushing_count == 0)
		assert_true(sim_step(w->sim));
	began = sim_now(w->sim);
	while (w->store[0].maint->copied_chunks < 2)
		assert_true(sim_step(w->sim));
	/* 15.6 MiB, of which some were saved up. */
	assert_in_range(sim_now(w->sim) - began, 13 * SEC, 20 * SEC);
	mbed_settle(w);
	mbed_check_places(w);
}

/* Clients of the peers that get the copies count as one's own. */
static void copies_are_gentle_to_the_clients_of_others(void **state)
{
	struct mbed *w = *state;
	uint64_t began;
	uint32_t i;

	w->cfg.rate_busy = 1u << 20;
	mbed_ring(w, 3, 0x7, 0);
	for (i = 0; i < 3; i++)
		mbed_start(w, i);
	mbed_put(w, 1, 2000);
	for (i = 1; i < 3; i++)
		w->store[i].store->clients.until = UINT64_MAX;
	mbed_maintain(w, 0);
	while (w->store[0].maint->pushing_count == 0)
		assert_true(sim_step(w->sim));
	began = sim_now(w->sim);
	while (w->store[0].maint->copied_chunks < 1)
		assert_true(sim_step(w->sim));
	/* 7.8 MiB, of which the first piece is sent before it is known. */
	assert_in_range(sim_now(w->sim) - began, 6 * SEC, 9 * SEC);
	for (i = 1; i < 3; i++)
		w->store[i].store->clients.until = 0;
	began = sim_now(w->sim);
	while (w->store[0].maint->copied_chunks < 2)
		assert_true(sim_step(w->sim));
	assert_in_range(sim_now(w->sim) - began, 0, 2 * SEC);
	mbed_settle(w);
	mbed_check_places(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, mbed_setup, mbed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_owners_lack_is_copied_to_them),
		TEST(a_chunk_of_several_pieces_is_the_same_elsewhere),
		TEST(fewest_copies_come_first),
		TEST(a_lost_peer_is_replaced_after_the_grace),
		TEST(full_peers_are_passed_over),
		TEST(a_full_peer_is_asked_to_take_less),
		TEST(a_short_outage_copies_only_what_is_missing),
		TEST(a_bad_copy_that_does_not_belong_here_goes),
		TEST(a_bad_copy_goes_when_the_owners_have_theirs),
		TEST(a_copy_that_stayed_open_is_replaced),
		TEST(what_is_put_off_counts),
		TEST(a_volume_that_is_not_known_is_copied_and_not_dropped),
		TEST(an_open_copy_that_a_later_epoch_knows_of_stays),
		TEST(an_open_copy_that_is_settled_goes),
		TEST(an_open_copy_heals_the_only_sealed_one),
		TEST(an_open_copy_is_not_sealed_against_others),
		TEST(an_open_copy_that_nobody_wants_goes),
		TEST(a_new_peer_moves_its_share_and_little_more),
		TEST(a_ring_change_ends_under_load),
		TEST(a_drained_peer_becomes_empty),
		TEST(nothing_is_dropped_while_rings_differ),
		TEST(a_ring_that_comes_meanwhile_calls_a_drop_off),
		TEST(ring_changes_in_flight_lose_no_copy),
		TEST(faults_delay_it_and_no_more),
		TEST(a_flapping_peer_causes_no_storm),
		TEST(more_than_fits_is_found_again),
		TEST(copies_keep_to_the_rate),
		TEST(copies_are_gentle_to_the_clients_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
