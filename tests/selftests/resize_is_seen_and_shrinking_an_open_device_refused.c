// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "test.h"
#include "uevent.h"

#define SIZE (4ull << 20)

static uint64_t size_of(int fd)
{
	uint64_t size;

	CHECK(!ioctl(fd, BLKGETSIZE64, &size));
	return size;
}

int main(void)
{
	struct setup s = {
		.config = { .size = SIZE }, .world_size = 2 * SIZE,
	};
	uint8_t *buf;
	uint32_t id;
	int fd, uevents;

	test_begin();
	buf = alloc_aligned(4096);
	setup_begin(&s);
	id = s.id;
	fd = s.fd;
	CHECK_INT(size_of(fd), SIZE);
	CHECK(pwrite(fd, buf, 4096, SIZE) < 0);

	uevents = uevent_open();
	CHECK_INT(device_set(id, TORUS_A_DEV_SIZE, 2 * SIZE), 0);
	uevent_wait_resize(uevents, id);
	CHECK_INT(size_of(fd), 2 * SIZE);
	CHECK_INT(pwrite(fd, buf, 4096, SIZE), 4096);
	CHECK_INT(device_set(id, TORUS_A_DEV_SIZE, SIZE), -EBUSY);
	CHECK_INT(device_set(id, TORUS_A_DEV_SIZE, SIZE + 100), -EINVAL);
	CHECK_INT(device_set(id, TORUS_A_DEV_SIZE, 0), -EINVAL);
	CHECK_INT(size_of(fd), 2 * SIZE);
	close(fd);
	/* udev may have it open for a moment. */
	for (uint64_t end = now_ms() + 5000;
	     device_set(id, TORUS_A_DEV_SIZE, SIZE) == -EBUSY;)
		CHECK(now_ms() < end);
	fd = device_open(id, O_RDONLY);
	CHECK_INT(size_of(fd), SIZE);
	close(fd);
	return 0;
}
