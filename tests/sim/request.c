// SPDX-License-Identifier: Apache-2.0
/*
 * The requests of one host: what is asked at random, how it ends, and what
 * becomes of it when the helper dies.
 *
 * As with the driver, a request that was not completed when its helper died is
 * sent again to the next one, if the device survives. It is a new operation to
 * the model then: what the old one left behind is decided by the recovery.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "world.h"

/* How long a writer may take a peer that was full for full. */
#define FULL_FORGOTTEN (70 * NSEC_PER_SEC)

void op_free(struct client_op *op)
{
	list_del_init(&op->node);
	op->client->op_count--;
	free(op->req.buffer);
	free(op->read.before);
	free(op);
}

/* Is there a reason for this error that is not a bug? */
static bool error_explained(const struct client *c,
			    const struct volume_request *req, int err)
{
	struct world *w = c->world;
	const struct tenant *t = c->tenant;

	if (client_superseded(c) || c->failed)
		return true;
	switch (err) {
	case -ETIMEDOUT:
		return (!w->quiet && faults_active(w)) || full_exhausted(w);
	case -ENOSPC:
		if (full_explains(w, req))
			return true;
		return !w->quiet && sim_now(w->sim) < w->full_until +
						     FULL_FORGOTTEN;
	case -EIO:
		return t->wide_loss;	/* it may be gone from everywhere */
	default:
		return false;
	}
}

void op_error(struct client_op *op, int err)
{
	struct client *c = op->client;

	c->world->stats.errors++;
	if (!error_explained(c, &op->req, err))
		world_fail(c->world, "operation %u (type %d, block %" PRIu64
			   ") of %s failed without a reason: %s", op->id,
			   op->req.op, op->req.offset / BLOCK_SIZE,
			   sim_node_name(c->node), strerror(-err));
}

static void op_done(struct volume_request *req, int err)
{
	struct client_op *op = container_of(req, struct client_op, req);
	struct client *c = op->client;
	struct world *w = c->world;
	struct tenant *t = c->tenant;
	struct log_position at = volume_acknowledged(c->volume);

	sim_trace(w->sim, c->node, "done: op %llu type %llu error %llu at %llu",
		  op->id, req->op, (uint64_t)-err, req->offset);
	if (op->submitting)
		world_fail(w, "a request completed inside volume_submit()");
	if (op->checking) {
		client_check_read_done(op, err);
		return;
	}
	t->longest_wait = MAX(t->longest_wait, sim_now(w->sim) - op->asked);
	if (op->last) {
		c->last_done = true;
		c->last_err = err;
	}
	if (err)
		op_error(op, err);
	if (req->op == VOLUME_READ && !err)
		model_read_done(t->model, &op->read, req->buffer);
	else if (req->op != VOLUME_READ)
		model_done(t->model, op->id, err, sim_now(w->sim));
	if (!err && req->op != VOLUME_READ) {
		if (at.sequence < c->remembered.sequence)
			world_fail(w, "acknowledged sequence went back from %"
				   PRIu64 " to %" PRIu64,
				   c->remembered.sequence, at.sequence);
		c->remembered = at;
		c->acked_at = sim_now(w->sim);
		inspect_acknowledged(c, at);
		durable_done(op);
	}
	op_free(op);
}

