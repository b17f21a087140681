// SPDX-License-Identifier: GPL-2.0
/*
 * What the operations of the family take. The table here says it a second
 * time, by hand: whatever it does not name must be refused, and whatever it
 * names must be refused a step outside of its bounds. Attributes are parsed as
 * strictly as genl parses those of a family without .validate flags.
 */
#include <kunit/test.h>
#include <linux/cred.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "genl.h"

#define PAYLOAD_MAX 512

enum kind { U8, U32, S32, U64, FLAG, NAME, EXACT, ARRAY };

/**
 * struct rule - what one attribute of one operation may be
 * @cmd: the operation
 * @attr: the attribute
 * @kind: of its value
 * @required: the operation is refused without it
 * @min: smallest number, or shortest name without its end
 * @max: largest number, longest name, or exact length
 */
struct rule {
	u8 cmd;
	u8 attr;
	enum kind kind;
	bool required;
	u64 min;
	u64 max;
};

#define DEVICE_ID(cmd, attr, required) { cmd, attr, U32, required, 0, 4095 }
#define SESSION_ID(cmd, attr) { cmd, attr, U64, true, 0, U64_MAX }
#define ANY_TIME 86400000

static const struct rule rules[] = {
	DEVICE_ID(TORUS_CMD_DEV_ADD, TORUS_A_DEV_ID, false),
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_VOLUME, NAME, true, 0, 255 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_SIZE, U64, true, 0, U64_MAX },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_BLOCK_SIZE, U32, false, 512, 4096 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_QUEUES, U32, false, 1, 64 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_DEPTH, U32, false, 1, 1024 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_IO_SIZE_MAX, U32, false, 4096,
	  4194304 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_IO_TIMEOUT_MS, U32, false, 1,
	  ANY_TIME },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_DEAD_TIMEOUT_MS, U32, false, 0,
	  ANY_TIME },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_READ_ONLY, U8, false, 0, 1 },
	{ TORUS_CMD_DEV_ADD, TORUS_A_DEV_INCARNATION, EXACT, true, 0, 16 },
	DEVICE_ID(TORUS_CMD_DEV_DEL, TORUS_A_DEV_ID, true),
	{ TORUS_CMD_DEV_DEL, TORUS_A_DEV_FORCE, FLAG, false },
	DEVICE_ID(TORUS_CMD_DEV_GET, TORUS_A_DEV_ID, true),
	DEVICE_ID(TORUS_CMD_DEV_SET, TORUS_A_DEV_ID, true),
	{ TORUS_CMD_DEV_SET, TORUS_A_DEV_SIZE, U64, false, 0, U64_MAX },
	{ TORUS_CMD_DEV_SET, TORUS_A_DEV_IO_TIMEOUT_MS, U32, false, 1,
	  ANY_TIME },
	{ TORUS_CMD_DEV_SET, TORUS_A_DEV_DEAD_TIMEOUT_MS, U32, false, 0,
	  ANY_TIME },
	{ TORUS_CMD_DEV_SET, TORUS_A_DEV_READ_ONLY, U8, false, 0, 1 },
	{ TORUS_CMD_DEV_SET, TORUS_A_DEV_FAIL, FLAG, false },
	DEVICE_ID(TORUS_CMD_SESSION_BIND, TORUS_A_SESSION_DEV_ID, true),
	{ TORUS_CMD_SESSION_BIND, TORUS_A_SESSION_CHANNEL, U32, true, 1, 2 },
	{ TORUS_CMD_SESSION_BIND, TORUS_A_SESSION_ARENA_FD, S32, true, 0,
	  S32_MAX },
	{ TORUS_CMD_SESSION_BIND, TORUS_A_SESSION_TAKEOVER, FLAG, false },
	DEVICE_ID(TORUS_CMD_SESSION_QUEUE, TORUS_A_SESSION_DEV_ID, true),
	SESSION_ID(TORUS_CMD_SESSION_QUEUE, TORUS_A_SESSION_ID),
	{ TORUS_CMD_SESSION_QUEUE, TORUS_A_SESSION_QUEUE_MASK, U64, true, 0,
	  U64_MAX },
	DEVICE_ID(TORUS_CMD_SESSION_START, TORUS_A_SESSION_DEV_ID, true),
	SESSION_ID(TORUS_CMD_SESSION_START, TORUS_A_SESSION_ID),
	{ TORUS_CMD_SESSION_START, TORUS_A_SESSION_INCARNATION, EXACT, true, 0,
	  16 },
	{ TORUS_CMD_SESSION_START, TORUS_A_SESSION_SEQUENCE, U64, true, 0,
	  U64_MAX },
	{ TORUS_CMD_SESSION_START, TORUS_A_SESSION_HEADER_CRC, U32, true, 0,
	  U32_MAX },
	{ TORUS_CMD_SESSION_START, TORUS_A_SESSION_CHECK_CRC, U32, false, 0,
	  U32_MAX },
	DEVICE_ID(TORUS_CMD_SESSION_END, TORUS_A_SESSION_DEV_ID, true),
	SESSION_ID(TORUS_CMD_SESSION_END, TORUS_A_SESSION_ID),
	DEVICE_ID(TORUS_CMD_COMPLETE, TORUS_A_IO_DEV_ID, true),
	SESSION_ID(TORUS_CMD_COMPLETE, TORUS_A_IO_SESSION_ID),
	{ TORUS_CMD_COMPLETE, TORUS_A_IO_COMPLETIONS, ARRAY, true, 0, 0 },
	DEVICE_ID(TORUS_CMD_DRAIN, TORUS_A_IO_DEV_ID, true),
	SESSION_ID(TORUS_CMD_DRAIN, TORUS_A_IO_SESSION_ID),
};

