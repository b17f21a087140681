// SPDX-License-Identifier: Apache-2.0
/*
 * One host with the volume attached: the life of the volume engine on it, and
 * its requests.
 *
 *	OFF --attach--> ATTACHING --ok--> CHECKING --volume read--> SERVING
 *	 ^                  |                 |                        |  |
 *	 |                  | error           | failed()               |  detach
 *	 |<-----------------+                 v                        v  v
 *	 |<---------------------------------FAILED <--------------- DETACHING
 *
 * A kill leads to OFF from anywhere. Before a new owner writes anything it
 * reads the whole volume, which the model compares with the history.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "world.h"

#define CHECK_READ (512u << 10)
#define CHECK_DEPTH 4

static const char *const state_names[] = {
	"off", "attaching", "checking", "serving", "detaching", "failed",
};

const char *client_state_name(const struct client *c)
{
	return state_names[c->state];
}

static struct sim *client_sim(const struct client *c)
{
	return c->world->sim;
}

bool client_superseded(const struct client *c)
{
	return c->rival || c->claim != c->world->claims;
}

void client_init(struct world *w, unsigned int i)
{
	struct client *c = &w->clients[i];
	char name[16];

	snprintf(name, sizeof(name), "client%u", i);
	c->world = w;
	c->node = sim_node_new(w->sim, name);
	list_init(&c->ops);
	sim_node_kill(c->node);
}

/* ---- requests ----------------------------------------------------------- */

static void op_free(struct client_op *op)
{
	list_del_init(&op->node);
	op->client->op_count--;
	free(op->req.buffer);
	free(op->read.before);
	free(op);
}

/* Is there a reason for this error that is not a bug? */
static bool error_explained(const struct client *c, int err)
{
	const struct world *w = c->world;

	if (client_superseded(c) || c->failed)
		return true;
	switch (err) {
	case -ETIMEDOUT:
		return !w->quiet && faults_active(w);
	case -EIO:
		return w->wide_loss;	/* it may be gone from everywhere */
	default:
		return false;
	}
}

static void op_error(struct client_op *op, int err)
{
	struct client *c = op->client;

	c->world->stats.errors++;
	if (!error_explained(c, err))
		world_fail(c->world, "operation %u (type %d, block %" PRIu64
			   ") of %s failed without a reason: %s", op->id,
			   op->req.op, op->req.offset / BLOCK_SIZE,
			   sim_node_name(c->node), strerror(-err));
}

static void check_read_done(struct client_op *op, int err);

static void op_done(struct volume_request *req, int err)
{
	struct client_op *op = container_of(req, struct client_op, req);
	struct client *c = op->client;
	struct world *w = c->world;
	struct log_position at = volume_acknowledged(c->volume);

	sim_trace(w->sim, c->node, "done: op %llu type %llu error %llu at %llu",
		  op->id, req->op, (uint64_t)-err, req->offset);
	if (op->submitting)
		world_fail(w, "a request completed inside volume_submit()");
	if (op->checking) {
		check_read_done(op, err);
		return;
	}
	if (op->last) {
		c->last_done = true;
		c->last_err = err;
	}
	if (err)
		op_error(op, err);
	if (req->op == VOLUME_READ && !err)
		model_read_done(w->model, &op->read, req->buffer);
	else if (req->op != VOLUME_READ)
		model_done(w->model, op->id, err, sim_now(w->sim));
	if (!err && req->op != VOLUME_READ) {
		if (at.sequence < c->remembered.sequence)
			world_fail(w, "acknowledged sequence went back from %"
				   PRIu64 " to %" PRIu64,
				   c->remembered.sequence, at.sequence);
		c->remembered = at;
		c->acked_at = sim_now(w->sim);
		inspect_acknowledged(c, at);
	}
	op_free(op);
}

