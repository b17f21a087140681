/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the reader share. */
#ifndef TORUS_VOLUME_READER_PRIVATE_H
#define TORUS_VOLUME_READER_PRIVATE_H

#include <stdbool.h>

#include "volume/reader.h"
#include "volume/reader_peers.h"

#define READER_RUNS_MAX	256u

/*
 * The same blocks asked of a second peer. Its answer comes into memory of the
 * env's, since the run's buffer may be in the hands of the first.
 */
struct read_hedge {
	struct peer_call call;
	bool active;
	uint32_t asked;			/* index of the peer */
	uint64_t asked_at;
};

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
	bool active;			/* call is under way: while asking, it
					 * or the hedge's is, or both are */
	uint32_t asked;			/* index of the peer */
	uint64_t asked_at;
	uint64_t hedge_at;		/* 0: hedged already */
	uint64_t wake, backoff;		/* while waiting */
	struct peer_call call;
	struct iovec iov;
	struct read_hedge hedge;
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
	struct env_timer hedge_timer;	/* while asking: the first hedge_at */
	uint32_t hedge_tokens;
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

/* ---- reader_run.c, for reader_hedge.c --------------------------------- */

uint64_t run_chunk(const struct read_run *run);
uint32_t run_block(const struct read_run *run);	/* first of the span */

/** run_fill_call() - ask for the span; how the answer is taken is the caller's. */
void run_fill_call(struct read_run *run, struct peer_call *call,
		   struct wire_read *body, void (*done)(struct peer_call *call));

/** run_span_matches() - the buffer has what the map says of the span. */
bool run_span_matches(const struct read_run *run);

/** run_span_good() - and so it is over. */
void run_span_good(struct read_run *run);

/**
 * run_note_answer() - what an answer without good data says of the peer.
 * Returns false when that ends the run: fenced.
 */
bool run_note_answer(struct read_run *run, const struct peer_call *call,
		     uint32_t peer);
void run_note_damage(struct read_run *run, uint32_t peer, const char *why);
void run_fenced(struct read_run *run, const struct peer_call *call);

/** run_try_another() - nothing is under way. */
void run_try_another(struct read_run *run);

/* ---- reader_hedge.c ---------------------------------------------------- */

void reader_hedge_init(struct reader *reader);
void reader_hedge_release(struct reader *reader);

/** run_hedge_plan() - the run has just asked its peer. */
void run_hedge_plan(struct read_run *run);

/** run_hedge_drop() - the answer of the hedge is not wanted any more. */
void run_hedge_drop(struct read_run *run);

/** reader_run_done() - the run is over; it is on no list. */
void reader_run_done(struct read_run *run, int err);

/** reader_turn() - start, finish and retry what is due. From the loop only;
 * the reader may be gone when it returns. */
void reader_turn(struct reader *reader);

#endif
