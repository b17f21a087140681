// SPDX-License-Identifier: Apache-2.0
/* The simulator's model accepts what is allowed and catches what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../sim/lib/model.h"

#define BLOCKS 8u
#define SECTORS (BLOCKS * BLOCK_SECTORS)

struct fixture {
	struct model *model;
	unsigned int complaints;
	char last[256];
	_Alignas(8) uint8_t volume[SECTORS * SECTOR];
	uint64_t now;
};

static void complain(void *ctx, const char *what)
{
	struct fixture *f = ctx;

	f->complaints++;
	snprintf(f->last, sizeof(f->last), "%s", what);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->model = model_new(SECTORS, complain, f);
	f->now = 1;
	model_attached(f->model, 1, f->now++);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	model_free(f->model);
	free(f);
	return 0;
}

/* Sectors unless it says blocks. */
static uint32_t submit(struct fixture *f, enum volume_op type, uint64_t first,
		       uint64_t count, bool fua)
{
	struct volume_request req = {
		.op = type, .offset = first * SECTOR, .length = count * SECTOR,
		.fua = fua,
	};

	return model_submit(f->model, 1, &req, f->now++);
}

static uint32_t write_blocks(struct fixture *f, uint64_t first, uint64_t count)
{
	return submit(f, VOLUME_WRITE, first * BLOCK_SECTORS,
		      count * BLOCK_SECTORS, false);
}

static void done(struct fixture *f, uint32_t id, int err)
{
	model_done(f->model, id, err, f->now++);
}

static uint32_t written(struct fixture *f, uint64_t first, uint64_t count)
{
	uint32_t id = write_blocks(f, first, count);

	done(f, id, 0);
	return id;
}

static void flushed(struct fixture *f)
{
	done(f, submit(f, VOLUME_FLUSH, 0, 0, false), 0);
}

/* What the next owner finds: id 0 = zeros. */
static void disk(struct fixture *f, uint64_t first, uint64_t count, uint32_t id)
{
	uint64_t s;

	for (s = first * BLOCK_SECTORS; s < (first + count) * BLOCK_SECTORS; s++)
		if (id)
			model_fill(s, id, f->volume + s * SECTOR);
		else
			memset(f->volume + s * SECTOR, 0, SECTOR);
}

static void recover(struct fixture *f)
{
	model_attached(f->model, 2, f->now++);
	model_recovered(f->model, f->volume);
}

static void read_block(struct fixture *f, uint64_t block)
{
	uint32_t before[BLOCK_SECTORS];
	struct model_read r = {
		.first = block * BLOCK_SECTORS, .count = BLOCK_SECTORS,
		.before = before,
	};

	model_read_begin(f->model, &r, 1, f->now++);
	model_read_done(f->model, &r, f->volume + block * BLOCK_SIZE);
}

static void reads_see_the_last_write(void **state)
{
	struct fixture *f = *state;
	uint32_t a = written(f, 0, 2), b = written(f, 1, 1);

	disk(f, 0, 1, a);
	disk(f, 1, 1, b);
	read_block(f, 0);
	read_block(f, 1);
	read_block(f, 2);
	assert_int_equal(f->complaints, 0);
	disk(f, 1, 1, a);
	read_block(f, 1);
	assert_int_equal(f->complaints, 1);
}

static void a_misplaced_block_is_caught(void **state)
{
	struct fixture *f = *state;

	disk(f, 0, 1, written(f, 0, 1));
	written(f, 1, 1);
	memcpy(f->volume + BLOCK_SIZE, f->volume, BLOCK_SIZE);
	read_block(f, 1);
	assert_int_equal(f->complaints, 1);
}

