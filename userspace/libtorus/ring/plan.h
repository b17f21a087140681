/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change of the ring would do: who holds how much before and after, what
 * moves, and how little would have to.
 */
#ifndef TORUS_RING_PLAN_H
#define TORUS_RING_PLAN_H

#include "ring/ring.h"

#define RING_PLAN_MAX (2 * RING_MEMBERS_MAX)

/* A member of either ring. Copies are those of the chunks looked at. */
struct ring_plan_member {
	struct uuid peer;
	uint64_t weight;		/* after; before, if it leaves */
	bool before, after;		/* is a member */
	uint64_t copies_before, copies_after;
	uint64_t gained, lost;		/* copies that move to it, from it */
	double ideal_before, ideal_after;	/* its share by weight */
};

struct ring_plan {
	uint64_t chunks;
	uint64_t copies_before, copies_after;
	uint64_t moved;			/* copies that are to be made */
	uint64_t minimum;		/* ... at least, see plan.c */
	uint32_t count;
	struct ring_plan_member members[RING_PLAN_MAX];
};

/**
 * ring_plan() - place @chunks made-up chunks by both rings, each with its own
 * replication. Returns 0, or what ring_create() says.
 */
int ring_plan(const struct ring_spec *before, const struct ring_spec *after,
	      uint64_t chunks, struct ring_plan *plan);

#endif
