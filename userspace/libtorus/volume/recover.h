/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an attachment under way (design section 6). One struct attach
 * goes through the phases in order; each phase is a file:
 *
 *   CLAIM    claim.c     read the volume's value, write epoch and attachment
 *   FENCE    fence.c     FENCE to every peer; a durable answer opens a peer
 *   ROOT     rootload.c  find and read the root, open map and chunk table
 *   WALK     walk.c      follow the chain of records, apply them
 *            probe.c     where a sealed chunk turns out to be short
 *   SETTLE   settle.c    copy and sync until min_replicas hold the prefix
 *   PUBLISH  publish.c   sealed lengths and a fresh tail, into the metadata
 *   SEAL     publish.c   tell the stores; best effort
 *
 * attach_step() is the only place that calls a phase; everything else notes
 * what it learned and asks for a step with attach_kick(), a timer, so that
 * nothing is re-entered. A phase that cannot go on returns; a retry timer and
 * every answer step it again until the deadline, when `waiting_for` becomes
 * the error.
 */
#ifndef TORUS_VOLUME_RECOVER_H
#define TORUS_VOLUME_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "peer/peer.h"
#include "volume/copy.h"
#include "volume/internal.h"
#include "wire/proto.h"

#define ATTACH_RETRY_NS	(300 * NSEC_PER_MSEC)
#define SCAN_BYTES_MAX	(1u << 20)
/* Chunks between the root and the end of the log, bounded by the checkpoint's
 * log limit and the tail. */
#define WALK_CHUNKS_MAX 65536u

enum attach_phase { ATTACH_CLAIM, ATTACH_FENCE, ATTACH_ROOT, ATTACH_WALK,
		    ATTACH_SETTLE, ATTACH_PUBLISH, ATTACH_SEAL, ATTACH_OVER };

/* A peer's copy of the chunk that is being settled. */
enum settle_state {
	SETTLE_UNKNOWN,		/* its length is not known, or it lacks blocks */
	SETTLE_SYNCING,
	SETTLE_COPYING,
	SETTLE_DURABLE,		/* has all of the prefix, durably */
	SETTLE_FAILED,		/* not tried again for this item */
};

/* What one peer has said. One call at a time, whatever the phase. */
struct attach_peer {
	struct attach *attach;
	struct peer *peer;
	struct uuid id;
	struct peer_call call;
	bool busy;
	uint64_t retry_at;		/* after a failure; 0 = now */
	int err;			/* of the last failure */
	bool fenced;			/* FENCE answered: durable there */
	/* WALK: answer about the chunk being walked. */
	uint64_t stat_chunk;		/* chunk that stat_* are about, 0 = none */
	bool stat_known;		/* answered; absent is length 0 */
	bool stat_damaged;		/* said BADCOPY, or its chain broke */
	uint32_t stat_length, stat_durable;
	bool stat_sealed;
	uint32_t probe_block;		/* probe.c: scanned up to here */
	bool stat_scanned;		/* its end was looked at for damage */
	/* SETTLE, of the current item; SEAL */
	enum settle_state settle;
	struct copy *copy;		/* under way */
	uint32_t bad_block;		/* where it failed, with -EBADMSG */
	struct wire_range range;
	struct iovec iov;
};

/* A chunk of the prefix that is not known durable on all its members. */
struct settle_item {
	uint64_t chunk;
	uint32_t length, end_crc;
	bool *holder;			/* per attach_peer: to be told of SEAL */
	bool rotten;			/* a copy failed: no source has good */
	uint32_t bad_block;		/* bytes of the record here */
	uint64_t rotten_since;
	bool confirmed;			/* a later copy found the same */
};

struct walk {
	uint64_t chunk;			/* being walked */
	uint32_t block;			/* next header expected here */
	struct log_position last;	/* record before it */
	uint32_t end_crc;		/* of the last header in this chunk; 0 */
	bool complete;			/* LAST seen in this chunk */
	bool listed;			/* a sealed entry led here */
	/* From the first block of this chunk on, where an entry led to, the log
	 * holds only what checkpoints left that were not published. 0 = no. */
	uint64_t spare_chunk;
	struct log_position spare_last;	/* record before that */
	struct log_position changed;	/* newest that changes the volume */
	uint64_t flushed;		/* highest watermark seen */
	struct log_position remembered;	/* found where cfg.remembered points;
					 * sequence 0: not there (yet) */
	bool stat_asked;
	uint64_t grace_until;		/* wait for more answers about a chunk */
	uint32_t short_asked;		/* times that all said they lack it */
	struct attach_peer *source;	/* being scanned */
	struct peer_call scan;
	bool scanning;
	bool scan_progress;		/* records came from this source */
	struct record *record;		/* decode buffer */
	uint64_t bytes;			/* replayed */
	bool ended;
	bool truncated;			/* a sealed chunk ends before its L */
	uint64_t probe_chunk;		/* 0 = nothing left to look at */
	/* The log ends here: nobody has good bytes of the record, and not all
	 * members ever had it. 0 = not known to. */
	uint64_t cut_chunk;
	uint32_t cut_block;
};

struct attach {
	struct volume *volume;
	enum attach_phase phase;
	struct env_timer step, retry;
	uint64_t deadline;
	char waiting_for[512];		/* the error if the deadline comes first */
	int waiting_err;
	enum attach_phase told_phase;	/* what of the two was logged last */
	int told_err;
	char way_out[320];

