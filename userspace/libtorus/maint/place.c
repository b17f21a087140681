// SPDX-License-Identifier: Apache-2.0
/*
 * What is to be done about one chunk, when those that it concerns have said
 * what they have of it.
 *
 * Owners are the first R peers of the chunk's permutation. Targets are those
 * that should have it now: the owners, but those that are lost (or full) are
 * passed over, and the next ones stand in for them, which is where readers look
 * next. All whom it may concern are ranked: owners, those that stand in, owners
 * by the previous ring. The first of them that has a good copy pushes it to the
 * first target that lacks one; others only see whether it does.
 *
 * A copy counts if it is sealed at the same length with the same last CRC. Of
 * two that differ, the one that was sealed by the higher epoch is right, and
 * whoever has it replaces the other. Two of one epoch cannot be: nothing is
 * done about them but to say so.
 *
 * Mine goes only if I am neither owner nor target, and every owner, following
 * the very ring that I follow, has a good copy: mine, or one that supersedes
 * it; and only if the chunk lies below the declared tail: in the tail, one answer
 * of its ensemble tells a recoverer where the log ends, and that may be mine,
 * though the chunk is sealed long since. It is looked at again when the tail has
 * moved on (volumes.c).
 * drop.c looks at the ring once more in the step that unlinks. An owner
 * never drops: with two changes of the ring under way at R=2, each of two peers
 * could take the other for an owner.
 */
#include "maint/private.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"

#define AGAIN_MIN	(5 * NSEC_PER_SEC)
#define AGAIN_MAX	(600 * NSEC_PER_SEC)
#define OPEN_AGAIN	(10 * NSEC_PER_SEC)	/* its SEAL may be on the way */
#define LEAVE_MIN	(5 * NSEC_PER_SEC)
#define TAKE_OVER	(120 * NSEC_PER_SEC)	/* the first one does not do it */

enum verdict { UNKNOWN, GOOD, LACKS, OPEN, NEWER, CONFLICT, DELETED };

/* ---- whom to ask ------------------------------------------------------------ */

static void add_answer(struct maint *m, struct query *q, const struct uuid *id,
		       bool owner, bool target)
{
	struct maint_peer *p = members_find(m, id);
	uint8_t i;

	if (p == NULL)
		return;
	for (i = 0; i < q->count && q->answer[i].peer != p; i++)
		;
	if (i == MAINT_ASK_MAX)
		return;
	if (i == q->count) {
		memset(&q->answer[i], 0, sizeof(q->answer[i]));
		q->answer[i].peer = p;
		q->count++;
	}
	q->answer[i].owner |= owner;
	q->answer[i].target |= target;
}

/* Whether @id is this store, which has its rank but no answer. */
static bool is_me(struct maint *m, struct query *q, const struct uuid *id)
{
	if (!uuid_equal(id, members_self(m)))
		return false;
	q->me_rank = MIN(q->me_rank, q->count);
	return true;
}

static void plan_owners(struct maint *m, struct query *q)
{
	struct uuid id[RING_REPLICATION_MAX];
	uint32_t i, n = ring_ensemble(m->ring, q->mine.volume, q->mine.chunk,
				      q->replication, NULL, 0, id);

	q->owners = (uint8_t)n;
	for (i = 0; i < n; i++) {
		if (is_me(m, q, &id[i]))
			q->me_owner = true;
		else
			add_answer(m, q, &id[i], true, false);
	}
}

/* Those that lack the chunk and are full. Returns how many. */
static uint32_t full_peers(struct maint *m, struct item *item, struct uuid *out)
{
	struct maint_peer *p;
	uint32_t i, n = 0;

	for (i = 0; i < MAINT_AVOID_MAX; i++) {
		p = item->avoid[i];
		item->avoid[i] = NULL;
		if (p == NULL || p->full_until <= env_now(m->env))
			continue;
		item->avoid[n] = p;
		out[n++] = p->id;
	}
	return n;
}

static void plan_targets(struct maint *m, struct query *q)
{
	struct uuid id[RING_REPLICATION_MAX];
	struct uuid not[MAINT_LOST_MAX + MAINT_AVOID_MAX];
	uint32_t i, n, not_count = m->lost_count;

	memcpy(not, m->lost, sizeof(m->lost));
	not_count += full_peers(m, q->item, not + not_count);
	n = ring_ensemble(m->ring, q->mine.volume, q->mine.chunk,
			  q->replication, not, not_count, id);
	q->targets = (uint8_t)n;
	for (i = 0; i < n; i++) {
		if (is_me(m, q, &id[i]))
			q->me_target = true;
		else
			add_answer(m, q, &id[i], false, true);
	}
}

