/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maintenance as its own files see it. What placement is made of:
 *
 *	walk.c     every copy of this store, one after the other
 *	item.c     the chunks that are not settled, and where each stands
 *	lookup.c   asks other peers about many chunks at a time
 *	place.c    decides what is to be done about one
 *	push.c     one copy on its way to one peer
 *	drop.c     copies that do not belong here
 *	seal.c     copies that missed their seal
 *	members.c  the peers: who is up, who is lost
 *	volumes.c  how many copies a volume's chunks have, and where its tail is
 *	moved.c    when the previous ring may be forgotten
 *	rate.c     how fast
 *
 * Everything that happens ends in maint_kick(): the turn that follows looks at
 * all of them. Nothing runs, and no timer but that of the next full walk, while
 * there is nothing to be done; but while a copy is here that may go once its
 * volume's tail has moved on, that is looked for.
 */
#ifndef TORUS_MAINT_PRIVATE_H
#define TORUS_MAINT_PRIVATE_H

#include "base/hash.h"
#include "base/list.h"
#include "maint/garbage.h"
#include "maint/maint.h"
#include "maint/scrub.h"
#include "maint/settle.h"
#include "store/maintain.h"
#include "volume/metacall.h"
#include "wire/proto.h"

/* Chunks that wait: for a copy, for others, for a time. What does not fit is
 * found again by the next walk. */
#define MAINT_PARKED_MAX	8192u
#define MAINT_BATCH_MAX		WIRE_LOOKUP_MAX
#define MAINT_ASK_MAX		(2 * RING_REPLICATION_MAX)
#define MAINT_TRANSFERS_MAX	64u
#define MAINT_PEER_TRANSFERS	2u	/* to one peer at a time */
#define MAINT_DROPS		4u	/* at a time */
#define MAINT_SEALS		4u
#define MAINT_PIECES		2u	/* of a transfer under way */
#define MAINT_PIECE_BLOCKS	(WIRE_RESTORE_MAX / 2)	/* memory is scarce */
#define MAINT_PIECE_BYTES	(MAINT_PIECE_BLOCKS * BLOCK_SIZE)
/* While clients are there: what one of them waits for at most. */
#define MAINT_PIECE_BUSY	(MAINT_PIECE_BLOCKS / 4)
#define MAINT_LOST_MAX		TAIL_EXCLUDED_MAX
#define MAINT_AVOID_MAX		4u	/* full peers that a chunk passes over */

struct push;
struct drop;
struct batch;

/* ---- members.c: another peer that is in the current or the previous ring -- */

struct maint_peer {
	struct list_head node;		/* maint->peers; lives as long as that */
	struct maint *maint;
	struct uuid id;
	struct peer *peer;		/* NULL: its address is not known */
	bool current;			/* member of the current ring */
	bool up;
	bool lost;			/* down for longer than the grace */
	bool walk;			/* what it owns is to be looked at */
	uint64_t down_since;
	uint32_t waiting;		/* chunks that lack it, and wait for it */
	uint32_t pushes;
	uint64_t busy_until, busy_delay;	/* it said EBUSY */
	uint64_t clients_until;		/* it said that it has some */
	uint64_t full_until;		/* it said ENOSPC ... */
	uint32_t full_blocks;		/* ... to a copy of so many */
	struct peer_call probe;
	bool probing;
};

/* ---- item.c: a chunk that is not settled ---------------------------------- */

enum item_state {
	ITEM_LATER,	/* parked: to be looked at when its timer fires */
	ITEM_READY,	/* on maint->ready: to be asked about */
	ITEM_ASKED,	/* in a batch */
	ITEM_PUSH,	/* parked: on maint->pushes[copies] */
	ITEM_PUSHING,
	ITEM_DROP,	/* parked: on maint->drops */
	ITEM_DROPPING,
	ITEM_SEAL,	/* parked: on maint->seals */
	ITEM_SEALING,
};

struct item {
	struct hash_node by_chunk;
	struct list_head node;
	struct env_timer later;
	struct maint *maint;
	uint64_t volume, chunk;
	enum item_state state;
	bool again;			/* something happened meanwhile */
	bool opened;			/* an owner's copy was open */
	bool walked;			/* a walk came by: see moved.c */
	bool pushed;			/* to one; the next is ours, too */
	bool lacking;			/* so the last look: to be pushed */
	uint8_t tries;			/* looks in a row that settled nothing */
	uint8_t copies;			/* good ones known */
	uint8_t replication;
	uint32_t length;		/* blocks */
	uint64_t since;			/* when it was first left to another */
	uint64_t ring_version;		/* DROP: what the owners follow */
	uint64_t looked;		/* DROP: when they were asked */
	uint64_t epoch_limit;		/* DROP: no later one has asked for it */
	uint32_t end_crc;		/* SEAL: as others have it; 0: not known */
	struct maint_peer *target;	/* PUSH */
	struct maint_peer *avoid[MAINT_AVOID_MAX];	/* they are full */
};

