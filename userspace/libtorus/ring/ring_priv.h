/* SPDX-License-Identifier: Apache-2.0 */
/* What ring.c and the files of the ring types share. */
#ifndef TORUS_RING_RING_PRIV_H
#define TORUS_RING_RING_PRIV_H

#include <stdint.h>

#include "base/hash.h"
#include "ring/ring.h"

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
	/* ketama: points in ascending order, see ketama.c */
	uint64_t *points;
	uint32_t point_count;
};

extern const struct ring_ops ring_empty_ops;
extern const struct ring_ops ring_single_ops;
extern const struct ring_ops ring_mod_ops;
extern const struct ring_ops ring_ketama_ops;

/* A peer's uuid, and a chunk, as 64 well mixed bits: for ever the same. */
uint64_t ring_hash_peer(const struct uuid *peer);

static inline uint64_t ring_hash_chunk(uint64_t volume, uint64_t chunk)
{
	return hash_u64_pair(volume, chunk);
}

#endif