struct client_op *op_new(struct client *c, enum volume_op type,
			 uint64_t offset, uint64_t length)
{
	struct client_op *op = calloc(1, sizeof(*op));

	if (!op)
		abort();
	op->client = c;
	op->req.op = type;
	op->req.offset = offset;
	op->req.length = length;
	op->req.done = op_done;
	op->started = op->asked = sim_now(c->world->sim);
	if (type == VOLUME_READ || type == VOLUME_WRITE) {
		op->req.buffer = aligned_alloc(BLOCK_SIZE, (length +
			BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE);
		if (!op->req.buffer)
			abort();
	}
	list_add_tail(&op->node, &c->ops);
	c->op_count++;
	return op;
}

void op_submit(struct client_op *op)
{
	sim_trace(op->client->world->sim, op->client->node,
		  "submit: op %llu type %llu at %llu length %llu", op->id,
		  op->req.op, op->req.offset, op->req.length);
	op->submitting = true;
	volume_submit(op->client->volume, &op->req);
	op->submitting = false;
}

static void op_begin(struct client_op *op)
{
	struct client *c = op->client;
	struct world *w = c->world;
	struct tenant *t = c->tenant;
	uint64_t now = sim_now(w->sim), i;
	uint8_t *out = op->req.buffer;

	w->stats.operations++;
	op->covers = c->remembered;
	if (op->req.op == VOLUME_READ) {
		op->read.first = op->req.offset / SECTOR;
		op->read.count = op->req.length / SECTOR;
		op->read.before = malloc(sizeof(uint32_t) * op->read.count);
		if (!op->read.before)
			abort();
		model_read_begin(t->model, &op->read, c->owner, now);
		memset(out, 0xee, op->req.length);
	} else {
		op->id = model_submit(t->model, c->owner, &op->req, now);
	}
	for (i = 0; op->req.op == VOLUME_WRITE && i < op->req.length / SECTOR;
	     i++)
		model_fill(op->req.offset / SECTOR + i, op->id,
			   out + i * SECTOR);
	op_submit(op);
}

static enum volume_op random_type(struct sim *sim)
{
	uint64_t n = sim_below(sim, 100);

	if (n < 35)
		return VOLUME_READ;
	if (n < 83)
		return VOLUME_WRITE;
	if (n < 88)
		return VOLUME_TRIM;
	if (n < 93)
		return VOLUME_ZERO;
	return VOLUME_FLUSH;
}

/* Sectors: most are few whole blocks, some up to 64, some not whole. */
static void random_range(struct client *c, enum volume_op type, uint64_t *first,
			 uint64_t *count)
{
	struct sim *sim = c->world->sim;
	uint64_t blocks = c->tenant->blocks, start, n;
	static const uint64_t most[] = { 1, 4, 4, 16, 64 };

	n = 1 + sim_below(sim, most[sim_below(sim, ARRAY_SIZE(most))]);
	if ((type == VOLUME_TRIM || type == VOLUME_ZERO) &&
	    sim_chance(sim, 1, 8))
		n = 1 + sim_below(sim, blocks);
	start = sim_chance(sim, 1, 2) ? sim_below(sim, blocks / 8)
				      : sim_below(sim, blocks);
	n = MIN(n, blocks - start);
	*first = start * BLOCK_SECTORS;
	*count = n * BLOCK_SECTORS;
	if (!sim_chance(sim, 1, 10))
		return;
	start = sim_below(sim, MIN(*count, 2 * BLOCK_SECTORS));
	*first += start;
	*count = 1 + sim_below(sim, *count - start);
}

bool client_submit_random(struct client *c)
{
	struct world *w = c->world;
	uint64_t first = 0, count = 0;
	struct client_op *op;
	enum volume_op type;

	if (c->state != CLIENT_SERVING || c->op_count >= c->tenant->depth)
		return false;
	world_draw(w, DRAW_OPERATION, w->stats.operations);
	type = random_type(w->sim);
	if (type != VOLUME_FLUSH)
		random_range(c, type, &first, &count);
	op = op_new(c, type, first * SECTOR, count * SECTOR);
	op->req.fua = (type == VOLUME_WRITE || type == VOLUME_ZERO) &&
		      sim_chance(w->sim, 1, 10);
	world_draw_end(w);
	op_begin(op);
	return true;
}

/* ---- a helper dies ------------------------------------------------------ */

struct resend {
	struct list_head node;
	enum volume_op type;
	bool fua;
	uint64_t offset, length, asked;
};

/* Ends all requests; what the kernel will send again is remembered. */
void client_drop_requests(struct client *c)
{
	struct client_op *op, *tmp;
	struct resend *r;

	list_for_each_entry_safe(op, tmp, &c->ops, node) {
		if (c->device && !op->checking) {
			r = calloc(1, sizeof(*r));
			if (!r)
				abort();
			r->type = op->req.op;
			r->fua = op->req.fua;
			r->offset = op->req.offset;
			r->length = op->req.length;
			r->asked = op->asked;
			list_add_tail(&r->node, &c->resends);
		}
		op_free(op);
	}
	while (!c->device && !list_empty(&c->resends)) {
		r = list_first_entry(&c->resends, struct resend, node);
		list_del_init(&r->node);
		free(r);
	}
}

void client_resend(struct client *c)
{
	struct client_op *op;
	struct resend *r;

	while (!list_empty(&c->resends)) {
		r = list_first_entry(&c->resends, struct resend, node);
		list_del_init(&r->node);
		op = op_new(c, r->type, r->offset, r->length);
		op->req.fua = r->fua;
		op->asked = r->asked;
		free(r);
		c->world->stats.resends++;
		op_begin(op);
	}
}

bool client_submit_last(struct client *c, bool fua)
{
	return fua ? client_submit_one(c, VOLUME_WRITE, BLOCK_SIZE, true) :
		     client_submit_one(c, VOLUME_FLUSH, 0, false);
}

bool client_submit_one(struct client *c, enum volume_op type, uint64_t length,
		       bool fua)
{
	struct client_op *op;

	if (c->state != CLIENT_SERVING)
		return false;
	op = op_new(c, type, 0, length);
	op->req.fua = fua;
	op->last = true;
	c->last_done = false;
	op_begin(op);
	return true;
}

void client_check_ages(struct client *c)
{
	uint64_t now = sim_now(c->world->sim);
	struct world *w = c->world;
	struct client_op *op;

	list_for_each_entry(op, &c->ops, node)
		if (now - op->started > w->io_timeout * 2) {
			world_fail(w, "operation %u (type %d) of %s has waited "
				   "for %llu s", op->id, op->req.op,
				   sim_node_name(c->node),
				   (now - op->started) / NSEC_PER_SEC);
			return;
		}
	if ((c->state == CLIENT_ATTACHING || c->state == CLIENT_DETACHING) &&
	    now - c->began > w->io_timeout * 10)
		world_fail(w, "%s is %s for %llu s", sim_node_name(c->node),
			   client_state_name(c), (now - c->began) /
			   NSEC_PER_SEC);
}
