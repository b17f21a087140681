// SPDX-License-Identifier: Apache-2.0
/*
 * One leaf after the other: its blocks are looked at when the tree has the
 * leaf or an overlay has an entry in it. Where the tree has nothing, the level
 * of the page that is absent says how far to step.
 */
#include <errno.h>

#include "base/cleanup.h"
#include "volume/map_page.h"
#include "volume/map_private.h"

static void scan_wake(struct map_walk *walk, int err);

static void scan_rewind(struct map_scan *scan)
{
	map_walk_end(&scan->walk);
	map_walk_start(&scan->walk, scan->map, scan_wake);
	scan->generation = scan->map->generation;
}

static uint64_t leaf_end(uint64_t block)
{
	return (block / MAP_FANOUT + 1) * MAP_FANOUT;
}

static uint64_t overlay_next(const struct map_overlay *overlay, uint64_t block)
{
	struct btree_cursor cursor;

	if (!btree_seek(&overlay->entries, block, &cursor))
		return UINT64_MAX;
	return cursor.key;
}

/* The next block that an overlay has an entry for. */
static uint64_t next_in_overlays(const struct map *map, uint64_t block)
{
	return MIN(overlay_next(&map->active, block),
		   overlay_next(&map->frozen, block));
}

/* The entries of the leaf that the walk has reached; whether any is present. */
static int read_leaf(struct map_scan *scan, struct map_fill *fill)
{
	struct map_entry entry = { 0 };
	const struct map_page *page = scan->walk.page;
	bool any = false;

	for (uint32_t i = 0; i < fill->count; i++) {
		if (page) {
			page_entry(page->data, (fill->first + i) % MAP_FANOUT,
				   &entry);
			if (lineage_add(&entry, page->load.entry.lineage))
				return -EUCLEAN;
		}
		fill_put(fill, i, &entry);
		any |= scan->entries[i].addr != 0;
	}
	return any;
}

/* Where to look next, when the walk has found out about scan->next. */
static uint64_t after_absent(const struct map_scan *scan)
{
	uint64_t span = level_span(scan->walk.level);
	uint64_t beyond = (scan->next / span + 1) * span;

	return MIN(beyond, next_in_overlays(scan->map, scan->next));
}

/* 1: entries are there; 0: go on from scan->next; or an error. */
static int scan_leaf(struct map_scan *scan)
{
	struct map *map = scan->map;
	struct map_fill fill;
	int ret;

	fill_init(&fill, scan->next, leaf_end(scan->next) - scan->next,
		  scan->entries);
	fill_from_overlay(&fill, &map->active);
	fill_from_overlay(&fill, &map->frozen);
	if (!fill_all_decided(&fill, 0, fill.count)) {
		ret = map_walk_to(&scan->walk, scan->next, 0);
		if (ret)
			return ret;
		if (!scan->walk.page &&
		    after_absent(scan) >= leaf_end(scan->next)) {
			scan->next = after_absent(scan);
			scan_rewind(scan);
			return 0;
		}
	}
	ret = read_leaf(scan, &fill);
	scan->first = fill.first;
	scan->count = ret > 0 ? fill.count : 0;
	scan->next = leaf_end(scan->next);
	scan_rewind(scan);
	return ret;
}

static int scan_advance(struct map_scan *scan)
{
	int ret = 0;

	if (scan->generation != scan->map->generation)
		scan_rewind(scan);
	while (!ret && scan->next < scan->map->blocks)
		ret = scan_leaf(scan);
	return ret > 0 ? 0 : ret;
}

static void scan_wake(struct map_walk *walk, int err)
{
	struct map_scan *scan = container_of(walk, struct map_scan, walk);

	if (!err || scan->generation != scan->map->generation)
		err = scan_advance(scan);
	if (err == -EINPROGRESS)
		return;
	map_walk_end(walk);
	scan->done(scan, err);
}

int map_scan(struct map *map, struct map_scan *scan)
{
	int ret;

	scan->map = map;
	scan->count = 0;
	scan->first = scan->next;
	map_walk_start(&scan->walk, map, scan_wake);
	scan->generation = map->generation;
	ret = scan_advance(scan);
	if (ret != -EINPROGRESS)
		map_walk_end(&scan->walk);
	return ret;
}

void map_scan_cancel(struct map_scan *scan)
{
	map_walk_end(&scan->walk);
}
