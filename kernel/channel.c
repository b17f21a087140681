// SPDX-License-Identifier: GPL-2.0
/*
 * The channel between queues and helpers, whatever its form: how a request
 * becomes a descriptor, and how completions end requests.
 *
 * A batch of completions is claimed under the lock that a session dies under:
 * what a bind has told its helper of the newest record is then the last word,
 * and no completion of the session that it replaced raises it afterwards. Data
 * is copied and requests are ended outside all locks, by whoever brought the
 * completion; together, so that the block layer can free their tags at once.
 */
#include <linux/netlink.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "channel.h"
#include "channel_forms.h"
#include "device.h"
#include "fault.h"
#include "genl.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

static_assert(sizeof(struct torus_completion) == TORUS_COMPLETION_SIZE);
static_assert(offsetof(struct torus_completion, result) == 8);
static_assert(offsetof(struct torus_completion, sequence) == 16);
static_assert(TORUS_COMPLETION_BATCH <= 64);

/* In the ring form there is a doorbell at a time, and a few are forgotten. */
#define DOORBELLS 8

int torus_channel_init(void)
{
	return torus_message_channel_init();
}

u32 torus_channel_rcvbuf_min(const struct torus_device *dev,
			     enum torus_channel form)
{
	if (form == TORUS_CHANNEL_RING)
		return DOORBELLS * torus_message_channel_size();
	return 2 * dev->depth * torus_message_channel_size();
}

/* ---- to the helper ----------------------------------------------------- */

bool torus_channel_prepare(struct torus_queue *queue,
			   struct torus_session *session)
{
	return session->rings || torus_message_channel_prepare(queue);
}

bool torus_channel_defers(struct torus_queue *queue,
			  struct torus_session *session, struct request *rq)
{
	return session->rings && req_op(rq) == REQ_OP_WRITE &&
	       torus_ring_channel_defers(queue, session, blk_rq_bytes(rq));
}

void torus_channel_submit(struct torus_queue *queue,
			  struct torus_session *session, u16 tag, bool last)
{
	if (session->rings) {
		torus_ring_channel_submit(queue, session, tag);
		if (last)
			torus_ring_channel_wake(queue, session);
	} else if (torus_queue_push(queue, tag) >= TORUS_DESC_BATCH || last) {
		torus_message_channel_send(queue, session);
	}
}

void torus_channel_send(struct torus_queue *queue,
			struct torus_session *session)
{
	if (session->rings)
		torus_ring_channel_wake(queue, session);
	else
		torus_message_channel_send(queue, session);
}

void torus_channel_look(struct torus_queue *queue,
			struct torus_session *session)
{
	if (session->rings)
		torus_ring_channel_look(queue, session);
	else
		torus_message_channel_send(queue, session);
}

void torus_channel_describe(struct torus_queue *queue, u16 tag,
			    struct torus_desc *desc)
{
	struct torus_slot *slot = &queue->slots[tag];

	torus_request_describe(desc, slot->rq, slot->unit);
	if (slot->deferred)
		desc->flags |= TORUS_IO_FLAG_DEFERRED;
	desc->queue = queue->index;
	desc->tag = tag;
	/* From here on the helper's completion is believed. */
	desc->generation = torus_slot_send(slot);
	trace_torus_sent(queue->device->id, desc);
}

int torus_channel_post(struct torus_queue *queue, struct torus_session *session,
		       struct sk_buff *skb)
{
	int ret;

	if (torus_fault(TORUS_FAULT_SOCKET_FULL)) {
		kfree_skb(skb);
		return -EAGAIN;
	}
	ret = genlmsg_unicast(&init_net, skb,
			      session->sockets[queue->index].portid);
	if (ret == -ECONNREFUSED)
		torus_session_kill(session, 0);
	return ret;
}

/* ---- from the helper --------------------------------------------------- */

int torus_channel_check(struct torus_session *session,
			const struct torus_completion *entry,
			struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;

	if (entry->queue >= dev->nr_queues || entry->tag >= dev->depth) {
		NL_SET_ERR_MSG(extack, "completion names a queue or tag that is not there");
		return -EINVAL;
	}
	if (entry->result > TORUS_RESULT_MAX || entry->reserved) {
		NL_SET_ERR_MSG(extack, "completion has an unknown result or reserved bits");
		return -EINVAL;
	}
	return 0;
}

static struct torus_slot *slot_of(struct torus_session *session,
				  const struct torus_completion *entry)
{
	return &session->device->queues[entry->queue].slots[entry->tag];
}

