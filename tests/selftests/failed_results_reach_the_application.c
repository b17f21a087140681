// SPDX-License-Identifier: Apache-2.0
/* Each result of the channel becomes the errno that says it; fail ends a device. */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)

static bool answer_as_told(struct helper *h, const struct torus_desc *desc,
			   struct torus_completion *completion)
{
	if (desc->op == TORUS_OP_WRITE)
		completion->result = h->world->order;
	return true;
}

int main(void)
{
	static const struct { uint32_t result; int error; } cases[] = {
		{ TORUS_RESULT_OK, 0 },
		{ TORUS_RESULT_IO_ERROR, EIO },
		{ TORUS_RESULT_NO_SPACE, ENOSPC },
		{ TORUS_RESULT_TIMEOUT, ETIMEDOUT },
		{ TORUS_RESULT_MEDIUM, ENODATA },
		{ TORUS_RESULT_NOT_SUPPORTED, EOPNOTSUPP },
		{ TORUS_RESULT_OK, 0 },
	};
	struct device_config config = { .size = SIZE };
	struct world *world;
	uint8_t *buf;
	uint32_t id;
	ssize_t n;
	int fd;

	test_begin();
	buf = alloc_aligned(4096);
	id = device_add(&config);
	world = world_new(SIZE);
	helper_spawn(world, id, answer_as_told);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		world->order = cases[i].result;
		n = pwrite(fd, buf, 4096, 4096 * i);
		CHECK_INT(n < 0 ? errno : 0, cases[i].error);
	}
	CHECK_INT(device_set(id, TORUS_A_DEV_FAIL, 1), 0);
	CHECK(device_wait_state(id, TORUS_STATE_FAILED, 5000));
	CHECK(pread(fd, buf, 4096, 0) < 0);
	CHECK_INT(errno, EIO);
	close(fd);
	return 0;
}
