// SPDX-License-Identifier: Apache-2.0
/*
 * The map answers from three layers, newest first:
 *
 *   active overlay    changes since the running or last checkpoint began
 *   frozen overlay    changes that the running checkpoint folds into pages
 *   tree              pages in the log, through the cache
 *
 * Changes touch only the active overlay, so they need no page. A lookup whose
 * blocks are not all decided by the overlays walks down to the one or two
 * leaves it spans. It keeps both walks until both have arrived, and only then
 * reads all layers again, so the answer is the state of one moment. When a
 * checkpoint is committed meanwhile, what it held of the old tree is stale
 * (the overlay that covered it is gone): the generation has grown, and the
 * lookup begins anew.
 */
#include "volume/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/map_checkpoint.h"
#include "volume/map_page.h"
#include "volume/map_private.h"

#define OVERLAY_LIMIT_DEFAULT	(64ull << 20)
#define CACHE_LIMIT_DEFAULT	(256ull << 20)

unsigned int map_height(uint64_t blocks)
{
	unsigned int height = 1;

	while (height < MAP_LEVELS_MAX && level_span(height - 1) < blocks)
		height++;
	return height;
}

struct map *map_new(const struct map_config *cfg, const struct map_entry *root)
{
	struct map *map;

	if (cfg->blocks > MAP_BLOCKS_MAX || root->flags > MAP_LEVELS_MAX)
		return NULL;
	map = calloc(1, sizeof(*map));
	if (!map)
		return NULL;
	map->cfg = *cfg;
	if (!map->cfg.overlay_limit)
		map->cfg.overlay_limit = OVERLAY_LIMIT_DEFAULT;
	if (!map->cfg.cache_limit)
		map->cfg.cache_limit = CACHE_LIMIT_DEFAULT;
	if (cache_init(&map->cache, map->cfg.cache_limit)) {
		free(map);
		return NULL;
	}
	map->blocks = cfg->blocks;
	map->height = root->flags ? root->flags : map_height(cfg->blocks);
	map->root = *root;
	overlay_init(&map->active, &map->pool);
	overlay_init(&map->frozen, &map->pool);
	btree_init(&map->rewrite, &map->rewrite_pool);
	btree_init(&map->rewrite_left, &map->rewrite_pool);
	return map;
}

void map_free(struct map *map)
{
	if (!map)
		return;
	map_checkpoint_free(map);
	overlay_release(&map->active);
	overlay_release(&map->frozen);
	btree_pool_release(&map->pool);
	btree_release(&map->rewrite);
	btree_release(&map->rewrite_left);
	btree_pool_release(&map->rewrite_pool);
	cache_release(&map->cache);
	free(map);
}

int map_grow(struct map *map, uint64_t blocks)
{
	assert(blocks >= map->blocks);
	if (blocks > MAP_BLOCKS_MAX)
		return -EFBIG;
	map->blocks = blocks;
	return 0;
}

/* ---- lookup ----------------------------------------------------------- */

static uint64_t leaf_index(uint64_t block)
{
	return block / MAP_FANOUT;
}

static unsigned int lookup_leaves(const struct map_lookup *lookup)
{
	return 1 + leaf_index(lookup->first + lookup->count - 1) -
	       leaf_index(lookup->first);
}

/* Blocks of the lookup that lie in its leaf @n, as indices [from, to). */
static void leaf_part(const struct map_lookup *lookup, unsigned int n,
		      uint32_t *from, uint32_t *to)
{
	uint64_t split = (leaf_index(lookup->first) + 1) * MAP_FANOUT -
			 lookup->first;

	*from = n ? split : 0;
	*to = n || split > lookup->count ? lookup->count : split;
}

static void lookup_start(struct map_lookup *lookup);

static void lookup_release(struct map_lookup *lookup)
{
	map_walk_end(&lookup->walk[0]);
	map_walk_end(&lookup->walk[1]);
}

/* Let the walks of all leaves that are needed go on as far as they can. */
static int lookup_walk(struct map_lookup *lookup, const struct map_fill *fill)
{
	bool waiting = false;
	uint32_t from, to;
	int ret;

	for (unsigned int n = 0; n < lookup_leaves(lookup); n++) {
		struct map_walk *walk = &lookup->walk[n];

		leaf_part(lookup, n, &from, &to);
		if (walk->waiting) {
			waiting = true;
			continue;
		}
		if (fill_all_decided(fill, from, to))
			continue;
		ret = map_walk_to(walk, lookup->first + from, 0);
		if (ret && ret != -EINPROGRESS)
			return ret;
		waiting |= ret == -EINPROGRESS;
	}
	return waiting ? -EINPROGRESS : 0;
}

static int fill_from_leaf(struct map_fill *fill, const struct map_walk *walk,
			  uint32_t from, uint32_t to)
{
	struct map_entry entry = { 0 };
	int ret;

	for (uint32_t i = from; i < to; i++) {
		if (fill_decided(fill, i))
			continue;
		if (walk->page) {
			page_entry(walk->page->data,
				   (fill->first + i) % MAP_FANOUT, &entry);
			ret = lineage_add(&entry,
					  walk->page->load.entry.lineage);
			if (ret)
				return ret;
		}
		fill_put(fill, i, &entry);
	}
	return 0;
}

