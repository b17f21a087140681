// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/genetlink.h>

#include "test.h"

#define DEVICES_MAX 128

const uint8_t test_incarnation[TORUS_INCARNATION_LEN] = "selftest device";

static int added[DEVICES_MAX];
static int nr_added;
static int owner_pid;

static void put_wanted(struct nl_msg *msg, uint16_t type, uint32_t value)
{
	if (value)
		nl_put_u32(msg, type, value);
}

void device_remember(uint32_t id)
{
	owner_pid = getpid();
	if (nr_added < DEVICES_MAX)
		added[nr_added++] = id;
}

int device_try_add(const struct device_config *config)
{
	struct nl_msg msg, answer;
	int ret;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_ADD, 0);
	nl_put_str(&msg, TORUS_A_DEV_VOLUME,
		   config->volume ? config->volume : "selftest");
	nl_put_u64(&msg, TORUS_A_DEV_SIZE, config->size);
	nl_put(&msg, TORUS_A_DEV_INCARNATION, test_incarnation,
	       sizeof(test_incarnation));
	put_wanted(&msg, TORUS_A_DEV_BLOCK_SIZE, config->block_size);
	put_wanted(&msg, TORUS_A_DEV_QUEUES, config->queues);
	put_wanted(&msg, TORUS_A_DEV_DEPTH, config->depth);
	put_wanted(&msg, TORUS_A_DEV_IO_SIZE_MAX, config->io_size_max);
	put_wanted(&msg, TORUS_A_DEV_IO_TIMEOUT_MS, config->io_timeout_ms);
	if (config->dead_timeout_ms || config->dead_timeout_zero)
		nl_put_u32(&msg, TORUS_A_DEV_DEAD_TIMEOUT_MS,
			   config->dead_timeout_ms);
	if (config->read_only)
		nl_put_u8(&msg, TORUS_A_DEV_READ_ONLY, 1);
	ret = nl_call(&test_nl, &msg, &answer);
	if (ret)
		return ret;
	ret = nl_u32(&answer, TORUS_A_DEV_ID);
	device_remember(ret);
	return ret;
}

uint32_t device_add(const struct device_config *config)
{
	int ret = device_try_add(config);

	if (ret < 0)
		FAIL("cannot add a device: %s (%s)", strerror(-ret),
		     test_nl.error);
	return ret;
}

int device_delete(uint32_t id, bool force)
{
	struct nl_msg msg;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_DEL, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, id);
	if (force)
		nl_put_flag(&msg, TORUS_A_DEV_FORCE);
	return nl_call(&test_nl, &msg, NULL);
}

int device_delete_patiently(uint32_t id)
{
	uint64_t end = now_ms() + 5000;
	int ret;

	while ((ret = device_delete(id, false)) == -EBUSY && now_ms() < end)
		usleep(1000);
	return ret;
}

int device_get(uint32_t id, struct nl_msg *answer)
{
	struct nl_msg msg;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_GET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, id);
	return nl_call(&test_nl, &msg, answer);
}

uint32_t device_state(uint32_t id)
{
	struct nl_msg answer;

	if (device_get(id, &answer))
		return TORUS_STATE_DELETED;
	return nl_u32(&answer, TORUS_A_DEV_STATE);
}

uint64_t device_counter(uint32_t id, uint16_t attr)
{
	struct nl_msg answer;
	int ret = device_get(id, &answer);

	if (ret)
		FAIL("cannot get device %u: %s", id, strerror(-ret));
	if (attr == TORUS_A_DEV_IN_FLIGHT || attr == TORUS_A_DEV_OPENERS)
		return nl_u32(&answer, attr);
	return nl_u64(&answer, attr);
}

/* Events only tell when to look again. */
bool device_wait_state(uint32_t id, uint32_t state, int timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;
	struct nl events;
	struct nl_msg msg;
	bool ok = false;

	if (nl_open(&events) || nl_join(&events))
		FAIL("cannot listen to events");
	while (!ok) {
		uint64_t now = now_ms();

		ok = device_state(id) == state;
		if (ok || now >= end)
			break;
		nl_receive(&events, &msg, end - now);
	}
	nl_close(&events);
	return ok;
}

bool device_wait_gone(uint32_t id, int timeout_ms)
{
	return device_wait_state(id, TORUS_STATE_DELETED, timeout_ms);
}

int device_open(uint32_t id, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/dev/torus%u", id);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int device_set(uint32_t id, uint16_t attr, uint64_t value)
{
	struct nl_msg msg;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_SET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, id);
	if (attr == TORUS_A_DEV_SIZE)
		nl_put_u64(&msg, attr, value);
	else if (attr == TORUS_A_DEV_READ_ONLY)
		nl_put_u8(&msg, attr, value);
	else if (attr == TORUS_A_DEV_FAIL)
		nl_put_flag(&msg, attr);
	else
		nl_put_u32(&msg, attr, value);
	return nl_call(&test_nl, &msg, NULL);
}

void device_forget(void)
{
	nr_added = 0;
}

void device_cleanup(void)
{
	int i;

	if (owner_pid != getpid())
		return;
	for (i = 0; i < nr_added; i++)
		device_delete(added[i], true);
	for (i = 0; i < nr_added; i++)
		if (!device_wait_gone(added[i], 5000))
			printf("# device %d did not go\n", added[i]);
	nr_added = 0;
}
