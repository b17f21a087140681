// SPDX-License-Identifier: Apache-2.0
/* What the driver's answers mean, and that answers of another shape are told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <netlink/genl/genl.h>

#include "base/error.h"
#include "front/attachment.h"
#include "front/control.h"
#include "front/netlink.h"
#include "front/session.h"

static const uint8_t incarnation[16] = "0123456789abcde";

static struct nl_msg *begin(void)
{
	struct nl_msg *msg = nlmsg_alloc();

	assert_non_null(msg);
	assert_non_null(genlmsg_put(msg, 0, 1, 30, 0, 0, TORUS_CMD_DEV_GET, 1));
	return msg;
}

static struct nl_msg *device_message(void)
{
	struct nl_msg *msg = begin();

	nla_put_u32(msg, TORUS_A_DEV_ID, 5);
	nla_put_string(msg, TORUS_A_DEV_VOLUME, "vol");
	nla_put_u64(msg, TORUS_A_DEV_SIZE, 1ull << 40);
	nla_put(msg, TORUS_A_DEV_INCARNATION, 16, incarnation);
	nla_put_u32(msg, TORUS_A_DEV_STATE, TORUS_STATE_RECOVERING);
	nla_put_s32(msg, TORUS_A_DEV_ERROR, -ETIMEDOUT);
	nla_put_u64(msg, TORUS_A_DEV_SEQUENCE, 77);
	nla_put_u32(msg, TORUS_A_DEV_HEADER_CRC, 0xfeedbeef);
	nla_put_u8(msg, TORUS_A_DEV_READ_ONLY, 1);
	nla_put_u64(msg, TORUS_A_DEV_OVERFLOWS, 9);
	return msg;
}

static void a_device_is_read_with_all_that_was_said(void **state)
{
	struct nl_msg *msg = device_message();
	struct control_device d;

	assert_int_equal(control_parse_device(nlmsg_hdr(msg), &d), 0);
	assert_int_equal(d.id, 5);
	assert_string_equal(d.volume, "vol");
	assert_true(d.size == 1ull << 40);
	assert_int_equal(d.state, TORUS_STATE_RECOVERING);
	assert_int_equal(d.error, -ETIMEDOUT);
	assert_int_equal(d.remembered.sequence, 77);
	assert_int_equal(d.remembered.header_crc, 0xfeedbeef);
	assert_true(d.read_only);
	assert_int_equal(d.overflows, 9);
	assert_int_equal(d.session_id, 0);
	assert_memory_equal(d.incarnation.byte, incarnation, 16);
	nlmsg_free(msg);
}

static void a_device_without_a_state_is_not_understood(void **state)
{
	struct nl_msg *msg = begin();
	struct control_device d;

	nla_put_u32(msg, TORUS_A_DEV_ID, 5);
	nla_put_string(msg, TORUS_A_DEV_VOLUME, "vol");
	nla_put(msg, TORUS_A_DEV_INCARNATION, 16, incarnation);
	assert_int_equal(control_parse_device(nlmsg_hdr(msg), &d), -EBADMSG);
	nlmsg_free(msg);
}

static void attributes_of_a_wrong_length_are_not_understood(void **state)
{
	struct nl_msg *msg = device_message();
	struct control_device d;

	nla_put(msg, TORUS_A_DEV_INCARNATION, 15, incarnation);
	assert_int_equal(control_parse_device(nlmsg_hdr(msg), &d), -EBADMSG);
	nlmsg_free(msg);
	msg = device_message();
	nla_put_u8(msg, TORUS_A_DEV_STATE, 1);
	assert_int_equal(control_parse_device(nlmsg_hdr(msg), &d), -EBADMSG);
	nlmsg_free(msg);
}

static struct nl_msg *bound_message(uint32_t depth, uint32_t queues)
{
	struct nl_msg *msg = begin();

	nla_put_u32(msg, TORUS_A_SESSION_DEV_ID, 3);
	nla_put_u64(msg, TORUS_A_SESSION_ID, 12);
	nla_put_u32(msg, TORUS_A_SESSION_RCVBUF_MIN, 1 << 20);
	nla_put_string(msg, TORUS_A_SESSION_VOLUME, "vol");
	nla_put_u64(msg, TORUS_A_SESSION_SIZE, 1 << 30);
	nla_put_u32(msg, TORUS_A_SESSION_BLOCK_SIZE, 512);
	nla_put_u32(msg, TORUS_A_SESSION_QUEUES, queues);
	nla_put_u32(msg, TORUS_A_SESSION_DEPTH, depth);
	nla_put_u32(msg, TORUS_A_SESSION_IO_SIZE_MAX, 1 << 20);
	nla_put_u8(msg, TORUS_A_SESSION_READ_ONLY, 0);
	nla_put(msg, TORUS_A_SESSION_INCARNATION, 16, incarnation);
	nla_put_u64(msg, TORUS_A_SESSION_SEQUENCE, 8);
	nla_put_u32(msg, TORUS_A_SESSION_HEADER_CRC, 4);
	return msg;
}

static int parse_bound(uint32_t depth, uint32_t queues, bool with_state,
		       struct session_device *d)
{
	struct nl_msg *msg = bound_message(depth, queues);
	uint64_t id;
	int err;

	if (with_state)
		nla_put_u32(msg, TORUS_A_SESSION_STATE, TORUS_STATE_NEW);
	err = session_parse_device(nlmsg_hdr(msg), &id, d);
	if (!err)
		assert_int_equal(id, 12);
	nlmsg_free(msg);
	return err;
}

static void answers_to_bind_are_checked_before_use(void **state)
{
	struct session_device d;

	assert_int_equal(parse_bound(128, 2, true, &d), 0);
	assert_int_equal(d.depth, 128);
	assert_int_equal(d.remembered.sequence, 8);
	assert_int_equal(parse_bound(128, 2, false, &d), -EBADMSG);
	assert_int_equal(parse_bound(0, 2, true, &d), -EBADMSG);
	assert_int_equal(parse_bound(TORUS_DEPTH_MAX + 1, 2, true, &d),
			 -EBADMSG);
	assert_int_equal(parse_bound(128, TORUS_QUEUES_MAX + 1, true, &d),
			 -EBADMSG);
}

struct refusal {
	struct nlmsghdr nl;
	struct nlmsgerr e;
	struct nlattr attr;
	char sentence[12];
};

static void refusals_are_read_within_their_length(void **state)
{
	struct refusal r = {
		.nl = { .nlmsg_len = sizeof(r), .nlmsg_type = NLMSG_ERROR,
			.nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS },
		.e = { .error = -EBUSY },
		.attr = { NLA_HDRLEN + 12, NLMSGERR_ATTR_MSG },
		.sentence = "it is open",
	};
	int err;

	assert_string_equal(netlink_refusal(&r.nl, &err), "it is open");
	assert_int_equal(err, -EBUSY);
	memset(r.sentence, 'x', sizeof(r.sentence));	/* has no end */
	assert_null(netlink_refusal(&r.nl, &err));
	assert_int_equal(err, -EBUSY);
	r.nl.nlmsg_flags = NLM_F_ACK_TLVS;
	r.e.msg.nlmsg_len = 4000;			/* longer than it all */
	assert_null(netlink_refusal(&r.nl, &err));
	r.e.error = INT32_MIN;
	assert_null(netlink_refusal(&r.nl, &err));
	assert_int_equal(err, -EBADMSG);
	r.nl.nlmsg_len = NLMSG_HDRLEN + 3;
	assert_null(netlink_refusal(&r.nl, &err));
	assert_int_equal(err, -EBADMSG);
}

