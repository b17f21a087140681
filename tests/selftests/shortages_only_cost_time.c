// SPDX-License-Identifier: Apache-2.0
/*
 * No memory for messages, no room in the arena or the socket, doorbells and
 * drains that do not come through: under load nothing but time is lost. What a
 * doorbell or a drain did not tell, the driver's own look finds soon.
 */
#include <fcntl.h>

#include "fault.h"
#include "history.h"
#include "stress.h"
#include "test.h"

#define SIZE (8ull << 20)
#define SOON 60000
/* The look comes after 10 ms; without it a request waits for its timeout. */
#define LOOK_MS_MAX 5000

static struct setup s = { .config = { .size = SIZE, .queues = 2 } };

static void run_short_of(const char *fault, const char *setting)
{
	struct stress stress;

	/* What the threads begin with: a volume of zeroes. */
	memset(s.world->data, 0, s.world->size);
	fault_set(fault, setting);
	stress_start_some(&stress, s.fd, SIZE, 6, 32 << 10,
			  test_size(5, 20, 200));
	fault_wait(fault, SOON);
	stress_stop(&stress);
	printf("# %s: %d times of %d\n", fault, fault_value(fault, "happened"),
	       fault_value(fault, "reached"));
	CHECK(fault_value(fault, "happened") > 0);
	fault_set(fault, "off");
}

static void write_one(void)
{
	uint64_t before = now_ms();
	struct writer writer;

	writer_start(&writer, s.fd, 8192);
	CHECK_INT(writer_end(&writer), 0);
	CHECK(now_ms() - before < LOOK_MS_MAX);
}

static void found_by_the_look(const char *fault, const char *stall)
{
	fault_set("stall_look", stall);
	fault_set(fault, "times=1");
	/* One of the first makes the helper go to sleep, or drains. */
	for (int i = 0; i < 5; i++)
		write_one();
	CHECK_INT(fault_value(fault, "happened"), 1);
	fault_set(fault, "off");
	fault_set("stall_look", "off");
}

int main(void)
{
	struct history history;

	test_begin();
	faults_begin();
	history_begin();
	setup_begin(&s);
	run_short_of("starve_arena", "times=-1 every=3");
	if (!strcmp(sysfs(s.id, "torus/channel"), "ring")) {
		found_by_the_look("fail_doorbell", "off");
		found_by_the_look("drop_drain", "off");
		found_by_the_look("drop_drain", "times=5");
		CHECK(device_counter(s.id, TORUS_A_DEV_OVERFLOWS) > 0);
		run_short_of("fail_doorbell", "times=-1 chance=50");
		run_short_of("socket_full", "times=-1 chance=50");
		run_short_of("drop_drain", "times=-1 chance=50");
	} else {
		run_short_of("fail_message", "times=-1 every=3");
		run_short_of("socket_full", "times=-1 every=3");
		CHECK(device_counter(s.id, TORUS_A_DEV_OVERFLOWS) > 0);
	}
	CHECK_INT(device_counter(s.id, TORUS_A_DEV_IN_FLIGHT), 0);
	CHECK_INT(device_counter(s.id, TORUS_A_DEV_REQUEUED), 0);
	history_check(s.id, &history);
	CHECK_INT(history.completed, history.queued);
	setup_end(&s);
	return 0;
}
