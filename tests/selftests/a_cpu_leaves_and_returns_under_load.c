// SPDX-License-Identifier: Apache-2.0
/*
 * A CPU is taken offline and back while its queue is in use: I/O goes on,
 * nothing is lost. And it leaves even if its requests wait for a helper that
 * does nothing: the helper may have been on that very CPU.
 */
#include <pthread.h>
#include <signal.h>

#include "cpu.h"
#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)
#define CPU 1
#define WAITING 3

static void bring_back(void)
{
	cpu_set_online(CPU, true);
}

static void leave_and_return(struct setup *s)
{
	unsigned int i, rounds = test_size(3, 6, 60);
	struct stress stress;

	stress_start(&stress, s->fd, SIZE, 8, 64 << 10);
	for (i = 0; i < rounds; i++) {
		stress_wait_ios(&stress, 60, 30000);
		CHECK_INT(cpu_set_online(CPU, false), 0);
		stress_wait_ios(&stress, 60, 30000);
		CHECK_INT(cpu_set_online(CPU, true), 0);
	}
	stress_wait_ios(&stress, 60, 30000);
	printf("# %llu I/Os\n", (unsigned long long)stress_stop(&stress));
	CHECK_INT(device_counter(s->id, TORUS_A_DEV_REQUEUED), 0);
}

static void *leave(void *result)
{
	*(int *)result = cpu_set_online(CPU, false);
	return NULL;
}

/* In a thread, so that a wait for ever is a failure and not the end of us. */
static void leave_in_time(int ms)
{
	pthread_t thread;
	static int result;
	struct timespec end;

	CHECK(!pthread_create(&thread, NULL, leave, &result));
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += ms / 1000;
	if (pthread_timedjoin_np(thread, NULL, &end))
		FAIL("the CPU does not leave while its requests wait");
	CHECK_INT(result, 0);
}

static void wait_in_flight(uint32_t id, unsigned int nr)
{
	uint64_t end = now_ms() + 10000;

	while (device_counter(id, TORUS_A_DEV_IN_FLIGHT) < nr) {
		CHECK(now_ms() < end);
		usleep(1000);
	}
}

static void leave_without_helper(struct setup *s)
{
	struct writer writers[WAITING];
	int i;

	helper_suspend(s->helper);
	cpu_pin(CPU);
	for (i = 0; i < WAITING; i++)
		writer_start(&writers[i], s->fd, i * 65536);
	wait_in_flight(s->id, WAITING);
	cpu_pin(-1);
	leave_in_time(20000);
	for (i = 0; i < WAITING; i++)
		CHECK_INT(writers[i].error, -1);
	kill(s->helper, SIGCONT);
	for (i = 0; i < WAITING; i++)
		CHECK_INT(writer_end(&writers[i]), 0);
	CHECK_INT(cpu_set_online(CPU, true), 0);
}

static void try(bool lane_per_queue)
{
	struct setup s = {
		.config = { .size = SIZE, .queues = 2 },
		.how = { .lane_per_queue = lane_per_queue },
	};

	setup_begin(&s);
	leave_and_return(&s);
	leave_without_helper(&s);
	setup_end(&s);
}

int main(void)
{
	test_begin();
	atexit(bring_back);
	if (cpu_set_online(CPU, true))
		SKIP("no CPU %d that can leave", CPU);
	try(false);
	try(true);
	return 0;
}
