// SPDX-License-Identifier: Apache-2.0
/*
 * With a queue for each CPU, and a socket and a thread for each queue: a request
 * arrives at the socket of the queue that sysfs names for the CPU where it was
 * submitted, with that queue in its descriptor.
 */
#include "cpu.h"
#include "test.h"

#define SIZE (4ull << 20)
#define FROM(cpu) ((1ull << 20) + (cpu) * 65536)

/* Where a request went: its queue, and what its socket is for. */
static bool look(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	struct world *world = h->world;
	unsigned int cpu = (desc->offset - FROM(0)) / 65536;

	(void)completion;
	if (desc->offset < FROM(0) || desc->offset != FROM(cpu) || cpu > 7)
		return true;
	__atomic_store_n(&world->notes[2 * cpu], desc->queue,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&world->notes[2 * cpu + 1], h->mask,
			 __ATOMIC_SEQ_CST);
	return true;
}

static void try(const struct setup *s, unsigned int cpu, uint8_t *buf,
		bool write)
{
	unsigned int queue = cpu_queue(s->id, cpu);
	uint64_t *notes = &s->world->notes[2 * cpu];
	ssize_t n;

	notes[0] = notes[1] = UINT64_MAX;
	cpu_pin(cpu);
	n = write ? pwrite(s->fd, buf, 4096, FROM(cpu)) :
		    pread(s->fd, buf, 4096, FROM(cpu));
	cpu_pin(-1);
	CHECK_INT(n, 4096);
	if (notes[0] != queue || notes[1] != 1ull << queue)
		FAIL("from CPU %u to queue %llu by the socket of %#llx, not queue %u",
		     cpu, (unsigned long long)notes[0],
		     (unsigned long long)notes[1], queue);
}

int main(void)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_ONLN), i, rounds, seen = 0;
	struct setup s = {
		.config = { .size = SIZE, .queues = cpus > 8 ? 8 : cpus },
		.how = { .hook = look, .lane_per_queue = true },
	};
	uint8_t *buf;

	test_begin();
	if (cpus < 2)
		SKIP("one CPU has one queue");
	rounds = test_size(5, 20, 200);
	buf = alloc_aligned(4096);
	setup_begin(&s);
	for (i = 0; i < s.config.queues; i++)
		seen |= 1u << cpu_queue(s.id, i);
	CHECK(seen & (seen - 1));
	for (i = 0; i < rounds * s.config.queues; i++) {
		try(&s, i % s.config.queues, buf, true);
		try(&s, i % s.config.queues, buf, false);
	}
	setup_end(&s);
	return 0;
}
