// SPDX-License-Identifier: Apache-2.0
/*
 * One straight line: the header of the root from whichever peer has it (checked
 * against the CRC in the metadata store), its payload and the pages of the chunk
 * table through the reader (checked against the header, and so on), then the
 * sealed list for the log behind the root.
 */
#include "live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "env/env_uring.h"
#include "volume/chunk_table.h"
#include "volume/reader.h"
#include "volume/root.h"
#include "wire/record.h"

struct load {
	struct ctl *ctl;
	struct cluster *cluster;
	const struct volume_doc *v;
	struct live_chunks *live;
	struct reader *reader;
	struct record *header;
	uint8_t *payload;
	struct root root;
	struct chunk_table *table;
	struct map_page_load *page;	/* that the table waits for */
	bool scanned;
	int scan_err;
};

static int add(struct live_chunks *live, uint64_t chunk)
{
	uint64_t *chunks;
	size_t room;

	if (live->count == live->room) {
		room = MAX(2 * live->room, (size_t)MAP_FANOUT);
		chunks = reallocarray(live->chunks, room, sizeof(*chunks));
		if (!chunks)
			return -ENOMEM;
		live->chunks = chunks;
		live->room = room;
	}
	live->chunks[live->count++] = chunk;
	return 0;
}

static bool is_full(const struct live_chunks *live)
{
	return live->count == live->max;
}

static bool is_last(const struct live_chunks *live, uint64_t chunk)
{
	return live->count && live->chunks[live->count - 1] == chunk;
}

void live_chunks_release(struct live_chunks *live)
{
	free(live->chunks);
	live->chunks = NULL;
	live->count = live->room = 0;
}

/* ---- the root's header -------------------------------------------------------- */

struct header_call {
	struct peer_call call;
	struct load *load;
	bool done, fits;
};

static bool header_fits(struct load *l, const struct peer_call *call)
{
	const struct root_ref *ref = &l->v->root;
	struct record *r = l->header;

	return !call->err && call->status == WIRE_OK &&
	       call->scratch_count == 1 && call->reply_len == BLOCK_SIZE &&
	       record_decode(call->scratch[0].iov_base, BLOCK_SIZE, r) == 0 &&
	       r->crc == ref->crc && r->volume == l->v->id &&
	       block_addr(r->chunk, r->block) == ref->addr &&
	       r->extent_count == 1 && r->extents[0].kind == EXTENT_ROOT;
}

static void got_header(struct peer_call *call)
{
	struct header_call *h = container_of(call, struct header_call, call);

	h->fits = header_fits(h->load, call);
	h->done = true;
	env_uring_stop(h->load->ctl->env);
}

/* 0; -ENODATA: it has none; -EAGAIN: it does not say. */
static int ask_for_header(struct load *l, struct peer *peer)
{
	block_addr_t addr = l->v->root.addr;
	struct wire_read body = {
		.volume = cpu_to_le64(l->v->id),
		.chunk = cpu_to_le64(block_addr_chunk(addr)),
		.attached = cpu_to_le64(l->v->id),
		.block = cpu_to_le32(block_addr_block(addr)),
		.blocks = cpu_to_le32(1),
	};
	struct header_call h = { .load = l };

	h.call.type = WIRE_READ;
	h.call.body = &body;
	h.call.timeout_ns = SURVEY_TIMEOUT_NS;
	h.call.done = got_header;
	peer_call(peer, &h.call);
	if (ctl_wait(l->ctl, &h.done))
		peer_call_cancel(&h.call);
	if (h.fits)
		return 0;
	/* Busy: it has one, which others replace or seal just now. */
	return h.done && !h.call.err && h.call.status != WIRE_EBUSY ?
	       -ENODATA : -EAGAIN;
}

/* Those first that the ring names first. */
static int find_header(struct load *l, const struct view *view,
		       const struct survey *survey)
{
	const struct ring *ring = cluster_ring(l->cluster);
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t count = ring_permutation(ring, l->v->id,
					  block_addr_chunk(l->v->root.addr),
					  order);
	int err = -ENODATA, ret = -ENODATA;

	for (size_t i = 0; ret && i < count + view->peer_count; i++) {
		const struct uuid *id = i < count ?
			&ring_spec(ring)->members[order[i]].peer :
			&view->peers[i - count].doc.id;
		const struct ctl_peer *p = view_peer(view, id);
		struct peer *peer = peer_find(cluster_peers(l->cluster), id);

		if (!p || !peer || survey->answers[p - view->peers].err ||
		    (i >= count && p->member))
			continue;
		ret = ask_for_header(l, peer);
		if (ret == -EAGAIN)
			err = ret;
	}
	return ret ? err : 0;
}

/* ---- blocks ------------------------------------------------------------------ */

struct blocks {
	struct block_read read;
	struct ctl *ctl;
	bool done;
	int err;
};

static void blocks_read(struct block_read *read, int err)
{
	struct blocks *b = container_of(read, struct blocks, read);

	b->err = err;
	b->done = true;
	env_uring_stop(b->ctl->env);
}

static int read_blocks(struct load *l, const struct map_entry *entries,
		       uint32_t count, uint8_t *buffer)
{
	struct blocks b = {
		.read = { .entries = entries, .count = count,
			  .buffer = buffer, .done = blocks_read },
		.ctl = l->ctl,
	};

	reader_read(l->reader, &b.read);
	if (ctl_wait(l->ctl, &b.done))
		return -EAGAIN;
	return b.err == -EIO ? -ENODATA : b.err ? -EAGAIN : 0;
}

