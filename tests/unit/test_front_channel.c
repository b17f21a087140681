// SPDX-License-Identifier: Apache-2.0
/*
 * The channel without a driver: datagrams are handed in, completions come out
 * of a socket pair.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "front/channel_priv.h"

#define FAMILY	29
#define DEVICE	7
#define SESSION	0x1122334455667788ull
#define ARENA	(4u << 20)
#define SIZE	(1ull << 30)
#define TAKEN_MAX 300

static struct env *env;
static struct channel *ch;
static int driver;			/* the other end of the data socket */
static struct volume_request *taken[TAKEN_MAX];
static unsigned int taken_count;
static struct log_position position;
static int lost_err;
static char lost_text[256];

static void take(void *ctx, struct volume_request *req)
{
	assert_true(taken_count < TAKEN_MAX);
	taken[taken_count++] = req;
}

static struct log_position tell_position(void *ctx)
{
	return position;
}

static void note_lost(void *ctx, int err)
{
	lost_err = err;
	snprintf(lost_text, sizeof(lost_text), "%s", error_text(err));
}

static const struct channel_ops ops = { take, tell_position, note_lost };

static struct channel *new_channel(void)
{
	struct channel *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->cfg = (struct channel_config){ .env = env, .device = DEVICE,
					  .ops = &ops };
	c->session.id = SESSION;
	c->session.device = (struct session_device){
		.id = DEVICE, .size = SIZE, .block_size = 4096, .queues = 2,
		.depth = 128, .io_size_max = 1 << 20,
	};
	c->data.family = FAMILY;
	assert_int_equal(arena_init(&c->arena, ARENA), 0);
	assert_int_equal(channel_prepare(c), 0);
	return c;
}

static int setup(void **state)
{
	int pair[2];

	log_set_sink(NULL);
	env = env_uring_new(&(struct env_uring_config){ 0 });
	assert_non_null(env);
	ch = new_channel();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    pair), 0);
	ch->fd = pair[0];
	driver = pair[1];
	env_uring_add_hook(env, &ch->hook);
	ch->started = true;
	taken_count = 0;
	lost_err = 0;
	position = (struct log_position){ 41, 0xabcd };
	return 0;
}

static int teardown(void **state)
{
	close(ch->fd);
	close(driver);
	channel_close(ch);
	env_uring_free(env);
	return 0;
}

/* ---- the driver's side -------------------------------------------------- */

struct datagram {
	_Alignas(8) uint8_t data[MESSAGE_SIZE_MAX];
	size_t len;
};

static void put(struct datagram *d, const void *data, size_t len)
{
	if (len)
		memcpy(d->data + d->len, data, len);
	d->len += len;
}

static void put_attr(struct datagram *d, uint16_t type, const void *data,
		     size_t len)
{
	struct nlattr attr = { (uint16_t)(NLA_HDRLEN + len), type };

	put(d, &attr, sizeof(attr));
	put(d, data, len);
	while (d->len % 4)
		d->data[d->len++] = 0;
}

static void set_length(struct datagram *d)
{
	((struct nlmsghdr *)d->data)->nlmsg_len = (uint32_t)d->len;
}

static struct datagram request(const struct torus_desc *desc, size_t count)
{
	struct datagram d = { .len = 0 };
	struct nlmsghdr nl = { .nlmsg_type = FAMILY };
	struct genlmsghdr genl = { .cmd = TORUS_CMD_REQUEST, .version = 1 };
	uint32_t device = DEVICE;
	uint64_t session = SESSION;

	put(&d, &nl, sizeof(nl));
	put(&d, &genl, sizeof(genl));
	put_attr(&d, TORUS_A_IO_DEV_ID, &device, sizeof(device));
	put_attr(&d, TORUS_A_IO_PAD, NULL, 0);
	put_attr(&d, TORUS_A_IO_SESSION_ID, &session, sizeof(session));
	put_attr(&d, TORUS_A_IO_DESCRIPTORS, desc, count * sizeof(*desc));
	set_length(&d);
	return d;
}

static void send_request(const struct torus_desc *desc, size_t count)
{
	struct datagram d = request(desc, count);

	channel_take(ch, d.data, d.len);
}

