// SPDX-License-Identifier: Apache-2.0
/*
 * Folding the frozen overlay into pages, one level after the other, each from
 * left to right, with a bounded number of pages in memory.
 *
 * A page of level n is dirty when
 *   - an entry of the overlay lies below it (n = 0), or a page of level n - 1
 *     below it was written or became empty (the results of that level);
 *   - a cleared range covers some of its children, but not all of it. A range
 *     therefore makes at most two pages per level dirty: pages that it covers
 *     wholly go with an entry of their parent;
 *   - the owner wants it written anew (map_rewrite()).
 *
 * Pages that a range covers wholly are read nevertheless, if the owner is to be
 * told what is dropped: a job that only visits. Where there is nothing, the
 * level of the page that is absent says how far to step.
 *
 * Each dirty page is a job:
 *
 *   walking    on its way down the old tree to the old version
 *   ready      the old version is pinned (or there is none); jobs become pages
 *              in order, so the others queue behind the first
 *   out        handed to the owner, who says where it was placed
 *   (gone)     placed, found empty (its result is an absent entry) or found
 *              unchanged (no result)
 *
 * JOBS_QUEUED bounds what is loaded ahead, PAGES_OUT what is handed out. The
 * results of the current level and of the one below cost 24 bytes per page
 * written. The old tree stays as it is until the commit, and lookups go on
 * using it below the frozen overlay.
 *
 * Where the volume has outgrown the tree, the old root becomes entry 0 of a
 * page on the level above it.
 */
#include "volume/map_checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/map_page.h"
#include "volume/map_private.h"
#include "volume/map_results.h"

#define JOBS_QUEUED	64u
#define PAGES_OUT	512u

struct job {
	struct list_head node;		/* in queued or out */
	struct map_checkpoint *checkpoint;
	struct map_walk walk;
	uint64_t index;
	uint64_t first_result;		/* of the level below */
	uint32_t result_count;
	bool old_is_dropped;		/* a clear covers the whole old version */
	bool old_is_root;		/* the page above the old root */
	bool visit;			/* nothing but telling what goes */
	bool rewrite;			/* though nothing in it changes */
	int err;
	struct map_page *page;		/* when out */
	struct page_result *result;	/* when out */
	struct map_dirty_page dirty;
};

struct map_checkpoint {
	struct map *map;
	unsigned int height, level;
	uint64_t next_index;		/* lower ones of the level are done */
	uint64_t next_range;		/* dirty by a range: none below this.. */
	bool next_range_known;
	uint64_t next_covered;		/* to be visited: none below this.. */
	bool next_covered_known;
	uint64_t covered_from;		/* the old tree has none up to this */
	uint64_t next_result;		/* of below */
	struct btree rewrite;
	bool started;			/* a page was asked for */
	struct results below, results;
	struct list_head queued, out;
	unsigned int queued_count, out_count;
	int err;			/* it cannot go on */
	void (*ready)(void *ctx);
	void *ready_ctx;
};

/* What a checkpoint that was aborted should have written anew. */
static int merge_rewrite(struct map *map)
{
	struct btree_cursor cursor;
	bool more = btree_seek(&map->rewrite_left, 0, &cursor);

	for (; more; more = btree_next(&cursor))
		if (btree_insert(&map->rewrite, cursor.key, &cursor.value,
				 NULL) < 0)
			return -ENOMEM;
	btree_release(&map->rewrite_left);
	return 0;
}

int map_checkpoint_begin(struct map *map)
{
	struct map_checkpoint *checkpoint;
	struct map_overlay empty;

	if (map->checkpoint)
		return -EBUSY;
	if (merge_rewrite(map))
		return -ENOMEM;
	/* Left behind by a checkpoint that was aborted. */
	if (!overlay_is_empty(&map->frozen)) {
		if (overlay_merge(&map->frozen, &map->active))
			return -ENOMEM;
	} else {
		empty = map->frozen;
		map->frozen = map->active;
		map->active = empty;
	}
	checkpoint = calloc(1, sizeof(*checkpoint));
	if (!checkpoint)
		return -ENOMEM;
	checkpoint->map = map;
	checkpoint->height = MAX(map->height, map_height(map->blocks));
	list_init(&checkpoint->queued);
	list_init(&checkpoint->out);
	checkpoint->rewrite = map->rewrite;
	btree_init(&map->rewrite, &map->rewrite_pool);
	map->checkpoint = checkpoint;
	return 0;
}

