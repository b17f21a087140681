// SPDX-License-Identifier: Apache-2.0
/* LIST, VOLUMES, STAT and STAT_CHUNK: what the store has, from memory. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "store/private.h"
#include "store/request.h"

#define LIST_ENTRIES_MAX \
	(STORE_BUFFER_MAX / (uint32_t)sizeof(struct wire_list_entry))

static void add_entry(struct store_buffer *out, uint32_t index,
		      const struct store_chunk *chunk)
{
	struct wire_list_entry entry = {
		.volume = cpu_to_le64(chunk->volume->id),
		.chunk = cpu_to_le64(chunk->number),
		.length = cpu_to_le32(store_chunk_length(chunk)),
		.sealed = cpu_to_le32(!!(chunk->flags & STORE_CHUNK_SEALED)),
		.end_crc = cpu_to_le32(store_chunk_end_crc(chunk)),
	};

	store_buffer_copy(out, index * (uint32_t)sizeof(entry), &entry,
			  sizeof(entry));
}

/* A copy that is bad, or on its way out, is no copy. */
static bool counts(const struct store_chunk *chunk)
{
	return !(chunk->flags & (STORE_CHUNK_BAD | STORE_CHUNK_DELETING));
}

static void fill(struct store_request *request, uint32_t max)
{
	const struct wire_list *body = &request->body.list;
	uint64_t only = le64_to_cpu(body->volume);
	uint64_t volume = le64_to_cpu(body->after_volume);
	uint64_t number = le64_to_cpu(body->after_chunk);
	struct store_chunk *chunk = NULL;
	uint32_t count = 0;

	if (only != 0 && volume != only) {
		number = volume > only ? UINT64_MAX : 0;
		volume = only;
	}
	while (count < max) {
		chunk = store_index_next(&request->store->index, volume,
					 number);
		if (chunk == NULL || (only != 0 && chunk->volume->id != only))
			break;
		volume = chunk->volume->id;
		number = chunk->number;
		if (counts(chunk))
			add_entry(&request->out, count++, chunk);
	}
	request->reply.list.count = cpu_to_le32(count);
	request->reply.list.more = cpu_to_le32(count == max);
	store_buffer_resize(&request->out,
			    count * (uint32_t)sizeof(struct wire_list_entry));
	if (count == 0)
		store_buffer_give(&request->store->send, &request->out);
}

static void with_buffer(struct store_pool_wait *wait)
{
	struct store_request *request =
		container_of(wait, struct store_request, pool_wait);
	uint32_t max = MIN(le32_to_cpu(request->body.list.max),
			   LIST_ENTRIES_MAX);

	if (!store_buffer_take(&request->store->send, &request->out,
			       max * (uint32_t)sizeof(struct wire_list_entry))) {
		store_pool_queue(&request->store->send, wait);
		return;
	}
	fill(request, max);
	store_request_finish(request, WIRE_OK);
}

void store_list_run(struct store_request *request)
{
	if (request->body.list.max == 0) {
		store_request_finish(request, WIRE_EINVAL);
		return;
	}
	request->pool_wait.fn = with_buffer;
	with_buffer(&request->pool_wait);
}

static void fill_volume(struct wire_volume_entry *entry,
			const struct store_volume *volume)
{
	memset(entry, 0, sizeof(*entry));
	entry->volume = cpu_to_le64(volume->id);
	entry->chunk_max = cpu_to_le64(volume->chunk_max);
	entry->root = cpu_to_le64(volume->root);
	entry->root_sequence = cpu_to_le64(volume->root_sequence);
	/* Also while its tombstone is on its way to the journal. */
	if (volume->epoch_seen > STORE_EPOCH_MAX)
		entry->flags = cpu_to_le32(WIRE_VOLUME_DELETED);
	else
		entry->epoch = cpu_to_le64(volume->epoch_seen);
}

void store_volumes_run(struct store_request *request)
{
	const struct wire_volumes *body = &request->body.volumes;
	uint32_t max = MIN(le32_to_cpu(body->max), WIRE_VOLUMES_MAX), count = 0;
	uint64_t after = le64_to_cpu(body->after);
	const struct store_volume *volume;
	struct wire_volume_entry *entries;

	if (max == 0 || !store_request_maintenance(request)) {
		store_request_finish(request, WIRE_EINVAL);
		return;
	}
	entries = calloc(max, sizeof(*entries));
	if (entries == NULL) {
		store_request_finish(request, WIRE_EIO);
		return;
	}
	while (count < max) {
		volume = store_volume_next(&request->store->index, after);
		if (volume == NULL)
			break;
		after = volume->id;
		fill_volume(&entries[count++], volume);
	}
	request->copied = entries;	/* freed with the request */
	request->out_copied.iov_base = entries;
	request->out_copied.iov_len = count * sizeof(*entries);
	request->reply.list.count = cpu_to_le32(count);
	request->reply.list.more = cpu_to_le32(count == max);
	store_request_finish(request, WIRE_OK);
}

void store_stat_chunk_run(struct store_request *request)
{
	const struct wire_chunk *body = &request->body.chunk;
	uint64_t id = le64_to_cpu(body->volume);
	uint32_t status = WIRE_OK;

	if (body->epoch == 0 && store_request_maintenance(request))
		request->volume = store_volume_find(&request->store->index, id);
	else
		status = store_request_epoch(request, id,
					     le64_to_cpu(body->epoch), false);
	if (status == WIRE_OK)
		status = store_request_chunk(request, le64_to_cpu(body->chunk));
	if (status == WIRE_OK && body->epoch != 0)
		store_chunk_count_on(request->chunk);
	if (status == WIRE_OK && (request->chunk->flags & STORE_CHUNK_BAD))
		status = WIRE_EBADCOPY;
	store_chunk_reply(request);
	store_request_finish(request, status);
}

void store_stat_run(struct store_request *request)
{
	struct wire_stat_reply *reply = &request->reply.stat;
	struct store_stats stats;

	store_stats(request->store, &stats);
	reply->size = cpu_to_le64(stats.size);
	reply->used = cpu_to_le64(stats.used);
	reply->chunks = cpu_to_le64(stats.chunks);
	reply->volumes = cpu_to_le64(stats.volumes);
	reply->space_left = cpu_to_le64(store_space_left(request->store));
	reply->space_state = cpu_to_le32(store_space_state(request->store));
	reply->peer = request->store->peer;
	reply->incarnation = request->store->incarnation;
	store_request_finish(request, WIRE_OK);
}
