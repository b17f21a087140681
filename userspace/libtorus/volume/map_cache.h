/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clean pages of a map by their place in the log, so that old and new versions
 * of a page exist side by side. Bounded: the page used longest ago and pinned
 * by nobody makes way.
 */
#ifndef TORUS_VOLUME_MAP_CACHE_H
#define TORUS_VOLUME_MAP_CACHE_H

#include "base/hash.h"
#include "volume/map.h"

struct map_page {
	struct map_page_load load;	/* load.entry: lineage seen from the
					 * volume, CRC */
	struct hash_node hash;
	struct list_head lru;		/* while clean and not pinned */
	struct list_head waiters;	/* of struct map_walk, while loading */
	unsigned int pins;
	bool loading, cached;
	uint8_t data[BLOCK_SIZE] __attribute__((aligned(16)));
};

struct map_cache {
	struct hash_table table;
	struct list_head lru;		/* longest ago first */
	size_t pages, pages_max;	/* in the table */
	uint64_t hits, misses;
};

int cache_init(struct map_cache *cache, uint64_t limit);

/** cache_release() - free every page, pinned and loading ones too. */
void cache_release(struct map_cache *cache);

/** page_new() - a zeroed page that is not in the cache. NULL: no memory. */
struct map_page *page_new(void);

/** cache_adopt() - a page that was just written, and is the caller's, becomes
 * a clean one (or is freed, when the cache is full and @keep is not set). */
void cache_adopt(struct map_cache *cache, struct map_page *page,
		 const struct map_entry *entry, bool keep);

#endif