int map_rewrite(struct map *map, unsigned int level, uint64_t index)
{
	static const struct btree_value nothing;

	return MIN(btree_insert(&map->rewrite, page_key(level, index), &nothing,
				NULL), 0);
}

int map_adjust_folding(struct map *map, uint64_t block, int32_t crc_delta)
{
	struct map_entry entry = {
		.crc = crc_delta, .flags = MAP_ENTRY_DELTA,
	};

	if (!map->checkpoint || map->checkpoint->started)
		return map_adjust(map, block, 0, crc_delta);
	if (block >= map->blocks)
		return -ERANGE;
	return overlay_set(&map->frozen, block, &entry, NULL, NULL);
}

static void call_ready(struct map_checkpoint *checkpoint)
{
	void (*ready)(void *ctx) = checkpoint->ready;

	checkpoint->ready = NULL;
	if (ready)
		ready(checkpoint->ready_ctx);
}

/* ---- which pages are dirty -------------------------------------------- */

/* Children of level @level that [start, end) covers wholly: [*from, *to). */
static bool covered_children(const struct map_checkpoint *checkpoint,
			     uint64_t start, uint64_t end,
			     uint64_t *from, uint64_t *to)
{
	unsigned int shift = 8 * checkpoint->level;
	uint64_t limit = level_span(checkpoint->height - 1);

	end = MIN(end, limit);
	*from = (start + (1ull << shift) - 1) >> shift;
	*to = end >> shift;
	return *from < *to;
}

/* Whether page @index is dirty by its covered children [from, to). */
static bool range_dirties(const struct map_checkpoint *checkpoint,
			  uint64_t index, uint64_t from, uint64_t to)
{
	uint64_t first = index * MAP_FANOUT;

	if (index < checkpoint->next_index)
		return false;
	return checkpoint->level == checkpoint->height - 1 ||
	       from > first || to < first + MAP_FANOUT;
}

static uint64_t find_range_dirty(struct map_checkpoint *checkpoint)
{
	const struct btree *cleared = &checkpoint->map->frozen.cleared;
	uint64_t block = checkpoint->next_index *
			 level_span(checkpoint->level);
	struct btree_cursor cursor;
	uint64_t from, to;
	bool more = btree_floor(cleared, block, &cursor) ||
		    btree_seek(cleared, block, &cursor);

	for (; more; more = btree_next(&cursor)) {
		if (!covered_children(checkpoint, cursor.key, cursor.value.a,
				      &from, &to))
			continue;
		if (range_dirties(checkpoint, from / MAP_FANOUT, from, to))
			return from / MAP_FANOUT;
		if (range_dirties(checkpoint, (to - 1) / MAP_FANOUT, from, to))
			return (to - 1) / MAP_FANOUT;
	}
	return UINT64_MAX;
}

static uint64_t next_by_range(struct map_checkpoint *checkpoint)
{
	if (!checkpoint->next_range_known ||
	    checkpoint->next_range < checkpoint->next_index) {
		checkpoint->next_range = find_range_dirty(checkpoint);
		checkpoint->next_range_known = true;
	}
	return checkpoint->next_range;
}

static uint64_t next_by_content(const struct map_checkpoint *checkpoint)
{
	const struct btree *entries = &checkpoint->map->frozen.entries;
	struct btree_cursor cursor;

	if (checkpoint->level) {
		if (checkpoint->next_result == checkpoint->below.count)
			return UINT64_MAX;
		return results_get(&checkpoint->below,
				   checkpoint->next_result)->index / MAP_FANOUT;
	}
	if (!btree_seek(entries, checkpoint->next_index * MAP_FANOUT, &cursor))
		return UINT64_MAX;
	return cursor.key / MAP_FANOUT;
}

