// SPDX-License-Identifier: Apache-2.0
/* Superfluous copies in a volume's declared tail: when they may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "maint/private.h"
#include "maint_bed.h"

#define BLOCKS	4u
#define SEC	NSEC_PER_SEC

static unsigned int first_of(uint32_t mask)
{
	return (unsigned int)__builtin_ctz(mask);
}

/* One answer of an ensemble tells a recoverer where the log ends. */
static void nothing_of_the_tail_is_dropped(void **state)
{
	struct mbed *w = *state;
	unsigned int other;
	uint64_t chunk;

	w->cfg.walk_interval_ns = 60 * SEC;
	w->tail_first = 1;
	mbed_volume(w, 3);
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	chunk = mbed_put(w, 0xf, BLOCKS);
	other = first_of(0xf & ~mbed_owners(w, chunk, 0));
	sim_run(w->sim, 200 * SEC);
	mbed_settle(w);
	assert_true(mbed_has(w, other, chunk));
	w->tail_first = chunk + 1;
	mbed_volume(w, 3);
	sim_run(w->sim, 800 * SEC);
	mbed_settle(w);
	assert_false(mbed_has(w, other, chunk));
}

/* The log has moved on since the stores asked where it ends: a change of the
 * ring must not leave copies to a walk an hour later. */
static void the_tail_of_some_time_ago_keeps_nothing(void **state)
{
	struct mbed *w = *state;
	unsigned int other, i;
	uint64_t chunk;

	w->cfg.walk_interval_ns = MBED_LONG;
	w->tail_first = 1;
	mbed_volume(w, 3);
	mbed_ring(w, 3, 0x7, 0);
	mbed_start_all(w, 0xf);
	for (i = 0; i < 20; i++)
		chunk = mbed_put(w, 0x7, BLOCKS);
	sim_run(w->sim, 60 * SEC);
	w->tail_first = chunk + 1;
	mbed_volume(w, 3);
	mbed_ring(w, 3, 0xf, 0);
	sim_run(w->sim, 120 * SEC);
	mbed_settle(w);
	for (i = 0; i < 20; i++, chunk--) {
		other = first_of(0xf & ~mbed_owners(w, chunk, 0));
		assert_false(mbed_has(w, other, chunk));
	}
}

static uint64_t told_version(struct mbed *w, unsigned int i)
{
	return w->store[i].maint->moved.told;
}

/* Not by a walk; and what it keeps until then is not waited for. */
static void a_drained_peer_gives_up_what_the_tail_has_left(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk, kept = 0;

	w->tail_first = 1;
	mbed_volume(w, 3);
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 40, 1, 0);
	mbed_ring(w, 3, 0xf, 0x8);
	sim_run(w->sim, 100 * SEC);
	mbed_settle(w);
	assert_int_equal(w->ring.current.version, told_version(w, 3));
	assert_true(mbed_copies(w, 3) > 20);
	w->tail_first = 21;
	mbed_volume(w, 3);
	sim_run(w->sim, 70 * SEC);
	mbed_settle(w);
	for (chunk = 1; chunk <= 40; chunk++) {
		assert_false(chunk < 21 && mbed_has(w, 3, chunk));
		kept += mbed_has(w, 3, chunk);
	}
	assert_int_equal(kept, mbed_copies(w, 3));
	assert_true(kept > 10);
	/* Chunks that were never put lie below it, too. */
	w->tail_first = 60;
	mbed_volume(w, 3);
	sim_run(w->sim, 70 * SEC);
	assert_int_equal(0, mbed_copies(w, 3));
	mbed_settle(w);
	mbed_check_places(w);
}

static void a_superfluous_copy_goes_when_its_volume_is_known_again(void **state)
{
	struct mbed *w = *state;

	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	mbed_put_many(w, 40, 1, 0);
	mbed_forget_volume(w);
	mbed_ring(w, 3, 0xf, 0x8);
	sim_run(w->sim, 300 * SEC);
	mbed_settle(w);
	assert_true(mbed_copies(w, 3) > 20);
	mbed_volume(w, 3);
	sim_run(w->sim, 70 * SEC);
	assert_int_equal(0, mbed_copies(w, 3));
}

static void an_open_copy_of_the_tail_goes_when_that_has_moved_on(void **state)
{
	struct mbed *w = *state;
	unsigned int other;
	struct store_copy copy;
	uint64_t chunk;

	w->tail_first = 1;
	mbed_volume(w, 3);
	mbed_ring(w, 3, 0xf, 0);
	mbed_start_all(w, 0xf);
	other = first_of(0xf & ~mbed_owners(w, 1, 0));
	chunk = mbed_put_open(w, 0xf, 1u << other, BLOCKS);
	mbed_ring(w, 3, 0xf, 1u << other);
	sim_run(w->sim, 100 * SEC);
	mbed_settle(w);
	assert_true(store_copy_get(w->store[other].store, MBED_VOLUME, chunk,
				   &copy));
	w->tail_first = chunk + 1;
	mbed_volume(w, 3);
	sim_run(w->sim, 100 * SEC);
	assert_false(store_copy_get(w->store[other].store, MBED_VOLUME, chunk,
				    &copy));
	mbed_settle(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, mbed_setup, mbed_teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_of_the_tail_is_dropped),
		TEST(the_tail_of_some_time_ago_keeps_nothing),
		TEST(a_drained_peer_gives_up_what_the_tail_has_left),
		TEST(a_superfluous_copy_goes_when_its_volume_is_known_again),
		TEST(an_open_copy_of_the_tail_goes_when_that_has_moved_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
