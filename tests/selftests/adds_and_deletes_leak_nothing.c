// SPDX-License-Identifier: Apache-2.0
/*
 * A thousand devices are added and deleted, some at a time: before they have a
 * disk, plainly, by force, and after I/O. The kernel then holds no more than
 * before: no object per device in any slab, no per-CPU memory, no page.
 */
#include <fcntl.h>

#include "leaks.h"
#include "test.h"

#define SIZE (256ull << 10)
#define ARENA (64 << 10)
#define BATCH 8

enum way { NEVER_STARTED, PLAIN, FORCED, AFTER_IO, WAYS };

struct cycle {
	enum way way;
	uint32_t id;
};

static struct nl events;
static struct world *world;
static struct helper helpers[BATCH];
static struct cycle cycles[BATCH];

static void add(unsigned int i, enum way way)
{
	struct device_config config = {
		.size = SIZE, .depth = 8, .io_size_max = 16 << 10,
		.queues = 1 + i % 2,
	};
	struct helper *h = &helpers[i];
	char name[16];

	snprintf(name, sizeof(name), "cycle-%u", i);
	config.volume = name;
	cycles[i].way = way;
	cycles[i].id = device_add(&config);
	CHECK_INT(helper_open(h, world, cycles[i].id, ARENA), 0);
	CHECK_INT(helper_bind(h, false), 0);
	CHECK_INT(helper_queues(h, &h->data, (1ull << h->queues) - 1), 0);
	if (way != NEVER_STARTED)
		CHECK_INT(helper_start(h), 0);
}

static bool all_in(uint32_t state)
{
	for (unsigned int i = 0; i < BATCH; i++) {
		if (state == TORUS_STATE_LIVE && cycles[i].way == NEVER_STARTED)
			continue;
		if (device_state(cycles[i].id) != state)
			return false;
	}
	return true;
}

static void serve_until(uint32_t state)
{
	uint64_t end = now_ms() + 60000;
	struct nl_msg msg;

	while (!all_in(state)) {
		CHECK(now_ms() < end);
		/* Several may be told of at once; the rest serves. */
		do {
			helper_serve_many(helpers, BATCH, events.fd, 1000);
		} while (nl_receive(&events, &msg, 0) == -EAGAIN &&
			 now_ms() < end);
		while (!nl_receive(&events, &msg, 0))
			;
	}
}

static void write_some(unsigned int i)
{
	int fd = device_open(cycles[i].id, O_RDWR | O_DIRECT);
	struct writer writer;

	CHECK(fd >= 0);
	writer_start(&writer, fd, 4096);
	while (__atomic_load_n(&writer.error, __ATOMIC_SEQ_CST) < 0)
		helper_serve_many(helpers, BATCH, -1, 5);
	CHECK_INT(writer_end(&writer), 0);
	close(fd);
}

static void cycle(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < BATCH; i++)
		add(i, (nr + i) % WAYS);
	serve_until(TORUS_STATE_LIVE);
	for (i = 0; i < BATCH; i++) {
		if (cycles[i].way == AFTER_IO)
			write_some(i);
		CHECK_INT(cycles[i].way == FORCED ?
			  device_delete(cycles[i].id, true) :
			  device_delete_patiently(cycles[i].id), 0);
	}
	serve_until(TORUS_STATE_DELETED);
	for (i = 0; i < BATCH; i++)
		helper_close(&helpers[i]);
	device_forget();
}

int main(void)
{
	unsigned int i, batches;
	static struct leaks before;
	uint64_t begin;

	test_begin();
	batches = (test_size(100, 1000, 10000) + BATCH - 1) / BATCH;
	CHECK(!nl_open(&events) && !nl_join(&events));
	world = world_new(SIZE);
	for (i = 0; i < 4; i++)
		cycle(i);
	leaks_look(&before);
	begin = now_ms();
	for (i = 0; i < batches; i++)
		cycle(i);
	printf("# %u devices in %llu ms\n", batches * BATCH,
	       (unsigned long long)(now_ms() - begin));
	leaks_check(&before, batches * BATCH);
	return 0;
}
