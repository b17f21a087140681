// SPDX-License-Identifier: Apache-2.0
/*
 * The judge of chaos runs must find what is planted, and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../chaos/linear.h"
#include "../chaos/stamp.h"

#define MAX 65536

struct history {
	struct event events[MAX];
	size_t count;
	struct linear_report report;
};

static struct history h;

static void add(enum event_kind kind, uint64_t invoke, uint64_t end,
		uint32_t block, uint64_t value, enum event_outcome outcome)
{
	assert_true(h.count < MAX);
	h.events[h.count++] = (struct event){
		.invoke = invoke, .end = end, .value = value, .block = block,
		.kind = kind, .outcome = outcome,
	};
}

static void wrote(uint64_t invoke, uint64_t end, uint64_t value)
{
	add(EVENT_WRITE, invoke, end, 7, value, EVENT_OK);
}

static void saw(uint64_t invoke, uint64_t end, uint64_t value)
{
	add(EVENT_READ, invoke, end, 7, value, EVENT_OK);
}

static void flushed(uint64_t invoke, uint64_t end)
{
	add(EVENT_FLUSH, invoke, end, EVENT_NO_BLOCK, 0, EVENT_OK);
}

static void lost_power(uint64_t time)
{
	add(EVENT_LOSS, time, time, EVENT_NO_BLOCK, 0, EVENT_OK);
}

static size_t faults(void)
{
	size_t i, sum = 0;

	assert_int_equal(linear_check(h.events, h.count, &h.report, NULL,
				      NULL), 0);
	assert_int_equal(h.report.undecided, 0);
	for (i = 0; i < LINEAR_FAULTS; i++)
		sum += h.report.faults[i];
	return sum;
}

static void expect_none(void)
{
	assert_int_equal(faults(), 0);
}

static void expect_one(enum linear_fault fault)
{
	assert_int_equal(faults(), 1);
	assert_int_equal(h.report.faults[fault], 1);
}

static int setup(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	return 0;
}

/* ---- what is right --------------------------------------------------------- */

static void a_new_block_is_zeros(void **state)
{
	(void)state;
	saw(1, 2, 0);
	wrote(3, 4, 11);
	saw(5, 6, 11);
	expect_none();
}

static void a_concurrent_write_may_be_seen_or_not(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(10, 20, 12);
	saw(11, 12, 11);
	saw(13, 14, 12);
	saw(15, 16, 12);
	expect_none();
}

static void concurrent_writes_take_any_order(void **state)
{
	(void)state;
	wrote(1, 10, 11);
	wrote(2, 9, 12);
	wrote(3, 8, 13);
	saw(11, 12, 12);
	expect_none();
}

static void zeros_come_again_by_a_trim(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(3, 4, 0);
	saw(5, 6, 0);
	wrote(7, 8, 12);
	wrote(9, 10, 0);
	saw(9, 10, 12);
	saw(11, 12, 0);
	expect_none();
}

static void an_unknown_write_was_done_or_not(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	add(EVENT_WRITE, 3, 20, 7, 12, EVENT_UNKNOWN);
	add(EVENT_WRITE, 3, 20, 7, 13, EVENT_UNKNOWN);
	saw(21, 22, 13);
	expect_none();
}

static void a_failed_write_may_be_done_late(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	add(EVENT_WRITE, 3, 5, 7, 12, EVENT_FAILED);
	saw(6, 7, 11);
	saw(8, 9, 12);
	expect_none();
}

static void a_loss_takes_what_was_not_flushed(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	flushed(3, 4);
	wrote(5, 6, 12);
	wrote(7, 8, 13);
	lost_power(10);
	saw(12, 13, 12);
	saw(14, 15, 12);
	expect_none();
}

static void a_second_loss_begins_where_the_first_has_ended(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	lost_power(10);
	saw(12, 13, 0);
	wrote(14, 15, 12);
	lost_power(20);
	saw(22, 23, 0);
	expect_none();
}

/* ---- what is planted ------------------------------------------------------- */

static void stale_read_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(3, 4, 12);
	saw(5, 6, 11);
	saw(7, 8, 12);
	expect_one(LINEAR_STALE);
}

static void lost_write_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(3, 4, 12);
	saw(5, 6, 11);
	saw(7, 8, 11);
	expect_one(LINEAR_LOST);
}

static void write_that_vanished_into_zeros_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	saw(3, 4, 0);
	expect_one(LINEAR_LOST);
}

static void reads_that_go_back_are_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(10, 20, 12);
	saw(11, 12, 12);
	saw(13, 14, 11);
	saw(30, 31, 12);
	expect_one(LINEAR_LOST);
}

static void trimmed_data_that_came_back_are_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	wrote(3, 4, 0);
	saw(5, 6, 0);
	saw(7, 8, 11);
	expect_one(LINEAR_LOST);
}

static void unknown_write_that_comes_after_its_session_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	add(EVENT_WRITE, 3, 20, 7, 12, EVENT_UNKNOWN);
	saw(21, 22, 11);
	saw(23, 24, 12);
	expect_one(LINEAR_LOST);
}

static void torn_block_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	saw(3, 4, EVENT_TORN);
	saw(5, 6, 11);
	expect_one(LINEAR_TORN);
}

