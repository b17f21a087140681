// SPDX-License-Identifier: Apache-2.0
/*
 * What must hold when everything is quiet, read from the stores' disks without
 * asking anybody:
 *
 *   tree     from the root that the metadata names down to every block: each
 *            has a copy whose CRC is what its parent says
 *   space    what a store says it uses is what its files hold
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "store/maintain.h"
#include "volume/map_page.h"
#include "volume/root.h"
#include "wire/record.h"
#include "world.h"

#define PATIENCE (60 * NSEC_PER_SEC)
#define LOOK_AGAIN (200 * NSEC_PER_MSEC)

/* The first sentence of a look is kept. */
static void problem(struct world *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void problem(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->problem[0])
		return;
	va_start(ap, fmt);
	vsnprintf(w->problem, sizeof(w->problem), fmt, ap);
	va_end(ap);
}

struct walk {
	struct tenant *t;
	uint32_t need;			/* good copies of each block */
	uint64_t pages, blocks;
};

/* Blocks of a chunk as one store has them; false: it has not. */
static bool peek(struct store_node *s, const struct tenant *t,
		 block_addr_t addr, uint32_t blocks, void *buf)
{
	size_t len = (size_t)blocks * BLOCK_SIZE;
	char path[64];

	if (s->gone)
		return false;
	inspect_chunk_path(t, block_addr_chunk(addr), path);
	return sim_disk_peek(s->node, path, (uint64_t)block_addr_block(addr) *
			     BLOCK_SIZE, buf, len, false) == (int64_t)len;
}

static bool find_block(struct walk *k, const struct map_entry *e,
		       const char *what, uint64_t index, uint8_t *out)
{
	uint8_t buf[BLOCK_SIZE];
	struct store_node *s;
	uint32_t good = 0;

	for_each_store(s, k->t->world)
		if (peek(s, k->t, e->addr, 1, buf) &&
		    crc32c(0, buf, BLOCK_SIZE) == e->crc && ++good == 1)
			memcpy(out, buf, BLOCK_SIZE);
	if (good < k->need)
		problem(k->t->world, "%s: %s %" PRIu64 " (block %u of chunk %"
			   PRIu64 ") has %u good copies, not %u", k->t->name, what, index, block_addr_block(e->addr),
			   block_addr_chunk(e->addr), good, k->need);
	return good >= k->need;
}

/* @level: 0 for a leaf; @data: what leaves point to is a block, too. */
static void walk_page(struct walk *k, const struct map_entry *e, uint32_t level,
		      uint64_t index, bool data)
{
	uint8_t page[BLOCK_SIZE], block[BLOCK_SIZE];
	struct map_entry child;
	unsigned int i;

	if (!find_block(k, e, data ? "map page" : "chunk table page", index, page))
		return;
	k->pages++;
	for (i = 0; i < MAP_FANOUT && !k->t->world->problem[0]; i++) {
		page_entry(page, i, &child);
		if (!child.addr || (!level && !data))
			continue;
		if (level) {
			walk_page(k, &child, level - 1, index * MAP_FANOUT + i,
				  data);
			continue;
		}
		find_block(k, &child, "block", index * MAP_FANOUT + i, block);
		k->blocks++;
	}
}

static void walk_tree(struct walk *k, const struct map_entry *top, bool data)
{
	if (top->addr)
		walk_page(k, top, top->flags - 1u, 0, data);
}

