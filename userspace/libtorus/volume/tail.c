// SPDX-License-Identifier: Apache-2.0
/*
 * The declared tail. What the metadata store holds is enough for a recoverer
 * to know the ensemble of every chunk that may have been appended to: so
 * nothing is appended to a chunk before its tail is committed, and once L is
 * decided nothing that the old tail's chunks may still receive counts. Only the
 * newest two rings are kept: so the transaction that declares a tail compares
 * the ring's key too. A tail that is extended keeps its ring version, and who
 * changes the ring sees to it that no tail is left behind.
 *
 * How the sealed list tells the order of the log: a chunk in it is followed by
 * `next`, any other one, which then ends with LAST, by number + 1. A tail that
 * was given up before anything was acknowledged in it leaves no entry behind:
 * the entry that leads to it is made to lead to its successor, so that peers
 * which fail again and again cannot fill the list.
 *
 * The list shrinks when a root is published, and above CHECKPOINT_SEALED_MAX
 * entries nothing is written but what that needs. Should the list become full
 * all the same - the ensemble changes again and again, and each time some pages
 * were acknowledged - then the pages of the unfinished checkpoint are given up:
 * the log is taken back to the beginning of the first tail that holds nothing
 * else, and the entries since then are dropped. Recovery does the same with
 * what it finds at the end of the log (walk.c), so that crashes, however many,
 * cannot fill the list either.
 *
 */
#include "volume/tail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "volume/internal.h"
#include "volume/sealed.h"

#define WINDOW_DEFAULT	16ull		/* chunks */
#define WINDOW_MAX	4096ull
#define WINDOW_SECONDS	120u		/* at the recent rate ... */
#define RATE_SECONDS	10u		/* ... which a short burst does not show */
#define WAITING_RETRY	(1 * NSEC_PER_SEC)
#define IDLE_LIMIT	(600 * NSEC_PER_SEC)

static void timer_fired(struct env_timer *timer);
static int change_apply(struct doc_change *change, struct volume_doc *doc);
static void change_done(struct doc_change *change, int err);
static int extend_apply(struct doc_change *change, struct volume_doc *doc);
static void extend_done(struct doc_change *change, int err);

void tail_init(struct volume *v)
{
	struct log_tail *t = &v->tail;

	t->change.apply = change_apply;
	t->change.done = change_done;
	t->change.ctx = v;
	t->change.ring = true;
	t->extend.apply = extend_apply;
	t->extend.done = extend_done;
	t->extend.ctx = v;
	env_timer_init(&t->retry, timer_fired);
}

void tail_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->tail.retry);
}

/* ---- declaring -------------------------------------------------------- */

/* Chunks to declare ahead: as configured; else 16, or more at a high rate. */
static uint64_t window(const struct volume *v)
{
	const struct log_tail *t = &v->tail;
	uint64_t elapsed = (env_now(v->env) - t->rate_at) / NSEC_PER_SEC +
			   RATE_SECONDS;

	if (v->cfg.tail_chunks != 0)
		return MIN(MAX(v->cfg.tail_chunks, 2ull), WINDOW_MAX);
	return MIN(MAX(WINDOW_DEFAULT, t->begun * WINDOW_SECONDS / elapsed),
		   WINDOW_MAX);
}

struct choice {
	const struct ring_spec *spec;
	bool usable[RING_MEMBERS_MAX];
	uint32_t count;
	uint32_t hopeful;		/* usable, or soon so again */
	bool full;			/* some usable peer is full */
};

/* Peers that are nearly full are left out, if there are enough without them. */
static void spare_scarce(struct volume *v, struct choice *c)
{
	bool scarce[RING_MEMBERS_MAX];
	uint32_t i, left = c->count;

	for (i = 0; i < c->spec->member_count; i++) {
		scarce[i] = c->usable[i] &&
			    health_scarce(v, &c->spec->members[i].peer);
		left -= scarce[i];
	}
	if (left < v->doc.replication || left == c->count)
		return;
	c->count = left;
	for (i = 0; i < c->spec->member_count; i++)
		c->usable[i] = c->usable[i] && !scarce[i];
}

/* Where the good ones are too few: others, that are full or not. */
static void choose_more(struct volume *v, struct choice *c, bool full)
{
	const struct uuid *peer;
	uint32_t i;

	for (i = 0; i < c->spec->member_count; i++) {
		peer = &c->spec->members[i].peer;
		if (c->count >= v->min_replicas)
			break;
		if (c->usable[i] || health_full(v, peer) != full ||
		    !health_last_resort(v, peer))
			continue;
		c->usable[i] = true;
		c->count++;
		c->full |= full;
	}
}