static bool is_above_old_root(const struct map_checkpoint *checkpoint,
			      uint64_t index)
{
	return index == 0 && checkpoint->level == checkpoint->map->height &&
	       checkpoint->map->root.addr;
}

static uint64_t next_to_rewrite(const struct map_checkpoint *checkpoint)
{
	uint64_t first = page_key(checkpoint->level, checkpoint->next_index);
	struct btree_cursor cursor;

	if (!btree_seek(&checkpoint->rewrite, first, &cursor) ||
	    cursor.key >= page_key(checkpoint->level + 1, 0))
		return UINT64_MAX;
	return cursor.key - page_key(checkpoint->level, 0);
}

/* UINT64_MAX: the level has no more. */
static uint64_t next_dirty(struct map_checkpoint *checkpoint)
{
	uint64_t next;

	if (is_above_old_root(checkpoint, checkpoint->next_index))
		return 0;
	next = MIN(next_by_content(checkpoint), next_by_range(checkpoint));
	return MIN(next, next_to_rewrite(checkpoint));
}

/* The next page of the old tree that a range covers wholly. */
static uint64_t find_covered(const struct map_checkpoint *checkpoint)
{
	const struct btree *cleared = &checkpoint->map->frozen.cleared;
	uint64_t first = MAX(checkpoint->next_index, checkpoint->covered_from);
	uint64_t span = level_span(checkpoint->level);
	uint64_t limit = level_span(checkpoint->map->height - 1);
	struct btree_cursor cursor;
	bool more;

	if (first * span >= limit)
		return UINT64_MAX;
	more = btree_floor(cleared, first * span, &cursor) ||
	       btree_seek(cleared, first * span, &cursor);
	for (; more && cursor.key < limit; more = btree_next(&cursor)) {
		uint64_t from = MAX(DIV_ROUND_UP(cursor.key, span), first);

		if (from < MIN(cursor.value.a, limit) / span)
			return from;
	}
	return UINT64_MAX;
}

static uint64_t next_to_visit(struct map_checkpoint *checkpoint)
{
	const struct map *map = checkpoint->map;

	if (!map->cfg.ops->dropped || !map->root.addr ||
	    checkpoint->level >= map->height)
		return UINT64_MAX;
	if (!checkpoint->next_covered_known ||
	    checkpoint->next_covered < MAX(checkpoint->next_index,
					   checkpoint->covered_from)) {
		checkpoint->next_covered = find_covered(checkpoint);
		checkpoint->next_covered_known = true;
	}
	return checkpoint->next_covered;
}

/* ---- jobs ------------------------------------------------------------- */

static void job_free(struct job *job)
{
	map_walk_end(&job->walk);
	list_del_init(&job->node);
	free(job->page);
	free(job);
}

/* The old tree has nothing there: nor is there anything to visit beside it. */
static void step_over(const struct job *job)
{
	struct map_checkpoint *checkpoint = job->checkpoint;
	unsigned int shift = 8 * (job->walk.level - checkpoint->level);

	checkpoint->covered_from = MAX(checkpoint->covered_from,
				       ((job->index >> shift) + 1) << shift);
}

static void job_walk(struct job *job)
{
	struct map_checkpoint *checkpoint = job->checkpoint;

	if ((job->old_is_dropped && !checkpoint->map->cfg.ops->dropped) ||
	    checkpoint->level >= checkpoint->map->height)
		return;
	job->err = map_walk_to(&job->walk,
			       job->index * level_span(checkpoint->level),
			       checkpoint->level);
	if (job->err == -EINPROGRESS)
		job->err = 0;
	else if (!job->err && job->visit && !job->walk.page)
		step_over(job);
}

static void job_wake(struct map_walk *walk, int err)
{
	struct job *job = container_of(walk, struct job, walk);
	struct map_checkpoint *checkpoint = job->checkpoint;

	if (err) {
		map_walk_end(walk);
		job->err = err;
	} else {
		job_walk(job);
	}
	if (!walk->waiting && checkpoint->queued.next == &job->node)
		call_ready(checkpoint);
}

