/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding the metadata from the chunk stores alone (design invariant 8).
 *
 *	recover_new()
 *	recover_add_peer() ...		who is there, and of which cluster
 *	recover_survey()		what the stores have: changes nothing
 *	recover_compare()		what the metadata store has: likewise
 *		-- here a person looks, and says yes --
 *	recover_fence()			old writers end; survey again; seal
 *	recover_write()			into the metadata store
 *
 * It does no I/O of its own: peers are asked through env and peer, and what
 * has to be waited for goes to config.wait(), which runs the loop. So it is one
 * straight line for a person's command, never part of a loop that serves.
 *
 * Everything can be repeated: fences and seals only grow, and the cluster's
 * own document is written last.
 */
#ifndef TORUS_RECOVER_RECOVER_H
#define TORUS_RECOVER_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "meta/meta.h"
#include "meta/schema.h"

#define RECOVER_PEERS_MAX 256u
#define RECOVER_TEXT_MAX 512u

struct recover;

struct recover_config {
	struct env *env;
	/* Run the loop until *@done; 0 or -errno. wake(), if it is there, is
	 * called when that was set. */
	int (*wait)(void *ctx, const bool *done);
	void (*wake)(void *ctx);
	void *ctx;
	uint64_t timeout_ns;		/* of one question; 0 = 10 s */
};

enum recover_state {
	RECOVER_GOOD,			/* can be rebuilt */
	RECOVER_DELETED,		/* some store has seen its tombstone */
	RECOVER_NOTHING,		/* known by its number only: no chunks */
	RECOVER_REFUSED,		/* see problem */
};

/* What is to be done in the metadata store. */
enum recover_action {
	RECOVER_NONE,			/* also: not decided yet */
	RECOVER_WRITE,			/* the volume's documents */
	RECOVER_KEEP,			/* they are as new as the stores are */
	RECOVER_BURY,			/* a tombstone */
};

struct recover_volume {
	uint64_t id;
	enum recover_state state;
	enum recover_action action;
	char problem[RECOVER_TEXT_MAX];	/* REFUSED: why, and the way out */
	char note[RECOVER_TEXT_MAX];	/* worth knowing; "" */
	uint64_t epoch;			/* highest that a store has seen */
	bool rootless;			/* no root: name and size are made up */
	struct volume_doc doc;		/* GOOD: as it will be written */
	/* GOOD: the log behind the root */
	uint64_t end_sequence;
	uint64_t log_blocks;
	uint32_t log_chunks;
	uint64_t chunk_first, chunk_last;
	uint32_t copies_min;		/* of a chunk of it */
	char attached[HOST_MAX + 64];	/* by whom, as the root says; "" */
	/* What is beyond the end of the log: records that were flushed, and
	 * what there is of them in the stores. */
	uint64_t flushed;		/* highest watermark */
	uint64_t beyond_last;		/* highest record; 0 = none */
	uint64_t beyond_records, beyond_blocks;
	uint64_t beyond_damaged;	/* blocks, durable once, of its last chunk */
	uint64_t beyond_low, beyond_high;	/* volume blocks; low > high: none */
};

struct recover_ring {
	struct ring_doc doc;
	bool remembered;		/* by a store; else made of the peers */
	uint32_t absent;		/* members that have not been asked ... */
	struct uuid absent_id[RING_MEMBERS_MAX];
};

/** recover_new() - NULL: out of memory. */
struct recover *recover_new(const struct recover_config *cfg);
void recover_free(struct recover *r);

/**
 * recover_add_peer() - connect to a torusd.
 * 0; -EPERM (another cluster than the peers before); or why it does not
 * answer, with error text that names the address.
 */
int recover_add_peer(struct recover *r, const char *address);

/**
 * recover_choose() - "VOLUME=PEER": where copies disagree, what this one has;
 * "VOLUME=CHUNK:BLOCK": the root there, and what follows it without a gap.
 * VOLUME: name or id in hex, PEER: address or uuid. Before the survey.
 * 0 or -EINVAL, -ENOMEM with error text.
 */
int recover_choose(struct recover *r, const char *choice);

/**
 * recover_truncate() - it is about this volume only: its log is to end where it
 * can be followed to, whatever was there behind that. Before the survey.
 * 0 or -ENOMEM.
 */
int recover_truncate(struct recover *r, uint64_t volume);

/** recover_survey() - 0, or what a peer that answered before now says. */
int recover_survey(struct recover *r);

const struct cluster_doc *recover_cluster(const struct recover *r);
const struct recover_ring *recover_ring(const struct recover *r);

/** recover_volumes() - by id. Valid until the next call that asks. */
uint32_t recover_volumes(const struct recover *r,
			 const struct recover_volume **volumes);
uint32_t recover_peers(const struct recover *r);

/** recover_refused() - volumes that cannot be rebuilt as they are. */
uint32_t recover_refused(const struct recover *r);

/** recover_changes() - things that recover_write() would write. */
uint32_t recover_changes(const struct recover *r);

/**
 * recover_compare() - read the metadata store and decide each volume's action.
 * @same: it may hold this very cluster, in an older state; volumes that are as
 * new there as in the stores are left alone.
 * 0; -EEXIST (it holds this cluster, and @same is false: the actions are those
 * that @same would allow), -EPERM (another cluster), -EBUSY (a volume that is to
 * be written is in use); others.
 */
int recover_compare(struct recover *r, struct meta *meta, bool same);

/**
 * recover_fence() - raise the epochs of all volumes that are to be written,
 * survey again - what was written meanwhile belongs to the log -, and seal.
 * 0; -EUCLEAN: now something is refused; others.
 */
int recover_fence(struct recover *r);

/** recover_write() - 0; -EAGAIN: somebody else writes there, too. */
int recover_write(struct recover *r);

#endif
