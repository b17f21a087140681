/* SPDX-License-Identifier: Apache-2.0 */
/* What ring.c and the files of the ring types share. */
#ifndef TORUS_RING_RING_PRIV_H
#define TORUS_RING_RING_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "ring/ring.h"

/* Of the topology: zone, rack, host. */
#define RING_LEVELS 3

struct ring_ops {
	const char *name;
	uint32_t members_max;

	/*
	 * Prepare @ring, whose spec was checked. Returns 0, -EINVAL with error
	 * text, or -ENOMEM. NULL: nothing to prepare.
	 */
	int (*build)(struct ring *ring);

	/*
	 * Write the first @want members of the chunk's permutation, which are
	 * at most as many as there are members and at least 1. A longer answer
	 * begins with every shorter one.
	 */
	void (*order)(const struct ring *ring, uint64_t volume, uint64_t chunk,
		      uint32_t want, uint16_t *order);
};

struct ring {
	const struct ring_ops *ops;
	struct ring_spec spec;
	/* mod: members in order of their uuids */
	uint16_t sorted[RING_MEMBERS_MAX];
	/* ketama, zones: points in ascending order, see ketama.c */
	uint64_t *points;
	uint32_t point_count;
	/* zones: of each member the place in the topology, see zones.c */
	uint16_t group[RING_LEVELS][RING_MEMBERS_MAX];
};

extern const struct ring_ops ring_empty_ops;
extern const struct ring_ops ring_single_ops;
extern const struct ring_ops ring_mod_ops;
extern const struct ring_ops ring_ketama_ops;
extern const struct ring_ops ring_zones_ops;

/* ---- ketama.c: the circle, which zones.c walks too ----------------------- */

/* Points of all members by their weights; 0, -EINVAL with text, -ENOMEM. */
int ring_points_build(struct ring *ring);

/* A walk upwards from a chunk's place that meets each member once. */
struct ring_walk {
	uint32_t at, steps;
	bool seen[RING_MEMBERS_MAX];
};

void ring_walk_start(struct ring_walk *walk, const struct ring *ring,
		     uint64_t key);

/* The next member that was not met yet; false: all that have points were. */
bool ring_walk_next(struct ring_walk *walk, const struct ring *ring,
		    uint16_t *member);

/* Members without points, into order[found ..], by their hash with @key. */
void ring_append_weightless(const struct ring *ring, uint64_t key,
			    uint32_t want, uint32_t found, uint16_t *order);

/* A peer's uuid, and a chunk, as 64 well mixed bits: for ever the same. */
uint64_t ring_hash_peer(const struct uuid *peer);

static inline uint64_t ring_hash_chunk(uint64_t volume, uint64_t chunk)
{
	return hash_u64_pair(volume, chunk);
}

#endif
