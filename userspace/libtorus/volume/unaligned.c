// SPDX-License-Identifier: Apache-2.0
/*
 * A request becomes an operation of up to three parts: the block in which it
 * begins, whole blocks, the block in which it ends. Blocks that it covers only
 * partly are its edges; they are read into memory of the operation first.
 *
 *   changing, no edges    --> CHANGE
 *   changing, with edges  --> READ_EDGES --> CHANGE
 *   reading, with edges   --> READ (edges beside, the rest in place)
 *   reading, no edges; flush: passed on, not looked at again
 *
 * Changing operations stand in one list in the order of their submission. Two
 * of them conflict when an edge of one lies in the range of the other; the
 * later one then WAITS until the earlier one is over. Two without edges never
 * conflict, so aligned requests pay a list entry and no waiting. Because: an
 * aligned write that is in flight while an edge of its block is read would be
 * undone by the write of that edge.
 *
 * The front end's done() may free everything, so calling it is the last thing
 * that happens on any path.
 */
#include "volume/unaligned.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/record.h"

#define SPARE_MAX	256u

enum phase { PHASE_WAIT, PHASE_READ_EDGES, PHASE_READ, PHASE_CHANGE };

struct part {
	struct volume_request req;
	uint8_t *edge;			/* the whole block; NULL: no edge */
	uint32_t from, to;		/* bytes of the edge that are meant */
	uint8_t *user;			/* where those are in the front end's */
};

struct op {
	struct list_head node;		/* changes, reads or spare */
	struct unaligned *unaligned;
	struct volume_request *outer;
	enum phase phase;
	uint64_t first, end;		/* blocks */
	unsigned int part_count, edge_count, pending;
	int err;
	struct part part[3];
	uint8_t *edges;			/* memory of two blocks; NULL at first */
};

struct unaligned {
	struct unaligned_config cfg;
	struct list_head changes, reads, spare;
	unsigned int spare_count;
	unsigned int with_edges, waiting;	/* among changes */
};

static struct op *op_new(struct unaligned *u)
{
	struct op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	list_init(&op->node);
	op->unaligned = u;
	return op;
}

/* Each write takes one: the usual depth needs no memory of the system. */
static int add_spares(struct unaligned *u)
{
	while (u->spare_count < SPARE_MAX) {
		struct op *op = op_new(u);

		if (!op)
			return -ENOMEM;
		list_add(&op->node, &u->spare);
		u->spare_count++;
	}
	return 0;
}

struct unaligned *unaligned_new(const struct unaligned_config *cfg)
{
	struct unaligned *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->cfg = *cfg;
	list_init(&u->changes);
	list_init(&u->reads);
	list_init(&u->spare);
	if (add_spares(u)) {
		unaligned_free(u);
		return NULL;
	}
	return u;
}

static void op_release(struct op *op)
{
	list_del_init(&op->node);
	free(op->edges);
	free(op);
}

static void release_all(struct list_head *ops)
{
	while (!list_empty(ops))
		op_release(list_first_entry(ops, struct op, node));
}

void unaligned_free(struct unaligned *u)
{
	if (!u)
		return;
	release_all(&u->changes);
	release_all(&u->reads);
	release_all(&u->spare);
	free(u);
}

bool unaligned_idle(const struct unaligned *u)
{
	return list_empty(&u->changes) && list_empty(&u->reads);
}

static struct op *op_get(struct unaligned *u)
{
	struct op *op;

	if (list_empty(&u->spare))
		return op_new(u);
	op = list_first_entry(&u->spare, struct op, node);
	list_del_init(&op->node);
	u->spare_count--;
	return op;
}

static void op_put(struct op *op)
{
	struct unaligned *u = op->unaligned;

	if (u->spare_count >= SPARE_MAX) {
		op_release(op);
		return;
	}
	list_del_init(&op->node);
	list_add(&op->node, &u->spare);
	u->spare_count++;
}

/* ---- parts ------------------------------------------------------------ */

static void part_done(struct volume_request *req, int err);

