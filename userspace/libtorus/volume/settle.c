// SPDX-License-Identifier: Apache-2.0
/*
 * Before anything is served, min_replicas peers must hold the whole prefix,
 * durably: whoever has a chunk syncs it, whoever is needed and lacks some of
 * it gets a copy. One chunk after the other; chunks older than the tail are
 * durable on all their members already and are not here.
 *
 * Copying reads the payloads, which the walk did not: where nobody has good
 * bytes of the last records, the walk starts again and ends before them.
 *
 * A member that lacks only a little is brought up to date although it is not
 * needed: that costs less than a repair later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/recover.h"

#define SETTLE_COURTESY_BLOCKS 256u

int settle_add(struct attach *a, uint64_t chunk, uint32_t length,
	       uint32_t end_crc)
{
	struct settle_item *item;

	/* The last one may have been too short, and is longer now. */
	item = a->item_count ? &a->items[a->item_count - 1] : NULL;
	if (item && item->chunk == chunk) {
		item->length = length;
		item->end_crc = end_crc;
		return 0;
	}
	if (a->item_count == WALK_CHUNKS_MAX)
		return -ENOMEM;
	if (a->item_count == a->item_room) {
		uint32_t room = a->item_room ? 2 * a->item_room : 16;

		item = realloc(a->items, room * sizeof(*item));
		if (!item)
			return -ENOMEM;
		a->items = item;
		a->item_room = room;
	}
	item = &a->items[a->item_count];
	*item = (struct settle_item){
		.chunk = chunk, .length = length, .end_crc = end_crc,
	};
	item->holder = calloc(a->peer_count + 1, sizeof(*item->holder));
	if (!item->holder)
		return -ENOMEM;
	a->item_count++;
	return 0;
}

void settle_drop(struct attach *a, uint64_t first)
{
	struct settle_item *item;

	while (a->item_count) {
		item = &a->items[a->item_count - 1];
		if (item->chunk < first)
			return;
		pages_forget(a->volume, item->chunk, item->length);
		free(item->holder);
		a->item_count--;
	}
}

/* Calls under way speak of an item, too. */
static void drop_peer(struct attach_peer *p)
{
	if (p->copy)
		copy_cancel(p->copy);
	if (p->busy)
		peer_call_cancel(&p->call);
	p->copy = NULL;
	p->busy = false;
}

void settle_release(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		drop_peer(&a->peers[i]);
	for (uint32_t i = 0; i < a->item_count; i++)
		free(a->items[i].holder);
	free(a->items);
	a->items = NULL;
	a->item_count = 0;
	a->item_room = 0;
	a->item = 0;
	a->item_begun = false;
}

/* ---- who has it ------------------------------------------------------------ */

static bool has_all(const struct attach_peer *p, const struct settle_item *item)
{
	return walk_stat_current(p, item->chunk) && !p->stat_damaged &&
	       p->stat_length >= item->length;
}

/* Members of the ensemble, as far as the ring still tells, then the others. */
static uint32_t candidates(struct attach *a, const struct settle_item *item,
			   struct uuid *out, uint32_t *members)
{
	const struct ring *ring = cluster_ring(a->volume->cluster);
	const struct ring_spec *spec = ring_spec(ring);
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t n = 0, count;

	if (attach_in_tail(a, item->chunk))
		n = tail_ensemble(a->volume, &a->volume->doc, item->chunk, out);
	count = ring_permutation(ring, a->volume->doc.id, item->chunk, order);
	*members = n ? n : MIN(count, a->volume->doc.replication);
	for (uint32_t i = 0; i < count; i++) {
		bool known = false;

		for (uint32_t j = 0; j < *members && j < n; j++)
			known |= uuid_equal(&out[j],
					    &spec->members[order[i]].peer);
		if (!known)
			out[n++] = spec->members[order[i]].peer;
	}
	return n;
}

/* ---- syncing and copying ----------------------------------------------------- */

static void sync_done(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	const struct settle_item *item = &p->attach->items[p->attach->item];
	bool good = !attach_peer_answer(p) &&
		    le32_to_cpu(p->range.status) == WIRE_OK;

	p->settle = good ? SETTLE_DURABLE : SETTLE_UNKNOWN;
	if (good) {
		p->stat_durable = item->length;
		attach_progress(p->attach);
	} else {
		p->stat_known = false;
	}
}

