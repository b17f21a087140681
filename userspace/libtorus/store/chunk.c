// SPDX-License-Identifier: Apache-2.0
/*
 * Life of the live part:
 *
 *   none --first use--> used (users > 0) <--> idle (users == 0)
 *                                               |  sealed, file closed
 *                                               v
 *                                              none
 */
#include "store/chunk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/private.h"

static void init_tail(struct store_chunk_live *live)
{
	const struct store_chunk *chunk = live->chunk;

	if (chunk->flags & STORE_CHUNK_SEALED) {
		live->done.block = chunk->length;
		live->done.crc = chunk->end_crc;
	}
	live->issued = live->done;
	live->damaged_block = UINT32_MAX;
}

struct store_chunk_live *store_chunk_live(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;

	if (live != NULL)
		return live;
	live = calloc(1, sizeof(*live));
	if (live == NULL)
		return NULL;
	chunk->live = live;
	live->chunk = chunk;
	live->file = -1;
	list_init(&live->file_waiters);
	list_init(&live->lru);
	list_init(&live->appends);
	list_init(&live->seal_queue);
	list_init(&live->idle_waits);
	store_file_path(chunk, live->path);
	init_tail(live);
	store_durable_init(live);
	return live;
}

void store_chunk_live_free(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;

	if (live == NULL)
		return;
	list_del_init(&live->lru);
	list_del_init(&live->dirty);
	list_del_init(&live->log_node);
	chunk->live = NULL;
	free(live);
}

void store_chunk_hold(struct store_chunk *chunk)
{
	if (chunk->live->users++ == 0)
		list_del_init(&chunk->live->lru);
}

/* Made for an append that was refused: nothing of it exists. */
static bool never_was(const struct store_chunk *chunk)
{
	return chunk->flags == 0 && chunk->live->done.block == 0;
}

static void drop(struct store_chunk *chunk)
{
	store_chunk_live_free(chunk);
	store_chunk_remove(chunk);
}

void store_chunk_release(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct store *store = chunk->volume->store;
	struct store_chunk_idle_wait *wait;

	assert(live->users > 0);
	if (--live->users > 0)
		return;
	if (!list_empty(&live->idle_waits)) {
		wait = list_first_entry(&live->idle_waits,
					struct store_chunk_idle_wait, node);
		list_del_init(&wait->node);
		wait->fn(wait);
		return;
	}
	if (live->file >= 0)
		list_add_tail(&live->lru, &store->idle_files);
	else if (chunk->flags & STORE_CHUNK_SEALED)
		store_chunk_live_free(chunk);
	else if (never_was(chunk))
		drop(chunk);
	store_files_service(store);
}

void store_chunk_when_idle(struct store_chunk *chunk,
			   struct store_chunk_idle_wait *wait)
{
	if (chunk->live->users == 0)
		wait->fn(wait);
	else
		list_add_tail(&wait->node, &chunk->live->idle_waits);
}

void store_chunk_count_on(struct store_chunk *chunk)
{
	if (chunk->live != NULL)
		chunk->live->counted_by = chunk->volume->epoch_seen;
}

/* What was asked before the last start is not known: the worst is assumed. */
uint64_t store_chunk_counted_by(const struct store_chunk *chunk)
{
	if (chunk->live != NULL && chunk->live->counted_by != 0)
		return chunk->live->counted_by;
	return chunk->volume->epoch_seen;
}

/* A later epoch may be that of a person who went back to an older root. */
uint32_t store_chunk_settled(const struct store_chunk *chunk)
{
	const struct store_chunk_live *live = chunk->live;

	if (live == NULL || live->settled_epoch < chunk->volume->epoch_seen)
		return 0;
	return live->settled;
}

uint32_t store_chunk_length(const struct store_chunk *chunk)
{
	if (chunk->flags & STORE_CHUNK_SEALED)
		return chunk->length;
	return chunk->live != NULL ? chunk->live->done.block : 0;
}

uint32_t store_chunk_end_crc(const struct store_chunk *chunk)
{
	if (chunk->flags & STORE_CHUNK_SEALED)
		return chunk->end_crc;
	return chunk->live != NULL ? chunk->live->done.crc : 0;
}

uint32_t store_chunk_durable(const struct store_chunk *chunk)
{
	const struct store_chunk_live *live = chunk->live;

	if (chunk->flags & STORE_CHUNK_SEALED)
		return chunk->length;
	if (live == NULL || live->name_change > chunk->volume->names.durable)
		return 0;
	return MIN((uint32_t)live->data.durable, live->done.block);
}

uint32_t store_chunk_was_durable(const struct store_chunk *chunk)
{
	if (chunk->live != NULL && chunk->live->broken)
		return chunk->length;
	return store_chunk_durable(chunk);
}

uint32_t store_chunk_footprint(const struct store_chunk *chunk)
{
	const struct store_chunk_live *live = chunk->live;

	if (chunk->flags & STORE_CHUNK_SEALED)
		return chunk->length;
	return live == NULL ? 0 : MAX(live->found_blocks, live->issued.block);
}
