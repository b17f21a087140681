/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long completions wait for company: telling the driver of several costs
 * little more than telling of one, but whoever waits for the first of them has
 * to wait for the last.
 */
#ifndef TORUS_FRONT_MODERATION_H
#define TORUS_FRONT_MODERATION_H

#include <stdbool.h>
#include <stdint.h>

/* The longest that a completion is kept, in ns, and how many are. */
#define MODERATION_NS_MAX	20000
#define MODERATION_COUNT_MAX	16

/* All zero is a good beginning. Times are in ns of one clock that never is 0. */
struct moderation {
	uint64_t since;		/* when the first was kept; 0: none is */
	uint64_t arrival;	/* when a request came last, not before since */
	uint64_t gap;		/* usual time from one such arrival to the next */
	bool fruitful;		/* a request came since then */
	unsigned int rest;	/* so often not to be tried */
};

/**
 * moderation_keeps() - whether to keep completions for now.
 * @now:     time
 * @ready:   completions that there are, or other reasons to tell the driver
 * @arrived: requests that came since it was asked last
 *
 * To be asked again soon, and until it says no; those that are ready are to be
 * sent then.
 */
bool moderation_keeps(struct moderation *m, uint64_t now, unsigned int ready,
		      unsigned int arrived);

/** moderation_active() - whether it said yes when it was asked last. */
static inline bool moderation_active(const struct moderation *m)
{
	return m->since;
}

#endif