static struct torus_desc write_of(uint16_t tag)
{
	return (struct torus_desc){
		.op = TORUS_OP_WRITE, .queue = 1, .tag = tag,
		.generation = 1000u + tag, .length = 8192,
		.offset = 4096ull * tag, .arena_offset = 8192ull * tag,
	};
}

/* One message with completions; returns how many. */
static size_t receive(struct torus_completion *entries, size_t max)
{
	struct {
		struct completions_head head;
		struct torus_completion entries[TORUS_COMPLETION_BATCH];
	} __attribute__((packed, aligned(4))) m;
	ssize_t n = recv(driver, &m, sizeof(m), MSG_DONTWAIT);
	size_t count;

	if (n < 0)
		return 0;
	count = ((size_t)n - sizeof(m.head)) / sizeof(*entries);
	assert_true(count <= max);
	assert_int_equal(m.head.data.nl.nlmsg_len, n);
	assert_int_equal(m.head.data.nl.nlmsg_type, FAMILY);
	assert_int_equal(m.head.data.nl.nlmsg_flags, NLM_F_REQUEST);
	assert_int_equal(m.head.data.genl.cmd, TORUS_CMD_COMPLETE);
	assert_int_equal(m.head.data.device, DEVICE);
	assert_true(m.head.data.session == SESSION);
	assert_int_equal(m.head.entries_attr.nla_len,
			 NLA_HDRLEN + count * sizeof(*entries));
	memcpy(entries, m.entries, count * sizeof(*entries));
	return count;
}

static void turn(void)
{
	assert_int_equal(env_uring_turn(env, 0), 0);
}

/* ---- requests and completions -------------------------------------------- */

static void a_write_reaches_the_engine_in_place(void **state)
{
	struct torus_desc desc = write_of(3);

	desc.flags = TORUS_IO_FLAG_FUA;
	send_request(&desc, 1);
	assert_int_equal(taken_count, 1);
	assert_int_equal(taken[0]->op, VOLUME_WRITE);
	assert_true(taken[0]->fua);
	assert_int_equal(taken[0]->offset, 3 * 4096);
	assert_int_equal(taken[0]->length, 8192);
	assert_ptr_equal(taken[0]->buffer, ch->arena.memory + 3 * 8192);
}

