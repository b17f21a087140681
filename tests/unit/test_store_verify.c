// SPDX-License-Identifier: Apache-2.0
/* The verification of copies. */
#include "restore_bed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
#define RESTORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, peer_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(test_verification_names_what_is_bad),
		RESTORE_TEST(test_unreadable_copy_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
