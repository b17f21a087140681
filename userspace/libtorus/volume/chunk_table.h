/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk table: which chunks of a volume are live, how long they are, and
 * an estimate of how many of their blocks something still refers to. A map
 * (volume/map.h) from chunk number to
 *
 *   addr   chunk 1 (so that it is not 0 = dead), block = length in blocks
 *   crc    live blocks, signed: an estimate may go astray by a little
 *
 * so it is paged, cached and checkpointed by the same code: the owner drives
 * map_checkpoint_*(chunk_table_map(table)) between the three functions below.
 */
#ifndef TORUS_VOLUME_CHUNK_TABLE_H
#define TORUS_VOLUME_CHUNK_TABLE_H

#include "volume/map.h"
#include "volume/root.h"

struct chunk_table;

struct chunk_table_config {
	uint64_t next_chunk;		/* lowest number never declared */
	uint64_t overlay_limit;		/* bytes; 0 = 8 MiB */
	uint64_t cache_limit;		/* bytes; 0 = 8 MiB */
	const struct map_owner_ops *ops;
	void *ctx;
};

struct chunk_info {
	bool live;			/* is in the table */
	uint32_t length;		/* blocks */
	uint32_t live_blocks;		/* at most length; an estimate */
};

/** chunk_table_new() - @root: top entry of its tree. NULL: as map_new(). */
struct chunk_table *chunk_table_new(const struct chunk_table_config *cfg,
				    const struct map_entry *root);
void chunk_table_free(struct chunk_table *table);

/** chunk_table_map() - the tree below: for map_page_loaded(), map_lookup()
 * (decode with chunk_info_decode()), map_scan() and map_checkpoint_next(). */
struct map *chunk_table_map(struct chunk_table *table);

void chunk_info_decode(const struct map_entry *entry, struct chunk_info *info);

/**
 * chunk_table_append() - a record lies at [@block, @block + @blocks) of
 * @chunk now, of which @live blocks are referred to by the map.
 * The record at block 0 puts the chunk into the table. Grows the table where
 * @chunk is beyond its end. 0, -ENOMEM or -ERANGE (no such chunk number).
 */
int chunk_table_append(struct chunk_table *table, uint64_t chunk,
		       uint32_t block, uint32_t blocks, uint32_t live);

/** chunk_table_adjust() - @delta more (or fewer) blocks of @chunk are live.
 * No effect on chunks that are not in the table. 0 or -ENOMEM. */
int chunk_table_adjust(struct chunk_table *table, uint64_t chunk,
		       int32_t delta);

/** chunk_table_adjust_folding() - as chunk_table_adjust(), for what the map's
 * checkpoint drops: it is part of the same root, where that is possible. */
int chunk_table_adjust_folding(struct chunk_table *table, uint64_t chunk,
			       int32_t delta);

/**
 * chunk_table_drop() - the chunk is dead: out of the table, and on the list of
 * the next root. 0, -ENOMEM, or -EAGAIN: the list is full, a checkpoint must
 * come first.
 */
int chunk_table_drop(struct chunk_table *table, uint64_t chunk);

/* ---- checkpoint ------------------------------------------------------- */

/** chunk_table_checkpoint_begin() - as map_checkpoint_begin(). Chunks dropped
 * from now on are for the next root. */
int chunk_table_checkpoint_begin(struct chunk_table *table);

/** chunk_table_freed() - what the root that is being made must list: sorted,
 * good until commit or abort. Returns how many. */
uint32_t chunk_table_freed(const struct chunk_table *table,
			   const uint64_t **freed);

void chunk_table_checkpoint_commit(struct chunk_table *table,
				   const struct map_entry *root);
void chunk_table_checkpoint_abort(struct chunk_table *table);

#endif
