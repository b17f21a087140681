// SPDX-License-Identifier: GPL-2.0
/* Builds every message of the family but the descriptors. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "channel.h"
#include "device.h"
#include "fault.h"
#include "genl.h"
#include "message.h"
#include "queue.h"
#include "ring.h"
#include "session.h"

/* A copy of what the device's lock protects. */
struct snapshot {
	enum torus_state state;
	int error;
	u64 size;
	bool read_only;
	u32 io_timeout_ms;
	u32 dead_timeout_ms;
	u64 sequence;
	u32 header_crc;
	u64 session_id;
	pid_t pid;
};

static void take_snapshot(struct torus_device *dev, struct snapshot *snap)
{
	spin_lock_bh(&dev->lock);
	*snap = (struct snapshot) {
		.state = dev->state,
		.error = dev->error,
		.size = dev->size,
		.read_only = dev->read_only,
		.io_timeout_ms = dev->io_timeout_ms,
		.dead_timeout_ms = dev->dead_timeout_ms,
		.sequence = dev->sequence,
		.header_crc = dev->header_crc,
		.session_id = dev->session ? dev->session->id : 0,
		.pid = dev->session ? dev->session->pid : 0,
	};
	spin_unlock_bh(&dev->lock);
}

static int put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put_u64_64bit(skb, type, value, TORUS_A_DEV_PAD);
}

static int fill_event(struct sk_buff *skb, struct torus_device *dev,
		      enum torus_state state, int error)
{
	struct snapshot snap;

	take_snapshot(dev, &snap);
	if (nla_put_u32(skb, TORUS_A_DEV_ID, dev->id) ||
	    nla_put_string(skb, TORUS_A_DEV_VOLUME, dev->volume) ||
	    nla_put_u32(skb, TORUS_A_DEV_STATE, state) ||
	    nla_put_s32(skb, TORUS_A_DEV_ERROR, error) ||
	    put_u64(skb, TORUS_A_DEV_SIZE, snap.size) ||
	    nla_put_u8(skb, TORUS_A_DEV_READ_ONLY, snap.read_only) ||
	    nla_put_u32(skb, TORUS_A_DEV_HELPER_PID, snap.pid))
		return -EMSGSIZE;
	return 0;
}

void torus_message_event(struct torus_device *dev, enum torus_state state,
			 int error)
{
	struct sk_buff *skb;
	void *header;

	if (!genl_has_listeners(&torus_family, &init_net, TORUS_NLGRP_STATE))
		return;
	/* It may be on the way to a revocation, and memory may wait for that. */
	skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_NOWAIT | __GFP_NOWARN);
	if (!skb)
		goto lost;
	header = genlmsg_put(skb, 0, 0, &torus_family, 0, TORUS_CMD_DEV_EVENT);
	if (!header || fill_event(skb, dev, state, error)) {
		nlmsg_free(skb);
		goto lost;
	}
	genlmsg_end(skb, header);
	genlmsg_multicast(&torus_family, skb, 0, TORUS_NLGRP_STATE,
			  GFP_NOWAIT | __GFP_NOWARN);
	return;
lost:
	/* Listeners learn that they missed something: their next read fails. */
	genl_set_err(&torus_family, &init_net, 0, TORUS_NLGRP_STATE, -ENOBUFS);
}

static int fill_counters(struct sk_buff *skb, struct torus_device *dev)
{
	u64 sent = 0, completed = 0, late = 0, malformed = 0;
	u64 requeued = 0, overflows = 0;
	u32 in_flight = 0;
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++) {
		struct torus_queue *queue = &dev->queues[i];

		sent += atomic64_read(&queue->sent);
		completed += atomic64_read(&queue->completed);
		late += atomic64_read(&queue->late);
		malformed += atomic64_read(&queue->malformed);
		requeued += atomic64_read(&queue->requeued);
		overflows += atomic64_read(&queue->overflows);
		in_flight += torus_queue_in_flight(queue);
	}
	if (nla_put_u32(skb, TORUS_A_DEV_IN_FLIGHT, in_flight) ||
	    put_u64(skb, TORUS_A_DEV_SENT, sent) ||
	    put_u64(skb, TORUS_A_DEV_COMPLETED, completed) ||
	    put_u64(skb, TORUS_A_DEV_LATE, late) ||
	    put_u64(skb, TORUS_A_DEV_MALFORMED, malformed) ||
	    put_u64(skb, TORUS_A_DEV_REQUEUED, requeued) ||
	    put_u64(skb, TORUS_A_DEV_OVERFLOWS, overflows))
		return -EMSGSIZE;
	return 0;
}

static int fill_fixed(struct sk_buff *skb, struct torus_device *dev)
{
	if (nla_put_u32(skb, TORUS_A_DEV_ID, dev->id) ||
	    nla_put_string(skb, TORUS_A_DEV_VOLUME, dev->volume) ||
	    nla_put_u32(skb, TORUS_A_DEV_BLOCK_SIZE, dev->block_size) ||
	    nla_put_u32(skb, TORUS_A_DEV_QUEUES, dev->nr_queues) ||
	    nla_put_u32(skb, TORUS_A_DEV_DEPTH, dev->depth) ||
	    nla_put_u32(skb, TORUS_A_DEV_IO_SIZE_MAX, dev->io_size_max) ||
	    nla_put(skb, TORUS_A_DEV_INCARNATION, TORUS_INCARNATION_LEN,
		    dev->incarnation) ||
	    nla_put_u32(skb, TORUS_A_DEV_OPENERS, torus_device_openers(dev)))
		return -EMSGSIZE;
	return 0;
}

