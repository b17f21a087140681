// SPDX-License-Identifier: Apache-2.0
/* The smallest arena there may be, shared by small and the largest requests. */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (64ull << 20)

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct stress large, small;
	struct world *world;
	uint32_t id;
	int fd, again;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	helper_spawn_with(world, id, NULL, false, 2 << 20);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	again = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0 && again >= 0);
	stress_start(&large, fd, SIZE, 4, 1 << 20);
	stress_wait_ios(&large, 100, 60000);
	stress_stop(&large);

	memset(world->data, 0, SIZE);
	stress_start(&small, again, SIZE, 24, 8 << 10);
	stress_wait_ios(&small, 1000, 60000);
	stress_stop(&small);
	CHECK_INT(device_counter(id, TORUS_A_DEV_IN_FLIGHT), 0);
	close(fd);
	close(again);
	return 0;
}
