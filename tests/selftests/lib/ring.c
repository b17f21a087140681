// SPDX-License-Identifier: Apache-2.0
/* The ring form of the channel, as <linux/torus_io.h> tells its rules. */
#include "test.h"

static struct torus_ring *shared(struct helper *h, unsigned int queue)
{
	return (struct torus_ring *)(h->arena + (size_t)queue * h->ring_stride);
}

struct torus_ring *ring_of(struct helper *h, unsigned int queue)
{
	return shared(h, queue);
}

struct torus_desc *ring_descs(struct helper *h, unsigned int queue)
{
	return (struct torus_desc *)((uint8_t *)shared(h, queue) +
				     TORUS_RING_DESCS);
}

struct torus_completion *ring_completions(struct helper *h, unsigned int queue)
{
	return (struct torus_completion *)(ring_descs(h, queue) +
					   h->ring_entries);
}

static bool is_ours(const struct helper *h, unsigned int queue)
{
	return h->mask >> queue & 1;
}

static bool data_is_there(struct helper *h, unsigned int queue)
{
	uint32_t tail = __atomic_load_n(&shared(h, queue)->data_tail,
					__ATOMIC_ACQUIRE);

	return (int32_t)(tail - h->desc_head[queue]) > 0;
}

/*
 * A drain that finds another at it leaves the copying to that one, so it may
 * take more than one. 0, or what the driver says of a session that has ended.
 */
static int await_data(struct helper *h, unsigned int queue)
{
	bool ack = false;
	int ret = 0;

	for (; !ret && !data_is_there(h, queue); ack = true)
		ret = ring_drain(h, &h->data, ack);
	return ret;
}

bool ring_next(struct helper *h, struct torus_desc *desc, int *ret)
{
	uint32_t tail;

	for (unsigned int i = 0; i < h->queues; i++) {
		if (!is_ours(h, i))
			continue;
		tail = __atomic_load_n(&shared(h, i)->desc_tail,
				       __ATOMIC_ACQUIRE);
		if (tail == h->desc_head[i])
			continue;
		*desc = ring_descs(h, i)[h->desc_head[i] % h->ring_entries];
		if (desc->flags & TORUS_IO_FLAG_DEFERRED)
			*ret = await_data(h, i);
		if (*ret)
			return false;
		desc->flags &= ~TORUS_IO_FLAG_DEFERRED;
		h->desc_head[i]++;
		return true;
	}
	return false;
}

static void set_waits(struct helper *h, uint32_t ticket)
{
	for (unsigned int i = 0; i < h->queues; i++)
		if (is_ours(h, i))
			__atomic_store_n(&shared(h, i)->helper_waits, ticket,
					 __ATOMIC_RELAXED);
}

bool ring_sleep(struct helper *h)
{
	h->ticket = h->ticket + 1 ? h->ticket + 1 : 1;
	set_waits(h, h->ticket);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < h->queues; i++)
		if (is_ours(h, i) && h->desc_head[i] !=
		    __atomic_load_n(&shared(h, i)->desc_tail, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

void ring_wake(struct helper *h)
{
	set_waits(h, 0);
}

void ring_publish(struct helper *h, unsigned int queue,
		  const struct torus_completion *completion)
{
	uint32_t tail = shared(h, queue)->completion_tail;

	ring_completions(h, queue)[tail % h->ring_entries] = *completion;
	__atomic_store_n(&shared(h, queue)->completion_tail, tail + 1,
			 __ATOMIC_RELEASE);
}

int ring_drain(struct helper *h, struct nl *nl, bool ack)
{
	struct nl_msg msg;

	nl_begin(nl, &msg, TORUS_CMD_DRAIN, 0);
	nl_put_u32(&msg, TORUS_A_IO_DEV_ID, h->dev_id);
	nl_put_u64(&msg, TORUS_A_IO_SESSION_ID, h->session_id);
	return ack ? nl_call(nl, &msg, NULL) : nl_send(nl, &msg);
}
