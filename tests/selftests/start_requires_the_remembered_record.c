// SPDX-License-Identifier: Apache-2.0
/*
 * A device that survived its helper is served again only from a log that holds
 * the record it saw acknowledged last, and only in its own incarnation.
 */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)

struct variation {
	const char *name;
	bool incarnation;
	int64_t sequence;
	uint32_t crc_xor;
	bool no_check;
	bool fits;
};

static int start(struct helper *h, const struct variation *v)
{
	uint8_t incarnation[TORUS_INCARNATION_LEN];
	struct nl_msg msg;

	memcpy(incarnation, test_incarnation, sizeof(incarnation));
	incarnation[3] ^= v->incarnation;
	nl_begin(&h->control, &msg, TORUS_CMD_SESSION_START, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_SESSION_ID, h->session_id);
	nl_put(&msg, TORUS_A_SESSION_INCARNATION, incarnation,
	       sizeof(incarnation));
	nl_put_u64(&msg, TORUS_A_SESSION_SEQUENCE, h->remembered + v->sequence);
	nl_put_u32(&msg, TORUS_A_SESSION_HEADER_CRC, 0x1234);
	if (!v->no_check)
		nl_put_u32(&msg, TORUS_A_SESSION_CHECK_CRC,
			   world_crc(h->remembered) ^ v->crc_xor);
	return nl_call(&h->control, &msg, NULL);
}

static void try(const struct variation *v)
{
	const struct variation silent = { .no_check = true };
	struct device_config config = { .size = SIZE };
	uint8_t *buf = alloc_aligned(4096);
	struct world *world;
	struct helper h;
	pid_t helper;
	uint32_t id;
	int fd, ret;

	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	for (int i = 0; i < 5; i++)
		CHECK_INT(pwrite(fd, buf, 4096, i * 4096), 4096);
	helper_kill(helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 5000));

	CHECK_INT(helper_open(&h, world, id, 4 << 20), 0);
	CHECK_INT(helper_bind(&h, false), 0);
	CHECK_INT(h.remembered, world->sequence);
	CHECK_INT(h.remembered_crc, world_crc(world->sequence));
	CHECK_INT(start(&h, v), -EINVAL); /* no queue is bound yet */
	CHECK_INT(helper_queues(&h, &h.data, 1), 0);
	/* A message that does not say is refused, and nothing has happened. */
	CHECK_INT(start(&h, &silent), -EINVAL);
	CHECK(strstr(h.control.error, "check-crc"));
	CHECK_INT(device_state(id), TORUS_STATE_RECOVERING);
	ret = start(&h, v);
	if (ret != (v->fits ? 0 : -ESTALE))
		FAIL("%s: %d (%s)", v->name, ret, h.control.error);
	CHECK(device_wait_state(id, v->fits ? TORUS_STATE_LIVE :
				TORUS_STATE_FAILED, 5000));
	if (v->fits) {
		CHECK_INT(start(&h, v), -EALREADY);
		CHECK_INT(device_counter(id, TORUS_A_DEV_SEQUENCE),
			  h.remembered + v->sequence);
	} else {
		CHECK(pread(fd, buf, 4096, 0) < 0);
	}
	close(fd);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	helper_close(&h);
	free(buf);
}

int main(void)
{
	static const struct variation variations[] = {
		{ "the same log", .fits = true },
		{ "a longer log", .sequence = 3, .fits = true },
		{ "a shorter log", .sequence = -1 },
		{ "another record at that place", .crc_xor = 1 },
		{ "another incarnation", .incarnation = true },
	};

	test_begin();
	for (size_t i = 0; i < sizeof(variations) / sizeof(*variations); i++)
		try(&variations[i]);
	return 0;
}
