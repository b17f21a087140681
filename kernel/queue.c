// SPDX-License-Identifier: GPL-2.0
/*
 * A hardware queue: from the block layer to the channel.
 *
 * queue_rq never sleeps. What it needs (a message to send, a range of the
 * arena) it gets before it accepts the request; without, the block layer keeps
 * the request and comes again: at the next completion, and by itself 3 ms after
 * BLK_STS_RESOURCE, so also if nothing is in flight that could complete. Data is
 * copied outside all locks. The helper is woken, or in the message form told, at
 * the last one of a run of requests.
 *
 * The session of a queue changes only while the queue is quiesced, so queue_rq
 * and commit_rqs may use it without a reference. The look work takes one.
 */
#include <linux/blk-mq.h>
#include <linux/skbuff.h>
#include <linux/slab.h>

#include "channel.h"
#include "device.h"
#include "fault.h"
#include "lifecycle.h"
#include "queue.h"
#include "session.h"
#include "trace.h"

#define LOOK_MS 10
/* A request that ended this many sessions by taking too long is failed. */
#define STALLS_MAX 3

static void look_work(struct work_struct *work)
{
	struct torus_queue *queue =
		container_of(work, struct torus_queue, look_work.work);
	struct torus_session *session;

	rcu_read_lock();
	session = rcu_dereference(queue->session);
	if (session && !torus_session_tryget(session))
		session = NULL;
	rcu_read_unlock();
	if (!session)
		return;
	if (torus_fault(TORUS_FAULT_STALL_LOOK))
		torus_queue_look_later(queue);
	else
		torus_channel_look(queue, session);
	torus_session_put(session);
}

static int init_queue(struct torus_queue *queue, struct torus_device *dev,
		      unsigned int index)
{
	queue->device = dev;
	queue->index = index;
	spin_lock_init(&queue->lock);
	INIT_DELAYED_WORK(&queue->look_work, look_work);
	queue->slots = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		       kvcalloc(dev->depth, sizeof(*queue->slots), GFP_KERNEL);
	queue->unsent = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
			kvcalloc(dev->depth, sizeof(*queue->unsent), GFP_KERNEL);
	return queue->slots && queue->unsent ? 0 : -ENOMEM;
}

struct torus_queue *torus_queues_alloc(struct torus_device *dev)
{
	struct torus_queue *queues;
	unsigned int i;

	queues = torus_fault(TORUS_FAULT_FAIL_ALLOC) ? NULL :
		 kvcalloc(dev->nr_queues, sizeof(*queues), GFP_KERNEL);
	if (!queues)
		return NULL;
	for (i = 0; i < dev->nr_queues; i++) {
		if (init_queue(&queues[i], dev, i)) {
			torus_queues_free(queues, i + 1);
			return NULL;
		}
	}
	return queues;
}

void torus_queues_free(struct torus_queue *queues, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		cancel_delayed_work_sync(&queues[i].look_work);
		kfree_skb(queues[i].spare);
		kvfree(queues[i].slots);
		kvfree(queues[i].unsent);
	}
	kvfree(queues);
}

void torus_queues_attach(struct torus_device *dev,
			 struct torus_session *session)
{
	unsigned int i;

	lockdep_assert_held(&dev->gate_lock);
	for (i = 0; i < dev->nr_queues; i++)
		rcu_assign_pointer(dev->queues[i].session, session);
}

void torus_queues_detach(struct torus_device *dev)
{
	unsigned int i;

	lockdep_assert_held(&dev->gate_lock);
	for (i = 0; i < dev->nr_queues; i++)
		RCU_INIT_POINTER(dev->queues[i].session, NULL);
}

void torus_queues_cancel_looks(struct torus_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nr_queues; i++)
		cancel_delayed_work_sync(&dev->queues[i].look_work);
}

static void sweep_request(struct torus_queue *queue, unsigned int tag,
			  struct request *rq)
{
	struct torus_rq *data = blk_mq_rq_to_pdu(rq);
	struct torus_device *dev = queue->device;
	u32 generation = torus_slot_generation(&queue->slots[tag]);
	blk_status_t status = BLK_STS_OK;

	atomic64_inc(&queue->requeued);
	if (torus_device_doomed(dev))
		status = BLK_STS_IOERR;
	else if (data->stalls >= STALLS_MAX)
		status = BLK_STS_TIMEOUT;
	if (status) {
		trace_torus_failed(dev->id, queue->index, generation, rq,
				   blk_status_to_errno(status));
		blk_mq_end_request(rq, status);
		return;
	}
	trace_torus_requeued(dev->id, queue->index, generation, rq,
			     data->stalls);
	blk_mq_requeue_request(rq, false);
}

/* All that the helper of a stalled session was too slow for, not one of them. */
static void count_stall(struct torus_session *session, struct torus_slot *slot,
			struct request *rq)
{
	struct torus_rq *data = blk_mq_rq_to_pdu(rq);
	unsigned long limit = rq->timeout;

	limit -= min(limit, torus_request_margin());
	if (session->stalled && time_after_eq(jiffies, slot->since + limit))
		data->stalls++;
}

void torus_queues_sweep(struct torus_device *dev, struct torus_session *session)
{
	struct torus_queue *queue;
	struct request *rq;
	unsigned int i, tag;

	lockdep_assert_held(&dev->gate_lock);
	for (i = 0; i < dev->nr_queues; i++) {
		queue = &dev->queues[i];
		spin_lock_bh(&queue->lock);
		queue->count = 0;
		spin_unlock_bh(&queue->lock);
		for (tag = 0; tag < dev->depth; tag++) {
			rq = torus_slot_revoke(&queue->slots[tag]);
			if (!rq)
				continue;
			count_stall(session, &queue->slots[tag], rq);
			sweep_request(queue, tag, rq);
		}
	}
}