/* The payload of the root record of one store, if it is good. */
static bool read_root(struct store_node *s, struct tenant *t,
		      const struct root_ref *ref, struct root *root)
{
	static uint8_t head[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	static uint8_t payload[RECORD_PAYLOAD_BLOCKS_MAX * BLOCK_SIZE];
	struct record *r = t->world->record;
	uint32_t blocks = RECORD_HEADER_BLOCKS_MAX;

	while (blocks && !peek(s, t, ref->addr, blocks, head))
		blocks--;
	if (!blocks || record_decode(head, (size_t)blocks * BLOCK_SIZE, r) ||
	    r->crc != ref->crc || r->volume != t->id)
		return false;
	return peek(s, t, ref->addr + r->header_blocks, r->payload_blocks,
		    payload) &&
	       !record_check_payload(r, payload) &&
	       !root_decode(payload, (size_t)r->payload_blocks * BLOCK_SIZE,
			    root);
}

static void audit_tree(struct tenant *t)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct walk k = { .t = t, .need = 1 };
	struct store_node *s;
	struct root root;
	bool found = false;

	if (!doc)
		abort();
	world_volume_doc(t, doc);
	for_each_store(s, t->world)
		if (!found && doc->root.addr)
			found = read_root(s, t, &doc->root, &root);
	if (doc->root.addr && !found)
		problem(t->world, "nobody has the root of %s, at block %u of "
			   "chunk %" PRIu64, t->name,
			   block_addr_block(doc->root.addr),
			   block_addr_chunk(doc->root.addr));
	if (found) {
		if (root.volume != t->id || root.sequence != doc->root.sequence)
			problem(t->world, "the root of %s is another's",
				   t->name);
		walk_tree(&k, &root.map, true);
		walk_tree(&k, &root.chunk_table, false);
		root_release(&root);
		t->world->stats.audited += k.pages + k.blocks;
	}
	free(doc);
}

/*
 * What is used is what the files take. Of a chunk that is not sealed nobody
 * knows how much of its file is holes, a bad one counts as long as it was, and
 * files may end within a page.
 */
static void audit_space(struct store_node *s)
{
	uint64_t bytes = sim_disk_bytes(s->node, "journal"), unsure = BLOCK_SIZE;
	uint64_t size, takes, need;
	struct store_copy copy = { 0 };
	struct store_stats stats;
	char path[64];

	if (!s->serving)
		return;
	while (store_copy_next(s->store, copy.volume, copy.chunk, &copy)) {
		snprintf(path, sizeof(path), "chunks/%016" PRIx64 "/%012" PRIx64,
			 copy.volume, copy.chunk);
		takes = sim_disk_bytes(s->node, path);
		size = sim_disk_size(s->node, path);
		bytes += takes;
		need = (uint64_t)copy.length * BLOCK_SIZE;
		if (copy.state == WIRE_COPY_BAD)
			unsure += (uint64_t)s->world->chunk_blocks * BLOCK_SIZE;
		else if (copy.state != WIRE_COPY_SEALED)
			unsure += MAX(size, need);
		else if (takes < need || takes - need > BLOCK_SIZE)
			problem(s->world, "the copy of chunk %" PRIu64
				   " of volume %" PRIu64 " on %s has %u blocks, "
				   "but takes %" PRIu64 " bytes",
				   copy.chunk, copy.volume,
				   sim_node_name(s->node), copy.length, takes);
	}
	store_stats(s->store, &stats);
	if (stats.used > bytes + unsure || bytes > stats.used + unsure)
		problem(s->world, "%s says that it uses %" PRIu64
			   " bytes, but its files take %" PRIu64,
			   sim_node_name(s->node), stats.used, bytes);
	if (sim_disk_bytes(s->node, "chunks") + sim_disk_bytes(s->node, "journal")
	    != bytes)
		problem(s->world, "%s has files that it does not know of",
			   sim_node_name(s->node));
}

static void look(struct world *w)
{
	struct store_node *s;
	struct tenant *t;

	w->problem[0] = '\0';
	w->stats.audited = 0;
	for_each_tenant(t, w)
		audit_tree(t);
	for_each_store(s, w)
		audit_space(s);
}

/* Deletes and copies under way come to their end first. */
void audit(struct world *w, const char *when)
{
	uint64_t end = sim_now(w->sim) + PATIENCE;

	look(w);
	while (w->problem[0] && sim_now(w->sim) < end && !w->failed) {
		sim_run(w->sim, LOOK_AGAIN);
		look(w);
	}
	if (w->problem[0])
		world_fail(w, "%s: %s", when, w->problem);
}
