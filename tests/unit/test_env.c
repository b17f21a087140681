// SPDX-License-Identifier: Apache-2.0
/* The reactor's loop: timers, posts, watches, hooks, signals, look-ups. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "env/env_uring.h"
#include "env/uring_resolve.h"

static struct env *env;

static int setup(void **state)
{
	env = env_uring_new(&(struct env_uring_config){ 0 });
	assert_non_null(env);
	return 0;
}

static int teardown(void **state)
{
	env_uring_free(env);
	return 0;
}

/* ---- timers ------------------------------------------------------------- */

static char order[16];

struct named_timer {
	struct env_timer timer;
	char name;
};

static void note(struct env_timer *timer)
{
	struct named_timer *t = container_of(timer, struct named_timer, timer);

	assert_false(env_timer_armed(timer));
	order[strlen(order)] = t->name;
	if (t->name == 'z')
		env_uring_stop(env);
}

static void timers_fire_in_order_of_time(void **state)
{
	struct named_timer t[4] = { { .name = 'b' }, { .name = 'a' },
				    { .name = 'c' }, { .name = 'z' } };
	uint64_t begin = env_now(env);
	int i;

	memset(order, 0, sizeof(order));
	for (i = 0; i < 4; i++)
		env_timer_init(&t[i].timer, note);
	env_timer_after(env, &t[0].timer, 3 * NSEC_PER_MSEC);
	env_timer_after(env, &t[1].timer, 0);
	env_timer_after(env, &t[2].timer, 4 * NSEC_PER_MSEC);
	env_timer_after(env, &t[3].timer, 5 * NSEC_PER_MSEC);
	env_timer_cancel(env, &t[2].timer);
	assert_int_equal(env_uring_run(env), 0);
	assert_string_equal(order, "abz");
	assert_true(env_now(env) - begin >= 5 * NSEC_PER_MSEC);
}

static struct env_timer again_timer, stop_timer;
static int again_count;

static void again(struct env_timer *timer)
{
	again_count++;
	env_timer_after(env, timer, 0);
}

static void stop(struct env_timer *timer)
{
	env_uring_stop(env);
}

static void timer_without_delay_leaves_room_for_others(void **state)
{
	env_timer_init(&again_timer, again);
	env_timer_init(&stop_timer, stop);
	again_count = 0;
	env_timer_after(env, &again_timer, 0);
	env_timer_after(env, &stop_timer, NSEC_PER_MSEC);
	assert_int_equal(env_uring_run(env), 0);
	assert_true(again_count > 1);
	env_timer_cancel(env, &again_timer);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void idle_loop_sleeps(void **state)
{
	uint64_t before;

	env_timer_init(&stop_timer, stop);
	env_timer_after(env, &stop_timer, 200 * NSEC_PER_MSEC);
	before = cpu_ns();
	assert_int_equal(env_uring_run(env), 0);
	/* A loop that polls would use all of it. */
	assert_true(cpu_ns() - before < 50 * NSEC_PER_MSEC);
}

/* ---- posts --------------------------------------------------------------- */

#define POSTS 1000

struct counted_post {
	struct env_post post;
	int number;
};

static struct counted_post posts[POSTS];
static int posts_seen;

static void post_came(struct env_post *post)
{
	struct counted_post *p = container_of(post, struct counted_post, post);

	assert_int_equal(p->number, posts_seen);
	if (++posts_seen == POSTS)
		env_uring_stop(env);
}

static void *post_all(void *arg)
{
	int i;

	for (i = 0; i < POSTS; i++)
		env_uring_post(env, &posts[i].post);
	return NULL;
}

static void posts_of_a_thread_come_in_order(void **state)
{
	pthread_t thread;
	int i;

	posts_seen = 0;
	for (i = 0; i < POSTS; i++)
		posts[i] = (struct counted_post){ .post.fn = post_came,
						 .number = i };
	assert_int_equal(pthread_create(&thread, NULL, post_all, NULL), 0);
	assert_int_equal(env_uring_run(env), 0);
	pthread_join(thread, NULL);
	assert_int_equal(posts_seen, POSTS);
}

static void *run_loop(void *arg)
{
	assert_int_equal(env_uring_run(env), 0);
	env_uring_free(env);
	return NULL;
}

static void loop_may_run_in_another_thread_than_set_it_up(void **state)
{
	pthread_t thread;
	int i;

	setup(state);
	posts_seen = 0;
	for (i = 0; i < POSTS; i++)
		posts[i] = (struct counted_post){ .post.fn = post_came,
						 .number = i };
	assert_int_equal(pthread_create(&thread, NULL, run_loop, NULL), 0);
	post_all(NULL);
	pthread_join(thread, NULL);
	assert_int_equal(posts_seen, POSTS);
}

static void never(struct env_post *post)
{
	fail();
}

static void withdrawn_post_does_not_come(void **state)
{
	struct env_post post = { .fn = never };

	env_uring_post(env, &post);
	env_uring_unpost(env, &post);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(env_uring_turn(env, 0), 0);
}

/* ---- watches -------------------------------------------------------------- */

static int fds[2];
static int ready_count;

static void ready(struct env_watch *watch, uint32_t revents)
{
	char c;

	assert_true(revents & POLLIN);
	assert_int_equal(read(fds[0], &c, 1), 1);
	if (++ready_count == 3)
		env_uring_stop(env);
}

static void watch_is_level_triggered(void **state)
{
	struct env_watch watch = { .fn = ready };

	ready_count = 0;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	assert_int_equal(env_uring_watch_fd(env, &watch, fds[0], POLLIN), 0);
	assert_int_equal(env_uring_run(env), 0);
	assert_int_equal(ready_count, 3);
	env_uring_unwatch(env, &watch);
	close(fds[0]);
	close(fds[1]);
}

static struct env_watch other_watch;

static void unwatch_both(struct env_watch *watch, uint32_t revents)
{
	ready_count++;
	env_uring_unwatch(env, watch);
	env_uring_unwatch(env, &other_watch);
	memset(watch, 0xee, sizeof(*watch));
}

static void unwatched_memory_is_not_touched(void **state)
{
	struct env_watch *watch = calloc(1, sizeof(*watch));

	ready_count = 0;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	watch->fn = unwatch_both;
	other_watch = (struct env_watch){ .fn = unwatch_both };
	assert_int_equal(env_uring_watch_fd(env, watch, fds[0], POLLIN), 0);
	assert_int_equal(env_uring_watch_fd(env, &other_watch, fds[1], POLLOUT),
			 0);
	/* Changed events, and closed at once after unwatching. */
	assert_int_equal(env_uring_watch_fd(env, &other_watch, fds[1],
					    POLLIN), 0);
	while (!ready_count)
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC), 0);
	free(watch);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	assert_int_equal(ready_count, 1);
}

