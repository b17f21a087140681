// SPDX-License-Identifier: Apache-2.0
/*
 * Rounds over the sealed copies of this store, and copies that somebody has
 * reason to doubt, which come first. One copy is verified at a time, read
 * at the configured rate, and at a quarter of it when clients have used the store
 * since the one before.
 *
 *	            START, or its time has come
 *	  IDLE ----------------------------------> RUNNING
 *	   ^                                          |
 *	   +------------- the end of the store -------+
 *
 * PAUSE stops rounds, also those that would begin, until RESUME or START; what
 * is doubted is verified, and what is bad is healed, all the same.
 *
 * A round survives a restart: the cursor is saved once a minute, and so is when
 * the next round begins, which chance decides the first time, so that the stores
 * of a cluster do not all read at once. That is realtime, since it must outlive
 * the machine; a clock that jumps makes a round begin early, or an interval
 * later at most.
 */
#include "maint/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

#define RATE		(8ull << 20)
#define INTERVAL_NS	(7 * 86400 * NSEC_PER_SEC)
#define BUSY_PART	4u		/* of the rate, while clients are there */
#define CHECK_FACTOR	4u		/* so much faster is what is doubted */
#define COPY_BYTES	(64u << 10)	/* what a copy costs besides its bytes */
#define SAVE_NS		(60 * NSEC_PER_SEC)
#define LOOK_NS		(3600 * NSEC_PER_SEC)
#define SLICE		1000u

static uint64_t realtime_ms(const struct scrub *s)
{
	return env_realtime(s->env) / NSEC_PER_MSEC;
}

static uint64_t interval_ms(const struct scrub *s)
{
	return s->cfg.interval_ns / NSEC_PER_MSEC;
}

static void turn_at(struct scrub *s, uint64_t when)
{
	env_timer_set_by(s->env, &s->turn, when);
}

static void turn_now(struct scrub *s)
{
	turn_at(s, env_now(s->env));
}

static void save(struct scrub *s)
{
	s->saved_at = env_now(s->env);
	if (s->state != NULL)
		scrub_state_save(s->state, &s->now);
}

/* ---- findings ----------------------------------------------------------------- */

static struct wire_finding *newest(struct scrub *s, uint64_t n)
{
	return &s->finding[(s->finding_count - 1 - n) % WIRE_FINDINGS_MAX];
}

static uint64_t findings(const struct scrub *s)
{
	return MIN(s->finding_count, (uint64_t)WIRE_FINDINGS_MAX);
}

static bool is_of(const struct wire_finding *f, const struct scrub_place *place)
{
	return le64_to_cpu(f->volume) == place->volume &&
	       le64_to_cpu(f->chunk) == place->chunk;
}

/* One that is not healed; the newest. */
static struct wire_finding *find_open(struct scrub *s,
				      const struct scrub_place *place)
{
	for (uint64_t n = 0; s->bad > s->healed && n < findings(s); n++)
		if (is_of(newest(s, n), place) && newest(s, n)->healed == 0)
			return newest(s, n);
	return NULL;
}

static void say_found(const struct wire_finding *f)
{
	if (f->block == cpu_to_le32(UINT32_MAX))
		log_error("volume %" PRIx64 ": the copy of chunk %" PRIu64 " here is bad; others are asked for a good one",
			  le64_to_cpu(f->volume), le64_to_cpu(f->chunk));
	else
		log_error("volume %" PRIx64 ": the copy of chunk %" PRIu64 " here is damaged at block %u; others are asked for a good one",
			  le64_to_cpu(f->volume), le64_to_cpu(f->chunk),
			  le32_to_cpu(f->block));
}

void scrub_found(struct scrub *s, const struct scrub_place *place,
		 const struct wire_finding *finding)
{
	struct wire_finding *f = find_open(s, place);
	bool known = f != NULL || scrub_heal_has(s, place);

	scrub_heal_want(s, place, true);
	if (f == NULL && known)
		return;
	/* The store has told before that it is bad, and now we know where. */
	if (f != NULL && finding == NULL)
		return;
	if (f == NULL) {
		s->finding_count++;
		s->bad++;
		f = newest(s, 0);
	}
	if (finding != NULL)
		*f = *finding;
	else
		*f = (struct wire_finding){
			.volume_block = cpu_to_le64(UINT64_MAX),
			.when_ms = cpu_to_le64(realtime_ms(s)),
			.block = cpu_to_le32(UINT32_MAX),
		};
	f->volume = cpu_to_le64(place->volume);
	f->chunk = cpu_to_le64(place->chunk);
	f->healed = 0;
	say_found(f);
}

