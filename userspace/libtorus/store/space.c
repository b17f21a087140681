// SPDX-License-Identifier: Apache-2.0
/*
 * Space (DESIGN invariant 10). Two limits hold: the store's size, and what the
 * file system has left, which is looked at now and then and estimated in
 * between. User data must leave a reserve alone, so that map pages, trims and
 * the records of a clean detach still find room. Cleaning gives back more than
 * it takes, but only after the next checkpoint: it may have half of the reserve.
 */
#include "base/cleanup.h"
#include "store/private.h"

/* The larger of 2 % and two chunks per volume open here; a small store is not
 * all reserve, however many volumes are open. */
static uint64_t reserve(const struct store *store)
{
	uint64_t open = (uint64_t)store->index.open_volumes * 2 *
			store->cfg.chunk_size;

	return MIN(MAX(store->size / 50, open), store->size / 4);
}

uint64_t store_space_used(const struct store *store)
{
	return store->chunk_bytes + store->journal.offset;
}

static uint64_t left_of(uint64_t all, uint64_t taken)
{
	return all > taken ? all - taken : 0;
}

/* What must be left when @use has had its share. */
static uint64_t kept_from(const struct store *store, enum store_space_use use)
{
	if (use == STORE_SPACE_USER)
		return reserve(store);
	if (use == STORE_SPACE_CLEANING)
		return MAX(reserve(store) / 2, (uint64_t)JOURNAL_BATCH_MAX);
	return JOURNAL_BATCH_MAX;
}

bool store_space_check(struct store *store, uint64_t bytes,
		       enum store_space_use use)
{
	uint64_t need = bytes + kept_from(store, use);
	uint64_t disk = left_of(store->disk_free, store->appended_since);

	if (store->appended_since >= STORE_STATFS_BYTES || disk < need)
		store_space_look(store);
	return left_of(store->size, store_space_used(store)) >= need &&
	       disk >= need;
}

static void tell_space(struct store *store)
{
	uint64_t now = store->chunk_bytes, told = store->chunk_bytes_told;

	if (left_of(now, told) + left_of(told, now) < STORE_SPACE_STEP)
		return;
	store->chunk_bytes_told = now;
	store->cfg.space_moved(store->cfg.ctx);
}

void store_space_add(struct store *store, int64_t bytes)
{
	store->chunk_bytes += (uint64_t)bytes;
	if (store->cfg.space_moved != NULL)
		tell_space(store);
	if (bytes > 0)
		store->appended_since += (uint64_t)bytes;
	else
		store->appended_since = left_of(store->appended_since,
						(uint64_t)-bytes);
}

static void looked(struct env_file_op *op)
{
	struct store *store = op->ctx;

	store->statfs_running = false;
	if (op->result < 0)
		return;
	store->disk_free = op->free_bytes;
	store->appended_since = 0;
}

void store_space_look(struct store *store)
{
	if (store->statfs_running)
		return;
	store->statfs_running = true;
	store_op_path(store, &store->statfs_op, FILE_STATFS, "", looked, store);
}
