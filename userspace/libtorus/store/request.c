// SPDX-License-Identifier: Apache-2.0
#include "store/request.h"

#include <errno.h>
#include <stdlib.h>

#include "store/private.h"

struct store_request *store_request_new(struct store *store)
{
	struct store_request *request;

	if (store->request_count >= STORE_REQUESTS_MAX)
		return NULL;
	request = calloc(1, sizeof(*request));
	if (request == NULL)
		return NULL;
	request->store = store;
	list_add_tail(&request->node, &store->requests);
	list_init(&request->owner_node);
	list_init(&request->queue);
	store->request_count++;
	return request;
}

void store_request_free(struct store_request *request)
{
	struct store *store = request->store;

	list_del_init(&request->node);
	list_del_init(&request->owner_node);
	store->request_count--;
	free(request->copied);
	if (request->type == WIRE_SYNC)
		free(request->u.sync.entries);
	store_request_give_data(request);
	store_buffer_give(&store->send, &request->out);
	free(request);
	store_close_step(store);
}

struct store_pool *store_receive_pool(struct store *store, uint16_t type)
{
	return type == WIRE_RESTORE ? &store->restore_receive :
				      &store->receive;
}

void store_request_give_data(struct store_request *request)
{
	store_buffer_give(store_receive_pool(request->store, request->type),
			  &request->in);
}

void store_request_finish(struct store_request *request, uint32_t status)
{
	struct store_chunk *chunk = request->chunk;

	request->status = status;
	if (status != WIRE_OK && status != WIRE_EFENCED)
		request->store->stats.errors++;
	if (chunk != NULL) {
		request->chunk = NULL;
		store_chunk_release(chunk);
	}
	request->done(request);
}

uint32_t store_durable_status(int err)
{
	if (err == 0)
		return WIRE_OK;
	return err == -EUCLEAN ? WIRE_EBADCOPY : WIRE_EIO;
}

bool store_request_maintenance(const struct store_request *request)
{
	return request->role == WIRE_ROLE_PEER ||
	       request->role == WIRE_ROLE_ADMIN;
}

/*
 * A higher epoch than the fenced one counts as seen at once, and is journaled
 * without anybody waiting for it: safety rests on FENCE alone, which is.
 */
static void remember_epoch(struct store_volume *volume, uint64_t epoch)
{
	struct store_journal_entry *entry = calloc(1, sizeof(*entry));

	volume->epoch_seen = epoch;
	if (entry == NULL)
		return;
	entry->heap = true;
	entry->type = JOURNAL_VOLUME;
	entry->body.volume.volume = cpu_to_le64(volume->id);
	entry->body.volume.epoch = cpu_to_le64(epoch);
	store_journal_submit(&volume->store->journal, entry);
}

bool store_epoch_valid(const struct store_volume *volume, uint64_t epoch)
{
	uint64_t seen = volume != NULL ? volume->epoch_seen : 0;

	return epoch <= STORE_EPOCH_MAX &&
	       (epoch <= seen || epoch - seen <= STORE_EPOCH_LEAP);
}

uint32_t store_request_epoch(struct store_request *request, uint64_t id,
			     uint64_t epoch, bool create)
{
	struct store_volume *volume =
		store_volume_find(&request->store->index, id);

	if (id == 0 || !store_epoch_valid(volume, epoch))
		return WIRE_EINVAL;
	if (volume == NULL && create)
		volume = store_volume_get(request->store, id);
	request->volume = volume;
	if (volume == NULL)
		return create ? WIRE_EIO : WIRE_OK;
	if (epoch < volume->epoch_seen)
		return WIRE_EFENCED;
	if (epoch > volume->epoch_seen)
		remember_epoch(volume, epoch);
	return WIRE_OK;
}

bool store_request_fenced(const struct store_request *request, uint64_t epoch)
{
	return request->volume != NULL && epoch < request->volume->epoch_seen;
}

uint32_t store_request_chunk(struct store_request *request, uint64_t number)
{
	struct store_chunk *chunk = NULL;

	if (request->volume != NULL)
		chunk = store_chunk_find(request->volume, number);
	if (chunk == NULL || (chunk->flags & STORE_CHUNK_DELETING))
		return WIRE_ENOCHUNK;
	if (chunk->flags & STORE_CHUNK_RESTORING)
		return WIRE_EBUSY;
	if (store_chunk_live(chunk) == NULL)
		return WIRE_EIO;
	request->chunk = chunk;
	store_chunk_hold(chunk);
	return WIRE_OK;
}

typedef void (*verb_fn)(struct store_request *request);

static void ping_run(struct store_request *request)
{
	store_request_finish(request, WIRE_OK);
}

static const struct {
	verb_fn run;
	bool changes;			/* needs a journal that works */
} verbs[WIRE_TYPE_COUNT] = {
	[WIRE_PING] = { ping_run },
	[WIRE_APPEND] = { store_append_run, true },
	[WIRE_SYNC] = { store_sync_run, true },
	[WIRE_READ] = { store_read_run },
	[WIRE_FENCE] = { store_fence_run, true },
	[WIRE_SCAN] = { store_scan_run },
	[WIRE_SEAL] = { store_seal_run, true },
	[WIRE_STAT_CHUNK] = { store_stat_chunk_run },
	[WIRE_LIST] = { store_list_run },
	[WIRE_DELETE] = { store_delete_run, true },
	[WIRE_STAT] = { store_stat_run },
	[WIRE_RESTORE] = { store_restore_run, true },
	[WIRE_LOOKUP] = { store_lookup_run },
	[WIRE_CHECK] = { store_check_run },
	[WIRE_MAINTENANCE] = { store_maintenance_run },
	[WIRE_VOLUMES] = { store_volumes_run },
	[WIRE_RECALL] = { store_recall_run },
};

void store_request_run(struct store_request *request)
{
	verb_fn run = request->type < WIRE_TYPE_COUNT ?
		      verbs[request->type].run : NULL;

	if (run == NULL || (request->flags & WIRE_FORCE_TAIL))
		store_request_finish(request, WIRE_EINVAL);
	else if (verbs[request->type].changes &&
		 store_refuses_changes(request->store))
		store_request_finish(request, WIRE_EIO);
	else
		run(request);
}