static void plan_previous(struct maint *m, struct query *q)
{
	struct uuid id[RING_REPLICATION_MAX];
	uint32_t i, n;

	if (m->previous == NULL)
		return;
	n = ring_ensemble(m->previous, q->mine.volume, q->mine.chunk,
			  q->replication, NULL, 0, id);
	for (i = 0; i < n; i++)
		if (!is_me(m, q, &id[i]))
			add_answer(m, q, &id[i], false, false);
}

void place_plan(struct maint *m, struct query *q)
{
	q->ring_version = m->ring_version;
	q->count = 0;
	q->me_rank = UINT8_MAX;
	q->me_owner = false;
	q->me_target = false;
	q->replication = MIN(q->replication, (uint8_t)RING_REPLICATION_MAX);
	plan_owners(m, q);
	plan_targets(m, q);
	plan_previous(m, q);
}

/* ---- what they said ----------------------------------------------------------- */

static enum verdict judge(const struct store_copy *mine,
			  const struct answer *a)
{
	if (!a->answered)
		return UNKNOWN;
	switch (a->state) {
	case WIRE_COPY_DELETED:
		return DELETED;
	case WIRE_COPY_OPEN:
		return OPEN;
	case WIRE_COPY_SEALED:
		if (a->length == mine->length && a->end_crc == mine->end_crc)
			return GOOD;
		if (a->epoch == mine->epoch)
			return CONFLICT;
		return a->epoch > mine->epoch ? NEWER : LACKS;
	default:
		return LACKS;
	}
}

struct summary {
	unsigned int verdicts[DELETED + 1];	/* of all that were asked */
	unsigned int waiting;		/* targets that are down */
	unsigned int sealed;		/* copies, however */
	unsigned int was_sealed;	/* and bad since */
	bool unknown;			/* a target that is up said nothing */
	struct maint_peer *lacks;	/* the first target that does */
	struct maint_peer *open;
	bool other_first;		/* one before me has a good copy */
};

static void summarise_target(struct summary *s, struct maint_peer *p,
			     enum verdict v)
{
	if (v == UNKNOWN && !p->up)
		s->waiting++;
	else if (v == UNKNOWN)
		s->unknown = true;
	else if (v == LACKS && s->lacks == NULL)
		s->lacks = p;
	else if (v == OPEN && s->open == NULL)
		s->open = p;
}

static void summarise(const struct query *q, struct summary *s)
{
	uint8_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < q->count; i++) {
		const struct answer *a = &q->answer[i];
		enum verdict v = judge(&q->mine, a);

		s->verdicts[v]++;
		s->sealed += a->answered && a->state == WIRE_COPY_SEALED;
		s->was_sealed += a->answered && a->epoch != 0 &&
				 a->state == WIRE_COPY_BAD;
		if (v == GOOD && i < q->me_rank)
			s->other_first = true;
		if (a->target)
			summarise_target(s, a->peer, v);
	}
}

static uint64_t back_off(const struct item *item, uint64_t first)
{
	unsigned int doublings = MIN(item->tries, 10);

	return MIN(first << doublings, AGAIN_MAX);
}

/* ---- dropping mine ------------------------------------------------------------- */

/* An owner's copy that makes mine superfluous, and is as the first one's. A bad
 * copy of mine is superfluous as the good one would be. */
static bool makes_superfluous(const struct query *q, const struct answer *a,
			      const struct answer *first)
{
	const struct store_copy *mine = &q->mine;

	if (!a->answered || a->state != WIRE_COPY_SEALED ||
	    a->ring_version != q->ring_version ||
	    a->length != first->length || a->end_crc != first->end_crc)
		return false;
	return (mine->state != WIRE_COPY_OPEN && a->length == mine->length &&
		a->end_crc == mine->end_crc) || a->epoch > mine->epoch;
}

/*
 * The highest epoch that may have asked for an unsealed copy which the owners'
 * supersede: a later one may be a recoverer's, who counts on records that it
 * has beyond theirs, and has yet to seal it; unless a published root says how
 * much of the chunk counts.
 */
static uint64_t epoch_limit(const struct query *q, const struct answer *a)
{
	const struct store_copy *mine = &q->mine;

	if (mine->state == WIRE_COPY_SEALED || mine->length <= a->length ||
	    (mine->settled > 0 && a->length >= mine->settled))
		return UINT64_MAX;
	return a->epoch;
}

