// SPDX-License-Identifier: Apache-2.0
/*
 * While a helper is awake and has something to do, the driver leaves the data of
 * writes to its next drain. A helper finds it in place then; one that answers
 * without having asked for it ends its own write, and harms no other.
 */
#include <fcntl.h>

#include "test.h"

#define SIZE (4ull << 20)
#define WRITES 6
#define LENGTH 4096
#define SOON 20000

enum { FLAGGED, EARLY, UNFETCHED };

struct write {
	pthread_t thread;
	int fd;
	unsigned int index;
	int error;
};

static uint8_t pattern(unsigned int index)
{
	return 0x50 + index;
}

static void *write_one(void *data)
{
	struct write *w = data;
	uint8_t *buffer = alloc_aligned(LENGTH);

	memset(buffer, pattern(w->index), LENGTH);
	if (pwrite(w->fd, buffer, LENGTH, w->index * LENGTH) != LENGTH)
		w->error = errno;
	free(buffer);
	return NULL;
}

static void write_begin(struct write *w, int fd, unsigned int index)
{
	*w = (struct write){ .fd = fd, .index = index };
	CHECK(!pthread_create(&w->thread, NULL, write_one, w));
}

static void write_end(struct write *w)
{
	CHECK(!pthread_join(w->thread, NULL));
	CHECK_INT(w->error, 0);
}

static bool in_flight(const struct setup *s, unsigned int n)
{
	uint64_t end = now_ms() + SOON;

	while (device_counter(s->id, TORUS_A_DEV_IN_FLIGHT) != n) {
		if (now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/*
 * Those in the ring: how many are deferred, and how many have data that they
 * should not have. The driver looks by itself, too, and may bring some.
 */
static void look(struct helper *h)
{
	struct torus_ring *ring = ring_of(h, 0);
	uint32_t tail = __atomic_load_n(&ring->desc_tail, __ATOMIC_ACQUIRE);
	const struct torus_desc *desc;
	bool early;

	for (uint32_t i = h->desc_head[0]; i != tail; i++) {
		desc = &ring_descs(h, 0)[i % h->ring_entries];
		if (!(desc->flags & TORUS_IO_FLAG_DEFERRED))
			continue;
		h->world->notes[FLAGGED]++;
		early = __atomic_load_n(&h->arena[desc->arena_offset],
					__ATOMIC_ACQUIRE) ==
			pattern(desc->offset / LENGTH);
		if (early && (int32_t)(i - __atomic_load_n(&ring->data_tail,
							   __ATOMIC_ACQUIRE)) >= 0)
			h->world->notes[EARLY]++;
	}
}

/* Ends a write whose data it never asked for. */
static void end_unfetched(struct helper *h)
{
	struct torus_completion completion;
	struct torus_desc desc;

	desc = ring_descs(h, 0)[h->desc_head[0]++ % h->ring_entries];
	helper_do(h, &desc, &completion);
	h->world->notes[UNFETCHED] = desc.offset / LENGTH;
	helper_complete(h, &h->data, &completion, 1, false);
}

/* Stays awake with the first write until the others are in the ring. */
static bool stay(struct helper *h, const struct torus_desc *desc,
		 struct torus_completion *completion)
{
	(void)completion;
	if (desc->op != TORUS_OP_WRITE || h->world->order)
		return true;
	h->world->order = 1;
	sem_post(&h->world->asked);
	CHECK(!sem_wait(&h->world->told));
	look(h);
	if (h->world->notes[UNFETCHED])
		end_unfetched(h);
	return true;
}

static void write_all(struct setup *s)
{
	struct write writes[WRITES];

	for (unsigned int i = 0; i < WRITES; i++) {
		write_begin(&writes[i], s->fd, i);
		if (i == 0)
			CHECK(!sem_wait(&s->world->asked));
	}
	CHECK(in_flight(s, WRITES));
	sem_post(&s->world->told);
	for (unsigned int i = 0; i < WRITES; i++)
		write_end(&writes[i]);
}

static void check_data(const struct setup *s, unsigned int but)
{
	for (unsigned int i = 0; i < WRITES; i++)
		if (i != but)
			CHECK_INT(s->world->data[i * LENGTH + LENGTH - 1],
				  pattern(i));
}

static void run(bool unfetched)
{
	struct setup s = { .config = { .size = SIZE },
			   .how = { .hook = stay } };
	unsigned int but = WRITES;

	setup_begin(&s);
	s.world->notes[UNFETCHED] = unfetched ? WRITES : 0;
	write_all(&s);
	CHECK(s.world->notes[FLAGGED] > 0);
	CHECK_INT(s.world->notes[EARLY], 0);
	if (unfetched)
		but = s.world->notes[UNFETCHED];
	CHECK(unfetched == (but < WRITES));
	check_data(&s, but);
	/* Their tags are used again, some of them without deferring. */
	for (unsigned int i = 0; i < WRITES; i++) {
		struct write again;

		write_begin(&again, s.fd, i);
		write_end(&again);
	}
	check_data(&s, WRITES);
	CHECK_INT(device_counter(s.id, TORUS_A_DEV_IN_FLIGHT), 0);
	setup_end(&s);
}

int main(void)
{
	test_begin();
	if (helper_form() != TORUS_CHANNEL_RING)
		SKIP("messages bring their data with them");
	run(false);
	run(true);
	return 0;
}