static void each_operation_has_its_counterpart(void **state)
{
	static const enum volume_op wanted[] = {
		VOLUME_READ, VOLUME_WRITE, VOLUME_FLUSH, VOLUME_TRIM,
		VOLUME_ZERO };
	struct torus_desc desc[5];

	for (uint8_t i = 0; i < 5; i++) {
		desc[i] = write_of(i);
		desc[i].op = i + 1;
	}
	desc[2].length = 0;
	desc[2].offset = 0;
	send_request(desc, 5);
	assert_int_equal(taken_count, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(taken[i]->op, wanted[i]);
	assert_null(taken[3]->buffer);
	assert_false(taken[4]->fua);
}

static void completions_of_a_turn_leave_together_in_order(void **state)
{
	struct torus_completion c[TORUS_COMPLETION_BATCH];
	struct torus_desc desc[3] = { write_of(9), write_of(2), write_of(5) };

	send_request(desc, 3);
	taken[1]->done(taken[1], 0);
	taken[0]->done(taken[0], -ENOSPC);
	position = (struct log_position){ 42, 0xbeef };
	taken[2]->done(taken[2], 0);
	assert_int_equal(receive(c, 64), 0);
	turn();
	assert_int_equal(receive(c, 64), 3);
	assert_int_equal(c[0].tag, 2);
	assert_int_equal(c[0].generation, 1002);
	assert_int_equal(c[0].queue, 1);
	assert_int_equal(c[0].result, TORUS_RESULT_OK);
	assert_int_equal(c[0].length, 8192);
	assert_int_equal(c[0].sequence, 42);
	assert_int_equal(c[0].header_crc, 0xbeef);
	assert_int_equal(c[1].tag, 9);
	assert_int_equal(c[1].result, TORUS_RESULT_NO_SPACE);
	assert_int_equal(c[2].tag, 5);
	turn();
	assert_int_equal(receive(c, 64), 0);
}

static void many_completions_are_split_into_batches(void **state)
{
	struct torus_completion c[TORUS_COMPLETION_BATCH];
	struct torus_desc desc;

	for (uint16_t tag = 0; tag < 128; tag++) {
		desc = write_of(tag);
		send_request(&desc, 1);
	}
	for (int i = 0; i < 128; i++)
		taken[i]->done(taken[i], 0);
	turn();
	assert_int_equal(receive(c, 64), 64);
	assert_int_equal(c[63].tag, 63);
	assert_int_equal(receive(c, 64), 64);
	assert_int_equal(c[63].tag, 127);
	assert_int_equal(receive(c, 64), 0);
}

static void a_slot_serves_again_after_its_completion(void **state)
{
	struct torus_completion c[TORUS_COMPLETION_BATCH];
	struct torus_desc desc = write_of(1);

	for (uint32_t round = 1; round < 4; round++) {
		desc.generation = round;
		send_request(&desc, 1);
		assert_int_equal(taken_count, round);
		taken[round - 1]->done(taken[round - 1], 0);
		turn();
		assert_int_equal(receive(c, 64), 1);
		assert_int_equal(c[0].generation, round);
	}
	assert_int_equal(lost_err, 0);
}

static void errors_have_their_results(void **state)
{
	assert_int_equal(result_of(TORUS_OP_READ, -EIO), TORUS_RESULT_MEDIUM);
	assert_int_equal(result_of(TORUS_OP_WRITE, -EIO),
			 TORUS_RESULT_IO_ERROR);
	assert_int_equal(result_of(TORUS_OP_WRITE, -ETIMEDOUT),
			 TORUS_RESULT_TIMEOUT);
	assert_int_equal(result_of(TORUS_OP_FLUSH, -ESTALE),
			 TORUS_RESULT_LOST);
	assert_int_equal(result_of(TORUS_OP_FLUSH, -EINVAL),
			 TORUS_RESULT_IO_ERROR);
	assert_int_equal(result_of(TORUS_OP_DISCARD, -EOPNOTSUPP),
			 TORUS_RESULT_NOT_SUPPORTED);
}

/* ---- what the driver must not send ---------------------------------------- */

static void bad_ranges_are_answered_and_not_carried_out(void **state)
{
	struct torus_completion c[TORUS_COMPLETION_BATCH];
	struct torus_desc bad[] = { write_of(0), write_of(1), write_of(2),
				    write_of(3), write_of(4), write_of(5),
				    write_of(6), write_of(7), write_of(8) };

	bad[0].offset = SIZE - 4096;
	bad[1].offset = UINT64_MAX - 4095;
	bad[2].length = 0;
	bad[3].length = (1 << 20) + 4096;
	bad[4].offset = 512;
	bad[5].arena_offset = ARENA - 4096;
	bad[6].arena_offset = 512;
	bad[7].op = TORUS_OP_WRITE_ZEROES + 1;
	bad[8].reserved = 1;
	send_request(bad, ARRAY_SIZE(bad));
	assert_int_equal(taken_count, 0);
	turn();
	assert_int_equal(receive(c, 64), ARRAY_SIZE(bad));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(c[i].result, i == 7 ?
				 TORUS_RESULT_NOT_SUPPORTED :
				 TORUS_RESULT_IO_ERROR);
	assert_int_equal(lost_err, 0);
}

static void expect_lost(int err)
{
	turn();
	turn();
	assert_int_equal(lost_err, err);
	assert_true(strstr(lost_text, "torus7") || err == -EPROTO);
}

static void a_tag_that_is_not_there_ends_the_session(void **state)
{
	struct torus_desc desc = write_of(128);

	send_request(&desc, 1);
	assert_int_equal(taken_count, 0);
	expect_lost(-EPROTO);
}

static void a_tag_in_use_ends_the_session(void **state)
{
	struct torus_desc desc[2] = { write_of(4), write_of(4) };

	send_request(desc, 2);
	assert_int_equal(taken_count, 1);
	expect_lost(-EPROTO);
	/* What the engine still had comes back, and goes nowhere. */
	taken[0]->done(taken[0], 0);
	turn();
	assert_int_equal(ch->ready_count, 0);
}

/* Otherwise there would be more completions than there is room for. */
static void a_tag_whose_completion_waits_is_in_use(void **state)
{
	struct torus_desc desc[2] = { write_of(4), write_of(4) };

	desc[0].length = desc[1].length = 1;	/* refused at once */
	send_request(desc, 2);
	assert_int_equal(ch->ready_count, 1);
	expect_lost(-EPROTO);
}

static void another_session_is_not_heard(void **state)
{
	struct torus_desc desc = write_of(1);

	ch->session.id++;
	send_request(&desc, 1);
	assert_int_equal(taken_count, 0);
	turn();
	assert_int_equal(lost_err, 0);
}

static void a_truncated_message_ends_the_session(void **state)
{
	struct torus_desc desc = write_of(1);
	struct datagram d = request(&desc, 1);

	channel_take(ch, d.data, d.len - 4);
	assert_int_equal(taken_count, 0);
	expect_lost(-EBADMSG);
}

static void half_a_descriptor_ends_the_session(void **state)
{
	struct torus_desc desc = write_of(1);
	struct datagram d = request(&desc, 1);
	struct nlattr *attr = (struct nlattr *)(d.data + d.len -
						sizeof(desc) - NLA_HDRLEN);

	attr->nla_len -= 16;
	channel_take(ch, d.data, d.len);
	assert_int_equal(taken_count, 0);
	expect_lost(-EBADMSG);
}

static void a_refusal_ends_the_session_with_its_sentence(void **state)
{
	static const char sentence[] = "session has ended";
	struct datagram d = { .len = 0 };
	struct nlmsghdr nl = { .nlmsg_type = NLMSG_ERROR,
			       .nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS };
	struct nlmsgerr e = { .error = -ESTALE, .msg.nlmsg_len = 500 };

	put(&d, &nl, sizeof(nl));
	put(&d, &e, sizeof(e));
	put_attr(&d, NLMSGERR_ATTR_MSG, sentence, sizeof(sentence));
	set_length(&d);
	channel_take(ch, d.data, d.len);
	expect_lost(-ESTALE);
	assert_non_null(strstr(lost_text, sentence));
}

static void an_acknowledgement_means_nothing(void **state)
{
	struct datagram d = { .len = 0 };
	struct nlmsghdr nl = { .nlmsg_type = NLMSG_ERROR };
	struct nlmsgerr e = { .error = 0 };

	put(&d, &nl, sizeof(nl));
	put(&d, &e, sizeof(e));
	set_length(&d);
	channel_take(ch, d.data, d.len);
	turn();
	turn();
	assert_int_equal(lost_err, 0);
}

/* ---- the arena ---------------------------------------------------------- */

static void an_arena_is_sealed_and_cannot_be_mapped_again(void **state)
{
	struct arena a;

	assert_int_equal(arena_init(&a, 1 << 20), 0);
	assert_int_equal(ftruncate(a.fd, 1 << 21), -1);
	assert_int_equal(ftruncate(a.fd, 4096), -1);
	assert_int_equal(write(a.fd, "x", 1), -1);
	memset(a.memory, 1, a.size);
	arena_release(&a);
	assert_int_equal(a.fd, -1);
}

static void sizes_of_arenas_are_checked(void **state)
{
	assert_int_equal(arena_check_size(2 << 20, 1 << 20), 0);
	assert_int_equal(arena_check_size((2 << 20) - 4096, 1 << 20), -EINVAL);
	assert_int_equal(arena_check_size((4 << 20) + 512, 1 << 20), -EINVAL);
	assert_int_equal(arena_check_size((1ull << 30) + 4096, 1 << 20),
			 -EINVAL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_write_reaches_the_engine_in_place),
		T(each_operation_has_its_counterpart),
		T(completions_of_a_turn_leave_together_in_order),
		T(many_completions_are_split_into_batches),
		T(a_slot_serves_again_after_its_completion),
		T(errors_have_their_results),
		T(bad_ranges_are_answered_and_not_carried_out),
		T(a_tag_that_is_not_there_ends_the_session),
		T(a_tag_in_use_ends_the_session),
		T(a_tag_whose_completion_waits_is_in_use),
		T(another_session_is_not_heard),
		T(a_truncated_message_ends_the_session),
		T(half_a_descriptor_ends_the_session),
		T(a_refusal_ends_the_session_with_its_sentence),
		T(an_acknowledgement_means_nothing),
		cmocka_unit_test(an_arena_is_sealed_and_cannot_be_mapped_again),
		cmocka_unit_test(sizes_of_arenas_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