static void value_of_nobody_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	saw(3, 4, 12);
	wrote(5, 6, 12);
	expect_one(LINEAR_UNWRITTEN);
}

static void flushed_write_that_a_loss_took_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	flushed(3, 4);
	lost_power(10);
	saw(12, 13, 0);
	expect_one(LINEAR_LOST);
}

/* A flush covers what had ended when it began. */
static void flush_does_not_cover_what_ends_later(void **state)
{
	(void)state;
	wrote(1, 5, 11);
	flushed(3, 4);
	lost_power(10);
	saw(12, 13, 0);
	expect_none();
}

static void what_survives_out_of_order_is_found(void **state)
{
	(void)state;
	wrote(1, 2, 11);
	add(EVENT_WRITE, 3, 4, 8, 12, EVENT_OK);
	lost_power(10);
	saw(12, 13, 0);
	add(EVENT_READ, 12, 13, 8, 12, EVENT_OK);
	expect_one(LINEAR_LOST);
}

/* ---- at random --------------------------------------------------------------- */

static unsigned int rng = 1;

static unsigned int pick(unsigned int below)
{
	rng = rng * 1664525u + 1013904223u;
	return (rng >> 8) % below;
}

/* A true history: each takes effect somewhere between begin and end. */
static void make_history(size_t count)
{
	uint64_t value[16] = { 0 }, now = 1000;
	unsigned int block;
	size_t i;

	for (i = 0; i < count; i++) {
		now += 1 + pick(10);
		block = pick(16);
		if (pick(2))
			value[block] = pick(8) ? i + 1 : 0;
		else
			value[block] |= 1ULL << 63;
		add(value[block] >> 63 ? EVENT_READ : EVENT_WRITE,
		    now - pick(40), now + pick(40), block,
		    value[block] & ~(1ULL << 63), EVENT_OK);
		value[block] &= ~(1ULL << 63);
	}
}

static void true_histories_pass(void **state)
{
	unsigned int round;

	for (round = 0; round < 20; round++) {
		setup(state);
		make_history(5000);
		expect_none();
	}
}

/* A read far away from all writes is given an older value. */
static void one_wrong_read_in_thousands_is_found(void **state)
{
	unsigned int round;
	uint64_t now;

	for (round = 0; round < 20; round++) {
		setup(state);
		make_history(5000);
		now = h.events[h.count - 1].end + 1000;
		add(EVENT_WRITE, now, now + 1, 3, 90001, EVENT_OK);
		add(EVENT_WRITE, now + 2, now + 3, 3, 90002, EVENT_OK);
		add(EVENT_READ, now + 4, now + 5, 3, 90001, EVENT_OK);
		assert_int_equal(faults(), 1);
	}
}

/* ---- stamps ------------------------------------------------------------------ */

static void stamp_tells_its_value(void **state)
{
	char data[STAMP_BLOCK];

	(void)state;
	stamp_fill(data, 77, 5);
	assert_int_equal(stamp_value(data, 5), 77);
	memset(data, 0, sizeof(data));
	assert_int_equal(stamp_value(data, 5), 0);
}

static void stamp_of_another_block_is_torn(void **state)
{
	char data[STAMP_BLOCK];

	(void)state;
	stamp_fill(data, 77, 5);
	assert_true(stamp_value(data, 6) == EVENT_TORN);
}

static void mixture_of_sectors_is_torn(void **state)
{
	char data[STAMP_BLOCK], other[STAMP_BLOCK];

	(void)state;
	stamp_fill(data, 77, 5);
	stamp_fill(other, 78, 5);
	memcpy(data + 3584, other + 3584, 512);
	assert_true(stamp_value(data, 5) == EVENT_TORN);
	stamp_fill(data, 77, 5);
	memset(data, 0, 512);
	assert_true(stamp_value(data, 5) == EVENT_TORN);
	stamp_fill(data, 77, 5);
	memcpy(data + 512, data + 1024, 512);
	assert_true(stamp_value(data, 5) == EVENT_TORN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(a_new_block_is_zeros),
		TEST(a_concurrent_write_may_be_seen_or_not),
		TEST(concurrent_writes_take_any_order),
		TEST(zeros_come_again_by_a_trim),
		TEST(an_unknown_write_was_done_or_not),
		TEST(a_failed_write_may_be_done_late),
		TEST(a_loss_takes_what_was_not_flushed),
		TEST(a_second_loss_begins_where_the_first_has_ended),
		TEST(stale_read_is_found),
		TEST(lost_write_is_found),
		TEST(write_that_vanished_into_zeros_is_found),
		TEST(reads_that_go_back_are_found),
		TEST(trimmed_data_that_came_back_are_found),
		TEST(unknown_write_that_comes_after_its_session_is_found),
		TEST(torn_block_is_found),
		TEST(value_of_nobody_is_found),
		TEST(flushed_write_that_a_loss_took_is_found),
		TEST(flush_does_not_cover_what_ends_later),
		TEST(what_survives_out_of_order_is_found),
		TEST(true_histories_pass),
		TEST(one_wrong_read_in_thousands_is_found),
		TEST(stamp_tells_its_value),
		TEST(stamp_of_another_block_is_torn),
		TEST(mixture_of_sectors_is_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
