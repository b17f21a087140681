// SPDX-License-Identifier: Apache-2.0
/*
 * One copy on its way to one peer: read here, sent there by RESTORE, in pieces.
 *
 *	piece:  FREE -> READING -> READY -> SENDING -> FREE
 *
 * The first piece goes alone: its answer says whether the peer takes the chunk
 * at all (another may be sending it). Then two are under way, so that reading,
 * the wire and the other disk work side by side. They leave in order. A peer
 * that says that another piece is due gets that, and from then on one at a
 * time.
 *
 * A push ends when all of its pieces are free; what ended it is kept until
 * then. Nothing is cancelled but at the end of the maintenance, since that
 * costs a connection.
 */
#include "maint/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

#define RESTORE_TIMEOUT	(60 * NSEC_PER_SEC)
#define REWINDS_MAX	8u
#define SCAN_MAX	256u		/* items looked at for one that can go */
#define BUSY_MIN	(100 * NSEC_PER_MSEC)
#define BUSY_MAX	(5 * NSEC_PER_SEC)
#define AGAIN_MIN	(2 * NSEC_PER_SEC)
#define AGAIN_MAX	(600 * NSEC_PER_SEC)
#define AGAIN_BUSY	(10 * NSEC_PER_SEC)
#define AGAIN_DONE	(60 * NSEC_PER_SEC)	/* it went well, and is looked at */
#define CLIENTS_FOR	(2 * NSEC_PER_SEC)	/* a peer's last word on them */

enum piece_state { PIECE_FREE, PIECE_READING, PIECE_READY, PIECE_SENDING };

struct piece {
	struct list_head node;		/* maint->spare_pieces */
	struct push *push;
	enum piece_state state;
	uint32_t block, blocks;
	struct store_copy_op op;
	struct peer_call call;
	struct wire_restore body;
	struct iovec iov;
	void *buffer;
};

struct push {
	struct list_head node;		/* maint->pushing */
	struct maint *maint;
	struct item *item;
	struct maint_peer *target;
	struct store_copy copy;
	struct uuid token;
	struct piece *piece[MAINT_PIECES];
	uint32_t read_next, send_next;	/* blocks */
	bool opened;			/* the peer has taken the first piece */
	bool sealed;			/* the copy is in place */
	bool over;			/* ends when all pieces are free */
	bool rewind;			/* goes on at @staged when all are free */
	uint32_t staged, rewinds;
	int err;			/* what ended it, ... */
	uint32_t status;		/* ... or how the peer said so */
};

/* ---- pieces --------------------------------------------------------------- */

static void piece_free(struct piece *piece)
{
	list_del_init(&piece->node);
	free(piece->buffer);
	free(piece);
}

static struct piece *piece_get(struct maint *m)
{
	struct piece *piece;

	if (!list_empty(&m->spare_pieces)) {
		piece = list_first_entry(&m->spare_pieces, struct piece, node);
		list_del_init(&piece->node);
		return piece;
	}
	piece = calloc(1, sizeof(*piece));
	if (piece == NULL)
		return NULL;
	list_init(&piece->node);
	piece->buffer = aligned_alloc(BLOCK_SIZE, MAINT_PIECE_BYTES);
	if (piece->buffer == NULL) {
		free(piece);
		return NULL;
	}
	return piece;
}

static void piece_put(struct maint *m, struct piece *piece)
{
	piece->push = NULL;
	list_add(&piece->node, &m->spare_pieces);
}

static void spares_release(struct maint *m)
{
	struct piece *piece, *next;

	list_for_each_entry_safe(piece, next, &m->spare_pieces, node)
		piece_free(piece);
}

/* ---- the end ----------------------------------------------------------------- */

static uint64_t back_off(const struct item *item, uint64_t most)
{
	unsigned int doublings = MIN(item->tries, 10);

	return MIN(AGAIN_MIN << doublings, most);
}

static void target_busy(struct maint_peer *p)
{
	p->busy_delay = MIN(MAX(2 * p->busy_delay, BUSY_MIN), BUSY_MAX);
	p->busy_until = env_now(p->maint->env) + p->busy_delay;
}