static int read_root(struct load *l)
{
	const struct record *r = l->header;
	uint32_t n = r->payload_blocks;
	CLEANUP_FREE struct map_entry *entries = calloc(n, sizeof(*entries));
	int err;

	l->payload = malloc((size_t)n * BLOCK_SIZE);
	if (!entries || !l->payload)
		return -EAGAIN;
	for (uint32_t i = 0; i < n; i++) {
		entries[i].addr = l->v->root.addr + r->header_blocks + i;
		entries[i].crc = r->payload_crc[i];
	}
	err = read_blocks(l, entries, n, l->payload);
	if (err)
		return err;
	return root_decode(l->payload, (size_t)n * BLOCK_SIZE, &l->root) ?
	       -EAGAIN : 0;
}

/* ---- the table ------------------------------------------------------------------ */

static void load_page(void *ctx, struct map_page_load *page)
{
	struct load *l = ctx;

	l->page = page;
}

static const struct map_owner_ops table_ops = { .load_page = load_page };

static void scanned(struct map_scan *scan, int err)
{
	struct load *l = scan->ctx;

	l->scanned = true;
	l->scan_err = err;
}

/* The next leaf of the table; its pages are read as it asks for them. */
static int scan_on(struct load *l, struct map_scan *scan)
{
	struct map_page_load *page;
	int err = map_scan(chunk_table_map(l->table), scan), read_err = 0;

	if (err != -EINPROGRESS)
		return err ? -EAGAIN : 0;
	l->scanned = false;
	while (!l->scanned && l->page) {
		page = l->page;
		l->page = NULL;
		read_err = read_blocks(l, &page->entry, 1, page->page);
		map_page_loaded(page, read_err);
	}
	if (l->scanned && !l->scan_err)
		return 0;
	if (!l->scanned)
		map_scan_cancel(scan);
	return read_err ? read_err : -EAGAIN;
}

/* A chunk of which nothing is referred to is as good as gone. */
static int take_leaf(struct load *l, const struct map_scan *scan)
{
	struct chunk_info info;
	int err = 0;

	for (uint32_t i = 0; !err && i < scan->count; i++) {
		chunk_info_decode(&scan->entries[i], &info);
		if (info.live && info.live_blocks && !is_full(l->live))
			err = add(l->live, scan->first + i);
	}
	return err ? -EAGAIN : 0;
}

static int read_table(struct load *l)
{
	struct chunk_table_config cfg = {
		.next_chunk = l->root.next_chunk, .ops = &table_ops, .ctx = l,
	};
	CLEANUP_FREE struct map_scan *scan = calloc(1, sizeof(*scan));
	int err = 0;

	l->table = chunk_table_new(&cfg, &l->root.chunk_table);
	if (!l->table || !scan)
		return -EAGAIN;
	scan->done = scanned;
	scan->ctx = l;
	do {
		err = scan_on(l, scan);
		if (!err)
			err = take_leaf(l, scan);
	} while (!err && scan->count && !is_full(l->live));
	return err;
}

/* ---- the log behind the root ------------------------------------------------------- */

static const struct sealed_chunk *find_sealed(const struct volume_doc *v,
					      uint64_t chunk)
{
	for (uint32_t i = 0; i < v->sealed_count; i++)
		if (v->sealed[i].chunk == chunk)
			return &v->sealed[i];
	return NULL;
}

/*
 * Up to the first chunk that may still be open. One before that which is not on
 * the sealed list was filled, and goes on in the next; where no tail is
 * declared, the log ends with the list.
 */
static int add_log(struct load *l)
{
	const struct volume_doc *v = l->v;
	bool open = v->tail.first <= v->tail.last;
	uint64_t end = open ? v->tail.first : v->next_chunk;
	uint64_t chunk = block_addr_chunk(l->root.log_next);
	int err = 0;

	while (!err && chunk && chunk < end && !is_full(l->live)) {
		const struct sealed_chunk *s = find_sealed(v, chunk);

		if (!s && !open)
			break;
		/* The table may have the first one. */
		if ((!s || s->length) && !is_last(l->live, chunk))
			err = add(l->live, chunk);
		if (s && s->next <= chunk)
			break;
		chunk = s ? s->next : chunk + 1;
	}
	return err ? -EAGAIN : 0;
}

static int load(struct load *l, const struct view *view,
		const struct survey *survey)
{
	const struct reader_config cfg = {
		.volume = l->v->id, .replication = l->v->replication,
		.io_timeout_ns = SURVEY_TIMEOUT_NS,
	};
	int err;

	l->header = record_new();
	l->reader = reader_new(l->ctl->env, l->cluster, &cfg);
	if (!l->header || !l->reader)
		return -EAGAIN;
	err = find_header(l, view, survey);
	if (!err)
		err = read_root(l);
	if (!err)
		err = read_table(l);
	return err ? err : add_log(l);
}

int live_chunks_read(struct ctl *ctl, struct cluster *cluster,
		     const struct view *view, const struct survey *survey,
		     const struct volume_doc *v, struct live_chunks *live)
{
	struct load l = { .ctl = ctl, .cluster = cluster, .v = v,
			  .live = live };
	int err = 0;

	/* Nothing but what is open was ever written. */
	if (v->root.addr)
		err = load(&l, view, survey);
	chunk_table_free(l.table);
	root_release(&l.root);
	reader_free(l.reader);
	free(l.payload);
	record_free(l.header);
	return err;
}
