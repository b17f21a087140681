// SPDX-License-Identifier: Apache-2.0
/*
 * The course of one seed:
 *
 *   storm    client operations and faults, until enough operations are done
 *   end      often sudden: right after a flush all machines lose power, and one
 *            may be gone for ever
 *   calm     faults end; soon somebody has the volume and everything succeeds
 *   ordeal   flush; then all machines lose power at once, and one may be gone
 *            for ever; the next owner must find everything; detach in order;
 *            the one after that as well
 */
#include <inttypes.h>

#include "base/cleanup.h"
#include "world.h"

#define STALL_MAX (300 * NSEC_PER_SEC)
#define CALM_MAX (600 * NSEC_PER_SEC)
#define BACKOFF_MAX (70 * NSEC_PER_SEC)
#define SUDDEN_MAX (2 * NSEC_PER_SEC)
#define TURN (20 * NSEC_PER_MSEC)

/* The pause before the next operation. */
static uint64_t pause_ns(struct world *w)
{
	uint64_t kind = sim_below(w->sim, 100);

	if (kind < 50)
		return 0;
	if (kind < 95)
		return sim_below(w->sim, 3 * NSEC_PER_MSEC);
	if (kind < 99)
		return sim_below(w->sim, 200 * NSEC_PER_MSEC);
	return sim_below(w->sim, 8 * NSEC_PER_SEC);
}

/* Those who have lost the volume, and do not know or care. */
static void zombies_try(struct tenant *t)
{
	struct client *c;

	for_each_client(c, t)
		if (c != t->current && sim_chance(t->world->sim, 1, 3) &&
		    c->op_count < 4)
			client_submit_random(c);
}

static void work(struct world *w)
{
	struct tenant *t;

	for_each_tenant(t, w) {
		if (t->current && !t->doomed)
			client_submit_random(t->current);
		zombies_try(t);
	}
}

/* A fault now? And the pause after it. */
static void storm_step(struct world *w)
{
	uint64_t before = w->stats.operations, pause;
	bool fault;

	supervisor_turn(w);
	events_turn(w);
	work(w);
	world_draw(w, DRAW_PAUSE, w->stats.operations);
	fault = sim_chance(w->sim, 1, w->fault_gap);
	pause = pause_ns(w);
	world_draw_end(w);
	if (w->stats.operations == before) {
		fault = sim_chance(w->sim, 1, w->fault_gap * 20);
		pause = sim_below(w->sim, TURN);
	}
	if (fault)
		fault_random(w);
	sim_run(w->sim, pause);
}

static bool is_over(const struct world *w)
{
	return w->failed || w->stuck;
}

/* Serves and has nothing in flight. */
static bool settled(const struct tenant *t)
{
	const struct client *c = t->current;

	return c && c->state == CLIENT_SERVING && !c->op_count && !c->failed;
}

static struct tenant *unsettled(struct world *w)
{
	struct tenant *t;

	for_each_volume(t, w)
		if (!settled(t))
			return t;
	return NULL;
}

void scenario_settle(struct world *w, const char *when)
{
	uint64_t end = sim_now(w->sim) + CALM_MAX;
	struct tenant *t;

	while (!is_over(w) && (t = unsettled(w)) != NULL) {
		supervisor_turn(w);
		sim_run(w->sim, TURN);
		if (sim_now(w->sim) > end)
			world_fail(w, "%s: nothing fails any more, but %s is "
				   "still %s with %u operations", when,
				   sim_node_name(t->current->node),
				   client_state_name(t->current),
				   t->current->op_count);
	}
}

static void end_others(struct world *w)
{
	struct tenant *t;
	struct client *c;

	for_each_tenant(t, w)
		for_each_client(c, t)
			if (c != t->current)
				client_kill(c, true);
}

static void some_operations(struct world *w, unsigned int count)
{
	struct tenant *t;

	while (count-- && !is_over(w)) {
		for_each_volume(t, w)
			client_submit_random(t->current);
		sim_run(w->sim, sim_below(w->sim, 2 * NSEC_PER_MSEC));
	}
}

