/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cleaner: when too much of what a volume stores is garbage, it moves the
 * live blocks out of the emptiest sealed chunks, and frees these.
 *
 *   IDLE --too much garbage--> PICK --victims--> SCAN <-> LOOK --a batch--> READ
 *    ^                          |                 |        ^                 |
 *    +--nothing to be had-------+                 |        +---- WRITE <-----+
 *    +--enough----------- FREE <--all walked------+
 */
#ifndef TORUS_VOLUME_CLEANER_H
#define TORUS_VOLUME_CLEANER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "peer/peer.h"
#include "volume/map.h"
#include "volume/reader.h"
#include "volume/writer.h"
#include "wire/record.h"
#include "wire/scan.h"

struct volume;

#define CLEANER_VICTIMS	16u		/* picked at a time */
#define CLEANER_BATCH	RECORD_PAYLOAD_BLOCKS_MAX	/* blocks on their way */
#define CLEANER_SCAN_BYTES (128u << 10)	/* of headers at a time */

enum cleaner_state {
	CLEANER_IDLE,
	CLEANER_PICK,			/* walks the chunk table */
	CLEANER_SCAN,			/* asks peers for headers */
	CLEANER_LOOK,			/* asks the map about their blocks */
	CLEANER_READ,			/* reads those that are live */
	CLEANER_WRITE,			/* the writer has them */
	CLEANER_FREE,			/* all are elsewhere */
};

struct clean_victim {
	uint64_t chunk;
	uint32_t length, live;		/* blocks */
};

/* Between two records of the victim. */
struct clean_place {
	uint32_t block;
	uint32_t prev_crc;		/* of the record before; of no meaning */
	uint64_t sequence;		/* where block is 0, as is this */
};

struct cleaner {
	enum cleaner_state state;
	bool busy;			/* an answer will come */
	bool blocked;			/* by something that kicks when over */
	struct env_timer pause;		/* armed: rests until then */
	uint64_t pause_ns;		/* the next one, where there is no room */
	uint64_t rest_end, rest_horizon;	/* .. or until one of these moves */
	bool resting;
	struct env_timer stall;		/* see cleaner_holds_users() */
	uint64_t moved_on;		/* when it last did */
	uint64_t credit;		/* blocks that users may write */
	uint64_t credit_part;		/* of one more, times four times the
					 * victim's length */
	uint64_t pressed_at;		/* last checkpoint for want of room */
	uint64_t unpublished;		/* blocks freed since the last root */
	uint64_t asked_horizon;		/* a checkpoint was asked for so that
					 * the horizon gets there */
	/* PICK */
	struct map_scan *table;
	struct clean_victim victims[CLEANER_VICTIMS];	/* emptiest first */
	uint32_t victim_count;
	uint64_t sum_live, live_before;
	/* the victim: the first of those */
	struct clean_place at, batch_at;
	struct peer_call call;
	uint32_t peer;			/* of the permutation, to be asked */
	uint32_t peers_failed;		/* in a row */
	uint8_t *headers;
	struct scan_iter iter;
	bool progress;			/* in this answer */
	struct record *record;
	bool has_record;
	uint32_t extent, page, payload;	/* where in the record */
	struct map_lookup lookup;
	struct map_locate locate;
	struct map_entry found[RECORD_PAYLOAD_BLOCKS_MAX];
	/* the batch */
	uint64_t stamp;			/* checkpoints begun when it was begun */
	bool batch_begun;
	uint32_t count;
	uint64_t block[CLEANER_BATCH];
	struct map_entry entry[CLEANER_BATCH];
	uint8_t *data;
	struct block_read read;
	struct log_write *writes;
	uint32_t writes_out;
	bool recalled;			/* some came back: look again */
};

int cleaner_init(struct volume *v);
void cleaner_release(struct volume *v);

/** cleaner_run() - from the turn. */
void cleaner_run(struct volume *v);

/** cleaner_at_rest() - a checkpoint wants to begin: calls back what can be;
 * false: some of it is in flight. */
bool cleaner_at_rest(struct volume *v);

/** cleaner_published() - a new root is. */
void cleaner_published(struct volume *v);

/** cleaner_holds_users() - users' writes wait, since they make garbage faster
 * than it can be cleaned away. */
bool cleaner_holds_users(const struct volume *v);

/** cleaner_users_took() - so many blocks of users' data got into a record. */
void cleaner_users_took(struct volume *v, uint32_t blocks);

/** cleaner_no_room() - a peer had no room for what is moved, and it is not in
 * flight any more: less and less often, until a chunk is freed. */
void cleaner_no_room(struct volume *v);

/* ---- between the files of the cleaner ---------------------------------- */

/** cleaner_pick() - begin to choose; cleaner_picked() follows. */
void cleaner_pick(struct volume *v);
void cleaner_picked(struct volume *v, int err);

/** cleaner_walk() - SCAN and LOOK: go on with the victim. */
void cleaner_walk(struct volume *v);

/** cleaner_threshold() - in percent, as of now. */
uint32_t cleaner_threshold(const struct volume *v);

/** cleaner_walked() - so many blocks of the victim are dealt with. */
void cleaner_walked(struct volume *v, uint32_t blocks);

/** cleaner_begin_victim() - from its first block on. */
void cleaner_begin_victim(struct volume *v);

/** cleaner_again() - walk once more what the batch was made of. */
void cleaner_again(struct volume *v);

/** cleaner_move() - read the batch and hand it to the writer. */
void cleaner_move(struct volume *v);

/** cleaner_give_up() - the victim cannot be cleaned now: rest. */
void cleaner_give_up(struct volume *v, const char *why);

#endif
