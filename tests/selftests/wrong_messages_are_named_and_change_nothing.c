// SPDX-License-Identifier: Apache-2.0
/*
 * Every command with every attribute missing, too long, too short, out of range;
 * and with attributes that it does not know. The refusal names the attribute,
 * and the device is as it was. Then the message with nothing wrong is accepted,
 * so that each refusal was for what was wrong with it.
 */
#include <sys/socket.h>

#include "test.h"

#define SIZE (1ull << 20)
#define ATTRS_MAX 11
#define RANGES_MAX 2
#define UNKNOWN 60

enum type { U8, U32, S32, U64, FLAG, STRING, BYTES };

/* One attribute: how it is right, and the numbers that are out of its range. */
struct attr {
	uint16_t type;
	enum type kind;
	const char *name;
	bool required;
	uint64_t value;
	unsigned int nr_wrong;
	uint64_t wrong[RANGES_MAX];
};

struct command {
	const char *name;
	uint8_t cmd;
	bool on_data_socket;
	int result;
	struct attr attrs[ATTRS_MAX];
};

#define ID(attr) { attr, U32, "id of the device", .required = true, \
		   .nr_wrong = 1, .wrong = { 4096 } }

static const struct command commands[] = {
	{ "dev-get", TORUS_CMD_DEV_GET, .attrs = { ID(TORUS_A_DEV_ID) } },
	{ "dev-add", TORUS_CMD_DEV_ADD, .attrs = {
		{ TORUS_A_DEV_VOLUME, STRING, "volume",
		  .required = true },
		{ TORUS_A_DEV_SIZE, U64, "size", .required = true,
		  .value = SIZE },
		{ TORUS_A_DEV_INCARNATION, BYTES, "incarnation",
		  .required = true },
		{ TORUS_A_DEV_ID, U32, .value = 7, .nr_wrong = 1,
		  .wrong = { 4096 } },
		{ TORUS_A_DEV_BLOCK_SIZE, U32, .value = 512, .nr_wrong = 2,
		  .wrong = { 511, 4097 } },
		{ TORUS_A_DEV_QUEUES, U32, .value = 1, .nr_wrong = 2,
		  .wrong = { 0, 65 } },
		{ TORUS_A_DEV_DEPTH, U32, .value = 1, .nr_wrong = 2,
		  .wrong = { 0, 1025 } },
		{ TORUS_A_DEV_IO_SIZE_MAX, U32, .value = 4096, .nr_wrong = 2,
		  .wrong = { 4095, 4194305 } },
		{ TORUS_A_DEV_IO_TIMEOUT_MS, U32, .value = 1, .nr_wrong = 2,
		  .wrong = { 0, 86400001 } },
		{ TORUS_A_DEV_DEAD_TIMEOUT_MS, U32, .nr_wrong = 1,
		  .wrong = { 86400001 } },
		{ TORUS_A_DEV_READ_ONLY, U8, .value = 1, .nr_wrong = 1,
		  .wrong = { 2 } } } },
	{ "session-bind", TORUS_CMD_SESSION_BIND, .attrs = {
		ID(TORUS_A_SESSION_DEV_ID),
		{ TORUS_A_SESSION_CHANNEL, U32, "channel",
		  .required = true, .value = TORUS_CHANNEL_MESSAGES,
		  .nr_wrong = 2, .wrong = { 0, 3 } },
		{ TORUS_A_SESSION_ARENA_FD, S32, "arena-fd",
		  .required = true, .nr_wrong = 1,
		  .wrong = { UINT32_MAX } },
		{ TORUS_A_SESSION_TAKEOVER, .kind = FLAG } } },
	{ "session-queue", TORUS_CMD_SESSION_QUEUE, true, .attrs = {
		ID(TORUS_A_SESSION_DEV_ID),
		{ TORUS_A_SESSION_ID, U64, "id",
		  .required = true },
		{ TORUS_A_SESSION_QUEUE_MASK, U64, "queue-mask",
		  .required = true, .value = 1 } } },
	{ "complete", TORUS_CMD_COMPLETE, true, .result = -ESTALE, .attrs = {
		ID(TORUS_A_IO_DEV_ID),
		{ TORUS_A_IO_SESSION_ID, U64, "session-id",
		  .required = true },
		{ TORUS_A_IO_COMPLETIONS, BYTES, "completions",
		  .required = true } } },
	{ "session-start", TORUS_CMD_SESSION_START, .attrs = {
		ID(TORUS_A_SESSION_DEV_ID),
		{ TORUS_A_SESSION_ID, U64, "id",
		  .required = true },
		{ TORUS_A_SESSION_INCARNATION, BYTES, "incarnation",
		  .required = true },
		{ TORUS_A_SESSION_SEQUENCE, U64, "sequence",
		  .required = true },
		{ TORUS_A_SESSION_HEADER_CRC, U32, "header-crc",
		  .required = true },
		{ TORUS_A_SESSION_CHECK_CRC, .kind = U32 } } },
	{ "session-end", TORUS_CMD_SESSION_END, .attrs = {
		ID(TORUS_A_SESSION_DEV_ID),
		{ TORUS_A_SESSION_ID, U64, "id",
		  .required = true } } },
	{ "dev-set", TORUS_CMD_DEV_SET, .attrs = {
		ID(TORUS_A_DEV_ID),
		{ TORUS_A_DEV_SIZE, U64, .value = 2 * SIZE },
		{ TORUS_A_DEV_IO_TIMEOUT_MS, U32, .value = 5, .nr_wrong = 2,
		  .wrong = { 0, 86400001 } },
		{ TORUS_A_DEV_DEAD_TIMEOUT_MS, U32, .value = 86400000,
		  .nr_wrong = 1, .wrong = { 86400001 } },
		{ TORUS_A_DEV_READ_ONLY, U8, .value = 1, .nr_wrong = 1,
		  .wrong = { 2 } },
		{ TORUS_A_DEV_FAIL, .kind = FLAG } } },
	{ "dev-del", TORUS_CMD_DEV_DEL, .attrs = {
		ID(TORUS_A_DEV_ID),
		{ TORUS_A_DEV_FORCE, .kind = FLAG } } },
};

