/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_LINEAR_H
#define TORUS_CHAOS_LINEAR_H

#include <stddef.h>
#include <stdint.h>

#include "history.h"

/* What can be wrong with a block. */
enum linear_fault {
	LINEAR_TORN,		/* not one whole write of this block */
	LINEAR_UNWRITTEN,	/* a value that nobody had written by then */
	LINEAR_LOST,		/* an acknowledged write is not there, or an
				 * older or undone one is there again */
	LINEAR_STALE,		/* an older value, the newer one is there too */
	LINEAR_FAULTS
};

/* One that could not be. */
struct linear_violation {
	enum linear_fault fault;
	struct event read;	/* the read that shows it */
};

struct linear_report {
	size_t blocks, reads, writes, flushes, sessions, losses;
	size_t unknown, failed;	/* writes */
	size_t faults[LINEAR_FAULTS];
	/* Blocks with more at once than can be searched; a verdict lacks. */
	size_t undecided;
};

/*
 * linear_check() - whether a history is one of linearizable blocks: for each
 * block there is one order of what was done to it, in which every operation
 * takes its place between its begin and its end, and every read returns what
 * the last write before it left. At first all blocks are zeros.
 *
 * Sorts the @events (in place). @report is filled; each violation is told to
 * @tell, which may be NULL. Returns 0, also with violations, or -ENOMEM.
 */
int linear_check(struct event *events, size_t count,
		 struct linear_report *report,
		 void (*tell)(void *arg, const struct linear_violation *),
		 void *arg);

const char *linear_fault_name(enum linear_fault fault);

#endif
