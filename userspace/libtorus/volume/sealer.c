// SPDX-License-Identifier: Apache-2.0
/*
 * A member answers SEAL when its copy ends at the decided length with the
 * decided CRC and is durable: whatever happened to it meanwhile, restart or
 * reconnection, the answer proves the copy. So SEAL, unlike SYNC, is safe to
 * try again, and members that failed while the chunk was open get another
 * chance here.
 *
 *   answered                                        sealed
 *   has no such chunk, or a shorter one             gone, lacks: may be copied to
 *   damaged, or another chain                       gone
 *   no answer, busy, no space                       tried again, 1 s to 60 s
 *
 * Acknowledged data that was never made durable and is gone from every member
 * cannot come back: the volume fails for good, once no other peer of the ring has
 * it either. A member that a person removed by force is gone with what it had; what
 * one that was drained had is with others now.
 */
#include "volume/sealer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/copy.h"
#include "volume/internal.h"

#define RETRY_MIN	(1 * NSEC_PER_SEC)
#define RETRY_MAX	(60 * NSEC_PER_SEC)
/* To members of a chunk that has its copies without them SEAL is a courtesy:
 * maintenance finds them in the end. The last try is after ten minutes. */
#define COURTESY_TRIES	14u

static void retry_fired(struct env_timer *timer);

void sealer_init(struct volume *v)
{
	env_timer_init(&v->sealer.retry, retry_fired);
}

void sealer_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->sealer.retry);
}

static void retry_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, sealer.retry));
}

static void retry_at(struct volume *v, uint64_t when)
{
	env_timer_set_by(v->env, &v->sealer.retry, when);
}

/* ---- SEAL ------------------------------------------------------------- */

static bool lacks(uint32_t status)
{
	return status == WIRE_ENOCHUNK || status == WIRE_EOFFSET;
}

static bool bad(uint32_t status)
{
	return status == WIRE_ECONFLICT || status == WIRE_EBADCOPY ||
	       status == WIRE_ESEALED || status == WIRE_ECHAIN ||
	       status == WIRE_EBADCRC;
}

static void seal_failed(struct volume *v, struct active_member *m)
{
	const struct peer_call *call = &m->call;
	uint64_t wait;

	if (call->err == 0 && (lacks(call->status) || bad(call->status))) {
		m->gone = true;
		m->lacks = lacks(call->status);
		m->durable = 0;
		return;
	}
	wait = m->tries < 6 ? RETRY_MIN << m->tries : RETRY_MAX;
	m->tries++;
	m->retry_at = env_now(v->env) + wait;
	retry_at(v, m->retry_at);
}

static void seal_done(struct peer_call *call)
{
	struct active_member *m = container_of(call, struct active_member, call);
	struct volume *v = m->chunk->volume;
	int err = volume_answer(v, call);

	m->busy = false;
	if (v->failing)
		return;
	if (err) {
		seal_failed(v, m);
	} else {
		m->sealed = true;
		m->durable = m->chunk->length;
	}
	sync_update(v);
	volume_kick(v);
}

static void call_seal(const struct active_chunk *chunk, struct peer *peer,
		      struct peer_call *call,
		      void (*done)(struct peer_call *call))
{
	const struct volume *v = chunk->volume;
	struct wire_seal body;

	memset(&body, 0, sizeof(body));
	body.volume = cpu_to_le64(v->doc.id);
	body.chunk = cpu_to_le64(chunk->number);
	body.epoch = cpu_to_le64(v->epoch);
	body.length = cpu_to_le32(chunk->length);
	body.end_crc = cpu_to_le32(chunk->end_crc);
	memset(call, 0, sizeof(*call));
	call->type = WIRE_SEAL;
	call->body = &body;
	call->timeout_ns = VOLUME_CALL_TIMEOUTS * v->cfg.replica_timeout_ns;
	call->done = done;
	peer_call(peer, call);
}

static void send_seal(struct active_member *m)
{
	m->busy = true;
	call_seal(m->chunk, m->peer, &m->call, seal_done);
}

static void seal_members(struct volume *v, struct active_chunk *chunk)
{
	uint64_t now = env_now(v->env);
	struct active_member *m;
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++) {
		m = &chunk->members[i];
		if (m->busy || m->sealed || m->gone || m->peer == NULL)
			continue;
		if (now >= m->retry_at)
			send_seal(m);
		else
			retry_at(v, m->retry_at);
	}
}

void sealer_peer_up(struct volume *v, const struct uuid *peer)
{
	struct active_chunk *chunk;
	struct active_member *m;

	list_for_each_entry(chunk, &v->active.chunks, node) {
		m = active_member_of(chunk, peer);
		if (m != NULL)
			m->retry_at = 0;
	}
	volume_kick(v);
}