static struct client_op *op_new(struct client *c, enum volume_op type,
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
	op->started = sim_now(client_sim(c));
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

static void op_submit(struct client_op *op)
{
	sim_trace(client_sim(op->client), op->client->node,
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
	uint64_t now = sim_now(w->sim), i;
	uint8_t *out = op->req.buffer;

	w->stats.operations++;
	if (op->req.op == VOLUME_READ) {
		op->read.first = op->req.offset / SECTOR;
		op->read.count = op->req.length / SECTOR;
		op->read.before = malloc(sizeof(uint32_t) * op->read.count);
		if (!op->read.before)
			abort();
		model_read_begin(w->model, &op->read, c->owner, now);
		memset(out, 0xee, op->req.length);
	} else {
		op->id = model_submit(w->model, c->owner, &op->req, now);
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
	struct sim *sim = client_sim(c);
	uint64_t blocks = c->world->blocks, start, n;
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
	struct sim *sim = client_sim(c);
	enum volume_op type = random_type(sim);
	uint64_t first = 0, count = 0;
	struct client_op *op;

	if (c->state != CLIENT_SERVING || c->op_count >= c->world->depth)
		return false;
	if (type != VOLUME_FLUSH)
		random_range(c, type, &first, &count);
	op = op_new(c, type, first * SECTOR, count * SECTOR);
	op->req.fua = (type == VOLUME_WRITE || type == VOLUME_ZERO) &&
		      sim_chance(sim, 1, 10);
	op_begin(op);
	return true;
}

bool client_submit_last(struct client *c, bool fua)
{
	struct client_op *op;

	if (c->state != CLIENT_SERVING)
		return false;
	op = fua ? op_new(c, VOLUME_WRITE, 0, BLOCK_SIZE) :
		   op_new(c, VOLUME_FLUSH, 0, 0);
	op->req.fua = fua;
	op->last = true;
	c->last_done = false;
	op_begin(op);
	return true;
}

void client_check_ages(struct client *c)
{
	uint64_t now = sim_now(client_sim(c));
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

/* ---- the check of the whole volume -------------------------------------- */

static void check_finish(struct client *c)
{
	struct world *w = c->world;

	/* Overtaken while it read: what it saw is what a fenced reader may. */
	if (c->owner == w->owner)
		model_recovered(w->model, c->image);
	free(c->image);
	c->image = NULL;
	c->state = CLIENT_SERVING;
	if (c->owner != w->owner)
		return;
	w->wide_loss = false;
	w->stats.recoveries++;
	sim_task_after(&w->recovered, 1000);
}

static void check_read(struct client *c, uint64_t offset, uint64_t length)
{
	struct client_op *op = op_new(c, VOLUME_READ, offset, length);

	op->checking = true;
	op_submit(op);
}

void client_check_pump(struct client *c)
{
	uint64_t size = c->world->blocks * BLOCK_SIZE, length;

	while (c->state == CLIENT_CHECKING && c->check_next < size &&
	       c->op_count < CHECK_DEPTH) {
		length = MIN((uint64_t)CHECK_READ, size - c->check_next);
		check_read(c, c->check_next, length);
		c->check_next += length;
	}
	if (c->state == CLIENT_CHECKING && c->check_next >= size &&
	    !c->op_count)
		check_finish(c);
}

static void check_read_done(struct client_op *op, int err)
{
	struct client *c = op->client;
	uint64_t offset = op->req.offset, length = op->req.length;

	if (!err)
		memcpy(c->image + offset, op->req.buffer, length);
	else
		op_error(op, err);
	op_free(op);
	if (err == -ESTALE || (err && c->failed))
		c->state = CLIENT_FAILED;
	else if (err && c->state == CLIENT_CHECKING && !c->world->failed)
		check_read(c, offset, length);
	else
		client_check_pump(c);
}

/* ---- life --------------------------------------------------------------- */

static void count_stats(struct client *c)
{
	struct world_stats *sum = &c->world->stats;
	struct volume_stats now;

	if (!c->volume)
		return;
	volume_stats(c->volume, &now);
	sum->checkpoints += now.checkpoints - c->seen.checkpoints;
	sum->ensemble_changes += now.ensemble_changes -
				 c->seen.ensemble_changes;
	sum->records += now.records - c->seen.records;
	c->seen = now;
}

/* The engine is gone, with everything that was in flight. */
static void drop_volume(struct client *c)
{
	struct client_op *op, *tmp;

	count_stats(c);
	if (c->volume)
		volume_free(c->volume);
	c->volume = NULL;
	list_for_each_entry_safe(op, tmp, &c->ops, node)
		op_free(op);
	free(c->image);
	c->image = NULL;
	c->state = CLIENT_OFF;
}

void client_kill(struct client *c, bool power)
{
	if (power)
		sim_node_crash(c->node);
	else
		sim_node_kill(c->node);
	if (power || c->state == CLIENT_DETACHING)
		c->device = false;
	drop_volume(c);
}

static void on_failed(void *ctx, enum volume_failure why)
{
	struct client *c = ctx;
	struct world *w = c->world;

	sim_trace(w->sim, c->node, "the volume failed: %llu", why, 0, 0, 0);
	c->failed = true;
	c->failed_at = sim_now(w->sim);
	c->device = false;
	if (why == VOLUME_LOST_DATA) {
		w->stats.lost_devices++;
		if (!w->wide_loss)
			world_fail(w, "%s says that data is lost, but no two "
				   "stores lost power", sim_node_name(c->node));
	} else if (!client_superseded(c)) {
		world_fail(w, "%s says that it is fenced (%d), but nobody else "
			   "came", sim_node_name(c->node), why);
	}
}

static void on_state(void *ctx, const char *sentence)
{
}

static const struct volume_ops volume_callbacks = {
	.failed = on_failed,
	.state = on_state,
};

static bool says(int err, const char *part)
{
	return strstr(error_text(err), part);
}

/*
 * Copies that are damaged or too short, while a peer that may have better ones
 * is gone for ever or all others have answered: nobody may go on by himself.
 * Nor where bad copies are on so many disks that what is left is too few. With
 * one machine gone, the last writes of an unflushed checkpoint may be damaged
 * on all that are left, although everything that a client wrote was flushed.
 */
static bool needs_person(const struct client *c, int err)
{
	const struct world *w = c->world;

	if (err == -ETIMEDOUT && faults_few_good_disks(w) &&
	    says(err, "durable copies"))
		return true;
	if (c->surviving || err != -EUCLEAN)
		return false;
	return w->wide_loss ||
	       (w->one_gone && says(err, "where its log may end, is damaged"));
}

/* Which errors of an attach are no bug, and what follows from them. */
static void attach_failed(struct client *c, int err)
{
	struct world *w = c->world;
	bool others = c->others_came || client_superseded(c);

	c->errors++;
	c->last_error = err;
	sim_trace(w->sim, c->node, "attach failed: %llu, force %llu, surviving "
		  "%llu, in a row %llu", (uint64_t)-err, c->force, c->surviving,
		  c->errors);
	if (c->surviving && err == -ESTALE && !others)
		world_fail(w, "%s: a surviving device was refused (%s), but "
			   "nobody else came", sim_node_name(c->node),
			   error_text(err));
	if (err == -EBUSY && c->expect_free && !others)
		world_fail(w, "%s: refused (%s), but the last one had detached",
			   sim_node_name(c->node), error_text(err));
	if (w->quiet && needs_person(c, err))
		w->stuck = true;
	else if (w->quiet && c->errors > 5)
		world_fail(w, "%s cannot attach though all is well: %s",
			   sim_node_name(c->node), error_text(err));
	if (c->surviving && (err == -ESTALE || err == -EUCLEAN))
		c->device = false;
	c->retry_at = sim_now(w->sim) + sim_between(w->sim, 10, 1000) *
		      NSEC_PER_MSEC;
}

static void on_attach(void *ctx, int err)
{
	struct client *c = ctx;
	struct world *w = c->world;

	if (err) {
		attach_failed(c, err);
		client_kill(c, false);
		return;
	}
	c->errors = 0;
	c->device = true;
	c->owner = (uint32_t)volume_doc(c->volume)->epoch;
	sim_trace(w->sim, c->node, "attached as %llu", c->owner, 0, 0, 0);
	if (!c->first_owner)
		c->first_owner = c->owner;
	if (c->owner <= w->owner) {	/* overtaken before it heard */
		c->state = CLIENT_SERVING;
		return;
	}
	w->owner = c->owner;
	c->state = CLIENT_CHECKING;
	c->check_next = 0;
	c->image = calloc(w->blocks, BLOCK_SIZE);
	if (!c->image)
		abort();
	model_attached(w->model, c->owner, sim_now(w->sim));
	if (c->surviving)
		model_survived(w->model, c->first_owner);
	client_check_pump(c);
}

static void new_device(struct client *c)
{
	size_t i;

	for (i = 0; i < sizeof(c->incarnation.byte); i++)
		c->incarnation.byte[i] = (uint8_t)sim_random(client_sim(c));
	uuid_from_random(&c->incarnation);
	c->remembered = (struct log_position){ 0 };
	c->first_owner = 0;
}

void client_attach(struct client *c, bool force, bool surviving)
{
	struct world *w = c->world;
	struct volume_config cfg = w->config;
	unsigned int i;

	sim_node_start(c->node);
	if (!surviving)
		new_device(c);
	c->others_came = surviving && (c->others_came || client_superseded(c));
	c->claim = ++w->claims;
	c->expect_free = w->detached;
	w->detached = false;
	c->rival = false;
	for (i = 0; i < CLIENTS; i++)
		c->rival |= w->clients[i].state == CLIENT_ATTACHING;
	c->force = force;
	c->surviving = surviving;
	c->failed = false;
	c->began = sim_now(w->sim);
	memset(&c->seen, 0, sizeof(c->seen));
	cfg.force = force;
	cfg.surviving = surviving;
	cfg.remembered = c->remembered;
	cfg.attachment.present = true;
	snprintf(cfg.attachment.host, sizeof(cfg.attachment.host), "%s",
		 sim_node_name(c->node));
	cfg.attachment.pid = 1000;
	snprintf(cfg.attachment.device, sizeof(cfg.attachment.device), "sim");
	cfg.attachment.incarnation = c->incarnation;
	cfg.ops = &volume_callbacks;
	cfg.ctx = c;
	sim_trace(w->sim, c->node, "attach: force %llu surviving %llu "
		  "remembered %llu", force, surviving, c->remembered.sequence,
		  0);
	c->state = CLIENT_ATTACHING;
	c->volume = volume_attach(sim_node_env(c->node), sim_node_meta(c->node),
				  &cfg, on_attach, c);
	if (!c->volume)
		abort();
}

static void on_detach(void *ctx, int err)
{
	struct client *c = ctx;
	struct world *w = c->world;

	sim_trace(w->sim, c->node, "detached: %llu", (uint64_t)-err, 0, 0, 0);
	if (err && !client_superseded(c) && !c->failed && w->quiet)
		world_fail(w, "%s cannot detach though all is well: %s",
			   sim_node_name(c->node), error_text(err));
	if (!err) {
		model_detached(w->model, c->owner);
		w->stats.detaches++;
		w->detached = !client_superseded(c);
	}
	c->device = false;
	client_kill(c, false);
}

void client_detach(struct client *c)
{
	if (c->state != CLIENT_SERVING || c->failed)
		return;
	sim_trace(client_sim(c), c->node, "detach", 0, 0, 0, 0);
	c->state = CLIENT_DETACHING;
	c->began = sim_now(client_sim(c));
	volume_detach(c->volume, on_detach, c);
}