/* The copy is good, or not here any more. */
static void settled(struct scrub *s, const struct scrub_place *place)
{
	struct wire_finding *f = find_open(s, place);
	bool was_bad = f != NULL;

	while (f != NULL) {
		f->healed = cpu_to_le32(1);
		f = find_open(s, place);
	}
	if (was_bad)
		s->healed++;
	scrub_heal_over(s, place, was_bad);
}

/* ---- verify -------------------------------------------------------------------- */

static void say_not_verified(const struct store_copy_op *op, int err)
{
	/* Gone, being replaced, or open again after a seal of a newer epoch. */
	if (err == -ENOENT || err == -EBUSY || err == -EAGAIN ||
	    err == -ESHUTDOWN)
		return;
	log_warning("volume %" PRIx64 ": chunk %" PRIu64 " could not be verified: %s",
		    op->volume, op->chunk, strerror(-err));
}

/* How fast to go: slower if clients have used the store since the last time. */
static uint64_t rate_now(struct scrub *s)
{
	struct store_stats stats;
	uint64_t ops, rate = s->cfg.rate;

	store_stats(s->store, &stats);
	ops = stats.appends + stats.reads + stats.syncs;
	if (ops != s->client_ops)
		rate = MAX(rate / BUSY_PART, (uint64_t)1);
	s->client_ops = ops;
	return rate;
}

/* When what took so many bytes makes room for the next one. */
static uint64_t may_go_on_at(const struct scrub *s, uint64_t bytes)
{
	return s->verify_began + (bytes + COPY_BYTES) * NSEC_PER_SEC /
				 s->op.rate;
}

static void round_goes_on(struct scrub *s, const struct store_copy_op *op)
{
	uint64_t now = env_now(s->env);

	s->now.cursor = (struct scrub_place){ op->volume, op->chunk };
	s->now.chunks++;
	s->now.bytes += op->verified;
	s->not_before = may_go_on_at(s, op->verified);
	if (now >= s->saved_at + SAVE_NS || s->now.paused)
		save(s);
}

static void verified(struct store_copy_op *op, int err)
{
	struct scrub *s = op->ctx;
	const struct scrub_place place = { op->volume, op->chunk };

	s->verifying = false;
	if (err == -EUCLEAN)
		scrub_found(s, &place, le64_to_cpu(op->finding.chunk) != 0 ?
				       &op->finding : NULL);
	else if (err < 0)
		say_not_verified(op, err);
	if (s->in_turn)
		round_goes_on(s, op);
	else
		s->check_not_before = may_go_on_at(s, op->verified);
	/* The store is being closed: so are we, soon. */
	if (err != -ESHUTDOWN)
		turn_now(s);
}

static void verify(struct scrub *s, const struct scrub_place *place,
		   bool in_turn)
{
	s->verifying = true;
	s->in_turn = in_turn;
	s->verify_began = env_now(s->env);
	s->op = (struct store_copy_op){
		.volume = place->volume, .chunk = place->chunk,
		.rate = rate_now(s) * (in_turn ? 1 : CHECK_FACTOR),
		.done = verified, .ctx = s,
	};
	store_copy_verify(s->store, &s->op);
}

/* ---- rounds --------------------------------------------------------------------- */

static void round_begin(struct scrub *s)
{
	s->now.in_round = true;
	s->now.cursor = (struct scrub_place){ 0 };
	s->now.chunks = 0;
	s->now.bytes = 0;
	s->now.began_ms = realtime_ms(s);
	s->not_before = 0;
	log_info("scrub: a round over all copies begins");
	save(s);
}

static void round_end(struct scrub *s)
{
	s->now.in_round = false;
	s->now.ended_ms = realtime_ms(s);
	s->now.next_ms = MAX(s->now.began_ms + interval_ms(s), s->now.ended_ms);
	log_info("scrub: the round has ended: %" PRIu64 " copies, %" PRIu64 " MiB verified; %" PRIu64 " bad copies since the start, %" PRIu64 " healed",
		 s->now.chunks, s->now.bytes >> 20, s->bad, s->healed);
	save(s);
}

