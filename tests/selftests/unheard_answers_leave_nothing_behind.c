// SPDX-License-Identifier: Apache-2.0
/*
 * A device whose maker cannot be told its number, and a session whose helper
 * cannot be told of it, would stay for ever with nobody knowing: both are undone.
 */
#include <sys/socket.h>

#include "test.h"

#define SIZE (1ull << 20)
#define FLOOD 64

/* A socket whose receive buffer has room for nothing any more. */
static void open_deaf(struct nl *nl)
{
	int bytes = 1;
	struct nl_msg msg;

	CHECK_INT(nl_open(nl), 0);
	CHECK(!setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUF, &bytes,
			  sizeof(bytes)));
	for (int i = 0; i < FLOOD; i++) {
		nl_begin(nl, &msg, TORUS_CMD_DEV_GET, 0);
		nl_put_u32(&msg, TORUS_A_DEV_ID, TORUS_DEVICES_MAX - 1);
		CHECK_INT(nl_send(nl, &msg), 0);
	}
}

/* Waits for the event that the device of a volume is in a state. */
static void wait_event(struct nl *events, const char *volume, uint32_t state)
{
	const struct nlattr *attr;
	struct nl_msg msg;

	for (;;) {
		if (nl_receive(events, &msg, 5000))
			FAIL("no event of state %u for %s", state, volume);
		attr = nl_attr(&msg, TORUS_A_DEV_VOLUME);
		if (attr && !strcmp(nl_data(attr), volume) &&
		    nl_u32(&msg, TORUS_A_DEV_STATE) == state)
			return;
	}
}

static void check_add(void)
{
	struct device_config config = { .volume = "unheard", .size = SIZE };
	struct nl deaf, events;
	struct nl_msg msg;
	int ret;

	CHECK(!nl_open(&events) && !nl_join(&events));
	open_deaf(&deaf);
	nl_begin(&deaf, &msg, TORUS_CMD_DEV_ADD, 0);
	nl_put_str(&msg, TORUS_A_DEV_VOLUME, config.volume);
	nl_put_u64(&msg, TORUS_A_DEV_SIZE, SIZE);
	nl_put(&msg, TORUS_A_DEV_INCARNATION, test_incarnation,
	       sizeof(test_incarnation));
	CHECK_INT(nl_send(&deaf, &msg), 0);
	wait_event(&events, config.volume, TORUS_STATE_NEW);
	wait_event(&events, config.volume, TORUS_STATE_DELETED);
	ret = device_try_add(&config);
	if (ret < 0)
		FAIL("the volume is not free: %s", test_nl.error);
	CHECK_INT(device_delete(ret, false), 0);
	CHECK(device_wait_gone(ret, 5000));
	nl_close(&deaf);
	nl_close(&events);
}

static void check_bind(void)
{
	struct device_config config = { .volume = "bound", .size = SIZE };
	uint32_t id = device_add(&config);
	struct helper h;
	struct nl_msg msg;
	struct nl deaf;

	open_deaf(&deaf);
	CHECK_INT(helper_open(&h, world_new(SIZE), id, 4 << 20), 0);
	nl_begin(&deaf, &msg, TORUS_CMD_SESSION_BIND, 0);
	nl_put_u32(&msg, TORUS_A_SESSION_DEV_ID, id);
	nl_put_u32(&msg, TORUS_A_SESSION_CHANNEL, TORUS_CHANNEL_MESSAGES);
	nl_put_u32(&msg, TORUS_A_SESSION_ARENA_FD, h.arena_fd);
	CHECK_INT(nl_send(&deaf, &msg), 0);
	CHECK_INT(device_counter(id, TORUS_A_DEV_SESSION_ID), 0);
	helper_close(&h);
	/* Another helper finds it free. */
	CHECK_INT(helper_open(&h, world_new(SIZE), id, 4 << 20), 0);
	CHECK_INT(helper_bind(&h, false), 0);
	helper_close(&h);
	nl_close(&deaf);
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));
}

int main(void)
{
	test_begin();
	check_add();
	check_bind();
	return 0;
}