/* No attribute of any of the three sets has a higher number. */
#define ATTR_MAX 40
static_assert(TORUS_A_DEV_MAX <= ATTR_MAX);
static_assert(TORUS_A_SESSION_MAX <= ATTR_MAX);
static_assert(TORUS_A_IO_MAX <= ATTR_MAX);

/* A message of attributes, as they follow genl's header. */
struct message {
	u8 bytes[PAYLOAD_MAX + NLA_HDRLEN] __aligned(8);
	unsigned int len;
};

static void op_name(const struct genl_ops *op, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "cmd_%u", op->cmd);
}

KUNIT_ARRAY_PARAM(op, torus_nl_ops, op_name);

static const struct rule *find_rule(u8 cmd, unsigned int attr)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].cmd == cmd && rules[i].attr == attr)
			return &rules[i];
	return NULL;
}

/* Appends an attribute of @len bytes that begins with @value. */
static void put(struct message *message, unsigned int attr, const void *data,
		unsigned int len)
{
	struct nlattr *nla = (void *)(message->bytes + message->len);

	nla->nla_type = attr;
	nla->nla_len = NLA_HDRLEN + len;
	memset(nla_data(nla), 0, NLA_ALIGN(len));
	memcpy(nla_data(nla), data, len);
	message->len += NLA_HDRLEN + NLA_ALIGN(len);
}

static int parse(const struct genl_ops *op, const struct message *message,
		 struct nlattr **attrs, struct netlink_ext_ack *extack)
{
	return __nla_parse(attrs, op->maxattr, (void *)message->bytes,
			   message->len, op->policy, NL_VALIDATE_STRICT,
			   extack);
}

/* Whether the operation takes a message of this one attribute. */
static bool takes(struct kunit *test, const struct genl_ops *op,
		  unsigned int attr, const void *data, unsigned int len)
{
	struct nlattr *attrs[ATTR_MAX + 2];
	struct netlink_ext_ack extack = {};
	struct message *message;
	int ret;

	message = kunit_kzalloc(test, sizeof(*message), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, message);
	put(message, attr, data, len);
	ret = parse(op, message, attrs, &extack);
	/* A refusal names the attribute, for the one who has to look. */
	if (ret)
		KUNIT_EXPECT_PTR_EQ(test, extack.bad_attr,
				    (struct nlattr *)message->bytes);
	kunit_kfree(test, message);
	return !ret;
}

static unsigned int number_size(enum kind kind)
{
	switch (kind) {
	case U8:
		return 1;
	case U32:
	case S32:
		return 4;
	default:
		return 8;
	}
}

/* Numbers are little-endian here, so that any of them is its first bytes. */
static bool takes_number(struct kunit *test, const struct genl_ops *op,
			 const struct rule *rule, u64 value)
{
	return takes(test, op, rule->attr, &value, number_size(rule->kind));
}

#define EXPECT_TAKEN(what) \
	KUNIT_EXPECT_TRUE_MSG(test, what, "attribute %u", rule->attr)
#define EXPECT_REFUSED(what) \
	KUNIT_EXPECT_FALSE_MSG(test, what, "attribute %u", rule->attr)

static void check_number(struct kunit *test, const struct genl_ops *op,
			 const struct rule *rule)
{
	unsigned int size = number_size(rule->kind);
	u64 type_max = U64_MAX >> (64 - 8 * size);

	EXPECT_TAKEN(takes_number(test, op, rule, rule->min));
	EXPECT_TAKEN(takes_number(test, op, rule, rule->max));
	if (rule->min || rule->kind == S32)
		EXPECT_REFUSED(takes_number(test, op, rule, rule->min - 1));
	if (rule->max < type_max) {
		EXPECT_REFUSED(takes_number(test, op, rule, rule->max + 1));
		EXPECT_REFUSED(takes_number(test, op, rule, type_max));
	}
	EXPECT_REFUSED(takes(test, op, rule->attr, &rule->min, 0));
	EXPECT_REFUSED(takes(test, op, rule->attr, &rule->min, size - 1));
	if (size < 8)
		EXPECT_REFUSED(takes(test, op, rule->attr, &rule->min,
				     size + 1));
	else
		EXPECT_REFUSED(takes(test, op, rule->attr, (u64[2]) {}, 9));
}

