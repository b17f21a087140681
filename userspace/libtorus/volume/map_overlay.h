/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The changes of a map since its last checkpoint: entries of single blocks and
 * ranges that were cleared. An entry is always newer than a cleared range over
 * the same block: clearing takes the entries below it out.
 */
#ifndef TORUS_VOLUME_MAP_OVERLAY_H
#define TORUS_VOLUME_MAP_OVERLAY_H

#include "base/btree.h"
#include "volume/map.h"

struct map_overlay {
	struct btree entries;	/* block -> packed struct map_entry */
	struct btree cleared;	/* first block -> a = end; never touching */
};

/* Told of each entry that goes, unless it is only a change (DELTA). */
typedef void (*overlay_dropped_fn)(void *ctx, const struct map_entry *old);

void overlay_init(struct map_overlay *overlay, struct btree_pool *pool);
void overlay_release(struct map_overlay *overlay);

static inline uint64_t overlay_bytes(const struct map_overlay *overlay)
{
	return btree_bytes(&overlay->entries) + btree_bytes(&overlay->cleared);
}

static inline bool overlay_is_empty(const struct map_overlay *overlay)
{
	return !overlay->entries.entries && !overlay->cleared.entries;
}

/** overlay_set() - 0 or -ENOMEM. @dropped may be NULL. */
int overlay_set(struct map_overlay *overlay, uint64_t block,
		const struct map_entry *entry, overlay_dropped_fn dropped,
		void *ctx);

/** overlay_clear() - [first, end) reads as zeros; 0 or -ENOMEM. */
int overlay_clear(struct map_overlay *overlay, uint64_t first, uint64_t end,
		  overlay_dropped_fn dropped, void *ctx);

/** overlay_covers() - one cleared range covers all of [first, end). */
bool overlay_covers(const struct map_overlay *overlay, uint64_t first,
		    uint64_t end);

/**
 * overlay_merge() - apply all of @newer to @older.
 * Returns 0, and @newer is empty; or -ENOMEM, and @newer is whole, so that
 * @newer over @older still says the same.
 */
int overlay_merge(struct map_overlay *older, struct map_overlay *newer);

/*
 * Filling in the entries of a range from the newest layer to the oldest: a
 * block is decided by the first layer that knows it.
 */
struct map_fill {
	uint64_t first;
	uint32_t count;			/* at most RECORD_PAYLOAD_BLOCKS_MAX */
	struct map_entry *entries;
	uint64_t decided[RECORD_PAYLOAD_BLOCKS_MAX / 64];
};

void fill_init(struct map_fill *fill, uint64_t first, uint32_t count,
	       struct map_entry *entries);

static inline bool fill_decided(const struct map_fill *fill, uint32_t i)
{
	return fill->decided[i / 64] >> i % 64 & 1;
}

/** fill_all_decided() - of blocks [from, to) of the range. */
bool fill_all_decided(const struct map_fill *fill, uint32_t from, uint32_t to);

/** fill_put() - a layer says that block @i has @entry. */
void fill_put(struct map_fill *fill, uint32_t i, const struct map_entry *entry);

/** fill_from_overlay() - what @overlay knows of the undecided blocks. */
void fill_from_overlay(struct map_fill *fill,
		       const struct map_overlay *overlay);

struct map_entry map_entry_unpack(const struct btree_value *value);

/** entry_combine() - @newer over @older: @newer itself unless it is a DELTA.
 * DELTA over DELTA is a DELTA; DELTA over absent is absent. */
struct map_entry entry_combine(const struct map_entry *newer,
			       const struct map_entry *older);

#endif
