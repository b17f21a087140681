// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps somebody attached: starts the one who is to have the volume, and tries
 * again; ends those whose volume has failed, after they went on for a while.
 */
#include "world.h"

#define ZOMBIE_MAX (20 * NSEC_PER_SEC)

static struct client *other_client(struct world *w)
{
	struct client *c;

	do {
		c = &w->clients[sim_below(w->sim, CLIENTS)];
	} while (c == w->current);
	return c;
}

/* The device goes with its helper only when the machine does. */
static void start(struct client *c)
{
	struct world *w = c->world;

	if (sim_now(w->sim) < c->retry_at)
		return;
	client_attach(c, !w->detached && !c->device, c->device);
}

static void bury(struct client *c)
{
	struct world *w = c->world;
	uint64_t now = sim_now(w->sim);

	if (c->failed && c->state != CLIENT_OFF &&
	    (c == w->current ||
	     now - c->failed_at > sim_below(w->sim, ZOMBIE_MAX)))
		client_kill(c, false);
}

void supervisor_turn(struct world *w)
{
	unsigned int i;

	for (i = 0; i < CLIENTS; i++) {
		bury(&w->clients[i]);
		client_check_ages(&w->clients[i]);
	}
	if (!w->current || (w->current->state == CLIENT_OFF &&
			    !w->current->device && sim_chance(w->sim, 1, 3)))
		w->current = other_client(w);
	if (w->current->state == CLIENT_OFF)
		start(w->current);
}

void supervisor_takeover(struct world *w)
{
	struct client *c = other_client(w);

	if (!w->current || w->current->state == CLIENT_OFF)
		return;
	w->stats.takeovers++;
	if (c->state != CLIENT_OFF)
		client_kill(c, true);
	c->device = false;
	c->retry_at = 0;
	w->current = c;
	client_attach(c, true, false);
}

void supervisor_handover(struct world *w)
{
	if (w->current)
		client_detach(w->current);
}