/* 0 and filled in, -EINPROGRESS, or an error. */
static int lookup_advance(struct map_lookup *lookup)
{
	struct map *map = lookup->map;
	struct map_fill fill;
	uint32_t from, to;
	int ret;

	if (lookup->generation != map->generation) {
		lookup_release(lookup);
		lookup_start(lookup);
	}
	fill_init(&fill, lookup->first, lookup->count, lookup->entries);
	fill_from_overlay(&fill, &map->active);
	fill_from_overlay(&fill, &map->frozen);
	ret = lookup_walk(lookup, &fill);
	for (unsigned int n = 0; !ret && n < lookup_leaves(lookup); n++) {
		leaf_part(lookup, n, &from, &to);
		ret = fill_from_leaf(&fill, &lookup->walk[n], from, to);
	}
	return ret;
}

/* A page of a tree that was replaced meanwhile need not exist any more. */
static void lookup_wake(struct map_lookup *lookup, int err)
{
	if (!err || lookup->generation != lookup->map->generation)
		err = lookup_advance(lookup);
	if (err == -EINPROGRESS)
		return;
	lookup_release(lookup);
	lookup->done(lookup, err);
}

static void wake_first(struct map_walk *walk, int err)
{
	lookup_wake(container_of(walk, struct map_lookup, walk[0]), err);
}

static void wake_second(struct map_walk *walk, int err)
{
	lookup_wake(container_of(walk, struct map_lookup, walk[1]), err);
}

static void lookup_start(struct map_lookup *lookup)
{
	lookup->generation = lookup->map->generation;
	map_walk_start(&lookup->walk[0], lookup->map, wake_first);
	map_walk_start(&lookup->walk[1], lookup->map, wake_second);
}

int map_lookup(struct map *map, struct map_lookup *lookup)
{
	int ret;

	assert(lookup->count && lookup->count <= RECORD_PAYLOAD_BLOCKS_MAX);
	if (lookup->first >= MAP_BLOCKS_MAX)
		return -ERANGE;
	lookup->map = map;
	lookup_start(lookup);
	ret = lookup_advance(lookup);
	if (ret != -EINPROGRESS)
		lookup_release(lookup);
	return ret;
}

void map_lookup_cancel(struct map_lookup *lookup)
{
	lookup_release(lookup);
}

bool map_overlay_peek(const struct map *map, uint64_t block,
		      struct map_entry *entry)
{
	struct map_fill fill;

	fill_init(&fill, block, 1, entry);
	fill_from_overlay(&fill, &map->active);
	fill_from_overlay(&fill, &map->frozen);
	return fill_decided(&fill, 0);
}

/* ---- changes ---------------------------------------------------------- */

/*
 * A range puts at most 1 + blocks / (ORDER / 2) new leaves into an overlay. A
 * leaf that splits may split its parent; the levels above have too few nodes
 * (one per 4096 leaves) for more than the constant.
 */
static size_t nodes_needed(uint32_t extents, uint32_t blocks)
{
	return 8 + extents * 3 + blocks / (BTREE_ORDER / 2);
}

int map_reserve(struct map *map, uint32_t extents, uint32_t blocks)
{
	return btree_pool_reserve(&map->pool, nodes_needed(extents, blocks));
}

void map_unreserve(struct map *map, uint32_t extents, uint32_t blocks)
{
	btree_pool_unreserve(&map->pool, nodes_needed(extents, blocks));
}

static void dropped(void *ctx, const struct map_entry *old)
{
	struct map *map = ctx;

	if (map->cfg.ops->dropped)
		map->cfg.ops->dropped(map->cfg.ctx, old, false);
}

int map_set_entry(struct map *map, uint64_t block,
		  const struct map_entry *entry)
{
	if (block >= map->blocks)
		return -ERANGE;
	return overlay_set(&map->active, block, entry, dropped, map);
}

int map_adjust(struct map *map, uint64_t block, uint64_t addr_delta,
	       int32_t crc_delta)
{
	struct map_entry entry = {
		.addr = addr_delta, .crc = crc_delta, .flags = MAP_ENTRY_DELTA,
	};

	return map_set_entry(map, block, &entry);
}

int map_set(struct map *map, uint64_t first, uint32_t count,
	    block_addr_t addr, const uint32_t *crc)
{
	for (uint32_t i = 0; i < count; i++) {
		struct map_entry entry = { .addr = addr + i, .crc = crc[i] };
		int ret = map_set_entry(map, first + i, &entry);

		if (ret)
			return ret;
	}
	return 0;
}

int map_clear(struct map *map, uint64_t first, uint64_t count)
{
	uint64_t end = first + count;

	if (end <= first || end > map->blocks)
		return -ERANGE;
	/* What lies beyond the volume's end is absent anyway, and so the
	 * clear can take out whole pages there. */
	if (end == map->blocks)
		end = MAP_BLOCKS_MAX;
	return overlay_clear(&map->active, first, end, dropped, map);
}

uint64_t map_overlay_bytes(const struct map *map)
{
	return overlay_bytes(&map->active) + overlay_bytes(&map->frozen);
}

bool map_wants_checkpoint(const struct map *map)
{
	return !map->checkpoint &&
	       map_overlay_bytes(map) > map->cfg.overlay_limit;
}

void map_stats(const struct map *map, struct map_stats *stats)
{
	*stats = (struct map_stats){
		.overlay_entries = map->active.entries.entries +
				   map->active.cleared.entries +
				   map->frozen.entries.entries +
				   map->frozen.cleared.entries,
		.overlay_bytes = map_overlay_bytes(map),
		.cache_pages = map->cache.pages,
		.cache_hits = map->cache.hits,
		.cache_misses = map->cache.misses,
		.pages_written = map->pages_written,
	};
}
