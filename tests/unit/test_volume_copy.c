// SPDX-License-Identifier: Apache-2.0
/* Copying a prefix of a chunk from peers of which each has some damage. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "volume/copy.h"
#include "volume/internal.h"
#include "volume_bed.h"

struct copying {
	struct bed *bed;
	struct copy_job job;
	struct uuid source[3];
	uint32_t bad_block;
	bool over;
	int err;
};

static void copied(void *ctx, int err)
{
	struct copying *c = ctx;

	c->over = true;
	c->err = err;
}

/* The open chunk of three members, to be copied to the fourth store. */
static void prepare(struct bed *w, struct copying *c)
{
	struct active_chunk *chunk;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 1, 1, 0xa1, false));
	assert_int_equal(0, bed_write_blocks(w, 2, 1, 0xa2, false));
	assert_int_equal(0, bed_write_blocks(w, 3, 1, 0xa3, false));
	chunk = active_find(w->volume, w->volume->end.chunk);
	assert_non_null(chunk);
	*c = (struct copying){
		.bed = w,
		.source = { w->ids[0], w->ids[1], w->ids[2] },
		.job = {
			.chunk = chunk->number, .length = chunk->length,
			.end_crc = chunk->end_crc, .target = w->ids[3],
			.done = copied,
		},
	};
}

static int copy(struct copying *c, uint32_t sources)
{
	c->job.source = c->source;
	c->job.source_count = sources;
	c->job.bad_block = &c->bad_block;
	c->job.ctx = c;
	assert_non_null(copy_start(c->bed->volume, &c->job));
	assert_true(sim_run_until(c->bed->sim, &c->over, LONG));
	return c->err;
}

static void good_copy_is_the_same_chain(void **state)
{
	struct bed *w = *state;
	struct copying c;
	char path[BED_PATH_MAX];
	uint64_t offset;

	prepare(w, &c);
	assert_int_equal(0, copy(&c, 1));
	assert_true(bed_find_block(w, 3, 0xa1, path, &offset));
	assert_true(bed_find_block(w, 3, 0xa3, path, &offset));
}

static void source_with_damage_is_asked_again_for_later_records(void **state)
{
	struct bed *w = *state;
	struct copying c;

	prepare(w, &c);
	assert_true(bed_rot_block(w, 0, 0xa1));
	assert_true(bed_rot_block(w, 1, 0xa3));
	assert_int_equal(0, copy(&c, 2));
}

static void record_that_is_damaged_everywhere_is_named(void **state)
{
	struct bed *w = *state;
	struct copying c;
	char path[BED_PATH_MAX];
	uint64_t offset;

	prepare(w, &c);
	assert_true(bed_find_block(w, 0, 0xa2, path, &offset));
	assert_true(bed_rot_block(w, 0, 0xa2));
	assert_true(bed_rot_block(w, 1, 0xa2));
	assert_int_equal(-EBADMSG, copy(&c, 2));
	assert_int_equal(offset / BLOCK_SIZE - 1, c.bad_block);
}

static void source_that_does_not_answer_has_said_nothing(void **state)
{
	struct bed *w = *state;
	struct copying c;

	prepare(w, &c);
	assert_true(bed_rot_block(w, 0, 0xa2));
	sim_net_break(w->host, w->node[1]);
	sim_net_block(w->host, w->node[1], LONG);
	assert_int_equal(-EIO, copy(&c, 2));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_copy_is_the_same_chain),
		TEST(source_with_damage_is_asked_again_for_later_records),
		TEST(record_that_is_damaged_everywhere_is_named),
		TEST(source_that_does_not_answer_has_said_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
