// SPDX-License-Identifier: Apache-2.0
/*
 * What the maintenance in the same process sees of the store: its copies, from
 * memory, and what happens to them. The two verbs by which others speak to the
 * maintenance end here, too.
 */
#include "store/maintain.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "store/private.h"
#include "store/request.h"

/*
 * 64 KiB within two seconds are use of the store; less is what a volume does by
 * itself. The clock is asked only once in 64 KiB.
 */
#define CLIENTS_NS	(2 * NSEC_PER_SEC)
#define CLIENTS_BYTES	(64u << 10)

/* ---- clients --------------------------------------------------------------- */

void store_clients_moved(const struct store_request *request, uint32_t bytes)
{
	struct store *store = request->store;
	uint64_t now;

	if (request->role != WIRE_ROLE_VOLUME)
		return;
	store->clients.bytes += bytes;
	if (store->clients.bytes < CLIENTS_BYTES)
		return;
	now = env_now(store->env);
	if (now - store->clients.counted < CLIENTS_NS)
		store->clients.until = now + CLIENTS_NS;
	store->clients.counted = now;
	store->clients.bytes = 0;
}

bool store_has_clients(const struct store *store)
{
	return store->clients.until > env_now(store->env);
}

/* ---- copies ---------------------------------------------------------------- */

static bool shown(const struct store_chunk *chunk)
{
	return !(chunk->flags & STORE_CHUNK_DELETING) &&
	       chunk->volume->epoch_seen != UINT64_MAX;
}

enum wire_copy_state store_copy_state(const struct store_chunk *chunk)
{
	if (!shown(chunk))
		return WIRE_COPY_NONE;
	if ((chunk->flags & STORE_CHUNK_BAD) ||
	    (chunk->live != NULL && chunk->live->broken))
		return WIRE_COPY_BAD;
	return chunk->flags & STORE_CHUNK_SEALED ? WIRE_COPY_SEALED :
						   WIRE_COPY_OPEN;
}

static void describe(const struct store_chunk *chunk, struct store_copy *copy)
{
	*copy = (struct store_copy){
		.volume = chunk->volume->id,
		.chunk = chunk->number,
		.epoch = chunk->seal_epoch,
		.length = store_chunk_length(chunk),
		.end_crc = store_chunk_end_crc(chunk),
		.state = store_copy_state(chunk),
		.settled = store_chunk_settled(chunk),
	};
	if (copy->settled == 0)
		return;
	copy->settled_crc = chunk->live->settled_crc;
	copy->settled_epoch = chunk->live->settled_epoch;
}

bool store_copy_next(const struct store *store, uint64_t volume,
		     uint64_t number, struct store_copy *copy)
{
	struct store_chunk *chunk;

	while ((chunk = store_index_next(&store->index, volume, number)) !=
	       NULL) {
		if (shown(chunk)) {
			describe(chunk, copy);
			return true;
		}
		volume = chunk->volume->id;
		number = chunk->number;
	}
	return false;
}

void store_volume_seen(const struct store *store, uint64_t id,
		       struct store_volume_seen *seen)
{
	const struct store_volume *volume = store_volume_find(&store->index,
							      id);

	memset(seen, 0, sizeof(*seen));
	if (volume == NULL)
		return;
	seen->epoch = volume->epoch_seen;
	seen->root = volume->root;
	seen->tombstone = volume->tombstone;
}

bool store_copy_get(const struct store *store, uint64_t id, uint64_t number,
		    struct store_copy *copy)
{
	const struct store_volume *volume = store_volume_find(&store->index,
							      id);
	const struct store_chunk *chunk =
		volume != NULL ? store_chunk_find(volume, number) : NULL;

	if (chunk == NULL || !shown(chunk))
		return false;
	describe(chunk, copy);
	return true;
}

bool store_copy_settle(struct store *store, uint64_t id, uint64_t number,
		       uint32_t blocks, uint32_t end_crc, uint64_t epoch)
{
	const struct store_volume *volume = store_volume_find(&store->index,
							      id);
	struct store_chunk *chunk =
		volume != NULL ? store_chunk_find(volume, number) : NULL;

	if (chunk == NULL || (chunk->flags & STORE_CHUNK_SEALED) ||
	    chunk->live == NULL || epoch < volume->epoch_seen ||
	    store_chunk_settled(chunk) == blocks)
		return false;
	chunk->live->settled = blocks;
	chunk->live->settled_crc = end_crc;
	chunk->live->settled_epoch = epoch;
	return true;
}

/* ---- events ---------------------------------------------------------------- */

void store_set_events(struct store *store, const struct store_events *events,
		      void *ctx)
{
	store->events = events;
	store->events_ctx = ctx;
}

void store_set_ring_version(struct store *store, uint64_t version)
{
	store->ring_version = version;
}

static void tell(const struct store *store, const struct store_copy *copy)
{
	if (store->events != NULL && store->events->copy_changed != NULL)
		store->events->copy_changed(store->events_ctx, copy);
}

void store_tell_changed(const struct store_chunk *chunk)
{
	struct store_copy copy;

	describe(chunk, &copy);
	tell(chunk->volume->store, &copy);
}

void store_tell_unsettled(const struct store *store, uint64_t volume,
			  uint64_t number)
{
	if (store->events != NULL && store->events->unsettled != NULL)
		store->events->unsettled(store->events_ctx, volume, number);
}

void store_tell_gone(const struct store_chunk *chunk)
{
	struct store_copy copy = {
		.volume = chunk->volume->id,
		.chunk = chunk->number,
		.state = WIRE_COPY_NONE,
	};

	tell(chunk->volume->store, &copy);
}

/* ---- verbs ----------------------------------------------------------------- */

void store_check_run(struct store_request *request)
{
	const struct wire_check *body = &request->body.check;
	const struct store *store = request->store;
	uint32_t flags = le32_to_cpu(body->flags);

	if (body->volume == 0 || body->chunk == 0 ||
	    le64_to_cpu(body->chunk) > CHUNK_NUMBER_MAX || flags == 0 ||
	    (flags & ~(uint32_t)(WIRE_CHECK_VERIFY | WIRE_CHECK_PLACE))) {
		store_request_finish(request, WIRE_EINVAL);
		return;
	}
	if (store->events != NULL && store->events->check != NULL)
		store->events->check(store->events_ctx,
				     le64_to_cpu(body->volume),
				     le64_to_cpu(body->chunk), flags);
	store_request_finish(request, WIRE_OK);
}

static uint32_t ask_maintenance(struct store_request *request)
{
	const struct store_events *events = request->store->events;
	uint32_t action = le32_to_cpu(request->body.maintenance.action);
	struct wire_finding *findings;
	uint32_t count;

	if (!store_request_maintenance(request) || events == NULL ||
	    events->maintenance == NULL ||
	    action >= WIRE_MAINTENANCE_ACTION_COUNT)
		return WIRE_EINVAL;
	findings = calloc(WIRE_FINDINGS_MAX, sizeof(*findings));
	if (findings == NULL)
		return WIRE_EIO;
	request->copied = findings;	/* freed with the request */
	count = events->maintenance(request->store->events_ctx, action,
				    &request->reply.maintenance, findings,
				    WIRE_FINDINGS_MAX);
	count = MIN(count, WIRE_FINDINGS_MAX);
	request->reply.maintenance.count = cpu_to_le32(count);
	request->out_copied.iov_base = findings;
	request->out_copied.iov_len = count * sizeof(*findings);
	return WIRE_OK;
}

void store_maintenance_run(struct store_request *request)
{
	store_request_finish(request, ask_maintenance(request));
}