/*
 * Who may be a member. A full one only if there are not enough of the others
 * even when those are back that failed just now: a write that waits for them is
 * better than one that fails.
 */
static void choose(struct volume *v, struct choice *c)
{
	uint32_t i;

	memset(c, 0, sizeof(*c));
	c->spec = ring_spec(cluster_ring(v->cluster));
	for (i = 0; i < c->spec->member_count; i++) {
		c->usable[i] = health_good(v, &c->spec->members[i].peer);
		c->count += c->usable[i];
		c->hopeful += health_hopeful(v, &c->spec->members[i].peer);
	}
	spare_scarce(v, c);
	choose_more(v, c, false);
	if (c->hopeful < v->min_replicas)
		choose_more(v, c, true);
}

static bool excluded(const struct tail *tail, const struct uuid *peer)
{
	uint32_t i;

	for (i = 0; i < tail->excluded_count; i++)
		if (uuid_equal(&tail->excluded[i], peer))
			return true;
	return false;
}

/*
 * Excludes who must not be a member of @chunk, and nobody else: the list is
 * short. Returns false if it has no room for them.
 */
static bool exclude(struct volume *v, const struct volume_doc *doc,
		    struct tail *tail, const struct choice *c, uint64_t chunk)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t count, taken = 0, i;

	count = ring_permutation(cluster_ring(v->cluster), doc->id, chunk,
				 order);
	for (i = 0; i < count && taken < doc->replication; i++) {
		if (c->usable[order[i]]) {
			taken++;
			continue;
		}
		if (excluded(tail, &c->spec->members[order[i]].peer))
			continue;
		if (tail->excluded_count == TAIL_EXCLUDED_MAX)
			return false;
		tail->excluded[tail->excluded_count++] =
			c->spec->members[order[i]].peer;
	}
	return true;
}

uint32_t tail_declare(struct volume *v, struct volume_doc *doc)
{
	struct choice c;
	struct tail tail, next;
	uint64_t chunk;

	choose(v, &c);
	if (c.count < v->min_replicas || c.count == 0)
		return c.count;
	memset(&tail, 0, sizeof(tail));
	tail.ring_version = c.spec->version;
	tail.first = doc->next_chunk;
	tail.last = tail.first;
	for (chunk = tail.first; chunk < tail.first + window(v); chunk++) {
		next = tail;
		if (!exclude(v, doc, &next, &c, chunk) && chunk > tail.first)
			break;
		tail = next;
		tail.last = chunk;
	}
	doc->tail = tail;
	doc->next_chunk = tail.last + 1;
	v->tail.full = c.full;
	return MIN(c.count, doc->replication);
}

uint32_t tail_ensemble(struct volume *v, const struct volume_doc *doc,
		       uint64_t chunk, struct uuid *out)
{
	const struct ring *ring;

	ring = cluster_ring_version(v->cluster, doc->tail.ring_version);
	if (ring == NULL)
		return 0;
	return ring_ensemble(ring, doc->id, chunk, doc->replication,
			     doc->tail.excluded, doc->tail.excluded_count, out);
}

static void say_members(struct volume *v)
{
	if (v->tail.members < v->doc.replication)
		volume_say(v, "degraded: writing %u of %u copies",
			   v->tail.members, v->doc.replication);
	else
		volume_say(v, "healthy");
}

static void count_members(struct volume *v)
{
	struct uuid ids[RING_REPLICATION_MAX];

	v->tail.members = tail_ensemble(v, &v->doc, v->doc.tail.first, ids);
}

/* Peers that the excluded list names are asked now and then whether they can
 * be had again. */
static void watch_excluded(struct volume *v)
{
	uint32_t i;

	for (i = 0; i < v->doc.tail.excluded_count; i++)
		health_watch(v, &v->doc.tail.excluded[i]);
}

/* When it would be idle, if nothing more came. */
static void arm_idle(struct volume *v)
{
	uint64_t now = env_now(v->env), when = v->tail.used_at + IDLE_LIMIT;

	env_timer_set(v->env, &v->tail.retry,
		      when > now ? when : now + IDLE_LIMIT);
}