static bool may_drop(const struct maint *m, const struct query *q)
{
	const struct answer *first = NULL;
	uint32_t members = ring_spec(m->ring)->member_count;
	uint64_t limit = UINT64_MAX;
	uint8_t i, confirmed = 0;

	if (!q->known || q->me_owner || q->me_target ||
	    q->ring_version != m->ring_version ||
	    !volumes_below_tail(m, q->mine.volume, q->mine.chunk))
		return false;
	for (i = 0; i < q->count; i++) {
		const struct answer *a = &q->answer[i];

		if (!a->owner)
			continue;
		if (first == NULL)
			first = a;
		if (!makes_superfluous(q, a, first))
			return false;
		limit = MIN(limit, epoch_limit(q, a));
		confirmed++;
	}
	q->item->epoch_limit = limit;
	return drop_unasked(q->item) && confirmed > 0 && confirmed == q->owners &&
	       confirmed == MIN(q->replication, members);
}

static void drop(struct maint *m, const struct query *q)
{
	q->item->ring_version = q->ring_version;
	q->item->looked = env_now(m->env);
	item_drop(q->item);
}

static bool owners_are_up(const struct query *q)
{
	uint8_t i;

	for (i = 0; i < q->count; i++)
		if (q->answer[i].owner && !q->answer[i].peer->up)
			return false;
	return true;
}

/* One that lacks it: he can neither confirm a copy now, nor be given one. */
static bool owner_is_full(const struct query *q)
{
	const struct item *item = q->item;
	uint8_t i, j;

	for (i = 0; i < q->count; i++)
		for (j = 0; j < MAINT_AVOID_MAX && q->answer[i].owner; j++)
			if (item->avoid[j] == q->answer[i].peer)
				return true;
	return false;
}

/* Nothing is to be done about mine now; if it is superfluous, and stays for the
 * tail alone, it is looked at once more when that has moved on. */
static void leave_alone(struct maint *m, const struct query *q)
{
	if (!q->me_owner && !q->me_target &&
	    (!q->known ||
	     !volumes_below_tail(m, q->mine.volume, q->mine.chunk)))
		volumes_put_off(m, q->mine.volume, q->mine.chunk);
	item_settled(q->item);
}

/*
 * It need not be here, so it goes as soon as it may. While an owner is away it
 * stays, and the owner's return has it looked at; while one has no room for it,
 * the next walk does. At the end of the log it stays until that has moved on,
 * unless that end is only what it was some time ago: then it is not settled
 * before it was asked for once more.
 */
static void decide_surplus(struct maint *m, const struct query *q)
{
	bool below = volumes_below_tail(m, q->mine.volume, q->mine.chunk);

	if (may_drop(m, q))
		drop(m, q);
	else if (!q->known || q->me_target || !owners_are_up(q) ||
		 owner_is_full(q) ||
		 (!below && !volumes_tail_is_old(m, q->mine.volume)))
		leave_alone(m, q);
	else
		item_later(q->item, back_off(q->item, AGAIN_MIN));
}

/* ---- sealing mine ---------------------------------------------------------------- */

/*
 * What another has of it says how mine may be sealed: not at all, where he can
 * replace it, or where an epoch as late as that which settled it has sealed it
 * otherwise; and with which last record, where his went bad after that.
 */
static bool permits_seal(const struct query *q, const struct answer *a)
{
	const struct store_copy *mine = &q->mine;
	bool sealed = a->epoch != 0, as_long = a->length == mine->settled;

	if (!a->answered || !sealed)
		return true;
	if (a->state == WIRE_COPY_SEALED)
		return a->length < mine->settled &&
		       a->epoch < mine->settled_epoch;
	if (a->state != WIRE_COPY_BAD || !as_long)
		return a->epoch < mine->settled_epoch;
	if (q->item->end_crc == 0)
		q->item->end_crc = a->end_crc;
	return q->item->end_crc == a->end_crc;
}

static bool may_seal(const struct maint *m, const struct query *q)
{
	const struct store_copy *mine = &q->mine;
	uint8_t i;

	if (mine->state != WIRE_COPY_OPEN || mine->settled == 0 || !q->known ||
	    mine->length < mine->settled ||
	    garbage_is_dead(&m->garbage, mine->volume, mine->chunk))
		return false;
	q->item->end_crc = mine->settled_crc;
	for (i = 0; i < q->count; i++)
		if (!permits_seal(q, &q->answer[i]))
			return false;
	return true;
}

/*
 * Whether to find out how much of mine counts: when others have it sealed, or
 * had, or when the log ends elsewhere, so that mine need not be open.
 */
static bool is_to_settle(struct maint *m, const struct query *q,
			 const struct summary *s)
{
	return q->mine.settled == 0 && q->known &&
	       (s->sealed > 0 || s->was_sealed > 0 ||
		(q->mine.state == WIRE_COPY_OPEN &&
		 volumes_below_tail(m, q->mine.volume, q->mine.chunk)));
}

