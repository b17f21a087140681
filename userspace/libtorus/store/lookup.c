// SPDX-License-Identifier: Apache-2.0
/*
 * LOOKUP: what is here of each of these chunks, from memory. What it calls
 * sealed is durable, under its name and in the journal: others delete their
 * copies on the strength of this answer. So a copy that is on its way out is
 * none from the moment its deletion begins.
 */
#include <string.h>

#include "store/private.h"
#include "store/request.h"

static void look(const struct store *store, struct wire_lookup_entry *entry)
{
	uint64_t id = le64_to_cpu(entry->volume);
	const struct store_volume *volume = store_volume_find(&store->index,
							      id);
	const struct store_chunk *chunk = NULL;
	enum wire_copy_state state = WIRE_COPY_NONE;

	if (volume != NULL)
		chunk = store_chunk_find(volume, le64_to_cpu(entry->chunk));
	if (volume != NULL ? volume->epoch_seen == UINT64_MAX :
			     store_condemned_has(&store->condemned, id))
		state = WIRE_COPY_DELETED;
	else if (chunk != NULL)
		state = store_copy_state(chunk);
	entry->epoch = 0;
	entry->length = 0;
	entry->end_crc = 0;
	entry->zero = 0;
	entry->state = cpu_to_le32(state);
	if (state == WIRE_COPY_NONE || state == WIRE_COPY_DELETED)
		return;
	entry->epoch = cpu_to_le64(chunk->seal_epoch);
	entry->length = cpu_to_le32(store_chunk_length(chunk));
	entry->end_crc = cpu_to_le32(store_chunk_end_crc(chunk));
}

void store_lookup_run(struct store_request *request)
{
	struct wire_lookup *reply = &request->reply.lookup;
	struct wire_lookup_entry *entries = request->copied;
	uint32_t i, count = le32_to_cpu(request->body.lookup.count);

	if (count == 0 || count > WIRE_LOOKUP_MAX ||
	    request->data_len != count * sizeof(*entries)) {
		store_request_finish(request, WIRE_EINVAL);
		return;
	}
	for (i = 0; i < count; i++)
		look(request->store, &entries[i]);
	reply->ring_version = cpu_to_le64(request->store->ring_version);
	reply->count = cpu_to_le32(count);
	request->out_copied.iov_base = entries;
	request->out_copied.iov_len = request->data_len;
	store_request_finish(request, WIRE_OK);
}
