// SPDX-License-Identifier: Apache-2.0
/*
 * A helper's receive buffer is made far too small after it was accepted, and
 * the helper sleeps: descriptors find no room, wait, and arrive later.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)
#define THREADS 16

static bool shrink(struct helper *h, const struct torus_desc *desc,
		   struct torus_completion *completion)
{
	int bytes = 1;

	(void)desc;
	(void)completion;
	setsockopt(h->data.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return true;
}

static void check_small_buffer_refused(uint32_t id, struct world *world)
{
	struct helper h;

	CHECK_INT(helper_open(&h, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&h, false), 0);
	h.rcvbuf_min /= 2;
	CHECK_INT(helper_queues(&h, &h.data, 1), -ENOBUFS);
	CHECK(strstr(h.data.error, "SO_RCVBUFFORCE"));
	helper_close(&h);
}

/* The block layer lets many flushes wait for one request. */
static bool all_sent(uint32_t id, struct stress *stress)
{
	return device_counter(id, TORUS_A_DEV_IN_FLIGHT) +
	       __atomic_load_n(&stress->flushing, __ATOMIC_SEQ_CST) >= THREADS;
}

/*
 * Until a send has failed, or, if those that had failed before went in one
 * message, until every thread's request is sent. Nothing announces either.
 */
static void wait_overflow(uint32_t id, uint64_t before, struct stress *stress)
{
	uint64_t end = now_ms() + 10000;

	while (device_counter(id, TORUS_A_DEV_OVERFLOWS) == before &&
	       !all_sent(id, stress)) {
		CHECK(now_ms() < end);
		usleep(2000);
	}
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct stress stress;
	struct world *world;
	uint64_t before;
	pid_t helper;
	uint32_t id;
	int fd, i;

	test_begin();
	use_messages();
	id = device_add(&config);
	world = world_new(SIZE);
	check_small_buffer_refused(id, world);
	helper = helper_spawn(world, id, shrink);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, THREADS, 16 << 10);
	for (i = 0; i < 10; i++) {
		stress_wait_ios(&stress, 20, 30000);
		before = device_counter(id, TORUS_A_DEV_OVERFLOWS);
		helper_suspend(helper);
		wait_overflow(id, before, &stress);
		kill(helper, SIGCONT);
	}
	stress_wait_ios(&stress, 100, 30000);
	stress_stop(&stress);
	CHECK(device_counter(id, TORUS_A_DEV_OVERFLOWS) > 0);
	CHECK_INT(device_counter(id, TORUS_A_DEV_REQUEUED), 0);
	close(fd);
	return 0;
}
