// SPDX-License-Identifier: Apache-2.0
/* The module cannot be unloaded from add to the last close, also of a deleted disk. */
#include <fcntl.h>
#include <sys/syscall.h>

#include "test.h"

#define SIZE (4ull << 20)

static void check_stays(const char *when)
{
	if (!syscall(SYS_delete_module, "torus", O_NONBLOCK))
		FAIL("the module could be unloaded %s", when);
	CHECK_INT(errno, EWOULDBLOCK);
}

static int module_users(void)
{
	FILE *f = fopen("/sys/module/torus/refcnt", "r");
	int n = -1;

	CHECK(f && fscanf(f, "%d", &n) == 1);
	fclose(f);
	return n;
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct world *world;
	pid_t helper;
	uint64_t end;
	uint8_t *buf;
	uint32_t id;
	int fd;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_add(&config);
	check_stays("with a new device");
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));

	id = device_serve(&config, &world, &helper);
	check_stays("with a live device");
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	check_stays("with a deleted disk still open");
	CHECK(pread(fd, buf, 4096, 0) <= 0);
	close(fd);
	helper_kill(helper);
	for (end = now_ms() + 5000; module_users();) {
		CHECK(now_ms() < end);
		usleep(1000);
	}
	return 0;
}
