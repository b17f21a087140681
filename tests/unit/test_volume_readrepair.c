// SPDX-License-Identifier: Apache-2.0
/* Who reads around damage tells the peer that has it, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/maintain.h"
#include "volume_bed.h"

#define VALUE 0x3d

struct told {
	unsigned int checks;
	uint64_t volume, chunk;
	uint32_t flags;
};

static void note_check(void *ctx, uint64_t volume, uint64_t chunk,
		       uint32_t flags)
{
	struct told *told = ctx;

	told->checks++;
	told->volume = volume;
	told->chunk = chunk;
	told->flags = flags;
}

static const struct store_events events = { .check = note_check };

static void listen_to(struct bed *w, struct told *told)
{
	unsigned int i;

	memset(told, 0, STORES * sizeof(*told));
	for (i = 0; i < STORES; i++)
		if (w->store[i] != NULL)
			store_set_events(w->store[i], &events, &told[i]);
}

/* Chunks that are sealed, on the first three stores, and read from afresh. */
static void prepare(struct bed *w)
{
	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 64, 32, VALUE, true));
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
}

static void read_often(struct bed *w)
{
	for (unsigned int i = 0; i < 20; i++)
		bed_verify(w);
}

/* Damage the copy that is read from; returns whose that is. */
static unsigned int damage(struct bed *w)
{
	char path[BED_PATH_MAX];
	uint64_t offset;

	for (unsigned int i = 0; i < 3; i++) {
		assert_true(bed_find_block(w, i, VALUE, path, &offset));
		assert_int_equal(0, sim_disk_flip(w->node[i], path,
						  offset + 9));
		bed_verify(w);
		if (bed_stats(w).crc_errors > 0)
			return i;
		assert_int_equal(0, sim_disk_flip(w->node[i], path,
						  offset + 9));
	}
	fail_msg("nobody reads this block");
	return 0;
}

static void damage_is_told_to_its_peer_once(void **state)
{
	struct told told[STORES];
	struct bed *w = *state;
	unsigned int bad, i;

	prepare(w);
	listen_to(w, told);
	bad = damage(w);
	read_often(w);
	assert_int_equal(1, bed_stats(w).read_repairs);
	for (i = 0; i < STORES; i++)
		assert_int_equal(i == bad, told[i].checks);
	assert_int_equal(1, told[bad].volume);
	assert_int_equal(WIRE_CHECK_VERIFY, told[bad].flags);
}

/* The writer looks after what is not sealed. */
static void open_chunks_are_not_complained_of(void **state)
{
	struct told told[STORES];
	struct bed *w = *state;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 64, 32, VALUE, true));
	listen_to(w, told);
	damage(w);
	read_often(w);
	assert_int_equal(0, bed_stats(w).read_repairs);
}

/* An owner that lacks a sealed chunk. */
static void a_missing_copy_is_told(void **state)
{
	struct told told[STORES];
	struct bed *w = *state;

	bed_attach(w);
	for (uint32_t i = 0; i < BLOCKS; i += 64)
		assert_int_equal(0, bed_write_blocks(w, i, 64, VALUE, false));
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	/* Another ring, of which the last store is a member that has nothing. */
	bed_put_ring(w, 2, STORES);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	listen_to(w, told);
	read_often(w);
	assert_true(told[3].checks > 0);
	assert_int_equal(0, told[0].checks + told[1].checks + told[2].checks);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(damage_is_told_to_its_peer_once),
		TEST(open_chunks_are_not_complained_of),
		TEST(a_missing_copy_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