static void a_read_may_see_a_write_in_flight_but_then_always(void **state)
{
	struct fixture *f = *state;
	uint32_t a = written(f, 0, 1), b = write_blocks(f, 0, 1);

	disk(f, 0, 1, a);
	read_block(f, 0);
	disk(f, 0, 1, b);
	read_block(f, 0);
	assert_int_equal(f->complaints, 0);
	disk(f, 0, 1, a);
	read_block(f, 0);
	assert_int_equal(f->complaints, 1);
}

static void everything_acknowledged_survives_a_writer(void **state)
{
	struct fixture *f = *state;

	written(f, 0, 1);
	recover(f);
	assert_int_equal(f->complaints, 1);
}

static void a_prefix_may_be_lost_with_power_but_no_hole(void **state)
{
	struct fixture *f = *state;
	uint32_t a = written(f, 0, 1);

	written(f, 1, 1);
	written(f, 2, 1);
	model_power_loss(f->model, f->now++, false);
	disk(f, 0, 1, a);
	recover(f);
	assert_int_equal(f->complaints, 0);
}

static void a_hole_is_caught(void **state)
{
	struct fixture *f = *state;
	uint32_t c;

	written(f, 0, 1);
	written(f, 1, 1);
	c = written(f, 2, 1);
	model_power_loss(f->model, f->now++, false);
	disk(f, 2, 1, c);
	recover(f);
	assert_int_equal(f->complaints, 1);
}

static void flushed_data_survives_a_loss_of_power(void **state)
{
	struct fixture *f = *state;

	written(f, 0, 1);
	flushed(f);
	model_power_loss(f->model, f->now++, false);
	recover(f);
	assert_int_equal(f->complaints, 1);
}

static void fua_makes_everything_before_it_durable(void **state)
{
	struct fixture *f = *state;
	uint32_t b;

	written(f, 0, 1);
	b = submit(f, VOLUME_WRITE, BLOCK_SECTORS, BLOCK_SECTORS, true);
	done(f, b, 0);
	model_power_loss(f->model, f->now++, false);
	disk(f, 1, 1, b);
	recover(f);
	assert_int_equal(f->complaints, 1);
}

static void a_write_in_flight_may_be_cut_between_blocks(void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 4);

	disk(f, 0, 2, a);
	recover(f);
	assert_int_equal(f->complaints, 0);
}

static void a_write_in_flight_is_not_cut_backwards(void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 4);

	disk(f, 2, 2, a);
	recover(f);
	assert_int_equal(f->complaints, 1);
}

static void zeros_are_told_from_older_data(void **state)
{
	struct fixture *f = *state;
	uint32_t a = written(f, 0, 2);

	done(f, submit(f, VOLUME_TRIM, 3, 2 * BLOCK_SECTORS - 3, false), 0);
	disk(f, 0, 1, a);
	recover(f);
	assert_int_equal(f->complaints, 0);
}

static void a_failed_write_may_be_there_or_not(void **state)
{
	struct fixture *f = *state;
	uint32_t a = written(f, 0, 1), b = write_blocks(f, 0, 1), c;

	done(f, b, -5);
	c = written(f, 3, 1);
	disk(f, 0, 1, a);
	read_block(f, 0);
	disk(f, 0, 1, b);
	disk(f, 3, 1, c);
	recover(f);
	assert_int_equal(f->complaints, 0);
}

static void an_old_write_does_not_come_back(void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 1);

	recover(f);
	disk(f, 0, 1, a);
	model_attached(f->model, 3, f->now++);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 1);
}

static void recover_rebuilt(struct fixture *f)
{
	model_rebuilt(f->model);
	model_attached(f->model, 4, f->now++);
	model_recovered(f->model, f->volume);
}

/* Nothing was written since, so the stores cannot know that it was cut off. */
static void rebuilt_metadata_may_bring_back_what_was_cut_off(void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 1);

	recover(f);
	disk(f, 0, 1, a);
	recover_rebuilt(f);
	assert_int_equal(f->complaints, 0);
	/* But once. */
	disk(f, 0, 1, 0);
	model_attached(f->model, 5, f->now++);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 1);
}

