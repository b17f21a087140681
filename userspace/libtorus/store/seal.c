// SPDX-License-Identifier: Apache-2.0
/*
 * SEAL: the copy becomes exactly the first L blocks, for ever.
 *
 *   run -> (queue behind another seal) -> (appends in flight end)
 *       -> compare: shorter EOFFSET | other crc ECONFLICT | longer: walk to L
 *       -> data and name durable -> JOURNAL_SEAL durable -> apply -> answer
 *
 * Nothing of the file is changed before the journal has the length; from then
 * on the length comes from there, whatever the file holds behind it. That is
 * why a copy that was cut cannot come back longer after a crash.
 */
#include <stdlib.h>

#include "store/chain.h"
#include "store/private.h"
#include "store/request.h"

static void run_held(struct store_request *request);

void store_chunk_reply(struct store_request *request)
{
	struct wire_chunk_reply *reply = &request->reply.chunk;
	const struct store_chunk *chunk = request->chunk;

	reply->incarnation = request->store->incarnation;
	if (request->volume != NULL)
		reply->epoch = cpu_to_le64(request->volume->epoch_seen);
	if (chunk == NULL)
		return;
	reply->chunk_epoch = cpu_to_le64(chunk->seal_epoch);
	reply->length = cpu_to_le32(store_chunk_length(chunk));
	reply->durable = cpu_to_le32(store_chunk_was_durable(chunk));
	reply->sealed = cpu_to_le32(!!(chunk->flags & STORE_CHUNK_SEALED));
	reply->end_crc = cpu_to_le32(store_chunk_end_crc(chunk));
}

static void answer(struct store_request *request, uint32_t status)
{
	if (status == WIRE_OK &&
	    store_request_fenced(request, request->u.seal.epoch))
		status = WIRE_EFENCED;
	store_chunk_reply(request);
	store_request_finish(request, status);
}

/* The chunk is free for the next seal, if one waits. */
static void end_turn(struct store_request *request, uint32_t status)
{
	struct store_chunk *chunk = request->chunk;
	struct store_chunk_live *live = chunk->live;
	struct store_request *next = NULL;

	live->sealing = NULL;
	if (!list_empty(&live->seal_queue)) {
		next = list_first_entry(&live->seal_queue,
					struct store_request, queue);
		list_del_init(&next->queue);
	}
	answer(request, status);
	if (next != NULL)
		run_held(next);		/* holds the chunk itself */
}

uint32_t store_seal_apply(struct store_chunk *chunk, uint64_t epoch,
			  uint32_t length, uint32_t end_crc)
{
	struct store_chunk_live *live = chunk->live;
	uint32_t had = store_chunk_footprint(chunk);

	store_chunk_set_sealed(chunk, epoch, length, end_crc);
	live->done = (struct store_tail){ .block = length, .crc = end_crc };
	live->issued = live->done;
	store_syncer_cut(&live->data, length);
	live->damaged_block = UINT32_MAX;
	live->broken = false;
	live->found_blocks = length;
	list_del_init(&live->dirty);
	list_del_init(&live->log_node);
	store_tell_changed(chunk);
	return had;
}

void store_seal_finish(struct store_chunk *chunk, uint64_t epoch,
		       uint32_t length, uint32_t end_crc)
{
	uint32_t had = store_seal_apply(chunk, epoch, length, end_crc);

	if (had <= length)
		return;
	store_space_add(chunk->volume->store,
			-(int64_t)(had - length) * BLOCK_SIZE);
	if (chunk->flags & STORE_CHUNK_FILE)
		store_detached_punch(chunk, length);
}

static void seal_logged(struct store_journal_entry *entry, int err)
{
	struct store_seal *seal = container_of(entry, struct store_seal, entry);
	struct store_request *request =
		container_of(seal, struct store_request, u.seal);

	if (err == 0)
		store_seal_finish(request->chunk, seal->epoch, seal->length,
				  seal->end_crc);
	end_turn(request, err == 0 ? WIRE_OK : WIRE_EIO);
}

static void log_seal(struct store_request *request)
{
	struct store_seal *seal = &request->u.seal;
	const struct store_volume *volume = request->volume;
	struct disk_journal_seal *body = &seal->entry.body.seal;

	seal->entry.type = JOURNAL_SEAL;
	seal->entry.done = seal_logged;
	body->volume = cpu_to_le64(volume->id);
	body->chunk = cpu_to_le64(request->chunk->number);
	body->epoch = cpu_to_le64(seal->epoch);
	body->length = cpu_to_le32(seal->length);
	body->end_crc = cpu_to_le32(seal->end_crc);
	body->root = cpu_to_le64(volume->root);
	body->root_sequence = cpu_to_le64(volume->root_sequence);
	store_journal_submit(&request->store->journal, &seal->entry);
}

static void made_durable(struct store_durable_wait *wait, int err)
{
	struct store_seal *seal = container_of(wait, struct store_seal,
					       durable);
	struct store_request *request =
		container_of(seal, struct store_request, u.seal);

	if (err < 0)
		end_turn(request, store_durable_status(err));
	else if (store_request_fenced(request, seal->epoch))
		end_turn(request, WIRE_EFENCED);
	else
		log_seal(request);
}

static void sync_it(struct store_request *request)
{
	struct store_seal *seal = &request->u.seal;

	seal->durable.fn = made_durable;
	store_chunk_make_durable(request->chunk, seal->length, &seal->durable);
}

