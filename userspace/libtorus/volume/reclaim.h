/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks that a published root has freed: their holders are told to delete
 * them. Best effort, in the background: a holder that is away for a moment is told
 * when it is back; what is not told at all, stores find out by themselves.
 */
#ifndef TORUS_VOLUME_RECLAIM_H
#define TORUS_VOLUME_RECLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "peer/peer.h"
#include "ring/ring.h"

struct volume;

#define RECLAIM_MAX	4096u		/* chunks that wait */
#define RECLAIM_CALLS	8u
#define RECLAIM_MISSED	1024u		/* what peers that are away were not told */

struct reclaim_chunk {
	uint64_t chunk;
	uint64_t serial;		/* reads up to this may still need it */
};

struct reclaim_call {
	struct volume *volume;
	struct peer_call call;
	struct uuid peer;
	uint64_t chunk;
	bool busy;
};

struct reclaim_missed {
	struct uuid peer;
	uint64_t chunk;
};

struct reclaim {
	struct reclaim_chunk chunks[RECLAIM_MAX];	/* a ring of them */
	uint32_t first, count;
	struct reclaim_call calls[RECLAIM_CALLS];
	/* Whom the first of the chunks is yet to be told. */
	struct uuid targets[2 * RING_MEMBERS_MAX];
	uint32_t target_count;
	bool targets_known;
	struct reclaim_missed missed[RECLAIM_MISSED];
	uint32_t missed_count;
	bool peer_came;			/* some of them may be told now */
};

void reclaim_init(struct volume *v);
void reclaim_release(struct volume *v);

/** reclaim_add() - @freed is what the root lists that was published just now;
 * the tree of the one before is still the map's. */
void reclaim_add(struct volume *v, const uint64_t *freed, uint32_t count);

/** reclaim_run() - from the turn. */
void reclaim_run(struct volume *v);

/** reclaim_peer_up() - one that may have missed something is back. */
void reclaim_peer_up(struct volume *v);

/** reclaim_idle() - nobody who is there is yet to be told anything. */
bool reclaim_idle(const struct volume *v);

#endif
