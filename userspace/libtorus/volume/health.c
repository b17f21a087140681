// SPDX-License-Identifier: Apache-2.0
/*
 * A suspect waits (is excluded) until its back-off is over and its connection
 * is up. Suspects that do not wait any more are remembered for as long as they
 * fit, so that a peer that fails again and again is tried less and less often.
 */
#include "volume/health.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/internal.h"

#define BACKOFF_MIN	(1 * NSEC_PER_SEC)
#define BACKOFF_MAX	(60 * NSEC_PER_SEC)
#define RESORT_MAX	(8 * NSEC_PER_SEC)
#define FULL_RETRY_MAX	(8 * NSEC_PER_SEC)
/* Longer than a last resort waits, and than a restart takes. */
#define HOPE		(15 * NSEC_PER_SEC)
/* Room for so many chunks and a whole record is worth a new tail; so is this
 * part of a small store, which may never have more. */
#define ROOM_CHUNKS	2u
#define ROOM_PART	32u
#define SCARCE_PERCENT	85u

static void retry_fired(struct env_timer *timer);

void health_init(struct volume *v)
{
	env_timer_init(&v->health.retry, retry_fired);
}

void health_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->health.retry);
	peer_call_cancel(&v->health.stat);
}

static struct suspect *find(struct volume *v, const struct uuid *peer)
{
	uint32_t i;

	for (i = 0; i < v->health.count; i++)
		if (uuid_equal(&v->health.suspects[i].peer, peer))
			return &v->health.suspects[i];
	return NULL;
}

/* A slot for a new suspect: a free one, else that of the oldest failure. */
static struct suspect *slot(struct health *h)
{
	struct suspect *oldest = &h->suspects[0];
	uint32_t i;

	if (h->count < SUSPECTS_MAX)
		return &h->suspects[h->count++];
	for (i = 1; i < h->count; i++)
		if (h->suspects[i].failed_at < oldest->failed_at)
			oldest = &h->suspects[i];
	return oldest;
}

static enum peer_state state_of(struct volume *v, const struct uuid *id)
{
	struct peer *peer = peer_find(cluster_peers(v->cluster), id);

	return peer == NULL ? PEER_DOWN : peer_state(peer);
}

static void arm(struct volume *v)
{
	uint64_t when = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < v->health.count; i++)
		if (v->health.suspects[i].waiting)
			when = MIN(when, v->health.suspects[i].retry_at);
	if (when == UINT64_MAX)
		env_timer_cancel(v->env, &v->health.retry);
	else
		env_timer_set(v->env, &v->health.retry, when);
}

static struct suspect *suspect(struct volume *v, const struct uuid *peer)
{
	struct suspect *s = find(v, peer);
	uint64_t now = env_now(v->env);

	if (s == NULL) {
		s = slot(&v->health);
		memset(s, 0, sizeof(*s));
		s->peer = *peer;
		s->backoff_ns = BACKOFF_MIN;
	} else if (now < s->retry_at + BACKOFF_MAX) {
		s->backoff_ns = MIN(s->backoff_ns * 2, BACKOFF_MAX);
	} else {
		s->backoff_ns = BACKOFF_MIN;
	}
	s->waiting = true;
	s->failed_at = now;
	s->retry_at = now + s->backoff_ns;
	return s;
}

void health_failed(struct volume *v, const struct uuid *peer, int err)
{
	struct suspect *s = find(v, peer);
	struct peer *p = peer_find(cluster_peers(v->cluster), peer);

	/* Many calls may fail at once; one taken as a last resort fails anew. */
	if (s == NULL || !s->waiting ||
	    env_now(v->env) >= s->failed_at + BACKOFF_MIN)
		s = suspect(v, peer);
	s->failed_at = env_now(v->env);
	if (err == -ENOSPC)
		s->full = true;
	arm(v);
	/* A call that ran out of time leaves a connection that is no use. */
	if (err == -ETIMEDOUT && p != NULL && peer_state(p) == PEER_UP)
		peer_fail(p, err);
}

void health_watch(struct volume *v, const struct uuid *peer)
{
	struct suspect *s = find(v, peer);

	if (s == NULL || !s->waiting)
		suspect(v, peer);
	arm(v);
}

static void forgive(struct suspect *s)
{
	s->waiting = false;
	s->full = false;
}

void health_peer_changed(struct volume *v, const struct uuid *peer)
{
	struct suspect *s = find(v, peer);

	if (s != NULL && s->waiting && !s->full &&
	    state_of(v, peer) == PEER_UP && env_now(v->env) >= s->retry_at)
		forgive(s);
	tail_peers_changed(v);
}