/* Keeps the newest record that a request was acknowledged at. */
static void remember_locked(struct torus_device *dev,
			    const struct torus_completion *entry)
{
	lockdep_assert_held(&dev->lock);
	if (entry->result || entry->sequence <= dev->sequence)
		return;
	dev->sequence = entry->sequence;
	dev->header_crc = entry->header_crc;
}

static void complete_batch(struct io_comp_batch *iob)
{
	blk_mq_end_request_batch(iob);
}

/*
 * Ends one request that this batch has won, at once or with the rest of @iob.
 * Returns whether requests that found no room in the arena should be tried
 * again.
 */
static bool finish(struct torus_session *session,
		   const struct torus_completion *entry,
		   struct io_comp_batch *iob)
{
	struct torus_slot *slot = slot_of(session, entry);
	blk_status_t status = torus_result_status(entry->result);
	struct request *rq = slot->rq;
	unsigned long unit = slot->unit;
	bool starved = false;

	if (!status && entry->length != torus_request_length(rq))
		status = BLK_STS_IOERR;
	if (!status && req_op(rq) == REQ_OP_READ)
		torus_arena_read(&session->arena, unit, rq);
	torus_point(TORUS_POINT_AFTER_COPY, session->pid);
	if (torus_request_has_data(rq))
		starved = torus_arena_put(&session->arena, unit,
					  blk_rq_bytes(rq));
	trace_torus_completed(session->device->id, entry->queue,
			      entry->generation, rq, entry->result);
	torus_slot_idle(slot);
	if (status || !blk_mq_add_to_batch(rq, iob, 0, complete_batch))
		blk_mq_end_request(rq, status);
	return starved;
}

/* Claims what a batch ends, a bit of @won per entry. Whether it has LOST. */
static bool claim_locked(struct torus_session *session, const void *entries,
			 unsigned int nr, u64 *won)
{
	struct torus_device *dev = session->device;
	struct torus_completion entry;
	bool lost = false;
	unsigned int i;

	lockdep_assert_held(&dev->lock);
	for (i = 0; i < nr; i++) {
		torus_channel_entry(entries, i, &entry);
		if (torus_fault(TORUS_FAULT_DROP_COMPLETION))
			continue;
		if (entry.result == TORUS_RESULT_LOST) {
			lost = true;
		} else if (torus_slot_claim(slot_of(session, &entry),
					    entry.generation)) {
			*won |= BIT_ULL(i);
			remember_locked(dev, &entry);
		} else {
			atomic64_inc(&dev->queues[entry.queue].late);
			trace_torus_late(dev->id, entry.queue, entry.tag,
					 entry.generation, entry.result);
		}
	}
	return lost;
}

static int claim(struct torus_session *session, const void *entries,
		 unsigned int nr, u64 *won, struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;
	int ret = 0;

	spin_lock_bh(&dev->lock);
	if (session->dead) {
		NL_SET_ERR_MSG(extack, "session has ended");
		ret = -ESTALE;
	} else if (claim_locked(session, entries, nr, won)) {
		torus_session_kill_locked(session, -EREMOTEIO);
	}
	spin_unlock_bh(&dev->lock);
	return ret;
}

/* Ends what was claimed. Whether requests wait for room in the arena. */
static bool finish_all(struct torus_session *session, const void *entries,
		       unsigned int nr, u64 won)
{
	struct torus_device *dev = session->device;
	DEFINE_IO_COMP_BATCH(iob);
	struct torus_completion entry;
	bool starved = false;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!(won & BIT_ULL(i)))
			continue;
		torus_channel_entry(entries, i, &entry);
		atomic64_inc(&dev->queues[entry.queue].completed);
		starved |= finish(session, &entry, &iob);
		cond_resched();
	}
	torus_point(TORUS_POINT_BEFORE_END, session->pid);
	if (iob.complete)
		iob.complete(&iob);
	return starved;
}

int torus_channel_end(struct torus_session *session, const void *entries,
		      unsigned int nr, unsigned int *ended,
		      struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;
	struct torus_completion entry;
	u64 won = 0;
	int ret;

	torus_point(TORUS_POINT_BEFORE_CLAIM, session->pid);
	ret = claim(session, entries, nr, &won, extack);
	if (ret)
		return ret;
	torus_point(TORUS_POINT_AFTER_CLAIM, session->pid);
	*ended = hweight64(won);
	torus_channel_entry(entries, 0, &entry);
	atomic64_inc(&dev->queues[entry.queue].batches);
	torus_histogram_add(&dev->queues[entry.queue].completion_sizes, nr);
	if (finish_all(session, entries, nr, won))
		torus_queues_run(dev);
	torus_point(TORUS_POINT_AFTER_END, session->pid);
	return 0;
}