static void send_sync(struct attach_peer *p, const struct settle_item *item)
{
	struct volume *v = p->attach->volume;
	struct wire_sync body = {
		.volume = cpu_to_le64(v->doc.id),
		.epoch = cpu_to_le64(v->epoch),
		.count = cpu_to_le32(1),
	};

	p->range = (struct wire_range){ cpu_to_le64(item->chunk),
					cpu_to_le32(item->length), 0 };
	p->iov = (struct iovec){ &p->range, sizeof(p->range) };
	p->call = (struct peer_call){
		.type = WIRE_SYNC, .body = &body, .data = &p->iov,
		.data_count = 1, .data_len = sizeof(p->range),
		.reply_data = &p->iov, .reply_data_count = 1,
		.timeout_ns = volume_sync_timeout(v),
		.done = sync_done, .ctx = p,
	};
	p->busy = true;
	p->settle = SETTLE_SYNCING;
	peer_call(p->peer, &p->call);
}

/* Copies to several peers fail together: only a later one is a second look. */
static void note_verdict(struct settle_item *item, int err, uint32_t bad_block,
			 uint64_t now)
{
	if (err == -EBADMSG && item->rotten && item->bad_block == bad_block) {
		item->confirmed |= now >= item->rotten_since + ATTACH_RETRY_NS;
		return;
	}
	item->rotten = err == -EBADMSG;
	item->confirmed = false;
	item->rotten_since = now;
	item->bad_block = bad_block;
}

static void copy_done(void *ctx, int err)
{
	struct attach_peer *p = ctx;
	struct attach *a = p->attach;
	struct settle_item *item = &a->items[a->item];

	p->copy = NULL;
	p->settle = err ? SETTLE_FAILED : SETTLE_DURABLE;
	note_verdict(item, err, p->bad_block, env_now(a->volume->env));
	if (err) {
		log_warning("volume %s: cannot copy chunk %" PRIu64 " to peer %s: %s",
			    a->volume->doc.name, item->chunk,
			    peer_address(p->peer), strerror(-err));
		p->retry_at = env_now(a->volume->env) + ATTACH_RETRY_NS;
	} else {
		attach_progress(a);
	}
	attach_kick(a);
}

static void start_copy(struct attach_peer *p, const struct settle_item *item)
{
	struct attach *a = p->attach;
	struct uuid source[RING_REPLICATION_MAX];
	struct copy_job job = {
		.chunk = item->chunk, .length = item->length,
		.end_crc = item->end_crc, .source = source, .target = p->id,
		.bad_block = &p->bad_block, .done = copy_done, .ctx = p,
	};

	for (uint32_t i = 0; i < a->peer_count; i++)
		if (has_all(&a->peers[i], item) &&
		    job.source_count < RING_REPLICATION_MAX)
			source[job.source_count++] = a->peers[i].id;
	if (!job.source_count)
		return;
	p->copy = copy_start(a->volume, &job);
	if (p->copy)
		p->settle = SETTLE_COPYING;
}

/* ---- one item ------------------------------------------------------------------ */

static void sync_holders(struct attach *a, const struct settle_item *item)
{
	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p = &a->peers[i];

		if (!has_all(p, item))
			continue;
		item->holder[i] = true;
		if (p->settle == SETTLE_UNKNOWN && !p->busy) {
			if (p->stat_durable >= item->length)
				p->settle = SETTLE_DURABLE;
			else
				send_sync(p, item);
		}
	}
}

static uint32_t count_state(const struct attach *a, enum settle_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->peer_count; i++)
		n += a->peers[i].settle == state;
	return n;
}

static bool may_copy_to(struct attach_peer *p, const struct settle_item *item)
{
	return p && p->fenced && p->settle == SETTLE_UNKNOWN &&
	       walk_stat_current(p, item->chunk) && !walk_stat_damaged(p) &&
	       attach_peer_ready(p) && !has_all(p, item);
}

