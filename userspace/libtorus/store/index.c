// SPDX-License-Identifier: Apache-2.0
#include "store/index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/chunk.h"
#include "store/private.h"

/* First index whose id is above @id. */
static uint32_t volume_above(const struct store_index *index, uint64_t id)
{
	uint32_t low = 0, high = index->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (index->volumes[middle]->id > id)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static uint32_t chunk_above(const struct store_volume *volume, uint64_t number)
{
	uint32_t low = 0, high = volume->chunk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (volume->chunks[middle]->number > number)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Room for one more pointer; grows by a quarter to keep the slack small. */
static int reserve(void *array, uint32_t count, uint32_t *cap)
{
	void ***slots = array;
	uint32_t grown = *cap + *cap / 4 + 8;
	void **moved;

	if (count < *cap)
		return 0;
	moved = realloc(*slots, grown * sizeof(void *));
	if (moved == NULL)
		return -1;
	*slots = moved;
	*cap = grown;
	return 0;
}

static void volume_free(struct store_volume *volume)
{
	uint32_t i;

	for (i = 0; i < volume->chunk_count; i++) {
		store_chunk_live_free(volume->chunks[i]);
		free(volume->chunks[i]);
	}
	free(volume->chunks);
	free(volume);
}

void store_index_release(struct store_index *index)
{
	uint32_t i;

	for (i = 0; i < index->count; i++)
		volume_free(index->volumes[i]);
	free(index->volumes);
	memset(index, 0, sizeof(*index));
}

struct store_volume *store_volume_find(const struct store_index *index,
				       uint64_t id)
{
	uint32_t at = volume_above(index, id);

	if (at == 0 || index->volumes[at - 1]->id != id)
		return NULL;
	return index->volumes[at - 1];
}

struct store_volume *store_volume_next(const struct store_index *index,
				       uint64_t after)
{
	uint32_t at = volume_above(index, after);

	return at < index->count ? index->volumes[at] : NULL;
}

static struct store_volume *volume_new(struct store *store, uint64_t id)
{
	struct store_volume *volume = calloc(1, sizeof(*volume));

	if (volume == NULL)
		return NULL;
	volume->store = store;
	volume->id = id;
	list_init(&volume->appends);
	list_init(&volume->fences);
	list_init(&volume->dir_waiters);
	store_dir_init(volume);
	snprintf(volume->path, sizeof(volume->path), "chunks/%016" PRIx64, id);
	if (store_condemned_has(&store->condemned, id)) {
		volume->tombstone = true;
		volume->epoch_seen = volume->epoch_fenced = UINT64_MAX;
	}
	return volume;
}

struct store_volume *store_volume_get(struct store *store, uint64_t id)
{
	struct store_index *index = &store->index;
	struct store_volume *volume = store_volume_find(index, id);
	uint32_t at;

	if (volume != NULL)
		return volume;
	if (reserve(&index->volumes, index->count, &index->cap) < 0)
		return NULL;
	volume = volume_new(store, id);
	if (volume == NULL)
		return NULL;
	at = volume_above(index, id);
	memmove(&index->volumes[at + 1], &index->volumes[at],
		(index->count - at) * sizeof(index->volumes[0]));
	index->volumes[at] = volume;
	index->count++;
	return volume;
}

struct store_chunk *store_chunk_find(const struct store_volume *volume,
				     uint64_t number)
{
	uint32_t at = chunk_above(volume, number);

	if (at == 0 || volume->chunks[at - 1]->number != number)
		return NULL;
	return volume->chunks[at - 1];
}

struct store_chunk *store_chunk_get(struct store_volume *volume,
				    uint64_t number)
{
	struct store_chunk *chunk = store_chunk_find(volume, number);
	uint32_t at;

	if (chunk != NULL)
		return chunk;
	if (reserve(&volume->chunks, volume->chunk_count,
		    &volume->chunk_cap) < 0)
		return NULL;
	chunk = calloc(1, sizeof(*chunk));
	if (chunk == NULL)
		return NULL;
	chunk->volume = volume;
	chunk->number = number;
	at = chunk_above(volume, number);
	memmove(&volume->chunks[at + 1], &volume->chunks[at],
		(volume->chunk_count - at) * sizeof(volume->chunks[0]));
	volume->chunks[at] = chunk;
	volume->chunk_count++;
	if (volume->open_chunks++ == 0)
		volume->store->index.open_volumes++;
	volume->store->index.chunk_count++;
	if (number > volume->chunk_max)
		volume->chunk_max = number;
	return chunk;
}

static void one_open_less(struct store_volume *volume)
{
	if (--volume->open_chunks == 0)
		volume->store->index.open_volumes--;
}

void store_chunk_set_sealed(struct store_chunk *chunk, uint64_t epoch,
			    uint32_t length, uint32_t end_crc)
{
	if (!(chunk->flags & STORE_CHUNK_SEALED))
		one_open_less(chunk->volume);
	chunk->flags |= STORE_CHUNK_SEALED;
	chunk->seal_epoch = epoch;
	chunk->length = length;
	chunk->end_crc = end_crc;
}

void store_chunk_remove(struct store_chunk *chunk)
{
	struct store_volume *volume = chunk->volume;
	uint32_t at = chunk_above(volume, chunk->number) - 1;

	assert(volume->chunks[at] == chunk && chunk->live == NULL);
	memmove(&volume->chunks[at], &volume->chunks[at + 1],
		(volume->chunk_count - at - 1) * sizeof(volume->chunks[0]));
	volume->chunk_count--;
	volume->store->index.chunk_count--;
	if (!(chunk->flags & STORE_CHUNK_SEALED))
		one_open_less(volume);
	free(chunk);
}

struct store_chunk *store_index_next(const struct store_index *index,
				     uint64_t id, uint64_t number)
{
	struct store_volume *volume = store_volume_find(index, id);
	uint32_t at;

	if (volume != NULL) {
		at = chunk_above(volume, number);
		if (at < volume->chunk_count)
			return volume->chunks[at];
	}
	for (at = volume_above(index, id); at < index->count; at++)
		if (index->volumes[at]->chunk_count > 0)
			return index->volumes[at]->chunks[0];
	return NULL;
}