struct cut {
	struct store_walk walk;
	struct store_request *request;
};

static void cut_walked(struct store_walk *walk, int err)
{
	struct cut *cut = container_of(walk, struct cut, walk);
	struct store_request *request = cut->request;
	const struct store_seal *seal = &request->u.seal;

	if (store_walk_failed(err))
		end_turn(request, WIRE_EIO);
	else if (err < 0 || walk->tail.block != seal->length ||
		 walk->tail.crc != seal->end_crc)
		end_turn(request, WIRE_ECONFLICT);
	else
		sync_it(request);
}

/* Longer than L: is L the end of a record with that CRC? */
static void walk_to_cut(struct store_request *request)
{
	struct cut *cut = calloc(1, sizeof(*cut));

	if (cut == NULL) {
		end_turn(request, WIRE_EIO);
		return;
	}
	free(request->copied);
	request->copied = cut;		/* freed with the request */
	cut->request = request;
	cut->walk.chunk = request->chunk;
	cut->walk.end = request->u.seal.length;
	cut->walk.check_from = UINT32_MAX;
	cut->walk.done = cut_walked;
	store_walk_start(&cut->walk);
}

/* No append is in flight and none is accepted. */
static void compare(struct store_request *request)
{
	const struct store_seal *seal = &request->u.seal;
	const struct store_chunk *chunk = request->chunk;
	uint32_t length = store_chunk_length(chunk);

	if (chunk->flags & STORE_CHUNK_BAD)
		sync_it(request);	/* answers when that is durable */
	else if (seal->length > length)
		end_turn(request, chunk->live->broken ? WIRE_EBADCOPY :
							 WIRE_EOFFSET);
	else if (seal->length < length && seal->length > 0)
		walk_to_cut(request);
	else if (seal->length > 0 &&
		 seal->end_crc != store_chunk_end_crc(chunk))
		end_turn(request, WIRE_ECONFLICT);
	else
		sync_it(request);
}

void store_seal_appends_ended(struct store_chunk *chunk)
{
	if (chunk->live->sealing != NULL)
		compare(chunk->live->sealing);
}

/* WIRE_EBUSY: go on; else the answer. */
static uint32_t check_sealed(const struct store_chunk *chunk,
			     const struct store_seal *seal)
{
	if (!(chunk->flags & STORE_CHUNK_SEALED) ||
	    (chunk->flags & STORE_CHUNK_BAD))
		return WIRE_EBUSY;
	if (chunk->length == seal->length && chunk->end_crc == seal->end_crc)
		return WIRE_OK;
	if (seal->epoch > chunk->seal_epoch)
		return WIRE_EBUSY;	/* the higher epoch decides */
	return chunk->length == seal->length ? WIRE_ECONFLICT : WIRE_ESEALED;
}

static void run_held(struct store_request *request)
{
	struct store_chunk_live *live = request->chunk->live;
	uint32_t status = check_sealed(request->chunk, &request->u.seal);

	if (status != WIRE_EBUSY) {
		struct store_chunk *chunk = request->chunk;

		/* A queue behind it has to move on, too. */
		live->sealing = request;
		store_chunk_hold(chunk);
		end_turn(request, status);
		store_chunk_release(chunk);
		return;
	}
	live->sealing = request;
	if (list_empty(&live->appends))
		compare(request);
}

static uint32_t find_chunk(struct store_request *request, uint64_t number)
{
	struct store_chunk *chunk;
	uint32_t status = store_request_chunk(request, number);

	if (status != WIRE_ENOCHUNK || request->u.seal.length > 0)
		return status;
	/* Not here, sealed as empty: remembered, so that it never comes. */
	chunk = store_chunk_get(request->volume, number);
	if (chunk == NULL || store_chunk_live(chunk) == NULL)
		return WIRE_EIO;
	if (chunk->flags & STORE_CHUNK_DELETING)
		return WIRE_EBUSY;
	request->chunk = chunk;
	store_chunk_hold(chunk);
	return WIRE_OK;
}

static uint32_t prepare(struct store_request *request)
{
	const struct wire_seal *body = &request->body.seal;
	struct store_seal *seal = &request->u.seal;
	uint64_t number = le64_to_cpu(body->chunk);
	uint32_t status;

	seal->epoch = le64_to_cpu(body->epoch);
	seal->length = le32_to_cpu(body->length);
	seal->end_crc = le32_to_cpu(body->end_crc);
	if (number == 0 || number > CHUNK_NUMBER_MAX || seal->epoch == 0 ||
	    seal->length > CHUNK_BLOCKS_MAX ||
	    (seal->length == 0 && seal->end_crc != 0))
		return WIRE_EINVAL;
	status = store_request_epoch(request, le64_to_cpu(body->volume),
				     seal->epoch, true);
	if (status != WIRE_OK)
		return status;
	return find_chunk(request, number);
}

void store_seal_run(struct store_request *request)
{
	uint32_t status = prepare(request);

	if (status == WIRE_OK)
		store_chunk_count_on(request->chunk);
	if (status != WIRE_OK)
		answer(request, status);
	else if (request->chunk->live->sealing != NULL)
		list_add_tail(&request->queue,
			      &request->chunk->live->seal_queue);
	else
		run_held(request);
}
