// SPDX-License-Identifier: Apache-2.0
/*
 * A helper that answers twice, with other generations and for tags that nobody
 * asked about: counted as late, and no request ends by it or gets wrong data.
 * A success of the wrong length is an error of that request, and a short read
 * copies nothing.
 */
#include <fcntl.h>

#include "stress.h"
#include "test.h"

#define SIZE (16ull << 20)

static bool babble(struct helper *h, const struct torus_desc *desc,
		   struct torus_completion *completion)
{
	struct torus_completion wrong[4];

	wrong[0] = *completion;
	wrong[0].generation--;
	wrong[1] = *completion;
	wrong[1].generation += 7;
	wrong[2] = *completion;
	wrong[2].tag = (desc->tag + 61) % h->depth;
	wrong[2].generation = desc->generation + 1000000;
	wrong[3] = *completion;
	wrong[3].result = TORUS_RESULT_IO_ERROR;
	helper_complete(h, &h->data, wrong, 3, false);
	helper_complete(h, &h->data, completion, 1, false);
	/* It has ended; now it "fails". */
	helper_complete(h, &h->data, &wrong[3], 1, false);
	return false;
}

static bool wrong_length(struct helper *h, const struct torus_desc *desc,
			 struct torus_completion *completion)
{
	if (desc->offset == 1 << 20) {
		completion->length = 512;
		memset(h->arena + desc->arena_offset, 0xee, desc->length);
	}
	return true;
}

static void check_wrong_length(uint32_t id, struct world *world)
{
	uint8_t *buf = alloc_aligned(4096);
	int fd;

	helper_spawn(world, id, wrong_length);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	memset(buf, 0x11, 4096);
	CHECK_INT(pread(fd, buf, 4096, 1 << 20), -1);
	CHECK_INT(errno, EIO);
	for (int i = 0; i < 4096; i++)
		CHECK_INT(buf[i], 0x11);
	CHECK_INT(pwrite(fd, buf, 4096, 1 << 20), -1);
	CHECK_INT(pread(fd, buf, 4096, 2 << 20), 4096);
	close(fd);
	free(buf);
}

int main(void)
{
	struct setup s = {
		.config = { .size = SIZE }, .how = { .hook = babble },
	};
	struct stress stress;
	uint64_t ios;

	test_begin();
	setup_begin(&s);
	stress_start(&stress, s.fd, SIZE, 4, 32 << 10);
	stress_wait_ios(&stress, 300, 60000);
	ios = stress_stop(&stress);
	CHECK(device_counter(s.id, TORUS_A_DEV_LATE) >= ios);
	close(s.fd);
	helper_kill(s.helper);
	check_wrong_length(s.id, s.world);
	return 0;
}
