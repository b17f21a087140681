// SPDX-License-Identifier: Apache-2.0
/* Pollers of the reactor: when it looks on, and when it sleeps. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

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
	assert_true(polls > 1);
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

/* ---- what else there is to see ---------------------------------------------- */

/*
 * A reactor whose poller always has work makes no system call of its own
 * accord; what happens elsewhere must be seen all the same, and soon.
 */
static unsigned int seen;

static void turn_until_seen(unsigned int count)
{
	uint64_t end = env_now(env) + 10 * NSEC_PER_SEC;

	while (seen < count && env_now(env) < end) {
		work = 1;
		assert_int_equal(env_uring_turn(env, UINT64_MAX), 0);
	}
	assert_int_equal(seen, count);
	assert_int_equal(sleeps, 0);
}

static void see_watch(struct env_watch *watch, uint32_t revents)
{
	char byte;

	assert_int_equal(read(*(int *)watch->ctx, &byte, 1), 1);
	seen++;
}

static void *write_later(void *fd)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(*(int *)fd, "", 1), 1);
	return NULL;
}

static void descriptors_are_seen_beside_endless_work(void **state)
{
	struct env_watch watch = { .fn = see_watch };
	pthread_t writer;
	int fds[2];

	begin(BUSY_WAIT);
	seen = 0;
	assert_int_equal(pipe(fds), 0);
	watch.ctx = &fds[0];
	assert_int_equal(env_uring_watch_fd(env, &watch, fds[0], POLLIN), 0);
	work = 1;
	assert_int_equal(env_uring_turn(env, 0), 0);
	pthread_create(&writer, NULL, write_later, &fds[1]);
	turn_until_seen(3);
	pthread_join(writer, NULL);
	env_uring_unwatch(env, &watch);
	close(fds[0]);
	close(fds[1]);
}

static void see_post(struct env_post *post)
{
	seen++;
}

static void *post_later(void *post)
{
	env_uring_post(env, post);
	return NULL;
}

static void posts_are_seen_beside_endless_work(void **state)
{
	struct env_post post = { .fn = see_post };
	pthread_t poster;

	begin(BUSY_WAIT);
	seen = 0;
	for (unsigned int i = 1; i <= 3; i++) {
		pthread_create(&poster, NULL, post_later, &post);
		turn_until_seen(i);
		pthread_join(poster, NULL);
	}
}

static void see_timer(struct env_timer *timer)
{
	seen++;
}

static void timers_are_seen_beside_endless_work(void **state)
{
	struct env_timer timer;

	begin(BUSY_WAIT);
	seen = 0;
	env_timer_init(&timer, see_timer);
	env_timer_after(env, &timer, NSEC_PER_MSEC);
	turn_until_seen(1);
}

static void see_signal(void *ctx, int signo)
{
	seen++;
}

static void signals_are_seen_beside_endless_work(void **state)
{
	begin(BUSY_WAIT);
	seen = 0;
	assert_int_equal(env_uring_on_signal(env, SIGUSR1, see_signal, NULL),
			 0);
	work = 1;
	assert_int_equal(env_uring_turn(env, 0), 0);
	kill(getpid(), SIGUSR1);
	turn_until_seen(1);
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
		TEST(descriptors_are_seen_beside_endless_work),
		TEST(posts_are_seen_beside_endless_work),
		TEST(timers_are_seen_beside_endless_work),
		TEST(signals_are_seen_beside_endless_work),
	};

	log_set_sink(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