static struct part *add_part(struct op *op, uint64_t offset, uint64_t length)
{
	const struct volume_request *outer = op->outer;
	struct part *part = &op->part[op->part_count++];

	*part = (struct part){
		.req = {
			.op = outer->op, .fua = outer->fua,
			.offset = offset, .length = length,
			.submitted = outer->submitted,
			.done = part_done, .ctx = op,
		},
	};
	if (outer->buffer)
		part->user = (uint8_t *)outer->buffer + offset - outer->offset;
	part->req.buffer = part->user;
	return part;
}

/* Bytes [from, to) of the block at @block, which are all inside the request. */
static int add_edge(struct op *op, uint64_t block, uint32_t from, uint32_t to)
{
	struct part *part;

	if (!op->edges)
		op->edges = malloc(2 * BLOCK_SIZE);
	if (!op->edges)
		return -ENOMEM;
	part = add_part(op, block + from, to - from);
	part->edge = op->edges + op->edge_count++ * BLOCK_SIZE;
	part->from = from;
	part->to = to;
	part->req.offset = block;
	part->req.length = BLOCK_SIZE;
	part->req.buffer = part->edge;
	return 0;
}

static uint64_t round_down(uint64_t offset)
{
	return offset & ~(uint64_t)(BLOCK_SIZE - 1);
}

static uint64_t round_up(uint64_t offset)
{
	return round_down(offset + BLOCK_SIZE - 1);
}

static int cut(struct op *op)
{
	uint64_t start = op->outer->offset;
	uint64_t end = start + op->outer->length;
	uint64_t whole = round_up(start), rest = round_down(end);
	int ret = 0;

	if (op->outer->op == VOLUME_TRIM) {
		start = whole;
		end = rest;
	}
	op->part_count = op->edge_count = op->pending = 0;
	op->err = 0;
	op->first = start / BLOCK_SIZE;
	op->end = round_up(end) / BLOCK_SIZE;
	if (whole > rest)
		return add_edge(op, rest, start - rest, end - rest);
	if (whole > start)
		ret = add_edge(op, whole - BLOCK_SIZE,
			       start - (whole - BLOCK_SIZE), BLOCK_SIZE);
	if (rest > whole)
		add_part(op, whole, rest - whole);
	if (!ret && end > rest)
		ret = add_edge(op, rest, 0, end - rest);
	return ret;
}

static void submit_parts(struct op *op, bool edges_only)
{
	struct unaligned *u = op->unaligned;

	op->pending = edges_only ? op->edge_count : op->part_count;
	for (unsigned int i = 0; i < op->part_count; i++) {
		struct part *part = &op->part[i];

		if (edges_only && !part->edge)
			continue;
		u->cfg.submit(u->cfg.ctx, &part->req);
	}
}

/* ---- order ------------------------------------------------------------ */

static bool edge_within(const struct op *op, const struct op *other)
{
	for (unsigned int i = 0; i < op->part_count; i++) {
		uint64_t block = op->part[i].req.offset / BLOCK_SIZE;

		if (op->part[i].edge && block >= other->first &&
		    block < other->end)
			return true;
	}
	return false;
}

static bool conflicts(const struct op *a, const struct op *b)
{
	return edge_within(a, b) || edge_within(b, a);
}

static bool overlap(const struct op *a, const struct op *b)
{
	return a->first < b->end && b->first < a->end;
}

/*
 * Whether an earlier change, under way or waiting itself, is in the way. One
 * that waits, or reads its edges, must not be overtaken by a change of the same
 * blocks: the front end may count on the order of its submissions.
 */
static bool must_wait(const struct op *op)
{
	const struct op *earlier;

	if (!op->unaligned->with_edges)
		return false;
	list_for_each_entry(earlier, &op->unaligned->changes, node) {
		if (earlier == op)
			return false;
		if (conflicts(op, earlier) ||
		    (earlier->phase != PHASE_CHANGE && overlap(op, earlier)))
			return true;
	}
	return false;
}