void sealer_lost_data(struct volume *v, uint64_t chunk)
{
	volume_fail(v, VOLUME_LOST_DATA,
		    "volume %s: acknowledged data of chunk %llu is gone from every peer that had it",
		    v->doc.name, (unsigned long long)chunk);
}

/* ---- copies ----------------------------------------------------------- */

static bool busy(const struct active_chunk *chunk)
{
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++)
		if (chunk->members[i].busy)
			return true;
	return chunk->copy != NULL || chunk->searching;
}

/* A copy that this peer has, or may have, will be seen again. */
static bool expected(const struct active_chunk *chunk, const struct uuid *peer)
{
	return cluster_peer_expected(chunk->volume->cluster, peer);
}

static bool all_gone(const struct active_chunk *chunk)
{
	const struct active_member *m;
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++) {
		m = &chunk->members[i];
		if (!m->gone && expected(chunk, &m->id))
			return false;
	}
	for (i = 0; i < chunk->extra_count; i++)
		if (expected(chunk, &chunk->extra[i]))
			return false;
	return true;
}

/* This peer has it: a member that lacked it, or a peer beyond them. */
static void has_copy(struct active_chunk *chunk, const struct uuid *id)
{
	struct active_member *m = active_member_of(chunk, id);

	if (m == NULL) {
		active_add_extra(chunk, id);
		return;
	}
	m->gone = false;
	m->lacks = false;
	m->durable = chunk->length;
}

static void copy_done(void *ctx, int err)
{
	struct active_chunk *chunk = ctx;
	struct volume *v = chunk->volume;

	chunk->copy = NULL;
	if (v->failing)
		return;
	if (!err)
		has_copy(chunk, &chunk->copy_target);
	sync_update(v);
	volume_kick(v);
}

static uint32_t sources(const struct active_chunk *chunk, struct uuid *out)
{
	const struct active_member *m;
	uint32_t i, count = 0;

	for (i = 0; i < chunk->member_count; i++) {
		m = &chunk->members[i];
		if (!m->gone && m->durable >= chunk->length)
			out[count++] = m->id;
	}
	for (i = 0; i < chunk->extra_count && count < RING_REPLICATION_MAX; i++)
		out[count++] = chunk->extra[i];
	return count;
}

static bool may_be_target(struct volume *v, struct active_chunk *chunk,
			  const struct uuid *id, bool full)
{
	const struct active_member *m = active_member_of(chunk, id);

	if (m != NULL ? !m->lacks : active_is_extra(chunk, id))
		return false;
	return full ? health_full(v, id) && health_last_resort(v, id) :
		      health_good(v, id);
}

/*
 * The next peer of the permutation that could take a copy; NULL: none. Those
 * that are full come last: their reserve is for that, too, and a flush that
 * waited until they have room might wait for ever.
 */
static const struct uuid *next_target(struct volume *v,
				      struct active_chunk *chunk)
{
	const struct ring *ring = cluster_ring(v->cluster);
	uint16_t order[RING_MEMBERS_MAX];
	const struct uuid *id;
	uint32_t count, i;

	count = ring_permutation(ring, v->doc.id, chunk->number, order);
	while ((i = chunk->copy_tried) < 2 * count) {
		chunk->copy_tried++;
		id = &ring_spec(ring)->members[order[i % count]].peer;
		if (may_be_target(v, chunk, id, i >= count))
			return id;
	}
	chunk->copy_tried = 0;
	chunk->copy_at = env_now(v->env) + RETRY_MIN;
	return NULL;
}

static void make_copy(struct volume *v, struct active_chunk *chunk)
{
	struct uuid source[RING_REPLICATION_MAX];
	const struct uuid *target = NULL;
	struct copy_job job;

	if (env_now(v->env) >= chunk->copy_at)
		target = next_target(v, chunk);
	if (target == NULL) {
		retry_at(v, chunk->copy_at);
		return;
	}
	memset(&job, 0, sizeof(job));
	job.chunk = chunk->number;
	job.length = chunk->length;
	job.end_crc = chunk->end_crc;
	job.source = source;
	job.source_count = sources(chunk, source);
	job.target = *target;
	job.done = copy_done;
	job.ctx = chunk;
	chunk->copy_target = *target;
	chunk->copy = copy_start(v, &job);
	if (chunk->copy == NULL)
		retry_at(v, env_now(v->env) + RETRY_MIN);
}

/* ---- search ------------------------------------------------------------ */

/*
 * A member that was drained has given what it had to others before it was
 * removed, and maintenance may have copied to any owner: so the data is gone only
 * when all peers of the ring have said, twice, that they do not have it. Twice,
 * since it may move from one that is yet to be asked to one that was.
 */
#define SEARCH_ROUNDS 2u

