// SPDX-License-Identifier: Apache-2.0
/* A helper is killed under load, again and again, and the next one goes on. */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (32ull << 20)

int main(void)
{
	struct device_config config = { .size = SIZE, .queues = 2 };
	uint64_t before, pause, worst = 0;
	struct stress stress;
	struct world *world;
	pid_t helper;
	uint32_t id;
	int fd, i, kills;

	test_begin();
	kills = test_rounds(6, 30);
	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 8, 256 << 10);
	for (i = 0; i < kills; i++) {
		stress_wait_ios(&stress, 50, 30000);
		helper_kill(helper);
		CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));
		before = now_ms();
		helper = helper_spawn(world, id, NULL);
		stress_wait_ios(&stress, 1, 30000);
		pause = now_ms() - before;
		worst = pause > worst ? pause : worst;
	}
	printf("# %llu I/Os, %d helpers killed, %llu requests sent again, longest pause %llu ms\n",
	       (unsigned long long)stress_stop(&stress), kills,
	       (unsigned long long)device_counter(id, TORUS_A_DEV_REQUEUED),
	       (unsigned long long)worst);
	CHECK(device_counter(id, TORUS_A_DEV_REQUEUED) > 0);
	CHECK_INT(device_state(id), TORUS_STATE_LIVE);
	close(fd);
	CHECK_INT(device_delete_patiently(id), 0);
	CHECK(device_wait_gone(id, 5000));
	return 0;
}
