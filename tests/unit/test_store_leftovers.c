// SPDX-License-Identifier: Apache-2.0
/* What deletions that a loss of power cut short leave for the next start. */
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHUNK_STEPS	30u
#define VOLUME_STEPS	12u

static void ignore_end(void *ctx, int err)
{
}

static void run_steps(struct fixture *f, uint32_t steps)
{
	while (steps-- && sim_step(f->sim))
		;
}

/*
 * DELETE of a chunk, and its whole volume's meanwhile; then the power goes. The
 * answer, which may not have come, is awaited until the store is open again.
 */
static void cut_short(struct fixture *f, struct reply *r, uint32_t first,
		      uint32_t second)
{
	struct wire_chunk body = { .volume = cpu_to_le64(VOLUME),
				   .chunk = cpu_to_le64(CHUNK) };

	assert_int_equal(fixture_open(f), 0);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	append_new(f, 4);
	assert_int_equal(seal(f, CHUNK, 1, 5, f->prev_crc), WIRE_OK);
	send_request(f, r, WIRE_DELETE, 0, &body, NULL, 0);
	run_steps(f, first);
	store_delete_volume(f->store, VOLUME, ignore_end, NULL);
	run_steps(f, second);
	fixture_crash(f);
}

static void test_tombstone_takes_what_a_delete_had_in_hand(void **state)
{
	struct fixture *f = *state;
	uint32_t first, second, gone = 0;
	struct store_stats stats;
	struct reply r;

	for (first = 0; first < CHUNK_STEPS; first++)
		for (second = 0; second < VOLUME_STEPS; second++) {
			fixture_release(f);
			fixture_init(f);
			cut_short(f, &r, first, second);
			fixture_reopen(f);
			reply_release(&r);
			sim_run(f->sim, NSEC_PER_SEC);
			if (fence(f, 7, NULL) != WIRE_EFENCED)
				continue;
			gone++;
			store_stats(f->store, &stats);
			assert_int_equal(stats.chunks, 0);
			assert_int_equal(sim_disk_peek(f->node,
						       "chunks/0000000000000011",
						       0, NULL, 0, false),
					 -ENOENT);
		}
	assert_true(gone > CHUNK_STEPS);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_tombstone_takes_what_a_delete_had_in_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
