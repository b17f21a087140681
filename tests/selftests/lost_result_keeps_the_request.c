// SPDX-License-Identifier: Apache-2.0
/* A fenced helper says LOST: its session ends and the next one gets the request. */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

/* After some writes the volume is lost: nothing is carried out any more. */
static bool lose(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)desc;
	if (__atomic_load_n(&h->world->order, __ATOMIC_RELAXED))
		completion->result = TORUS_RESULT_LOST;
	return true;
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct stress stress;
	struct world *world;
	uint32_t id;
	int fd, i;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	helper_spawn(world, id, lose);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 4, 64 << 10);
	for (i = 0; i < 4; i++) {
		stress_wait_ios(&stress, 30, 30000);
		__atomic_store_n(&world->order, 1, __ATOMIC_RELAXED);
		CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 10000));
		__atomic_store_n(&world->order, 0, __ATOMIC_RELAXED);
		helper_spawn(world, id, lose);
	}
	stress_wait_ios(&stress, 30, 30000);
	stress_stop(&stress);
	CHECK(device_counter(id, TORUS_A_DEV_REQUEUED) > 0);
	close(fd);
	return 0;
}
