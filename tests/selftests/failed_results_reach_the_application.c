// SPDX-License-Identifier: Apache-2.0
/* Each result of the channel becomes the errno that says it; fail ends a device. */
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
	struct setup s = {
		.config = { .size = SIZE }, .how = { .hook = answer_as_told },
	};
	uint8_t *buf;
	ssize_t n;

	test_begin();
	buf = alloc_aligned(4096);
	setup_begin(&s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		s.world->order = cases[i].result;
		n = pwrite(s.fd, buf, 4096, 4096 * i);
		CHECK_INT(n < 0 ? errno : 0, cases[i].error);
	}
	CHECK_INT(device_set(s.id, TORUS_A_DEV_FAIL, 1), 0);
	CHECK(device_wait_state(s.id, TORUS_STATE_FAILED, 5000));
	CHECK(pread(s.fd, buf, 4096, 0) < 0);
	CHECK_INT(errno, EIO);
	close(s.fd);
	return 0;
}
