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
#include "channel_forms.h"
#include "device.h"
#include "fault.h"
#include "genl.h"
#include "message.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

static_assert(sizeof(struct torus_desc) == TORUS_DESC_SIZE);
static_assert(offsetof(struct torus_desc, generation) == 8);
static_assert(offsetof(struct torus_desc, offset) == 16);

/* A run of descriptors on its way: what is needed to take them back. */
struct batch {
	unsigned int nr;
	u16 tags[TORUS_DESC_BATCH];
	u32 generations[TORUS_DESC_BATCH];
};

static u32 message_size;

static struct sk_buff *alloc_message(gfp_t gfp)
{
	if (torus_fault(TORUS_FAULT_FAIL_MESSAGE))
		return NULL;
	return genlmsg_new(nla_total_size(sizeof(u32)) +
			   nla_total_size_64bit(sizeof(u64)) +
			   nla_total_size(TORUS_DESC_BATCH * TORUS_DESC_SIZE),
			   gfp);
}

int torus_message_channel_init(void)
{
	struct sk_buff *skb = alloc_message(GFP_KERNEL);

	if (!skb)
		return -ENOMEM;
	message_size = skb->truesize;
	kfree_skb(skb);
	return 0;
}

u32 torus_message_channel_size(void)
{
	return message_size;
}

bool torus_message_channel_prepare(struct torus_queue *queue)
{
	struct sk_buff *skb;

	if (READ_ONCE(queue->spare))
		return true;
	skb = alloc_message(TORUS_SEND_GFP);
	if (!skb)
		return false;
	if (cmpxchg(&queue->spare, NULL, skb))
		kfree_skb(skb);
	return true;
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
		torus_channel_describe(queue, batch->tags[i], &desc);
		batch->generations[i] = desc.generation;
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
		skb = alloc_message(TORUS_SEND_GFP);
	if (!skb)
		goto repeat;
	batch.nr = torus_queue_pop(queue, batch.tags, TORUS_DESC_BATCH);
	if (!batch.nr) {
		if (cmpxchg(&queue->spare, NULL, skb))
			kfree_skb(skb);
		return false;
	}
	fill_message(skb, queue, session, &batch);
	if (torus_fault(TORUS_FAULT_DROP_REQUEST)) {
		kfree_skb(skb);
		return true;
	}
	torus_point(TORUS_POINT_BEFORE_SEND, session->pid);
	ret = torus_channel_post(queue, session, skb);
	if (!ret) {
		torus_point(TORUS_POINT_AFTER_SEND, session->pid);
		atomic64_add(batch.nr, &queue->sent);
		atomic64_inc(&queue->messages);
		torus_histogram_add(&queue->desc_sizes, batch.nr);
		return batch.nr == TORUS_DESC_BATCH;
	}
	unsend(queue, &batch, ret);
	if (ret == -ECONNREFUSED)
		return false;
repeat:
	atomic64_inc(&queue->overflows);
	torus_queue_look_later(queue);
	return false;
}

void torus_message_channel_send(struct torus_queue *queue,
				struct torus_session *session)
{
	while (READ_ONCE(queue->count))
		if (!send_batch(queue, session))
			break;
}

/* ---- from the helper --------------------------------------------------- */

static int check_entry(struct torus_session *session, struct sock *sk,
		       const struct torus_completion *entry,
		       struct netlink_ext_ack *extack)
{
	int ret = torus_channel_check(session, entry, extack);

	if (!ret && session->sockets[entry->queue].sk != sk) {
		NL_SET_ERR_MSG(extack, "completion came on a socket that is not its queue's");
		ret = -EPERM;
	}
	return ret;
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
		torus_channel_entry(nla_data(attr), i, &entry);
		ret = check_entry(session, sk, &entry, extack);
		if (ret)
			return ret;
	}
	return 0;
}

/* Counts with the first queue whose socket it came on, else with queue 0. */
static void count_malformed(struct torus_session *session, struct sock *sk,
			    int error)
{
	struct torus_device *dev = session->device;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		if (session->sockets[i].sk == sk)
			break;
	if (i == dev->nr_queues)
		i = 0;
	atomic64_inc(&dev->queues[i].malformed);
	trace_torus_malformed(dev->id, i, session->id, error);
}

/* Completions make room in the socket, so what waits for it is sent now. */
static void send_unsent(struct torus_session *session)
{
	struct torus_device *dev = session->device;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		torus_message_channel_send(&dev->queues[i], session);
}

int torus_channel_complete(struct torus_session *session, struct sock *sk,
			   const struct nlattr *attr,
			   struct netlink_ext_ack *extack)
{
	unsigned int nr = nla_len(attr) / TORUS_COMPLETION_SIZE, ended;
	int ret;

	if (session->rings) {
		NL_SET_ERR_MSG(extack, "session was bound for rings: completions go there");
		return -EOPNOTSUPP;
	}
	ret = check_batch(session, sk, attr, extack);
	if (ret) {
		count_malformed(session, sk, ret);
		return ret;
	}
	ret = torus_channel_end(session, nla_data(attr), nr, &ended, extack);
	if (!ret)
		send_unsent(session);
	return ret;
}