/* Take the results of the level below that belong to page @index. */
static void job_take_results(struct job *job)
{
	struct map_checkpoint *checkpoint = job->checkpoint;

	job->first_result = checkpoint->next_result;
	if (!checkpoint->level)
		return;
	while (checkpoint->next_result < checkpoint->below.count &&
	       results_get(&checkpoint->below, checkpoint->next_result)->index /
	       MAP_FANOUT == job->index) {
		checkpoint->next_result++;
		job->result_count++;
	}
}

static int job_start(struct map_checkpoint *checkpoint, uint64_t index,
		     bool visit)
{
	uint64_t span = level_span(checkpoint->level);
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->checkpoint = checkpoint;
	job->index = index;
	job->visit = visit;
	job->rewrite = btree_find(&checkpoint->rewrite,
				  page_key(checkpoint->level, index));
	list_init(&job->node);
	map_walk_start(&job->walk, checkpoint->map, job_wake);
	job_take_results(job);
	job->old_is_dropped = overlay_covers(&checkpoint->map->frozen,
					     index * span, (index + 1) * span);
	job->old_is_root = is_above_old_root(checkpoint, index) &&
			   !job->old_is_dropped;
	checkpoint->next_index = index + 1;
	list_add_tail(&job->node, &checkpoint->queued);
	checkpoint->queued_count++;
	job_walk(job);
	return 0;
}

