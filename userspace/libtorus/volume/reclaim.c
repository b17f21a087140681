// SPDX-License-Identifier: Apache-2.0
/*
 * A read that began before the root was published may still be on its way to
 * the old place of a block, so a chunk waits until those are over. After that
 * nothing asks for it any more. The peers that may have it are those that the
 * rings name first: owners, and, as a tail excludes some, a few behind them.
 * The DELETE carries our epoch: once another writer has fenced the peers, who
 * may have begun with an older root than ours, it is refused.
 */
#include "volume/reclaim.h"

#include <string.h>

#include "base/cleanup.h"
#include "volume/internal.h"

void reclaim_init(struct volume *v)
{
	uint32_t i;

	for (i = 0; i < RECLAIM_CALLS; i++)
		v->reclaim.calls[i].volume = v;
}

void reclaim_release(struct volume *v)
{
	uint32_t i;

	for (i = 0; i < RECLAIM_CALLS; i++)
		peer_call_cancel(&v->reclaim.calls[i].call);
}

void reclaim_add(struct volume *v, const uint64_t *freed, uint32_t count)
{
	struct reclaim *r = &v->reclaim;
	struct reclaim_chunk *slot;
	uint32_t i;

	for (i = 0; i < count && r->count < RECLAIM_MAX; i++) {
		slot = &r->chunks[(r->first + r->count++) % RECLAIM_MAX];
		slot->chunk = freed[i];
		slot->serial = reader_serial(v->reader);
	}
	volume_kick(v);
}

/* ---- who -------------------------------------------------------------- */

static void add_target(struct reclaim *r, const struct uuid *id)
{
	uint32_t i;

	for (i = 0; i < r->target_count; i++)
		if (uuid_equal(&r->targets[i], id))
			return;
	r->targets[r->target_count++] = *id;
}

static void add_targets(struct volume *v, const struct ring *ring,
			uint64_t chunk)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t count, i;

	if (ring == NULL)
		return;
	count = ring_permutation(ring, v->doc.id, chunk, order);
	for (i = 0; i < MIN(count, 2 * v->doc.replication); i++)
		add_target(&v->reclaim,
			   &ring_spec(ring)->members[order[i]].peer);
}

static void find_targets(struct volume *v)
{
	const struct ring *ring = cluster_ring(v->cluster);
	struct reclaim *r = &v->reclaim;
	uint64_t chunk = r->chunks[r->first].chunk;

	r->target_count = 0;
	add_targets(v, ring, chunk);
	add_targets(v, cluster_ring_version(v->cluster,
					    ring_spec(ring)->version - 1),
		    chunk);
	r->targets_known = true;
}

/* ---- telling ---------------------------------------------------------- */

/* What there is no room for its store finds out by itself. */
static void miss(struct reclaim *r, const struct uuid *id, uint64_t chunk)
{
	if (r->missed_count < RECLAIM_MISSED)
		r->missed[r->missed_count++] =
			(struct reclaim_missed){ *id, chunk };
}

static void deleted(struct peer_call *call)
{
	struct reclaim_call *rc = container_of(call, struct reclaim_call, call);

	rc->busy = false;
	if (call->err)
		miss(&rc->volume->reclaim, &rc->peer, rc->chunk);
	volume_answer(rc->volume, call);
	volume_kick(rc->volume);
}

static void tell(struct volume *v, struct reclaim_call *rc,
		 const struct uuid *id, uint64_t chunk)
{
	struct peer *peer = peer_find(cluster_peers(v->cluster), id);
	struct wire_chunk body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(chunk),
		.epoch = cpu_to_le64(v->epoch),
	};

	if (peer == NULL)
		return;
	if (!peer_usable(peer)) {
		miss(&v->reclaim, id, chunk);
		return;
	}
	memset(&rc->call, 0, sizeof(rc->call));
	rc->peer = *id;
	rc->chunk = chunk;
	rc->call.type = WIRE_DELETE;
	rc->call.body = &body;
	rc->call.timeout_ns = volume_sync_timeout(v);
	rc->call.done = deleted;
	rc->busy = true;
	peer_call(peer, &rc->call);
}

static struct reclaim_call *free_call(struct reclaim *r)
{
	uint32_t i;

	for (i = 0; i < RECLAIM_CALLS; i++)
		if (!r->calls[i].busy)
			return &r->calls[i];
	return NULL;
}

/* Those of peers that are away still are missed again. */
static void tell_missed(struct volume *v)
{
	struct reclaim *r = &v->reclaim;
	uint32_t i = 0;

	while (r->peer_came && i < r->missed_count) {
		const struct reclaim_missed missed = r->missed[i];
		struct peer *peer = peer_find(cluster_peers(v->cluster),
					      &missed.peer);
		struct reclaim_call *rc = free_call(r);

		if (rc == NULL)
			return;
		if (peer != NULL && !peer_usable(peer)) {
			i++;
			continue;
		}
		r->missed[i] = r->missed[--r->missed_count];
		tell(v, rc, &missed.peer, missed.chunk);
	}
	r->peer_came = false;
}

void reclaim_peer_up(struct volume *v)
{
	if (v->reclaim.missed_count == 0)
		return;
	v->reclaim.peer_came = true;
	volume_kick(v);
}

void reclaim_run(struct volume *v)
{
	struct reclaim *r = &v->reclaim;
	const struct reclaim_chunk *first;
	struct reclaim_call *rc;

	while (r->count > 0 && (rc = free_call(r)) != NULL) {
		first = &r->chunks[r->first];
		if (!reader_done_to(v->reader, first->serial))
			return;
		if (!r->targets_known)
			find_targets(v);
		if (r->target_count > 0) {
			tell(v, rc, &r->targets[--r->target_count],
			     first->chunk);
			continue;
		}
		r->targets_known = false;
		r->first = (r->first + 1) % RECLAIM_MAX;
		r->count--;
	}
	tell_missed(v);
}

bool reclaim_idle(const struct volume *v)
{
	uint32_t i;

	for (i = 0; i < RECLAIM_CALLS; i++)
		if (v->reclaim.calls[i].busy)
			return false;
	return v->reclaim.count == 0;
}
