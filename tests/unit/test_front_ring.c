// SPDX-License-Identifier: Apache-2.0
/*
 * The ring form of the channel without a driver: the test writes and reads the
 * driver's side of the rings, and has the other end of the data socket.
 */
#include <errno.h>
#include <fcntl.h>
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
#define ENTRIES	8u
#define STRIDE	4096u
#define QUEUES	2u

static struct env *env;
static struct channel *ch;
static int driver;			/* the other end of the data socket */
static struct volume_request *taken[ENTRIES * QUEUES];
static unsigned int taken_count;
static struct log_position position;
static int lost_err;
static struct torus_ring *ring[QUEUES];

static void take(void *ctx, struct volume_request *req)
{
	assert_true(taken_count < ENTRIES * QUEUES);
	taken[taken_count++] = req;
}

static struct log_position tell_position(void *ctx)
{
	return position;
}

static void note_lost(void *ctx, int err)
{
	lost_err = err;
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
		.id = DEVICE, .size = 1 << 30, .block_size = 4096,
		.queues = QUEUES, .depth = 5, .io_size_max = 1 << 20,
		.ring_entries = ENTRIES, .ring_stride = STRIDE,
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
	for (unsigned int i = 0; i < QUEUES; i++)
		ring[i] = (struct torus_ring *)(ch->arena.memory + i * STRIDE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
				    SOCK_NONBLOCK, 0, pair), 0);
	ch->fd = pair[0];
	driver = pair[1];
	env_uring_add_hook(env, &ch->hook);
	channel_ring_start(ch);
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

/* ---- the driver's side ---------------------------------------------------- */

static struct torus_desc *descs(unsigned int queue)
{
	return (struct torus_desc *)((uint8_t *)ring[queue] + TORUS_RING_DESCS);
}

static struct torus_completion *completions(unsigned int queue)
{
	return (struct torus_completion *)(descs(queue) + ENTRIES);
}

static void publish(uint16_t queue, uint16_t tag, uint32_t generation)
{
	uint32_t tail = ring[queue]->desc_tail;

	descs(queue)[tail % ENTRIES] = (struct torus_desc){
		.op = TORUS_OP_WRITE, .queue = queue, .tag = tag,
		.generation = generation, .length = 4096,
		.offset = 4096ull * tag, .arena_offset = 65536 + 4096ull * tag,
	};
	__atomic_store_n(&ring[queue]->desc_tail, tail + 1, __ATOMIC_RELEASE);
}

/* How many drain messages came; each is checked. */
static unsigned int drains(void)
{
	struct data_head m;
	unsigned int n = 0;

	while (recv(driver, &m, sizeof(m), MSG_DONTWAIT) > 0) {
		assert_int_equal(m.nl.nlmsg_len, sizeof(m));
		assert_int_equal(m.nl.nlmsg_type, FAMILY);
		assert_int_equal(m.genl.cmd, TORUS_CMD_DRAIN);
		assert_int_equal(m.device, DEVICE);
		assert_true(m.session == SESSION);
		n++;
	}
	return n;
}

static void turn(void)
{
	assert_int_equal(env_uring_turn(env, 0), 0);
}

/* ---- tests ----------------------------------------------------------------- */

static void descriptors_are_taken_in_order_from_all_queues(void **state)
{
	publish(0, 3, 30);
	publish(0, 1, 10);
	publish(1, 4, 40);
	turn();
	assert_int_equal(taken_count, 3);
	assert_int_equal(taken[0]->offset, 3 * 4096);
	assert_ptr_equal(taken[0]->buffer,
			 ch->arena.memory + 65536 + 3 * 4096);
	assert_int_equal(taken[1]->offset, 1 * 4096);
	assert_int_equal(taken[2]->offset, 4 * 4096);
	turn();
	assert_int_equal(taken_count, 3);
}

static void tails_may_pass_two_to_the_32(void **state)
{
	struct ring_end *end = &ch->rings->ends[0];

	ring[0]->desc_tail = end->desc_head = UINT32_MAX - 1;
	end->completion_tail = ring[0]->completion_tail = UINT32_MAX - 1;
	for (uint16_t tag = 0; tag < 4; tag++)
		publish(0, tag, 7);
	turn();
	assert_int_equal(taken_count, 4);
	for (unsigned int i = 0; i < 4; i++)
		taken[i]->done(taken[i], 0);
	turn();
	assert_int_equal(ring[0]->completion_tail, 2);
	assert_int_equal(completions(0)[UINT32_MAX % ENTRIES].tag, 1);
	assert_int_equal(completions(0)[1].tag, 3);
	assert_int_equal(drains(), 1);
}

static void more_descriptors_than_there_can_be_end_the_session(void **state)
{
	ring[1]->desc_tail = ENTRIES + 1;
	turn();
	turn();
	assert_int_equal(lost_err, -EPROTO);
	assert_int_equal(taken_count, 0);
}