static void copy_to_lacking(struct attach *a, const struct settle_item *item)
{
	struct uuid order[RING_MEMBERS_MAX + RING_REPLICATION_MAX];
	uint32_t members, count = candidates(a, item, order, &members);
	uint32_t have = count_state(a, SETTLE_DURABLE) +
			count_state(a, SETTLE_SYNCING) +
			count_state(a, SETTLE_COPYING);

	for (uint32_t i = 0; i < count; i++) {
		struct attach_peer *p = attach_peer_find(a, &order[i]);
		bool needed = have < a->volume->min_replicas;

		if (!may_copy_to(p, item))
			continue;
		if (!needed && (i >= members || item->length - p->stat_length >
						SETTLE_COURTESY_BLOCKS))
			continue;
		start_copy(p, item);
		have += p->settle == SETTLE_COPYING;
		item->holder[p - a->peers] = true;
	}
}

static void begin_item(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++) {
		a->peers[i].settle = SETTLE_UNKNOWN;
		a->peers[i].stat_known = false;
	}
	a->item_begun = true;
}

/* A copy that failed may do better later, when enough time has passed. */
static void forgive_failures(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (a->peers[i].settle == SETTLE_FAILED &&
		    attach_peer_ready(&a->peers[i])) {
			a->peers[i].settle = SETTLE_UNKNOWN;
			a->peers[i].stat_known = false;
		}
}

/*
 * Whether a member of the ensemble says that it never had the record at
 * @block: then it was not acknowledged, or only while that member had it in
 * memory, and nothing from there on was flushed.
 */
static bool member_lacks(struct attach *a, uint64_t chunk, uint32_t block)
{
	struct uuid members[RING_REPLICATION_MAX];
	uint32_t n = tail_ensemble(a->volume, &a->volume->doc, chunk, members);

	for (uint32_t i = 0; i < n; i++) {
		struct attach_peer *p = attach_peer_find(a, &members[i]);

		if (p && walk_stat_current(p, chunk) && !walk_stat_damaged(p) &&
		    p->stat_length <= block)
			return true;
	}
	return false;
}

/*
 * A record is one only if its payload is good. The headers led the walk on,
 * but nobody who answers has good bytes of this one: the log ends before it,
 * unless it may have been durable; then another peer may still have it. Bytes
 * may also be spoilt on their way: nothing is given up before a second look.
 */
static bool cut_before_rotten(struct attach *a, const struct settle_item *item)
{
	if (!item->confirmed || !attach_in_tail(a, item->chunk) ||
	    !member_lacks(a, item->chunk, item->bad_block))
		return false;
	log_warning("volume %s: chunk %" PRIu64 " block %u: the only copies of this record are damaged; it was never durable on all members, and the log ends before it",
		    a->volume->doc.name, item->chunk, item->bad_block);
	walk_again(a, item->chunk, item->bad_block);
	return true;
}

static void wait_for_durable(struct attach *a, const struct settle_item *item,
			     uint32_t durable)
{
	struct volume *v = a->volume;

	if (item->rotten)
		attach_wait(a, -EUCLEAN,
			    "volume %s: chunk %" PRIu64 " is damaged at block %u on every peer that has it%s",
			    v->doc.name, item->chunk, item->bad_block,
			    attach_way_out(a, item->chunk));
	else
		attach_wait(a, -ETIMEDOUT,
			    "volume %s: chunk %" PRIu64 " has %u durable copies on the peers that answer, and needs %u",
			    v->doc.name, item->chunk, durable,
			    v->min_replicas);
}

/* Returns whether the item is settled. */
static bool settle_item_step(struct attach *a, struct settle_item *item)
{
	uint32_t durable;

	if (!item->length)
		return true;
	forgive_failures(a);
	if (walk_ask_lengths(a, item->chunk))
		return false;
	sync_holders(a, item);
	copy_to_lacking(a, item);
	durable = count_state(a, SETTLE_DURABLE);
	if (count_state(a, SETTLE_SYNCING) || count_state(a, SETTLE_COPYING))
		return false;
	if (cut_before_rotten(a, item))
		return false;
	if (durable >= a->volume->min_replicas &&
	    !(item->rotten && !item->confirmed &&
	      count_state(a, SETTLE_FAILED)))
		return true;
	wait_for_durable(a, item, durable);
	return false;
}

void settle_step(struct attach *a)
{
	for (; a->item < a->item_count; a->item++, a->item_begun = false) {
		if (!a->item_begun)
			begin_item(a);
		if (!settle_item_step(a, &a->items[a->item]))
			return;
		attach_progress(a);
	}
	a->item = 0;
	a->item_begun = false;
	a->must_read = false;
	a->phase = ATTACH_PUBLISH;
}
