// SPDX-License-Identifier: Apache-2.0
/*
 * Copies that are bad, and those that are missing where a reader looked for
 * them. The store cannot help itself: who has a good copy pushes it here, and
 * does so when asked to look (CHECK with PLACE). The ones that the ring puts
 * first are asked first, one after the other, then again after a back-off, then
 * more of them, until the store says that the copy is good or gone.
 *
 *	want -> asking (one call at a time) -> waiting for its time -> asking
 *	     `------------- over: the store said so -------------'
 *
 * SCRUB_HEALS at a time. What finds no room is a bad copy still, so that a walk
 * over the store finds it when there is room; those that were asked for in vain
 * for long make room for it. The first walk finds what an earlier process knew.
 */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "maint/scrub.h"

#define CALL_TIMEOUT_NS	(2 * NSEC_PER_SEC)
#define BACKOFF_NS	(2 * NSEC_PER_SEC)
#define BACKOFF_SHIFTS	6u		/* up to about two minutes */
#define PATIENCE	7u		/* attempts, when others wait */
#define MISSING_TRIES	4u		/* a chunk may be gone for good */
#define WALK_SLICE	1000u

static bool same(const struct scrub_place *a, const struct scrub_place *b)
{
	return a->volume == b->volume && a->chunk == b->chunk;
}

static struct scrub_heal *find(struct scrub *s, const struct scrub_place *place)
{
	for (uint32_t i = 0; s->heal_count > 0 && i < SCRUB_HEALS; i++)
		if (s->heal[i].place.chunk != 0 &&
		    same(&s->heal[i].place, place))
			return &s->heal[i];
	return NULL;
}

static struct scrub_heal *find_free(struct scrub *s)
{
	for (uint32_t i = 0; i < SCRUB_HEALS; i++)
		if (s->heal[i].place.chunk == 0)
			return &s->heal[i];
	return NULL;
}

static void turn_at(struct scrub *s, uint64_t when)
{
	env_timer_set_by(s->env, &s->heal_turn, when);
}

static void heal_free(struct scrub_heal *heal)
{
	struct scrub *s = heal->scrub;

	if (heal->calling)
		peer_call_cancel(&heal->call);
	heal->calling = false;
	heal->place.chunk = 0;
	s->heal_count--;
	if (s->heal_walk)
		turn_at(s, env_now(s->env));
}

/* ---- asking ----------------------------------------------------------------- */

/* How many of the permutation are asked in this attempt. */
static uint32_t reach(const struct scrub_heal *heal, uint32_t members)
{
	const struct ring *ring = cluster_ring(heal->scrub->cluster);
	uint32_t n = (ring_spec(ring)->replication + 1) * (heal->attempts + 1);

	return MIN(n, members);
}

/* The next one to be asked who may be up; NULL: this attempt is over. */
static struct peer *next_peer(struct scrub_heal *heal)
{
	struct scrub *s = heal->scrub;
	const struct ring *ring = cluster_ring(s->cluster);
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t n = ring_permutation(ring, heal->place.volume,
				      heal->place.chunk, order);

	n = reach(heal, n);
	while (heal->next < n) {
		const struct uuid *id =
			&ring_spec(ring)->members[order[heal->next++]].peer;
		struct peer *peer = peer_find(cluster_peers(s->cluster), id);

		if (peer != NULL && peer_usable(peer) &&
		    !uuid_equal(id, store_peer(s->store)))
			return peer;
	}
	return NULL;
}

static void attempt_over(struct scrub_heal *heal)
{
	struct scrub *s = heal->scrub;
	uint32_t shifts = MIN(heal->attempts, BACKOFF_SHIFTS);

	heal->next = 0;
	heal->attempts++;
	heal->due = env_now(s->env) + (BACKOFF_NS << shifts);
	if (!heal->counted && heal->attempts >= MISSING_TRIES) {
		heal_free(heal);
	} else if (s->heal_walk && heal->attempts >= PATIENCE) {
		s->heal_left_out = true;
		heal_free(heal);
	} else {
		turn_at(s, heal->due);
	}
}

static void ask_next(struct scrub_heal *heal);

static void asked(struct peer_call *call)
{
	struct scrub_heal *heal = call->ctx;

	heal->calling = false;
	ask_next(heal);
}