int torus_message_fill_device(struct sk_buff *skb, struct torus_device *dev)
{
	struct snapshot snap;

	take_snapshot(dev, &snap);
	if (fill_fixed(skb, dev) ||
	    put_u64(skb, TORUS_A_DEV_SIZE, snap.size) ||
	    nla_put_u32(skb, TORUS_A_DEV_IO_TIMEOUT_MS, snap.io_timeout_ms) ||
	    nla_put_u32(skb, TORUS_A_DEV_DEAD_TIMEOUT_MS,
			snap.dead_timeout_ms) ||
	    nla_put_u8(skb, TORUS_A_DEV_READ_ONLY, snap.read_only) ||
	    nla_put_u32(skb, TORUS_A_DEV_STATE, snap.state) ||
	    nla_put_s32(skb, TORUS_A_DEV_ERROR, snap.error) ||
	    nla_put_u32(skb, TORUS_A_DEV_HELPER_PID, snap.pid) ||
	    put_u64(skb, TORUS_A_DEV_SESSION_ID, snap.session_id) ||
	    put_u64(skb, TORUS_A_DEV_SEQUENCE, snap.sequence) ||
	    nla_put_u32(skb, TORUS_A_DEV_HEADER_CRC, snap.header_crc))
		return -EMSGSIZE;
	return fill_counters(skb, dev);
}

static int fill_rings(struct sk_buff *skb, struct torus_device *dev)
{
	if (nla_put_u32(skb, TORUS_A_SESSION_RING_ENTRIES,
			torus_ring_entries(dev->depth)) ||
	    nla_put_u32(skb, TORUS_A_SESSION_RING_STRIDE,
			torus_ring_stride(dev->depth)))
		return -EMSGSIZE;
	return 0;
}

static int fill_bound(struct sk_buff *skb, struct torus_device *dev,
		      u64 session_id, enum torus_channel form)
{
	struct snapshot snap;

	take_snapshot(dev, &snap);
	if (nla_put_u32(skb, TORUS_A_SESSION_DEV_ID, dev->id) ||
	    nla_put_u64_64bit(skb, TORUS_A_SESSION_ID, session_id,
			      TORUS_A_SESSION_PAD) ||
	    nla_put_u32(skb, TORUS_A_SESSION_CHANNEL, form) ||
	    nla_put_u32(skb, TORUS_A_SESSION_RCVBUF_MIN,
			torus_channel_rcvbuf_min(dev, form)) ||
	    (form == TORUS_CHANNEL_RING && fill_rings(skb, dev)) ||
	    nla_put_string(skb, TORUS_A_SESSION_VOLUME, dev->volume) ||
	    nla_put_u64_64bit(skb, TORUS_A_SESSION_SIZE, snap.size,
			      TORUS_A_SESSION_PAD) ||
	    nla_put_u32(skb, TORUS_A_SESSION_BLOCK_SIZE, dev->block_size) ||
	    nla_put_u32(skb, TORUS_A_SESSION_QUEUES, dev->nr_queues) ||
	    nla_put_u32(skb, TORUS_A_SESSION_DEPTH, dev->depth) ||
	    nla_put_u32(skb, TORUS_A_SESSION_IO_SIZE_MAX, dev->io_size_max) ||
	    nla_put_u8(skb, TORUS_A_SESSION_READ_ONLY, snap.read_only) ||
	    nla_put(skb, TORUS_A_SESSION_INCARNATION, TORUS_INCARNATION_LEN,
		    dev->incarnation) ||
	    nla_put_u64_64bit(skb, TORUS_A_SESSION_SEQUENCE, snap.sequence,
			      TORUS_A_SESSION_PAD) ||
	    nla_put_u32(skb, TORUS_A_SESSION_HEADER_CRC, snap.header_crc) ||
	    nla_put_u32(skb, TORUS_A_SESSION_STATE, snap.state))
		return -EMSGSIZE;
	return 0;
}

/* An answer to the command of @info; NULL if there is no memory. */
static struct sk_buff *begin_answer(struct genl_info *info, void **header)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_DEFAULT_SIZE, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &torus_family, 0,
				    info->genlhdr->cmd);
	if (*header)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

static int end_answer(struct genl_info *info, struct sk_buff *skb, void *header,
		      int ret)
{
	if (ret) {
		nlmsg_free(skb);
		return ret;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

int torus_message_added(struct genl_info *info, u32 id, u32 nr_queues)
{
	void *header;
	struct sk_buff *skb = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
			      begin_answer(info, &header);
	int ret = 0;

	if (!skb)
		return -ENOMEM;
	if (nla_put_u32(skb, TORUS_A_DEV_ID, id) ||
	    nla_put_u32(skb, TORUS_A_DEV_QUEUES, nr_queues))
		ret = -EMSGSIZE;
	return end_answer(info, skb, header, ret);
}

int torus_message_device(struct genl_info *info, struct torus_device *dev)
{
	void *header;
	struct sk_buff *skb = begin_answer(info, &header);

	if (!skb)
		return -ENOMEM;
	return end_answer(info, skb, header,
			  torus_message_fill_device(skb, dev));
}

int torus_message_bound(struct genl_info *info, struct torus_device *dev,
			u64 session_id, enum torus_channel form)
{
	void *header;
	struct sk_buff *skb = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
			      begin_answer(info, &header);

	if (!skb)
		return -ENOMEM;
	return end_answer(info, skb, header, fill_bound(skb, dev, session_id, form));
}
