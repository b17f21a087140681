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
	uint64_t io_timeout_ns;
	/* A peer says a higher epoch exists: we are fenced. */
	void (*fenced)(void *ctx, uint64_t epoch);
	/*
	 * Peers that surely hold the chunk (the writer's open ensembles), best
	 * first; returns how many were written to @out (at most @max), 0 if it
	 * does not know. May be NULL.
	 */
	uint32_t (*holders)(void *ctx, uint64_t chunk, struct uuid *out,
			    uint32_t max);
	void *ctx;
};

struct reader *reader_new(struct env *env, struct cluster *cluster,
			  const struct reader_config *cfg);
void reader_free(struct reader *reader);

/** reader_set_epoch() - the epoch that reads carry from now on. */
void reader_set_epoch(struct reader *reader, uint64_t epoch);

/* Memory is the caller's until done(). Entries with addr 0 give zeros. */
struct block_read {
	const struct map_entry *entries;
	uint32_t count;			/* at most RECORD_PAYLOAD_BLOCKS_MAX */
	uint8_t *buffer;		/* count * BLOCK_SIZE */
	void (*done)(struct block_read *read, int err);
	void *ctx;
	struct list_head node;		/* private */
	struct list_head runs;		/* private: of contiguous blocks */
	uint32_t pending;		/* private */
	int err;			/* private */
	uint64_t deadline;		/* private */
};

/**
 * reader_read() - done() follows, never from inside: 0; -EIO only when every
 * peer that could hold a block has answered and none has a good copy;
 * -ETIMEDOUT after io_timeout; -ESTALE when fenced.
 */
void reader_read(struct reader *reader, struct block_read *read);

struct reader_stats {
	uint64_t reads, bytes, retries, crc_errors;
};
const struct reader_stats *reader_stats(const struct reader *reader);

#endif
