// SPDX-License-Identifier: Apache-2.0
/*
 * Under load, the helper dies at each point of a request's life: at once, or
 * while the driver stops there and the next helper has come already; and with
 * requests that never got through to it. No error reaches the application, all
 * data are right, and every request ends once.
 */
#include <fcntl.h>
#include <signal.h>

#include "fault.h"
#include "history.h"
#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)
#define SOON 30000

static struct setup s = { .config = { .size = SIZE, .queues = 2 } };
static struct stress stress;

static bool have_rings(void)
{
	return strcmp(sysfs(s.id, "torus/channel"), "ring") == 0;
}

static void go_on_with_another(void)
{
	CHECK(device_wait_state(s.id, TORUS_STATE_RECOVERING, SOON));
	s.helper = helper_spawn(s.world, s.id, NULL);
	stress_wait_ios(&stress, 10, SOON);
}

/* The driver kills the helper when the skip-th request comes by. */
static void die_at(const char *point, unsigned int skip)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "kill=1 skip=%u", skip);
	fault_set(point, setting);
	fault_wait(point, SOON);
	helper_kill(s.helper);
	go_on_with_another();
	CHECK_INT(fault_value(point, "happened"), 1);
}

/* The next helper has taken over before the driver gets away from there. */
static void replaced_at(const char *point)
{
	pid_t old = s.helper;

	fault_set(point, "ms=60000 skip=7");
	fault_wait(point, SOON);
	kill(old, SIGKILL);
	s.helper = helper_spawn_with(s.world, s.id, NULL, true, 0);
	CHECK_INT(fault_value(point, "waiting"), 1);
	CHECK_INT(device_state(s.id), TORUS_STATE_RECOVERING);
	fault_set(point, "off");
	helper_kill(old);
	CHECK(device_wait_state(s.id, TORUS_STATE_LIVE, SOON));
	stress_wait_ios(&stress, 10, SOON);
}

/* Requests or completions are lost; nothing but the helper's end helps. */
static void die_with(const char *fault)
{
	fault_set(fault, "times=3 skip=5 every=2");
	fault_wait(fault, SOON);
	helper_kill(s.helper);
	fault_set(fault, "off");
	go_on_with_another();
}

int main(void)
{
	static const char * const dies[] = {
		"after_queue", "before_send", "after_send", "before_claim",
		"after_claim", "after_copy", "before_end", "after_end",
	};
	static const char * const stops[] = {
		"before_claim", "after_claim", "after_copy", "before_end",
		"after_end",
	};
	static const char * const faults[] = {
		"hold_request", "drop_request", "drop_completion",
	};
	unsigned int i, round, rounds;
	struct history history;

	test_begin();
	faults_begin();
	rounds = test_size(1, 2, 10);
	history_begin();
	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 8, 64 << 10);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < sizeof(dies) / sizeof(*dies); i++)
			die_at(dies[i], 3 + round * 5);
		if (have_rings()) {
			die_at("after_doorbell", round);
			die_at("after_fetch", round);
			replaced_at("after_fetch");
		}
		for (i = 0; i < sizeof(stops) / sizeof(*stops); i++)
			replaced_at(stops[i]);
		for (i = 0; i < sizeof(faults) / sizeof(*faults); i++)
			die_with(faults[i]);
	}
	stress_stop(&stress);
	CHECK_INT(device_counter(s.id, TORUS_A_DEV_IN_FLIGHT), 0);
	CHECK_INT(device_state(s.id), TORUS_STATE_LIVE);
	history_check(s.id, &history);
	CHECK_INT(history.failed, 0);
	CHECK(history.requeued > 0);
	printf("# %s: %llu requests queued, %llu of them again\n",
	       sysfs(s.id, "torus/channel"),
	       (unsigned long long)history.queued,
	       (unsigned long long)history.requeued);
	setup_end(&s);
	return 0;
}
