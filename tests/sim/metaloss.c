// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store is lost for good, and another one is there: empty, or with
 * a backup of some time ago. Helpers and stores go on for a while with what
 * they know. Then a person types `torusctl recover --from-peers`, as it is done
 * here with its code: all that was acknowledged must be there afterwards, in
 * volumes of the same names, and whoever had them is fenced.
 *
 *	lost -> (some work) -> all peers up -> survey, fence, write -> go on
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "recover/recover.h"
#include "world.h"

#define LEASE (31 * NSEC_PER_SEC)
#define TRIES 30
#define ASK_AGAIN (5 * NSEC_PER_SEC)
#define ANSWER_MAX (120 * NSEC_PER_SEC)

void metaloss_backup(struct world *w)
{
	if (!w->backup && !w->meta_lost)
		w->backup = sim_meta_backup(w->sim);
}

void metaloss_free(struct world *w)
{
	if (w->admin)
		sim_node_kill(w->admin);
	sim_meta_backup_free(w->backup);
}

/* A volume that was never attached has nothing that could tell of it. */
static bool all_have_roots(struct world *w)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct tenant *t;
	bool all = true;

	if (!doc)
		abort();
	for_each_volume(t, w) {
		world_volume_doc(t, doc);
		all &= doc->root.addr != 0;
	}
	free(doc);
	return all;
}

/* Whoever has a volume is not sure to have it any more. */
static void forsake_all(struct world *w)
{
	struct tenant *t;

	for_each_tenant(t, w) {
		t->claims++;
		t->detached = false;
	}
}

static void end_helpers(struct world *w)
{
	struct tenant *t;
	struct client *c;

	for_each_tenant(t, w)
		for_each_client(c, t)
			client_kill(c, true);
}

/* The helpers' requests still end in the meantime. */
static void work_on(struct world *w)
{
	uint64_t end = sim_now(w->sim) + sim_below(w->sim, 20 * NSEC_PER_SEC);
	struct tenant *t;

	while (sim_now(w->sim) < end && !w->failed) {
		supervisor_turn(w);
		for_each_volume(t, w)
			if (t->current)
				client_submit_random(t->current);
		sim_run(w->sim, sim_below(w->sim, 2 * NSEC_PER_SEC));
	}
}

/* ---- torusctl recover --------------------------------------------------------- */

static int wait_for(void *ctx, const bool *done)
{
	struct world *w = ctx;

	return sim_run_until(w->sim, done, ANSWER_MAX) ? 0 : -ETIMEDOUT;
}

static int add_peers(struct world *w, struct recover *r)
{
	struct store_node *s;
	int err = 0;

	for_each_store(s, w)
		if (!s->gone && !err)
			err = recover_add_peer(r, s->address);
	return err;
}

/* What a person would have to decide; without a reason that is a bug. */
static void check_refused(struct world *w, struct recover *r)
{
	const struct recover_volume *volumes;
	uint32_t count = recover_volumes(r, &volumes), i;
	struct tenant *t;

	for (i = 0; i < count; i++) {
		if (volumes[i].state != RECOVER_REFUSED ||
		    volumes[i].action == RECOVER_KEEP)
			continue;
		t = &w->tenants[volumes[i].id - 1];
		if (t->wide_loss || w->disk_errors)
			w->stuck = true;
		else
			world_fail(w, "%s cannot be rebuilt: %s", t->name,
				   volumes[i].problem);
	}
}

static int rebuild_with(struct world *w, struct recover *r)
{
	int err = add_peers(w, r);

	if (!err)
		err = recover_survey(r);
	if (!err)
		err = recover_compare(r, sim_node_meta(w->admin), true);
	if (!err && recover_refused(r)) {
		check_refused(w, r);
		return -EUCLEAN;
	}
	if (!err && !recover_changes(r))
		return 0;
	if (!err)
		err = recover_fence(r);
	if (!err)
		err = recover_write(r);
	return err;
}

static int rebuild(struct world *w)
{
	struct recover_config cfg = { .wait = wait_for, .ctx = w };
	struct recover *r;
	int err;

	if (!w->admin)
		w->admin = sim_node_new(w->sim, "admin");
	sim_node_start(w->admin);
	cfg.env = sim_node_env(w->admin);
	r = recover_new(&cfg);
	if (!r)
		abort();
	err = rebuild_with(w, r);
	sim_trace(w->sim, w->admin, "rebuilt: error %llu", (uint64_t)-err, 0, 0,
		  0);
	sim_node_kill(w->admin);
	recover_free(r);
	return err;
}

/* Peers may be away, or cut off; it is tried until all answer. */
static void rebuild_all(struct world *w)
{
	struct store_node *s;
	int err = -EAGAIN, i;

	sim_delays(w->sim)->net_flip = 0;
	sim_meta_faults(w->sim)->txn_timeout = 0;
	for (i = 0; err && i < TRIES && !w->failed && !w->stuck; i++) {
		for_each_store(s, w)
			store_node_start(s);
		sim_run(w->sim, ASK_AGAIN);
		err = rebuild(w);
		if (err == -EBUSY) {
			end_helpers(w);
			sim_run(w->sim, LEASE);
		}
	}
	if (err && !w->stuck)
		world_fail(w, "the metadata cannot be rebuilt: %s",
			   error_text(err));
}

void metaloss_begin(struct world *w)
{
	struct tenant *t;

	if ((w->removal.store && !w->removal.done) || !all_have_roots(w))
		return;
	w->meta_lost = true;
	forsake_all(w);
	sim_meta_restore(w->sim, w->backup);
	work_on(w);
	if (sim_chance(w->sim, 1, 2))
		end_helpers(w);
	rebuild_all(w);
	w->meta_lost = false;
	w->rings_revision = 0;
	w->stats.rebuilt++;
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
	forsake_all(w);
	for_each_volume(t, w) {
		model_rebuilt(t->model);
		t->current = NULL;
	}
}
