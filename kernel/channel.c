// SPDX-License-Identifier: GPL-2.0
/*
 * The message form of the channel: descriptors inside netlink messages to the
 * socket of their queue, completions inside messages from it.
 *
 * A message holds up to TORUS_DESC_BATCH descriptors and is always allocated
 * for as many, so that any message fits a descriptor that was accepted because
 * there was one. Netlink frees what it cannot deliver, so the tags are kept
 * until a send has succeeded. Since a request is in one message at most, and
 * the receive buffer of a bound socket has room for twice as many messages as
 * there are tags, a full socket means a helper that takes no messages at all.
 */
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "channel.h"
#include "device.h"
#include "genl.h"
#include "message.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

#define SEND_GFP (GFP_ATOMIC | __GFP_NOWARN | __GFP_NOMEMALLOC)

static_assert(sizeof(struct torus_desc) == TORUS_DESC_SIZE);
static_assert(offsetof(struct torus_desc, generation) == 8);
static_assert(offsetof(struct torus_desc, offset) == 16);
static_assert(sizeof(struct torus_completion) == TORUS_COMPLETION_SIZE);
static_assert(offsetof(struct torus_completion, result) == 8);
static_assert(offsetof(struct torus_completion, sequence) == 16);

/* A run of descriptors on its way: what is needed to take them back. */
struct batch {
	unsigned int nr;
	u16 tags[TORUS_DESC_BATCH];
	u32 generations[TORUS_DESC_BATCH];
};

static u32 message_size;

static struct sk_buff *alloc_message(gfp_t gfp)
{
	return genlmsg_new(nla_total_size(sizeof(u32)) +
			   nla_total_size_64bit(sizeof(u64)) +
			   nla_total_size(TORUS_DESC_BATCH * TORUS_DESC_SIZE),
			   gfp);
}

int torus_channel_init(void)
{
	struct sk_buff *skb = alloc_message(GFP_KERNEL);

	if (!skb)
		return -ENOMEM;
	message_size = skb->truesize;
	kfree_skb(skb);
	return 0;
}

u32 torus_channel_message_size(void)
{
	return message_size;
}

bool torus_channel_prepare(struct torus_queue *queue)
{
	struct sk_buff *skb;

	if (READ_ONCE(queue->spare))
		return true;
	skb = alloc_message(SEND_GFP);
	if (!skb)
		return false;
	if (cmpxchg(&queue->spare, NULL, skb))
		kfree_skb(skb);
	return true;
}

static void fill_descriptor(struct torus_queue *queue, struct batch *batch,
			    unsigned int i, struct torus_desc *desc)
{
	struct torus_slot *slot = &queue->slots[batch->tags[i]];

	torus_request_describe(desc, slot->rq, slot->unit);
	desc->queue = queue->index;
	desc->tag = batch->tags[i];
	/* From here on the helper's completion is believed. */
	batch->generations[i] = torus_slot_send(slot);
	desc->generation = batch->generations[i];
	trace_torus_sent(queue->device->id, desc->queue, desc->tag,
			 desc->generation, batch->nr);
}

/* Cannot fail: the message was allocated for exactly this. */
static void fill_message(struct sk_buff *skb, struct torus_queue *queue,
			 struct torus_session *session, struct batch *batch)
{
	void *header = genlmsg_put(skb, 0, 0, &torus_family, 0,
				   TORUS_CMD_REQUEST);
	struct torus_desc desc;
	struct nlattr *attr;
	unsigned int i;

	nla_put_u32(skb, TORUS_A_IO_DEV_ID, session->device->id);
	nla_put_u64_64bit(skb, TORUS_A_IO_SESSION_ID, session->id,
			  TORUS_A_IO_PAD);
	attr = nla_reserve(skb, TORUS_A_IO_DESCRIPTORS,
			   batch->nr * TORUS_DESC_SIZE);
	for (i = 0; i < batch->nr; i++) {
		fill_descriptor(queue, batch, i, &desc);
		memcpy(nla_data(attr) + i * TORUS_DESC_SIZE, &desc,
		       TORUS_DESC_SIZE);
	}
	genlmsg_end(skb, header);
}

static void unsend(struct torus_queue *queue, struct batch *batch, int error)
{
	unsigned int i;

	for (i = 0; i < batch->nr; i++) {
		trace_torus_unsent(queue->device->id, queue->index,
				   batch->tags[i], batch->generations[i],
				   error);
		if (torus_slot_unsend(&queue->slots[batch->tags[i]],
				      batch->generations[i]))
			torus_queue_push(queue, batch->tags[i]);
	}
}

/* Returns whether there may be more to send. */
static bool send_batch(struct torus_queue *queue, struct torus_session *session)
{
	struct sk_buff *skb = xchg(&queue->spare, NULL);
	struct batch batch;
	int ret = -ENOMEM;

	if (!skb)
		skb = alloc_message(SEND_GFP);
	if (!skb)
		goto repeat;
	batch.nr = torus_queue_pop(queue, batch.tags, TORUS_DESC_BATCH);
	if (!batch.nr) {
		if (cmpxchg(&queue->spare, NULL, skb))
			kfree_skb(skb);
		return false;
	}
	fill_message(skb, queue, session, &batch);
	ret = genlmsg_unicast(&init_net, skb,
			      session->sockets[queue->index].portid);
	if (!ret) {
		atomic64_add(batch.nr, &queue->sent);
		atomic64_inc(&queue->messages);
		return batch.nr == TORUS_DESC_BATCH;
	}
	unsend(queue, &batch, ret);
	if (ret == -ECONNREFUSED) {
		torus_session_kill(session, 0);
		return false;
	}
repeat:
	atomic64_inc(&queue->overflows);
	torus_queue_retry_later(queue);
	return false;
}