static void start_change(struct op *op)
{
	if (!op->edge_count) {
		op->phase = PHASE_CHANGE;
		submit_parts(op, false);
		return;
	}
	op->phase = PHASE_READ_EDGES;
	for (unsigned int i = 0; i < op->part_count; i++)
		if (op->part[i].edge)
			op->part[i].req.op = VOLUME_READ;
	submit_parts(op, true);
}

static void start_waiting(struct unaligned *u)
{
	struct op *op, *tmp;

	list_for_each_entry_safe(op, tmp, &u->changes, node) {
		if (!u->waiting)
			return;
		if (op->phase != PHASE_WAIT || must_wait(op))
			continue;
		u->waiting--;
		start_change(op);
	}
}

/* ---- progress --------------------------------------------------------- */

static void op_over(struct op *op)
{
	struct volume_request *outer = op->outer;
	struct unaligned *u = op->unaligned;
	int err = op->err;

	if (op->phase != PHASE_READ && op->edge_count)
		u->with_edges--;
	op_put(op);
	start_waiting(u);
	outer->done(outer, err);
}

static void copy_to_user(const struct op *op)
{
	for (unsigned int i = 0; i < op->part_count; i++) {
		const struct part *part = &op->part[i];

		if (part->edge)
			memcpy(part->user, part->edge + part->from,
			       part->to - part->from);
	}
}

/* The edges are here: put in what is new, and write everything. */
static void change_edges(struct op *op)
{
	for (unsigned int i = 0; i < op->part_count; i++) {
		struct part *part = &op->part[i];

		if (!part->edge)
			continue;
		if (op->outer->op == VOLUME_WRITE)
			memcpy(part->edge + part->from, part->user,
			       part->to - part->from);
		else
			memset(part->edge + part->from, 0,
			       part->to - part->from);
		part->req.op = VOLUME_WRITE;
	}
	op->phase = PHASE_CHANGE;
	submit_parts(op, false);
}

static void part_done(struct volume_request *req, int err)
{
	struct op *op = req->ctx;

	if (err && !op->err)
		op->err = err;
	if (op->phase == PHASE_CHANGE) {	/* they end in record order */
		op->outer->sequence = req->sequence;
		op->outer->header_crc = req->header_crc;
	}
	if (--op->pending)
		return;
	if (op->phase == PHASE_READ_EDGES && !op->err) {
		change_edges(op);
		return;
	}
	if (op->phase == PHASE_READ && !op->err)
		copy_to_user(op);
	op_over(op);
}

static void submit_change(struct unaligned *u, struct op *op)
{
	list_add_tail(&op->node, &u->changes);
	if (op->edge_count)
		u->with_edges++;
	if (must_wait(op)) {
		op->phase = PHASE_WAIT;
		u->waiting++;
		return;
	}
	start_change(op);
}

static bool is_aligned(const struct volume_request *req)
{
	return req->offset % BLOCK_SIZE == 0 && req->length % BLOCK_SIZE == 0;
}

static void submit_op(struct unaligned *u, struct volume_request *req)
{
	struct op *op = op_get(u);

	if (!op) {
		u->cfg.finish(u->cfg.ctx, req, -ENOMEM);
		return;
	}
	op->outer = req;
	if (cut(op)) {
		op_put(op);
		u->cfg.finish(u->cfg.ctx, req, -ENOMEM);
	} else if (req->op == VOLUME_READ) {
		list_add_tail(&op->node, &u->reads);
		op->phase = PHASE_READ;
		submit_parts(op, false);
	} else {
		submit_change(u, op);
	}
}

/* A trim is only a hint: whole blocks, or nothing. */
static bool is_nothing(const struct volume_request *req)
{
	uint64_t end = req->offset + req->length;

	return !req->length || (req->op == VOLUME_TRIM &&
				round_up(req->offset) >= round_down(end));
}

void unaligned_submit(struct unaligned *u, struct volume_request *req)
{
	if (req->op == VOLUME_FLUSH ||
	    (req->op == VOLUME_READ && is_aligned(req)))
		u->cfg.submit(u->cfg.ctx, req);
	else if (is_nothing(req))
		u->cfg.finish(u->cfg.ctx, req, 0);
	else
		submit_op(u, req);
}