static void searched(struct peer_call *call)
{
	struct active_chunk *chunk =
		container_of(call, struct active_chunk, search);
	struct volume *v = chunk->volume;
	int err = volume_answer(v, call);

	chunk->searching = false;
	if (v->failing)
		return;
	if (!err)
		has_copy(chunk, call->ctx);
	else if (call->err || !(lacks(call->status) || bad(call->status)))
		chunk->search_silent = true;
	chunk->search_at = err ? chunk->search_at + 1 : 0;
	sync_update(v);
	volume_kick(v);
}

/* All were asked. True: none of them has it, nor will have. */
static bool end_round(struct active_chunk *chunk)
{
	bool silent = chunk->search_silent;

	chunk->search_at = 0;
	chunk->search_silent = false;
	if (silent && !chunk->search_told)
		log_warning("volume %s: acknowledged data of chunk %" PRIu64 " is with no peer that answers: requests wait for the others of the ring",
			    chunk->volume->doc.name, chunk->number);
	chunk->search_told |= silent;
	chunk->search_rounds = silent ? 0 : chunk->search_rounds + 1;
	chunk->copy_at = env_now(chunk->volume->env) + RETRY_MIN;
	retry_at(chunk->volume, chunk->copy_at);
	return chunk->search_rounds >= SEARCH_ROUNDS;
}

static void search(struct volume *v, struct active_chunk *chunk)
{
	const struct ring_spec *spec = ring_spec(cluster_ring(v->cluster));
	const struct uuid *id;
	struct peer *peer;

	if (env_now(v->env) < chunk->copy_at) {
		retry_at(v, chunk->copy_at);
		return;
	}
	/* Another order: who was passed over may have it now. */
	if (chunk->search_ring != spec->version) {
		chunk->search_ring = spec->version;
		chunk->search_at = 0;
		chunk->search_rounds = 0;
		chunk->search_silent = false;
	}
	if (chunk->search_at >= spec->member_count) {
		if (end_round(chunk))
			sealer_lost_data(v, chunk->number);
		return;
	}
	id = &spec->members[chunk->search_at].peer;
	peer = peer_find(cluster_peers(v->cluster), id);
	if (peer == NULL) {
		chunk->search_silent = true;
		chunk->search_at++;
		volume_kick(v);
		return;
	}
	chunk->searching = true;
	call_seal(chunk, peer, &chunk->search, searched);
	chunk->search.ctx = (void *)peer_id(peer);
}

/* ---- the end ---------------------------------------------------------- */

static bool retired_by_all(const struct active_chunk *chunk)
{
	const struct active_member *m;
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++) {
		m = &chunk->members[i];
		if (!m->sealed && !m->gone && m->tries < COURTESY_TRIES)
			return false;
	}
	return true;
}

static void run_sealed(struct volume *v, struct active_chunk *chunk)
{
	uint32_t copies = active_copies(chunk);

	seal_members(v, chunk);
	if (copies >= v->min_replicas) {
		if (retired_by_all(chunk) && !busy(chunk))
			active_drop(chunk);
	} else if (!busy(chunk)) {
		if (all_gone(chunk))
			search(v, chunk);
		else if (copies > 0)
			make_copy(v, chunk);
	}
}

static void run_open(struct volume *v, struct active_chunk *chunk)
{
	if (!chunk->complete || !active_durable_all(chunk, chunk->length))
		return;
	seal_members(v, chunk);
	if (retired_by_all(chunk) && !busy(chunk))
		active_drop(chunk);
}

/* Sealed chunks whose absent members keep them on the list: not too many. */
static void trim(struct volume *v)
{
	struct active_chunk *chunk, *next;
	uint32_t sealed = 0;

	list_for_each_entry(chunk, &v->active.chunks, node)
		sealed += chunk->state == ACTIVE_SEALED;
	list_for_each_entry_safe(chunk, next, &v->active.chunks, node) {
		if (sealed <= ACTIVE_MAX)
			return;
		if (chunk->state != ACTIVE_SEALED || busy(chunk) ||
		    active_copies(chunk) < v->min_replicas)
			continue;
		active_drop(chunk);
		sealed--;
	}
}

void sealer_run(struct volume *v)
{
	struct active_chunk *chunk, *next;

	if (!volume_serving(v))
		return;
	list_for_each_entry_safe(chunk, next, &v->active.chunks, node) {
		if (chunk->state == ACTIVE_SEALED)
			run_sealed(v, chunk);
		else if (chunk->state == ACTIVE_OPEN)
			run_open(v, chunk);
	}
	trim(v);
}

bool sealer_settled(const struct volume *v)
{
	const struct active_chunk *chunk;

	list_for_each_entry(chunk, &v->active.chunks, node)
		if (busy(chunk) || (chunk->state == ACTIVE_SEALED &&
				    active_copies(chunk) < v->min_replicas))
			return false;
	return true;
}
