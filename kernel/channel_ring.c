// SPDX-License-Identifier: GPL-2.0
/*
 * The ring form of the channel: descriptors and completions in rings inside
 * the arena. A message wakes a helper that sleeps (the doorbell), and one from
 * the helper says that there are completions (drain). Neither carries data, so
 * losing one loses no request:
 *
 * - A doorbell that could not be sent is tried again by whoever comes next,
 *   and by the look that is due anyway.
 * - As long as requests are in flight a look is due every LOOK_MS. It takes the
 *   completions of a helper whose message waits, perhaps for long, for a lock
 *   that generic netlink holds over every handler.
 *
 * A submitter leaves the data of a write to the next drain if there is going to
 * be one soon: the helper is awake, has another request, and has not fallen
 * behind. Otherwise it copies itself.
 *
 * One at a time takes completions. Who finds another at it leaves a count, and
 * the other looks again before it goes.
 */
#include <linux/netlink.h>
#include <linux/sizes.h>
#include <net/genetlink.h>

#include "channel.h"
#include "channel_forms.h"
#include "device.h"
#include "fault.h"
#include "genl.h"
#include "message.h"
#include "queue.h"
#include "ring.h"
#include "session.h"
#include "trace.h"

#define DEFER_SIZE_MAX SZ_256K
/* So many descriptors after its newest drain a helper has fallen behind. */
#define DEFER_BACKLOG 16

bool torus_ring_channel_defers(struct torus_queue *queue,
			       struct torus_session *session, u32 bytes)
{
	struct torus_ring_end *end = &session->rings[queue->index];
	u32 tail = READ_ONCE(end->desc_tail);

	return bytes <= DEFER_SIZE_MAX &&
	       tail != READ_ONCE(end->ended) &&
	       tail - READ_ONCE(end->data_tail) < DEFER_BACKLOG &&
	       !READ_ONCE(end->shared->helper_waits);
}

void torus_ring_channel_submit(struct torus_queue *queue,
			       struct torus_session *session, u16 tag)
{
	struct torus_ring_end *end = &session->rings[queue->index];
	struct torus_desc desc;

	spin_lock(&end->lock);
	torus_channel_describe(queue, tag, &desc);
	if (desc.flags & TORUS_IO_FLAG_DEFERRED) {
		/* Who takes the bit must find the slot sent: see fetch_one(). */
		smp_mb__before_atomic();
		set_bit(tag, end->deferred);
	}
	torus_point(TORUS_POINT_BEFORE_SEND, session->pid);
	if (!torus_fault(TORUS_FAULT_DROP_REQUEST))
		torus_ring_put(end, &desc);
	spin_unlock(&end->lock);
	torus_point(TORUS_POINT_AFTER_SEND, session->pid);
	atomic64_inc(&queue->sent);
	torus_queue_look_later(queue);
}

static int post_doorbell(struct torus_queue *queue,
			 struct torus_session *session)
{
	struct sk_buff *skb;
	void *header;

	if (torus_fault(TORUS_FAULT_FAIL_DOORBELL))
		return -ENOMEM;
	skb = genlmsg_new(nla_total_size(sizeof(u32)) +
			  nla_total_size_64bit(sizeof(u64)), TORUS_SEND_GFP);
	if (!skb)
		return -ENOMEM;
	/* Cannot fail: the message was allocated for exactly this. */
	header = genlmsg_put(skb, 0, 0, &torus_family, 0, TORUS_CMD_DOORBELL);
	nla_put_u32(skb, TORUS_A_IO_DEV_ID, session->device->id);
	nla_put_u64_64bit(skb, TORUS_A_IO_SESSION_ID, session->id,
			  TORUS_A_IO_PAD);
	genlmsg_end(skb, header);
	return torus_channel_post(queue, session, skb);
}

void torus_ring_channel_wake(struct torus_queue *queue,
			     struct torus_session *session)
{
	struct torus_ring_end *end = &session->rings[queue->index];
	u32 ticket = torus_ring_ticket(end);
	int ret;

	if (!ticket)
		return;
	ret = post_doorbell(queue, session);
	trace_torus_doorbell(queue->device->id, queue->index, session->id, ret);
	if (!ret) {
		torus_point(TORUS_POINT_AFTER_DOORBELL, session->pid);
		atomic64_inc(&queue->messages);
		torus_histogram_add(&queue->desc_sizes,
				    torus_queue_since_wake(queue));
		return;
	}
	torus_ring_unticket(end, ticket);
	if (ret != -ECONNREFUSED)
		atomic64_inc(&queue->overflows);
}

