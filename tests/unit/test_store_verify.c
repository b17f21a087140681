// SPDX-License-Identifier: Apache-2.0
/* The verification of copies. */
#include "restore_bed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* ---- verification ------------------------------------------------------------- */

static void test_verification_names_what_is_bad(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct op op;

	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_int_equal(verify(f, &op), 0);
	assert_int_equal(op.op.verified, (uint64_t)s.blocks * BLOCK_SIZE);
	/* Payload block 50 of the record at block 4. */
	sim_disk_flip(f->node, CHUNK_FILE, 55 * BLOCK_SIZE);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(le64_to_cpu(op.op.finding.volume), VOLUME);
	assert_int_equal(le64_to_cpu(op.op.finding.chunk), CHUNK);
	assert_int_equal(le32_to_cpu(op.op.finding.block), 55);
	assert_int_equal(le32_to_cpu(op.op.finding.kind), EXTENT_DATA);
	assert_int_equal(le64_to_cpu(op.op.finding.volume_block), 10 + 50);
	assert_int_equal(verify(f, &op), -EUCLEAN);	/* known by now */
	/* A header. */
	assert_int_equal(restore(f, &s), WIRE_OK);
	sim_disk_flip(f->node, CHUNK_FILE, 205 * BLOCK_SIZE + 40);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(le32_to_cpu(op.op.finding.block), 205);
	assert_int_equal(le32_to_cpu(op.op.finding.kind), 0);
	assert_int_equal(le64_to_cpu(op.op.finding.volume_block), UINT64_MAX);
	assert_int_equal(op.op.verified, 205 * BLOCK_SIZE);
	free(s.bytes);
}

static void test_unreadable_copy_is_bad(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct op op;

	assert_int_equal(restore(f, &s), WIRE_OK);
	sim_node_disk_faults(f->node)->read_eio = 1;
	assert_int_equal(verify(f, &op), -EUCLEAN);
	sim_node_disk_faults(f->node)->read_eio = 0;
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	free(s.bytes);
}

static void verify_done(struct store_copy_op *copy_op, int err)
{
	struct op *op = container_of(copy_op, struct op, op);

	op->done = true;
	op->err = err;
}

/* A later epoch seals it shorter where one reads: that is no damage. */
static void test_cut_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want;
	struct record *r = record_new();
	uint32_t i, cut = 0;

	assert_non_null(r);
	assert_int_equal(record_decode(s.bytes, s.blocks * BLOCK_SIZE, r), 0);
	want = s;
	want.blocks = record_blocks(r);
	want.end_crc = r->crc;
	want.epoch = 2;
	for (i = 0; i < 30; i++) {
		struct op op = { .op = { .volume = VOLUME, .chunk = CHUNK,
					 .done = verify_done } };

		f = peer_setup_again(state);
		assert_int_equal(restore(f, &s), WIRE_OK);
		sim_node_disk_faults(f->node)->slow_until = UINT64_MAX;
		sim_node_disk_faults(f->node)->slow_extra = 2 * NSEC_PER_MSEC;
		store_copy_verify(f->store, &op.op);
		sim_run(f->sim, i * NSEC_PER_MSEC);
		assert_int_equal(seal(f, CHUNK, 2, want.blocks, want.end_crc),
				 WIRE_OK);
		if (!op.done)
			assert_true(sim_run_until(f->sim, &op.done,
						  100 * NSEC_PER_SEC));
		assert_true(op.err == 0 || op.err == -EAGAIN);
		cut += op.err != 0;
		assert_restored(f, &want);
	}
	assert_true(cut > 0);
	record_free(r);
	free(s.bytes);
}

int main(void)
{
#define RESTORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, peer_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(test_verification_names_what_is_bad),
		RESTORE_TEST(test_unreadable_copy_is_bad),
		RESTORE_TEST(test_cut_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
