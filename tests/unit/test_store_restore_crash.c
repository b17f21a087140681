// SPDX-License-Identifier: Apache-2.0
/* RESTORE while the power goes, or the disk fails. */
#include "restore_bed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- power loss --------------------------------------------------------------- */

/*
 * The power goes at every moment of the last piece: afterwards there is the old
 * copy or the new one, whole. @old: blocks of it that were durable.
 */
static void crash_at_every_step(void **state, uint32_t old, bool bad)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint32_t i, sealed = 0, kept = 0, whole = 0;
	struct store_copy copy;
	struct reply r;
	struct op op;

	for (i = 0; i < 150; i++) {
		f = peer_setup_again(state);
		if (old > 0) {
			append_source(f, &s, old);
			assert_int_equal(sync_chunk(f, 1, old), WIRE_OK);
		}
		if (bad) {
			assert_int_equal(seal(f, CHUNK, 1, s.blocks, s.end_crc),
					 WIRE_OK);
			sim_disk_flip(f->node, CHUNK_FILE, 5 * BLOCK_SIZE);
			assert_int_equal(verify(f, &op), -EUCLEAN);
		}
		assert_int_equal(piece(f, &s, 0, 250, NULL), WIRE_OK);
		send_piece(f, &r, &s, 250, 207);
		sim_run(f->sim, i * NSEC_PER_MSEC / 5);
		fixture_disconnect(f);
		peer_crash(f);
		copy = copy_now(f);
		if (r.hdr.status == WIRE_OK && r.done && !r.lost)
			assert_int_equal(copy.state, WIRE_COPY_SEALED);
		if (copy.state == WIRE_COPY_SEALED) {
			assert_restored(f, &s);
			sealed++;
		} else {
			assert_int_equal(copy.state,
					 bad ? WIRE_COPY_BAD : copy.length > 0 ?
					 WIRE_COPY_OPEN : WIRE_COPY_NONE);
			assert_true(copy.length == old ||
				    copy.length == s.blocks);
			kept += copy.length == old;
			whole += copy.length != old;
		}
		/* And the transfer can be done again. */
		assert_int_equal(restore(f, &s),
				 copy.state == WIRE_COPY_SEALED ? WIRE_ESEALED :
								  WIRE_OK);
		assert_restored(f, &s);
		assert_int_equal(verify(f, &op), 0);
		reply_release(&r);
	}
	assert_true(sealed > 0 && kept > 0);
	if (old < s.blocks)
		assert_true(whole > 0);
	free(s.bytes);
}

static void test_power_loss_while_a_new_copy_comes(void **state)
{
	crash_at_every_step(state, 0, false);
}

static void test_power_loss_while_an_open_copy_is_replaced(void **state)
{
	crash_at_every_step(state, 205, false);
}

static void test_power_loss_while_a_bad_copy_is_replaced(void **state)
{
	crash_at_every_step(state, 457, true);
}

/* What the store calls sealed at such a length and CRC is that, byte for byte,
 * at every moment: others count it. */
static void test_power_loss_while_an_overruled_copy_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 2), old = make_source(f, 1);
	uint32_t i, before = 0, bad = 0, after = 0;
	struct store_copy copy;
	struct reply r;
	struct op op;

	for (i = 0; i < 200; i++) {
		f = peer_setup_again(state);
		assert_int_equal(restore(f, &old), WIRE_OK);
		assert_int_equal(piece(f, &s, 0, 250, NULL), WIRE_OK);
		send_piece(f, &r, &s, 250, 207);
		sim_run(f->sim, i * NSEC_PER_MSEC / 5);
		fixture_disconnect(f);
		peer_crash(f);
		copy = copy_now(f);
		if (copy.state == WIRE_COPY_SEALED)
			assert_restored(f, copy.epoch == 1 ? &old : &s);
		else
			assert_int_equal(copy.state, WIRE_COPY_BAD);
		before += copy.state == WIRE_COPY_SEALED && copy.epoch == 1;
		after += copy.state == WIRE_COPY_SEALED && copy.epoch == 2;
		bad += copy.state == WIRE_COPY_BAD;
		assert_int_equal(restore(f, &s), copy.epoch == 2 &&
				 copy.state == WIRE_COPY_SEALED ?
				 WIRE_ESEALED : WIRE_OK);
		assert_restored(f, &s);
		assert_int_equal(verify(f, &op), 0);
		reply_release(&r);
	}
	assert_true(before > 0 && bad > 0 && after > 0);
	free(s.bytes);
	free(old.bytes);
}

static void test_failing_disk_gets_no_promise(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint32_t i, failed = 0;

	for (i = 0; i < 60; i++) {
		struct sim_disk_faults *faults;
		uint32_t status;

		f = peer_setup_again(state);
		faults = sim_node_disk_faults(f->node);
		sim_run(f->sim, i * NSEC_PER_MSEC);
		if (i % 2)
			faults->sync_eio = 2;
		else
			faults->write_eio = 8;
		status = restore(f, &s);
		faults->sync_eio = 0;
		faults->write_eio = 0;
		if (status == WIRE_OK)
			assert_restored(f, &s);
		else
			assert_true(copy_now(f).state != WIRE_COPY_SEALED);
		failed += status != WIRE_OK;
		fixture_crash(f);
		if (fixture_open(f) < 0)
			continue;
		fixture_reconnect(f, WIRE_ROLE_PEER);
		if (status == WIRE_OK)
			assert_restored(f, &s);
	}
	assert_true(failed > 10 && failed < 60);
	free(s.bytes);
}

int main(void)
{
#define RESTORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, peer_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(test_power_loss_while_a_new_copy_comes),
		RESTORE_TEST(test_power_loss_while_an_open_copy_is_replaced),
		RESTORE_TEST(test_power_loss_while_a_bad_copy_is_replaced),
		RESTORE_TEST(test_power_loss_while_an_overruled_copy_is_replaced),
		RESTORE_TEST(test_failing_disk_gets_no_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
