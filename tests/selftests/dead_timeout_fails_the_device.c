// SPDX-License-Identifier: Apache-2.0
/* Requests wait for another helper, but not longer than the dead timeout. */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)

int main(void)
{
	struct device_config config = { .size = SIZE, .dead_timeout_ms = 700 };
	struct helper late;
	struct world *world;
	uint64_t start;
	uint8_t *buf;
	pid_t helper;
	uint32_t id;
	int fd;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	helper_kill(helper);
	start = now_ms();
	CHECK_INT(pwrite(fd, buf, 4096, 0), -1);
	CHECK_INT(errno, EIO);
	CHECK(now_ms() - start >= 500);
	CHECK(now_ms() - start < 5000);
	CHECK_INT(device_state(id), TORUS_STATE_FAILED);
	CHECK_INT(pread(fd, buf, 4096, 0), -1);

	/* There is no way back. */
	CHECK_INT(helper_open(&late, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&late, false), -EIO);
	CHECK(strstr(late.control.error, "failed"));
	helper_close(&late);
	close(fd);
	CHECK_INT(device_delete_patiently(id), 0);
	CHECK(device_wait_gone(id, 5000));

	/* A longer one, set while it runs, is what counts. */
	config.dead_timeout_ms = 60000;
	id = device_serve(&config, &world, &helper);
	helper_kill(helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));
	CHECK_INT(device_set(id, TORUS_A_DEV_DEAD_TIMEOUT_MS, 100), 0);
	CHECK(device_wait_state(id, TORUS_STATE_FAILED, 5000));
	return 0;
}
