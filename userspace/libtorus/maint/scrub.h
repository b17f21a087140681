/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scrub: is each copy here as it should be? Walks the sealed copies of this
 * store at a low rate and verifies every CRC; sees to it that a copy known to
 * be bad, whoever found that, is replaced by a good one. Part of struct maint,
 * which forwards what the store tells.
 *
 * A bad copy is healed by those who have a good one: they are asked to
 * CHECK(PLACE) the chunk, again and again, until the store says that the copy
 * is good, or gone.
 */
#ifndef TORUS_MAINT_SCRUB_H
#define TORUS_MAINT_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "peer/cluster.h"
#include "store/maintain.h"
#include "store/store.h"

#define SCRUB_HEALS	64u	/* bad copies looked after at a time */
#define SCRUB_CHECKS	64u	/* copies that wait to be verified out of turn */
#define SCRUB_FILE_SIZE	512u

struct scrub_config {
	uint64_t rate;			/* bytes/s; 0 = 8 MiB/s, a quarter of it
					 * while clients use the store */
	uint64_t interval_ns;		/* begin to begin; 0 = 7 days */
};

/* A copy that is bad, and whom we ask for a good one. */
struct scrub_heal {
	struct scrub *scrub;
	uint64_t volume, chunk;		/* chunk 0: free */
	struct peer_call call;
	bool calling;
	uint32_t next;			/* in the permutation; of this attempt */
	uint32_t attempts;
	uint64_t due;			/* of the next attempt */
};

struct scrub_place {
	uint64_t volume, chunk;
};

/* What outlives the process, in the file "scrub" of the store's directory. */
struct scrub_saved {
	bool in_round, paused;
	struct scrub_place cursor;	/* verified up to and with this */
	uint64_t next_ms;		/* realtime: when the next round begins */
	uint64_t began_ms, ended_ms;	/* realtime, of rounds; 0 = never */
	uint64_t chunks, bytes;		/* of this round */
};

/* Private; here to be a part of struct maint. */
struct scrub {
	struct env *env;
	struct cluster *cluster;
	struct store *store;
	struct scrub_config cfg;
	struct scrub_saved now;		/* as it should be in the file */
	bool loaded;			/* the file was read, or cannot be */
	/* verify, one at a time */
	struct store_copy_op op;
	bool verifying, in_turn;	/* in_turn: it is the round's */
	uint64_t not_before;		/* for the next one of the round */
	uint64_t client_ops;		/* of the store, when last looked at */
	struct scrub_place check[SCRUB_CHECKS];
	uint32_t check_first, check_count;
	struct env_timer turn;
	/* heal */
	struct scrub_heal heal[SCRUB_HEALS];
	uint32_t heal_count;
	bool heal_more;			/* there may be bad copies in no heal */
	struct scrub_place heal_cursor;	/* of the walk that finds them */
	struct env_timer heal_turn;
	/* findings, newest at finding_next - 1 */
	struct wire_finding finding[WIRE_FINDINGS_MAX];
	uint32_t finding_next, finding_count;
	uint64_t bad, healed;
	/* the file */
	struct env_file_op file_op;
	struct iovec file_iov;
	char file_text[SCRUB_FILE_SIZE];
	int file;
	bool saving, save_again;
	uint64_t saved_at;
};

/**
 * scrub_init() - start: read where the last process was, look for copies that
 * are known to be bad. All arguments but @cfg outlive the scrub.
 */
void scrub_init(struct scrub *scrub, struct env *env, struct cluster *cluster,
		struct store *store, const struct scrub_config *cfg);

/** scrub_release() - drop everything at once, as maint_free(): verify and file
 * operations under way must never come back. */
void scrub_release(struct scrub *scrub);

/** scrub_check() - CHECK(VERIFY) came: verify that copy soon. */
void scrub_check(struct scrub *scrub, uint64_t volume, uint64_t chunk);

/** scrub_copy_changed() - of store_events; may come from inside the store. */
void scrub_copy_changed(struct scrub *scrub, const struct store_copy *copy);

/** scrub_peers_changed() - a peer came up, or the ring changed: bad copies may
 * be healed now. May come from inside the peers. */
void scrub_peers_changed(struct scrub *scrub);

/** scrub_action() - of MAINTENANCE; what is not about scrub is ignored. */
void scrub_action(struct scrub *scrub, enum wire_maintenance_action action);

/** scrub_report() - fill in the fields scrub_* of @reply and at most @max
 * @findings, newest first. Returns how many. */
uint32_t scrub_report(const struct scrub *scrub,
		      struct wire_maintenance_reply *reply,
		      struct wire_finding *findings, uint32_t max);

/** scrub_idle() - no bad copy is known, and none is being looked at out of
 * turn. A round may be under way. */
bool scrub_idle(const struct scrub *scrub);

#endif
