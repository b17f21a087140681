// SPDX-License-Identifier: Apache-2.0
/*
 * What happens once, and in some seeds only, because it takes long or changes
 * what the rest of the seed can be. When is counted in operations, and drawn
 * from a stream of its own; each is numbered among the faults, so that it can
 * be left out like one.
 */
#include "base/cleanup.h"
#include "world.h"

/* Long enough for leases to end and for what is repaired after a grace; there
 * is work all the time, but little. */
static void time_passes(struct world *w)
{
	uint64_t end = sim_now(w->sim) +
		       sim_between(w->sim, 20, 200) * NSEC_PER_SEC;
	struct tenant *t;

	while (sim_now(w->sim) < end && !w->failed && !w->stuck) {
		supervisor_turn(w);
		for_each_volume(t, w)
			if (t->current && !t->doomed && sim_chance(w->sim, 1, 4))
				client_submit_random(t->current);
		sim_run(w->sim, NSEC_PER_SEC);
	}
}

/* A machine boots while nobody asks it anything, and has lost what was not
 * synced. The next thing that it hears is a flush. */
static void boot_in_a_pause(struct world *w)
{
	struct store_node *s = &w->stores[sim_below(w->sim, w->store_count)];
	struct sim_disk_faults *f = sim_node_disk_faults(s->node);
	struct tenant *t;

	sim_run(w->sim, sim_between(w->sim, 1, 40) * NSEC_PER_MSEC);
	if (!s->serving || s->gone)
		return;
	f->lose_all = true;
	store_node_crash(s, sim_between(w->sim, 1, 10) * NSEC_PER_MSEC);
	f->lose_all = false;
	sim_run(w->sim, 200 * NSEC_PER_MSEC);
	for_each_volume(t, w)
		if (t->current && !t->doomed)
			client_submit_last(t->current, false);
}

static const struct {
	void (*begin)(struct world *w);
	uint32_t one_in;		/* seeds */
	const char *name;
} events[] = {
	{ deletion_begin, 5, "fault %llu: a volume is deleted" },
	{ removal_lose, 6, "fault %llu: a peer is lost for good" },
	{ removal_retire, 8, "fault %llu: a peer retires" },
	{ metaloss_backup, 10, "fault %llu: a backup of the metadata" },
	{ metaloss_begin, 8, "fault %llu: the metadata are lost" },
	{ time_passes, 6, "fault %llu: a while passes" },
	{ boot_in_a_pause, 2, "fault %llu: a store boots in a pause" },
};

_Static_assert(ARRAY_SIZE(events) <= EVENTS_MAX, "room in struct world");

void events_draw(struct world *w)
{
	size_t i;

	world_draw(w, DRAW_EVENTS, 0);
	for (i = 0; i < ARRAY_SIZE(events); i++)
		if (sim_chance(w->sim, 1, events[i].one_in))
			w->events[i].at = sim_between(w->sim, 40, 300);
	world_draw_end(w);
}

void events_turn(struct world *w)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		if (!w->events[i].at || w->stats.operations < w->events[i].at)
			continue;
		w->events[i].at = 0;
		if (fault_begin(w, events[i].name))
			events[i].begin(w);
	}
}