/* ---- hooks ----------------------------------------------------------------- */

static int hook_count;
static struct env_hook hook;

static void arm_in_hook(struct env_hook *h)
{
	if (++hook_count == 1)
		env_timer_after(env, &stop_timer, 0);
	else
		env_uring_remove_hook(env, h);
}

static void hook_runs_before_the_loop_sleeps(void **state)
{
	hook_count = 0;
	env_timer_init(&stop_timer, stop);
	hook.fn = arm_in_hook;
	env_uring_add_hook(env, &hook);
	/* Would sleep for ever if the timer of the hook were not seen. */
	assert_int_equal(env_uring_run(env), 0);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(hook_count, 2);
}

/* ---- signals --------------------------------------------------------------- */

static int last_signal;

static void signal_came(void *ctx, int signo)
{
	assert_ptr_equal(ctx, &last_signal);
	last_signal = signo;
	env_uring_stop(env);
}

static void signals_come_through_the_loop(void **state)
{
	assert_int_equal(env_uring_on_signal(env, SIGUSR1, signal_came,
					     &last_signal), 0);
	assert_int_equal(env_uring_on_signal(env, SIGUSR2, signal_came,
					     &last_signal), 0);
	raise(SIGUSR2);
	assert_int_equal(env_uring_run(env), 0);
	assert_int_equal(last_signal, SIGUSR2);
	raise(SIGUSR1);
	assert_int_equal(env_uring_run(env), 0);
	assert_int_equal(last_signal, SIGUSR1);
	assert_int_equal(env_uring_on_signal(env, 0, signal_came, NULL),
			 -EINVAL);
}

/* ---- look-ups ---------------------------------------------------------------- */

static void addresses_are_split(void **state)
{
	char host[ADDRESS_HOST_MAX], port[ADDRESS_PORT_MAX];
	static const char *const bad[] = {
		"", "host", "host:", ":port", "a:b:1", "[::1]", "[::1:5", "h:-1",
		"h:65536", "h:123456", "h:1x", "[:1",
	};
	size_t i;

	assert_int_equal(address_split("a.example:4321", host, port), 0);
	assert_string_equal(host, "a.example");
	assert_string_equal(port, "4321");
	assert_int_equal(address_split("[fd00::1]:0", host, port), 0);
	assert_string_equal(host, "fd00::1");
	assert_int_equal(address_split(":65535", host, port), 0);
	assert_string_equal(host, "");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(address_split(bad[i], host, port), -EINVAL);
}

static void found(struct resolve *resolve)
{
	env_uring_stop(env);
}

static void names_are_looked_up_by_a_thread(void **state)
{
	struct resolve resolve = { .fn = found };

	assert_int_equal(resolve_start(env, "127.0.0.1:1", &resolve), 0);
	assert_int_equal(resolve.result.count, 1);
	assert_int_equal(resolve_start(env, "localhost:1", &resolve),
			 -EINPROGRESS);
	assert_int_equal(env_uring_run(env), 0);
	assert_int_equal(resolve.result.err, 0);
	assert_true(resolve.result.count >= 1);
}

static void must_not_be_found(struct resolve *resolve)
{
	fail();
}

static void cancelled_look_up_is_silent(void **state)
{
	int i;

	for (i = 0; i < 50; i++) {
		struct resolve *resolve = calloc(1, sizeof(*resolve));
		struct timespec ts = { .tv_nsec = i * 20000 };

		resolve->fn = must_not_be_found;
		/* -EAGAIN: too many threads at the moment, which is fine. */
		resolve_start(env, "localhost:1", resolve);
		nanosleep(&ts, NULL);
		resolve_cancel(resolve);
		free(resolve);
		assert_int_equal(env_uring_turn(env, 0), 0);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(timers_fire_in_order_of_time),
		T(timer_without_delay_leaves_room_for_others),
		T(idle_loop_sleeps),
		T(posts_of_a_thread_come_in_order),
		cmocka_unit_test(loop_may_run_in_another_thread_than_set_it_up),
		T(withdrawn_post_does_not_come),
		T(watch_is_level_triggered),
		T(unwatched_memory_is_not_touched),
		T(hook_runs_before_the_loop_sleeps),
		T(signals_come_through_the_loop),
		T(addresses_are_split),
		T(names_are_looked_up_by_a_thread),
		T(cancelled_look_up_is_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
