// SPDX-License-Identifier: Apache-2.0
/*
 * One peer leaves the cluster, as torusctl has it done:
 *
 *   lost     it is gone at once, with all that it had. After a while a person
 *            removes it by force: out of the ring, and when its lease is over
 *            it is forgotten. It may come back much later, with its old data.
 *   retires  it drains; when it holds nothing more it is taken out of the ring,
 *            and ends.
 *
 * Nobody else is lost in such a seed, and no other disk goes bad: what was
 * flushed has two copies. Where the others would be too few nobody leaves.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "peer/ring_change.h"
#include "store/maintain.h"
#include "world.h"

#define LOOK_AGAIN (5 * NSEC_PER_SEC)

static bool can_go(struct world *w)
{
	return !w->one_gone && !w->rotten && !w->disk_errors &&
	       !w->removal.store && w->store_count > world_replication(w) &&
	       w->store_count > 3;
}

static void choose(struct world *w)
{
	w->removal.store = &w->stores[sim_below(w->sim, w->store_count)];
	w->removal.returns = sim_chance(w->sim, 1, 2);
	w->one_gone = true;
	w->rotten = w->removal.store;
}

void removal_lose(struct world *w)
{
	struct store_node *s;

	if (!can_go(w))
		return;
	choose(w);
	s = w->removal.store;
	s->gone = true;
	w->removal.lost = true;
	store_node_crash(s, 0);
	sim_task_after(&w->removal.turn,
		       sim_between(w->sim, 1, 100) * NSEC_PER_SEC);
}

void removal_retire(struct world *w)
{
	if (!can_go(w))
		return;
	choose(w);
	sim_task_after(&w->removal.turn, 1);
}

static bool edit_remove(struct world *w, struct ring_spec *spec, void *ctx)
{
	struct store_node *s = ctx;

	ring_add_spares(w, spec);
	return !ring_change_remove(spec, &s->id);
}

static bool edit_drain(struct world *w, struct ring_spec *spec, void *ctx)
{
	struct store_node *s = ctx;
	uint32_t i;

	ring_add_spares(w, spec);
	for (i = 0; i < spec->member_count; i++)
		if (uuid_equal(&spec->members[i].peer, &s->id) &&
		    spec->members[i].weight) {
			spec->members[i].weight = 0;
			return true;
		}
	return false;
}

/* Of the member: -1 if it is none. */
static int64_t weight(struct world *w, const struct store_node *s)
{
	struct ring_doc *doc = ring_load(w);
	int64_t found = -1;
	uint32_t i;

	for (i = 0; i < doc->current.member_count; i++)
		if (uuid_equal(&doc->current.members[i].peer, &s->id))
			found = (int64_t)doc->current.members[i].weight;
	free(doc);
	return found;
}

/* Once its lease is over: nothing waits for it any more. */
static bool forget(struct world *w, const struct store_node *s)
{
	char peer[META_KEY_MAX], alive[META_KEY_MAX], moved[META_KEY_MAX];
	struct meta_txn txn = {
		.compare = { { alive, 0 } }, .compare_count = 1,
		.put = { { peer, NULL, 0 }, { moved, NULL, 0 } },
		.put_count = 2,
	};

	key_peer(&w->cluster, &s->id, peer);
	key_alive(&w->cluster, &s->id, alive);
	key_moved(&w->cluster, &s->id, moved);
	return sim_meta_txn(w->sim, &txn);
}

static bool holds_nothing(const struct store_node *s)
{
	struct store_copy copy;

	return s->serving && !store_copy_next(s->store, 0, 0, &copy);
}

/* Whether it is out of the ring. */
static bool taken_out(struct world *w, struct store_node *s)
{
	int64_t now = weight(w, s);

	if (now < 0)
		return true;
	if (!w->removal.lost && now > 0)
		ring_change(w, edit_drain, s);
	else if (w->removal.lost || holds_nothing(s))
		ring_change(w, edit_remove, s);
	return weight(w, s) < 0;
}

static void come_back(struct world *w)
{
	struct store_node *s = w->removal.store;

	if (!w->removal.returns)
		return;
	w->removal.returns = false;
	s->gone = false;
	w->stats.returned++;
	store_node_start(s);
}

static void back_task(struct sim_task *task)
{
	come_back(container_of(task, struct world, removal.back));
}

static void turn_task(struct sim_task *task)
{
	struct world *w = container_of(task, struct world, removal.turn);
	struct store_node *s = w->removal.store;

	if (w->meta_lost) {
		sim_task_after(task, LOOK_AGAIN);
		return;
	}
	if (!s->gone && weight(w, s) < 0) {
		s->gone = true;		/* retired: its machine is switched off */
		store_node_kill(s, 0);
	}
	if (!taken_out(w, s) || !s->gone || !forget(w, s)) {
		sim_task_after(task, LOOK_AGAIN);
		return;
	}
	sim_trace(w->sim, s->node, "removed", 0, 0, 0, 0);
	w->removal.done = true;
	s->removed = sim_now(w->sim);
	w->stats.removed++;
	sim_task_after(&w->removal.back,
		       sim_between(w->sim, 10, 400) * NSEC_PER_SEC);
}

/* One that drains may keep chunks of a log's end that nobody writes on. */
bool removal_goes_on(const struct world *w)
{
	return (w->removal.lost && !w->removal.done) ||
	       (w->removal.done && w->removal.returns);
}

void removal_init(struct world *w)
{
	sim_task_init(w->sim, &w->removal.turn, turn_task);
	sim_task_init(w->sim, &w->removal.back, back_task);
}

void removal_free(struct world *w)
{
	sim_task_cancel(&w->removal.turn);
	sim_task_cancel(&w->removal.back);
}
