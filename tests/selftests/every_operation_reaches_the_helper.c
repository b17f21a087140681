// SPDX-License-Identifier: Apache-2.0
/* Read, write, flush, FUA, discard, write zeroes: done, and with the right data. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <linux/falloc.h>

#include "test.h"

#define SIZE (64ull << 20)
#define MIB (1u << 20)

static void check_data(int fd, struct world *world)
{
	uint8_t *out = alloc_aligned(2 * MIB), *in = alloc_aligned(2 * MIB);
	uint64_t seed = 1;
	size_t len;
	off_t pos;
	int i;

	for (i = 0; i < 40; i++) {
		len = (1 + next_random(&seed) % 512) * 4096;
		pos = next_random(&seed) % ((SIZE - len) / 4096) * 4096;
		for (size_t j = 0; j < len; j += 8)
			*(uint64_t *)(out + j) = next_random(&seed);
		CHECK_INT(pwrite(fd, out, len, pos), (ssize_t)len);
		CHECK(!memcmp(world->data + pos, out, len));
		memset(in, 0, len);
		CHECK_INT(pread(fd, in, len, pos), (ssize_t)len);
		CHECK(!memcmp(in, out, len));
	}
	free(out);
	free(in);
}

static void check_zeroing(int fd, struct world *world)
{
	uint64_t range[2] = { 3 * 4096, 8 * 4096 };
	size_t i;

	memset(world->data, 0xaa, MIB);
	CHECK(!ioctl(fd, BLKDISCARD, range));
	CHECK(world->ops[TORUS_OP_DISCARD] > 0);
	for (i = 0; i < 8 * 4096; i++)
		CHECK_INT(world->data[3 * 4096 + i], 0);
	CHECK_INT(world->data[3 * 4096 - 1], 0xaa);
	CHECK_INT(world->data[11 * 4096], 0xaa);

	range[0] = 32 * 4096;
	range[1] = 4096;
	CHECK(!ioctl(fd, BLKZEROOUT, range));
	CHECK(world->ops[TORUS_OP_WRITE_ZEROES] > 0);
	for (i = 0; i < 4096; i++)
		CHECK_INT(world->data[32 * 4096 + i], 0);
	CHECK_INT(world->data[33 * 4096], 0xaa);
}

int main(void)
{
	struct device_config config = { .size = SIZE };
	struct world *world;
	uint64_t flushes;
	uint8_t *buf;
	pid_t helper;
	uint32_t id;
	int fd;

	test_begin();
	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	check_data(fd, world);
	check_zeroing(fd, world);

	flushes = world->ops[TORUS_OP_FLUSH];
	CHECK(!fdatasync(fd));
	CHECK(world->ops[TORUS_OP_FLUSH] > flushes);

	buf = alloc_aligned(4096);
	CHECK_INT(world->fua, 0);
	close(fd);
	fd = device_open(id, O_RDWR | O_DIRECT | O_DSYNC);
	CHECK_INT(pwrite(fd, buf, 4096, 0), 4096);
	CHECK(world->fua > 0);
	close(fd);

	CHECK_INT(device_counter(id, TORUS_A_DEV_SEQUENCE), world->sequence);
	CHECK_INT(device_delete_patiently(id), 0);
	CHECK(device_wait_gone(id, 5000));
	return 0;
}
