/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map: volume block -> (chunk, block, CRC32C), as a tree of 4 KiB pages in
 * the log, an overlay of the changes since the last checkpoint, and a bounded
 * cache of clean pages. The chunk table is a second tree of the same form.
 *
 * The map does no I/O: its owner reads pages (through map_owner_ops) and
 * writes the pages that a checkpoint produces.
 *
 * Levels: 0 = leaf (256 entries of 4 KiB blocks = 1 MiB) up to 4 (4 PiB). The
 * tree's height follows from the volume's size; growing adds a level on top.
 */
#ifndef TORUS_VOLUME_MAP_H
#define TORUS_VOLUME_MAP_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "wire/record.h"

#define MAP_FANOUT	256u
#define MAP_LEVELS_MAX	5
#define MAP_BLOCKS_MAX	(1ull << 8 * MAP_LEVELS_MAX)

struct disk_map_entry {
	__le32 crc;
	__le16 block;
	__le16 lineage;
	__le32 chunk_low;		/* bits 0-31 */
	__le16 chunk_high;		/* bits 32-47 */
	__le16 flags;
};
static_assert(sizeof(struct disk_map_entry) == 16, "on-disk size");

/*
 * addr 0 = absent: reads as zeros (chunk 0 is never used). Flags are 0 on
 * disk, but for the top entry of a tree: there they are its height.
 */
struct map_entry {
	block_addr_t addr;
	uint32_t crc;
	uint16_t lineage;
	uint16_t flags;
};

/*
 * In an overlay only, never on disk: addr and crc are changes of those fields
 * of whatever entry lies below (the chunk table's length and live blocks).
 */
#define MAP_ENTRY_DELTA	(1u << 15)

struct map;
struct map_page;

/* One page that the map wants; owned by the map until map_page_loaded(). */
struct map_page_load {
	struct map_entry entry;		/* where it lies and its CRC */
	uint8_t *page;			/* BLOCK_SIZE bytes to fill */
	struct map *map;
	struct list_head node;		/* for the owner's use while loading */
	void *owner_priv;
};

struct map_owner_ops {
	/*
	 * Read one page; verify its CRC; answer with map_page_loaded(), never
	 * from inside the call.
	 */
	void (*load_page)(void *ctx, struct map_page_load *load);
	/*
	 * May be NULL. @old is referred to no more: an entry that a newer one
	 * replaced (@folding false: at once, in the overlay; true: while the
	 * running checkpoint builds a page, so it counts if that checkpoint is
	 * committed and comes again if it is aborted), or the old version of
	 * a page (folding). What lies in a subtree that a clear took out is
	 * reported, too: with dropped() set, a checkpoint reads such pages.
	 * Where one cannot be read what is below it is not reported: sums of
	 * this are estimates.
	 */
	void (*dropped)(void *ctx, const struct map_entry *old, bool folding);
};

struct map_config {
	uint64_t blocks;		/* volume size in blocks */
	uint64_t overlay_limit;		/* bytes: map_wants_checkpoint() above;
					 * 0 = 64 MiB */
	uint64_t cache_limit;		/* bytes of clean pages; 0 = 256 MiB */
	const struct map_owner_ops *ops;
	void *ctx;
};

/** map_height() - levels of a tree that covers @blocks blocks: 1 to 5. */
unsigned int map_height(uint64_t blocks);

/**
 * map_new() - @root: the tree's top entry as a checkpoint gave it (addr 0 =
 * empty tree): its flags say how many levels the tree has.
 * NULL: out of memory, more than MAP_BLOCKS_MAX blocks, or an impossible root.
 */
struct map *map_new(const struct map_config *cfg, const struct map_entry *root);

/** map_free() - no done() is called; the owner has forgotten the loads that
 * are under way. Not from inside a callback of the map. */
void map_free(struct map *map);

