// SPDX-License-Identifier: Apache-2.0
/*
 * FENCE. From its arrival on, lower epochs are refused; it is answered when
 * that is durable, and when no append of a lower epoch is in flight any more:
 * after the answer nothing of theirs is counted, let alone acknowledged.
 */
#include "store/private.h"
#include "store/request.h"

static struct store_request *fence_request(struct store_fence *fence)
{
	return container_of(fence, struct store_request, u.fence);
}

static void answer(struct store_request *request, uint32_t status)
{
	struct wire_fence_reply *reply = &request->reply.fence;
	const struct store_volume *volume = request->volume;

	if (status == WIRE_OK &&
	    store_request_fenced(request,
				 le64_to_cpu(request->body.fence.epoch)))
		status = WIRE_EFENCED;
	if (volume != NULL) {
		reply->epoch = cpu_to_le64(volume->epoch_seen);
		reply->chunk_max = cpu_to_le64(volume->chunk_max);
		reply->root = cpu_to_le64(volume->root);
		reply->root_sequence = cpu_to_le64(volume->root_sequence);
	}
	reply->incarnation = request->store->incarnation;
	store_request_finish(request, status);
}

static void part_ended(struct store_fence *fence)
{
	if (--fence->pending > 0)
		return;
	list_del_init(&fence->node);
	answer(fence_request(fence), fence->status);
}

void store_fence_append_ended(struct store_volume *volume, uint64_t epoch)
{
	struct store_fence *fence, *next;

	list_for_each_entry_safe(fence, next, &volume->fences, node)
		if (epoch < fence->epoch)
			part_ended(fence);
}

static void fence_logged(struct store_journal_entry *entry, int err)
{
	struct store_fence *fence =
		container_of(entry, struct store_fence, entry);
	struct store_volume *volume = fence_request(fence)->volume;

	if (err < 0)
		fence->status = WIRE_EIO;
	else if (fence->epoch > volume->epoch_fenced)
		volume->epoch_fenced = fence->epoch;
	part_ended(fence);
}

static void count_old_appends(struct store_fence *fence)
{
	struct store_append *append;

	list_for_each_entry(append, &fence_request(fence)->volume->appends,
			    volume_node)
		if (append->epoch < fence->epoch)
			fence->pending++;
}

static void log_fence(struct store_fence *fence)
{
	const struct store_volume *volume = fence_request(fence)->volume;
	struct disk_journal_volume *body = &fence->entry.body.volume;

	fence->entry.type = JOURNAL_VOLUME;
	fence->entry.done = fence_logged;
	body->volume = cpu_to_le64(volume->id);
	body->epoch = cpu_to_le64(fence->epoch);
	body->root = cpu_to_le64(volume->root);
	body->root_sequence = cpu_to_le64(volume->root_sequence);
	body->chunk_max = cpu_to_le64(volume->chunk_max);
	store_journal_submit(&volume->store->journal, &fence->entry);
}

/* Seen from now on; log_fence() makes it durable, in one go with the rest. */
static uint32_t see_epoch(struct store_request *request, uint64_t id,
			  uint64_t epoch)
{
	struct store_volume *volume;

	volume = store_volume_find(&request->store->index, id);
	if (id == 0 || epoch == 0 || !store_epoch_valid(volume, epoch))
		return WIRE_EINVAL;
	volume = store_volume_get(request->store, id);
	request->volume = volume;
	if (volume == NULL)
		return WIRE_EIO;
	if (epoch < volume->epoch_seen)
		return WIRE_EFENCED;
	volume->epoch_seen = epoch;
	return WIRE_OK;
}

void store_fence_run(struct store_request *request)
{
	const struct wire_fence *body = &request->body.fence;
	struct store_fence *fence = &request->u.fence;
	uint32_t status;

	fence->epoch = le64_to_cpu(body->epoch);
	status = see_epoch(request, le64_to_cpu(body->volume), fence->epoch);
	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	fence->pending = 1;
	fence->status = WIRE_OK;
	list_add_tail(&fence->node, &request->volume->fences);
	count_old_appends(fence);
	if (request->volume->epoch_fenced >= fence->epoch)
		part_ended(fence);
	else
		log_fence(fence);
}