void tail_start(struct volume *v)
{
	v->tail.state = TAIL_STEADY;
	v->tail.rate_at = env_now(v->env);
	v->tail.used_at = env_now(v->env);
	count_members(v);
	say_members(v);
	watch_excluded(v);
	arm_idle(v);
}

bool tail_can_append(const struct volume *v, uint64_t chunk)
{
	return v->tail.state == TAIL_STEADY && chunk >= v->doc.tail.first &&
	       chunk <= v->doc.tail.last;
}

/* ---- extending -------------------------------------------------------- */

uint64_t tail_lowest_open(const struct volume *v)
{
	const struct active_chunk *chunk;

	list_for_each_entry(chunk, &v->active.chunks, node)
		if (chunk->state == ACTIVE_OPEN &&
		    !(chunk->complete &&
		      active_durable_all(chunk, chunk->length)))
			return MIN(chunk->number, v->end.chunk);
	return v->end.chunk;
}

static int extend_apply(struct doc_change *change, struct volume_doc *doc)
{
	struct volume *v = change->ctx;

	if (v->tail.state != TAIL_STEADY ||
	    doc->next_chunk != doc->tail.last + 1)
		return -EAGAIN;
	doc->tail.last = MAX(doc->tail.last, v->writer.chunk + window(v));
	doc->tail.first = MAX(doc->tail.first, tail_lowest_open(v));
	doc->next_chunk = doc->tail.last + 1;
	return 0;
}

static void extend_done(struct doc_change *change, int err)
{
	struct volume *v = change->ctx;

	v->tail.extending = false;
	v->tail.rate_at = env_now(v->env);
	v->tail.begun = 0;
	volume_kick(v);
}

/* Somebody whom the tail excludes could be a member again. */
static bool excluded_is_back(struct volume *v)
{
	struct choice c;
	uint32_t i;

	if (v->doc.tail.excluded_count == 0)
		return false;
	choose(v, &c);
	for (i = 0; i < c.spec->member_count; i++)
		if (c.usable[i] &&
		    excluded(&v->doc.tail, &c.spec->members[i].peer))
			return true;
	return false;
}

void tail_advanced(struct volume *v, uint64_t chunk)
{
	const struct tail *tail = &v->doc.tail;
	uint64_t ahead = chunk > tail->last ? 0 : tail->last - chunk;

	v->tail.used_at = env_now(v->env);
	if (v->tail.extending || v->tail.state != TAIL_STEADY ||
	    ahead >= window(v) / 2)
		return;
	if (excluded_is_back(v)) {
		tail_renew(v, "an excluded peer is back");
		return;
	}
	v->tail.extending = true;
	docwriter_submit(v, &v->tail.extend);
}

/* This extends the tail as well: where checkpoints are frequent no half of it is
 * ever used. */
void tail_catch_up(struct volume *v)
{
	if (v->tail.extending || v->tail.state != TAIL_STEADY ||
	    tail_lowest_open(v) <= v->doc.tail.first)
		return;
	if (excluded_is_back(v)) {
		tail_renew(v, "an excluded peer is back");
		return;
	}
	v->tail.extending = true;
	docwriter_submit(v, &v->tail.extend);
}

/* ---- changing --------------------------------------------------------- */

void tail_begin_end(struct volume *v)
{
	const struct sealed_chunk *s =
		sealed_leading_to(&v->doc, v->doc.tail.first);

	v->end.chunk = v->doc.tail.first;
	v->end.block = 0;
	v->end.from_chunk = s ? s->chunk : 0;
	v->end.from_block = s ? s->length : 0;
	if (!v->tail.has_spare ||
	    v->tail.spare.last.sequence == v->end.last.sequence)
		v->tail.spare = v->end;
	v->tail.has_spare = true;
}

void tail_took(struct volume *v, const struct record *r)
{
	v->tail.used_at = env_now(v->env);
	if (!pages_changed_by(r))
		return;
	v->changed = v->end.last;
	v->tail.has_spare = false;
}

void tail_published(struct volume *v)
{
	v->tail.has_spare = false;
}

/*
 * Makes the log, which ends at (chunk, block), go on at @next. An entry that
 * leads to the first block of an unused tail is turned; where the log came
 * there by a roll, a root may name that block, and it gets an entry of its own.
 */
