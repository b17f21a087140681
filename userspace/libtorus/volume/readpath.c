// SPDX-License-Identifier: Apache-2.0
/*
 * A read takes one of READS_MAX operations, or waits for one. The map says
 * where the blocks were at the moment of its answer; blocks of the log never
 * change, so what is read there is the state of that moment.
 *
 * A read has io_timeout from its submission on, whatever it spends that on: the
 * wait for an operation, pages of the map, tries of its data. The reader ends
 * what it has been given; what waits, or looks up, ends by the timer here.
 */
#include "volume/readpath.h"

#include <errno.h>
#include <stdlib.h>

#include "volume/internal.h"

struct read_op {
	struct list_head node;		/* free_ops, or busy_ops */
	struct volume *volume;
	struct volume_request *req;
	bool looking;			/* in the map; else in the reader */
	struct map_lookup lookup;
	struct block_read read;
	struct map_entry entries[RECORD_PAYLOAD_BLOCKS_MAX];
};

#define MEMORY_RETRY	(10 * NSEC_PER_MSEC)

static void deadline_fired(struct env_timer *timer);

static void memory_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, readpath.memory));
}

int readpath_init(struct volume *v)
{
	struct readpath *r = &v->readpath;
	unsigned int i;

	list_init(&r->waiting);
	list_init(&r->free_ops);
	list_init(&r->busy_ops);
	env_timer_init(&r->deadline, deadline_fired);
	env_timer_init(&r->memory, memory_fired);
	r->ops = calloc(READS_MAX, sizeof(*r->ops));
	if (r->ops == NULL)
		return -ENOMEM;
	for (i = 0; i < READS_MAX; i++) {
		r->ops[i].volume = v;
		list_add_tail(&r->ops[i].node, &r->free_ops);
	}
	return 0;
}

/* Lookups only: the reader drops its reads when it is freed. */
static void cancel_lookups(struct volume *v)
{
	struct read_op *op;

	list_for_each_entry(op, &v->readpath.busy_ops, node)
		if (op->looking)
			map_lookup_cancel(&op->lookup);
}

void readpath_release(struct volume *v)
{
	cancel_lookups(v);
	env_timer_cancel(v->env, &v->readpath.deadline);
	env_timer_cancel(v->env, &v->readpath.memory);
	free(v->readpath.ops);
	v->readpath.ops = NULL;
}

bool readpath_idle(const struct volume *v)
{
	return list_empty(&v->readpath.waiting) &&
	       list_empty(&v->readpath.busy_ops);
}

static void finish(struct read_op *op, int err)
{
	struct volume *v = op->volume;

	if (err && err != -ETIMEDOUT && err != -ESTALE)
		err = -EIO;
	list_move_tail(&op->node, &v->readpath.free_ops);
	volume_finish(v, op->req, err);
}

/*
 * Nobody has a block: if it was acknowledged and never became durable, it is
 * gone for good, and the device with it. Its owner may go on from what was
 * flushed, but not from a state that it never wrote.
 */
static void check_lost(const struct read_op *op)
{
	struct volume *v = op->volume;
	const struct active_chunk *chunk;
	uint64_t number;
	uint32_t i;

	for (i = 0; i < op->read.count; i++) {
		if (op->entries[i].addr == 0 || op->entries[i].lineage != 0)
			continue;
		number = block_addr_chunk(op->entries[i].addr);
		chunk = active_find(v, number);
		if (chunk != NULL && !active_durable(chunk, chunk->length)) {
			sealer_lost_data(v, number);
			return;
		}
	}
}

static void start_again(struct read_op *op, int err);

/*
 * What nobody has may be somewhere else by now, and its old place deleted: look
 * again, once.
 */
static void read_done(struct block_read *read, int err)
{
	struct read_op *op = container_of(read, struct read_op, read);

	if (err == -EIO && op->req->progress++ == 0 &&
	    volume_serving(op->volume)) {
		start_again(op, 0);
		return;
	}
	if (err == -EIO)
		check_lost(op);
	finish(op, err);
}

/* ---- deadlines -------------------------------------------------------- */

static void arm_deadline(struct volume *v, const struct volume_request *req)
{
	env_timer_set_by(v->env, &v->readpath.deadline,
			 volume_deadline(v, req));
}

