// SPDX-License-Identifier: Apache-2.0
/* A page's place is in its parent: the walk ends one level above. */
#include <errno.h>

#include "base/cleanup.h"
#include "volume/map_page.h"
#include "volume/map_private.h"

static void locate_wake(struct map_walk *walk, int err);

static void locate_start(struct map_locate *locate)
{
	map_walk_start(&locate->walk, locate->map, locate_wake);
	locate->generation = locate->map->generation;
}

static int from_parent(struct map_locate *locate)
{
	uint64_t block = locate->index * level_span(locate->level);
	struct map_walk *walk = &locate->walk;
	int ret = map_walk_to(walk, block, locate->level + 1);

	if (ret || !walk->page)
		return ret;
	page_entry(walk->page->data, locate->index % MAP_FANOUT,
		   &locate->entry);
	return lineage_add(&locate->entry, walk->page->load.entry.lineage);
}

static int locate_advance(struct map_locate *locate)
{
	struct map *map = locate->map;

	if (locate->generation != map->generation) {
		map_walk_end(&locate->walk);
		locate_start(locate);
	}
	locate->entry = (struct map_entry){ 0 };
	if (locate->level >= map->height)
		return 0;
	if (locate->level == map->height - 1) {
		if (locate->index == 0)
			locate->entry = map->root;
		return 0;
	}
	return from_parent(locate);
}

static void locate_wake(struct map_walk *walk, int err)
{
	struct map_locate *locate = container_of(walk, struct map_locate, walk);

	if (!err || locate->generation != locate->map->generation)
		err = locate_advance(locate);
	if (err == -EINPROGRESS)
		return;
	map_walk_end(walk);
	locate->done(locate, err);
}

int map_locate(struct map *map, struct map_locate *locate)
{
	int ret;

	locate->map = map;
	locate_start(locate);
	ret = locate_advance(locate);
	if (ret != -EINPROGRESS)
		map_walk_end(&locate->walk);
	return ret;
}

void map_locate_cancel(struct map_locate *locate)
{
	map_walk_end(&locate->walk);
}