static void calm(struct world *w)
{
	struct tenant *t;
	uint64_t end;

	faults_end(w);
	end = sim_now(w->sim) + BACKOFF_MAX;
	if (w->last_fault > sim_now(w->sim))
		end += w->last_fault - sim_now(w->sim);
	while (!is_over(w) && sim_now(w->sim) < end) {
		supervisor_turn(w);
		sim_run(w->sim, TURN * 5);
	}
	if (is_over(w))
		return;
	for_each_volume(t, w)
		if (t->current)
			t->current->errors = 0;
	w->last_fault = 0;
	w->quiet = true;
	scenario_settle(w, "after the faults");
	if (is_over(w))
		return;
	end_others(w);
	some_operations(w, 20);
	scenario_settle(w, "in the calm");
	if (!is_over(w) && w->store_size)
		full_ordeal(w);
	if (!is_over(w))
		audit(w, "in the calm");
}

/* When nothing is done for long, the faults pause: then it must go on. */
static void storm(struct world *w)
{
	uint64_t operations = 0, since = sim_now(w->sim);

	while (!is_over(w) && w->stats.operations < w->limits.target) {
		storm_step(w);
		if (w->stats.operations != operations)
			since = sim_now(w->sim);
		operations = w->stats.operations;
		if (sim_now(w->sim) - since > STALL_MAX) {
			calm(w);
			w->quiet = false;
		}
	}
}

/*
 * Flushed data has two good copies at least, so one machine may go for ever.
 * One whose disk rots counts as that one; with disk errors before there may
 * be fewer copies already.
 */
static struct store_node *to_be_lost(struct world *w)
{
	if (w->disk_errors || w->one_gone || sim_chance(w->sim, 1, 3))
		return NULL;
	w->one_gone = true;
	if (w->rotten)
		return w->rotten;
	return &w->stores[sim_below(w->sim, w->store_count)];
}

static void everybody_loses_power(struct world *w)
{
	struct store_node *lost = to_be_lost(w), *s;
	struct tenant *t;

	for_each_volume(t, w)
		if (t->current)
			client_kill(t->current, true);
	if (lost)
		lost->gone = true;
	for_each_store(s, w)
		store_node_crash(s, 0);
	for_each_store(s, w)
		store_node_start(s);
	sim_run(w->sim, NSEC_PER_SEC);
}

/* Flush all volumes; false if one cannot. */
static bool flush_all(struct world *w, uint64_t patience)
{
	struct tenant *t;
	bool good = true;

	for_each_volume(t, w)
		good &= t->current && client_submit_last(t->current, false);
	for_each_volume(t, w)
		good = good &&
		       sim_run_until(w->sim, &t->current->last_done, patience) &&
		       !t->current->last_err && !t->current->failed;
	return good;
}

/* In the middle of the storm: what was flushed must have its copies by then. */
static void sudden_end(struct world *w)
{
	if (!flush_all(w, SUDDEN_MAX))
		return;
	w->stats.faults++;
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
	everybody_loses_power(w);
}

static void ordeal(struct world *w)
{
	struct tenant *t;

	if (!flush_all(w, CALM_MAX))
		world_fail(w, "nobody serves a volume, or it cannot be flushed");
	scenario_settle(w, "at the last flush");
	if (is_over(w))
		return;
	everybody_loses_power(w);
	w->last_fault = 0;
	for_each_volume(t, w)
		t->wide_loss = false;	/* all was flushed */
	scenario_settle(w, "after the power came back");
	if (is_over(w))
		return;
	some_operations(w, 10);
	scenario_settle(w, "before the last detach");
	for_each_volume(t, w)
		supervisor_handover(t);
	sim_run(w->sim, NSEC_PER_SEC);
	scenario_settle(w, "after the last detach");
	if (!is_over(w))
		audit(w, "at the end");
}

void scenario_run(struct world *w)
{
	sim_run(w->sim, NSEC_PER_SEC / 2);
	storm(w);
	if (!is_over(w) && sim_chance(w->sim, 1, 2))
		sudden_end(w);
	if (!is_over(w))
		calm(w);
	if (!is_over(w))
		ordeal(w);
	w->stats.stuck = w->stuck;
	w->stats.virtual_ns = sim_now(w->sim);
	w->stats.events = sim_events(w->sim);
}
