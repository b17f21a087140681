/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the map share. */
#ifndef TORUS_VOLUME_MAP_PRIVATE_H
#define TORUS_VOLUME_MAP_PRIVATE_H

#include "base/btree.h"
#include "volume/map.h"
#include "volume/map_cache.h"
#include "volume/map_overlay.h"

struct map_checkpoint;

struct map {
	struct map_config cfg;
	uint64_t blocks;
	struct btree_pool pool;

	/* Newest first: active, then frozen, then the tree. */
	struct map_overlay active;
	/*
	 * What the running checkpoint folds into the tree; after one that was
	 * aborted, what could not be merged with the active overlay for want
	 * of memory. Else empty.
	 */
	struct map_overlay frozen;

	struct map_entry root;		/* of the last committed tree */
	unsigned int height;
	uint64_t generation;		/* grows when the tree is replaced */

	/* Pages to be written anew: level << 56 | index. */
	struct btree rewrite, rewrite_left;
	struct btree_pool rewrite_pool;

	struct map_cache cache;
	struct map_checkpoint *checkpoint;	/* NULL: none is running */
	uint64_t pages_written;
};

/** page_key() - a page in map->rewrite. */
static inline uint64_t page_key(unsigned int level, uint64_t index)
{
	return (uint64_t)level << 56 | index;
}

/** level_span() - blocks below one page of @level. */
static inline uint64_t level_span(unsigned int level)
{
	return 1ull << 8 * (level + 1);
}

/** map_walk_start() - prepare @walk; wake() is called after -EINPROGRESS. */
void map_walk_start(struct map_walk *walk, struct map *map,
		    void (*wake)(struct map_walk *walk, int err));

/**
 * map_walk_to() - go on down the tree to the page of @level that holds
 * @block. Call again with the same arguments after wake(0).
 * Returns 0: walk->page is that page, pinned, or NULL where the tree has none,
 * and then walk->level is the level of the page that is absent;
 * -EINPROGRESS; or an error, after which the walk is at rest.
 */
int map_walk_to(struct map_walk *walk, uint64_t block, unsigned int level);

/** map_walk_end() - stop waiting, unpin; harmless when repeated. */
void map_walk_end(struct map_walk *walk);

#endif
