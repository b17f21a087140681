// SPDX-License-Identifier: Apache-2.0
/*
 * The table is a map. A record that continues a chunk is a change (DELTA) of
 * the chunk's entry, as is a block that dies, so that neither needs the
 * entry's page: changes meet it when a checkpoint folds them in.
 *
 * Chunks that were dropped wait in `freed` for the root that lists them. The
 * first `taken` of them belong to the checkpoint that is running.
 */
#include "volume/chunk_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define TABLE_LIMIT_DEFAULT	(8ull << 20)
#define GROW_BY			4096u
/* The chunk part of a live entry's addr: any number but 0 (dead). */
#define LIVE			block_addr(1, 0)

struct chunk_table {
	struct map *map;
	uint64_t chunks;		/* numbers that the map has room for */
	uint64_t *freed;		/* ROOT_FREED_MAX of them */
	uint32_t freed_count, taken;
};

struct chunk_table *chunk_table_new(const struct chunk_table_config *cfg,
				    const struct map_entry *root)
{
	struct map_config map_cfg = {
		.blocks = cfg->next_chunk + GROW_BY,
		.overlay_limit = cfg->overlay_limit ? cfg->overlay_limit :
				 TABLE_LIMIT_DEFAULT,
		.cache_limit = cfg->cache_limit ? cfg->cache_limit :
			       TABLE_LIMIT_DEFAULT,
		.ops = cfg->ops,
		.ctx = cfg->ctx,
	};
	struct chunk_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->chunks = map_cfg.blocks;
	table->freed = malloc(ROOT_FREED_MAX * sizeof(*table->freed));
	table->map = map_new(&map_cfg, root);
	if (table->freed && table->map)
		return table;
	chunk_table_free(table);
	return NULL;
}

void chunk_table_free(struct chunk_table *table)
{
	if (!table)
		return;
	map_free(table->map);
	free(table->freed);
	free(table);
}

struct map *chunk_table_map(struct chunk_table *table)
{
	return table->map;
}

void chunk_info_decode(const struct map_entry *entry, struct chunk_info *info)
{
	int32_t live = entry->crc;

	*info = (struct chunk_info){ .live = entry->addr != 0 };
	if (!info->live)
		return;
	info->length = block_addr_block(entry->addr);
	info->live_blocks = live < 0 ? 0 : MIN((uint32_t)live, info->length);
}

/* Make room for @chunk. */
static int reach(struct chunk_table *table, uint64_t chunk)
{
	int ret;

	if (!chunk || chunk > CHUNK_NUMBER_MAX)
		return -ERANGE;
	if (chunk < table->chunks)
		return 0;
	ret = map_grow(table->map, chunk + GROW_BY);
	if (ret)
		return -ERANGE;
	table->chunks = chunk + GROW_BY;
	return 0;
}

/* Say all about a chunk at once. */
static int set(struct chunk_table *table, uint64_t chunk, uint32_t length,
	       uint32_t live)
{
	struct map_entry entry = { .addr = LIVE + length, .crc = live };
	int ret = reach(table, chunk);

	assert(length <= CHUNK_BLOCKS_MAX);
	return ret ? ret : map_set_entry(table->map, chunk, &entry);
}

int chunk_table_append(struct chunk_table *table, uint64_t chunk,
		       uint32_t block, uint32_t blocks, uint32_t live)
{
	int ret;

	if (!block)
		return set(table, chunk, blocks, live);
	ret = reach(table, chunk);
	return ret ? ret : map_adjust(table->map, chunk, blocks, live);
}

int chunk_table_adjust(struct chunk_table *table, uint64_t chunk,
		       int32_t delta)
{
	if (!chunk || chunk >= table->chunks)
		return 0;
	return map_adjust(table->map, chunk, 0, delta);
}

int chunk_table_adjust_folding(struct chunk_table *table, uint64_t chunk,
			       int32_t delta)
{
	if (!chunk || chunk >= table->chunks)
		return 0;
	return map_adjust_folding(table->map, chunk, delta);
}

int chunk_table_drop(struct chunk_table *table, uint64_t chunk)
{
	int ret;

	if (!chunk || chunk >= table->chunks)
		return -ERANGE;
	if (table->freed_count == ROOT_FREED_MAX)
		return -EAGAIN;
	ret = map_clear(table->map, chunk, 1);
	if (ret)
		return ret;
	table->freed[table->freed_count++] = chunk;
	return 0;
}

static int compare_chunks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int chunk_table_checkpoint_begin(struct chunk_table *table)
{
	int ret = map_checkpoint_begin(table->map);

	if (ret)
		return ret;
	table->taken = table->freed_count;
	qsort(table->freed, table->taken, sizeof(*table->freed),
	      compare_chunks);
	return 0;
}

uint32_t chunk_table_freed(const struct chunk_table *table,
			   const uint64_t **freed)
{
	*freed = table->freed;
	return table->taken;
}

void chunk_table_checkpoint_commit(struct chunk_table *table,
				   const struct map_entry *root)
{
	map_checkpoint_commit(table->map, root);
	table->freed_count -= table->taken;
	memmove(table->freed, table->freed + table->taken,
		table->freed_count * sizeof(*table->freed));
	table->taken = 0;
}

void chunk_table_checkpoint_abort(struct chunk_table *table)
{
	map_checkpoint_abort(table->map);
	table->taken = 0;
}