static void check_name(struct kunit *test, const struct genl_ops *op,
		       const struct rule *rule)
{
	char *name = kunit_kzalloc(test, PAYLOAD_MAX, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, name);
	EXPECT_REFUSED(takes(test, op, rule->attr, name, 0));
	EXPECT_REFUSED(takes(test, op, rule->attr, "name", 4));
	EXPECT_TAKEN(takes(test, op, rule->attr, "name", 5));
	memset(name, 'n', rule->max);
	EXPECT_TAKEN(takes(test, op, rule->attr, name, rule->max + 1));
	EXPECT_REFUSED(takes(test, op, rule->attr, name, rule->max));
	name[rule->max] = 'n';
	EXPECT_REFUSED(takes(test, op, rule->attr, name, rule->max + 1));
	EXPECT_REFUSED(takes(test, op, rule->attr, name, rule->max + 2));
}

static void check_exact(struct kunit *test, const struct genl_ops *op,
			const struct rule *rule)
{
	u8 bytes[32] = {};

	EXPECT_TAKEN(takes(test, op, rule->attr, bytes, rule->max));
	EXPECT_REFUSED(takes(test, op, rule->attr, bytes, 0));
	EXPECT_REFUSED(takes(test, op, rule->attr, bytes, rule->max - 1));
	EXPECT_REFUSED(takes(test, op, rule->attr, bytes, rule->max + 1));
}

static void check_rule(struct kunit *test, const struct genl_ops *op,
		       const struct rule *rule)
{
	u64 zero = 0;

	switch (rule->kind) {
	case FLAG:
		EXPECT_TAKEN(takes(test, op, rule->attr, &zero, 0));
		EXPECT_REFUSED(takes(test, op, rule->attr, &zero, 1));
		break;
	case NAME:
		check_name(test, op, rule);
		break;
	case EXACT:
		check_exact(test, op, rule);
		break;
	case ARRAY:
		/* Its contents are checked by who carries them out. */
		EXPECT_TAKEN(takes(test, op, rule->attr, &zero, 8));
		break;
	default:
		check_number(test, op, rule);
	}
	/* None of them is a nest. */
	if (rule->kind != FLAG && rule->kind != ARRAY)
		EXPECT_REFUSED(takes(test, op, rule->attr | NLA_F_NESTED,
				     &rule->max, 4));
}

static void attributes_are_taken_within_their_bounds(struct kunit *test)
{
	const struct genl_ops *op = test->param_value;
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		if (rules[i].cmd != op->cmd)
			continue;
		check_rule(test, op, &rules[i]);
		nr++;
	}
	KUNIT_EXPECT_GT(test, nr, 0);
}

static void attributes_of_others_are_refused(struct kunit *test)
{
	static const unsigned int lens[] = { 0, 1, 4, 5, 8, 16 };
	const struct genl_ops *op = test->param_value;
	const u8 bytes[16] = { 1 };
	unsigned int attr, i;

	for (attr = 0; attr <= ATTR_MAX + 1; attr++) {
		if (find_rule(op->cmd, attr))
			continue;
		for (i = 0; i < ARRAY_SIZE(lens); i++)
			KUNIT_EXPECT_FALSE_MSG(test,
					       takes(test, op, attr, bytes,
						     lens[i]),
					       "attribute %u of %u bytes", attr,
					       lens[i]);
	}
}

static void rest_after_the_attributes_is_refused(struct kunit *test)
{
	const struct genl_ops *op = test->param_value;
	struct nlattr *attrs[ATTR_MAX + 2];
	struct netlink_ext_ack extack = {};
	struct message message = {};
	u32 id = 0;

	put(&message, TORUS_A_DEV_ID, &id, sizeof(id));
	KUNIT_ASSERT_EQ(test, parse(op, &message, attrs, &extack), 0);
	message.len++;
	KUNIT_EXPECT_EQ(test, parse(op, &message, attrs, &extack), -EINVAL);
	message.len += 3;
	KUNIT_EXPECT_EQ(test, parse(op, &message, attrs, &extack), -EINVAL);
}

