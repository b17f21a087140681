// SPDX-License-Identifier: Apache-2.0
/*
 * In some seeds the stores are hardly larger than what the volumes hold: they
 * fill up, and stay full. Then new data is refused, and nothing else is; in the
 * calm the volumes are detached and attached as they are, with the checkpoints
 * that this needs, and when their data is trimmed there is room again.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "store/private.h"
#include "store/restore.h"
#include "world.h"

/* How long a writer may take a peer that was full for full. */
#define FORGOTTEN (70 * NSEC_PER_SEC)
/* With less than that left, a large record is refused. */
#define RECORD_MAX (2ull << 20)
/* Two map pages with their headers, or a root. */
#define PAGE_MAX (4ull * BLOCK_SIZE)
#define PATIENCE (1800 * NSEC_PER_SEC)
#define AGAIN (10 * NSEC_PER_SEC)

void full_draw(struct world *w)
{
	uint64_t need = 0, factor;
	struct tenant *t;

	world_draw(w, DRAW_SIZE, 0);
	factor = sim_between(w->sim, 6, 18);
	for_each_tenant(t, w)
		need += t->blocks * BLOCK_SIZE * t->replication;
	if (sim_chance(w->sim, 1, 6) && !w->limits.roomy)
		w->store_size = MAX(need / w->store_count * factor / 10,
				    4ull * w->chunk_blocks * BLOCK_SIZE);
	world_draw_end(w);
}

/* A store keeps two chunks for each volume that is open, but not more than a
 * quarter of its size: not here, if that is less. */
static bool reserve_is_short(const struct world *w)
{
	const struct tenant *t;
	uint64_t promised = 0;

	for_each_volume(t, w)
		promised += 2ull * w->chunk_blocks * BLOCK_SIZE;
	return w->store_size / 4 < promised;
}

/* Fewer than any volume's min_replicas take so much, even of pages and copies. */
static bool reserve_is_used_up(const struct world *w, uint64_t bytes)
{
	const struct store_node *s;
	uint32_t count = 0;

	for_each_store(s, w)
		count += s->serving &&
			 store_space_check(s->store, bytes, STORE_SPACE_META);
	return reserve_is_short(w) && count < 2;
}

bool full_refuses_chunks(const struct world *w)
{
	return w->store_size &&
	       reserve_is_used_up(w, (uint64_t)w->chunk_blocks * BLOCK_SIZE);
}

void full_look(struct world *w)
{
	struct store_node *s;

	if (!w->store_size)
		return;
	for_each_store(s, w)
		if (s->serving && store_space_left(s->store) < RECORD_MAX)
			w->full_seen = sim_now(w->sim);
	w->stats.full = w->full_seen != 0;
	if (reserve_is_used_up(w, PAGE_MAX))
		w->exhausted_seen = sim_now(w->sim);
}

/* Where the stores are smaller than their reserve is meant to be, map pages and
 * copies may use it up before anything gives space back. Then trims and
 * checkpoints wait in vain: somebody has to add a peer. */
bool full_exhausted(struct world *w)
{
	full_look(w);
	if (!w->exhausted_seen ||
	    sim_now(w->sim) - w->exhausted_seen > FORGOTTEN)
		return false;
	w->stuck |= w->quiet;
	return true;
}

/*
 * Zeros that begin or end within a block are data: the rest of the block is
 * written again with them. A trim is rounded to whole blocks.
 */
static bool is_data(const struct volume_request *req)
{
	return req->op == VOLUME_WRITE ||
	       (req->op == VOLUME_ZERO &&
		(req->offset | req->length) % BLOCK_SIZE != 0);
}

bool full_explains(const struct world *w, const struct volume_request *req)
{
	return is_data(req) && w->full_seen &&
	       sim_now(w->sim) - w->full_seen < FORGOTTEN;
}

bool full_refuses(const struct store_node *s, const struct store_copy *copy)
{
	return s->world->store_size && s->serving &&
	       !store_restore_has_room(s->store, copy->volume, copy->chunk,
				       copy->length);
}

/* Returns how it ended. */
static int do_one(struct tenant *t, enum volume_op type, uint64_t length)
{
	struct client *c = t->current;

	if (!client_submit_one(c, type, length, false) ||
	    !sim_run_until(t->world->sim, &c->last_done, PATIENCE))
		return -ETIMEDOUT;
	return c->last_err;
}

static void trim_all(struct world *w)
{
	struct tenant *t;

	for_each_volume(t, w)
		if (!w->stuck &&
		    (do_one(t, VOLUME_TRIM, t->blocks * BLOCK_SIZE) ||
		     do_one(t, VOLUME_FLUSH, 0)) && !full_exhausted(w))
			world_fail(w, "%s cannot be trimmed when the stores are full",
				   t->name);
}

static void expect_room(struct tenant *t)
{
	struct world *w = t->world;
	uint64_t end = sim_now(w->sim) + PATIENCE;

	while (!w->failed && !full_exhausted(w) && do_one(t, VOLUME_WRITE, 16 * BLOCK_SIZE)) {
		full_look(w);
		sim_run(w->sim, AGAIN);
		if (sim_now(w->sim) > end)
			world_fail(w, "%s was trimmed, but its space does not come back",
				   t->name);
	}
}

void full_ordeal(struct world *w)
{
	struct tenant *t;

	for_each_volume(t, w)
		supervisor_handover(t);
	sim_run(w->sim, NSEC_PER_SEC);
	scenario_settle(w, "attached again while the stores are full");
	if (w->failed || w->stuck)
		return;
	trim_all(w);
	for_each_volume(t, w)
		if (!w->failed && !w->stuck)
			expect_room(t);
	scenario_settle(w, "after space came back");
}
