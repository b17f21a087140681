// SPDX-License-Identifier: Apache-2.0
/*
 * Walking a victim: its headers, from whichever peer has them, say which block
 * of the volume, or which page, each of its blocks was when it was written. The
 * map says whether it still is.
 *
 * Copies of a chunk are prefixes of one another: one writer wrote it, each
 * place once. So a chain that is whole up to the length in the chunk table is
 * the chunk.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/chunk_table.h"
#include "volume/internal.h"

void cleaner_begin_victim(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	memset(&c->at, 0, sizeof(c->at));
	c->credit_part = 0;
	c->peer = 0;
	c->peers_failed = 0;
	c->has_record = false;
	c->iter.left = 0;
	c->count = 0;
	c->batch_begun = false;
}

void cleaner_again(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	c->at = c->batch_at;
	c->has_record = false;
	c->iter.left = 0;
	c->count = 0;
	c->batch_begun = false;
	c->recalled = false;
	c->state = CLEANER_SCAN;
}

/* ---- SCAN ------------------------------------------------------------- */

/* The next peer that may have the victim; NULL: none is left. */
static struct peer *next_peer(struct volume *v)
{
	const struct ring *ring = cluster_ring(v->cluster);
	struct cleaner *c = &v->cleaner;
	uint16_t order[RING_MEMBERS_MAX];
	struct peer *peer;
	uint32_t count;

	count = ring_permutation(ring, v->doc.id, c->victims[0].chunk, order);
	for (; c->peers_failed < count; c->peers_failed++, c->peer++) {
		c->peer %= count;
		peer = peer_find(cluster_peers(v->cluster),
				 &ring_spec(ring)->members[order[c->peer]].peer);
		if (peer != NULL && peer_usable(peer))
			return peer;
	}
	return NULL;
}

static void peer_is_no_use(struct cleaner *c)
{
	c->peer++;
	c->peers_failed++;
}

static void scanned(struct peer_call *call)
{
	struct volume *v = call->ctx;
	struct cleaner *c = &v->cleaner;
	int err = volume_answer(v, call);

	c->busy = false;
	if (v->failing)
		return;
	if (err || call->scratch_count != 1 ||
	    call->reply_len > CLEANER_SCAN_BYTES) {
		peer_is_no_use(c);
	} else {
		memcpy(c->headers, call->scratch[0].iov_base, call->reply_len);
		scan_iter_init(&c->iter, c->headers, call->reply_len);
		c->progress = false;
		c->state = CLEANER_LOOK;
	}
	volume_kick(v);
}

static void ask_for_headers(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	struct wire_scan body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(c->victims[0].chunk),
		.epoch = cpu_to_le64(v->epoch),
		.block = cpu_to_le32(c->at.block),
		.bytes_max = cpu_to_le32(CLEANER_SCAN_BYTES),
	};
	struct peer *peer = next_peer(v);

	if (peer == NULL) {
		cleaner_give_up(v, "no peer that answers has all of its headers");
		return;
	}
	memset(&c->call, 0, sizeof(c->call));
	c->call.type = WIRE_SCAN;
	c->call.body = &body;
	c->call.timeout_ns = VOLUME_CALL_TIMEOUTS * v->cfg.replica_timeout_ns;
	c->call.done = scanned;
	c->call.ctx = v;
	c->busy = true;
	peer_call(peer, &c->call);
}

static void scan(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (c->at.block < c->victims[0].length)
		ask_for_headers(v);
	else if (c->count > 0)
		c->state = CLEANER_READ;
	else
		c->state = CLEANER_FREE;
}

/* ---- LOOK: records ---------------------------------------------------- */

static bool continues(const struct volume *v, const struct record *r)
{
	const struct cleaner *c = &v->cleaner;

	if (r->volume != v->doc.id || r->chunk != c->victims[0].chunk ||
	    r->block != c->at.block ||
	    r->block + record_blocks(r) > c->victims[0].length)
		return false;
	return r->block == 0 || (r->sequence == c->at.sequence + 1 &&
				 r->prev_crc == c->at.prev_crc);
}

/* False: back to SCAN, for more of it or for another copy. */
static bool next_record(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	const void *header;
	uint32_t bytes;

	if (c->at.block < c->victims[0].length &&
	    scan_next(&c->iter, &header, &bytes) == 1 &&
	    record_decode(header, bytes, c->record) == 0 &&
	    continues(v, c->record)) {
		c->has_record = true;
		c->progress = true;
		c->peers_failed = 0;
		c->extent = 0;
		c->page = 0;
		c->payload = 0;
		return true;
	}
	if (!c->progress)
		peer_is_no_use(c);
	c->iter.left = 0;
	c->state = CLEANER_SCAN;
	return false;
}

