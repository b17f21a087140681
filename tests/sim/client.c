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
	return c->tenant->deleted || c->rival || c->claim != c->tenant->claims;
}

void client_init(struct tenant *t, unsigned int i)
{
	struct client *c = &t->clients[i];
	char name[16];

	snprintf(name, sizeof(name), "client%u", t->index * CLIENTS + i);
	c->world = t->world;
	c->tenant = t;
	c->node = sim_node_new(t->world->sim, name);
	world_draw_clock(c->world, c->node);
	list_init(&c->ops);
	list_init(&c->resends);
	sim_node_kill(c->node);
}

/* ---- the check of the whole volume -------------------------------------- */

static void check_finish(struct client *c)
{
	struct world *w = c->world;
	struct tenant *t = c->tenant;

	/* Overtaken while it read: what it saw is what a fenced reader may. */
	if (c->owner == t->owner) {
		model_recovered(t->model, c->image);
		t->wide_loss = false;
		w->stats.recoveries++;
		sim_task_after(&t->recovered, 1000);
	}
	free(c->image);
	c->image = NULL;
	c->state = CLIENT_SERVING;
	client_resend(c);
}

static void check_read(struct client *c, uint64_t offset, uint64_t length)
{
	struct client_op *op = op_new(c, VOLUME_READ, offset, length);

	op->checking = true;
	op_submit(op);
}

void client_check_pump(struct client *c)
{
	uint64_t size = c->tenant->blocks * BLOCK_SIZE, length;

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

void client_check_read_done(struct client_op *op, int err)
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
	sum->cleaned += now.cleaned_chunks - c->seen.cleaned_chunks;
	c->seen = now;
}

/* The engine is gone, with everything that was in flight. */
static void drop_volume(struct client *c)
{
	count_stats(c);
	if (c->volume)
		volume_free(c->volume);
	c->volume = NULL;
	client_drop_requests(c);
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
	struct tenant *t = c->tenant;

	sim_trace(w->sim, c->node, "the volume failed: %llu", why, 0, 0, 0);
	c->failed = true;
	c->failed_at = sim_now(w->sim);
	c->device = false;
	if (why == VOLUME_LOST_DATA) {
		w->stats.lost_devices++;
		if (!t->wide_loss && !t->deleted)
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
 * The log goes through a chunk of which disks that rotted or failed have spoilt
 * all copies: nobody follows it through what may be damaged anywhere.
 */
static bool is_spoilt(const struct tenant *t, int err)
{
	const char *text = error_text(err);
	const char *chunk = strstr(text, "chunk ");

	return strstr(text, "no peer that answers has") && chunk &&
	       faults_spoilt_chunk(t, strtoull(chunk + strlen("chunk "), NULL,
					       10));
}

/*
 * Copies that are damaged or too short, while a peer that may have better ones
 * is gone for ever or all others have answered: nobody may go on by himself.
 * Nor where bad copies are on so many disks that what is left is too few, or
 * where it has no room for the copy of a chunk. With one machine gone, the last
 * writes of an unflushed checkpoint may be damaged on all that are left, although
 * everything that a client wrote was flushed.
 */
static bool needs_person(const struct client *c, int err)
{
	const struct world *w = c->world;
	const struct tenant *t = c->tenant;

	if (err == -ETIMEDOUT && says(err, "durable copies") &&
	    (faults_few_good_disks(w) || full_refuses_chunks(w)))
		return true;
	if (is_spoilt(t, err))
		return true;
	if (c->surviving || err != -EUCLEAN)
		return false;
	return t->wide_loss ||
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
	else if (w->quiet && c->errors > 5 && !full_exhausted(w))
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
	struct tenant *t = c->tenant;

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
	if (c->owner <= t->owner) {	/* overtaken before it heard */
		c->state = CLIENT_SERVING;
		return;
	}
	t->owner = c->owner;
	c->state = CLIENT_CHECKING;
	c->check_next = 0;
	c->image = calloc(t->blocks, BLOCK_SIZE);
	if (!c->image)
		abort();
	model_attached(t->model, c->owner, sim_now(w->sim));
	if (c->surviving)
		model_survived(t->model, c->first_owner);
	durable_attached(c);
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
	c->device = false;
	client_drop_requests(c);
}

void client_attach(struct client *c, bool force, bool surviving)
{
	struct world *w = c->world;
	struct tenant *t = c->tenant;
	struct volume_config cfg = t->config;
	unsigned int i;

	sim_node_start(c->node);
	if (!surviving)
		new_device(c);
	c->others_came = surviving && (c->others_came || client_superseded(c));
	c->claim = ++t->claims;
	c->expect_free = t->detached;
	t->detached = false;
	c->rival = false;
	for (i = 0; i < CLIENTS; i++)
		c->rival |= t->clients[i].state == CLIENT_ATTACHING;
	c->force = force;
	c->surviving = surviving;
	c->failed = false;
	c->began = sim_now(w->sim);
	c->inspected = 0;
	c->durable = 0;
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
	struct tenant *t = c->tenant;

	sim_trace(w->sim, c->node, "detached: %llu", (uint64_t)-err, 0, 0, 0);
	if (err && !client_superseded(c) && !c->failed && w->quiet &&
	    !full_exhausted(w))
		world_fail(w, "%s cannot detach though all is well: %s",
			   sim_node_name(c->node), error_text(err));
	if (!err) {
		model_detached(t->model, c->owner);
		w->stats.detaches++;
		t->detached = !client_superseded(c);
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
