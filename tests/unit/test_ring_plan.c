// SPDX-License-Identifier: Apache-2.0
/* What a planned change of the ring is said to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "ring/plan.h"

#define TIB (1ull << 40)
#define CHUNKS 20000u

struct bed {
	struct ring_spec before, after;
	struct ring_plan plan;
};

static void add(struct ring_spec *spec, uint8_t n, uint64_t weight)
{
	struct ring_member *m = &spec->members[spec->member_count++];

	m->peer.byte[0] = n;
	m->peer.byte[15] = (uint8_t)(n * 91);
	uuid_from_random(&m->peer);
	m->weight = weight;
}

static struct bed *new_bed(enum ring_type type, uint8_t members)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	uint8_t i;

	assert_non_null(bed);
	bed->before.version = 1;
	bed->before.type = type;
	bed->before.replication = 3;
	for (i = 1; i <= members; i++)
		add(&bed->before, i, TIB);
	bed->after = bed->before;
	bed->after.version = 2;
	return bed;
}

static double make(struct bed *bed)
{
	assert_int_equal(ring_plan(&bed->before, &bed->after, CHUNKS,
				   &bed->plan), 0);
	return (double)bed->plan.moved / (double)bed->plan.minimum;
}

static void no_change_moves_nothing(void **state)
{
	CLEANUP_FREE struct bed *bed = new_bed(RING_KETAMA, 5);

	make(bed);
	assert_int_equal(bed->plan.moved, 0);
	assert_int_equal(bed->plan.minimum, 0);
	assert_int_equal(bed->plan.count, 5);
	assert_int_equal(bed->plan.copies_after, 3 * CHUNKS);
}

/* The figure that Torus promises for ketama, and how far mod is from it. */
static void ketama_moves_little_more_than_it_must(void **state)
{
	CLEANUP_FREE struct bed *bed = new_bed(RING_KETAMA, 10);
	CLEANUP_FREE struct bed *leaving = new_bed(RING_KETAMA, 10);
	CLEANUP_FREE struct bed *draining = new_bed(RING_KETAMA, 10);
	CLEANUP_FREE struct bed *mod = new_bed(RING_MOD, 10);

	add(&bed->after, 11, TIB);
	assert_true(make(bed) <= 1.2);
	/* Everything that moves, moves to the new one. */
	assert_int_equal(bed->plan.members[10].gained, bed->plan.moved);
	leaving->after.member_count--;
	assert_true(make(leaving) <= 1.2);
	assert_int_equal(leaving->plan.members[9].copies_after, 0);
	assert_false(leaving->plan.members[9].after);
	draining->after.members[4].weight = 0;
	assert_true(make(draining) <= 1.2);
	assert_int_equal(draining->plan.members[4].lost,
			 draining->plan.members[4].copies_before);
	/* It took nothing from the others, so that now nothing moves at all. */
	leaving->before = draining->after;
	leaving->after = draining->after;
	leaving->after.members[4] = leaving->after.members[9];
	leaving->after.member_count--;
	make(leaving);
	assert_int_equal(leaving->plan.moved, 0);
	add(&mod->after, 11, TIB);
	assert_true(make(mod) > 2);
}

static void what_is_gained_and_lost_adds_up(void **state)
{
	CLEANUP_FREE struct bed *bed = new_bed(RING_KETAMA, 6);
	uint64_t gained = 0, lost = 0;
	uint32_t i;

	bed->after.members[0].weight = 3 * TIB;
	bed->after.member_count--;
	add(&bed->after, 20, 2 * TIB);
	make(bed);
	assert_int_equal(bed->plan.count, 7);
	for (i = 0; i < bed->plan.count; i++) {
		const struct ring_plan_member *p = &bed->plan.members[i];

		assert_int_equal(p->copies_before + p->gained - p->lost,
				 p->copies_after);
		gained += p->gained;
		lost += p->lost;
	}
	assert_int_equal(gained, bed->plan.moved);
	assert_int_equal(lost, bed->plan.moved);
}

/* A member can hold a copy of each chunk, and no more, however large it is. */
static void shares_end_at_a_copy_of_each_chunk(void **state)
{
	CLEANUP_FREE struct bed *bed = new_bed(RING_KETAMA, 3);

	add(&bed->after, 9, 100 * TIB);
	make(bed);
	assert_true(bed->plan.members[3].ideal_after == CHUNKS);
	assert_int_equal(bed->plan.members[3].copies_after, CHUNKS);
	assert_true(bed->plan.members[0].ideal_after > CHUNKS * 0.66 &&
		    bed->plan.members[0].ideal_after < CHUNKS * 0.67);
	/* Fewer members than copies: each has everything. */
	bed->after.member_count = 2;
	make(bed);
	assert_true(bed->plan.members[1].ideal_after == CHUNKS);
}

static void more_copies_are_made(void **state)
{
	CLEANUP_FREE struct bed *bed = new_bed(RING_ZONES, 5);

	bed->after.replication = 4;
	assert_true(make(bed) < 1.01);
	assert_int_equal(bed->plan.moved, CHUNKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_change_moves_nothing),
		cmocka_unit_test(ketama_moves_little_more_than_it_must),
		cmocka_unit_test(what_is_gained_and_lost_adds_up),
		cmocka_unit_test(shares_end_at_a_copy_of_each_chunk),
		cmocka_unit_test(more_copies_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