static void end_record(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	cleaner_walked(v, record_blocks(c->record));
	c->at.block = c->record->block + record_blocks(c->record);
	c->at.prev_crc = c->record->crc;
	c->at.sequence = c->record->sequence;
	c->has_record = false;
}

/* Where the payload of the extent begins. */
static block_addr_t extent_addr(const struct cleaner *c)
{
	const struct record *r = c->record;

	return block_addr(r->chunk, r->block + r->header_blocks + c->payload);
}

static void next_extent(struct cleaner *c, const struct extent *e)
{
	if (extent_has_payload(e->kind))
		c->payload += e->count;
	c->extent++;
	c->page = 0;
}

/* ---- LOOK: blocks ----------------------------------------------------- */

/* The map has answered about the blocks of the extent. */
static void take_live(struct cleaner *c)
{
	const struct extent *e = &c->record->extents[c->extent];
	block_addr_t addr = extent_addr(c);
	uint32_t i;

	for (i = 0; i < e->count; i++) {
		if (c->found[i].addr != addr + i || c->found[i].lineage != 0)
			continue;
		c->block[c->count] = e->first + i;
		c->entry[c->count++] = c->found[i];
	}
	next_extent(c, e);
}

static void looked_up(struct map_lookup *lookup, int err)
{
	struct volume *v = lookup->ctx;

	v->cleaner.busy = false;
	if (err)
		cleaner_give_up(v, strerror(-err));
	else
		take_live(&v->cleaner);
	volume_kick(v);
}

/* False: not now. */
static bool look_up(struct volume *v, const struct extent *e)
{
	struct cleaner *c = &v->cleaner;
	int err;

	if (c->count + e->count > CLEANER_BATCH) {
		c->state = CLEANER_READ;
		return false;
	}
	if (!c->batch_begun) {
		c->batch_begun = true;
		c->batch_at = c->at;
		c->stamp = v->checkpoint.begun;
	}
	memset(&c->lookup, 0, sizeof(c->lookup));
	c->lookup.first = e->first;
	c->lookup.count = e->count;
	c->lookup.entries = c->found;
	c->lookup.done = looked_up;
	c->lookup.ctx = v;
	err = map_lookup(v->pages.map, &c->lookup);
	c->busy = err == -EINPROGRESS;
	if (!err)
		take_live(c);
	else if (!c->busy)
		cleaner_give_up(v, strerror(-err));
	return !err;
}

/* ---- LOOK: pages ------------------------------------------------------ */

static struct map *page_map(struct volume *v, const struct extent *e)
{
	return e->kind == EXTENT_MAP_PAGE ? v->pages.map :
	       chunk_table_map(v->pages.table);
}

/* One page of the extent was found somewhere: if it is here, it has to go. */
static int take_page(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	const struct extent *e = &c->record->extents[c->extent];
	const struct map_entry *found = &c->locate.entry;
	int err = 0;

	if (found->addr == extent_addr(c) + c->page && found->lineage == 0)
		err = map_rewrite(page_map(v, e), c->locate.level,
				  c->locate.index);
	if (!err && ++c->page == e->count)
		next_extent(c, e);
	return err;
}

static bool page_result(struct volume *v, int err)
{
	if (!err)
		err = take_page(v);
	if (err)
		cleaner_give_up(v, strerror(-err));
	return !err;
}

static void located(struct map_locate *locate, int err)
{
	struct volume *v = locate->ctx;

	v->cleaner.busy = false;
	page_result(v, err);
	volume_kick(v);
}

static bool locate_page(struct volume *v, const struct extent *e)
{
	struct cleaner *c = &v->cleaner;
	uint64_t id = e->first + c->page;
	int err;

	memset(&c->locate, 0, sizeof(c->locate));
	c->locate.level = (unsigned int)(id >> 56);
	c->locate.index = id & ((1ull << 56) - 1);
	c->locate.done = located;
	c->locate.ctx = v;
	err = map_locate(page_map(v, e), &c->locate);
	c->busy = err == -EINPROGRESS;
	return !c->busy && page_result(v, err);
}

/* ---- all -------------------------------------------------------------- */

/* False: wait, or the state has changed. */
static bool walk_record(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	const struct extent *e;

	if (c->extent == c->record->extent_count) {
		end_record(v);
		return true;
	}
	e = &c->record->extents[c->extent];
	switch (e->kind) {
	case EXTENT_DATA:
	case EXTENT_RELOCATION:
		return look_up(v, e);
	case EXTENT_MAP_PAGE:
	case EXTENT_CHUNK_PAGE:
		return locate_page(v, e);
	default:
		next_extent(c, e);
		return true;
	}
}

void cleaner_walk(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (c->state == CLEANER_SCAN) {
		scan(v);
		return;
	}
	while (c->state == CLEANER_LOOK &&
	       (c->has_record ? walk_record(v) : next_record(v)))
		;
}