struct item *item_find(struct maint *m, uint64_t volume, uint64_t chunk);
/** item_look() - have a chunk looked at after @delay_ns, or sooner if it is to
 * be sooner already. Without room a walk will come by. */
void item_look(struct maint *m, uint64_t volume, uint64_t chunk,
	       uint64_t delay_ns);
/** item_walked() - a walk has come by. */
void item_walked(struct item *item);
/** item_new() - a chunk that is not known yet, ready to be asked about. */
struct item *item_new(struct maint *m, uint64_t volume, uint64_t chunk);
/* Where an item goes from ASKED, PUSHING, DROPPING or SEALING. All but item_settled()
 * may find no room, and then leave it to the next walk. */
void item_settled(struct item *item);
void item_later(struct item *item, uint64_t delay_ns);
void item_push(struct item *item, struct maint_peer *target);
void item_drop(struct item *item);
void item_seal(struct item *item);
/** item_avoid() - @peer lacks it, and is full: others are to stand in for it.
 * Returns false: too many are full already. */
bool item_avoid(struct item *item, struct maint_peer *peer);
/** members_full() - @p had no room for a copy of so many blocks. */
void members_full(struct maint_peer *p, uint32_t blocks);
/** item_begin() - it is at work now: ASKED, PUSHING, DROPPING or SEALING. */
void item_begin(struct item *item, enum item_state state);
/** item_again() - after something was done about it: look whether it helped. */
void item_again(struct item *item);
/** items_forget() - all that only wait: another ring, another answer. */
void items_forget(struct maint *m);
int items_init(struct maint *m);
void items_release(struct maint *m);

/* ---- rate.c ---------------------------------------------------------------- */

struct rate {
	uint64_t tokens;		/* bytes that may be sent now */
	uint64_t filled;		/* when they were counted */
	/* how fast it goes */
	uint64_t window_start, window_bytes;
	uint64_t speed;			/* bytes/s, smoothed */
};

/** rate_piece() - how large the next piece for @p may be, in blocks. */
uint32_t rate_piece(struct maint *m, const struct maint_peer *p);
/** rate_wait() - ns until @bytes may be sent to @p; 0: now, they are taken. */
uint64_t rate_wait(struct maint *m, const struct maint_peer *p,
		   uint32_t bytes);
/** rate_busy() - whether clients use this store, or that of @p (may be NULL). */
bool rate_busy(struct maint *m, const struct maint_peer *p);
void rate_done(struct maint *m, uint32_t bytes);
uint64_t rate_speed(struct maint *m);

/* ---- volumes.c -------------------------------------------------------------- */

struct volumes {
	struct hash_table by_id;
	struct list_head lru;		/* oldest first */
	struct list_head put_off;	/* that have copies to be looked at again */
	uint32_t count, fetching;
};

/**
 * volumes_get() - the number of copies that @volume wants.
 * @known: the metadata store said so; else it is the ring's.
 * Returns false: it was asked, a kick follows.
 */
bool volumes_get(struct maint *m, uint64_t volume, uint8_t *replication,
		 bool *known);
/** volumes_most() - as far as is known without asking; else the most there can
 * be. */
uint8_t volumes_most(struct maint *m, uint64_t volume);
/** volumes_below_tail() - @chunk lies below the declared tail, as far as is known
 * without asking (a tail only moves upwards): no recoverer looks there for the
 * end of the log. */
bool volumes_below_tail(const struct maint *m, uint64_t volume,
			uint64_t chunk);
/** volumes_tail_is_old() - whether the tail may have moved on since it was asked
 * for; then it is asked for again when the volume is next looked at. */
bool volumes_tail_is_old(struct maint *m, uint64_t volume);
/** volumes_put_off() - have a copy looked at again, soon after the volume's
 * document says that its chunk lies below the declared tail. */
void volumes_put_off(struct maint *m, uint64_t volume, uint64_t chunk);
/** volumes_turn() - look at those for which that is so, and read the documents
 * of the others again when it is time. */
void volumes_turn(struct maint *m);
int volumes_init(struct maint *m);
void volumes_release(struct maint *m);

/* ---- walk.c ------------------------------------------------------------------ */

struct walk {
	bool active, all;		/* all: not only what some peers own */
	bool wanted;			/* another one, of all */
	uint64_t volume, chunk;		/* cursor */
	uint64_t began, ring_version;
	uint64_t not_before;
	uint64_t next_full;		/* by the interval */
	/* of the last walk of all that has ended */
	uint64_t done_version;
};

