// SPDX-License-Identifier: Apache-2.0
/* With the helper dead or stuck and requests waiting: forced delete ends it all. */
#include <fcntl.h>
#include <signal.h>

#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

static void delete_under_load(bool by_sysfs)
{
	struct device_config config = { .size = SIZE };
	struct stress stress;
	struct world *world;
	pid_t helper;
	uint64_t start;
	char path[64];
	uint32_t id;
	int fd, abort_fd;

	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, 4, 64 << 10);
	stress_wait_ios(&stress, 50, 30000);
	CHECK_INT(device_delete(id, false), -EBUSY);
	CHECK(strstr(test_nl.error, "open"));
	helper_kill(helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));

	start = now_ms();
	if (by_sysfs) {
		snprintf(path, sizeof(path), "/sys/block/torus%u/torus/abort",
			 id);
		abort_fd = open(path, O_WRONLY);
		CHECK(abort_fd >= 0);
		CHECK_INT(write(abort_fd, "1", 1), 1);
		close(abort_fd);
	} else {
		CHECK_INT(device_delete(id, true), 0);
	}
	CHECK(stress_stop_error(&stress) > 0);
	CHECK(device_wait_gone(id, 5000));
	CHECK(now_ms() - start < 5000);
	CHECK(device_open(id, O_RDONLY) < 0);
	close(fd);
}

static void delete_with_live_helper(bool stuck)
{
	struct device_config config = { .size = SIZE };
	struct stress stress;
	struct world *world;
	pid_t helper;
	uint32_t id;
	int fd;

	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	stress_start(&stress, fd, SIZE, 4, 64 << 10);
	stress_wait_ios(&stress, 50, 30000);
	if (stuck)
		helper_suspend(helper);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(stress_stop_error(&stress) > 0);
	CHECK(device_wait_gone(id, 5000));
	close(fd);
	/* It goes on, and has nobody to answer to. */
	if (stuck)
		kill(helper, SIGCONT);
	helper_kill(helper);
}

int main(void)
{
	test_begin();
	delete_under_load(false);
	delete_under_load(true);
	delete_with_live_helper(false);
	delete_with_live_helper(true);
	return 0;
}
