// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "test.h"

#define SIZE (4ull << 20)

int main(void)
{
	struct device_config config = { .size = SIZE, .read_only = true };
	struct world *world;
	pid_t helper;
	uint8_t *buf;
	uint32_t id;
	int fd, ro, off = 0;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_serve(&config, &world, &helper);
	CHECK(!strcmp(sysfs(id, "ro"), "1"));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd == -EACCES || fd == -EROFS || fd >= 0);
	if (fd >= 0) {
		CHECK(pwrite(fd, buf, 4096, 0) < 0);
		close(fd);
	}
	fd = device_open(id, O_RDONLY | O_DIRECT);
	CHECK(fd >= 0);
	CHECK_INT(pread(fd, buf, 4096, 0), 4096);
	CHECK_INT(world->ops[TORUS_OP_WRITE], 0);

	/* The user's own switch does not get round the driver's. */
	ioctl(fd, BLKROSET, &off);
	CHECK(!ioctl(fd, BLKROGET, &ro));
	close(fd);
	fd = device_open(id, O_RDWR | O_DIRECT);
	if (fd >= 0) {
		CHECK(pwrite(fd, buf, 4096, 0) < 0);
		close(fd);
	}
	CHECK_INT(world->ops[TORUS_OP_WRITE], 0);

	CHECK_INT(device_set(id, TORUS_A_DEV_READ_ONLY, 0), 0);
	CHECK(!strcmp(sysfs(id, "ro"), "0"));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	CHECK_INT(pwrite(fd, buf, 4096, 0), 4096);
	CHECK_INT(device_set(id, TORUS_A_DEV_READ_ONLY, 1), 0);
	CHECK(pwrite(fd, buf, 4096, 0) < 0);
	CHECK_INT(world->ops[TORUS_OP_WRITE], 1);
	close(fd);
	return 0;
}