static void report_status(struct push *push)
{
	struct item *item = push->item;
	struct maint *m = push->maint;

	switch (push->status) {
	case WIRE_EBUSY:
		target_busy(push->target);
		item_later(item, back_off(item, AGAIN_BUSY));
		break;
	case WIRE_ENOSPC:
		members_full(push->target, push->copy.length);
		if (item_avoid(item, push->target))
			item_again(item);
		else
			item_later(item, back_off(item, AGAIN_MAX));
		break;
	case WIRE_EFENCED:		/* the volume has a tombstone there */
		item_settled(item);
		break;
	case WIRE_EBADCRC:		/* is it that mine is bad? */
		scrub_check(&m->scrub, item->volume, item->chunk);
		/* fall through */
	default:
		log_warning("volume %016" PRIx64 ", chunk %" PRIu64 ": the copy that was sent was not taken: %s",
			    item->volume, item->chunk,
			    wire_status_text(push->status));
		/* fall through */
	case WIRE_ESEALED:		/* somebody else was faster */
	case WIRE_ECONFLICT:		/* a recoverer may count on what is there */
		item_later(item, back_off(item, AGAIN_MAX));
		break;
	}
}

static void report(struct push *push)
{
	struct item *item = push->item;
	struct maint *m = push->maint;

	if (push->sealed) {
		m->copied_chunks++;
		m->copied_bytes += (uint64_t)push->copy.length * BLOCK_SIZE;
		push->target->busy_delay = 0;
		item->since = 0;
		item->pushed = true;
		/* Once more, for the next target; but not for ever. */
		if (item->tries++ < RING_REPLICATION_MAX)
			item_again(item);
		else
			item_later(item, back_off(item, AGAIN_DONE));
	} else if (push->err == -ENOENT || push->err == -EUCLEAN) {
		item_settled(item);
	} else if (push->err < 0) {
		item_later(item, back_off(item, AGAIN_MAX));
	} else {
		report_status(push);
	}
}

static void push_end(struct push *push)
{
	struct maint *m = push->maint;
	unsigned int i;

	report(push);
	for (i = 0; i < MAINT_PIECES; i++)
		if (push->piece[i] != NULL)
			piece_put(m, push->piece[i]);
	list_del_init(&push->node);
	m->pushing_count--;
	push->target->pushes--;
	free(push);
	maint_kick(m);
}

static bool all_free(const struct push *push)
{
	unsigned int i;

	for (i = 0; i < MAINT_PIECES; i++)
		if (push->piece[i]->state != PIECE_FREE)
			return false;
	return true;
}

static void drop_ready(struct push *push)
{
	unsigned int i;

	for (i = 0; i < MAINT_PIECES; i++)
		if (push->piece[i]->state == PIECE_READY)
			push->piece[i]->state = PIECE_FREE;
}

static void fail(struct push *push, int err, uint32_t status)
{
	if (!push->over) {
		push->err = err;
		push->status = status;
	}
	push->over = true;
	drop_ready(push);
}

/* ---- sending ------------------------------------------------------------------- */

static void push_pump(struct push *push);

static void taken(struct push *push, struct piece *piece,
		  const struct wire_restore_reply *reply)
{
	push->opened = true;
	rate_done(push->maint, piece->blocks * BLOCK_SIZE);
	if (le16_to_cpu(reply->sealed)) {
		push->sealed = true;
		push->over = true;
	} else if (piece->block + piece->blocks >= push->copy.length) {
		fail(push, -EPROTO, WIRE_OK);
	}
}

static void not_due(struct push *push, const struct wire_restore_reply *reply)
{
	uint32_t staged = le32_to_cpu(reply->staged);

	if (++push->rewinds > REWINDS_MAX || staged >= push->copy.length) {
		fail(push, -EPROTO, WIRE_OK);
		return;
	}
	push->rewind = true;
	push->staged = staged;
	drop_ready(push);
}

static void heard_of_clients(struct maint_peer *p,
			     const struct wire_restore_reply *reply)
{
	p->clients_until = le16_to_cpu(reply->clients) ?
			   env_now(p->maint->env) + CLIENTS_FOR : 0;
}

