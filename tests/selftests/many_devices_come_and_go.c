// SPDX-License-Identifier: Apache-2.0
/*
 * 64 devices at once with small arenas, served by one process each and all under
 * load; then devices that are added, started and deleted in a row.
 */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define DEVICES 64
#define CYCLES 30
#define SIZE (1ull << 20)

static void add_and_delete(struct world *world)
{
	struct device_config config = {
		.volume = "cycle", .size = SIZE, .depth = 8,
		.io_size_max = 256 << 10,
	};
	pid_t helper;
	uint32_t id;
	int i;

	for (i = 0; i < CYCLES; i++) {
		id = device_add(&config);
		helper = helper_spawn_with(world, id, NULL, false, SIZE);
		if (i % 2)
			CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
		CHECK_INT(i % 3 ? device_delete_patiently(id) :
			  device_delete(id, true), 0);
		CHECK(device_wait_gone(id, 20000));
		helper_kill(helper);
	}
}

int main(void)
{
	struct device_config config = {
		.size = SIZE, .depth = 8, .io_size_max = 256 << 10,
	};
	static struct stress stress[DEVICES];
	struct world *worlds[DEVICES];
	pid_t helpers[DEVICES];
	uint32_t ids[DEVICES];
	char names[DEVICES][16];
	int fds[DEVICES], i;
	uint64_t begin, ios = 0;

	test_begin();
	begin = now_ms();
	for (i = 0; i < DEVICES; i++) {
		snprintf(names[i], sizeof(names[i]), "many-%d", i);
		config.volume = names[i];
		ids[i] = device_add(&config);
		worlds[i] = world_new(SIZE);
		helpers[i] = helper_spawn_with(worlds[i], ids[i], NULL, false,
					       SIZE);
	}
	printf("# added and bound after %llu ms\n",
	       (unsigned long long)(now_ms() - begin));
	for (i = 0; i < DEVICES; i++) {
		CHECK(device_wait_state(ids[i], TORUS_STATE_LIVE, 30000));
		fds[i] = device_open(ids[i], O_RDWR | O_DIRECT);
		CHECK(fds[i] >= 0);
		stress_start(&stress[i], fds[i], SIZE, 1, 64 << 10);
	}
	for (i = 0; i < DEVICES; i++)
		stress_wait_total(&stress[i], 20, 60000);
	printf("# %d devices under load after %llu ms\n", DEVICES,
	       (unsigned long long)(now_ms() - begin));
	for (i = 0; i < DEVICES; i++) {
		ios += stress_ios(&stress[i]);
		stress_halt(&stress[i]);
	}
	printf("# %llu I/Os until the slowest had 20\n",
	       (unsigned long long)ios);
	for (i = 0; i < DEVICES; i++) {
		stress_stop(&stress[i]);
		close(fds[i]);
		CHECK_INT(device_delete_patiently(ids[i]), 0);
	}
	for (i = 0; i < DEVICES; i++) {
		CHECK(device_wait_gone(ids[i], 30000));
		helper_kill(helpers[i]);
	}
	printf("# deleted after %llu ms\n",
	       (unsigned long long)(now_ms() - begin));
	add_and_delete(worlds[0]);
	return 0;
}
