/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Active chunks: those of the log's end whose records are not yet durable and
 * sealed everywhere. In ascending order of their numbers; the last one or two
 * take appends.
 *
 *   OPEN ----LAST acknowledged, durable on all members----> SEAL --> retired
 *    |
 *    | decide L
 *    v
 *   CLOSING ----transaction committed----> SEALED ---SEAL---> retired
 *
 * OPEN:    every declared member counts; its data is durable when all say so.
 * CLOSING: L is decided: `length` and `end_crc` change no more. Nothing of the
 *          chunk counts as durable until the transaction has committed.
 * SEALED:  in the metadata's sealed list; durable when min_replicas copies
 *          are. A member is tried again until it has sealed the chunk, or has
 *          answered that it has no good copy (gone).
 */
#ifndef TORUS_VOLUME_ACTIVE_H
#define TORUS_VOLUME_ACTIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "peer/peer.h"
#include "ring/ring.h"

struct volume;
struct active_chunk;

/*
 * The writer begins no further chunk while so many are OPEN or CLOSING; SEALED
 * ones with enough copies are dropped when there are more of them than that.
 */
#define ACTIVE_MAX 16

enum active_state { ACTIVE_OPEN, ACTIVE_CLOSING, ACTIVE_SEALED };

struct active_member {
	struct uuid id;
	struct peer *peer;
	struct active_chunk *chunk;
	bool failed;			/* OPEN, CLOSING: counts no more */
	bool gone;			/* answered that it has no good copy */
	bool lacks;			/* gone, but what it has may be added to */
	bool sealed;			/* answered SEAL */
	uint32_t acked;			/* blocks that it has, in its own words */
	uint32_t durable;		/* of those, durable */
	struct uuid incarnation;	/* of its first answer; null before */
	/* One SYNC or SEAL at a time. */
	bool busy;
	struct peer_call call;
	struct wire_range range;
	struct iovec iov;
	bool in_round;			/* the round waits for this call */
	uint32_t asked;			/* length that the call is about */
	uint32_t tries;			/* SEALs that got no answer */
	uint64_t retry_at;		/* next SEAL not before */
};

struct active_chunk {
	struct list_head node;
	struct volume *volume;
	uint64_t number;
	enum active_state state;
	bool complete;			/* LAST is acknowledged */
	uint32_t placed;		/* end of what is in flight */
	uint32_t length;		/* acknowledged in order */
	uint32_t end_crc;		/* header that ends there; 0 for 0 */
	uint64_t last_sequence;		/* of that record; 0 for 0 */
	uint32_t mark_length;		/* length and sequence when the round */
	uint64_t mark_sequence;		/* of sync.c began */
	uint32_t member_count;
	struct active_member members[RING_REPLICATION_MAX];
	struct copy *copy;		/* a copy under way, or NULL */
	struct uuid copy_target;
	uint32_t copy_tried;		/* targets of the permutation so far */
	uint64_t copy_at;		/* next attempt not before */
	/* Peers that are no members and have a durable copy. */
	struct uuid extra[RING_REPLICATION_MAX];
	uint32_t extra_count;
	/* Who else has it, when no member does: one after the other. */
	struct peer_call search;
	bool searching;
	uint32_t search_at;		/* member of the ring, in its order */
	uint32_t search_rounds;		/* in which all said that they have not */
	bool search_silent;		/* somebody did not answer */
	bool search_told;		/* that it was logged */
	uint64_t search_ring;		/* version: its order is search_at's */
};

struct active {
	struct list_head chunks;
	uint32_t count;			/* OPEN and CLOSING ones */
};

void active_init(struct volume *v);
void active_release(struct volume *v);

/**
 * active_open() - begin chunk @number with its declared members.
 * Returns it, or NULL with *@err: -ENOMEM, -ENOENT (the ring of the tail is
 * not known any more, or knows too few peers).
 */
struct active_chunk *active_open(struct volume *v, uint64_t number, int *err);

struct active_chunk *active_find(struct volume *v, uint64_t number);

/** active_set_state() - keeps the count. */
void active_set_state(struct active_chunk *chunk, enum active_state state);

/** active_drop() - forget a chunk; its calls are cancelled. */
void active_drop(struct active_chunk *chunk);

/** active_member_of() - the member with that id, or NULL. */
struct active_member *active_member_of(struct active_chunk *chunk,
				       const struct uuid *id);

/** active_add_extra() - a peer that is no member has a durable copy now. */
void active_add_extra(struct active_chunk *chunk, const struct uuid *id);

/** active_is_extra() - whether it is one of those. */
bool active_is_extra(const struct active_chunk *chunk, const struct uuid *id);

/** active_durable_all() - whether [0, length) is durable on all members. */
bool active_durable_all(const struct active_chunk *chunk, uint32_t length);

/** active_durable() - whether [0, length) is durable in the sense of
 * invariant 1, given the chunk's state. */
bool active_durable(const struct active_chunk *chunk, uint32_t length);

/** active_copies() - durable copies of a SEALED chunk. */
uint32_t active_copies(const struct active_chunk *chunk);

/**
 * active_endangered() - some chunk that is not OPEN any more has no durable
 * copy, and no member that is known to have it still: its acknowledged data
 * may be gone. Nothing is to be acknowledged on top of that.
 */
bool active_endangered(const struct volume *v);

/**
 * active_answered() - a member answered with @incarnation.
 * Returns 0, or -ESTALE: not the incarnation that took what is not durable.
 */
int active_answered(struct active_member *member,
		    const struct uuid *incarnation);

#endif
