// SPDX-License-Identifier: Apache-2.0
/*
 * What happens once, and in some seeds only, because it takes long or changes
 * what the rest of the seed can be. When is counted in operations, and drawn
 * from a stream of its own; each is numbered among the faults, so that it can
 * be left out like one.
 */
#include "base/cleanup.h"
#include "world.h"

static const struct {
	void (*begin)(struct world *w);
	uint32_t one_in;		/* seeds */
	const char *name;
} events[] = {
	{ deletion_begin, 5, "fault %llu: a volume is deleted" },
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
