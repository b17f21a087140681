// SPDX-License-Identifier: Apache-2.0
/* Add, get, dump and delete; each wrong add is refused and changes nothing. */
#include <linux/genetlink.h>

#include "test.h"

#define SIZE (1ull << 20)

static int count_dump(void)
{
	const struct nlmsghdr *hdr;
	struct nl_msg msg;
	int n = 0, len;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_GET, NLM_F_DUMP);
	CHECK(!nl_send(&test_nl, &msg));
	for (;;) {
		CHECK(!nl_receive(&test_nl, &msg, 5000));
		len = msg.len;
		for (hdr = (void *)msg.data; NLMSG_OK(hdr, len);
		     hdr = NLMSG_NEXT(hdr, len)) {
			if (hdr->nlmsg_type == NLMSG_DONE)
				return n;
			CHECK(hdr->nlmsg_type != NLMSG_ERROR);
			CHECK(nl_attr_at(hdr, TORUS_A_DEV_ID));
			n++;
		}
	}
}

static void refuse(const char *why, struct device_config config, int error)
{
	int before = count_dump(), ret;

	if (!config.volume)
		config.volume = "other";
	ret = device_try_add(&config);
	if (ret != error)
		FAIL("add with %s gave %d (%s), not %d", why, ret,
		     test_nl.error, error);
	CHECK_INT(count_dump(), before);
}

static void check_refusals(void)
{
	refuse("no size", (struct device_config) {}, -EINVAL);
	refuse("an odd size", (struct device_config) { .size = 5000 }, -EINVAL);
	refuse("block size 1024", (struct device_config) {
		.size = SIZE, .block_size = 1024 }, -EINVAL);
	refuse("65 queues", (struct device_config) {
		.size = SIZE, .queues = 65 }, -ERANGE);
	refuse("depth 1025", (struct device_config) {
		.size = SIZE, .depth = 1025 }, -ERANGE);
	refuse("io size 5000", (struct device_config) {
		.size = SIZE, .io_size_max = 5000 }, -EINVAL);
	refuse("io size 8 MiB", (struct device_config) {
		.size = SIZE, .io_size_max = 8 << 20 }, -ERANGE);
	refuse("a slash", (struct device_config) {
		.size = SIZE, .volume = "a/b" }, -EINVAL);
	refuse("an empty name", (struct device_config) {
		.size = SIZE, .volume = "" }, -EINVAL);
	refuse("the same volume", (struct device_config) {
		.size = SIZE, .volume = "first" }, -EEXIST);
	CHECK(strstr(test_nl.error, "volume"));
}

static void check_missing_attributes(uint32_t id)
{
	static const uint8_t commands[] = {
		TORUS_CMD_DEV_ADD, TORUS_CMD_DEV_DEL, TORUS_CMD_DEV_GET,
		TORUS_CMD_DEV_SET, TORUS_CMD_SESSION_BIND,
		TORUS_CMD_SESSION_QUEUE, TORUS_CMD_SESSION_START,
		TORUS_CMD_SESSION_END, TORUS_CMD_COMPLETE,
	};
	struct nl_msg msg;
	size_t i;

	for (i = 0; i < sizeof(commands); i++) {
		nl_begin(&test_nl, &msg, commands[i], 0);
		CHECK_INT(nl_call(&test_nl, &msg, NULL), -EINVAL);
	}
	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_GET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, id);
	nl_put_u32(&msg, TORUS_A_DEV_FORCE + 20, 1);
	CHECK_INT(nl_call(&test_nl, &msg, NULL), -EINVAL);
	nl_begin(&test_nl, &msg, TORUS_CMD_REQUEST, 0);
	CHECK_INT(nl_call(&test_nl, &msg, NULL), -EOPNOTSUPP);
}

int main(void)
{
	struct device_config config = { .volume = "first", .size = SIZE };
	struct nl_msg answer;
	uint32_t id, second;

	test_begin();
	id = device_add(&config);
	CHECK_INT(count_dump(), 1);
	CHECK_INT(device_state(id), TORUS_STATE_NEW);
	CHECK_INT(device_get(id, &answer), 0);
	CHECK_INT(nl_u64(&answer, TORUS_A_DEV_SIZE), SIZE);
	CHECK_INT(nl_u32(&answer, TORUS_A_DEV_BLOCK_SIZE), 4096);
	CHECK_INT(nl_u32(&answer, TORUS_A_DEV_DEPTH), TORUS_DEPTH_DEFAULT);
	CHECK_INT(nl_u32(&answer, TORUS_A_DEV_DEAD_TIMEOUT_MS),
		  TORUS_DEAD_TIMEOUT_MS_DEFAULT);
	CHECK(!strcmp(nl_data(nl_attr(&answer, TORUS_A_DEV_VOLUME)), "first"));

	check_refusals();
	check_missing_attributes(id);
	config.volume = "second";
	second = device_add(&config);
	CHECK(second != id);
	CHECK_INT(count_dump(), 2);

	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));
	CHECK_INT(device_get(id, &answer), -ENODEV);
	CHECK_INT(device_delete(id, false), -ENODEV);
	CHECK_INT(count_dump(), 1);
	CHECK_INT(device_delete(second, true), 0);
	CHECK(device_wait_gone(second, 5000));
	return 0;
}