/**
 * map_page_loaded() - @err 0, or the reason why the page cannot be had.
 * The lookups that waited for it go on, and their done() may come, from inside.
 */
void map_page_loaded(struct map_page_load *load, int err);

/* Private: a way down the tree, at rest or waiting for a page. */
struct map_walk {
	struct list_head node;
	void (*wake)(struct map_walk *walk, int err);
	struct map *map;
	struct map_page *page;		/* deepest page reached, pinned */
	unsigned int level;		/* of that page, or of what is absent */
	bool waiting, finished;
};

/* A lookup that may have to wait for pages. Memory is the caller's. */
struct map_lookup {
	uint64_t first;			/* volume block */
	uint32_t count;			/* at most RECORD_PAYLOAD_BLOCKS_MAX */
	struct map_entry *entries;	/* count of them: the result */
	void (*done)(struct map_lookup *lookup, int err);
	void *ctx;
	struct list_head node;		/* for the caller's use while pending */
	struct map *map;		/* private from here on */
	uint64_t generation;
	struct map_walk walk[2];	/* one per leaf */
};

/**
 * map_lookup() - resolve blocks through overlay and tree.
 * Returns 0: entries are filled in and done() is not called; -EINPROGRESS:
 * done() will be, with the state as of that moment; -ENOMEM; -EUCLEAN: a page
 * says what cannot be. Blocks beyond the volume's end are absent.
 */
int map_lookup(struct map *map, struct map_lookup *lookup);

/** map_lookup_cancel() - done() of a pending lookup will not be called. */
void map_lookup_cancel(struct map_lookup *lookup);

/**
 * map_reserve() - make sure that map_set() and map_clear() calls for
 * @extents ranges with @blocks blocks of data in all will not fail, however
 * much other callers have reserved. Call it before a record is sent, and
 * map_unreserve() with the same numbers when its extents are in the map.
 * 0 or -ENOMEM.
 */
int map_reserve(struct map *map, uint32_t extents, uint32_t blocks);
void map_unreserve(struct map *map, uint32_t extents, uint32_t blocks);

/**
 * map_set() - block @first + i now lies at @addr + i with @crc[i]. Overrides
 * whatever was there, costs no page load.
 * Returns 0; -ENOMEM, see map_reserve(); -ERANGE: beyond the volume's end.
 */
int map_set(struct map *map, uint64_t first, uint32_t count,
	    block_addr_t addr, const uint32_t *crc);

/** map_clear() - @count blocks from @first read as zeros from now on; cheap
 * for ranges of any size. 0, -ENOMEM or -ERANGE, as map_set(). */
int map_clear(struct map *map, uint64_t first, uint64_t count);

/** map_set_entry() - one block, with an entry of the caller's making (its addr
 * is not 0). 0 or -ENOMEM. */
int map_set_entry(struct map *map, uint64_t block,
		  const struct map_entry *entry);

/** map_adjust() - add to the addr and crc fields of @block's entry, if it has
 * one by the time that is looked at; costs no page load. 0 or -ENOMEM. */
int map_adjust(struct map *map, uint64_t block, uint64_t addr_delta,
	       int32_t crc_delta);

/**
 * map_adjust_folding() - as map_adjust(), on behalf of what a checkpoint of
 * another map folds. If a checkpoint of this one has begun, but no page of it
 * was asked for yet, the change is part of that.
 */
int map_adjust_folding(struct map *map, uint64_t block, int32_t crc_delta);

/** map_overlay_peek() - the overlay's own entry of a block, for relocation checks
 * in replay: true and *@entry if the overlay decides this block. */
bool map_overlay_peek(const struct map *map, uint64_t block,
		      struct map_entry *entry);

uint64_t map_overlay_bytes(const struct map *map);
bool map_wants_checkpoint(const struct map *map);

/** map_grow() - the volume has @blocks blocks now (never fewer). */
int map_grow(struct map *map, uint64_t blocks);