void walk_init(struct maint *m);
void walk_want(struct maint *m);
void walk_turn(struct maint *m);
/** walk_pending() - one is under way or due. */
bool walk_pending(const struct maint *m);

/* ---- the rest ------------------------------------------------------------------ */

struct moved_edit;

struct moved {
	struct moved_edit *edit;	/* while the ring's document is edited */
	uint64_t telling, told;		/* ring version that our key says */
	bool busy;
	uint64_t not_before, delay;
};

struct maint {
	struct env *env;
	struct cluster *cluster;
	struct store *store;
	struct maint_config cfg;
	struct metacalls calls;
	const struct ring *ring, *previous;	/* the cluster's */
	uint64_t ring_version;
	struct uuid token;		/* of transfers, by chance */
	struct env_timer turn;
	/* members.c */
	struct list_head peers;
	struct uuid lost[MAINT_LOST_MAX];
	uint32_t lost_count;
	/* item.c */
	struct hash_table items;
	uint32_t walked;		/* items that a walk came by */
	uint32_t parked, queued;	/* LATER and DROP; PUSH */
	uint32_t parked_max, queued_max;	/* tests may lower them */
	struct list_head ready;
	struct list_head pushes[RING_REPLICATION_MAX + 1];	/* by copies */
	struct list_head drops, seals;
	uint32_t push_count, drop_count;	/* pushing and dropping, too */
	uint64_t push_bytes, drop_bytes, short_count;
	/* What found no room since the last walk began. */
	bool overflow;
	uint64_t over_chunks, over_bytes;
	struct list_head batches;
	uint32_t batch_count;
	struct list_head pushing, dropping, sealing;
	struct list_head spare_pieces;
	uint32_t pushing_count, dropping_count, sealing_count;
	struct rate rate;
	struct volumes volumes;
	struct walk walk;
	struct moved moved;
	struct scrub scrub;
	struct garbage garbage;
	struct settler settler;
	/* since the start */
	uint64_t copied_chunks, copied_bytes, dropped_chunks, conflicts;
	uint64_t sealed_chunks;
	struct {			/* of those, in the log */
		uint64_t copied_chunks, copied_bytes, dropped_chunks;
	} said;
};

/** maint_kick() - a turn comes soon. */
void maint_kick(struct maint *m);
/** maint_wake_at() - a turn comes then, or sooner. */
void maint_wake_at(struct maint *m, uint64_t when);

/* members.c */
void members_init(struct maint *m);
void members_release(struct maint *m);
/** members_sync() - another ring: other members. */
void members_sync(struct maint *m);
void members_turn(struct maint *m);
void members_changed(struct maint *m, struct peer *peer, int err);
void members_alive(struct maint *m, const struct uuid *id, bool alive);
struct maint_peer *members_find(struct maint *m, const struct uuid *id);
const struct uuid *members_self(const struct maint *m);
/** members_all_up() - every member of the current ring is up. */
bool members_all_up(const struct maint *m);

/** maint_put_off() - chunks that are to be copied, but wait for something: for
 * another who does it, for a peer that said no, for another look. They are
 * in none of the counts above. */
uint64_t maint_put_off(const struct maint *m, uint64_t *bytes,
		       uint64_t *fewer);

/* lookup.c: a chunk and what others have of it. */
struct answer {
	struct maint_peer *peer;
	bool owner, target;
	bool answered;
	enum wire_copy_state state;
	uint32_t length, end_crc;
	uint64_t epoch, ring_version;
};

struct query {
	struct item *item;
	struct store_copy mine;
	uint64_t ring_version;
	uint8_t replication;
	bool known;			/* so says the volume's document */
	bool me_owner, me_target;
	uint8_t owners, targets;	/* how many, me included */
	uint8_t me_rank;		/* answers that are before me */
	uint8_t count;
	struct answer answer[MAINT_ASK_MAX];	/* by rank */
};

void lookup_turn(struct maint *m);
void lookup_release(struct maint *m);

/** place_plan() - whom to ask about a chunk, by the current ring. */
void place_plan(struct maint *m, struct query *q);
/** place_decide() - all have answered, or will not. */
void place_decide(struct maint *m, const struct query *q);

/* push.c */
void push_turn(struct maint *m);
void push_release(struct maint *m);

/* drop.c */
void drop_turn(struct maint *m);
/** drop_unasked() - no epoch beyond item->epoch_limit was seen. */
bool drop_unasked(const struct item *item);
void drop_release(struct maint *m);

/* seal.c */
void seal_turn(struct maint *m);
void seal_release(struct maint *m);

/* moved.c */
void moved_turn(struct maint *m);
void moved_reset(struct maint *m);
void moved_release(struct maint *m);

/** maint_settled() - as maint_idle(), of where copies are. */
bool maint_settled(const struct maint *m);

#endif
