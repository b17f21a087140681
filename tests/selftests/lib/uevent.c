// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>
#include <linux/netlink.h>

#include "test.h"
#include "uevent.h"

int uevent_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			NETLINK_KOBJECT_UEVENT);

	CHECK(fd >= 0 && !bind(fd, (void *)&addr, sizeof(addr)));
	return fd;
}

void uevent_wait_resize(int fd, uint32_t id)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[4096], name[32];
	ssize_t n;

	/* It begins with ACTION@PATH; lines follow, each with its NUL. */
	snprintf(name, sizeof(name), "/block/torus%u", id);
	while (poll(&pfd, 1, 20000) == 1) {
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		CHECK(n > 0);
		buf[n] = 0;
		if (!strncmp(buf, "change@", 7) && strstr(buf, name) &&
		    memmem(buf, n, "RESIZE=1", 8))
			return;
	}
	FAIL("no uevent with RESIZE=1");
}
