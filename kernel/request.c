// SPDX-License-Identifier: GPL-2.0
/*
 * One request's life. It is kept in the driver's own array, indexed by queue
 * and tag, and not in the request's own data: flush requests borrow the tag of
 * another request, and a tag that a helper names may belong to anything by now.
 *
 *            queue_rq                   send
 *    IDLE -------------> QUEUED ------------------> SENT
 *      ^                  |   ^     unsend           |
 *      |        revoke    |   +----------------------+
 *      +------------------+                          | claim (completion)
 *      +---------------------------------------------+   or revoke
 *            the winner has the request; CLAIMED until it lets go
 *
 * A sent request ends only by a completion of its session or by the end of
 * that session. Both may come at once: state and generation are one word, and
 * one compare-and-exchange of (SENT, generation) decides. Only the winner
 * touches the request and its bios. The generation grows at every sending and
 * is never reset, so an answer to an earlier sending of the slot, also one to
 * another session, finds a different word.
 *
 * QUEUED is entered and left under the lock of the queue, or by the end of a
 * session when nothing else can run for the queue.
 */
#include <linux/jiffies.h>

#include "request.h"
#include "genl.h"

#define STATE_BITS 8

static s64 pack(u32 generation, enum torus_slot_state state)
{
	return ((s64)generation << STATE_BITS) | state;
}

static u32 word_generation(s64 word)
{
	return word >> STATE_BITS;
}

static enum torus_slot_state word_state(s64 word)
{
	return word & ((1 << STATE_BITS) - 1);
}

static bool move(struct torus_slot *slot, u32 generation,
		 enum torus_slot_state from, enum torus_slot_state to)
{
	s64 word = pack(generation, from);

	return atomic64_try_cmpxchg(&slot->word, &word, pack(generation, to));
}

void torus_slot_queue(struct torus_slot *slot, struct request *rq,
		      unsigned long unit)
{
	u32 generation = word_generation(atomic64_read(&slot->word));

	WARN_ON_ONCE(torus_slot_state(slot) != TORUS_SLOT_IDLE);
	slot->rq = rq;
	slot->unit = unit;
	WRITE_ONCE(slot->since, jiffies);
	atomic64_set_release(&slot->word, pack(generation, TORUS_SLOT_QUEUED));
}

u32 torus_slot_send(struct torus_slot *slot)
{
	u32 generation = word_generation(atomic64_read(&slot->word)) + 1;

	WARN_ON_ONCE(torus_slot_state(slot) != TORUS_SLOT_QUEUED);
	atomic64_set_release(&slot->word, pack(generation, TORUS_SLOT_SENT));
	return generation;
}

bool torus_slot_unsend(struct torus_slot *slot, u32 generation)
{
	return move(slot, generation, TORUS_SLOT_SENT, TORUS_SLOT_QUEUED);
}

bool torus_slot_claim(struct torus_slot *slot, u32 generation)
{
	return move(slot, generation, TORUS_SLOT_SENT, TORUS_SLOT_CLAIMED);
}

void torus_slot_unclaim(struct torus_slot *slot)
{
	u32 generation = word_generation(atomic64_read(&slot->word));

	WARN_ON_ONCE(torus_slot_state(slot) != TORUS_SLOT_CLAIMED);
	atomic64_set_release(&slot->word, pack(generation, TORUS_SLOT_SENT));
}

struct request *torus_slot_revoke(struct torus_slot *slot)
{
	s64 word = atomic64_read(&slot->word);
	enum torus_slot_state state = word_state(word);
	struct request *rq;

	if (state != TORUS_SLOT_QUEUED && state != TORUS_SLOT_SENT)
		return NULL;
	if (!move(slot, word_generation(word), state, TORUS_SLOT_CLAIMED))
		return NULL;
	rq = slot->rq;
	torus_slot_idle(slot);
	return rq;
}

void torus_slot_idle(struct torus_slot *slot)
{
	u32 generation = word_generation(atomic64_read(&slot->word));

	WARN_ON_ONCE(torus_slot_state(slot) != TORUS_SLOT_CLAIMED);
	slot->rq = NULL;
	atomic64_set_release(&slot->word, pack(generation, TORUS_SLOT_IDLE));
}

enum torus_slot_state torus_slot_state(const struct torus_slot *slot)
{
	return word_state(atomic64_read(&slot->word));
}

u32 torus_slot_generation(const struct torus_slot *slot)
{
	return word_generation(atomic64_read(&slot->word));
}

void torus_request_prepare(struct request *rq)
{
	struct torus_rq *data = blk_mq_rq_to_pdu(rq);

	if (rq->rq_flags & RQF_DONTPREP)
		return;
	data->stalls = 0;
	rq->rq_flags |= RQF_DONTPREP;
}

u8 torus_request_op(const struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return TORUS_OP_READ;
	case REQ_OP_WRITE:
		return TORUS_OP_WRITE;
	case REQ_OP_FLUSH:
		return TORUS_OP_FLUSH;
	case REQ_OP_DISCARD:
		return TORUS_OP_DISCARD;
	case REQ_OP_WRITE_ZEROES:
		return TORUS_OP_WRITE_ZEROES;
	default:
		return 0;
	}
}

void torus_request_describe(struct torus_desc *desc, struct request *rq,
			    unsigned long unit)
{
	desc->op = torus_request_op(rq);
	desc->flags = 0;
	if (rq->cmd_flags & REQ_FUA)
		desc->flags |= TORUS_IO_FLAG_FUA;
	if (req_op(rq) == REQ_OP_WRITE_ZEROES && (rq->cmd_flags & REQ_NOUNMAP))
		desc->flags |= TORUS_IO_FLAG_NOUNMAP;
	desc->reserved = 0;
	desc->length = torus_request_length(rq);
	desc->offset = 0;
	if (req_op(rq) != REQ_OP_FLUSH)
		desc->offset = (u64)blk_rq_pos(rq) << SECTOR_SHIFT;
	desc->arena_offset = 0;
	if (torus_request_has_data(rq))
		desc->arena_offset = (u64)unit * TORUS_ARENA_UNIT;
}

blk_status_t torus_result_status(u32 result)
{
	switch (result) {
	case TORUS_RESULT_OK:
		return BLK_STS_OK;
	case TORUS_RESULT_NO_SPACE:
		return BLK_STS_NOSPC;
	case TORUS_RESULT_TIMEOUT:
		return BLK_STS_TIMEOUT;
	case TORUS_RESULT_MEDIUM:
		return BLK_STS_MEDIUM;
	case TORUS_RESULT_NOT_SUPPORTED:
		return BLK_STS_NOTSUPP;
	default:
		return BLK_STS_IOERR;
	}
}