static void each_operation_is_one_that_is_known(struct kunit *test)
{
	static const u8 known[] = {
		TORUS_CMD_DEV_ADD, TORUS_CMD_DEV_DEL, TORUS_CMD_DEV_GET,
		TORUS_CMD_DEV_SET, TORUS_CMD_SESSION_BIND,
		TORUS_CMD_SESSION_QUEUE, TORUS_CMD_SESSION_START,
		TORUS_CMD_SESSION_END, TORUS_CMD_COMPLETE, TORUS_CMD_DRAIN,
	};
	unsigned int i;

	KUNIT_ASSERT_EQ(test, ARRAY_SIZE(torus_nl_ops), ARRAY_SIZE(known));
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		KUNIT_EXPECT_EQ(test, torus_nl_ops[i].cmd, known[i]);
		/* As strict as what the other cases of this file suppose. */
		KUNIT_EXPECT_EQ(test, torus_nl_ops[i].validate, 0);
		KUNIT_EXPECT_NOT_NULL(test, torus_nl_ops[i].policy);
		KUNIT_EXPECT_NOT_NULL(test, torus_nl_ops[i].doit);
	}
}

/* ---- what is absent ------------------------------------------------------- */

/* Appends a proper value of what @rule describes. No device has id 0 just now. */
static void put_proper(struct message *message, const struct rule *rule)
{
	static const u8 zeroes[16];
	u64 value = rule->min;

	switch (rule->kind) {
	case NAME:
		put(message, rule->attr, "volume", 7);
		break;
	case EXACT:
		put(message, rule->attr, zeroes, rule->max);
		break;
	case ARRAY:
		put(message, rule->attr, zeroes, 0);
		break;
	default:
		put(message, rule->attr, &value, number_size(rule->kind));
	}
}

/* Carries out @op with all that it requires, except for @without. */
static int carry_out(struct kunit *test, const struct genl_ops *op,
		     const struct rule *without, struct netlink_ext_ack *extack)
{
	struct nlattr *attrs[ATTR_MAX + 2];
	struct genlmsghdr header = { .cmd = op->cmd };
	struct message message = {};
	struct genl_info info = {
		.genlhdr = &header,
		.attrs = attrs,
		.extack = extack,
	};
	struct sk_buff *skb;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].cmd == op->cmd && rules[i].required &&
		    &rules[i] != without)
			put_proper(&message, &rules[i]);
	KUNIT_ASSERT_EQ(test, parse(op, &message, attrs, extack), 0);
	skb = genlmsg_new(0, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, skb);
	/* No file sent it, so only the task's rights are asked for. */
	NETLINK_CB(skb).sk = init_net.genl_sock;
	NETLINK_CB(skb).flags = NETLINK_SKB_DST;
	ret = op->doit(skb, &info);
	kfree_skb(skb);
	return ret;
}

static void missing_attribute_is_named(struct kunit *test)
{
	const struct genl_ops *op = test->param_value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		struct netlink_ext_ack extack = {};

		if (rules[i].cmd != op->cmd || !rules[i].required)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, carry_out(test, op, &rules[i],
						    &extack), -EINVAL,
				    "without attribute %u", rules[i].attr);
		KUNIT_EXPECT_EQ(test, extack.miss_type, rules[i].attr);
		KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	}
}

static void absent_device_is_named(struct kunit *test)
{
	const struct genl_ops *op = test->param_value;
	struct netlink_ext_ack extack = {};

	if (op->cmd == TORUS_CMD_DEV_ADD)
		kunit_skip(test, "asks for no device");
	KUNIT_EXPECT_EQ(test, carry_out(test, op, NULL, &extack), -ENODEV);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
	KUNIT_EXPECT_NOT_NULL(test, extack.bad_attr);
}

static void task_without_rights_is_refused(struct kunit *test)
{
	const struct genl_ops *op = test->param_value;
	struct netlink_ext_ack extack = {};
	struct cred *poor = prepare_creds();
	const struct cred *rich;
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, poor);
	cap_lower(poor->cap_effective, CAP_SYS_ADMIN);
	rich = override_creds(poor);
	ret = carry_out(test, op, NULL, &extack);
	revert_creds(rich);
	put_cred(poor);
	KUNIT_EXPECT_EQ(test, ret, -EPERM);
	KUNIT_EXPECT_NOT_NULL(test, extack._msg);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(each_operation_is_one_that_is_known),
	KUNIT_CASE_PARAM(attributes_are_taken_within_their_bounds,
			 op_gen_params),
	KUNIT_CASE_PARAM(attributes_of_others_are_refused, op_gen_params),
	KUNIT_CASE_PARAM(rest_after_the_attributes_is_refused, op_gen_params),
	KUNIT_CASE_PARAM(missing_attribute_is_named, op_gen_params),
	KUNIT_CASE_PARAM(absent_device_is_named, op_gen_params),
	KUNIT_CASE_PARAM(task_without_rights_is_refused, op_gen_params),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_policy",
	.test_cases = cases,
};

kunit_test_suite(suite);
