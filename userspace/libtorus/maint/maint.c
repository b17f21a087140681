// SPDX-License-Identifier: Apache-2.0
/*
 * The life of maintenance, what reaches it from outside, and what it says of
 * itself. Events only note what is to be looked at; the turn, which comes from
 * the loop, does it. The order of a turn is that of a chunk's way: peers, walk,
 * questions, transfers, removals.
 */
#include "maint/private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"

#define GRACE_NS	(600 * NSEC_PER_SEC)
#define RATE_BUSY	(32ull << 20)
#define TRANSFERS	4u
#define WALK_INTERVAL	(3600 * NSEC_PER_SEC)
#define SEALED_DELAY	(5 * NSEC_PER_SEC)	/* the others are being sealed */
#define LENGTH_UNKNOWN	(~0ull)

void maint_kick(struct maint *m)
{
	maint_wake_at(m, env_now(m->env));
}

void maint_wake_at(struct maint *m, uint64_t when)
{
	env_timer_set_by(m->env, &m->turn, when);
}

/* Once all is done that was to be done. */
static void say_done(struct maint *m)
{
	uint64_t chunks = m->copied_chunks - m->said.copied_chunks;
	uint64_t dropped = m->dropped_chunks - m->said.dropped_chunks;

	if ((chunks == 0 && dropped == 0) || !maint_settled(m))
		return;
	log_info("repair: %" PRIu64 " chunks (%" PRIu64 " bytes) were copied to other peers, %" PRIu64 " that do not belong here were removed; nothing is left to do",
		 chunks, m->copied_bytes - m->said.copied_bytes, dropped);
	m->said.copied_chunks = m->copied_chunks;
	m->said.copied_bytes = m->copied_bytes;
	m->said.dropped_chunks = m->dropped_chunks;
}

static void turn(struct env_timer *timer)
{
	struct maint *m = container_of(timer, struct maint, turn);

	members_turn(m);
	volumes_turn(m);
	walk_turn(m);
	lookup_turn(m);
	push_turn(m);
	drop_turn(m);
	seal_turn(m);
	moved_turn(m);
	say_done(m);
	if (m->walk.next_full != 0)
		maint_wake_at(m, m->walk.next_full);
}

/* ---- the store tells ---------------------------------------------------------- */

static void copy_changed(void *ctx, const struct store_copy *copy)
{
	struct maint *m = ctx;

	scrub_copy_changed(&m->scrub, copy);
	if (copy->state == WIRE_COPY_SEALED)
		item_look(m, copy->volume, copy->chunk, SEALED_DELAY);
}

static void unsettled(void *ctx, uint64_t volume, uint64_t chunk)
{
	struct maint *m = ctx;

	garbage_want(&m->garbage);
}

/* It may give way now. */
static void settled(void *ctx, uint64_t volume, uint64_t chunk)
{
	item_look(ctx, volume, chunk, 0);
}

static void check(void *ctx, uint64_t volume, uint64_t chunk, uint32_t flags)
{
	struct maint *m = ctx;

	if (flags & WIRE_CHECK_PLACE)
		item_look(m, volume, chunk, 0);
	if (flags & WIRE_CHECK_VERIFY)
		scrub_check(&m->scrub, volume, chunk);
}

static uint64_t count_grace(const struct maint *m)
{
	struct maint_peer *p;
	uint64_t n = 0;

	list_for_each_entry(p, &m->peers, node)
		n += p->waiting;
	return n;
}

uint64_t maint_put_off(const struct maint *m, uint64_t *bytes, uint64_t *fewer)
{
	struct hash_node *n = hash_walk(&m->items, NULL);
	uint64_t chunks = 0;

	*bytes = 0;
	*fewer = 0;
	for (; n != NULL; n = hash_walk(&m->items, n)) {
		const struct item *item = container_of(n, struct item, by_chunk);

		if (!item->lacking || item->state == ITEM_PUSH ||
		    item->state == ITEM_PUSHING)
			continue;
		chunks++;
		*bytes += (uint64_t)item->length * BLOCK_SIZE;
		*fewer += item->copies < item->replication;
	}
	return chunks;
}

static void report(struct maint *m, struct wire_maintenance_reply *reply)
{
	uint64_t off_bytes, off_short, off = maint_put_off(m, &off_bytes,
							   &off_short);
	uint64_t bytes = m->push_bytes + m->over_bytes + off_bytes;
	uint64_t rate = rate_speed(m);
	uint64_t eta = bytes == 0 ? 0 :
		       rate == 0 ? LENGTH_UNKNOWN : DIV_ROUND_UP(bytes, rate);

	reply->ring_version = cpu_to_le64(m->ring_version);
	reply->copy_chunks = cpu_to_le64(m->push_count + m->over_chunks +
					 off);
	reply->copy_bytes = cpu_to_le64(bytes);
	reply->short_chunks = cpu_to_le64(m->short_count + off_short);
	reply->grace_chunks = cpu_to_le64(count_grace(m));
	reply->drop_chunks = cpu_to_le64(m->drop_count);
	reply->drop_bytes = cpu_to_le64(m->drop_bytes);
	reply->copied_chunks = cpu_to_le64(m->copied_chunks);
	reply->copied_bytes = cpu_to_le64(m->copied_bytes);
	reply->dropped_chunks = cpu_to_le64(m->dropped_chunks);
	reply->rate = cpu_to_le64(rate);
	reply->eta_s = cpu_to_le64(eta);
}

