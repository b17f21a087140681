// SPDX-License-Identifier: Apache-2.0
/*
 * Pages are blocks of the log like any other, so the reader loads them: any
 * replica will do, and the CRC in the parent decides. At most PAGES_LOADS_MAX
 * are read at a time; the map bounds how many it asks for.
 */
#include "volume/pages.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "volume/chunk_table.h"
#include "volume/internal.h"

struct page_load {
	struct list_head node;		/* free_loads, or none */
	struct volume *volume;
	struct map_page_load *load;
	struct block_read read;
};

static void load_next(struct volume *v);

static void load_done(struct block_read *read, int err)
{
	struct page_load *pl = container_of(read, struct page_load, read);
	struct volume *v = pl->volume;
	struct map_page_load *load = pl->load;

	list_add_tail(&pl->node, &v->pages.free_loads);
	map_page_loaded(load, err);
	load_next(v);
	volume_kick(v);
}

static void load_next(struct volume *v)
{
	struct pages *p = &v->pages;
	struct page_load *pl;

	while (!list_empty(&p->queue) && !list_empty(&p->free_loads)) {
		pl = list_first_entry(&p->free_loads, struct page_load, node);
		list_del_init(&pl->node);
		pl->load = list_first_entry(&p->queue, struct map_page_load,
					    node);
		list_del_init(&pl->load->node);
		pl->read = (struct block_read){
			.entries = &pl->load->entry, .count = 1,
			.buffer = pl->load->page, .done = load_done,
		};
		reader_read(v->reader, &pl->read);
	}
}

static void load_page(void *ctx, struct map_page_load *load)
{
	struct volume *v = ctx;

	list_add_tail(&load->node, &v->pages.queue);
	load_next(v);
}

/* A block of ours that nothing in the head refers to any more. */
static void dropped(void *ctx, const struct map_entry *old, bool folding)
{
	struct volume *v = ctx;
	uint64_t chunk = block_addr_chunk(old->addr);
	int err;

	if (old->lineage != 0 || v->pages.table == NULL)
		return;
	if (folding)
		err = chunk_table_adjust_folding(v->pages.table, chunk, -1);
	else
		err = chunk_table_adjust(v->pages.table, chunk, -1);
	/* Only an estimate: it may stay one block too high. */
	if (err)
		return;
	v->pages.live_blocks -= v->pages.live_blocks > 0;
	if (folding)
		checkpoint_dropped(v);
}

/* The table's own pages are not counted as live. */
static const struct map_owner_ops map_ops = {
	.load_page = load_page,
	.dropped = dropped,
};

static const struct map_owner_ops table_ops = {
	.load_page = load_page,
};

static int open_loads(struct volume *v)
{
	struct pages *p = &v->pages;
	unsigned int i;

	list_init(&p->queue);
	list_init(&p->free_loads);
	p->loads = calloc(PAGES_LOADS_MAX, sizeof(*p->loads));
	if (p->loads == NULL)
		return -ENOMEM;
	for (i = 0; i < PAGES_LOADS_MAX; i++) {
		p->loads[i].volume = v;
		list_add_tail(&p->loads[i].node, &p->free_loads);
	}
	return 0;
}

int pages_open(struct volume *v, const struct map_entry *map_root,
	       const struct map_entry *table_root)
{
	const struct map_config map = {
		.blocks = v->doc.size >> BLOCK_SHIFT,
		.overlay_limit = v->cfg.overlay_bytes,
		.cache_limit = v->cfg.map_cache_bytes,
		.ops = &map_ops, .ctx = v,
	};
	const struct chunk_table_config table = {
		.next_chunk = v->doc.next_chunk,
		.ops = &table_ops, .ctx = v,
	};
	struct pages *p = &v->pages;

	pages_release(v);
	if (open_loads(v))
		return -ENOMEM;
	p->map = map_new(&map, map_root);
	p->table = chunk_table_new(&table, table_root);
	if (p->map != NULL && p->table != NULL)
		return 0;
	pages_release(v);
	return -ENOMEM;
}

