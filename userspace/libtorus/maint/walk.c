// SPDX-License-Identifier: Apache-2.0
/*
 * The walk: every copy that is here, by a cursor, a batch at a time. It has all
 * of them looked at (at the start, after a change of the ring, when something
 * found no room, and now and then), or only those of which one of some peers is
 * an owner (when that came up, or was lost).
 *
 * What is wanted while one is under way begins another after it. There is a
 * pause between two, as long as the walk took: a peer that comes and goes
 * causes no storm.
 */
#include "maint/private.h"

#include "base/cleanup.h"

#define START_DELAY	(3 * NSEC_PER_SEC)	/* peers get connected */
#define PAUSE_MIN	NSEC_PER_SEC
#define TURN_MAX	4096u		/* copies passed in one turn */

void walk_init(struct maint *m)
{
	m->walk.wanted = true;
	m->walk.not_before = env_now(m->env) + START_DELAY;
}

void walk_want(struct maint *m)
{
	m->walk.wanted = true;
	maint_kick(m);
}

static bool peers_want(const struct maint *m)
{
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node)
		if (p->walk && p->current)
			return true;
	return false;
}

bool walk_pending(const struct maint *m)
{
	return m->walk.active || m->walk.wanted || peers_want(m) ||
	       m->overflow;
}

static void begin(struct maint *m, bool all)
{
	struct walk *w = &m->walk;
	struct maint_peer *p;

	w->active = true;
	w->all = all;
	w->wanted = false;
	w->volume = 0;
	w->chunk = 0;
	w->began = env_now(m->env);
	w->ring_version = m->ring_version;
	if (!all)
		return;
	m->overflow = false;
	m->over_chunks = 0;
	m->over_bytes = 0;
	list_for_each_entry(p, &m->peers, node) {
		p->waiting = 0;
		p->walk = false;
	}
}

static void end(struct maint *m)
{
	struct walk *w = &m->walk;
	uint64_t now = env_now(m->env);

	w->active = false;
	w->not_before = now + MAX(PAUSE_MIN, now - w->began);
	if (!w->all)
		return;
	w->done_version = w->ring_version;
	w->next_full = now + m->cfg.walk_interval_ns;
	maint_wake_at(m, w->next_full);
}

/* One of the peers that this walk is about is an owner. */
static bool concerns(struct maint *m, const struct store_copy *copy,
		     const struct maint_peer *const *about, uint32_t count)
{
	struct uuid owner[RING_REPLICATION_MAX];
	uint32_t i, j, n;

	n = ring_ensemble(m->ring, copy->volume, copy->chunk,
			  volumes_most(m, copy->volume), NULL, 0, owner);
	for (i = 0; i < n; i++)
		for (j = 0; j < count; j++)
			if (uuid_equal(&owner[i], &about[j]->id))
				return true;
	return false;
}

static uint32_t collect(struct maint *m, const struct maint_peer **about)
{
	struct maint_peer *p;
	uint32_t n = 0;

	list_for_each_entry(p, &m->peers, node)
		if (p->walk && n < RING_MEMBERS_MAX)
			about[n++] = p;
	return n;
}

static void forget_peers(struct maint *m)
{
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node)
		p->walk = false;
}

/* Feeds what is ready to be asked about, but no more than a batch. */
static void feed(struct maint *m)
{
	const struct maint_peer *about[RING_MEMBERS_MAX];
	struct walk *w = &m->walk;
	uint32_t n = w->all ? 0 : collect(m, about), passed, found = 0;
	struct store_copy copy;
	struct item *item;

	for (passed = 0; passed < TURN_MAX && found < MAINT_BATCH_MAX;
	     passed++) {
		if (!store_copy_next(m->store, w->volume, w->chunk, &copy)) {
			if (!w->all)
				forget_peers(m);
			end(m);
			return;
		}
		w->volume = copy.volume;
		w->chunk = copy.chunk;
		item = item_find(m, copy.volume, copy.chunk);
		if (item == NULL && (w->all || concerns(m, &copy, about, n))) {
			item = item_new(m, copy.volume, copy.chunk);
			found += item != NULL;
		}
		if (item != NULL)
			item_walked(item);
	}
	maint_kick(m);
}

static bool may_begin(struct maint *m)
{
	struct walk *w = &m->walk;
	uint64_t now = env_now(m->env);

	if (w->next_full != 0 && now >= w->next_full) {
		w->wanted = true;
		w->next_full = 0;
	}
	/* What found no room has some again. */
	if (m->overflow && m->parked <= m->parked_max / 2 &&
	    m->queued <= m->queued_max / 2)
		w->wanted = true;
	if (!w->wanted && !peers_want(m))
		return false;
	if (now < w->not_before) {
		maint_wake_at(m, w->not_before);
		return false;
	}
	return true;
}

void walk_turn(struct maint *m)
{
	if (m->ring == NULL || ring_spec(m->ring)->member_count == 0)
		return;
	if (!m->walk.active) {
		if (!may_begin(m))
			return;
		begin(m, m->walk.wanted);
	}
	if (list_empty(&m->ready))
		feed(m);
}