static struct helper helper;
static uint32_t device;
static int tried;

/* What no refused message may change. */
struct look {
	unsigned int devices;
	uint64_t values[8];
};

static void look(struct look *look)
{
	static const uint16_t attrs[] = {
		TORUS_A_DEV_IO_TIMEOUT_MS, TORUS_A_DEV_DEAD_TIMEOUT_MS,
		TORUS_A_DEV_STATE, TORUS_A_DEV_HELPER_PID,
	};
	static const uint16_t wide[] = {
		TORUS_A_DEV_SIZE, TORUS_A_DEV_SESSION_ID, TORUS_A_DEV_SEQUENCE,
	};
	struct nl_msg answer;
	int n = 0;

	memset(look, 0, sizeof(*look));
	for (uint32_t id = 0; id < 10; id++)
		look->devices += !device_get(id, &answer);
	CHECK_INT(device_get(device, &answer), 0);
	for (size_t i = 0; i < sizeof(attrs) / sizeof(*attrs); i++)
		look->values[n++] = nl_u32(&answer, attrs[i]);
	for (size_t i = 0; i < sizeof(wide) / sizeof(*wide); i++)
		look->values[n++] = nl_u64(&answer, wide[i]);
	look->values[n] = *(const uint8_t *)nl_data(nl_attr(&answer,
						TORUS_A_DEV_READ_ONLY));
}

/* The value of the session and of the device are known only now. */
static uint64_t value_of(const struct attr *attr)
{
	if (attr->kind == U64 && attr->required && !attr->value)
		return strstr(attr->name, "id") ? helper.session_id : 0;
	if (attr->kind == S32)
		return helper.arena_fd;
	if (attr->name && strstr(attr->name, "device"))
		return device;
	return attr->value;
}

/* Appends an attribute of @extra bytes more than is right. */
static void put(struct nl_msg *msg, const struct attr *attr, uint64_t value,
		int extra)
{
	static const char volume[300] = "other";
	uint8_t bytes[128] = {};
	size_t len = 4;

	memcpy(bytes, &value, sizeof(value));
	if (attr->kind == STRING) {
		/* Without its NUL; longer than a name may be. */
		nl_put(msg, attr->type, volume, extra < 0 ? 5 : extra ? 257 : 6);
		return;
	}
	if (attr->kind == BYTES) {
		memcpy(bytes, test_incarnation, sizeof(test_incarnation));
		len = 16 + 16 * !strcmp(attr->name, "completions");
	} else if (attr->kind == U64) {
		len = 8;
	} else if (attr->kind == U8) {
		len = 1;
	} else if (attr->kind == FLAG) {
		len = 0;
	}
	nl_put(msg, attr->type, bytes, len + extra);
}

/* Sends the command; attribute number @odd otherwise than it is right. */
static int send_odd(const struct command *c, int odd, bool omit, int extra,
		    const uint64_t *value, bool unknown)
{
	struct nl *nl = c->on_data_socket ? &helper.data : &helper.control;
	struct nl_msg msg, answer;

	nl_begin(nl, &msg, c->cmd, 0);
	for (int i = 0; i < ATTRS_MAX && c->attrs[i].type; i++) {
		const struct attr *attr = &c->attrs[i];

		if (i == odd && omit)
			continue;
		put(&msg, attr, i == odd && value ? *value : value_of(attr),
		    i == odd ? extra : 0);
	}
	if (unknown)
		nl_put_u32(&msg, UNKNOWN, 1);
	tried++;
	return nl_call(nl, &msg, &answer);
}