/* The next copy of the round. */
static void round_step(struct scrub *s)
{
	struct scrub_place *at = &s->now.cursor;
	struct store_copy copy;

	for (uint32_t n = 0; n < SLICE; n++) {
		if (!store_copy_next(s->store, at->volume, at->chunk, &copy)) {
			round_end(s);
			turn_now(s);
			return;
		}
		*at = (struct scrub_place){ copy.volume, copy.chunk };
		if (copy.state == WIRE_COPY_SEALED) {
			verify(s, at, true);
			return;
		}
	}
	turn_at(s, env_now(s->env) + NSEC_PER_MSEC);
}

/* ms until a round is due; 0: now. */
static uint64_t round_due(struct scrub *s)
{
	uint64_t now = realtime_ms(s);

	/* A clock that was ahead, or another interval. */
	if (s->now.next_ms > now + interval_ms(s))
		s->now.next_ms = now + interval_ms(s);
	return s->now.next_ms > now ? s->now.next_ms - now : 0;
}

static void round_turn(struct scrub *s)
{
	uint64_t now = env_now(s->env), wait;

	if (!s->now.in_round) {
		wait = round_due(s);
		if (wait > 0) {
			wait = MIN(wait, LOOK_NS / NSEC_PER_MSEC);
			turn_at(s, now + wait * NSEC_PER_MSEC);
			return;
		}
		round_begin(s);
	}
	if (now < s->not_before)
		turn_at(s, s->not_before);
	else
		round_step(s);
}

static struct scrub_place take_check(struct scrub *s)
{
	struct scrub_place place = s->check[s->check_first];

	s->check_first = (s->check_first + 1) % SCRUB_CHECKS;
	s->check_count--;
	return place;
}

static void turn(struct env_timer *timer)
{
	struct scrub *s = container_of(timer, struct scrub, turn);
	struct scrub_place place;

	if (!s->loaded || s->verifying)
		return;
	if (s->check_count > 0) {
		if (env_now(s->env) < s->check_not_before) {
			turn_at(s, s->check_not_before);
			return;
		}
		place = take_check(s);
		verify(s, &place, false);
	} else if (!s->now.paused) {
		round_turn(s);
	}
}

/* ---- what others ask for ---------------------------------------------------------- */

static bool is_queued(const struct scrub *s, const struct scrub_place *place)
{
	for (uint32_t i = 0; i < s->check_count; i++) {
		const struct scrub_place *p =
			&s->check[(s->check_first + i) % SCRUB_CHECKS];

		if (p->volume == place->volume && p->chunk == place->chunk)
			return true;
	}
	return false;
}

static bool is_owner(const struct scrub *s, const struct scrub_place *place)
{
	const struct ring *ring = cluster_ring(s->cluster);
	const struct ring_spec *spec = ring_spec(ring);
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t n = ring_permutation(ring, place->volume, place->chunk, order);

	for (uint32_t i = 0; i < MIN(n, spec->replication); i++)
		if (uuid_equal(&spec->members[order[i]].peer,
			       store_peer(s->store)))
			return true;
	return false;
}

void scrub_check(struct scrub *s, uint64_t volume, uint64_t chunk)
{
	const struct scrub_place place = { volume, chunk };
	struct store_copy copy;

	if (!store_copy_get(s->store, volume, chunk, &copy)) {
		if (is_owner(s, &place))
			scrub_heal_want(s, &place, false);
		return;
	}
	if (copy.state == WIRE_COPY_BAD)
		scrub_found(s, &place, NULL);
	if (copy.state != WIRE_COPY_SEALED || is_queued(s, &place) ||
	    s->check_count == SCRUB_CHECKS)
		return;
	s->check[(s->check_first + s->check_count++) % SCRUB_CHECKS] = place;
	turn_now(s);
}

void scrub_copy_changed(struct scrub *s, const struct store_copy *copy)
{
	const struct scrub_place place = { copy->volume, copy->chunk };

	/* Found just now, and told with the place where it is bad. */
	if (copy->state == WIRE_COPY_BAD && s->verifying &&
	    s->op.volume == place.volume && s->op.chunk == place.chunk)
		return;
	if (copy->state == WIRE_COPY_BAD)
		scrub_found(s, &place, NULL);
	else if (copy->state == WIRE_COPY_SEALED ||
		 copy->state == WIRE_COPY_NONE)
		settled(s, &place);
}

