/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_STATS_H
#define FUZZ_STATS_H

#include "mutate.h"
#include "port.h"

#define STATS_ERRORS 140

struct stats_op {
	uint64_t sent;
	uint64_t accepted;
	uint64_t unanswered;
	uint64_t refused[STATS_ERRORS];
	/* by the number of the attribute */
	uint64_t valid[SPEC_ATTRS_MAX];
	uint64_t valid_accepted[SPEC_ATTRS_MAX];
	uint64_t spoilt[SPEC_ATTRS_MAX];
	uint64_t spoilt_refused[SPEC_ATTRS_MAX];
};

struct stats_mutation {
	uint64_t sent;
	uint64_t accepted;
	uint64_t refused;
};

/* What one thread has seen; added up at the end. */
struct stats {
	struct stats_op ops[SPEC_OPS_MAX];
	struct stats_mutation mutations[MUTATIONS_MAX];
	uint64_t messages;
	uint64_t added;
	uint64_t started[3];	/* by enum torus_channel */
	uint64_t served[3];
	uint64_t ring_mutations;
	uint64_t closed;
	/* what the driver must not do */
	uint64_t faults;
};

void stats_add(struct stats *to, const struct stats *from);

/* Counts a message and what became of it; mutation is its number or -1. */
void stats_count(struct stats *s, const struct message *m, int mutation,
		 const struct answer *answer);

void stats_print(const struct stats *s);

/*
 * Every operation was accepted and refused, and every attribute of it was sent
 * as it should be and otherwise. Says what is missing; returns how much.
 */
unsigned int stats_gaps(const struct stats *s);

#endif