/* ---- iteration -------------------------------------------------------- */

/* For the cleaner, export and the like. Memory is the caller's. */
struct map_scan {
	uint64_t next;			/* in: look from here on; out: go on
					 * from here */
	uint64_t first;			/* out: entries[0] is of this block */
	uint32_t count;			/* out: 0 = there is nothing more */
	struct map_entry entries[MAP_FANOUT];	/* out; some may be absent */
	void (*done)(struct map_scan *scan, int err);
	void *ctx;
	struct map *map;		/* private from here on */
	uint64_t generation;
	struct map_walk walk;
};

/**
 * map_scan() - the next blocks that are not absent, of one leaf. Subtrees that
 * do not exist are stepped over. Return values as map_lookup(); what changes
 * while a scan goes from call to call may or may not be seen.
 */
int map_scan(struct map *map, struct map_scan *scan);
void map_scan_cancel(struct map_scan *scan);

/* ---- where pages lie --------------------------------------------------- */

/* Memory is the caller's. */
struct map_locate {
	unsigned int level;		/* in */
	uint64_t index;			/* in: page number within its level */
	struct map_entry entry;		/* out: addr 0 = there is no such page */
	void (*done)(struct map_locate *locate, int err);
	void *ctx;
	struct map *map;		/* private from here on */
	uint64_t generation;
	struct map_walk walk;
};

/**
 * map_locate() - where a page of the last committed tree lies. Return values
 * as map_lookup().
 */
int map_locate(struct map *map, struct map_locate *locate);
void map_locate_cancel(struct map_locate *locate);

/**
 * map_rewrite() - the next checkpoint that begins writes this page anew, if it
 * exists, so that it leaves the place where it is. Lasts until such a
 * checkpoint is committed. 0 or -ENOMEM.
 */
int map_rewrite(struct map *map, unsigned int level, uint64_t index);

/* ---- checkpoint ------------------------------------------------------- */

/*
 * map_checkpoint_begin() freezes the overlay: changes from now on go to a
 * fresh one. Pages then come out bottom-up: every page of level n is placed
 * before the first one of level n + 1 appears. The owner keeps several in
 * flight.
 */
struct map_dirty_page {
	unsigned int level;
	uint64_t index;			/* page number within its level */
	uint8_t *page;			/* BLOCK_SIZE bytes, stable until placed */
	struct list_head node;		/* for the owner's use */
	void *owner_priv;
};

/** map_checkpoint_begin() - 0, -EBUSY (one is running), -ENOMEM. */
int map_checkpoint_begin(struct map *map);

/**
 * map_checkpoint_next() - the next page to write.
 * Returns 0 and *@page; -EAGAIN: nothing at this moment, @ready will be called
 * once from the loop of a page load or from map_checkpoint_placed(); -ENODATA:
 * all pages are placed, *@root is the new top entry (flags: the height, also
 * when addr is 0); another error: the
 * checkpoint cannot go on (a page cannot be loaded): call _abort().
 */
int map_checkpoint_next(struct map *map, struct map_dirty_page **page,
			struct map_entry *root,
			void (*ready)(void *ctx), void *ready_ctx);

/** map_checkpoint_placed() - the page is in the log at @addr; frees it. */
void map_checkpoint_placed(struct map *map, struct map_dirty_page *page,
			   block_addr_t addr, uint32_t crc);

/** map_checkpoint_commit() - the root is published: use the new tree, drop
 * the frozen overlay. */
void map_checkpoint_commit(struct map *map, const struct map_entry *root);

/** map_checkpoint_abort() - merge the frozen overlay back under the newer
 * one; pages handed out must not be used any more. */
void map_checkpoint_abort(struct map *map);

struct map_stats {
	uint64_t overlay_entries, overlay_bytes, cache_pages;
	uint64_t cache_hits, cache_misses, pages_written;
};
void map_stats(const struct map *map, struct map_stats *stats);

#endif
