// SPDX-License-Identifier: Apache-2.0
/* How long completions wait for company, in a time of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "front/moderation.h"

#define US 1000ull
#define REST 64

static struct moderation m;
static uint64_t now;

static int setup(void **state)
{
	m = (struct moderation){ 0 };
	now = 1;
	return 0;
}

/* Asks once after @us, with so many arrived since. */
static bool keeps(uint64_t us, unsigned int ready, unsigned int arrived)
{
	now += us * US;
	return moderation_keeps(&m, now, ready, arrived);
}

/* A submitter that has one every @us; how many are sent together. */
static unsigned int batch_of(uint64_t us)
{
	unsigned int ready = 1;

	if (!keeps(us, ready, 1))
		return ready;
	while (keeps(us, ready + 1, 1))
		ready++;
	return ready + 1;
}

static void completions_wait_while_requests_keep_coming(void **state)
{
	assert_int_equal(batch_of(4), 1 + MODERATION_NS_MAX / (4 * US));
	assert_int_equal(batch_of(4), 1 + MODERATION_NS_MAX / (4 * US));
	assert_false(moderation_active(&m));
}

static void many_are_sent_at_once(void **state)
{
	assert_int_equal(batch_of(1), MODERATION_COUNT_MAX);
	assert_false(keeps(0, MODERATION_COUNT_MAX, 0));
}

static void nobody_waits_longer_than_the_limit(void **state)
{
	uint64_t begin;

	assert_true(keeps(0, 1, 1));
	begin = now;
	while (keeps(1, 1, 1))
		assert_true(now - begin < MODERATION_NS_MAX);
	assert_int_equal(now - begin, MODERATION_NS_MAX);
}

static void one_at_a_time_is_hardly_delayed(void **state)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < 10 * (REST + 1); i++) {
		if (!keeps(50, 1, 1))
			continue;
		kept++;
		assert_true(moderation_active(&m));
		assert_false(keeps(20, 1, 0));
	}
	assert_int_equal(kept, 10);
}

static void burst_that_is_over_is_not_waited_for(void **state)
{
	while (batch_of(1) == MODERATION_COUNT_MAX && now < 100 * US)
		;
	assert_true(keeps(0, 1, 1));
	assert_true(keeps(1, 2, 1));
	/* A quarter of the limit, at such a pace. */
	assert_true(keeps(4, 2, 0));
	assert_false(keeps(1, 2, 0));
	/* It was of use all the same, so it is tried again. */
	assert_true(keeps(10, 1, 1));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(completions_wait_while_requests_keep_coming),
		TEST(many_are_sent_at_once),
		TEST(nobody_waits_longer_than_the_limit),
		TEST(one_at_a_time_is_hardly_delayed),
		TEST(burst_that_is_over_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