static void ask_next(struct scrub_heal *heal)
{
	const struct wire_check body = {
		.volume = cpu_to_le64(heal->place.volume),
		.chunk = cpu_to_le64(heal->place.chunk),
		.flags = cpu_to_le32(WIRE_CHECK_PLACE),
	};
	struct peer *peer = next_peer(heal);

	if (peer == NULL) {
		attempt_over(heal);
		return;
	}
	heal->calling = true;
	heal->call = (struct peer_call){
		.type = WIRE_CHECK, .body = &body,
		.timeout_ns = CALL_TIMEOUT_NS, .done = asked, .ctx = heal,
	};
	peer_call(peer, &heal->call);
}

/* ---- the walk ---------------------------------------------------------------- */

static void walk_end(struct scrub *s)
{
	s->heal_cursor = (struct scrub_place){ 0 };
	s->heal_first_walk = false;
	s->heal_walk = s->heal_left_out;
	s->heal_left_out = false;
}

static void walk(struct scrub *s)
{
	struct store_copy copy;
	uint32_t n;

	for (n = 0; n < WALK_SLICE && s->heal_count < SCRUB_HEALS; n++) {
		struct scrub_place *at = &s->heal_cursor;

		if (!store_copy_next(s->store, at->volume, at->chunk, &copy)) {
			walk_end(s);
			break;
		}
		*at = (struct scrub_place){ copy.volume, copy.chunk };
		if (copy.state != WIRE_COPY_BAD)
			continue;
		if (s->heal_first_walk)
			scrub_found(s, at, NULL);
		else
			scrub_heal_want(s, at, true);
	}
	if (s->heal_walk && s->heal_count < SCRUB_HEALS)
		turn_at(s, env_now(s->env) + NSEC_PER_MSEC);
}

/* ---- the turn ---------------------------------------------------------------- */

static bool still_wanted(struct scrub_heal *heal)
{
	struct store_copy copy;

	if (!store_copy_get(heal->scrub->store, heal->place.volume,
			    heal->place.chunk, &copy))
		return !heal->counted;
	return copy.state == WIRE_COPY_BAD;
}

static void heal_turn(struct env_timer *timer)
{
	struct scrub *s = container_of(timer, struct scrub, heal_turn);
	uint64_t now = env_now(s->env);

	for (uint32_t i = 0; i < SCRUB_HEALS; i++) {
		struct scrub_heal *heal = &s->heal[i];

		if (heal->place.chunk == 0 || heal->calling)
			continue;
		if (heal->due > now)
			turn_at(s, heal->due);
		else if (still_wanted(heal))
			ask_next(heal);
		else
			heal_free(heal);
	}
	if (s->heal_walk)
		walk(s);
}

/* ---- for the rest ------------------------------------------------------------- */

void scrub_heal_want(struct scrub *s, const struct scrub_place *place,
		     bool counted)
{
	struct scrub_heal *heal = find(s, place);

	if (heal == NULL)
		heal = find_free(s);
	else if (heal->calling || heal->counted)
		return;
	if (heal == NULL) {
		/* A missing copy is told again by whoever misses it. */
		s->heal_walk |= counted;
		s->heal_left_out |= counted;
		return;
	}
	if (heal->place.chunk == 0)
		s->heal_count++;
	*heal = (struct scrub_heal){
		.scrub = s, .place = *place, .counted = counted,
		.due = env_now(s->env),
	};
	turn_at(s, heal->due);
}

void scrub_heal_over(struct scrub *s, const struct scrub_place *place,
		     bool healed)
{
	struct scrub_heal *heal = find(s, place);

	if (heal == NULL)
		return;
	if (healed)
		log_info("volume %" PRIx64 ": the copy of chunk %" PRIu64 " is good again",
			 place->volume, place->chunk);
	heal_free(heal);
}

bool scrub_heal_has(const struct scrub *s, const struct scrub_place *place)
{
	return find((struct scrub *)s, place) != NULL;
}

void scrub_heal_now(struct scrub *s)
{
	uint64_t now = env_now(s->env);

	for (uint32_t i = 0; i < SCRUB_HEALS; i++) {
		s->heal[i].attempts = 0;
		s->heal[i].due = now;
	}
	if (s->heal_count > 0)
		turn_at(s, now);
}

void scrub_heal_init(struct scrub *s)
{
	env_timer_init(&s->heal_turn, heal_turn);
	s->heal_walk = true;
	s->heal_first_walk = true;
	turn_at(s, env_now(s->env));
}

void scrub_heal_release(struct scrub *s)
{
	for (uint32_t i = 0; i < SCRUB_HEALS; i++)
		if (s->heal[i].place.chunk != 0)
			heal_free(&s->heal[i]);
	env_timer_cancel(s->env, &s->heal_turn);
}
