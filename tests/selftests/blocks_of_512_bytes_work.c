// SPDX-License-Identifier: Apache-2.0
/* Logical blocks of 512: unaligned to pages, odd sizes, and exact zeroing. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <linux/fs.h>

#include "test.h"

#define SIZE ((4ull << 20) + 512)

int main(void)
{
	struct device_config config = { .size = SIZE, .block_size = 512 };
	uint64_t seed = 5, range[2] = { 512 * 3, 512 * 5 };
	uint8_t *out, *in, *shadow;
	struct world *world;
	pid_t helper;
	uint32_t id;
	int fd, i;

	test_begin();
	out = alloc_aligned(256 << 10);
	in = alloc_aligned(256 << 10);
	shadow = alloc_aligned(SIZE);
	id = device_serve(&config, &world, &helper);
	CHECK(!strcmp(sysfs(id, "queue/logical_block_size"), "512"));
	CHECK(!strcmp(sysfs(id, "queue/physical_block_size"), "4096"));
	CHECK(!strcmp(sysfs(id, "queue/discard_granularity"), "4096"));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	for (i = 0; i < 150; i++) {
		size_t len = (1 + next_random(&seed) % 400) * 512;
		size_t skew = next_random(&seed) % 8 * 512;
		off_t pos = next_random(&seed) % ((SIZE - len) / 512) * 512;

		for (size_t j = 0; j < len; j += 8)
			*(uint64_t *)(out + skew + j) = next_random(&seed);
		CHECK_INT(pwrite(fd, out + skew, len, pos), (ssize_t)len);
		memcpy(shadow + pos, out + skew, len);
		CHECK_INT(pread(fd, in + skew, len, pos), (ssize_t)len);
		CHECK(!memcmp(in + skew, out + skew, len));
	}
	CHECK(!memcmp(world->data, shadow, SIZE));
	CHECK(!ioctl(fd, BLKZEROOUT, range));
	memset(shadow + range[0], 0, range[1]);
	CHECK(!memcmp(world->data, shadow, SIZE));
	/* The last block is half a page. */
	CHECK_INT(pwrite(fd, out, 512, SIZE - 512), 512);
	CHECK(!memcmp(world->data + SIZE - 512, out, 512));
	close(fd);
	return 0;
}
