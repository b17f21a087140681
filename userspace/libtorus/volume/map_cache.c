// SPDX-License-Identifier: Apache-2.0
/*
 * A page is in one of these states:
 *
 *   loading          in the table, not on the LRU list; walks wait on it
 *   clean, pinned    in the table, not on the LRU list
 *   clean            in the table and on the LRU list: may be evicted
 *   failed           its load failed: out of the table, freed with its last pin
 *   new              of page_new(): nothing of this file's
 *
 * A walk pins the deepest page it has reached, also while that page loads, so
 * that a small cache under many walks cannot take away what a walk has just
 * waited for: every load brings its walk one level down.
 *
 * The pages that are pinned or loading may exceed the limit: two per pending
 * lookup and one per page that a checkpoint is building.
 */
#include "volume/map_cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "volume/map_page.h"
#include "volume/map_private.h"

#define CACHE_PAGES_MIN	16u

int cache_init(struct map_cache *cache, uint64_t limit)
{
	list_init(&cache->lru);
	cache->pages_max = MAX(limit / sizeof(struct map_page),
			       CACHE_PAGES_MIN);
	return hash_init(&cache->table, CACHE_PAGES_MIN);
}

static void forget(struct map_cache *cache, struct map_page *page)
{
	hash_remove(&cache->table, &page->hash);
	list_del_init(&page->lru);
	page->cached = false;
	cache->pages--;
}

void cache_release(struct map_cache *cache)
{
	struct hash_node *node = hash_walk(&cache->table, NULL);

	while (node) {
		struct map_page *page = container_of(node, struct map_page,
						     hash);

		node = hash_walk(&cache->table, node);
		free(page);
	}
	hash_release(&cache->table);
}

struct map_page *page_new(void)
{
	struct map_page *page = calloc(1, sizeof(*page));

	if (!page)
		return NULL;
	list_init(&page->lru);
	list_init(&page->waiters);
	list_init(&page->load.node);
	return page;
}

static uint64_t entry_hash(const struct map_entry *entry)
{
	return hash_u64_pair(entry->addr, entry->lineage);
}

static void insert(struct map_cache *cache, struct map_page *page,
		   const struct map_entry *entry)
{
	page->load.entry = *entry;
	page->load.entry.flags = 0;
	page->cached = true;
	hash_insert(&cache->table, &page->hash, entry_hash(entry));
	cache->pages++;
}

static struct map_page *find(const struct map_cache *cache,
			     const struct map_entry *entry)
{
	struct hash_node *node = hash_first(&cache->table, entry_hash(entry));

	for (; node; node = hash_next(node)) {
		struct map_page *page = container_of(node, struct map_page,
						     hash);

		if (page->load.entry.addr == entry->addr &&
		    page->load.entry.lineage == entry->lineage &&
		    page->load.entry.crc == entry->crc)
			return page;
	}
	return NULL;
}

static void shrink(struct map_cache *cache, size_t pages)
{
	while (cache->pages > pages && !list_empty(&cache->lru)) {
		struct map_page *page = list_first_entry(&cache->lru,
							 struct map_page, lru);

		forget(cache, page);
		free(page);
	}
}

/* The page that @entry names, pinned. Where page->loading is set its content is
 * on its way. NULL: out of memory. */
static struct map_page *cache_get(struct map *map, const struct map_entry *entry)
{
	struct map_cache *cache = &map->cache;
	struct map_page *page = find(cache, entry);

	if (page) {
		cache->hits++;
		page->pins++;
		list_del_init(&page->lru);
		return page;
	}
	shrink(cache, cache->pages_max - 1);
	page = page_new();
	if (!page)
		return NULL;
	cache->misses++;
	insert(cache, page, entry);
	page->pins = 1;
	page->loading = true;
	page->load.page = page->data;
	page->load.map = map;
	map->cfg.ops->load_page(map->cfg.ctx, &page->load);
	return page;
}

/* Undo one cache_get(). */
static void cache_unpin(struct map_cache *cache, struct map_page *page)
{
	assert(page->pins);
	if (--page->pins || page->loading)
		return;
	if (!page->cached) {
		free(page);
		return;
	}
	list_add_tail(&page->lru, &cache->lru);
	shrink(cache, cache->pages_max);
}

void cache_adopt(struct map_cache *cache, struct map_page *page,
		 const struct map_entry *entry, bool keep)
{
	if (find(cache, entry) || (!keep && cache->pages >= cache->pages_max)) {
		free(page);
		return;
	}
	insert(cache, page, entry);
	page->pins = 1;
	cache_unpin(cache, page);
}

void map_page_loaded(struct map_page_load *load, int err)
{
	struct map_page *page = container_of(load, struct map_page, load);
	struct map_cache *cache = &load->map->cache;

	assert(page->loading);
	if (!err && crc32c(0, page->data, BLOCK_SIZE) != load->entry.crc)
		err = -EIO;
	page->loading = false;
	page->pins++;
	if (err)
		forget(cache, page);
	while (!list_empty(&page->waiters)) {
		struct map_walk *walk = list_first_entry(&page->waiters,
							 struct map_walk, node);

		list_del_init(&walk->node);
		walk->waiting = false;
		walk->wake(walk, err);
	}
	cache_unpin(cache, page);
}

void map_walk_start(struct map_walk *walk, struct map *map,
		    void (*wake)(struct map_walk *walk, int err))
{
	*walk = (struct map_walk){
		.wake = wake, .map = map, .level = map->height,
	};
	list_init(&walk->node);
}

static void leave_page(struct map_walk *walk)
{
	if (walk->page)
		cache_unpin(&walk->map->cache, walk->page);
	walk->page = NULL;
}

void map_walk_end(struct map_walk *walk)
{
	if (walk->waiting)
		list_del_init(&walk->node);
	walk->waiting = false;
	leave_page(walk);
	walk->finished = false;
}

/* The entry by which the walk goes on from where it is. */
static int next_entry(struct map_walk *walk, uint64_t block,
		      struct map_entry *entry)
{
	static const struct map_entry absent;
	struct map *map = walk->map;

	if (!walk->page) {
		*entry = block < level_span(map->height - 1) ? map->root :
			 absent;
		return 0;
	}
	page_entry(walk->page->data,
		   block / level_span(walk->level - 1) % MAP_FANOUT, entry);
	return lineage_add(entry, walk->page->load.entry.lineage);
}

/* Step to the child; false: there is none, or it is not loaded yet. */
static int descend(struct map_walk *walk, uint64_t block)
{
	struct map_entry entry;
	struct map_page *page;
	int ret = next_entry(walk, block, &entry);

	if (ret)
		return ret;
	walk->level--;
	if (!entry.addr) {
		leave_page(walk);
		walk->finished = true;
		return 0;
	}
	page = cache_get(walk->map, &entry);
	if (!page)
		return -ENOMEM;
	leave_page(walk);
	walk->page = page;
	if (!page->loading)
		return 0;
	walk->waiting = true;
	list_add_tail(&walk->node, &page->waiters);
	return -EINPROGRESS;
}

int map_walk_to(struct map_walk *walk, uint64_t block, unsigned int level)
{
	int ret;

	while (!walk->finished && (!walk->page || walk->level > level)) {
		ret = descend(walk, block);
		if (ret == -EINPROGRESS)
			return ret;
		if (ret) {
			map_walk_end(walk);
			return ret;
		}
	}
	walk->finished = true;
	return 0;
}