/* ---- full peers ------------------------------------------------------- */

static bool has_room(const struct volume *v, const struct peer_call *call)
{
	const struct wire_stat_reply *reply = call->reply;
	uint64_t room = (uint64_t)ROOM_CHUNKS * v->doc.chunk_blocks *
			BLOCK_SIZE;

	room = MAX(room, (uint64_t)WIRE_APPEND_MAX);
	room = MIN(room, le64_to_cpu(reply->size) / ROOM_PART);
	return le32_to_cpu(reply->space_state) != WIRE_SPACE_FULL &&
	       le64_to_cpu(reply->space_left) >= room;
}

static void stat_answered(struct peer_call *call)
{
	struct volume *v = call->ctx;
	struct suspect *s = find(v, &v->health.asked);

	v->health.asking = false;
	if (s != NULL && s->waiting && s->full && !call->err &&
	    call->status == WIRE_OK && has_room(v, call))
		forgive(s);
	arm(v);
	tail_peers_changed(v);
}

/* One at a time; whoever else is due comes with the next retry. */
static void ask_for_room(struct volume *v, struct suspect *s,
			 struct peer *peer)
{
	struct health *h = &v->health;

	s->backoff_ns = MIN(s->backoff_ns * 2, FULL_RETRY_MAX);
	s->retry_at = env_now(v->env) + (h->asking ? BACKOFF_MIN :
					 s->backoff_ns);
	if (h->asking)
		return;
	h->asking = true;
	h->asked = s->peer;
	memset(&h->stat, 0, sizeof(h->stat));
	h->stat.type = WIRE_STAT;
	h->stat.timeout_ns = VOLUME_CALL_TIMEOUTS * v->cfg.replica_timeout_ns;
	h->stat.done = stat_answered;
	h->stat.ctx = v;
	peer_call(peer, &h->stat);
}

struct space_query {
	const struct uuid *peer;
	bool scarce;
};

static void look_at_space(void *ctx, const struct peer_doc *doc, bool alive)
{
	struct space_query *q = ctx;

	if (uuid_equal(&doc->id, q->peer))
		q->scarce = doc->used / 100 * 100 >=
			    doc->size / 100 * SCARCE_PERCENT && doc->size > 0;
}

bool health_scarce(struct volume *v, const struct uuid *peer)
{
	struct space_query q = { .peer = peer };

	cluster_for_each_peer(v->cluster, look_at_space, &q);
	return q.scarce;
}

/* ---- asking again ----------------------------------------------------- */

static void retry_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, health.retry);
	uint64_t now = env_now(v->env);
	struct suspect *s;
	struct peer *p;
	uint32_t i;

	for (i = 0; i < v->health.count; i++) {
		s = &v->health.suspects[i];
		if (!s->waiting || now < s->retry_at)
			continue;
		p = peer_find(cluster_peers(v->cluster), &s->peer);
		if (p != NULL && peer_state(p) == PEER_UP) {
			if (s->full)
				ask_for_room(v, s, p);
			else
				forgive(s);
			continue;
		}
		if (p != NULL)
			peer_connect(p);
		s->backoff_ns = MIN(s->backoff_ns * 2, BACKOFF_MAX);
		s->retry_at = now + s->backoff_ns;
	}
	arm(v);
	tail_peers_changed(v);
}

bool health_good(struct volume *v, const struct uuid *id)
{
	struct peer *peer = peer_find(cluster_peers(v->cluster), id);
	struct suspect *s = find(v, id);

	if (peer == NULL || (s != NULL && s->waiting))
		return false;
	return peer_state(peer) == PEER_UP ||
	       (peer_usable(peer) && cluster_peer_alive(v->cluster, id));
}

bool health_full(struct volume *v, const struct uuid *id)
{
	struct suspect *s = find(v, id);

	return s != NULL && s->waiting && s->full;
}

bool health_hopeful(struct volume *v, const struct uuid *id)
{
	struct suspect *s = find(v, id);

	if (s == NULL || !s->waiting)
		return health_good(v, id);
	return !s->full && env_now(v->env) < s->failed_at + HOPE;
}

/* One that is full refuses data, and nothing else: it may be had soon. */
static uint64_t resort_wait(const struct suspect *s)
{
	return s->full ? BACKOFF_MIN : MIN(s->backoff_ns, RESORT_MAX);
}

bool health_last_resort(struct volume *v, const struct uuid *id)
{
	struct suspect *s = find(v, id);

	return state_of(v, id) == PEER_UP &&
	       (s == NULL ||
		env_now(v->env) >= s->failed_at + resort_wait(s));
}
