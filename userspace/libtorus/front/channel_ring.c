// SPDX-License-Identifier: Apache-2.0
/*
 * The ring form of the channel: descriptors and completions in rings inside
 * the arena; struct torus_ring tells the rules. Descriptors are found by
 * looking, turn by turn; before the reactor sleeps we ask for a doorbell,
 * which is a message on the data socket and says nothing more. Completions
 * are published together and announced by one message, however many queues
 * they belong to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "front/channel_priv.h"

/*
 * So many descriptors of a queue are taken in a turn, so that the completions
 * of the first do not wait for the last.
 */
#define TAKEN_MAX 32

/* ---- in ---------------------------------------------------------------- */

static uint32_t published(const struct ring_end *end)
{
	return __atomic_load_n(&end->shared->desc_tail, __ATOMIC_ACQUIRE) -
	       end->desc_head;
}

/* Whether the data of the next descriptor is where it says. */
static bool data_is_there(const struct ring_end *end,
			  const struct torus_desc *desc)
{
	uint32_t tail;

	if (!(desc->flags & TORUS_IO_FLAG_DEFERRED))
		return true;
	tail = __atomic_load_n(&end->shared->data_tail, __ATOMIC_ACQUIRE);
	return (int32_t)(tail - end->desc_head) > 0;
}

static bool take(struct channel *ch, struct ring_end *end)
{
	struct channel_rings *rings = ch->rings;
	uint32_t count = published(end), i;
	struct torus_desc desc;

	if (count > rings->mask + 1) {
		channel_lose(ch, -EPROTO, "the driver published more requests of torus%u than there can be",
			     ch->session.device.id);
		return false;
	}
	count = MIN(count, (uint32_t)TAKEN_MAX);
	for (i = 0; i < count && !ch->over; i++) {
		desc = end->descs[end->desc_head & rings->mask];
		if (!data_is_there(end, &desc)) {
			rings->wants_data = true;
			break;
		}
		end->desc_head++;
		desc.flags &= ~TORUS_IO_FLAG_DEFERRED;
		channel_request(ch, &desc);
	}
	return i;
}

static bool poll_rings(struct env_poller *poller)
{
	struct channel_rings *rings =
		container_of(poller, struct channel_rings, poller);
	struct channel *ch = rings->channel;
	bool any = false;

	for (uint32_t i = 0; i < ch->limits.queues && !ch->over; i++)
		any |= take(ch, &rings->ends[i]);
	return any;
}

static void set_waits(struct channel_rings *rings, uint32_t ticket)
{
	for (uint32_t i = 0; i < rings->channel->limits.queues; i++)
		__atomic_store_n(&rings->ends[i].shared->helper_waits, ticket,
				 __ATOMIC_RELAXED);
}

static void wake(struct env_poller *poller)
{
	set_waits(container_of(poller, struct channel_rings, poller), 0);
}

static bool fall_asleep(struct env_poller *poller)
{
	struct channel_rings *rings =
		container_of(poller, struct channel_rings, poller);

	if (!++rings->ticket)
		rings->ticket = 1;
	set_waits(rings, rings->ticket);
	/* The driver sees the ticket, or we see its descriptor. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < rings->channel->limits.queues; i++)
		if (published(&rings->ends[i]))
			return false;
	return true;
}

/* ---- out --------------------------------------------------------------- */

static int send_drain(struct channel *ch)
{
	struct iovec iov = { &ch->drain, sizeof(ch->drain) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int n = env_uring_sendmsg(ch->fd, &msg, 0);

	return n < 0 ? n : 0;
}

static void publish(struct channel *ch, const struct torus_completion *entry)
{
	struct channel_rings *rings = ch->rings;
	struct ring_end *end = &rings->ends[entry->queue];

	end->completions[end->completion_tail++ & rings->mask] = *entry;
	__atomic_store_n(&end->shared->completion_tail, end->completion_tail,
			 __ATOMIC_RELEASE);
}

/*
 * The driver may find what is published before it is told, so the slots are
 * its own from then on, and a message that could not be sent is only repeated.
 */
int channel_ring_flush(struct channel *ch)
{
	for (unsigned int i = 0; i < ch->ready_count; i++)
		publish(ch, &ch->ready[i]);
	if (ch->ready_count)
		channel_sent(ch, ch->ready_count);
	ch->rings->wants_data = false;
	return send_drain(ch);
}

/* ---- life -------------------------------------------------------------- */

static void init_end(struct ring_end *end, uint8_t *memory, uint32_t entries)
{
	end->shared = (struct torus_ring *)memory;
	end->descs = (struct torus_desc *)(memory + TORUS_RING_DESCS);
	end->completions = (struct torus_completion *)(end->descs + entries);
}

int channel_ring_prepare(struct channel *ch)
{
	const struct session_device *d = &ch->session.device;
	struct channel_rings *rings;

	rings = calloc(1, sizeof(*rings) + d->queues * sizeof(*rings->ends));
	if (!rings)
		return error_set(-ENOMEM, "out of memory");
	ch->rings = rings;
	rings->channel = ch;
	rings->mask = d->ring_entries - 1;
	rings->poller.poll = poll_rings;
	rings->poller.sleep = fall_asleep;
	rings->poller.wake = wake;
	list_init(&rings->poller.node);
	for (uint32_t i = 0; i < d->queues; i++)
		init_end(&rings->ends[i],
			 ch->arena.memory + (size_t)i * d->ring_stride,
			 d->ring_entries);
	data_head_init(&ch->drain, TORUS_CMD_DRAIN, (uint16_t)ch->data.family,
		       d->id, ch->session.id);
	return 0;
}

void channel_ring_start(struct channel *ch)
{
	env_uring_add_poller(ch->cfg.env, &ch->rings->poller);
}

void channel_ring_stop(struct channel *ch)
{
	env_uring_remove_poller(ch->cfg.env, &ch->rings->poller);
}
