/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reader share. */
#ifndef TORUS_VOLUME_READER_PRIVATE_H
#define TORUS_VOLUME_READER_PRIVATE_H

#include <stdbool.h>

#include "volume/reader.h"
#include "volume/reader_peers.h"

#define READER_RUNS_MAX	256u

/* Blocks that lie one after the other in one chunk: one message. */
struct read_run {
	struct list_head node;		/* reader's spare, asking or waiting */
	struct reader *reader;
	struct block_read *read;
	uint64_t volume;		/* that owns the chunk */
	uint32_t first, count;		/* of the read's blocks */
	uint64_t good[RECORD_PAYLOAD_BLOCKS_MAX / 64];	/* verified */
	/* What is asked for now: the first blocks that are not good yet. */
	uint32_t span, span_count;	/* span counts from `first` */
	struct peer_bits bad;		/* answered: no good copy of the span */
	struct peer_bits tried;		/* since the last wait, without answer */
	unsigned int bad_passes;	/* rounds in which all were bad */
	uint32_t asked;			/* index of the peer */
	uint64_t asked_at;
	uint64_t wake, backoff;		/* while waiting */
	struct peer_call call;
	struct iovec iov;
};

struct reader {
	struct env *env;
	struct cluster *cluster;
	struct reader_config cfg;
	uint64_t epoch;
	bool fenced;			/* until the next reader_set_epoch() */
	bool fenced_due;		/* cfg.fenced() is to be called */
	uint64_t fenced_epoch;
	struct reader_peers peers;
	struct reader_stats stats;
	struct list_head queue;		/* reads with blocks in no run yet */
	struct list_head finished;	/* reads whose done() is due */
	struct list_head spare, asking, waiting;	/* runs */
	struct env_timer turn;		/* due now: start, finish, retry */
	bool in_callback, dead;		/* reader_free() inside a callback leaves
					 * the memory to the turn */
	struct read_run runs[READER_RUNS_MAX];
};

/** run_start() - read @count blocks of @read from @first on. */
void run_start(struct reader *reader, struct read_run *run,
	       struct block_read *read, uint32_t first, uint32_t count);

/** run_retry() - a waiting run tries again. */
void run_retry(struct read_run *run);

/** reader_run_done() - the run is over; it is on no list. */
void reader_run_done(struct read_run *run, int err);

/** reader_turn() - start, finish and retry what is due. From the loop only;
 * the reader may be gone when it returns. */
void reader_turn(struct reader *reader);

#endif