void pages_set_totals(struct volume *v, uint64_t stored, uint64_t live)
{
	v->pages.stored_blocks = stored;
	v->pages.live_blocks = live;
}

/* The reader has forgotten its reads by now, or never had any. */
void pages_release(struct volume *v)
{
	struct pages *p = &v->pages;

	if (p->map != NULL)
		map_free(p->map);
	if (p->table != NULL)
		chunk_table_free(p->table);
	free(p->loads);
	p->map = NULL;
	p->table = NULL;
	p->loads = NULL;
}

int pages_reserve(struct volume *v, const struct record *r)
{
	return map_reserve(v->pages.map, r->extent_count, r->payload_blocks);
}

void pages_unreserve(struct volume *v, const struct record *r)
{
	map_unreserve(v->pages.map, r->extent_count, r->payload_blocks);
}

/*
 * Blocks that were moved out of a chunk. Whoever moved them has looked them up
 * after the newest checkpoint before this record had begun (cleaner.c): so a
 * block that no overlay knows is where it was then, at the source.
 */
static int apply_relocation(struct volume *v, const struct extent *e,
			    block_addr_t to, const uint32_t *crc,
			    uint32_t *live)
{
	struct map_entry now;
	uint32_t i;
	int err;

	for (i = 0; i < e->count; i++) {
		if (map_overlay_peek(v->pages.map, e->first + i, &now) &&
		    (now.addr != e->source + i || now.lineage != 0))
			continue;
		err = map_set(v->pages.map, e->first + i, 1, to + i, &crc[i]);
		if (err)
			return err;
		++*live;
	}
	return 0;
}

/* @live: blocks of the record that something refers to now. Roots and the
 * pages of the chunk table are so few that they do not count. */
static int apply_extents(struct volume *v, const struct record *r,
			 uint32_t *live)
{
	uint32_t block = r->block + r->header_blocks, index = 0, i;
	const struct extent *e;
	int err = 0;

	for (i = 0; i < r->extent_count && !err; i++) {
		e = &r->extents[i];
		if (e->kind == EXTENT_DATA)
			err = map_set(v->pages.map, e->first, e->count,
				      block_addr(r->chunk, block),
				      &r->payload_crc[index]);
		else if (e->kind == EXTENT_ZERO)
			err = map_clear(v->pages.map, e->first, e->count);
		else if (e->kind == EXTENT_RELOCATION)
			err = apply_relocation(v, e,
					       block_addr(r->chunk, block),
					       &r->payload_crc[index], live);
		if (e->kind == EXTENT_DATA || e->kind == EXTENT_MAP_PAGE)
			*live += e->count;
		if (extent_has_payload(e->kind)) {
			block += e->count;
			index += e->count;
		}
	}
	return err;
}

bool pages_changed_by(const struct record *r)
{
	uint32_t i;

	for (i = 0; i < r->extent_count; i++)
		if (r->extents[i].kind == EXTENT_DATA ||
		    r->extents[i].kind == EXTENT_ZERO ||
		    r->extents[i].kind == EXTENT_RELOCATION)
			return true;
	return false;
}

void pages_forget(struct volume *v, uint64_t chunk, uint32_t blocks)
{
	/* At worst the chunk stays in the table, until it is cleaned. */
	if (blocks == 0 || chunk_table_drop(v->pages.table, chunk))
		return;
	v->pages.stored_blocks -= MIN(blocks, v->pages.stored_blocks);
	v->pages.live_blocks = MIN(v->pages.live_blocks,
				   v->pages.stored_blocks);
}

int pages_apply(struct volume *v, const struct record *r)
{
	uint32_t live = 0;
	int err = apply_extents(v, r, &live);

	if (err)
		return err;
	v->pages.stored_blocks += record_blocks(r);
	v->pages.live_blocks += live;
	return chunk_table_append(v->pages.table, r->chunk, r->block,
				  record_blocks(r), live);
}
