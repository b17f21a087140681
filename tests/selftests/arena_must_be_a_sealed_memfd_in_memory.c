// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <linux/memfd.h>

#include "test.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | \
		   F_SEAL_SEAL)
#define SIZE (4ull << 20)

static void refuse(struct helper *h, const char *what, int fd, int error,
		   const char *text)
{
	int old = h->arena_fd, ret;

	h->arena_fd = fd;
	ret = helper_bind(h, false);
	h->arena_fd = old;
	if (ret != error || !strstr(h->control.error, text))
		FAIL("%s: %d (%s), not %d", what, ret, h->control.error, error);
	if (fd > 0 && fd < 1000)
		close(fd);
}

static int memfd(size_t size, int seals, bool touch)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *map;

	CHECK(fd >= 0 && !ftruncate(fd, size));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	if (touch)
		memset(map, 1, size);
	CHECK(!fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static int read_only(void)
{
	char path[64];
	int fd = memfd(SIZE, ALL_SEALS, true), again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY);
	close(fd);
	CHECK(again >= 0);
	return again;
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	char name[] = "/tmp/torus-selftest-XXXXXX";
	struct world *world;
	struct helper h;
	uint32_t id, other;
	int fd;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	CHECK_INT(helper_open(&h, world, id, SIZE), 0);

	refuse(&h, "no file", 999999, -EBADF, "open file");
	refuse(&h, "/dev/null", open("/dev/null", O_RDWR), -EINVAL, "memfd");
	fd = mkstemp(name);
	unlink(name);
	CHECK(fd >= 0 && !ftruncate(fd, SIZE));
	refuse(&h, "a file", fd, -EINVAL, "memfd");
	fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0) {
		CHECK(!ftruncate(fd, SIZE));
		refuse(&h, "a tmpfs file", fd, -EINVAL, "");
	}
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING |
			  MFD_HUGETLB);
	if (fd >= 0)
		refuse(&h, "huge pages", fd, -EINVAL, "memfd");
	refuse(&h, "read-only", read_only(), -EINVAL, "reading and writing");
	refuse(&h, "no seals", memfd(SIZE, 0, true), -EINVAL, "a seal");
	refuse(&h, "seal missing",
	       memfd(SIZE, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, true),
	       -EINVAL, "a seal");
	refuse(&h, "too small", memfd(1 << 20, ALL_SEALS, true), -EINVAL,
	       "io-size-max");
	refuse(&h, "odd size", memfd(SIZE + 100, ALL_SEALS, true), -EINVAL,
	       "whole pages");
	refuse(&h, "holes", memfd(SIZE, ALL_SEALS, false), -EFAULT, "mlock");

	CHECK_INT(helper_bind(&h, false), 0);
	/* A paused helper may still write into the arena of its session. */
	CHECK_INT(helper_bind(&h, true), -EINVAL);
	CHECK(strstr(h.control.error, "new one"));
	/* Two devices would hand out the same memory. */
	config.volume = "another";
	other = device_add(&config);
	h.dev_id = other;
	CHECK_INT(helper_bind(&h, false), -EINVAL);
	CHECK(strstr(h.control.error, "new one"));
	CHECK_INT(device_delete(other, false), 0);
	CHECK(device_wait_gone(other, 5000));
	helper_close(&h);
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));
	return 0;
}
