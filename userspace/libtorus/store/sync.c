// SPDX-License-Identifier: Apache-2.0
/*
 * SYNC: one answer for many chunks, each entry with a status of its own. The
 * entries go on side by side; syncs of one file that overlap are shared by its
 * syncer.
 */
#include <stdlib.h>

#include "store/private.h"
#include "store/request.h"

static void answer(struct store_request *request, uint32_t status)
{
	struct wire_sync_reply *reply = &request->reply.sync;
	const struct store_sync *sync = &request->u.sync;

	if (status == WIRE_OK &&
	    store_request_fenced(request,
				 le64_to_cpu(request->body.sync.epoch)))
		status = WIRE_EFENCED;
	if (request->volume != NULL)
		reply->epoch = cpu_to_le64(request->volume->epoch_seen);
	reply->incarnation = request->store->incarnation;
	if (status == WIRE_OK) {
		reply->count = cpu_to_le32(sync->count);
		request->out_copied.iov_base = sync->ranges;
		request->out_copied.iov_len =
			sync->count * sizeof(sync->ranges[0]);
	}
	store_request_finish(request, status);
}

static void entry_ended(struct store_request *request, uint32_t index,
			uint32_t status)
{
	struct store_sync *sync = &request->u.sync;

	sync->ranges[index].status = cpu_to_le32(status);
	if (--sync->pending == 0)
		answer(request, WIRE_OK);
}

static void entry_durable(struct store_durable_wait *wait, int err)
{
	struct store_sync_entry *entry =
		container_of(wait, struct store_sync_entry, wait);
	const struct wire_range *range =
		&entry->request->u.sync.ranges[entry->index];
	uint32_t status = store_durable_status(err);

	/* A seal may have cut it meanwhile. */
	if (err == 0 &&
	    le32_to_cpu(range->length) > store_chunk_length(wait->chunk))
		status = WIRE_EOFFSET;
	entry_ended(entry->request, entry->index, status);
}

/* WIRE_OK: nothing is left to do; *wait: it must be waited for. */
static uint32_t check_entry(const struct store_chunk *chunk, uint32_t length,
			    bool *wait)
{
	if (chunk == NULL || (chunk->flags & STORE_CHUNK_DELETING))
		return WIRE_ENOCHUNK;
	if (chunk->flags & STORE_CHUNK_RESTORING)
		return WIRE_EBUSY;
	if (!(chunk->flags & STORE_CHUNK_BAD) &&
	    length > store_chunk_length(chunk))
		return WIRE_EOFFSET;
	if ((chunk->flags & STORE_CHUNK_SEALED) &&
	    !(chunk->flags & STORE_CHUNK_BAD))
		return WIRE_OK;		/* it was durable when it was sealed */
	if (chunk->live != NULL && chunk->live->broken)
		return WIRE_EBADCOPY;
	*wait = true;
	return WIRE_OK;
}

static void start_entry(struct store_request *request, uint32_t index)
{
	struct store_sync_entry *entry = &request->u.sync.entries[index];
	const struct wire_range *range = &request->u.sync.ranges[index];
	struct store_chunk *chunk = NULL;
	bool must_wait = false;
	uint32_t status;

	if (request->volume != NULL)
		chunk = store_chunk_find(request->volume,
					 le64_to_cpu(range->chunk));
	status = check_entry(chunk, le32_to_cpu(range->length), &must_wait);
	if (must_wait && store_chunk_live(chunk) == NULL) {
		status = WIRE_EIO;
		must_wait = false;
	}
	if (!must_wait) {
		entry_ended(request, index, status);
		return;
	}
	store_chunk_count_on(chunk);
	entry->request = request;
	entry->index = index;
	entry->wait.fn = entry_durable;
	store_chunk_make_durable(chunk, le32_to_cpu(range->length),
				 &entry->wait);
}

void store_sync_run(struct store_request *request)
{
	const struct wire_sync *body = &request->body.sync;
	struct store_sync *sync = &request->u.sync;
	uint32_t i, status, count = le32_to_cpu(body->count);

	if (count == 0 || count > WIRE_SYNC_MAX ||
	    request->data_len != count * sizeof(struct wire_range))
		status = WIRE_EINVAL;
	else
		status = store_request_epoch(request, le64_to_cpu(body->volume),
					     le64_to_cpu(body->epoch), false);
	if (status == WIRE_OK) {
		sync->entries = calloc(count, sizeof(*sync->entries));
		if (sync->entries == NULL)
			status = WIRE_EIO;
	}
	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	sync->ranges = request->copied;
	sync->count = count;
	/* One more, so that the answer cannot come before the last start. */
	sync->pending = count + 1;
	for (i = 0; i < count; i++)
		start_entry(request, i);
	if (--sync->pending == 0)
		answer(request, WIRE_OK);
}