static void completions_of_a_turn_are_announced_once(void **state)
{
	struct torus_completion *c;

	publish(0, 2, 20);
	publish(1, 0, 5);
	turn();
	taken[1]->done(taken[1], 0);
	taken[0]->done(taken[0], -ENOSPC);
	turn();
	assert_int_equal(drains(), 1);
	assert_int_equal(ring[0]->completion_tail, 1);
	assert_int_equal(ring[1]->completion_tail, 1);
	c = &completions(0)[0];
	assert_int_equal(c->queue, 0);
	assert_int_equal(c->tag, 2);
	assert_int_equal(c->generation, 20);
	assert_int_equal(c->result, TORUS_RESULT_NO_SPACE);
	c = &completions(1)[0];
	assert_int_equal(c->result, TORUS_RESULT_OK);
	assert_int_equal(c->length, 4096);
	assert_true(c->sequence == 41);
	assert_int_equal(c->header_crc, 0xabcd);
	turn();
	assert_int_equal(drains(), 0);
}

static void defer(uint32_t index)
{
	descs(0)[index % ENTRIES].flags = TORUS_IO_FLAG_DEFERRED;
}

static void deferred_writes_wait_for_their_data(void **state)
{
	publish(0, 3, 30);
	publish(0, 1, 10);
	defer(1);
	publish(0, 2, 20);
	turn();
	assert_int_equal(taken_count, 1);
	assert_int_equal(drains(), 1);
	/* The driver has seen only what came before. */
	ring[0]->data_tail = 1;
	turn();
	assert_int_equal(taken_count, 1);
	assert_int_equal(drains(), 1);
	ring[0]->data_tail = 2;
	turn();
	assert_int_equal(taken_count, 3);
	assert_int_equal(taken[1]->offset, 1 * 4096);
	assert_int_equal(taken[2]->offset, 2 * 4096);
	turn();
	assert_int_equal(drains(), 0);
	assert_int_equal(lost_err, 0);
}

static void data_may_come_before_it_is_asked_for(void **state)
{
	publish(0, 1, 10);
	defer(0);
	ring[0]->data_tail = 1;
	turn();
	assert_int_equal(taken_count, 1);
	assert_int_equal(drains(), 0);
}

static void slots_are_free_once_their_completion_is_published(void **state)
{
	for (uint32_t round = 0; round < 3 * ENTRIES; round++) {
		taken_count = 0;
		publish(0, 4, round);
		turn();
		assert_int_equal(taken_count, 1);
		taken[0]->done(taken[0], 0);
		turn();
	}
	assert_int_equal(lost_err, 0);
	assert_int_equal(ring[0]->completion_tail, 3 * ENTRIES);
}

static void announcement_that_fails_is_repeated(void **state)
{
	char byte = 0;

	while (send(ch->fd, &byte, 1, MSG_DONTWAIT) == 1)
		;
	publish(0, 0, 1);
	turn();
	taken[0]->done(taken[0], 0);
	turn();
	assert_int_equal(ring[0]->completion_tail, 1);
	assert_int_equal(lost_err, 0);
	while (recv(driver, &byte, 1, MSG_DONTWAIT) == 1)
		;
	while (ch->delayed && env_timer_armed(&ch->retry))
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC), 0);
	assert_int_equal(drains(), 1);
	assert_int_equal(ring[0]->completion_tail, 1);
}

static void each_sleep_has_another_ticket(void **state)
{
	struct env_poller *poller = &ch->rings->poller;
	uint32_t first;

	assert_true(poller->sleep(poller));
	first = ring[0]->helper_waits;
	assert_int_not_equal(first, 0);
	assert_int_equal(ring[1]->helper_waits, first);
	poller->wake(poller);
	assert_int_equal(ring[0]->helper_waits, 0);
	assert_int_equal(ring[1]->helper_waits, 0);
	assert_true(poller->sleep(poller));
	assert_int_not_equal(ring[0]->helper_waits, 0);
	assert_int_not_equal(ring[0]->helper_waits, first);
	ch->rings->ticket = UINT32_MAX;
	assert_true(poller->sleep(poller));
	assert_int_not_equal(ring[0]->helper_waits, 0);
}

static void nobody_sleeps_over_a_descriptor(void **state)
{
	struct env_poller *poller = &ch->rings->poller;

	publish(1, 0, 1);
	assert_false(poller->sleep(poller));
}

static void after_the_end_nothing_is_taken_or_published(void **state)
{
	publish(0, 0, 1);
	turn();
	channel_lose(ch, -EIO, "the end");
	taken[0]->done(taken[0], 0);
	publish(0, 1, 1);
	turn();
	turn();
	assert_int_equal(taken_count, 1);
	assert_int_equal(ring[0]->completion_tail, 0);
	assert_int_equal(drains(), 0);
	assert_int_equal(lost_err, -EIO);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(descriptors_are_taken_in_order_from_all_queues),
		TEST(tails_may_pass_two_to_the_32),
		TEST(more_descriptors_than_there_can_be_end_the_session),
		TEST(completions_of_a_turn_are_announced_once),
		TEST(deferred_writes_wait_for_their_data),
		TEST(data_may_come_before_it_is_asked_for),
		TEST(slots_are_free_once_their_completion_is_published),
		TEST(announcement_that_fails_is_repeated),
		TEST(each_sleep_has_another_ticket),
		TEST(nobody_sleeps_over_a_descriptor),
		TEST(after_the_end_nothing_is_taken_or_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
