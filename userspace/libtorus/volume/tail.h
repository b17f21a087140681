/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The declared tail (design 5.2) and its changes (5.3).
 *
 *   STEADY --replica failed--------------------> decide L --+
 *     |                                                      |
 *     +--reason for a new tail--> DRAINING --all acked-------+
 *                                                            v
 *   STEADY <--committed-- COMMITTING <--enough peers-- WAITING
 *
 * decide L: no later answer for the open chunks counts; the unacknowledged
 * requests go back to the writer's queue; every chunk that is not durable on
 * all its members becomes CLOSING. The transaction seals them and declares the
 * new tail at numbers never used. Only in STEADY is anything appended.
 */
#ifndef TORUS_VOLUME_TAIL_H
#define TORUS_VOLUME_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "env/env.h"
#include "meta/schema.h"
#include "volume/docwriter.h"
#include "volume/volume.h"

struct volume;

/* Where the next record of the log goes, and what it is chained to. */
struct log_end {
	uint64_t chunk;			/* the record after `last` lies at */
	uint32_t block;			/* (chunk, block) or in a newer tail */
	struct log_position last;	/* newest record; 0,0 = empty log */
	/*
	 * Where the sealed list leads from to (chunk, 0), as long as nothing
	 * lies in chunk: the end of the newest record. 0: by number + 1, or
	 * the log is empty.
	 */
	uint64_t from_chunk;
	uint32_t from_block;
};

enum tail_state { TAIL_STEADY, TAIL_DRAINING, TAIL_WAITING, TAIL_COMMITTING,
		  TAIL_ENDED };		/* detach: nothing is appended any more */

struct log_tail {
	enum tail_state state;
	bool extending;
	uint32_t members;		/* of each ensemble of the tail */
	bool full;			/* full peers had to be declared */
	struct doc_change extend, change;
	struct env_timer retry;		/* WAITING; short tail; idle chunk */
	uint64_t begun;			/* chunks begun since rate_at */
	uint64_t rate_at;
	uint64_t used_at;		/* last append */
	/*
	 * The log may be taken back to here: only pages and roots of
	 * checkpoints that are not published were acknowledged since.
	 */
	bool has_spare;
	struct log_end spare;
};

/**
 * tail_declare() - put a fresh tail into @doc: numbers from doc->next_chunk
 * on, current ring version, unhealthy and full peers excluded.
 * Returns how many peers its ensembles have; below v->min_replicas nothing was
 * declared and the caller waits for peers. Used by recovery too.
 */
uint32_t tail_declare(struct volume *v, struct volume_doc *doc);

/**
 * tail_ensemble() - members of a chunk of doc->tail: pure function of it.
 * @out: room for RING_REPLICATION_MAX. Returns how many; 0 if the ring of that
 * version is not known.
 */
uint32_t tail_ensemble(struct volume *v, const struct volume_doc *doc,
		       uint64_t chunk, struct uuid *out);

void tail_init(struct volume *v);
void tail_start(struct volume *v);	/* attach is over */
void tail_release(struct volume *v);

/** tail_can_append() - @chunk is declared and appends are allowed. */
bool tail_can_append(const struct volume *v, uint64_t chunk);

/** tail_advanced() - the writer began @chunk: extend when half is used. */
void tail_advanced(struct volume *v, uint64_t chunk);

/** tail_took() - @r was acknowledged and is the end of the log. */
void tail_took(struct volume *v, const struct record *r);

/** tail_published() - the metadata store names a new root. */
void tail_published(struct volume *v);

/** tail_lowest_open() - the lowest chunk that a recoverer would have to ask
 * about, if the metadata store said so. */
uint64_t tail_lowest_open(const struct volume *v);

/** tail_catch_up() - a root is going to be published: have the tail begin where
 * it can, since nothing from there on is ever garbage. */
void tail_catch_up(struct volume *v);

/** tail_replica_failed() - a member of an active chunk failed: change. */
void tail_replica_failed(struct volume *v, const struct uuid *peer, int err);

/** tail_decide() - what "decide L" does to the writer and to active chunks. */
void tail_decide(struct volume *v);

/** tail_begin_end() - a fresh tail is committed: the log goes on at its first
 * block, to which some sealed entry leads, unless the log is empty. */
void tail_begin_end(struct volume *v);

/** tail_log_next() - where replay begins for a root of the state as of now. */
block_addr_t tail_log_next(const struct volume *v);

/** tail_seal() - put CLOSING chunks into doc's sealed list; the log goes on at
 * chunk @next. 0, or -ENOBUFS with @doc half changed. */
int tail_seal(struct volume *v, struct volume_doc *doc, uint64_t next);

/** tail_sealed() - such a change is committed. */
void tail_sealed(struct volume *v);

/** tail_renew() - for a reason other than failure: drain, then change. */
void tail_renew(struct volume *v, const char *reason);

/** tail_run() - from the turn: go on if the current state is finished. */
void tail_run(struct volume *v);

/** tail_peers_changed() - health of some peer or the ring changed. */
void tail_peers_changed(struct volume *v);

#endif
