/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading blocks of the log: from any peer that has them, verified against the
 * map's CRCs, falling over to other replicas (invariant 3).
 */
#ifndef TORUS_VOLUME_READER_H
#define TORUS_VOLUME_READER_H

#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "peer/cluster.h"
#include "volume/map.h"

struct reader;

struct reader_config {
	uint64_t volume;		/* attached volume */
	uint32_t replication;		/* R of the volume; 0 = the ring's */
	uint64_t io_timeout_ns;		/* 0 = 120 s */
	uint64_t replica_timeout_ns;	/* what one slow peer may cost; 0 = 1 s */
	/* A peer says a higher epoch exists: we are fenced. */
	void (*fenced)(void *ctx, uint64_t epoch);
	/*
	 * Peers that surely hold the chunk (the writer's open ensembles), best
	 * first; returns how many were written to @out (at most @max), 0 if it
	 * does not know. May be NULL.
	 */
	uint32_t (*holders)(void *ctx, uint64_t chunk, struct uuid *out,
			    uint32_t max);
	/*
	 * The volume whose chunks an entry of this lineage (not 0) names; 0 if
	 * there is none. May be NULL: no ancestors.
	 */
	uint64_t (*ancestor)(void *ctx, uint16_t lineage);
	/* A peer's copy of a chunk is damaged or lacks what it must have: a
	 * hint for repair. May be NULL. Must not free the reader. */
	void (*bad_copy)(void *ctx, const struct uuid *peer, uint64_t volume,
			 uint64_t chunk);
	void *ctx;
};

struct reader *reader_new(struct env *env, struct cluster *cluster,
			  const struct reader_config *cfg);

/** reader_free() - cancels what is in flight; no done() is called. May be
 * called from done() and fenced(). */
void reader_free(struct reader *reader);

/** reader_set_epoch() - the epoch that reads carry from now on. */
void reader_set_epoch(struct reader *reader, uint64_t epoch);

/** reader_peers_changed() - optional: reads that wait for peers to come back
 * try again at once, not at the end of their back-off. */
void reader_peers_changed(struct reader *reader);

/* Memory is the caller's until done(). Entries with addr 0 give zeros. */
struct block_read {
	const struct map_entry *entries;
	uint32_t count;			/* at most RECORD_PAYLOAD_BLOCKS_MAX */
	uint8_t *buffer;		/* count * BLOCK_SIZE */
	void (*done)(struct block_read *read, int err);
	void *ctx;
	uint64_t deadline;		/* on the env's clock; 0: io_timeout
					 * from reader_read() on */
	struct list_head node;		/* private from here on */
	uint32_t started;		/* blocks given to runs so far */
	uint32_t pending;		/* runs under way */
	int err;
	uint64_t expires;
	uint64_t serial;
};

/**
 * reader_read() - done() follows, never from inside: 0; -EIO only when every
 * peer that could hold a block has answered (twice: a chunk may be on its way
 * from one to another) and none has a good copy; -ETIMEDOUT at the deadline;
 * -ESTALE when fenced; -EUCLEAN: an entry names an ancestor that is not known.
 */
void reader_read(struct reader *reader, struct block_read *read);

/** reader_serial() - of the newest read. */
uint64_t reader_serial(const struct reader *reader);

/** reader_done_to() - every read up to that serial is over. */
bool reader_done_to(const struct reader *reader, uint64_t serial);

struct reader_stats {
	uint64_t reads, bytes, retries, crc_errors;
	uint64_t hedges, hedge_wins;	/* asked of a second peer; and that one
					 * was sooner */
};
const struct reader_stats *reader_stats(const struct reader *reader);

#endif
