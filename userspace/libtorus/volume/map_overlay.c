// SPDX-License-Identifier: Apache-2.0
#include "volume/map_overlay.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"

static struct btree_value map_entry_pack(const struct map_entry *entry)
{
	return (struct btree_value){
		.a = entry->addr,
		.b = entry->crc | (uint64_t)entry->lineage << 32 |
		     (uint64_t)entry->flags << 48,
	};
}

struct map_entry map_entry_unpack(const struct btree_value *value)
{
	return (struct map_entry){
		.addr = value->a,
		.crc = value->b,
		.lineage = value->b >> 32,
		.flags = value->b >> 48,
	};
}

struct map_entry entry_combine(const struct map_entry *newer,
			       const struct map_entry *older)
{
	struct map_entry sum = *older;

	if (!(newer->flags & MAP_ENTRY_DELTA))
		return *newer;
	if (older->addr || older->flags & MAP_ENTRY_DELTA) {
		sum.addr += newer->addr;
		sum.crc += newer->crc;
	}
	return sum;
}

void overlay_init(struct map_overlay *overlay, struct btree_pool *pool)
{
	btree_init(&overlay->entries, pool);
	btree_init(&overlay->cleared, pool);
}

void overlay_release(struct map_overlay *overlay)
{
	btree_release(&overlay->entries);
	btree_release(&overlay->cleared);
}

bool overlay_covers(const struct map_overlay *overlay, uint64_t first,
		    uint64_t end)
{
	struct btree_cursor cursor;

	return btree_floor(&overlay->cleared, first, &cursor) &&
	       cursor.value.a >= end;
}

static int set_delta(struct map_overlay *overlay, uint64_t block,
		     const struct map_entry *delta)
{
	struct btree_value *present = btree_find(&overlay->entries, block);
	struct btree_value value = map_entry_pack(delta);
	struct map_entry older, sum;

	if (present) {
		older = map_entry_unpack(present);
		sum = entry_combine(delta, &older);
		*present = map_entry_pack(&sum);
		return 0;
	}
	if (overlay_covers(overlay, block, block + 1))
		return 0;
	return MIN(btree_insert(&overlay->entries, block, &value, NULL), 0);
}

static void tell(overlay_dropped_fn dropped, void *ctx,
		 const struct btree_value *value)
{
	struct map_entry old = map_entry_unpack(value);

	if (dropped && !(old.flags & MAP_ENTRY_DELTA))
		dropped(ctx, &old);
}

int overlay_set(struct map_overlay *overlay, uint64_t block,
		const struct map_entry *entry, overlay_dropped_fn dropped,
		void *ctx)
{
	struct btree_value value = map_entry_pack(entry), old;
	int ret;

	if (entry->flags & MAP_ENTRY_DELTA)
		return set_delta(overlay, block, entry);
	assert(entry->addr);
	ret = btree_insert(&overlay->entries, block, &value, &old);
	if (ret > 0)
		tell(dropped, ctx, &old);
	return MIN(ret, 0);
}

static void drop_entries(struct map_overlay *overlay, uint64_t first,
			 uint64_t end, overlay_dropped_fn dropped, void *ctx)
{
	struct btree_cursor cursor;
	bool more = dropped && btree_seek(&overlay->entries, first, &cursor);

	while (more && cursor.key < end) {
		tell(dropped, ctx, &cursor.value);
		more = btree_next(&cursor);
	}
	btree_erase(&overlay->entries, first, end - 1);
}

int overlay_clear(struct map_overlay *overlay, uint64_t first, uint64_t end,
		  overlay_dropped_fn dropped, void *ctx)
{
	struct btree_value range = { .a = end };
	struct btree_cursor cursor;
	uint64_t start = first;
	int ret;

	if (btree_floor(&overlay->cleared, first, &cursor) &&
	    cursor.value.a >= first) {
		start = cursor.key;
		range.a = MAX(range.a, cursor.value.a);
	}
	if (btree_floor(&overlay->cleared, end, &cursor))
		range.a = MAX(range.a, cursor.value.a);
	ret = btree_insert(&overlay->cleared, start, &range, NULL);
	if (ret < 0)
		return ret;
	btree_erase(&overlay->cleared, start + 1, range.a);
	drop_entries(overlay, first, end, dropped, ctx);
	return 0;
}