static void answered(struct peer_call *call)
{
	struct piece *piece = call->ctx;
	struct push *push = piece->push;

	piece->state = PIECE_FREE;
	if (call->err == 0)
		heard_of_clients(push->target, call->reply);
	if (call->err < 0)
		fail(push, call->err, WIRE_OK);
	else if (call->status == WIRE_OK)
		taken(push, piece, call->reply);
	else if (call->status == WIRE_EOFFSET)
		not_due(push, call->reply);
	else
		fail(push, 0, call->status);
	push_pump(push);
}

static void piece_send(struct push *push, struct piece *piece)
{
	struct peer_call *call = &piece->call;
	uint32_t bytes = piece->blocks * BLOCK_SIZE;

	piece->body = (struct wire_restore) {
		.volume = cpu_to_le64(push->copy.volume),
		.chunk = cpu_to_le64(push->copy.chunk),
		.epoch = cpu_to_le64(push->copy.epoch),
		.length = cpu_to_le32(push->copy.length),
		.end_crc = cpu_to_le32(push->copy.end_crc),
		.block = cpu_to_le32(piece->block),
		.blocks = cpu_to_le32(piece->blocks),
		.token = push->token,
	};
	piece->iov.iov_base = piece->buffer;
	piece->iov.iov_len = bytes;
	memset(call, 0, sizeof(*call));
	call->type = WIRE_RESTORE;
	call->body = &piece->body;
	call->data = &piece->iov;
	call->data_count = bytes > 0 ? 1 : 0;
	call->data_len = bytes;
	call->timeout_ns = RESTORE_TIMEOUT;
	call->done = answered;
	call->ctx = piece;
	piece->state = PIECE_SENDING;
	push->send_next = piece->block + piece->blocks;
	peer_call(push->target->peer, call);
}

/* ---- reading --------------------------------------------------------------------- */

static void read_done(struct store_copy_op *op, int err)
{
	struct piece *piece = op->ctx;
	struct push *push = piece->push;

	piece->state = push->over || push->rewind || err < 0 ? PIECE_FREE :
		       PIECE_READY;
	if (err < 0)
		fail(push, err, WIRE_OK);
	push_pump(push);
}

static void piece_read(struct push *push, struct piece *piece, uint32_t blocks)
{
	piece->block = push->read_next;
	piece->blocks = blocks;
	push->read_next += blocks;
	if (blocks == 0) {
		piece->state = PIECE_READY;
		return;
	}
	memset(&piece->op, 0, sizeof(piece->op));
	piece->op.volume = push->copy.volume;
	piece->op.chunk = push->copy.chunk;
	piece->op.block = piece->block;
	piece->op.blocks = blocks;
	piece->op.buffer = piece->buffer;
	piece->op.done = read_done;
	piece->op.ctx = piece;
	piece->state = PIECE_READING;
	store_copy_read(push->maint->store, &piece->op);
}

/* One at a time: the first, after a rewind, and while clients are there. */
static bool may_read(const struct push *push)
{
	if (push->over || push->rewind)
		return false;
	if (push->read_next >= push->copy.length &&
	    (push->copy.length > 0 || push->opened || !all_free(push)))
		return false;
	return all_free(push) || (push->opened && push->rewinds == 0 &&
				  !rate_busy(push->maint, push->target));
}

static void read_more(struct push *push)
{
	struct maint *m = push->maint;
	unsigned int i;

	for (i = 0; i < MAINT_PIECES && may_read(push); i++) {
		struct piece *piece = push->piece[i];
		uint32_t blocks = MIN(push->copy.length - push->read_next,
				      rate_piece(m, push->target));
		uint64_t wait;

		if (piece->state != PIECE_FREE)
			continue;
		wait = rate_wait(m, push->target, blocks * BLOCK_SIZE);
		if (wait > 0) {
			maint_wake_at(m, env_now(m->env) + wait);
			return;
		}
		piece_read(push, piece, blocks);
	}
}

static void send_ready(struct push *push)
{
	unsigned int i;

	for (i = 0; i < MAINT_PIECES; i++) {
		struct piece *piece = push->piece[i];

		if (piece->state != PIECE_READY ||
		    piece->block != push->send_next)
			continue;
		piece_send(push, piece);
		i = -1u;		/* the other one may be next */
	}
}

