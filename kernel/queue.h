/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_QUEUE_H
#define _TORUS_QUEUE_H

#include <linux/blk-mq.h>
#include <linux/log2.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "request.h"

struct sk_buff;
struct torus_device;
struct torus_session;

/* The last bucket also has what is larger. */
#define TORUS_HISTOGRAM_BUCKETS 8

/**
 * struct torus_histogram - how often something had which size
 * @counts: of sizes from 2^i to below 2^(i + 1)
 */
struct torus_histogram {
	atomic64_t counts[TORUS_HISTOGRAM_BUCKETS];
};

/** torus_histogram_add - count one of @size; 0 is not counted */
static inline void torus_histogram_add(struct torus_histogram *histogram,
				       u32 size)
{
	u32 bucket;

	if (!size)
		return;
	bucket = min_t(u32, ilog2(size), TORUS_HISTOGRAM_BUCKETS - 1);
	atomic64_inc(&histogram->counts[bucket]);
}

/**
 * struct torus_queue - one hardware queue
 * @device: its device
 * @index: which one
 * @session: the active session; written under the device's gate_lock
 * @slots: one per tag
 * @spare: an empty message, got before a request is accepted
 * @look_work: sends what could not be sent, takes what nobody took
 *
 * @lock: protects the list of unsent tags; a leaf lock
 * @unsent: ring of tags whose descriptors wait to be sent, one place per tag
 * @first: index of the oldest
 * @count: how many there are
 *
 * @sent: descriptors sent, repetitions included
 * @messages: messages they were in
 * @completed: requests ended by a completion
 * @batches: messages of completions that began with this queue's
 * @late: completions skipped
 * @malformed: batches refused that came on this queue's socket, for queue 0
 *	also those that came on none of the device's
 * @requeued: requests that outlived a session
 * @overflows: sends that had to be repeated
 * @desc_sizes: descriptors in a message; in the ring form, from a doorbell to
 *	the next
 * @completion_sizes: completions in a batch
 * @sent_at_wake: what @sent was at the newest doorbell
 */
struct torus_queue {
	struct torus_device *device;
	unsigned int index;
	struct torus_session __rcu *session;
	struct torus_slot *slots;
	struct sk_buff *spare;
	struct delayed_work look_work;

	spinlock_t lock ____cacheline_aligned_in_smp;
	u16 *unsent;
	unsigned int first;
	unsigned int count;

	atomic64_t sent;
	atomic64_t messages;
	atomic64_t completed;
	atomic64_t batches;
	atomic64_t late;
	atomic64_t malformed;
	atomic64_t requeued;
	atomic64_t overflows;
	struct torus_histogram desc_sizes;
	struct torus_histogram completion_sizes;
	u32 sent_at_wake;
};

extern const struct blk_mq_ops torus_mq_ops;

/**
 * torus_queue_since_wake - descriptors sent since this was asked last
 *
 * Two who ask at once may count one of them twice: it is a statistic.
 */
static inline u32 torus_queue_since_wake(struct torus_queue *queue)
{
	u32 sent = atomic64_read(&queue->sent);

	return sent - xchg(&queue->sent_at_wake, sent);
}

/** torus_queues_alloc - make dev->nr_queues queues; NULL if out of memory */
struct torus_queue *torus_queues_alloc(struct torus_device *dev);

/** torus_queues_free - free what torus_queues_alloc() made */
void torus_queues_free(struct torus_queue *queues, unsigned int nr);

/** torus_queues_attach - have requests sent to @session; gate_lock is held */
void torus_queues_attach(struct torus_device *dev,
			 struct torus_session *session);

/** torus_queues_detach - have them sent to nobody; the queues are quiesced */
void torus_queues_detach(struct torus_device *dev);

/** torus_queues_cancel_looks - wait for looks; no user of a session is left */
void torus_queues_cancel_looks(struct torus_device *dev);

/**
 * torus_queues_sweep - take every request back from a session that has ended
 *
 * They are requeued; if the device is doomed, or one has been too slow for too
 * many sessions, they fail.
 */
void torus_queues_sweep(struct torus_device *dev,
			struct torus_session *session);

/** torus_queues_run - look again for requests that could not be accepted */
void torus_queues_run(struct torus_device *dev);

/** torus_queue_in_flight - requests that the helper has; a snapshot */
unsigned int torus_queue_in_flight(const struct torus_queue *queue);

/**
 * torus_queue_push - list a tag as unsent
 *
 * Return: how many are listed now.
 */
unsigned int torus_queue_push(struct torus_queue *queue, u16 tag);

/**
 * torus_queue_pop - take up to @max tags from the list
 *
 * Return: how many.
 */
unsigned int torus_queue_pop(struct torus_queue *queue, u16 *tags,
			     unsigned int max);

/** torus_queue_look_later - have torus_channel_look() called in 10 ms */
void torus_queue_look_later(struct torus_queue *queue);

#endif /* _TORUS_QUEUE_H */