static uint32_t maintenance(void *ctx, enum wire_maintenance_action action,
			    struct wire_maintenance_reply *reply,
			    struct wire_finding *findings, uint32_t max)
{
	struct maint *m = ctx;

	scrub_action(&m->scrub, action);
	report(m, reply);
	garbage_report(&m->garbage, reply);
	return scrub_report(&m->scrub, reply, findings, max);
}

static const struct store_events store_events = {
	.copy_changed = copy_changed,
	.unsettled = unsettled,
	.check = check,
	.maintenance = maintenance,
};

/* ---- the cluster tells ---------------------------------------------------------- */

/* Both rings live until the next change was told. */
static void take_ring(struct maint *m)
{
	const struct ring *ring = cluster_ring(m->cluster);
	uint64_t version = ring_spec(ring)->version;

	m->ring = ring;
	m->previous = version > 0 ?
		      cluster_ring_version(m->cluster, version - 1) : NULL;
	if (version == m->ring_version)
		return;
	m->ring_version = version;
	store_set_ring_version(m->store, version);
	items_forget(m);
	moved_reset(m);
	walk_want(m);
}

void maint_ring_changed(struct maint *m)
{
	take_ring(m);
	members_sync(m);
	scrub_peers_changed(&m->scrub);
	maint_kick(m);
}

void maint_peer_changed(struct maint *m, struct peer *peer, int err)
{
	members_changed(m, peer, err);
	if (err == 0)
		scrub_peers_changed(&m->scrub);
}

void maint_alive_changed(struct maint *m, const struct uuid *peer, bool alive)
{
	members_alive(m, peer, alive);
}

/* ---- life ------------------------------------------------------------------------- */

static void set_config(struct maint *m, const struct maint_config *cfg)
{
	m->cfg = *cfg;
	if (m->cfg.recovery_grace_ns == 0)
		m->cfg.recovery_grace_ns = GRACE_NS;
	if (m->cfg.rate_busy == 0)
		m->cfg.rate_busy = RATE_BUSY;
	if (m->cfg.transfers == 0)
		m->cfg.transfers = TRANSFERS;
	m->cfg.transfers = MIN(m->cfg.transfers, MAINT_TRANSFERS_MAX);
	if (m->cfg.walk_interval_ns == 0)
		m->cfg.walk_interval_ns = WALK_INTERVAL;
}

static int init_tables(struct maint *m)
{
	int err = items_init(m);

	if (err < 0)
		return err;
	err = volumes_init(m);
	if (err < 0)
		items_release(m);
	return err;
}

struct maint *maint_new(struct env *env, struct meta *meta,
			struct cluster *cluster, struct store *store,
			const struct maint_config *cfg)
{
	const struct scrub_config scrub = {
		.rate = cfg->scrub_rate,
		.interval_ns = cfg->scrub_interval_ns,
	};
	struct settler_config settler = { .grace_ns = cfg->recovery_grace_ns };
	struct maint *m = calloc(1, sizeof(*m));
	const struct garbage_config garbage = {
		.interval_ns = cfg->walk_interval_ns,
		.settled = settled, .ctx = m,
	};

	if (m == NULL)
		return NULL;
	memcpy(settler.host, cfg->host, sizeof(settler.host));
	m->env = env;
	m->cluster = cluster;
	m->store = store;
	if (init_tables(m) < 0) {
		free(m);
		return NULL;
	}
	set_config(m, cfg);
	env_random(env, &m->token, sizeof(m->token));
	metacalls_init(&m->calls, meta);
	list_init(&m->batches);
	list_init(&m->pushing);
	list_init(&m->dropping);
	list_init(&m->sealing);
	list_init(&m->spare_pieces);
	env_timer_init(&m->turn, turn);
	members_init(m);
	walk_init(m);
	scrub_init(&m->scrub, env, cluster, store, &scrub);
	if (garbage_init(&m->garbage, env, meta, cluster, store, &garbage)) {
		maint_free(m);
		return NULL;
	}
	settler_init(&m->settler, env, meta, cluster, &settler);
	store_set_events(store, &store_events, m);
	take_ring(m);
	members_sync(m);
	maint_kick(m);
	return m;
}

void maint_free(struct maint *m)
{
	if (m == NULL)
		return;
	store_set_events(m->store, NULL, NULL);
	env_timer_cancel(m->env, &m->turn);
	metacalls_release(&m->calls);
	lookup_release(m);
	push_release(m);
	drop_release(m);
	seal_release(m);
	scrub_release(&m->scrub);
	garbage_release(&m->garbage);
	settler_release(&m->settler);
	moved_release(m);
	volumes_release(m);
	items_release(m);
	members_release(m);
	free(m);
}

/* ---- questions ---------------------------------------------------------------------- */

bool maint_settled(const struct maint *m)
{
	return !walk_pending(m) && m->items.count == 0 && count_grace(m) == 0;
}

bool maint_idle(const struct maint *m)
{
	return maint_settled(m) && scrub_idle(&m->scrub) &&
	       garbage_idle(&m->garbage) && settler_idle(&m->settler);
}