static int merge_cleared(struct map_overlay *older,
			 const struct map_overlay *newer)
{
	struct btree_cursor cursor;
	bool more = btree_seek(&newer->cleared, 0, &cursor);
	int ret;

	while (more) {
		ret = overlay_clear(older, cursor.key, cursor.value.a, NULL,
				    NULL);
		if (ret)
			return ret;
		more = btree_next(&cursor);
	}
	return 0;
}

/*
 * A change that was applied below must not be applied again if the merge
 * cannot be finished now; all else may be.
 */
static void defuse_delta(struct map_overlay *newer, uint64_t block)
{
	static const struct map_entry nothing = { .flags = MAP_ENTRY_DELTA };

	*btree_find(&newer->entries, block) = map_entry_pack(&nothing);
}

static int merge_entries(struct map_overlay *older, struct map_overlay *newer)
{
	struct btree_cursor cursor;
	bool more = btree_seek(&newer->entries, 0, &cursor);
	struct map_entry entry;
	int ret;

	while (more) {
		entry = map_entry_unpack(&cursor.value);
		ret = overlay_set(older, cursor.key, &entry, NULL, NULL);
		if (ret)
			return ret;
		if (entry.flags & MAP_ENTRY_DELTA)
			defuse_delta(newer, cursor.key);
		more = btree_next(&cursor);
	}
	return 0;
}

int overlay_merge(struct map_overlay *older, struct map_overlay *newer)
{
	int ret = merge_cleared(older, newer);

	if (!ret)
		ret = merge_entries(older, newer);
	if (!ret)
		overlay_release(newer);
	return ret;
}

void fill_init(struct map_fill *fill, uint64_t first, uint32_t count,
	       struct map_entry *entries)
{
	assert(count && count <= RECORD_PAYLOAD_BLOCKS_MAX);
	*fill = (struct map_fill){
		.first = first, .count = count, .entries = entries,
	};
	/* Nothing is known yet: a change of nothing. */
	for (uint32_t i = 0; i < count; i++)
		entries[i] = (struct map_entry){ .flags = MAP_ENTRY_DELTA };
}

bool fill_all_decided(const struct map_fill *fill, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (!fill_decided(fill, i))
			return false;
	return true;
}

void fill_put(struct map_fill *fill, uint32_t i, const struct map_entry *entry)
{
	struct map_entry *e = &fill->entries[i];

	if (fill_decided(fill, i))
		return;
	*e = entry_combine(e, entry);
	if (!(e->flags & MAP_ENTRY_DELTA))
		fill->decided[i / 64] |= 1ull << i % 64;
}

static void fill_from_cleared(struct map_fill *fill,
			      const struct map_overlay *overlay)
{
	static const struct map_entry absent;
	uint64_t end = fill->first + fill->count;
	struct btree_cursor cursor;
	bool more = btree_floor(&overlay->cleared, fill->first, &cursor) ||
		    btree_seek(&overlay->cleared, fill->first, &cursor);

	while (more && cursor.key < end) {
		uint64_t from = MAX(cursor.key, fill->first);
		uint64_t to = MIN(cursor.value.a, end);

		for (uint64_t block = from; block < to; block++)
			fill_put(fill, block - fill->first, &absent);
		more = btree_next(&cursor);
	}
}

void fill_from_overlay(struct map_fill *fill, const struct map_overlay *overlay)
{
	uint64_t end = fill->first + fill->count;
	struct btree_cursor cursor;
	bool more = btree_seek(&overlay->entries, fill->first, &cursor);
	struct map_entry entry;

	while (more && cursor.key < end) {
		entry = map_entry_unpack(&cursor.value);
		fill_put(fill, cursor.key - fill->first, &entry);
		more = btree_next(&cursor);
	}
	fill_from_cleared(fill, overlay);
}
