/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_REQUEST_H
#define _TORUS_REQUEST_H

#include <linux/atomic.h>
#include <linux/blk-mq.h>
#include <linux/torus_io.h>

/**
 * enum torus_slot_state - who owns a slot and its request
 * @TORUS_SLOT_IDLE: the block layer; the slot means nothing
 * @TORUS_SLOT_QUEUED: the queue; its tag is in the queue's list of unsent ones
 * @TORUS_SLOT_SENT: the helper, or it is on the way there
 * @TORUS_SLOT_CLAIMED: whoever moved it there, to end or requeue it
 */
enum torus_slot_state {
	TORUS_SLOT_IDLE,
	TORUS_SLOT_QUEUED,
	TORUS_SLOT_SENT,
	TORUS_SLOT_CLAIMED,
};

/**
 * struct torus_slot - one request's life in the driver, one per (queue, tag)
 * @word: generation and state; see request.c for who changes it
 * @rq: the request; valid unless idle
 * @unit: first arena unit, for reads and writes
 * @since: jiffies at which the driver got the request
 * @deferred: the data of this write is still to be copied into the arena
 */
struct torus_slot {
	atomic64_t word;
	struct request *rq;
	unsigned long unit;
	unsigned long since;
	bool deferred;
};

/**
 * struct torus_rq - the driver's part of a struct request
 * @stalls: sessions that ended because this request took too long
 */
struct torus_rq {
	unsigned int stalls;
};

/** torus_slot_queue - hand an idle slot with a started request to the queue */
void torus_slot_queue(struct torus_slot *slot, struct request *rq,
		      unsigned long unit);

/**
 * torus_slot_send - hand a queued slot to the helper
 *
 * The caller took the tag from the queue's list, so nobody else has it.
 *
 * Return: the generation of this sending.
 */
u32 torus_slot_send(struct torus_slot *slot);

/**
 * torus_slot_unsend - take a slot back whose message was not delivered
 *
 * Return: true if it is queued again, false if its session ended meanwhile.
 */
bool torus_slot_unsend(struct torus_slot *slot, u32 generation);

/**
 * torus_slot_claim - decide that a completion ends the sending @generation
 *
 * Return: true for the one caller that wins, which then owns the request.
 */
bool torus_slot_claim(struct torus_slot *slot, u32 generation);

/**
 * torus_slot_revoke - take a slot from a session that has ended
 *
 * Return: the request, now the caller's, with the slot idle; NULL if the slot
 * has none or another caller ends it.
 */
struct request *torus_slot_revoke(struct torus_slot *slot);

/** torus_slot_unclaim - give a claimed slot back to the helper, as it was */
void torus_slot_unclaim(struct torus_slot *slot);

/** torus_slot_idle - make a claimed slot idle, before its request is ended */
void torus_slot_idle(struct torus_slot *slot);

/** torus_slot_state - what it is just now; for diagnosis and assertions */
enum torus_slot_state torus_slot_state(const struct torus_slot *slot);

/** torus_slot_generation - of its newest sending; for diagnosis */
u32 torus_slot_generation(const struct torus_slot *slot);

/** torus_request_has_data - whether it has a range of the arena */
static inline bool torus_request_has_data(const struct request *rq)
{
	return req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_WRITE;
}

/** torus_request_length - bytes that the request is about; 0 for a flush */
static inline u32 torus_request_length(const struct request *rq)
{
	return req_op(rq) == REQ_OP_FLUSH ? 0 : blk_rq_bytes(rq);
}

/** torus_request_prepare - set up the driver's part, once in a request's life */
void torus_request_prepare(struct request *rq);

/**
 * torus_request_op - which operation of the channel a request is
 *
 * Return: enum torus_op, or 0 if there is none for it.
 */
u8 torus_request_op(const struct request *rq);

/**
 * torus_request_describe - fill what a descriptor says of the request itself
 *
 * Sets all fields but the queue, the tag and the generation.
 */
void torus_request_describe(struct torus_desc *desc, struct request *rq,
			    unsigned long unit);

/** torus_result_status - what the block layer calls a result of the channel */
blk_status_t torus_result_status(u32 result);

#endif /* _TORUS_REQUEST_H */
