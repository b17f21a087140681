// SPDX-License-Identifier: Apache-2.0
/*
 * What a takeover's bind tells of the newest record stays true until its start:
 * a helper that is being replaced while it completes requests either was in
 * time to be told of, or has ended nothing. The batches are long, and
 * tracing makes them slow, so that many takeovers come in the middle of one.
 */
#include <fcntl.h>
#include <sys/mount.h>

#include "stress.h"
#include "test.h"

#define SIZE (1ull << 20)
/* Each has a batch under way, and a ring must have room for all of them. */
#define THREADS 4
#define ARENA (64 << 10)
#define TRACE_LATE "/sys/kernel/tracing/events/torus/torus_late/enable"

/* The one good entry comes last, behind as many late ones as a batch has. */
static bool complete_slowly(struct helper *h, const struct torus_desc *desc,
			    struct torus_completion *completion)
{
	struct torus_completion batch[TORUS_COMPLETION_BATCH];
	int i;

	(void)desc;
	for (i = 0; i < TORUS_COMPLETION_BATCH; i++) {
		batch[i] = *completion;
		batch[i].generation -= TORUS_COMPLETION_BATCH - 1 - i;
	}
	helper_complete(h, &h->data, batch, TORUS_COMPLETION_BATCH, false);
	return false;
}

static void trace_late(bool on)
{
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	if (write_text(TRACE_LATE, on ? "1" : "0"))
		printf("# without tracing few takeovers come in the middle\n");
}

static void begin(struct helper *h, struct world *world, uint32_t id,
		  bool takeover)
{
	CHECK_INT(helper_open(h, world, id, ARENA), 0);
	h->hook = complete_slowly;
	CHECK_INT(helper_bind(h, takeover), 0);
}

static void start(struct helper *h, struct server *server)
{
	int ret;

	CHECK_INT(helper_queues(h, &h->data, 1), 0);
	ret = helper_start(h);
	if (ret)
		FAIL("start: %s (%s)", strerror(-ret), h->control.error);
	server_start(server, h);
}

int main(void)
{
	struct device_config config = {
		.size = SIZE, .depth = THREADS * TORUS_COMPLETION_BATCH,
		.io_size_max = 16 << 10,
	};
	static struct helper helpers[2];
	unsigned int i, rounds;
	struct stress stress;
	struct world *world;
	struct server server;
	struct helper *h;
	uint32_t id;
	int fd;

	test_begin();
	rounds = test_rounds(60, 400);
	trace_late(true);
	id = device_add(&config);
	world = world_new(SIZE);
	begin(&helpers[0], world, id, false);
	start(&helpers[0], &server);
	CHECK(device_wait_state(id, TORUS_STATE_LIVE, 20000));
	fd = device_open(id, O_RDWR | O_DIRECT);
	CHECK(fd >= 0);
	stress_start(&stress, fd, SIZE, THREADS, 8 << 10);
	for (i = 1; i <= rounds; i++) {
		h = &helpers[i % 2];
		stress_wait_ios(&stress, 3 + i % 5, 30000);
		begin(h, world, id, true);
		/* After this the helper completes nothing any more. */
		server_stop(&server);
		CHECK_INT(device_counter(id, TORUS_A_DEV_SEQUENCE),
			  h->remembered);
		start(h, &server);
		helper_close(&helpers[(i + 1) % 2]);
	}
	trace_late(false);
	stress_wait_ios(&stress, 10, 30000);
	stress_stop(&stress);
	close(fd);
	CHECK_INT(device_delete(id, true), 0);
	CHECK(device_wait_gone(id, 5000));
	server_stop(&server);
	return 0;
}
