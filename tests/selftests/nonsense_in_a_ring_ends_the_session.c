// SPDX-License-Identifier: Apache-2.0
/*
 * What lies in a ring cannot be refused: a helper that publishes what no helper
 * can have loses its session. Nothing that it published ends a request, and the
 * next helper serves all that was kept.
 */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)

static struct torus_completion held;

static bool hold(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	if (desc->op != TORUS_OP_WRITE || desc->offset != 8192)
		return true;
	held = *completion;
	sem_post(&h->world->asked);
	return false;
}

typedef void nonsense(struct helper *h);

static void publish(struct helper *h, struct torus_completion wrong)
{
	/* The good one comes with it, and must not end its request. */
	ring_publish(h, 0, &wrong);
	ring_publish(h, 0, &held);
}

static void tail_too_far(struct helper *h)
{
	ring_of(h, 0)->completion_tail += h->ring_entries + 1;
}

static void tail_goes_back(struct helper *h)
{
	ring_of(h, 0)->completion_tail--;
}

static void tag_too_many(struct helper *h)
{
	struct torus_completion wrong = held;

	wrong.tag = h->depth;
	publish(h, wrong);
}

static void queue_too_many(struct helper *h)
{
	struct torus_completion wrong = held;

	wrong.queue = h->queues;
	publish(h, wrong);
}

static void unknown_result(struct helper *h)
{
	struct torus_completion wrong = held;

	wrong.result = TORUS_RESULT_MAX + 1;
	publish(h, wrong);
}

static void reserved_bits(struct helper *h)
{
	struct torus_completion wrong = held;

	wrong.reserved = 1;
	publish(h, wrong);
}

static void begin(struct helper *h, struct world *world, uint32_t id)
{
	CHECK_INT(helper_open(h, world, id, 4 << 20), 0);
	h->form = TORUS_CHANNEL_RING;
	h->hook = hold;
	CHECK_INT(helper_bind(h, false), 0);
	CHECK_INT(helper_queues(h, &h->data, 1), 0);
	CHECK_INT(helper_start(h), 0);
}

static void check_one(uint32_t id, struct world *world, nonsense *make,
		      struct writer *writer)
{
	uint64_t malformed = device_counter(id, TORUS_A_DEV_MALFORMED);
	struct server server;
	struct helper h;

	begin(&h, world, id);
	server_start(&server, &h);
	CHECK(!sem_wait(&world->asked));
	server_stop(&server);
	make(&h);
	/* Whoever drains first, we or the driver by itself, finds it. */
	ring_drain(&h, &h.data, false);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 10000));
	CHECK_INT(device_counter(id, TORUS_A_DEV_MALFORMED), malformed + 1);
	CHECK_INT(writer->error, -1);
	helper_close(&h);
}

/* Each message of the other form, and from a socket that has no queue. */
static void check_refusals(uint32_t id, struct world *world)
{
	struct helper h;
	struct server server;
	struct nl_msg msg;
	struct nl other;

	begin(&h, world, id);
	server_start(&server, &h);
	CHECK(!sem_wait(&world->asked));
	server_stop(&server);
	nl_begin(&h.data, &msg, TORUS_CMD_COMPLETE, 0);
	nl_put_u32(&msg, TORUS_A_IO_DEV_ID, id);
	nl_put_u64(&msg, TORUS_A_IO_SESSION_ID, h.session_id);
	nl_put(&msg, TORUS_A_IO_COMPLETIONS, &held, sizeof(held));
	CHECK_INT(nl_call(&h.data, &msg, NULL), -EOPNOTSUPP);
	CHECK(!nl_open(&other));
	CHECK_INT(ring_drain(&h, &other, true), -EPERM);
	nl_close(&other);
	CHECK_INT(ring_drain(&h, &h.control, true), -EPERM);
	h.session_id++;
	CHECK_INT(ring_drain(&h, &h.data, true), -ESTALE);
	h.session_id--;
	CHECK_INT(helper_complete(&h, &h.data, &held, 1, true), 0);
	helper_close(&h);
}

int main(void)
{
	static nonsense *const all[] = {
		tail_too_far, tail_goes_back, tag_too_many, queue_too_many,
		unknown_result, reserved_bits,
	};
	struct device_config config = { .size = SIZE };
	struct writer writer;
	struct world *world;
	pid_t helper;
	uint32_t id;
	int fd;

	test_begin();
	id = device_serve(&config, &world, &helper);
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	helper_kill(helper);
	CHECK(device_wait_state(id, TORUS_STATE_RECOVERING, 10000));
	writer_start(&writer, fd, 8192);
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check_one(id, world, all[i], &writer);
	check_refusals(id, world);
	CHECK_INT(writer_end(&writer), 0);
	close(fd);
	return 0;
}
