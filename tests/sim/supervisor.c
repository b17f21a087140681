// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps somebody attached: starts the one who is to have a volume, and tries
 * again; ends those whose volume has failed, after they went on for a while.
 */
#include "world.h"

#define ZOMBIE_MAX (20 * NSEC_PER_SEC)

static struct client *other_client(struct tenant *t)
{
	struct client *c;

	do {
		c = &t->clients[sim_below(t->world->sim, CLIENTS)];
	} while (c == t->current);
	return c;
}

/* The device goes with its helper only when the machine does. */
static void start(struct client *c)
{
	if (sim_now(c->world->sim) < c->retry_at)
		return;
	client_attach(c, !c->tenant->detached && !c->device, c->device);
}

static void bury(struct client *c)
{
	struct sim *sim = c->world->sim;

	if (c->failed && c->state != CLIENT_OFF &&
	    (c == c->tenant->current ||
	     sim_now(sim) - c->failed_at > sim_below(sim, ZOMBIE_MAX)))
		client_kill(c, false);
}

static void turn(struct tenant *t)
{
	struct client *c;

	for_each_client(c, t) {
		bury(c);
		client_check_ages(c);
	}
	if (t->deleted || t->world->meta_lost ||
	    (t->doomed && deletion_turn(t)))
		return;
	if (!t->current || (t->current->state == CLIENT_OFF &&
			    !t->current->device &&
			    sim_chance(t->world->sim, 1, 3)))
		t->current = other_client(t);
	if (t->current->state == CLIENT_OFF)
		start(t->current);
}

void supervisor_turn(struct world *w)
{
	struct tenant *t;

	full_look(w);
	for_each_tenant(t, w)
		turn(t);
}

void supervisor_takeover(struct tenant *t)
{
	struct client *c = other_client(t);

	if (!t->current || t->current->state == CLIENT_OFF)
		return;
	t->world->stats.takeovers++;
	if (c->state != CLIENT_OFF)
		client_kill(c, true);
	c->device = false;
	c->retry_at = 0;
	t->current = c;
	client_attach(c, true, false);
}

void supervisor_handover(struct tenant *t)
{
	if (t->current)
		client_detach(t->current);
}