static int start_jobs(struct map_checkpoint *checkpoint)
{
	while (checkpoint->queued_count < JOBS_QUEUED) {
		uint64_t dirty = next_dirty(checkpoint);
		uint64_t visit = next_to_visit(checkpoint);
		int ret;

		if (MIN(dirty, visit) == UINT64_MAX)
			return 0;
		ret = job_start(checkpoint, MIN(dirty, visit), visit < dirty);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- making the new version of a page --------------------------------- */

static void dropped(void *ctx, const struct map_entry *old)
{
	struct map *map = ctx;

	if (map->cfg.ops->dropped)
		map->cfg.ops->dropped(map->cfg.ctx, old, true);
}

static bool replace_entry(struct map *map, uint8_t *page, unsigned int i,
			  const struct map_entry *newer)
{
	struct map_entry old, entry;

	page_entry(page, i, &old);
	entry = entry_combine(newer, &old);
	if (!page_set_entry(page, i, &entry))
		return false;
	if (old.addr && old.addr != entry.addr)
		dropped(map, &old);
	return true;
}

static bool apply_cleared(const struct job *job, uint8_t *page)
{
	const struct map_checkpoint *checkpoint = job->checkpoint;
	const struct btree *cleared = &checkpoint->map->frozen.cleared;
	uint64_t span = level_span(checkpoint->level);
	uint64_t first = job->index * MAP_FANOUT, from, to;
	struct btree_cursor cursor;
	bool changed = false;
	bool more = btree_floor(cleared, job->index * span, &cursor) ||
		    btree_seek(cleared, job->index * span, &cursor);

	for (; more && cursor.key < (job->index + 1) * span;
	     more = btree_next(&cursor)) {
		if (!covered_children(checkpoint, cursor.key, cursor.value.a,
				      &from, &to))
			continue;
		from = MAX(from, first);
		to = MIN(to, first + MAP_FANOUT);
		if (from < to && page_clear(page, from - first, to - first,
					    dropped, checkpoint->map))
			changed = true;
	}
	return changed;
}

static bool apply_entries(const struct job *job, uint8_t *page)
{
	struct map *map = job->checkpoint->map;
	uint64_t first = job->index * MAP_FANOUT;
	struct btree_cursor cursor;
	bool changed = false;
	bool more = btree_seek(&map->frozen.entries, first, &cursor);

	for (; more && cursor.key < first + MAP_FANOUT;
	     more = btree_next(&cursor)) {
		struct map_entry entry = map_entry_unpack(&cursor.value);

		if (replace_entry(map, page, cursor.key - first, &entry))
			changed = true;
	}
	return changed;
}

static bool apply_results(const struct job *job, uint8_t *page)
{
	struct map_checkpoint *checkpoint = job->checkpoint;
	bool changed = false;

	for (uint32_t i = 0; i < job->result_count; i++) {
		const struct page_result *result =
			results_get(&checkpoint->below, job->first_result + i);
		struct map_entry entry = {
			.addr = result->addr, .crc = result->crc,
		};

		if (replace_entry(checkpoint->map, page,
				  result->index % MAP_FANOUT, &entry))
			changed = true;
	}
	return changed;
}

/* Everything that the old version of a page refers to goes with it. */
static void drop_all(struct map *map, const struct map_page *old)
{
	struct map_entry entry;

	for (unsigned int i = 0; old && i < MAP_FANOUT; i++) {
		page_entry(old->data, i, &entry);
		if (entry.addr && !lineage_add(&entry, old->load.entry.lineage))
			dropped(map, &entry);
	}
}

static void put_old_root(const struct map *map, uint8_t *page)
{
	struct map_entry entry = map->root;

	entry.flags = 0;
	page_set_entry(page, 0, &entry);
}

/* Sets job->page. Returns 1: it changed; 0: it did not; or an error. */
static int job_build(struct job *job)
{
	struct map *map = job->checkpoint->map;
	struct map_page *old = job->walk.page;
	bool changed = job->old_is_dropped || job->old_is_root ||
		       (job->rewrite && old);

	job->page = page_new();
	if (!job->page)
		return -ENOMEM;
	if (job->old_is_dropped)
		drop_all(map, old);
	else if (job->old_is_root)
		put_old_root(map, job->page->data);
	else if (old && page_rebase(old->data, old->load.entry.lineage,
				    job->page->data))
		return -EUCLEAN;
	map_walk_end(&job->walk);
	if (apply_cleared(job, job->page->data))
		changed = true;
	if (job->checkpoint->level ? apply_results(job, job->page->data) :
				     apply_entries(job, job->page->data))
		changed = true;
	return changed;
}

/* 0: the page goes out; -EAGAIN: this job needed none; or an error. */
static int job_finish(struct job *job)
{
	struct map_checkpoint *checkpoint = job->checkpoint;
	bool empty;
	int ret;

	if (job->visit) {
		drop_all(checkpoint->map, job->walk.page);
		checkpoint->queued_count--;
		job_free(job);
		return -EAGAIN;
	}
	ret = job_build(job);
	if (ret < 0)
		return ret;
	empty = ret && page_is_empty(job->page->data);
	if (ret) {
		job->result = results_add(&checkpoint->results, job->index);
		if (!job->result)
			return -ENOMEM;
	}
	list_del_init(&job->node);
	checkpoint->queued_count--;
	if (!ret || empty) {
		job_free(job);
		return -EAGAIN;
	}
	list_add_tail(&job->node, &checkpoint->out);
	checkpoint->out_count++;
	job->dirty = (struct map_dirty_page){
		.level = checkpoint->level, .index = job->index,
		.page = job->page->data,
	};
	list_init(&job->dirty.node);
	return 0;
}

/* ---- the sequence ----------------------------------------------------- */

/* Every page of the level is placed: go up. False: that was the top. */
static bool next_level(struct map_checkpoint *checkpoint)
{
	if (checkpoint->level == checkpoint->height - 1)
		return false;
	results_release(&checkpoint->below);
	checkpoint->below = checkpoint->results;
	checkpoint->results = (struct results){ 0 };
	checkpoint->level++;
	checkpoint->next_index = 0;
	checkpoint->next_result = 0;
	checkpoint->next_range_known = false;
	checkpoint->next_covered_known = false;
	checkpoint->covered_from = 0;
	return true;
}

static void new_root(const struct map_checkpoint *checkpoint,
		     struct map_entry *root)
{
	struct map *map = checkpoint->map;
	const struct page_result *top;

	*root = map->root;
	if (checkpoint->results.count) {
		top = results_get(&checkpoint->results, 0);
		*root = (struct map_entry){
			.addr = top->addr, .crc = top->crc,
		};
		if (map->root.addr && map->height == checkpoint->height)
			dropped(map, &map->root);
	}
	root->flags = checkpoint->height;
}

/* The next page of this level: 0, -EAGAIN, -ENODATA (all placed), error. */
static int level_next(struct map_checkpoint *checkpoint, struct job **out)
{
	int ret = -EAGAIN;

	while (ret == -EAGAIN) {
		if (checkpoint->out_count >= PAGES_OUT)
			return -EAGAIN;
		ret = start_jobs(checkpoint);
		if (ret)
			return ret;
		if (list_empty(&checkpoint->queued))
			return checkpoint->out_count ? -EAGAIN : -ENODATA;
		*out = list_first_entry(&checkpoint->queued, struct job, node);
		/* What is dropped need not be readable. */
		if ((*out)->err && !(*out)->old_is_dropped)
			return (*out)->err;
		if ((*out)->walk.waiting)
			return -EAGAIN;
		ret = job_finish(*out);
	}
	return ret;
}

int map_checkpoint_next(struct map *map, struct map_dirty_page **page,
			struct map_entry *root,
			void (*ready)(void *ctx), void *ready_ctx)
{
	struct map_checkpoint *checkpoint = map->checkpoint;
	struct job *job;
	int ret;

	checkpoint->ready = NULL;
	checkpoint->started = true;
	if (checkpoint->err)
		return checkpoint->err;
	do {
		ret = level_next(checkpoint, &job);
	} while (ret == -ENODATA && next_level(checkpoint));
	if (ret == -ENODATA) {
		new_root(checkpoint, root);
	} else if (ret == -EAGAIN) {
		checkpoint->ready = ready;
		checkpoint->ready_ctx = ready_ctx;
	} else if (ret) {
		checkpoint->err = ret;
	} else {
		*page = &job->dirty;
	}
	return ret;
}

void map_checkpoint_placed(struct map *map, struct map_dirty_page *page,
			   block_addr_t addr, uint32_t crc)
{
	struct job *job = container_of(page, struct job, dirty);
	struct map_checkpoint *checkpoint = map->checkpoint;
	struct map_entry entry = { .addr = addr, .crc = crc };

	assert(addr && job->checkpoint == checkpoint);
	job->result->addr = addr;
	job->result->crc = crc;
	cache_adopt(&map->cache, job->page, &entry, page->level > 0);
	job->page = NULL;
	job_free(job);
	checkpoint->out_count--;
	map->pages_written++;
	call_ready(checkpoint);
}

static void free_jobs(struct list_head *jobs)
{
	while (!list_empty(jobs))
		job_free(list_first_entry(jobs, struct job, node));
}

void map_checkpoint_free(struct map *map)
{
	struct map_checkpoint *checkpoint = map->checkpoint;

	if (!checkpoint)
		return;
	free_jobs(&checkpoint->queued);
	free_jobs(&checkpoint->out);
	btree_release(&checkpoint->rewrite);
	results_release(&checkpoint->below);
	results_release(&checkpoint->results);
	free(checkpoint);
	map->checkpoint = NULL;
}

void map_checkpoint_commit(struct map *map, const struct map_entry *root)
{
	map->root = *root;
	map->height = map->checkpoint->height;
	map->generation++;
	map_checkpoint_free(map);
	overlay_release(&map->frozen);
}

void map_checkpoint_abort(struct map *map)
{
	struct map_overlay empty;

	map->rewrite_left = map->checkpoint->rewrite;
	btree_init(&map->checkpoint->rewrite, &map->rewrite_pool);
	map_checkpoint_free(map);
	/* Should memory be short, lookups go on through both overlays, and
	 * the next checkpoint tries again. */
	if (overlay_merge(&map->frozen, &map->active))
		return;
	empty = map->active;
	map->active = map->frozen;
	map->frozen = empty;
}