/* May end it. */
static void push_pump(struct push *push)
{
	if (push->rewind && !push->over && all_free(push)) {
		push->rewind = false;
		push->read_next = push->staged;
		push->send_next = push->staged;
	}
	if (push->over && all_free(push)) {
		push_end(push);
		return;
	}
	read_more(push);
	send_ready(push);
}

/* ---- the beginning ------------------------------------------------------------------ */

static struct push *push_new(struct maint *m)
{
	struct push *push = calloc(1, sizeof(*push));
	unsigned int i;

	if (push == NULL)
		return NULL;
	push->maint = m;
	for (i = 0; i < MAINT_PIECES; i++) {
		push->piece[i] = piece_get(m);
		if (push->piece[i] == NULL)
			goto out_free;
		push->piece[i]->push = push;
		push->piece[i]->state = PIECE_FREE;
	}
	return push;

out_free:
	while (i-- > 0)
		piece_put(m, push->piece[i]);
	free(push);
	return NULL;
}

/* The same for every attempt of this process: one that begins anew takes the
 * place of one that broke off, for which the other side still waits. */
static void make_token(struct push *push)
{
	uint64_t mix = hash_u64_pair(push->copy.volume, push->copy.chunk);
	unsigned int i;

	push->token = push->maint->token;
	for (i = 0; i < sizeof(mix); i++)
		push->token.byte[i] ^= (uint8_t)(mix >> (8 * i));
}

static void start(struct maint *m, struct item *item)
{
	struct store_copy copy;
	struct push *push;

	if (item->again || !store_copy_get(m->store, item->volume, item->chunk,
					   &copy) ||
	    copy.state != WIRE_COPY_SEALED) {
		item_again(item);
		return;
	}
	push = push_new(m);
	if (push == NULL) {
		item_later(item, AGAIN_MIN);
		return;
	}
	push->item = item;
	push->target = item->target;
	push->copy = copy;
	make_token(push);
	item_begin(item, ITEM_PUSHING);
	list_add_tail(&push->node, &m->pushing);
	m->pushing_count++;
	push->target->pushes++;
	push_pump(push);
}

static bool can_go(struct maint *m, const struct item *item)
{
	struct maint_peer *p = item->target;

	if (!p->up)
		return true;		/* to be looked at anew */
	if (p->busy_until > env_now(m->env)) {
		maint_wake_at(m, p->busy_until);
		return false;
	}
	return p->pushes < MAINT_PEER_TRANSFERS;
}

/* Fewest copies first; passing over those whose peer has enough to do. */
static struct item *choose(struct maint *m)
{
	struct item *item;
	unsigned int i, seen = 0;

	for (i = 0; i <= RING_REPLICATION_MAX; i++)
		list_for_each_entry(item, &m->pushes[i], node) {
			if (can_go(m, item))
				return item;
			if (++seen == SCAN_MAX)
				return NULL;
		}
	return NULL;
}

static uint32_t allowed(struct maint *m)
{
	return rate_busy(m, NULL) ? 1 : m->cfg.transfers;
}

void push_turn(struct maint *m)
{
	struct push *push, *next;
	struct item *item;

	if (m->pushing_count == 0 && m->push_count == 0) {
		spares_release(m);
		return;
	}
	while (m->pushing_count < allowed(m) && (item = choose(m)) != NULL) {
		if (item->target->up)
			start(m, item);
		else
			item_again(item);
	}
	list_for_each_entry_safe(push, next, &m->pushing, node)
		push_pump(push);
}

void push_release(struct maint *m)
{
	struct push *push, *next;
	unsigned int i;

	list_for_each_entry_safe(push, next, &m->pushing, node) {
		for (i = 0; i < MAINT_PIECES; i++) {
			struct piece *piece = push->piece[i];

			if (piece->state == PIECE_READING) {
				store_copy_cancel(m->store, &piece->op);
				piece->buffer = NULL;
			}
			peer_call_cancel(&piece->call);
			piece_free(piece);
		}
		list_del_init(&push->node);
		free(push);
	}
	spares_release(m);
}