/* What a ring holds cannot be refused like a message: its maker has to go. */
static int check_taken(struct torus_queue *queue, struct torus_session *session,
		       struct torus_ring_end *end, int nr)
{
	int ret = nr < 0 ? nr : 0, i;

	for (i = 0; i < nr && !ret; i++) {
		ret = torus_channel_check(session, &end->taken[i], NULL);
		if (end->taken[i].queue != queue->index)
			ret = -EPROTO;
	}
	if (!ret)
		return 0;
	atomic64_inc(&queue->malformed);
	trace_torus_malformed(queue->device->id, queue->index, session->id,
			      ret);
	torus_session_kill(session, -EPROTO);
	return -EPROTO;
}

/*
 * What has been published by now: a helper that publishes more while we are at
 * it does not keep us, it has another drain coming. False if the session died.
 */
static bool drain_all(struct torus_queue *queue, struct torus_session *session,
		      struct torus_ring_end *end)
{
	unsigned int ended, total;
	int nr;

	for (total = 0; total < end->entries; total += nr) {
		nr = torus_ring_take(end);
		if (!nr)
			break;
		if (check_taken(queue, session, end, nr) ||
		    torus_channel_end(session, end->taken, nr, &ended, NULL))
			return false;
		WRITE_ONCE(end->ended, end->ended + ended);
		cond_resched();
		trace_torus_drain(queue->device->id, queue->index, session->id,
				  ended);
	}
	return true;
}

/*
 * A request that came back unfetched has left its bit behind. The claim tells
 * whether the slot is still, or again, sent, and keeps its request; one that has
 * its data already is not touched.
 */
static void fetch_one(struct torus_session *session, struct torus_slot *slot)
{
	if (!torus_slot_claim(slot, torus_slot_generation(slot)))
		return;
	if (slot->deferred)
		torus_arena_write(&session->arena, slot->unit, slot->rq);
	slot->deferred = false;
	torus_point(TORUS_POINT_AFTER_FETCH, session->pid);
	torus_slot_unclaim(slot);
}

/* Copies what writes have left to us. The reference to the session keeps them. */
static void fetch_data(struct torus_queue *queue, struct torus_session *session,
		       struct torus_ring_end *end)
{
	unsigned int tag;
	u32 tail;

	/* Of what lies before the tail, no bit is missed. */
	tail = smp_load_acquire(&end->desc_tail);
	for_each_set_bit(tag, end->deferred, queue->device->depth) {
		if (!test_and_clear_bit(tag, end->deferred))
			continue;
		fetch_one(session, &queue->slots[tag]);
		cond_resched();
	}
	WRITE_ONCE(end->data_tail, tail);
	/* The data first; the helper reads the tail with acquire. */
	smp_store_release(&end->shared->data_tail, tail);
}

void torus_ring_channel_drain(struct torus_queue *queue,
			      struct torus_session *session)
{
	struct torus_ring_end *end = &session->rings[queue->index];
	int asked;

	if (atomic_inc_return(&end->drains) > 1)
		return;
	do {
		/* The tail that is read next is not older than the count. */
		asked = atomic_read_acquire(&end->drains);
		/* The count stays, and with it everybody out. */
		if (!drain_all(queue, session, end))
			return;
		fetch_data(queue, session, end);
		cond_resched();
	} while (atomic_sub_return(asked, &end->drains));
}

void torus_ring_channel_look(struct torus_queue *queue,
			     struct torus_session *session)
{
	struct torus_ring_end *end = &session->rings[queue->index];

	torus_ring_channel_drain(queue, session);
	/* Only that: a helper that waits for others is not to be disturbed. */
	if (xchg(&end->owed, false))
		torus_ring_channel_wake(queue, session);
	if (READ_ONCE(end->desc_tail) != READ_ONCE(end->ended))
		torus_queue_look_later(queue);
}

int torus_channel_drain(struct torus_session *session, struct sock *sk,
			struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;
	bool any = false;
	unsigned int i;

	if (!session->rings) {
		NL_SET_ERR_MSG(extack, "session was bound for messages: it has no rings");
		return -EOPNOTSUPP;
	}
	for (i = 0; i < dev->nr_queues; i++) {
		if (session->sockets[i].sk != sk)
			continue;
		any = true;
		if (torus_fault(TORUS_FAULT_DROP_DRAIN))
			continue;
		torus_ring_channel_drain(&dev->queues[i], session);
	}
	if (any)
		return 0;
	NL_SET_ERR_MSG(extack, "drain came on a socket that is no queue's");
	return -EPERM;
}