static int lead_on(struct volume *v, struct volume_doc *doc, uint64_t next)
{
	const struct log_end *end = &v->end;
	struct sealed_chunk *s;

	if (end->block != 0)
		return sealed_put(doc, &(struct sealed_chunk){
			end->chunk, end->block, end->last.header_crc, next });
	s = end->from_chunk ? sealed_leading_to(doc, end->chunk) : NULL;
	if (s != NULL) {
		s->next = next;
		return 0;
	}
	if (end->chunk == next)
		return 0;
	return sealed_put(doc, &(struct sealed_chunk){ end->chunk, 0, 0, next });
}

/*
 * A root must not name (chunk, 0) of a tail that may yet be given up: where the
 * log goes on is then said by the entry of the chunk that it comes from.
 */
block_addr_t tail_log_next(const struct volume *v)
{
	const struct log_end *end = &v->end;

	if (!end->block && end->from_chunk)
		return block_addr(end->from_chunk, end->from_block);
	return block_addr(end->chunk, end->block);
}

int tail_seal(struct volume *v, struct volume_doc *doc, uint64_t next)
{
	struct active_chunk *chunk;
	int err = 0;

	/* Where the log was taken back: entries behind its end. */
	if (v->end.block == 0)
		sealed_keep(doc, 0, v->end.chunk);
	list_for_each_entry(chunk, &v->active.chunks, node) {
		if (chunk->state != ACTIVE_CLOSING ||
		    chunk->number == v->end.chunk)
			continue;
		err = sealed_put(doc, &(struct sealed_chunk){
			chunk->number, chunk->length, chunk->end_crc,
			chunk->number + 1 });
		if (err)
			return err;
	}
	return lead_on(v, doc, next);
}

static int change_apply(struct doc_change *change, struct volume_doc *doc)
{
	struct volume *v = change->ctx;
	struct volume_doc before = *doc;
	uint64_t next = doc->next_chunk;
	int err;

	if (tail_declare(v, doc) < v->min_replicas)
		return -EAGAIN;
	err = tail_seal(v, doc, next);
	if (err)
		*doc = before;
	return err;
}

void tail_sealed(struct volume *v)
{
	struct active_chunk *chunk;

	list_for_each_entry(chunk, &v->active.chunks, node) {
		if (chunk->state != ACTIVE_CLOSING)
			continue;
		active_set_state(chunk, ACTIVE_SEALED);
		chunk->complete = true;
	}
	sync_kick(v);
}

static void change_done(struct doc_change *change, int err)
{
	struct volume *v = change->ctx;

	if (err) {
		v->tail.state = TAIL_WAITING;
		env_timer_after(v->env, &v->tail.retry, WAITING_RETRY);
		return;
	}
	tail_sealed(v);
	tail_begin_end(v);
	v->tail.state = TAIL_STEADY;
	v->tail.used_at = env_now(v->env);
	v->stats.ensemble_changes++;
	count_members(v);
	watch_excluded(v);
	writer_restart(v);
	arm_idle(v);
	checkpoint_lags(v);
	say_members(v);
	volume_kick(v);
}

/* Brings up the connections of everybody who could help. */
static void wake_peers(struct volume *v)
{
	const struct ring_spec *spec = ring_spec(cluster_ring(v->cluster));
	struct peer *peer;
	uint32_t i;

	for (i = 0; i < spec->member_count; i++) {
		peer = peer_find(cluster_peers(v->cluster),
				 &spec->members[i].peer);
		if (peer != NULL && peer_state(peer) == PEER_DOWN)
			peer_connect(peer);
	}
}

static bool any_full(struct volume *v)
{
	const struct ring_spec *spec = ring_spec(cluster_ring(v->cluster));
	uint32_t i;

	for (i = 0; i < spec->member_count; i++)
		if (health_full(v, &spec->members[i].peer))
			return true;
	return false;
}

/* WAITING: declare a tail if there are peers for it; else says so. */
static bool try_change(struct volume *v)
{
	struct choice c;

	choose(v, &c);
	if (c.full || (c.count < v->min_replicas &&
		       c.hopeful < v->min_replicas && any_full(v)))
		writer_fail_data(v, -ENOSPC);
	if (c.count >= v->min_replicas && c.count > 0) {
		v->tail.state = TAIL_COMMITTING;
		env_timer_cancel(v->env, &v->tail.retry);
		docwriter_submit(v, &v->tail.change);
		return true;
	}
	volume_say(v, "writes wait: %u peers can be reached, %u are needed",
		   c.count, v->min_replicas);
	return false;
}

/*
 * Only the timer asks again. A peer that refuses the connection at once is a
 * change, too: asking it at each change would never end.
 */