static void deadline_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume,
					readpath.deadline);
	struct readpath *r = &v->readpath;
	struct volume_request *req, *next_req;
	uint64_t now = env_now(v->env);
	struct read_op *op, *next;

	list_for_each_entry_safe(req, next_req, &r->waiting, node) {
		if (volume_deadline(v, req) > now) {
			arm_deadline(v, req);
			continue;
		}
		list_del_init(&req->node);
		volume_finish(v, req, -ETIMEDOUT);
	}
	list_for_each_entry_safe(op, next, &r->busy_ops, node) {
		if (!op->looking)
			continue;
		if (volume_deadline(v, op->req) > now) {
			arm_deadline(v, op->req);
			continue;
		}
		map_lookup_cancel(&op->lookup);
		op->looking = false;
		finish(op, -ETIMEDOUT);
	}
}

/* ---- a read ----------------------------------------------------------- */

static void fetch(struct read_op *op)
{
	op->looking = false;
	op->read = (struct block_read){
		.entries = op->entries, .count = op->lookup.count,
		.buffer = op->req->buffer, .done = read_done,
		.deadline = volume_deadline(op->volume, op->req),
	};
	reader_read(op->volume->reader, &op->read);
}

/*
 * No error of ours: somebody else's wait for a page has ended, which began
 * before ours, or there is no memory for a page at the moment.
 */
static bool is_passing(const struct read_op *op, int err)
{
	return err == -ENOMEM ||
	       (err == -ETIMEDOUT && volume_deadline(op->volume, op->req) >
				     env_now(op->volume->env));
}

static void start_again(struct read_op *op, int err)
{
	struct volume *v = op->volume;

	list_move_tail(&op->node, &v->readpath.free_ops);
	list_add(&op->req->node, &v->readpath.waiting);
	arm_deadline(v, op->req);
	if (err == -ENOMEM)
		env_timer_after(v->env, &v->readpath.memory, MEMORY_RETRY);
	else
		volume_kick(v);
}

static void lookup_done(struct map_lookup *lookup, int err)
{
	struct read_op *op = container_of(lookup, struct read_op, lookup);

	op->looking = false;
	if (is_passing(op, err))
		start_again(op, err);
	else if (err)
		finish(op, err);
	else
		fetch(op);
}

static void start(struct volume *v, struct volume_request *req)
{
	struct read_op *op;
	int err;

	op = list_first_entry(&v->readpath.free_ops, struct read_op, node);
	list_move_tail(&op->node, &v->readpath.busy_ops);
	op->req = req;
	op->lookup = (struct map_lookup){
		.first = req->offset >> BLOCK_SHIFT,
		.count = (uint32_t)(req->length >> BLOCK_SHIFT),
		.entries = op->entries, .done = lookup_done,
	};
	op->looking = true;
	err = map_lookup(v->pages.map, &op->lookup);
	if (err == -EINPROGRESS)
		return;
	op->looking = false;
	if (err == -ENOMEM)
		start_again(op, err);
	else if (err)
		finish(op, err);
	else
		fetch(op);
}

void readpath_submit(struct volume *v, struct volume_request *req)
{
	req->progress = 0;
	list_add_tail(&req->node, &v->readpath.waiting);
	arm_deadline(v, req);
	volume_kick(v);
}

void readpath_run(struct volume *v)
{
	struct readpath *r = &v->readpath;
	struct volume_request *req;

	while (volume_serving(v) && !list_empty(&r->waiting) &&
	       !list_empty(&r->free_ops) && !env_timer_armed(&r->memory)) {
		req = list_first_entry(&r->waiting, struct volume_request, node);
		list_del_init(&req->node);
		start(v, req);
	}
}

/* Reads that the reader has end by themselves: it owns their buffers. */
void readpath_stop(struct volume *v, int err)
{
	struct readpath *r = &v->readpath;
	struct volume_request *req;
	struct read_op *op, *next;

	while (!list_empty(&r->waiting)) {
		req = list_first_entry(&r->waiting, struct volume_request, node);
		list_del_init(&req->node);
		volume_finish(v, req, err);
	}
	list_for_each_entry_safe(op, next, &r->busy_ops, node) {
		if (!op->looking)
			continue;
		map_lookup_cancel(&op->lookup);
		op->looking = false;
		finish(op, err);
	}
}
