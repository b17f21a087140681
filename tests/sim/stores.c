// SPDX-License-Identifier: Apache-2.0
/*
 * The store processes: started, killed, crashed with their machine, and
 * started again by themselves after a while.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "world.h"

#define RETRY (200 * NSEC_PER_MSEC)
/*
 * Two stores that lose power so soon after each other may be all who had what
 * was not flushed yet: then nobody has a write that was acknowledged, and the
 * device may fail for good.
 */
#define WIDE_LOSS (20 * NSEC_PER_SEC)
/* One that does not come back leaves the others with a copy less for longer. */
#define LONG_LOSS (200 * NSEC_PER_SEC)

static bool disk_fails(const struct store_node *s)
{
	const struct sim_disk_faults *f = sim_node_disk_faults(s->node);

	return f->sync_eio || f->write_eio || f->read_eio;
}

static void restart_task(struct sim_task *task)
{
	store_node_start(container_of(task, struct store_node, restart));
}

/*
 * The process ends, and the machine perhaps. If it does not, the page cache of
 * the next process holds bytes that the disk has not got since a sync failed.
 */
void store_node_heal(struct store_node *s)
{
	struct sim_disk_faults *f = sim_node_disk_faults(s->node);

	if (!disk_fails(s))
		return;
	if (sim_chance(s->world->sim, 1, 2))
		store_node_crash(s, 10 * NSEC_PER_MSEC);
	else
		store_node_kill(s, 10 * NSEC_PER_MSEC);
	f->sync_eio = f->write_eio = f->read_eio = 0;
}

static void heal_task(struct sim_task *task)
{
	store_node_heal(container_of(task, struct store_node, heal));
}

static void give_up_task(struct sim_task *task)
{
	store_node_kill(container_of(task, struct store_node, give_up), RETRY);
}

static void empty_task(struct sim_task *task)
{
	struct store_node *s = container_of(task, struct store_node, empty);

	sim_disk_fill(s->node, UINT64_MAX);
}

void store_node_init(struct world *w, unsigned int i)
{
	struct store_node *s = &w->stores[i];
	char name[16];

	snprintf(name, sizeof(name), "store%u", i);
	s->world = w;
	s->node = sim_node_new(w->sim, name);
	snprintf(s->address, sizeof(s->address), "%s:1", name);
	world_draw_clock(w, s->node);
	sim_task_init(w->sim, &s->restart, restart_task);
	sim_task_init(w->sim, &s->heal, heal_task);
	sim_task_init(w->sim, &s->give_up, give_up_task);
	sim_task_init(w->sim, &s->empty, empty_task);
	store_maintain_init(s);
	sim_node_kill(s->node);
}

/* ---- its place in the cluster: as torusd does it ------------------------- */

static void member_changed(void *ctx)
{
}

static void member_failed(void *ctx, int err)
{
	struct store_node *s = ctx;

	world_fail(s->world, "%s takes itself for a copy: %s",
		   sim_node_name(s->node), error_text(err));
}

static const struct member_ops member_callbacks = {
	.changed = member_changed,
	.failed = member_failed,
};

static void become_member(struct store_node *s)
{
	struct member_config cfg = {
		.env = sim_node_env(s->node), .meta = sim_node_meta(s->node),
		.store = s->store, .ops = &member_callbacks, .ctx = s,
	};
	struct peer_doc doc;

	world_cluster_doc(s->world, &cfg.cluster);
	world_peer_doc(s->world, (unsigned int)(s - s->world->stores), &doc);
	memcpy(cfg.address, doc.address, sizeof(cfg.address));
	memcpy(cfg.zone, doc.zone, sizeof(cfg.zone));
	memcpy(cfg.host, doc.host, sizeof(cfg.host));
	member_start(&s->member, &cfg);
}

static void space_moved(void *ctx)
{
	struct store_node *s = ctx;

	member_space_moved(&s->member);
}

static void on_open(void *ctx, int err)
{
	struct store_node *s = ctx;

	if (!err)
		err = store_serve(s->store, s->address);
	if (err && (disk_fails(s) || sim_node_disk_faults(s->node)->taken)) {
		/* Not from inside: the store still stands there. */
		sim_task_after(&s->give_up, 1);
		return;
	}
	if (err) {
		world_fail(s->world, "%s cannot start: %s",
			   sim_node_name(s->node), error_text(err));
		return;
	}
	s->serving = true;
	become_member(s);
	store_maintain_start(s);
}

void store_node_start(struct store_node *s)
{
	struct world *w = s->world;
	struct store_config cfg = {
		.cluster = w->cluster, .peer = s->id,
		.new_incarnation = s->force_incarnation,
		.sync_interval_ns = w->sync_interval,
		.chunk_size = (uint64_t)w->chunk_blocks * BLOCK_SIZE,
		.size = w->store_size,
		.space_moved = space_moved,
		.ctx = s,
	};

	if (s->store || s->gone)
		return;
	sim_task_cancel(&s->restart);
	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot-%u",
		 sim_node_boots(s->node));
	sim_node_start(s->node);
	s->force_incarnation = false;
	s->store = store_open(sim_node_env(s->node), &cfg, on_open, s);
	if (!s->store)
		abort();
}

static void store_end(struct store_node *s, uint64_t after)
{
	store_maintain_stop(s);
	member_release(&s->member);
	memset(&s->member, 0, sizeof(s->member));
	if (s->store)
		store_free(s->store);
	s->store = NULL;
	s->serving = false;
	sim_task_cancel(&s->give_up);
	if (after)
		sim_task_after(&s->restart, after);
}

/* With a bad disk, what was not synced is lost to the next process. */
void store_node_kill(struct store_node *s, uint64_t after)
{
	bool may_have_lost = disk_fails(s);

	sim_node_kill(s->node);
	store_end(s, after);
	if (!may_have_lost)
		return;
	store_node_suspect(s);
	inspect_power_loss(s);
}

void store_node_suspect(struct store_node *s)
{
	struct world *w = s->world;
	struct store_node *other;
	bool wide = false;
	struct tenant *t;

	for_each_store(other, w)
		wide |= other != s && other->power_loss &&
			sim_now(w->sim) - other->power_loss <
				(other->gone ? LONG_LOSS : WIDE_LOSS);
	s->power_loss = sim_now(w->sim);
	for_each_tenant(t, w) {
		t->wide_loss |= wide;
		model_power_loss(t->model, s->power_loss, t->wide_loss);
	}
}

void store_node_crash(struct store_node *s, uint64_t after)
{
	sim_node_crash(s->node);
	store_end(s, after);
	store_node_suspect(s);
	inspect_power_loss(s);
}

void store_node_free(struct store_node *s)
{
	store_node_kill(s, 0);
	sim_task_cancel(&s->restart);
	sim_task_cancel(&s->heal);
	sim_task_cancel(&s->empty);
}

unsigned int stores_serving(const struct world *w)
{
	unsigned int i, n = 0;

	for (i = 0; i < w->store_count; i++)
		n += w->stores[i].serving;
	return n;
}