static void states_have_names(void **state)
{
	assert_string_equal(control_state_name(TORUS_STATE_LIVE), "live");
	assert_string_equal(control_state_name(0), "unknown");
	assert_string_equal(control_state_name(99), "unknown");
}

/* Where these tests usually run there is no driver; with one it is found. */
static void a_missing_module_is_said_with_the_way_out(void **state)
{
	struct control *control = NULL;
	int err = control_open(&control);

	if (!err) {
		control_close(control);
		skip();
	}
	assert_int_equal(err, -ENODEV);
	assert_non_null(strstr(error_text(err), "modprobe torus"));
}

static void an_attachment_names_host_and_process(void **state)
{
	struct env *env = env_uring_new(&(struct env_uring_config){ 0 });
	struct uuid one, two;
	struct attachment a;

	assert_non_null(env);
	one = attachment_incarnation(env);
	two = attachment_incarnation(env);
	assert_false(uuid_equal(&one, &two));
	attachment_fill(&a, env, "/dev/torus3", &one);
	assert_true(a.present);
	assert_int_equal(a.pid, getpid());
	assert_string_equal(a.device, "/dev/torus3");
	assert_true(a.host[0] && a.since_ms > 1500000000000ull);
	assert_true(uuid_equal(&a.incarnation, &one));
	env_uring_free(env);
}

static void paths_on_other_devices_are_fine(void **state)
{
	assert_int_equal(attachment_check_path("/"), 0);
	assert_int_equal(attachment_check_path("/tmp/not-there-yet"), 0);
	assert_int_equal(attachment_check_path("/nowhere/at/all"), 0);
}

static void what_the_log_has_is_said_not_what_bind_told(void **state)
{
	static const struct session session = {
		.device.remembered = { 8, 0x1234 },
	};
	struct log_position found = { 8, 0x9999 };

	assert_int_equal(session_check_crc(&session, found), 0x9999);
	found = (struct log_position){ 0 };
	assert_int_equal(session_check_crc(&session, found), 0x1234);
	/* Of another sequence: no answer to what was asked. */
	found = (struct log_position){ 9, 0x1234 };
	assert_int_not_equal(session_check_crc(&session, found), 0x1234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_is_read_with_all_that_was_said),
		cmocka_unit_test(a_device_without_a_state_is_not_understood),
		cmocka_unit_test(attributes_of_a_wrong_length_are_not_understood),
		cmocka_unit_test(answers_to_bind_are_checked_before_use),
		cmocka_unit_test(refusals_are_read_within_their_length),
		cmocka_unit_test(states_have_names),
		cmocka_unit_test(a_missing_module_is_said_with_the_way_out),
		cmocka_unit_test(an_attachment_names_host_and_process),
		cmocka_unit_test(paths_on_other_devices_are_fine),
		cmocka_unit_test(what_the_log_has_is_said_not_what_bind_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
