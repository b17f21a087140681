// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/fs.h>
#include <linux/netlink.h>

#include "test.h"

#define SIZE (4ull << 20)

static int open_uevents(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			NETLINK_KOBJECT_UEVENT);

	CHECK(fd >= 0 && !bind(fd, (void *)&addr, sizeof(addr)));
	return fd;
}

static void wait_resize_uevent(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[4096];
	ssize_t n;

	while (poll(&pfd, 1, 5000) == 1) {
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		CHECK(n > 0);
		if (memmem(buf, n, "RESIZE=1", 8))
			return;
	}
	FAIL("no uevent with RESIZE=1");
}

static uint64_t size_of(int fd)
{
	uint64_t size;

	CHECK(!ioctl(fd, BLKGETSIZE64, &size));
	return size;
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct world *world;
	uint8_t *buf;
	uint32_t id;
	int fd, uevents;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_add(&config);
	world = world_new(2 * SIZE);
	helper_spawn(world, id, NULL);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	CHECK_INT(size_of(fd), SIZE);
	CHECK(pwrite(fd, buf, 4096, SIZE) < 0);

	uevents = open_uevents();
	CHECK_INT(device_set(id, TORUS_A_DEV_SIZE, 2 * SIZE), 0);
	wait_resize_uevent(uevents);
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
