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

struct scrub_config {
	uint64_t rate;			/* bytes/s; 0 = 8 MiB/s; a quarter of
					 * it while clients use the store */
	uint64_t interval_ns;		/* begin to begin; 0 = 7 days */
};

struct scrub_place {
	uint64_t volume, chunk;
};

/* ---- scrub_state.c: what outlives the process ---------------------------- */

/* The file "scrub" of the store's directory. Times are realtime in ms. */
struct scrub_saved {
	bool in_round, paused;
	struct scrub_place cursor;	/* verified up to and with this */
	uint64_t next_ms;		/* when the next round begins; 0: not set */
	uint64_t began_ms, ended_ms;	/* rounds; 0 = never */
	uint64_t chunks, bytes;		/* of this round, or of the last */
};

#define SCRUB_TEXT_MAX	512u

struct scrub_state;

/** scrub_saved_format() - as text; returns its length, below @len. */
size_t scrub_saved_format(const struct scrub_saved *saved, char *text,
			  size_t len);

/** scrub_saved_parse() - 0, or -EINVAL: it is not what format made. */
int scrub_saved_parse(const char *text, size_t len, struct scrub_saved *saved);

/**
 * scrub_state_load() - loaded() follows, from the loop; with zeros if there is
 * no file or it makes no sense. Returns NULL when out of memory.
 */
struct scrub_state *scrub_state_load(struct env *env,
				     void (*loaded)(void *ctx,
						    const struct scrub_saved *),
				     void *ctx);

/** scrub_state_save() - soon; the last one wins. After loaded() only. */
void scrub_state_save(struct scrub_state *state,
		      const struct scrub_saved *saved);

/** scrub_state_free() - loaded() does not come any more. A file operation under
 * way ends, and takes the memory with it. */
void scrub_state_free(struct scrub_state *state);

/* ---- scrub_heal.c: copies that are bad, or missing ------------------------ */

/* A chunk of which there is no good copy here, and whom we ask for one. */
struct scrub_heal {
	struct scrub *scrub;
	struct scrub_place place;	/* chunk 0: free */
	struct peer_call call;
	bool calling;
	bool counted;			/* as a bad copy, not as a missing one */
	uint32_t next;			/* of this attempt, in the permutation */
	uint32_t attempts;
	uint64_t due;			/* of the next attempt */
};

/* Private; here to be a part of struct maint. */
struct scrub {
	struct env *env;
	struct cluster *cluster;
	struct store *store;
	struct scrub_config cfg;
	struct scrub_state *state;	/* NULL: nothing is kept */
	struct scrub_saved now;		/* as it should be in the file */
	uint64_t saved_at;
	bool loaded;
	/* verify, one at a time */
	struct store_copy_op op;
	bool verifying, in_turn;	/* in_turn: it is the round's */
	uint64_t verify_began;
	uint64_t not_before;		/* for the next one of the round ... */
	uint64_t check_not_before;	/* ... and for the next one of check */
	enum wire_maintenance_action asked;	/* before it was loaded */
	uint64_t client_ops;		/* of the store, when last looked at */
	uint32_t check_first, check_count;
	struct scrub_place check[SCRUB_CHECKS];
	struct env_timer turn;
	/* heal */
	struct scrub_heal heal[SCRUB_HEALS];
	uint32_t heal_count;
	bool heal_walk;			/* bad copies may be in no heal */
	bool heal_first_walk;		/* nobody has told of those that it finds */
	bool heal_left_out;		/* it made room for others since */
	struct scrub_place heal_cursor;	/* of the walk that finds them */
	struct env_timer heal_turn;
	/* findings, the newest at finding_count - 1, modulo the room */
	struct wire_finding finding[WIRE_FINDINGS_MAX];
	uint64_t finding_count;
	uint64_t bad, healed;
};

void scrub_heal_init(struct scrub *scrub);
void scrub_heal_release(struct scrub *scrub);

/** scrub_heal_want() - there is no good copy of the chunk here. @counted: it is
 * a bad one, to be counted as healed when it is. */
void scrub_heal_want(struct scrub *scrub, const struct scrub_place *place,
		     bool counted);

/** scrub_heal_over() - there is one now, or none is needed any more. */
void scrub_heal_over(struct scrub *scrub, const struct scrub_place *place,
		     bool healed);

/** scrub_heal_has() - the chunk is being looked after. */
bool scrub_heal_has(const struct scrub *scrub, const struct scrub_place *place);

/** scrub_heal_now() - all of them at once, whatever is left of a back-off. */
void scrub_heal_now(struct scrub *scrub);

/** scrub_found() - a bad copy: remember it, have it healed. @finding may say
 * where; without one, only that. Nothing if it is known. */
void scrub_found(struct scrub *scrub, const struct scrub_place *place,
		 const struct wire_finding *finding);

/* ---- scrub.c: what the rest of maintenance uses --------------------------- */

/**
 * scrub_init() - start: read where the last process was, look for copies that
 * are known to be bad. All arguments but @cfg outlive the scrub.
 */
void scrub_init(struct scrub *scrub, struct env *env, struct cluster *cluster,
		struct store *store, const struct scrub_config *cfg);

/** scrub_release() - drop everything at once. The store is there still. */
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
