// SPDX-License-Identifier: Apache-2.0
/*
 * Two queues, each with a socket and a thread: under load both work; while one
 * thread answers nothing the other queue goes on; and when one of the sockets
 * is closed the session is over, and the next one gets what was in flight.
 */
#include <fcntl.h>

#include "cpu.h"
#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)
#define HELD_AT (8ull << 20)

static bool hold(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)completion;
	__atomic_add_fetch(&h->world->notes[desc->queue], 1, __ATOMIC_RELAXED);
	if (desc->op != TORUS_OP_WRITE || desc->offset != HELD_AT ||
	    !__atomic_load_n(&h->world->order, __ATOMIC_SEQ_CST))
		return true;
	sem_post(&h->world->asked);
	sem_wait(&h->world->told);
	return true;
}

static void check_load(const struct setup *s)
{
	unsigned int enough = test_size(100, 400, 5000);
	struct stress stress;

	stress_start(&stress, s->fd, SIZE, 8, 64 << 10);
	stress_wait_ios(&stress, enough, 60000);
	stress_stop(&stress);
	CHECK(s->world->notes[0] > 0 && s->world->notes[1] > 0);
	printf("# %llu and %llu requests\n",
	       (unsigned long long)s->world->notes[0],
	       (unsigned long long)s->world->notes[1]);
}

/* A CPU of each queue. */
static void find_cpus(const struct setup *s, int *cpus)
{
	for (int cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1; cpu >= 0; cpu--)
		cpus[cpu_queue(s->id, cpu)] = cpu;
}

static void check_held(const struct setup *s)
{
	uint8_t *buf = alloc_aligned(4096);
	struct writer writer;
	int cpus[2];

	find_cpus(s, cpus);
	__atomic_store_n(&s->world->order, 1, __ATOMIC_SEQ_CST);
	cpu_pin(cpus[1]);
	writer_start(&writer, s->fd, HELD_AT);
	CHECK(!sem_wait(&s->world->asked));
	cpu_pin(cpus[0]);
	for (int i = 0; i < 50; i++) {
		CHECK_INT(pwrite(s->fd, buf, 4096, i * 4096), 4096);
		CHECK_INT(pread(s->fd, buf, 4096, i * 4096), 4096);
	}
	CHECK_INT(__atomic_load_n(&writer.error, __ATOMIC_SEQ_CST), -1);
	cpu_pin(-1);
	__atomic_store_n(&s->world->order, 0, __ATOMIC_SEQ_CST);
	sem_post(&s->world->told);
	CHECK_INT(writer_end(&writer), 0);
	free(buf);
}

static void check_closed_lane(void)
{
	struct device_config config = { .size = SIZE, .queues = 2 };
	struct world *world = world_new(SIZE);
	uint32_t id = device_add(&config);
	struct server servers[2];
	struct helper h, lane;
	struct stress stress;
	int fd;

	CHECK_INT(helper_open(&h, world, id, 8 << 20), 0);
	CHECK_INT(helper_bind(&h, false), 0);
	CHECK_INT(helper_queues(&h, &h.data, 1), 0);
	CHECK_INT(helper_lane(&lane, &h, 2), 0);
	CHECK_INT(helper_start(&h), 0);
	server_start(&servers[0], &h);
	server_start(&servers[1], &lane);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 4, 64 << 10);
	stress_wait_ios(&stress, 50, 30000);
	server_stop(&servers[1]);
	helper_lane_close(&lane);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));
	server_stop(&servers[0]);
	helper_close(&h);
	helper_spawn(world, id, NULL);
	stress_wait_ios(&stress, 50, 30000);
	stress_stop(&stress);
	close(fd);
}

int main(void)
{
	struct setup s = {
		.config = { .size = SIZE, .queues = 2 },
		.how = { .hook = hold, .lane_per_queue = true },
	};

	test_begin();
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU has one queue");
	setup_begin(&s);
	check_load(&s);
	check_held(&s);
	setup_end(&s);
	check_closed_lane();
	return 0;
}
