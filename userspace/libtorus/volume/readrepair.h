/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-repair: a peer whose copy of a chunk failed a read is told to verify it
 * (CHECK), and its maintenance does the rest. Reads never wait for that.
 */
#ifndef TORUS_VOLUME_READREPAIR_H
#define TORUS_VOLUME_READREPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "env/env.h"
#include "peer/cluster.h"

#define READREPAIR_CALLS	4u
#define READREPAIR_TOLD		256u

struct readrepair;

struct readrepair_call {
	struct readrepair *repair;
	struct peer_call call;
	bool active;
	uint32_t told;			/* its entry */
};

/* A peer that was told of a chunk. */
struct readrepair_told {
	struct uuid peer;
	uint64_t volume, chunk;
	uint64_t when;			/* 0: free */
};

struct readrepair {
	struct env *env;
	uint64_t next_at;		/* not before then */
	uint64_t sent;			/* for statistics */
	struct readrepair_call call[READREPAIR_CALLS];
	struct readrepair_told told[READREPAIR_TOLD];
};

void readrepair_init(struct readrepair *repair, struct env *env);

/** readrepair_release() - cancels what is in flight. */
void readrepair_release(struct readrepair *repair);

/**
 * readrepair_note() - @peer has no good copy of a sealed chunk that it should
 * have. Tells it, once in ten minutes per chunk, at most ten times a second in
 * all; what is not told now is told when it is found the next time. From the
 * inside of anything: it only sends.
 */
void readrepair_note(struct readrepair *repair, struct cluster *cluster,
		     const struct uuid *peer, uint64_t volume, uint64_t chunk);

#endif
