// SPDX-License-Identifier: Apache-2.0
/*
 * Maintenance in each store's process, as torusd runs it: a view of the
 * cluster, and what looks after the copies here. The view is opened when the
 * store serves, and again after a while when the metadata could not be had.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "maint/maint.h"
#include "maint/private.h"
#include "peer/cluster.h"
#include "world.h"

#define RETRY NSEC_PER_SEC

static void ring_changed(void *ctx)
{
	struct store_node *s = ctx;

	if (s->maint)
		maint_ring_changed(s->maint);
}

static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct store_node *s = ctx;

	if (s->maint)
		maint_peer_changed(s->maint, peer, err);
}

static void alive_changed(void *ctx, const struct uuid *peer, bool alive)
{
	struct store_node *s = ctx;

	if (s->maint)
		maint_alive_changed(s->maint, peer, alive);
	if (!alive && uuid_equal(peer, &s->id))
		member_seen_dead(&s->member);
}

static const struct cluster_ops cluster_callbacks = {
	.ring_changed = ring_changed,
	.peer_changed = peer_changed,
	.alive_changed = alive_changed,
};

static void on_cluster(void *ctx, int err)
{
	struct store_node *s = ctx;

	if (err) {
		sim_task_after(&s->open_again, RETRY);
		return;
	}
	s->maint = maint_new(sim_node_env(s->node), sim_node_meta(s->node),
			     s->cluster, s->store, &s->world->maint);
	if (!s->maint)
		abort();
}

void store_maintain_start(struct store_node *s)
{
	struct cluster_config cfg = {
		.self = s->id, .role = WIRE_ROLE_PEER,
		.ops = &cluster_callbacks, .ctx = s,
	};

	cluster_close(s->cluster);
	s->cluster = cluster_open(sim_node_env(s->node), sim_node_meta(s->node),
				  &cfg, on_cluster, s);
	if (!s->cluster)
		abort();
}

/* The process has ended already, or does not run on. */
void store_maintain_stop(struct store_node *s)
{
	sim_task_cancel(&s->open_again);
	maint_free(s->maint);
	cluster_close(s->cluster);
	s->maint = NULL;
	s->cluster = NULL;
}

static void open_again_task(struct sim_task *task)
{
	struct store_node *s = container_of(task, struct store_node, open_again);

	if (s->serving)
		store_maintain_start(s);
}

void store_maintain_init(struct store_node *s)
{
	sim_task_init(s->world->sim, &s->open_again, open_again_task);
}

void maintain_draw(struct world *w)
{
	struct maint_config *cfg = &w->maint;
	struct sim *sim = w->sim;

	cfg->recovery_grace_ns = sim_between(sim, 1, 60) * NSEC_PER_SEC;
	cfg->walk_interval_ns = sim_between(sim, 20, 200) * NSEC_PER_SEC;
	cfg->scrub_interval_ns = sim_between(sim, 30, 300) * NSEC_PER_SEC;
	cfg->scrub_rate = sim_between(sim, 1, 64) << 20;
	cfg->rate_busy = sim_between(sim, 1, 64) << 20;
	cfg->transfers = (uint32_t)sim_between(sim, 1, 6);
	snprintf(cfg->host, sizeof(cfg->host), "maintenance");
}

/* A peer that was removed, and came back, may keep what nobody knows any more. */
static bool is_deleted(struct world *w, uint64_t volume)
{
	const struct tenant *t;

	for_each_tenant(t, w)
		if (t->id == volume)
			return t->deleted;
	return false;
}

/* A bad copy of which there is no good one any more. Or one that has gone
 * meanwhile, or is good again: the next turn finds that. */
static bool is_needless(const struct store_node *s,
			const struct scrub_place *place)
{
	struct store_copy copy;

	return !store_copy_get(s->store, place->volume, place->chunk, &copy) ||
	       copy.state != WIRE_COPY_BAD ||
	       is_deleted(s->world, place->volume);
}

/* A bad copy that a good one cannot replace before there is room for both. */
static bool has_no_room(const struct store_node *s,
			const struct scrub_place *place)
{
	struct store_copy copy;

	return store_copy_get(s->store, place->volume, place->chunk, &copy) &&
	       full_refuses(s, &copy);
}

/* Where such a copy is not even to be it waits until the owners have theirs. */
static bool keeps_in_vain(const struct store_node *s, uint32_t vain)
{
	return maint_settled(s->maint) ||
	       (vain && s->maint->items.count <= vain &&
		!walk_pending(s->maint));
}

/* Others are asked for copies that cannot be, and nothing else is done. */
static bool asks_in_vain(const struct store_node *s)
{
	const struct scrub *scrub = &s->maint->scrub;
	const struct scrub_place *place;
	uint32_t i, vain = 0;

	for (i = 0; i < SCRUB_HEALS; i++) {
		place = &scrub->heal[i].place;
		if (!place->chunk)
			continue;
		if (!is_needless(s, place) && !has_no_room(s, place))
			return false;
		vain += item_find(s->maint, place->volume, place->chunk) != NULL;
	}
	return keeps_in_vain(s, vain) && garbage_idle(&s->maint->garbage) &&
	       settler_idle(&s->maint->settler) && !scrub->heal_walk &&
	       !scrub->check_count && !(scrub->verifying && !scrub->in_turn);
}

const char *maintain_does(struct store_node *s, uint64_t volume, uint64_t chunk)
{
	static const char *const states[] = {
		[ITEM_LATER] = ", looked at later", [ITEM_READY] = ", looked at",
		[ITEM_ASKED] = ", asked about", [ITEM_PUSH] = ", to be pushed",
		[ITEM_PUSHING] = ", pushed", [ITEM_DROP] = ", to be dropped",
		[ITEM_DROPPING] = ", dropped", [ITEM_SEAL] = ", to be sealed",
		[ITEM_SEALING] = ", sealing",
	};
	const struct item *item;

	if (!s->serving || !s->maint)
		return "";
	item = item_find(s->maint, volume, chunk);
	return item ? states[item->state] : "";
}

const char *maintain_busy(const struct store_node *s)
{
	const struct maint *m = s->maint;

	if (!s->serving || !m || maint_idle(m))
		return "";
	if (!maint_settled(m))
		return m->items.count ? "; copies" :
		       walk_pending(m) ? "; walks" : "; waits for a grace";
	if (!garbage_idle(&m->garbage))
		return "; collects garbage";
	return settler_idle(&m->settler) ? "; scrubs" : "; settles";
}

bool maintain_idle(const struct world *w)
{
	const struct store_node *s;

	for_each_store(s, w)
		if (s->serving && (!s->maint || (!maint_idle(s->maint) &&
						 !asks_in_vain(s))))
			return false;
	return true;
}