static void try_change_or_wake(struct volume *v)
{
	if (try_change(v))
		return;
	wake_peers(v);
	env_timer_after(v->env, &v->tail.retry, WAITING_RETRY);
}

static bool list_has_room(struct volume *v)
{
	struct volume_doc doc = v->doc;

	return !tail_seal(v, &doc, doc.next_chunk);
}

static void forget_chunks(struct volume *v, uint64_t first)
{
	struct active_chunk *chunk, *next;
	uint32_t i;

	for (i = 0; i < v->doc.sealed_count; i++)
		if (v->doc.sealed[i].chunk >= first)
			pages_forget(v, v->doc.sealed[i].chunk,
				     v->doc.sealed[i].length);
	list_for_each_entry_safe(chunk, next, &v->active.chunks, node) {
		if (chunk->number < first)
			continue;
		if (!sealed_find(&v->doc, chunk->number))
			pages_forget(v, chunk->number, chunk->length);
		active_drop(chunk);
	}
}

/* See the top of the file. A root under way to the metadata store makes room
 * by itself. */
static void make_room(struct volume *v)
{
	if (!v->tail.has_spare || list_has_room(v) || !checkpoint_abandon(v))
		return;
	log_info("volume %s: its list of sealed chunks is full: giving up the pages written since chunk %llu",
		 v->doc.name, (unsigned long long)v->tail.spare.chunk);
	v->end = v->tail.spare;
	forget_chunks(v, v->end.chunk);
	sync_taken_back(v);
}

void tail_decide(struct volume *v)
{
	struct active_chunk *chunk, *next;

	writer_requeue(v);
	list_for_each_entry_safe(chunk, next, &v->active.chunks, node) {
		if (chunk->state != ACTIVE_OPEN)
			continue;
		if (chunk->length == 0)
			active_drop(chunk);
		else if (!chunk->complete ||
			 !active_durable_all(chunk, chunk->length))
			active_set_state(chunk, ACTIVE_CLOSING);
	}
	make_room(v);
}

static void decide(struct volume *v)
{
	tail_decide(v);
	/* The survivors make what they have durable at once. */
	sync_kick(v);
	v->tail.state = TAIL_WAITING;
	try_change_or_wake(v);
}

void tail_replica_failed(struct volume *v, const struct uuid *peer, int err)
{
	char text[UUID_TEXT_SIZE];

	health_failed(v, peer, err);
	if (!volume_serving(v) ||
	    (v->tail.state != TAIL_STEADY && v->tail.state != TAIL_DRAINING))
		return;
	uuid_format(peer, text);
	log_warning("volume %s: replica on peer %s failed (%s): changing the ensemble",
		    v->doc.name, text, strerror(-err));
	if (err == -ENOSPC && v->tail.full)
		detach_no_room(v);
	decide(v);
}

void tail_renew(struct volume *v, const char *reason)
{
	if (!volume_serving(v) || v->tail.state != TAIL_STEADY ||
	    v->detach.state >= DETACH_RELEASE)
		return;
	log_info("volume %s: new tail: %s", v->doc.name, reason);
	v->tail.state = TAIL_DRAINING;
	volume_kick(v);
}

void tail_run(struct volume *v)
{
	if (v->tail.state == TAIL_DRAINING && volume_serving(v) &&
	    list_empty(&v->writer.flights))
		decide(v);
}

void tail_peers_changed(struct volume *v)
{
	struct choice c;

	if (!volume_serving(v))
		return;
	if (v->tail.state == TAIL_WAITING) {
		try_change(v);
		return;
	}
	if (v->tail.state != TAIL_STEADY)
		return;
	choose(v, &c);
	if (c.spec->version != v->doc.tail.ring_version)
		tail_renew(v, "the ring changed");
	else if (MIN(c.count, v->doc.replication) > v->tail.members)
		tail_renew(v, "a peer is back");
	else if (v->tail.full && !c.full)
		tail_renew(v, "there is room again");
}

static void timer_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, tail.retry);

	if (!volume_serving(v))
		return;
	if (v->tail.state == TAIL_WAITING) {
		try_change_or_wake(v);
		return;
	}
	if (v->tail.state == TAIL_STEADY && v->end.block > 0 &&
	    env_now(v->env) - v->tail.used_at >= IDLE_LIMIT)
		tail_renew(v, "idle");
	arm_idle(v);
}
