// SPDX-License-Identifier: Apache-2.0
/* A second bind is refused; with takeover it gets the device, the first loses it. */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct torus_completion completion = {};
	struct helper first, second;
	struct stress stress;
	struct world *world;
	uint32_t id;
	int fd;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	CHECK_INT(helper_open(&first, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&first, false), 0);
	CHECK_INT(helper_open(&second, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&second, false), -EBUSY);
	CHECK(strstr(second.control.error, "another helper"));

	/* A bound session that never starts can be taken over, too. */
	CHECK_INT(helper_bind(&second, true), 0);
	CHECK_INT(helper_queues(&first, &first.data, 1), -ESTALE);
	CHECK_INT(helper_queues(&second, &second.data, 1), 0);
	CHECK_INT(helper_start(&first), -ESTALE);
	CHECK_INT(helper_complete(&first, &first.data, &completion, 1, true),
		  -ESTALE);
	helper_close(&first);
	helper_close(&second);

	/* Under load, between processes. */
	helper_spawn(world, id, NULL);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 4, 64 << 10);
	for (int i = 0; i < 5; i++) {
		stress_wait_ios(&stress, 50, 30000);
		helper_spawn_with(world, id, NULL, true, 8 << 20);
	}
	stress_wait_ios(&stress, 50, 30000);
	stress_stop(&stress);
	close(fd);
	return 0;
}
