// SPDX-License-Identifier: Apache-2.0
/*
 * A GPT on /dev/torusN makes torusNp1 and torusNp2, each a window on the disk.
 * They are there after another helper came and after the disk grew, into
 * which the second then grows; an open one keeps the disk, and they go with it.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "test.h"

#define SIZE (12ull << 20)
#define FIRST_AT (1ull << 20)
#define FIRST_SIZE (1ull << 20)
#define SECOND_AT (4ull << 20)

static bool there(uint32_t id, int partition)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/torus%up%d", id, partition);
	return !access(path, F_OK);
}

static int open_partition(uint32_t id, int partition)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/torus%up%d", id, partition);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		FAIL("cannot open %s: %s", path, strerror(errno));
	return fd;
}

static uint64_t attribute(uint32_t id, int partition, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "torus%up%d/%s", id, partition, name);
	return strtoull(sysfs(id, path), NULL, 10) * 512;
}

static uint64_t size_of(int fd)
{
	uint64_t size;

	CHECK(!ioctl(fd, BLKGETSIZE64, &size));
	return size;
}

/* Someone may look at what is new for a moment: udev, or sfdisk itself. */
static int reread(int fd)
{
	uint64_t end = now_ms() + 5000;

	while (ioctl(fd, BLKRRPART)) {
		if (errno != EBUSY || now_ms() > end)
			return -errno;
		usleep(1000);
	}
	return 0;
}

static void make_table(const struct setup *s)
{
	unsigned int block = s->config.block_size;

	test_run("sfdisk --quiet --no-tell-kernel /dev/torus%u <<'END'\n"
		 "label: gpt\nstart=%llu, size=%llu\nstart=%llu, size=%llu\n"
		 "END", s->id, FIRST_AT / block, FIRST_SIZE / block,
		 SECOND_AT / block, FIRST_SIZE / block);
	CHECK(!there(s->id, 1));
	CHECK_INT(reread(s->fd), 0);
	CHECK(there(s->id, 1) && there(s->id, 2) && !there(s->id, 3));
	CHECK_INT(attribute(s->id, 1, "start"), FIRST_AT);
	CHECK_INT(attribute(s->id, 1, "size"), FIRST_SIZE);
	CHECK_INT(attribute(s->id, 2, "start"), SECOND_AT);
}

/* All of a partition, and nothing beside it, is what is written to it. */
static void use(const struct setup *s, int partition, uint64_t at,
		uint64_t size, uint8_t value)
{
	int fd = open_partition(s->id, partition);
	uint8_t *buf = alloc_aligned(size), *data = s->world->data;
	uint8_t before = data[at - 1], after = data[at + size];
	uint64_t range[2] = { 4096, 8192 };

	CHECK_INT(size_of(fd), size);
	memset(buf, value, size);
	CHECK_INT(pwrite(fd, buf, size, 0), (ssize_t)size);
	CHECK(!memcmp(data + at, buf, size));
	CHECK_INT(data[at - 1], before);
	CHECK_INT(data[at + size], after);
	CHECK(pwrite(fd, buf, 4096, size) < 0);
	CHECK(!ioctl(fd, BLKZEROOUT, range));
	memset(buf + 4096, 0, 8192);
	CHECK(!memcmp(data + at, buf, size));
	close(fd);
	free(buf);
}

static void check_open_partition(const struct setup *s)
{
	int fd = open_partition(s->id, 2);

	CHECK(ioctl(s->fd, BLKRRPART) < 0);
	CHECK_INT(errno, EBUSY);
	CHECK_INT(device_delete(s->id, false), -EBUSY);
	close(fd);
}

static void grow(const struct setup *s)
{
	CHECK_INT(device_set(s->id, TORUS_A_DEV_SIZE, 2 * SIZE), 0);
	CHECK_INT(size_of(s->fd), 2 * SIZE);
	CHECK(there(s->id, 1) && there(s->id, 2));
	test_run("sfdisk --quiet --no-tell-kernel --relocate gpt-bak-std /dev/torus%u",
		 s->id);
	test_run("echo ', +' | sfdisk --quiet --no-tell-kernel -N 2 /dev/torus%u",
		 s->id);
	CHECK_INT(reread(s->fd), 0);
	CHECK_INT(attribute(s->id, 2, "start"), SECOND_AT);
	CHECK(attribute(s->id, 2, "size") > 2 * SIZE - SECOND_AT - (2 << 20));
}

static void try(unsigned int block_size)
{
	struct setup s = {
		.config = { .size = SIZE, .block_size = block_size },
		.world_size = 2 * SIZE,
	};

	setup_begin(&s);
	make_table(&s);
	use(&s, 1, FIRST_AT, FIRST_SIZE, 0x11);
	use(&s, 2, SECOND_AT, FIRST_SIZE, 0x22);
	helper_kill(s.helper);
	s.helper = helper_spawn(s.world, s.id, NULL);
	CHECK(device_wait_state(s.id, TORUS_STATE_LIVE, 5000));
	use(&s, 1, FIRST_AT, FIRST_SIZE, 0x33);
	check_open_partition(&s);
	grow(&s);
	use(&s, 1, FIRST_AT, FIRST_SIZE, 0x44);
	use(&s, 2, SECOND_AT, attribute(s.id, 2, "size"), 0x55);
	setup_end(&s);
	CHECK(!there(s.id, 1) && !there(s.id, 2));
}

int main(void)
{
	test_begin();
	if (!test_has("sfdisk"))
		SKIP("no sfdisk");
	try(4096);
	try(512);
	return 0;
}