static void check_refused(const struct command *c, const struct attr *attr,
			  const char *how, int ret, bool missing)
{
	struct nl *nl = c->on_data_socket ? &helper.data : &helper.control;
	uint16_t named = missing ? nl->missing : nl->wrong;
	uint16_t type = attr ? attr->type : UNKNOWN;

	if (ret != -EINVAL && ret != -ERANGE)
		FAIL("%s with %u %s: %d (%s)", c->name, type, how, ret,
		     nl->error);
	if (named != type || !nl->error[0])
		FAIL("%s with %u %s: names %u (%s)", c->name, type, how, named,
		     nl->error);
	if (missing && !strstr(nl->error, attr->name))
		FAIL("%s without %s: '%s'", c->name, attr->name, nl->error);
}

static void try_attr(const struct command *c, int i)
{
	const struct attr *attr = &c->attrs[i];
	unsigned int j;

	if (attr->required)
		check_refused(c, attr, "missing",
			      send_odd(c, i, true, 0, NULL, false), true);
	/* malformed_completions_are_refused_whole.c has the lengths of these. */
	if (attr->name && !strcmp(attr->name, "completions"))
		return;
	check_refused(c, attr, "too long",
		      send_odd(c, i, false, 1, NULL, false), false);
	if (attr->kind != FLAG)
		check_refused(c, attr, "too short",
			      send_odd(c, i, false, -1, NULL, false), false);
	for (j = 0; j < attr->nr_wrong; j++)
		check_refused(c, attr, "out of range",
			      send_odd(c, i, false, 0, &attr->wrong[j], false),
			      false);
}

static void try(const struct command *c)
{
	struct look before, after;
	int ret;

	look(&before);
	for (int i = 0; i < ATTRS_MAX && c->attrs[i].type; i++)
		try_attr(c, i);
	check_refused(c, NULL, "unknown", send_odd(c, -1, false, 0, NULL, true),
		      false);
	look(&after);
	if (memcmp(&before, &after, sizeof(before)))
		FAIL("%s: a refused message has changed something", c->name);
	ret = send_odd(c, -1, false, 0, NULL, false);
	if (ret != c->result)
		FAIL("%s: %d (%s %s), not %d", c->name, ret,
		     helper.control.error, helper.data.error, c->result);
}

/* The session's id, once it is bound, is the device's to tell. */
static void prepare(const struct command *c)
{
	int bytes = 1 << 20;
	struct nl_msg answer;

	/* What the start before this has brought about comes later. */
	if (c->cmd == TORUS_CMD_SESSION_END)
		CHECK(device_wait_state(device, TORUS_STATE_STARTING, 5000));
	CHECK_INT(device_get(device, &answer), 0);
	helper.session_id = nl_u64(&answer, TORUS_A_DEV_SESSION_ID);
	if (c->cmd == TORUS_CMD_SESSION_QUEUE)
		CHECK(!setsockopt(helper.data.fd, SOL_SOCKET, SO_RCVBUFFORCE,
				  &bytes, sizeof(bytes)));
}

static void check_no_device(void)
{
	struct nl_msg answer;

	CHECK_INT(device_get(4000, &answer), -ENODEV);
	CHECK(strstr(test_nl.error, "no device"));
	CHECK_INT(test_nl.wrong, TORUS_A_DEV_ID);
}

/* It would be of all devices, whatever the attribute says. */
static void check_dump_of_one(void)
{
	struct nl_msg msg;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_GET, NLM_F_DUMP);
	nl_put_u32(&msg, TORUS_A_DEV_ID, device);
	CHECK_INT(nl_call(&test_nl, &msg, NULL), -EINVAL);
}

static void check_nothing_to_set(void)
{
	struct nl_msg msg;

	nl_begin(&test_nl, &msg, TORUS_CMD_DEV_SET, 0);
	nl_put_u32(&msg, TORUS_A_DEV_ID, device);
	CHECK_INT(nl_call(&test_nl, &msg, NULL), -EINVAL);
	CHECK(strstr(test_nl.error, "nothing to set"));
}

int main(void)
{
	struct device_config config = {
		.volume = "first", .size = SIZE, .depth = 8,
		.io_size_max = 4096,
	};
	struct world *world;

	test_begin();
	device = device_add(&config);
	device_remember(7);
	world = world_new(SIZE);
	CHECK_INT(helper_open(&helper, world, device, 64 << 10), 0);
	check_no_device();
	check_nothing_to_set();
	check_dump_of_one();
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		prepare(&commands[i]);
		try(&commands[i]);
	}
	printf("# %d messages\n", tried);
	CHECK(device_wait_gone(device, 5000));
	CHECK_INT(device_delete(7, true), 0);
	CHECK(device_wait_gone(7, 5000));
	helper_close(&helper);
	return 0;
}