static void rebuilt_metadata_bring_back_nothing_older_than_what_was_found(
	void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 1), b;
	struct volume_request req = {
		.op = VOLUME_WRITE, .offset = BLOCK_SIZE, .length = BLOCK_SIZE,
	};

	recover(f);
	b = model_submit(f->model, 2, &req, f->now++);
	done(f, b, 0);
	disk(f, 1, 1, b);
	model_attached(f->model, 3, f->now++);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 0);
	disk(f, 0, 1, a);
	recover_rebuilt(f);
	assert_int_equal(f->complaints, 1);
}

static void a_late_acknowledgement_must_be_true(void **state)
{
	struct fixture *f = *state;
	uint32_t a = write_blocks(f, 0, 1), b = write_blocks(f, 1, 1);

	disk(f, 0, 1, a);
	recover(f);
	done(f, a, 0);
	assert_int_equal(f->complaints, 0);
	done(f, b, 0);
	assert_int_equal(f->complaints, 1);
}

static void a_fenced_writer_is_never_acknowledged(void **state)
{
	struct fixture *f = *state;
	uint32_t a;

	recover(f);
	a = write_blocks(f, 0, 1);
	done(f, a, 0);
	assert_int_equal(f->complaints, 1);
}

/*
 * Attachment 2 has lost what a crash took, and is itself overtaken before
 * anybody has compared its volume: its flush promises nothing of that.
 */
static void a_flush_promises_what_its_own_owner_was_told(void **state)
{
	const struct volume_request flush = { .op = VOLUME_FLUSH };
	struct fixture *f = *state;
	uint32_t id;

	written(f, 0, 1);
	model_power_loss(f->model, f->now++, false);
	model_attached(f->model, 2, f->now++);
	model_attached(f->model, 3, f->now++);
	id = model_submit(f->model, 2, &flush, f->now++);
	done(f, id, 0);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 0);
}

/* Power was lost, so that another host need not find it; the device must. */
static void a_surviving_device_must_find_what_it_was_told(void **state)
{
	struct fixture *f = *state;
	uint32_t id = written(f, 0, 1);

	model_power_loss(f->model, f->now++, true);
	model_attached(f->model, 2, f->now++);
	model_survived(f->model, 1);
	disk(f, 0, 1, id);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 0);
}

static void a_surviving_device_that_went_back_is_caught(void **state)
{
	struct fixture *f = *state;

	written(f, 0, 1);
	model_power_loss(f->model, f->now++, true);
	model_attached(f->model, 2, f->now++);
	model_survived(f->model, 1);
	model_recovered(f->model, f->volume);
	assert_int_equal(f->complaints, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_see_the_last_write),
		TEST(a_misplaced_block_is_caught),
		TEST(a_read_may_see_a_write_in_flight_but_then_always),
		TEST(everything_acknowledged_survives_a_writer),
		TEST(a_prefix_may_be_lost_with_power_but_no_hole),
		TEST(a_hole_is_caught),
		TEST(flushed_data_survives_a_loss_of_power),
		TEST(fua_makes_everything_before_it_durable),
		TEST(a_write_in_flight_may_be_cut_between_blocks),
		TEST(a_write_in_flight_is_not_cut_backwards),
		TEST(zeros_are_told_from_older_data),
		TEST(a_failed_write_may_be_there_or_not),
		TEST(an_old_write_does_not_come_back),
		TEST(rebuilt_metadata_may_bring_back_what_was_cut_off),
		TEST(rebuilt_metadata_bring_back_nothing_older_than_what_was_found),
		TEST(a_late_acknowledgement_must_be_true),
		TEST(a_fenced_writer_is_never_acknowledged),
		TEST(a_flush_promises_what_its_own_owner_was_told),
		TEST(a_surviving_device_must_find_what_it_was_told),
		TEST(a_surviving_device_that_went_back_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
