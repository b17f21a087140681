// SPDX-License-Identifier: Apache-2.0
/*
 * Handles of chunk files: at most STORE_FILES_MAX are open. A handle is closed
 * only while nobody uses the chunk and all its bytes are known durable: an
 * error of the write-back is reported through handles that were open then.
 *
 *   get -> (directory made) -> (handle free, or one evicted, or wait in
 *   store->starved) -> FILE_OPEN -> waiters
 *
 * When all idle files are dirty, the one idle for longest is synced.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

void store_file_path(const struct store_chunk *chunk, char path[48])
{
	snprintf(path, 48, "chunks/%016" PRIx64 "/%012" PRIx64,
		 chunk->volume->id, (uint64_t)chunk->number);
}

static struct store *live_store(const struct store_chunk_live *live)
{
	return live->chunk->volume->store;
}

static bool clean(const struct store_chunk_live *live)
{
	const struct store_chunk *chunk = live->chunk;

	/* Nobody will ever ask for the sync error of a bad copy. */
	return (chunk->flags & (STORE_CHUNK_BAD | STORE_CHUNK_SEALED)) != 0 ||
	       live->data.durable >= live->data.written;
}

static void close_handle(struct store_chunk_live *live)
{
	struct store *store = live_store(live);
	int file = live->file;

	list_del_init(&live->lru);
	live->file = -1;
	store->files_open--;
	if (live->chunk->flags & STORE_CHUNK_SEALED)
		store_chunk_live_free(live->chunk);
	store_detached_close(store, file);
}

static bool evict_one(struct store *store)
{
	struct store_chunk_live *live;

	list_for_each_entry(live, &store->idle_files, lru) {
		if (clean(live)) {
			close_handle(live);
			return true;
		}
	}
	return false;
}

void store_file_forget(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;

	assert(live->users == 0);
	list_del_init(&live->dirty);
	list_del_init(&live->log_node);
	list_del_init(&live->lru);
	if (live->file < 0)
		return;
	store_detached_close(live_store(live), live->file);
	live->file = -1;
	live_store(live)->files_open--;
	store_files_service(live_store(live));
}

static void tell_waiters(struct store_chunk_live *live, int err)
{
	struct store_chunk *chunk = live->chunk;
	struct store_file_wait *wait;
	struct list_head ready;

	list_init(&ready);
	list_splice_tail_init(&live->file_waiters, &ready);
	store_chunk_hold(chunk);
	while (!list_empty(&ready)) {
		wait = list_first_entry(&ready, struct store_file_wait, node);
		list_del_init(&wait->node);
		wait->fn(wait, err);
	}
	store_chunk_release(chunk);
}

static void opened(struct env_file_op *op)
{
	struct store_chunk_live *live = op->ctx;
	struct store_chunk *chunk = live->chunk;
	struct store *store = live_store(live);
	int err = op->result < 0 ? (int)op->result : 0;

	live->opening = false;
	live->creating = false;
	if (err < 0) {
		store->files_open--;
		log_error("store: cannot open %s: %s", live->path,
			  strerror(-err));
	} else {
		live->file = (int)op->result;
		if (!(chunk->flags & STORE_CHUNK_FILE)) {
			chunk->flags |= STORE_CHUNK_FILE;
			live->name_change = ++chunk->volume->names.written;
		}
	}
	tell_waiters(live, err);
	store_files_service(store);
}

/* At the start, an earlier process may have seen a sync fail. */
static void submit_open(struct store_chunk_live *live)
{
	struct store *store = live_store(live);
	bool exists = (live->chunk->flags & STORE_CHUNK_FILE) != 0;
	int flags = exists ? 0 : FILE_CREATE;

	if (store->open != NULL)
		flags |= FILE_FRESH;
	store->files_open++;
	store_op_open(store, &live->file_op, live->path, flags, opened, live);
}

/* Make the dirty file that is idle for longest fit for eviction. */
static void clean_one(struct store *store)
{
	struct store_chunk_live *live;

	if (list_empty(&store->idle_files))
		return;
	live = list_first_entry(&store->idle_files, struct store_chunk_live,
				lru);
	store_chunk_sync_now(live->chunk);
}

void store_files_service(struct store *store)
{
	struct store_chunk_live *live;

	while (!list_empty(&store->starved)) {
		if (store->files_open >= STORE_FILES_MAX && !evict_one(store)) {
			clean_one(store);
			return;
		}
		live = list_first_entry(&store->starved,
					struct store_chunk_live, lru);
		list_del_init(&live->lru);
		submit_open(live);
	}
}

static void need_handle(struct store_chunk_live *live)
{
	struct store *store = live_store(live);

	list_add_tail(&live->lru, &store->starved);
	store_files_service(store);
}

static void dir_ready(struct store_file_wait *wait, int err)
{
	struct store_chunk_live *live =
		container_of(wait, struct store_chunk_live, dir_wait);

	if (err == 0) {
		need_handle(live);
		return;
	}
	live->opening = false;
	live->creating = false;
	tell_waiters(live, err);
}

int store_file_get(struct store_chunk *chunk, bool create,
		   struct store_file_wait *wait)
{
	struct store_chunk_live *live = chunk->live;

	assert(live->users > 0);
	if (live->file >= 0)
		return 0;
	list_add_tail(&wait->node, &live->file_waiters);
	live->creating |= create;
	if (live->opening)
		return -EINPROGRESS;
	live->opening = true;
	if (!create || (chunk->flags & STORE_CHUNK_FILE)) {
		need_handle(live);
		return -EINPROGRESS;
	}
	live->dir_wait.fn = dir_ready;
	if (store_dir_get(chunk->volume, &live->dir_wait) == 0)
		need_handle(live);
	return -EINPROGRESS;
}
