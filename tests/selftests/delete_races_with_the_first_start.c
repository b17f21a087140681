// SPDX-License-Identifier: Apache-2.0
/*
 * Plain and forced deletes, alone and together, at the moment of a device's
 * first start: whoever wins, the device goes, and no disk of it is left.
 */
#include <poll.h>
#include <pthread.h>

#include "test.h"

#define SIZE (1ull << 20)
#define ARENA (64 << 10)

struct deleter {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct nl nl;
	uint32_t id;
	bool force;
	unsigned int spin;
};

static int delete(struct deleter *d)
{
	struct nl_msg msg;

	nl_begin(&d->nl, &msg, TORUS_CMD_DEV_DEL, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, d->id);
	if (d->force)
		nl_put_flag(&msg, TORUS_A_DEV_FORCE);
	return nl_call(&d->nl, &msg, NULL);
}

static void spin(unsigned int n)
{
	for (volatile unsigned int i = 0; i < n; i++)
		;
}

static void *run(void *arg)
{
	struct deleter *d = arg;
	int ret;

	pthread_barrier_wait(d->barrier);
	spin(d->spin);
	ret = delete(d);
	/* The disk just made may be open for a moment; or another was first. */
	while (ret == -EBUSY) {
		poll(NULL, 0, 1);
		ret = delete(d);
	}
	if (ret && ret != -EALREADY && ret != -ENODEV)
		FAIL("delete: %s (%s)", strerror(-ret), d->nl.error);
	return NULL;
}

/* Serves until the event that the device is gone. */
static void serve_until_gone(struct helper *h, struct nl *events)
{
	uint64_t end = now_ms() + 20000;
	struct nl_msg msg;

	while (device_state(h->dev_id) != TORUS_STATE_DELETED) {
		CHECK(now_ms() < end);
		helper_serve_many(h, 1, events->fd, 1000);
		nl_receive(events, &msg, 0);
	}
}

static void race(struct world *world, struct nl *events, unsigned int round)
{
	struct device_config config = {
		.size = SIZE, .depth = 8, .io_size_max = 16 << 10,
	};
	struct deleter deleters[2];
	unsigned int nr = round % 3 == 2 ? 2 : 1, i;
	pthread_barrier_t barrier;
	uint64_t seed = round;
	struct helper h;
	char path[64];
	int ret;

	CHECK(!pthread_barrier_init(&barrier, NULL, nr + 1));
	CHECK_INT(helper_open(&h, world, device_add(&config), ARENA), 0);
	CHECK_INT(helper_bind(&h, false), 0);
	CHECK_INT(helper_queues(&h, &h.data, 1), 0);
	for (i = 0; i < nr; i++) {
		deleters[i] = (struct deleter) {
			.barrier = &barrier, .id = h.dev_id,
			.force = nr == 2 ? i : round % 3,
			.spin = next_random(&seed) % 20000,
		};
		CHECK_INT(nl_open(&deleters[i].nl), 0);
		CHECK(!pthread_create(&deleters[i].thread, NULL, run,
				      &deleters[i]));
	}
	pthread_barrier_wait(&barrier);
	spin(next_random(&seed) % 60000);
	ret = helper_start(&h);
	if (ret && ret != -ESTALE && ret != -ENODEV)
		FAIL("start: %s (%s)", strerror(-ret), h.control.error);
	serve_until_gone(&h, events);
	for (i = 0; i < nr; i++) {
		pthread_join(deleters[i].thread, NULL);
		nl_close(&deleters[i].nl);
	}
	snprintf(path, sizeof(path), "/sys/block/torus%u", h.dev_id);
	if (!access(path, F_OK))
		FAIL("%s is there, but its device is not", path);
	helper_close(&h);
	pthread_barrier_destroy(&barrier);
}

int main(void)
{
	struct world *world;
	unsigned int i, rounds;
	struct nl events;

	test_begin();
	rounds = test_rounds(60, 600);
	world = world_new(SIZE);
	CHECK(!nl_open(&events) && !nl_join(&events));
	for (i = 0; i < rounds; i++)
		race(world, &events, i);
	return 0;
}