void torus_queues_run(struct torus_device *dev)
{
	struct gendisk *disk = torus_device_get_disk(dev);

	if (!disk)
		return;
	blk_mq_run_hw_queues(disk->queue, true);
	put_disk(disk);
}

unsigned int torus_queue_in_flight(const struct torus_queue *queue)
{
	unsigned int tag, n = 0;

	for (tag = 0; tag < queue->device->depth; tag++)
		n += torus_slot_state(&queue->slots[tag]) == TORUS_SLOT_SENT;
	return n;
}

unsigned int torus_queue_push(struct torus_queue *queue, u16 tag)
{
	unsigned int depth = queue->device->depth;
	unsigned int count;

	spin_lock_bh(&queue->lock);
	if (!WARN_ON_ONCE(queue->count == depth))
		queue->unsent[(queue->first + queue->count++) % depth] = tag;
	count = queue->count;
	spin_unlock_bh(&queue->lock);
	return count;
}

unsigned int torus_queue_pop(struct torus_queue *queue, u16 *tags,
			     unsigned int max)
{
	unsigned int depth = queue->device->depth;
	unsigned int n;

	spin_lock_bh(&queue->lock);
	for (n = 0; n < max && queue->count; n++) {
		tags[n] = queue->unsent[queue->first];
		queue->first = (queue->first + 1) % depth;
		queue->count--;
	}
	spin_unlock_bh(&queue->lock);
	return n;
}

void torus_queue_look_later(struct torus_queue *queue)
{
	/*
	 * Mostly it is due already, and that costs little to see. A look that
	 * we still see as due will see what the caller has written.
	 */
	smp_mb();
	if (!delayed_work_pending(&queue->look_work))
		queue_delayed_work(torus_session_wq, &queue->look_work,
				   msecs_to_jiffies(LOOK_MS));
}

static blk_status_t check_request(struct torus_device *dev, struct request *rq)
{
	if (torus_device_doomed(dev))
		return BLK_STS_IOERR;
	if (!torus_request_op(rq))
		return BLK_STS_NOTSUPP;
	if (READ_ONCE(dev->read_only) && op_is_write(req_op(rq)) &&
	    req_op(rq) != REQ_OP_FLUSH)
		return BLK_STS_IOERR;
	return BLK_STS_OK;
}

/* A write's data goes along, or the helper's next drain brings it. */
static void bring_data(struct torus_queue *queue, struct torus_session *session,
		       struct request *rq, unsigned long unit)
{
	struct torus_slot *slot = &queue->slots[rq->tag];

	slot->deferred = torus_channel_defers(queue, session, rq);
	if (req_op(rq) == REQ_OP_WRITE && !slot->deferred)
		torus_arena_write(&session->arena, unit, rq);
}

static blk_status_t accept(struct torus_queue *queue,
			   struct torus_session *session, struct request *rq,
			   bool last)
{
	struct torus_device *dev = queue->device;
	long unit = 0;

	if (!torus_channel_prepare(queue, session))
		return BLK_STS_RESOURCE;
	if (torus_request_has_data(rq)) {
		if (torus_fault(TORUS_FAULT_STARVE_ARENA))
			return BLK_STS_RESOURCE;
		unit = torus_arena_get_home(&session->arena, blk_rq_bytes(rq),
					    queue->index * dev->depth + rq->tag);
		if (unit < 0)
			return BLK_STS_RESOURCE;
	}
	torus_request_prepare(rq);
	blk_mq_start_request(rq);
	bring_data(queue, session, rq, unit);
	torus_slot_queue(&queue->slots[rq->tag], rq, unit);
	trace_torus_queued(dev->id, queue->index, 0, rq,
			   (__force int)rq->cmd_flags);
	torus_point(TORUS_POINT_AFTER_QUEUE, session->pid);
	if (torus_fault(TORUS_FAULT_HOLD_REQUEST))
		return BLK_STS_OK;
	torus_channel_submit(queue, session, rq->tag, last);
	return BLK_STS_OK;
}

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct torus_queue *queue = hctx->driver_data;
	struct torus_session *session;
	blk_status_t status;

	status = check_request(queue->device, bd->rq);
	if (status)
		return status;
	rcu_read_lock();
	session = rcu_dereference(queue->session);
	/* No session, but not quiesced yet: it is about to be. */
	status = BLK_STS_RESOURCE;
	if (session)
		status = accept(queue, session, bd->rq, bd->last);
	rcu_read_unlock();
	return status;
}

static void commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct torus_queue *queue = hctx->driver_data;
	struct torus_session *session;

	rcu_read_lock();
	session = rcu_dereference(queue->session);
	if (session)
		torus_channel_send(queue, session);
	rcu_read_unlock();
}

/*
 * A request that was sent ends only with its session, so all that a timeout
 * does is to end the session. The timer is set anew: the request may be sent
 * again before it would have been.
 */
static enum blk_eh_timer_return timeout(struct request *rq)
{
	struct torus_queue *queue = rq->mq_hctx->driver_data;
	struct torus_rq *data = blk_mq_rq_to_pdu(rq);

	if (torus_session_stalled(queue->device, rq->timeout))
		trace_torus_timed_out(queue->device->id, queue->index, 0, rq,
				      data->stalls);
	return BLK_EH_RESET_TIMER;
}

static int init_hctx(struct blk_mq_hw_ctx *hctx, void *driver_data,
		     unsigned int index)
{
	struct torus_device *dev = driver_data;

	hctx->driver_data = &dev->queues[index];
	return 0;
}

const struct blk_mq_ops torus_mq_ops = {
	.queue_rq = queue_rq,
	.commit_rqs = commit_rqs,
	.timeout = timeout,
	.init_hctx = init_hctx,
};