/* Mine is open or bad. Who has a good one replaces it, if I should have one. */
static void decide_unsealed(struct maint *m, const struct query *q,
			    const struct summary *s)
{
	struct item *item = q->item;

	if (!may_drop(m, q)) {
		if (is_to_settle(m, q, s))
			garbage_want(&m->garbage);
		if (q->mine.state == WIRE_COPY_BAD && !q->me_owner) {
			/* Nobody heals what should not be here: it goes once
			 * the owners have theirs. */
			decide_surplus(m, q);
		} else if (!may_seal(m, q)) {
			leave_alone(m, q);
		} else if (!item->opened) {
			item->opened = true;
			item_later(item, OPEN_AGAIN);
		} else {
			item_seal(item);
		}
	} else if (q->mine.state == WIRE_COPY_OPEN && !item->opened) {
		item->opened = true;
		item_later(item, OPEN_AGAIN);
	} else {
		drop(m, q);
	}
}

/* ---- pushing mine ---------------------------------------------------------------- */

/* It need not be asked whether it has room: it had none for what is no larger.
 * What takes the place of another copy is no matter of that. */
static bool has_no_room(const struct maint *m, const struct query *q,
			const struct maint_peer *target)
{
	uint8_t i;

	for (i = 0; i < q->count && q->answer[i].peer != target; i++)
		;
	return target->full_until > env_now(m->env) &&
	       q->mine.length >= target->full_blocks &&
	       (i == q->count || q->answer[i].length < q->mine.length);
}

static void decide_push(struct maint *m, const struct query *q,
			struct maint_peer *target, bool other_first)
{
	struct item *item = q->item;
	uint64_t now = env_now(m->env);

	item->lacking = true;
	/* The others may have deleted it already. */
	if (garbage_is_dead(&m->garbage, item->volume, item->chunk)) {
		item_settled(item);
		return;
	}
	if (has_no_room(m, q, target)) {
		if (item_avoid(item, target))
			item_again(item);
		else
			item_later(item, back_off(item, 6 * AGAIN_MIN));
		return;
	}
	if (item->since == 0)
		item->since = now;
	if (other_first && !item->pushed && now - item->since < TAKE_OVER)
		item_later(item, back_off(item, LEAVE_MIN));
	else
		item_push(item, target);
}

static void count_waiting(const struct query *q)
{
	uint8_t i;

	for (i = 0; i < q->count; i++)
		if (q->answer[i].target && !q->answer[i].peer->up)
			q->answer[i].peer->waiting++;
}

static void decide_sealed(struct maint *m, const struct query *q,
			  const struct summary *s)
{
	struct item *item = q->item;

	if (s->lacks != NULL) {
		decide_push(m, q, s->lacks, s->other_first);
	} else if (s->open != NULL && item->opened) {
		decide_push(m, q, s->open, s->other_first);
	} else if (s->open != NULL) {
		item->opened = true;
		item_later(item, OPEN_AGAIN);
	} else if (s->unknown) {
		item_later(item, back_off(item, AGAIN_MIN));
	} else if (s->waiting > 0) {
		count_waiting(q);
		item_settled(item);
	} else if (!q->me_owner) {
		decide_surplus(m, q);
	} else {
		item_settled(item);
	}
}

static void say_conflict(struct maint *m, const struct query *q)
{
	m->conflicts++;
	log_error("volume %016" PRIx64 ", chunk %" PRIu64 ": two copies that epoch %" PRIu64 " sealed differ; both are left as they are",
		  q->mine.volume, q->mine.chunk, q->mine.epoch);
}

void place_decide(struct maint *m, const struct query *q)
{
	struct item *item = q->item;
	struct summary s;

	if (item->again) {
		item_again(item);
		return;
	}
	summarise(q, &s);
	item->lacking = false;
	item->copies = (uint8_t)(s.verdicts[GOOD] + 1);
	item->replication = q->replication;
	item->length = q->mine.length;
	if (s.verdicts[DELETED] > 0) {
		item_settled(item);
	} else if (q->mine.state != WIRE_COPY_SEALED) {
		decide_unsealed(m, q, &s);
	} else if (s.verdicts[CONFLICT] > 0) {
		say_conflict(m, q);
		item_settled(item);
	} else if (s.verdicts[NEWER] > 0 && !q->me_owner) {
		decide_surplus(m, q);
	} else if (s.verdicts[NEWER] > 0) {
		item_settled(item);
	} else {
		decide_sealed(m, q, &s);
	}
}
