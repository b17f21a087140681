// SPDX-License-Identifier: Apache-2.0
/*
 * Choosing victims: a walk over the whole chunk table that keeps the emptiest
 * chunks. It also counts live blocks anew, of which the running total is only
 * an estimate.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/chunk_table.h"
#include "volume/internal.h"

/* It must be worth the trouble: at least so much of it is garbage. */
static bool worth_it(const struct volume *v, const struct chunk_info *info)
{
	uint32_t garbage = info->length - info->live_blocks;

	return (uint64_t)garbage * 200 >=
	       (uint64_t)info->length * cleaner_threshold(v);
}

/* Parts of the length, in 1/65536: what it costs to clean it. */
static uint32_t fullness(const struct clean_victim *victim)
{
	return (uint32_t)(((uint64_t)victim->live << 16) /
			  MAX(victim->length, 1u));
}

static void consider(struct volume *v, const struct clean_victim *new)
{
	struct cleaner *c = &v->cleaner;
	uint32_t at = c->victim_count;

	while (at > 0 && fullness(new) < fullness(&c->victims[at - 1]))
		at--;
	if (at == CLEANER_VICTIMS)
		return;
	c->victim_count = MIN(c->victim_count + 1, CLEANER_VICTIMS);
	memmove(c->victims + at + 1, c->victims + at,
		(c->victim_count - at - 1) * sizeof(c->victims[0]));
	c->victims[at] = *new;
}

static void look_at(struct volume *v, uint64_t chunk,
		    const struct map_entry *entry)
{
	struct clean_victim victim = { .chunk = chunk };
	struct chunk_info info;

	chunk_info_decode(entry, &info);
	if (!info.live)
		return;
	v->cleaner.sum_live += info.live_blocks;
	if (chunk >= v->checkpoint.horizon || active_find(v, chunk) != NULL ||
	    !worth_it(v, &info))
		return;
	victim.length = info.length;
	victim.live = info.live_blocks;
	consider(v, &victim);
}

static void take_counts(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	uint64_t live = c->sum_live + v->pages.live_blocks;

	live -= MIN(live, c->live_before);
	v->pages.live_blocks = MIN(live, v->pages.stored_blocks);
}

/* Returns -EINPROGRESS, or what picking ends with. */
static int walk_table(struct volume *v, int err)
{
	struct cleaner *c = &v->cleaner;
	uint32_t i;

	while (!err) {
		if (c->table->count == 0) {
			take_counts(v);
			return 0;
		}
		for (i = 0; i < c->table->count; i++)
			look_at(v, c->table->first + i, &c->table->entries[i]);
		err = map_scan(chunk_table_map(v->pages.table), c->table);
	}
	return err;
}

static void leaf_read(struct map_scan *scan, int err)
{
	struct volume *v = scan->ctx;

	err = walk_table(v, err);
	if (err == -EINPROGRESS)
		return;
	v->cleaner.busy = false;
	cleaner_picked(v, err);
}

void cleaner_pick(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	int err;

	memset(c->table, 0, sizeof(*c->table));
	c->table->done = leaf_read;
	c->table->ctx = v;
	c->victim_count = 0;
	c->sum_live = 0;
	c->live_before = v->pages.live_blocks;
	c->busy = true;
	err = walk_table(v, map_scan(chunk_table_map(v->pages.table),
				     c->table));
	if (err == -EINPROGRESS)
		return;
	c->busy = false;
	cleaner_picked(v, err);
}
