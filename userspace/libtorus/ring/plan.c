// SPDX-License-Identifier: Apache-2.0
/*
 * The least that must move is what those get who hold more after than before:
 * no placement that gives the members as much could move less. How good what
 * they hold is, is another question: see their ideal shares.
 */
#include "ring/plan.h"

#include <stdbool.h>
#include <string.h>

#include "ring/ring_priv.h"

#define VOLUMES 64u

static struct ring_plan_member *find_or_add(struct ring_plan *plan,
					    const struct ring_member *m)
{
	struct ring_plan_member *p;
	uint32_t i;

	for (i = 0; i < plan->count; i++)
		if (uuid_equal(&plan->members[i].peer, &m->peer))
			return &plan->members[i];
	p = &plan->members[plan->count++];
	p->peer = m->peer;
	return p;
}

/* index[i]: of member i of @spec in the plan. */
static void enlist(struct ring_plan *plan, const struct ring_spec *spec,
		   bool after, uint16_t *index)
{
	uint32_t i;

	for (i = 0; i < spec->member_count; i++) {
		struct ring_plan_member *p = find_or_add(plan,
							 &spec->members[i]);

		index[i] = (uint16_t)(p - plan->members);
		p->weight = spec->members[i].weight;
		if (after)
			p->after = true;
		else
			p->before = true;
	}
}

/*
 * Shares by weight of @copies per chunk. Who would get more than one copy gets
 * one, and the rest is shared out again among the others.
 */
static void share_out(const struct ring_spec *spec, double *share)
{
	bool weighs = spec->type == RING_KETAMA || spec->type == RING_ZONES;
	double copies = spec->replication, total = 0, weight;
	uint32_t i, capped;

	do {
		total = 0;
		capped = 0;
		for (i = 0; i < spec->member_count; i++)
			if (share[i] < 1)
				total += weighs ? (double)spec->members[i].weight : 1;
		for (i = 0; i < spec->member_count && total > 0; i++) {
			weight = weighs ? (double)spec->members[i].weight : 1;
			if (share[i] >= 1 || copies * weight < total)
				continue;
			share[i] = 1;
			capped++;
		}
		copies = spec->replication;
		for (i = 0; i < spec->member_count; i++)
			copies -= share[i] >= 1;
	} while (capped > 0 && copies > 0);
	for (i = 0; i < spec->member_count && total > 0 && copies > 0; i++)
		if (share[i] < 1)
			share[i] = copies / total *
				   (weighs ? (double)spec->members[i].weight : 1);
}

static void set_ideals(struct ring_plan *plan, const struct ring_spec *spec,
		       const uint16_t *index, bool after)
{
	double share[RING_MEMBERS_MAX] = { 0 };
	uint32_t i;

	share_out(spec, share);
	for (i = 0; i < spec->member_count; i++) {
		struct ring_plan_member *p = &plan->members[index[i]];

		if (after)
			p->ideal_after = share[i] * (double)plan->chunks;
		else
			p->ideal_before = share[i] * (double)plan->chunks;
	}
}

/* The owners of a chunk as bits of the plan's members. */
struct owners {
	uint16_t index[RING_REPLICATION_MAX];
	uint32_t count;
};

static void find_owners(const struct ring *ring, const uint16_t *index,
			uint64_t n, struct owners *o)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t want = ring->spec.replication, i;

	o->count = ring->spec.member_count < want ? ring->spec.member_count :
						    want;
	if (o->count > 0)
		ring->ops->order(ring, n % VOLUMES + 1, n / VOLUMES + 1,
				 o->count, order);
	for (i = 0; i < o->count; i++)
		o->index[i] = index[order[i]];
}

static bool owns(const struct owners *o, uint16_t index)
{
	uint32_t i;

	for (i = 0; i < o->count; i++)
		if (o->index[i] == index)
			return true;
	return false;
}

static void account(struct ring_plan *plan, const struct owners *before,
		    const struct owners *after)
{
	uint32_t i;

	plan->copies_before += before->count;
	plan->copies_after += after->count;
	for (i = 0; i < before->count; i++) {
		struct ring_plan_member *p = &plan->members[before->index[i]];

		p->copies_before++;
		p->lost += !owns(after, before->index[i]);
	}
	for (i = 0; i < after->count; i++) {
		struct ring_plan_member *p = &plan->members[after->index[i]];
		bool gained = !owns(before, after->index[i]);

		p->copies_after++;
		p->gained += gained;
		plan->moved += gained;
	}
}

static uint64_t least_to_move(const struct ring_plan *plan)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < plan->count; i++) {
		const struct ring_plan_member *p = &plan->members[i];

		if (p->copies_after > p->copies_before)
			sum += p->copies_after - p->copies_before;
	}
	return sum;
}

static void place(struct ring_plan *plan, const struct ring *before,
		  const struct ring *after)
{
	uint16_t from[RING_MEMBERS_MAX], to[RING_MEMBERS_MAX];
	struct owners x, y;
	uint64_t n;

	enlist(plan, &before->spec, false, from);
	enlist(plan, &after->spec, true, to);
	set_ideals(plan, &before->spec, from, false);
	set_ideals(plan, &after->spec, to, true);
	for (n = 0; n < plan->chunks; n++) {
		find_owners(before, from, n, &x);
		find_owners(after, to, n, &y);
		account(plan, &x, &y);
	}
	plan->minimum = least_to_move(plan);
}

int ring_plan(const struct ring_spec *before, const struct ring_spec *after,
	      uint64_t chunks, struct ring_plan *plan)
{
	struct ring *a = NULL, *b = NULL;
	int err;

	memset(plan, 0, sizeof(*plan));
	plan->chunks = chunks;
	err = ring_create(before, &a);
	if (err == 0)
		err = ring_create(after, &b);
	if (err == 0)
		place(plan, a, b);
	ring_free(a);
	ring_free(b);
	return err;
}