void torus_channel_send(struct torus_queue *queue,
			struct torus_session *session)
{
	while (READ_ONCE(queue->count))
		if (!send_batch(queue, session))
			break;
}

static void get_entry(const struct nlattr *attr, unsigned int i,
		      struct torus_completion *entry)
{
	memcpy(entry, nla_data(attr) + i * TORUS_COMPLETION_SIZE,
	       TORUS_COMPLETION_SIZE);
}

static int check_entry(struct torus_session *session, struct sock *sk,
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
	if (session->sockets[entry->queue].sk != sk) {
		NL_SET_ERR_MSG(extack, "completion came on a socket that is not its queue's");
		return -EPERM;
	}
	return 0;
}

static int check_batch(struct torus_session *session, struct sock *sk,
		       const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	unsigned int len = nla_len(attr), i;
	struct torus_completion entry;
	int ret;

	if (!len || len % TORUS_COMPLETION_SIZE ||
	    len > TORUS_COMPLETION_BATCH * TORUS_COMPLETION_SIZE) {
		NL_SET_ERR_MSG(extack, "completions must be 1 to 64 entries of 32 bytes");
		return -EINVAL;
	}
	for (i = 0; i < len / TORUS_COMPLETION_SIZE; i++) {
		get_entry(attr, i, &entry);
		ret = check_entry(session, sk, &entry, extack);
		if (ret)
			return ret;
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

/*
 * Ends one request that this batch has won. Returns whether requests that
 * found no room in the arena should be tried again.
 */
static bool finish(struct torus_session *session,
		   const struct torus_completion *entry)
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
	if (torus_request_has_data(rq))
		starved = torus_arena_put(&session->arena, unit,
					  blk_rq_bytes(rq));
	atomic64_inc(&session->device->queues[entry->queue].completed);
	trace_torus_completed(session->device->id, entry->queue, entry->tag,
			      entry->generation, entry->result);
	torus_slot_idle(slot);
	blk_mq_end_request(rq, status);
	return starved;
}

/* Claims what a batch ends, a bit of @won per entry. Whether it has LOST. */
static bool claim_locked(struct torus_session *session,
			 const struct nlattr *attr, unsigned int nr, u64 *won)
{
	struct torus_device *dev = session->device;
	struct torus_completion entry;
	bool lost = false;
	unsigned int i;

	lockdep_assert_held(&dev->lock);
	for (i = 0; i < nr; i++) {
		get_entry(attr, i, &entry);
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

/*
 * Under the lock that a session dies under: what a bind has told its helper of
 * the newest record is then the last word, and no completion of the session
 * that it replaced raises it afterwards. Such a completion ends nothing.
 */
static int claim(struct torus_session *session, const struct nlattr *attr,
		 unsigned int nr, u64 *won, struct netlink_ext_ack *extack)
{
	struct torus_device *dev = session->device;
	int ret = 0;

	spin_lock_bh(&dev->lock);
	if (session->dead) {
		NL_SET_ERR_MSG(extack, "session has ended");
		ret = -ESTALE;
	} else if (claim_locked(session, attr, nr, won)) {
		torus_session_kill_locked(session, -EREMOTEIO);
	}
	spin_unlock_bh(&dev->lock);
	return ret;
}

/* Counts with the first queue whose socket it came on, else with queue 0. */
static void count_malformed(struct torus_session *session, struct sock *sk)
{
	struct torus_device *dev = session->device;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		if (session->sockets[i].sk == sk)
			break;
	if (i == dev->nr_queues)
		i = 0;
	atomic64_inc(&dev->queues[i].malformed);
}

int torus_channel_complete(struct torus_session *session, struct sock *sk,
			   const struct nlattr *attr,
			   struct netlink_ext_ack *extack)
{
	unsigned int nr = nla_len(attr) / TORUS_COMPLETION_SIZE, i;
	struct torus_device *dev = session->device;
	struct torus_completion entry;
	bool starved = false;
	u64 won = 0;
	int ret;

	ret = check_batch(session, sk, attr, extack);
	if (ret) {
		count_malformed(session, sk);
		return ret;
	}
	ret = claim(session, attr, nr, &won, extack);
	if (ret)
		return ret;
	get_entry(attr, 0, &entry);
	atomic64_inc(&dev->queues[entry.queue].batches);
	for (i = 0; i < nr; i++) {
		get_entry(attr, i, &entry);
		if (won & BIT_ULL(i))
			starved |= finish(session, &entry);
		torus_channel_send(&dev->queues[entry.queue], session);
	}
	if (starved)
		torus_queues_run(dev);
	return 0;
}