	/* A peer has seen a higher epoch: all rests until claim.c knows why. */
	bool fenced;
	uint64_t fenced_epoch;
	char fenced_by[ADDRESS_MAX];

	/* CLAIM, PUBLISH: one metadata call at a time. */
	bool meta_busy;
	bool claimed;
	bool must_read;			/* value unknown: read before writing */
	struct volume_doc attempt;	/* what the transaction holds */
	char *attempt_json;
	/* The attachment of an earlier boot: its owner's lease is awaited. */
	int64_t ended_revision;		/* of the value whose owner is gone */
	int64_t looked_revision;	/* ... is being looked for */
	uint64_t ended_until;		/* then it lives; 0 = not seen */
	int64_t ring_revision;		/* PUBLISH: that the attempt compares */
	bool rejected;			/* the last answer was: not applied */

	uint32_t peer_count;
	struct attach_peer *peers;
	uint64_t grace_until;

	/* ROOT */
	struct peer_call root_scan;
	bool root_busy, root_known;
	uint32_t root_next;		/* peer to try */
	uint32_t root_failures;
	struct record *root_record;
	uint8_t *root_payload;
	struct map_entry *root_entries;
	struct block_read root_read;

	struct walk walk;
	uint32_t item_count, item_room;
	struct settle_item *items;
	uint32_t item;			/* being settled or sealed */
	bool item_begun;
	uint32_t seals_pending;
};

/** attach_kick() - step soon. */
void attach_kick(struct attach *a);

/** attach_fail() - attaching ends with this error; the text names it. */
void attach_fail(struct attach *a, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** attach_wait() - nothing to be done now: say what is missing, retry later,
 * fail with @err at the deadline. */
void attach_wait(struct attach *a, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * attach_way_out() - what a person can do about a chunk that is short or
 * damaged: the end of a sentence, which names the peers that have not answered
 * about @chunk (0: at all). Valid until the next call.
 */
const char *attach_way_out(struct attach *a, uint64_t chunk);

/** attach_root_way_out() - the same about the root, without which no log can be
 * followed, nor cut off. */
const char *attach_root_way_out(struct attach *a);

/** attach_progress() - something moved: the deadline starts anew. */
void attach_progress(struct attach *a);

static inline bool attach_is_over(const struct attach *a)
{
	return a->phase == ATTACH_OVER;
}

/**
 * attach_peer_ready() - may be asked now: not busy, not in its back-off.
 */
bool attach_peer_ready(struct attach_peer *p);

/** attach_peer_call() - send; p->busy until attach_peer_answer(). */
void attach_peer_call(struct attach_peer *p, enum wire_type type,
		      const void *body, void (*done)(struct peer_call *call));

/**
 * attach_peer_answer() - what every done() does first: p is free again; a
 * failure begins a back-off; an answer that fences us ends in claim_recheck().
 * Returns 0 for an answer with status OK, else -errno; call->status stands.
 */
int attach_peer_answer(struct attach_peer *p);

struct attach_peer *attach_peer_find(struct attach *a, const struct uuid *id);

/** attach_in_tail() - @chunk is declared and not in the sealed list. */
bool attach_in_tail(const struct attach *a, uint64_t chunk);

/* The phases: each does what can be done now. They move a->phase on. */
void claim_step(struct attach *a);
void claim_release(struct attach *a);	/* undo, best effort, on failure */
void claim_recheck(struct attach *a);	/* fenced: is it still ours? */
void fence_start(struct attach *a);
void fence_step(struct attach *a);
void rootload_step(struct attach *a);
void rootload_release(struct attach *a);
void walk_start(struct attach *a, uint64_t chunk, uint32_t block,
		const struct log_position *last);
void walk_step(struct attach *a);

/**
 * walk_again() - what was applied reaches too far: begin at the root once
 * more, and end before the record at @block of @chunk.
 */
void walk_again(struct attach *a, uint64_t chunk, uint32_t block);
void walk_release(struct attach *a);
void settle_step(struct attach *a);
void settle_release(struct attach *a);
void publish_step(struct attach *a);
void seal_step(struct attach *a);

/** walk_ask_lengths() - STAT_CHUNK of @chunk to every fenced peer that has not
 * answered about it. Returns how many answers are worth waiting for. */
uint32_t walk_ask_lengths(struct attach *a, uint64_t chunk);

/** probe_possible() - every peer has answered about the walked chunk. */
bool probe_possible(const struct attach *a);

/** probe_start() - the log ends in the walked chunk, before its L. */
void probe_start(struct attach *a);

/** probe_step() - true: all later chunks were looked at; walk.flushed holds
 * the highest watermark. */
bool probe_step(struct attach *a);

/**
 * walk_stat_damaged() - the copy does not say where the chunk's records end: it
 * is bad, its chain broke, or records that were durable in it are damaged.
 */
static inline bool walk_stat_damaged(const struct attach_peer *p)
{
	return p->stat_damaged || p->stat_durable > p->stat_length;
}

/** walk_stat_current() - p->stat_* are about @chunk. */
bool walk_stat_current(const struct attach_peer *p, uint64_t chunk);

/** fence_retry() - FENCE again to peers that have not answered. */
void fence_retry(struct attach *a);

/**
 * settle_add() - the prefix includes [0, length) of @chunk and it must be
 * settled before anything is served. 0 or -ENOMEM.
 */
int settle_add(struct attach *a, uint64_t chunk, uint32_t length,
	       uint32_t end_crc);

/** settle_drop() - the prefix includes nothing of @first and later chunks. */
void settle_drop(struct attach *a, uint64_t first);

#endif