void scrub_peers_changed(struct scrub *s)
{
	scrub_heal_now(s);
}

static void act(struct scrub *s, enum wire_maintenance_action action)
{
	switch (action) {
	case WIRE_SCRUB_START:
		s->now.paused = false;
		s->in_turn = false;	/* what is being verified is not of it */
		round_begin(s);
		break;
	case WIRE_SCRUB_PAUSE:
		s->now.paused = true;
		save(s);
		break;
	case WIRE_SCRUB_RESUME:
		s->now.paused = false;
		save(s);
		break;
	default:
		return;
	}
	turn_now(s);
}

void scrub_action(struct scrub *s, enum wire_maintenance_action action)
{
	if (s->loaded)
		act(s, action);
	else if (action != WIRE_MAINTENANCE_SHOW)
		s->asked = action;
}

static enum wire_scrub_state scrub_state(const struct scrub *s)
{
	if (s->now.paused)
		return WIRE_SCRUB_PAUSED;
	return s->now.in_round ? WIRE_SCRUB_RUNNING : WIRE_SCRUB_IDLE;
}

/* Of this round; with what is read of the copy in hand. */
static uint64_t bytes_verified(const struct scrub *s)
{
	return s->now.bytes + (s->verifying && s->in_turn ? s->op.verified : 0);
}

uint32_t scrub_report(const struct scrub *s,
		      struct wire_maintenance_reply *reply,
		      struct wire_finding *out, uint32_t max)
{
	uint32_t count = (uint32_t)MIN(findings(s), (uint64_t)max);
	struct store_stats stats;

	store_stats(s->store, &stats);
	reply->scrub_chunks = cpu_to_le64(s->now.chunks);
	reply->scrub_total = cpu_to_le64(MAX(stats.chunks, s->now.chunks));
	reply->scrub_bytes = cpu_to_le64(bytes_verified(s));
	reply->scrub_bad = cpu_to_le64(s->bad);
	reply->scrub_healed = cpu_to_le64(s->healed);
	reply->scrub_ended_ms = cpu_to_le64(s->now.ended_ms);
	reply->scrub_state = cpu_to_le32(scrub_state(s));
	for (uint32_t n = 0; n < count; n++)
		out[n] = *newest((struct scrub *)s, n);
	return count;
}

bool scrub_idle(const struct scrub *s)
{
	return s->heal_count == 0 && !s->heal_walk && s->check_count == 0 &&
	       !(s->verifying && !s->in_turn);
}

/* ---- life -------------------------------------------------------------------------- */

static void set_first_time(struct scrub *s)
{
	uint64_t chance;

	env_random(s->env, &chance, sizeof(chance));
	s->now.next_ms = realtime_ms(s) + chance % interval_ms(s);
	save(s);
}

static void loaded(void *ctx, const struct scrub_saved *saved)
{
	struct scrub *s = ctx;

	s->loaded = true;
	s->now = *saved;
	s->saved_at = env_now(s->env);
	if (s->now.next_ms == 0 && !s->now.in_round)
		set_first_time(s);
	act(s, s->asked);
	turn_now(s);
}

void scrub_init(struct scrub *s, struct env *env, struct cluster *cluster,
		struct store *store, const struct scrub_config *cfg)
{
	memset(s, 0, sizeof(*s));
	s->env = env;
	s->cluster = cluster;
	s->store = store;
	s->cfg = *cfg;
	if (s->cfg.rate == 0)
		s->cfg.rate = RATE;
	if (s->cfg.interval_ns < NSEC_PER_SEC)
		s->cfg.interval_ns = s->cfg.interval_ns == 0 ? INTERVAL_NS :
							      NSEC_PER_SEC;
	env_timer_init(&s->turn, turn);
	scrub_heal_init(s);
	s->state = scrub_state_load(env, loaded, s);
	if (s->state == NULL)
		loaded(s, &s->now);
}

void scrub_release(struct scrub *s)
{
	if (s->verifying)
		store_copy_cancel(s->store, &s->op);
	scrub_heal_release(s);
	scrub_state_free(s->state);
	env_timer_cancel(s->env, &s->turn);
}
