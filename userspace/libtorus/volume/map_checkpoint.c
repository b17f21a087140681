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
 *     wholly go with an entry of their parent, and nothing below is read.
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
	uint64_t next_result;		/* of below */
	struct results below, results;
	struct list_head queued, out;
	unsigned int queued_count, out_count;
	int err;			/* it cannot go on */
	void (*ready)(void *ctx);
	void *ready_ctx;
};

int map_checkpoint_begin(struct map *map)
{
	struct map_checkpoint *checkpoint;
	struct map_overlay empty;

	if (map->checkpoint)
		return -EBUSY;
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
	map->checkpoint = checkpoint;
	return 0;
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

/* UINT64_MAX: the level has no more. */
static uint64_t next_dirty(struct map_checkpoint *checkpoint)
{
	if (is_above_old_root(checkpoint, checkpoint->next_index))
		return 0;
	return MIN(next_by_content(checkpoint), next_by_range(checkpoint));
}

/* ---- jobs ------------------------------------------------------------- */

static void job_free(struct job *job)
{
	map_walk_end(&job->walk);
	list_del_init(&job->node);
	free(job->page);
	free(job);
}

static void job_walk(struct job *job)
{
	struct map_checkpoint *checkpoint = job->checkpoint;

	if (job->old_is_dropped || checkpoint->level >= checkpoint->map->height)
		return;
	job->err = map_walk_to(&job->walk,
			       job->index * level_span(checkpoint->level),
			       checkpoint->level);
	if (job->err == -EINPROGRESS)
		job->err = 0;
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

static int job_start(struct map_checkpoint *checkpoint, uint64_t index)
{
	uint64_t span = level_span(checkpoint->level);
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->checkpoint = checkpoint;
	job->index = index;
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
		uint64_t index = next_dirty(checkpoint);
		int ret;

		if (index == UINT64_MAX)
			return 0;
		ret = job_start(checkpoint, index);
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
	bool changed = job->old_is_dropped || job->old_is_root;

	job->page = page_new();
	if (!job->page)
		return -ENOMEM;
	if (job->old_is_root)
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
	int ret = job_build(job);
	bool empty;

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
	return true;
}

static void new_root(const struct map_checkpoint *checkpoint,
		     struct map_entry *root)
{
	const struct page_result *top;

	*root = checkpoint->map->root;
	if (checkpoint->results.count) {
		top = results_get(&checkpoint->results, 0);
		*root = (struct map_entry){
			.addr = top->addr, .crc = top->crc,
		};
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
		if ((*out)->err)
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
	results_release(&checkpoint->below);
	results_release(&checkpoint->results);
	free(checkpoint);
	map->checkpoint = NULL;
}

void map_checkpoint_commit(struct map *map, const struct map_entry *root)
{
	if (map->root.addr && map->root.addr != root->addr &&
	    map->height == map->checkpoint->height)
		dropped(map, &map->root);
	map->root = *root;
	map->height = map->checkpoint->height;
	map->generation++;
	map_checkpoint_free(map);
	overlay_release(&map->frozen);
}

void map_checkpoint_abort(struct map *map)
{
	struct map_overlay empty;

	map_checkpoint_free(map);
	/* Should memory be short, lookups go on through both overlays, and
	 * the next checkpoint tries again. */
	if (overlay_merge(&map->frozen, &map->active))
		return;
	empty = map->active;
	map->active = map->frozen;
	map->frozen = empty;
}
