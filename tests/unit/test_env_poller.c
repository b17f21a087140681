// SPDX-License-Identifier: Apache-2.0
/* Pollers of the reactor: when it looks on, and when it sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "env/uring_internal.h"

#define BUSY_WAIT (20 * NSEC_PER_MSEC)

static struct env *env;
static unsigned int polls, sleeps, wakes, work;
static bool refuses;

static bool poll_once(struct env_poller *poller)
{
	polls++;
	if (!work)
		return false;
	work--;
	return true;
}

static bool fall_asleep(struct env_poller *poller)
{
	sleeps++;
	return !refuses;
}

static void wake(struct env_poller *poller)
{
	wakes++;
}

static struct env_poller poller = { poll_once, fall_asleep, wake, { 0 } };

static void begin(uint64_t busy_wait_ns)
{
	env = env_uring_new(&(struct env_uring_config){
		.busy_wait_ns = busy_wait_ns });
	assert_non_null(env);
	polls = sleeps = wakes = work = 0;
	refuses = false;
	env_uring_add_poller(env, &poller);
}

static int teardown(void **state)
{
	env_uring_remove_poller(env, &poller);
	env_uring_free(env);
	return 0;
}

static void without_busy_wait_it_sleeps_at_once(void **state)
{
	begin(0);
	assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	assert_int_equal(polls, 1);
	assert_int_equal(sleeps, 1);
	assert_int_equal(wakes, 1);
}

static void work_keeps_it_awake(void **state)
{
	begin(0);
	work = 3;
	for (int i = 0; i < 3; i++)
		assert_int_equal(env_uring_turn(env, UINT64_MAX), 0);
	assert_int_equal(sleeps, 0);
}

static void idle_one_looks_for_the_set_time_and_sleeps(void **state)
{
	uint64_t start, slept;

	begin(BUSY_WAIT);
	start = env_now(env);
	while (!sleeps)
		assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	slept = env_now(env);
	assert_true(slept - start >= BUSY_WAIT);
	assert_true(polls > 10);
	/* From then on it only sleeps. */
	polls = 0;
	for (unsigned int i = 1; i < 5; i++) {
		assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
		assert_int_equal(sleeps, 1 + i);
	}
	assert_int_equal(polls, 4);
}

static void work_that_is_long_in_coming_is_not_looked_for(void **state)
{
	begin(BUSY_WAIT);
	for (int i = 0; i < 40 && sleeps < 20; i++) {
		to_uring(env)->idle.since = env_now(env) - 3 * BUSY_WAIT;
		work = 1;
		assert_int_equal(env_uring_turn(env, 0), 0);
	}
	sleeps = 0;
	assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	assert_int_equal(sleeps, 1);
	/* It comes sooner again: the guess follows. */
	for (int i = 0; i < 60; i++) {
		to_uring(env)->idle.since = env_now(env);
		work = 1;
		assert_int_equal(env_uring_turn(env, 0), 0);
	}
	sleeps = 0;
	assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	assert_int_equal(sleeps, 0);
}

static void one_that_has_work_after_all_keeps_it_awake(void **state)
{
	begin(0);
	refuses = true;
	assert_int_equal(env_uring_turn(env, UINT64_MAX), 0);
	assert_int_equal(sleeps, 1);
	assert_int_equal(wakes, 1);
}

#define TEST(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_busy_wait_it_sleeps_at_once),
		TEST(work_keeps_it_awake),
		TEST(idle_one_looks_for_the_set_time_and_sleeps),
		TEST(work_that_is_long_in_coming_is_not_looked_for),
		TEST(one_that_has_work_after_all_keeps_it_awake),
	};

	log_set_sink(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
