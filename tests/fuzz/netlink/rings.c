// SPDX-License-Identifier: Apache-2.0
/*
 * Rings cannot be refused: whatever stands in them, the driver must neither
 * believe it nor come to harm. What is wrong there ends the session at most.
 */
#include <string.h>

#include "rings.h"

/* As often as the driver might read it. */
#define RACES 200

static void set_tail(struct session *s, unsigned int queue, uint32_t tail)
{
	s->tails[queue] = tail;
	__atomic_store_n(&session_ring(s, queue)->completion_tail, tail,
			 __ATOMIC_RELEASE);
}

static void set_waits(struct session *s, unsigned int queue, uint32_t value)
{
	__atomic_store_n(&session_ring(s, queue)->helper_waits, value,
			 __ATOMIC_SEQ_CST);
}

unsigned int rings_serve(struct session *s, struct chance *c)
{
	struct torus_completion completion;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < s->queues; i++)
		if (session_ring(s, i))
			set_waits(s, i, chance_one_in(c, 3) ? 0 :
				  1 + chance_below(c, 1000));
	for (int i = 0; i < SESSION_SOCKETS; i++) {
		struct session_pending *pending = &s->pending[i];

		while (pending->nr && !chance_one_in(c, 32)) {
			session_finish(s, pending,
				       chance_below(c, pending->nr),
				       &completion);
			if (chance_one_in(c, 64))
				completion.result =
					chance_below(c, TORUS_RESULT_MAX + 1);
			session_publish(s, &completion);
			nr++;
		}
	}
	return nr;
}

static void any_tail(struct session *s, unsigned int queue, struct chance *c)
{
	set_tail(s, queue, chance_u64(c));
}

static void tail_back(struct session *s, unsigned int queue, struct chance *c)
{
	set_tail(s, queue, s->tails[queue] - 1 -
		 chance_below(c, s->ring_entries));
}

/* Entries of the last round once more, or none at all. */
static void tail_ahead(struct session *s, unsigned int queue, struct chance *c)
{
	set_tail(s, queue, s->tails[queue] + 1 +
		 chance_below(c, s->ring_entries));
}

static void garbage_entry(struct session *s, unsigned int queue,
			  struct chance *c)
{
	struct torus_completion completion;

	chance_bytes(c, &completion, sizeof(completion));
	completion.queue = queue;
	session_publish(s, &completion);
}

/* A good one but for one field. */
static void odd_entry(struct session *s, unsigned int queue, struct chance *c)
{
	struct session_pending *pending =
		&s->pending[session_socket_of(s, queue)];
	struct torus_completion completion = { .queue = queue };

	if (pending->nr)
		session_finish(s, pending, 0, &completion);
	queue = completion.queue;
	switch (chance_below(c, 7)) {
	case 0:
		completion.tag = s->depth + chance_below(c, 3);
		break;
	case 1:
		completion.generation += 1 + chance_below(c, 3);
		break;
	case 2:
		completion.result = TORUS_RESULT_MAX + 1;
		break;
	case 3:
		completion.length ^= 1u << chance_below(c, 32);
		break;
	case 4:
		completion.reserved = 1;
		break;
	case 5:
		completion.result = TORUS_RESULT_LOST;
		break;
	default:
		completion.queue = chance_u64(c);
	}
	session_completions(s, queue)[s->tails[queue] &
				      (s->ring_entries - 1)] = completion;
	set_tail(s, queue, s->tails[queue] + 1);
}

/* While the driver may be at it. */
static void entries_after_publication(struct session *s, unsigned int queue,
				      struct chance *c)
{
	struct torus_completion *array = session_completions(s, queue);

	set_tail(s, queue, s->tails[queue] + 1 + chance_below(c, 4));
	for (int i = 0; i < RACES; i++)
		chance_bytes(c, &array[(s->tails[queue] - 1 -
					chance_below(c, 4)) &
				       (s->ring_entries - 1)],
			     sizeof(*array));
}

static void tail_to_and_fro(struct session *s, unsigned int queue,
			    struct chance *c)
{
	uint32_t tail = s->tails[queue];

	for (int i = 0; i < RACES; i++)
		set_tail(s, queue, tail + chance_below(c, 3) - 1);
	set_tail(s, queue, tail);
}

static void waits_to_and_fro(struct session *s, unsigned int queue,
			     struct chance *c)
{
	for (int i = 0; i < RACES; i++)
		set_waits(s, queue, chance_below(c, 4));
}

/* What the driver writes there, and all else. */
static void overwrite(struct session *s, unsigned int queue, struct chance *c)
{
	s->rings_spoilt = true;
	chance_bytes(c, session_ring(s, queue),
		     chance_one_in(c, 2) ? TORUS_RING_DESCS : s->ring_stride);
}

unsigned int rings_spoil(struct session *s, struct chance *c)
{
	static void (* const spoils[])(struct session *s, unsigned int queue,
				       struct chance *c) = {
		any_tail, tail_back, tail_ahead, garbage_entry, odd_entry,
		odd_entry, odd_entry, entries_after_publication,
		tail_to_and_fro, waits_to_and_fro, waits_to_and_fro, overwrite,
	};
	unsigned int queue = chance_below(c, s->queues ? s->queues : 1);

	if (!session_ring(s, queue))
		return 0;
	spoils[chance_below(c, sizeof(spoils) / sizeof(*spoils))](s, queue, c);
	return 1;
}
