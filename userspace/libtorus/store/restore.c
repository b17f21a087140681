// SPDX-License-Identifier: Apache-2.0
/*
 * RESTORE: a copy of a sealed chunk comes in pieces.
 *
 *   first piece -> checked, space taken for all of it -> file beside the copy
 *   piece -> its part of the chain verified, payload and all -> written ->
 *       answered -> the next of r->pieces, or PIECE_TIMEOUT for it to come
 *   last piece -> likewise, and the chain ends at exactly (length, end_crc) ->
 *       written -> file synced -> restore_place.c -> answered
 *
 * What is verified is the very memory that is written, as with an append. The
 * file is written past the cache: it is not read soon, and no disk gets a whole
 * chunk to write in one go, with the syncs of clients behind it.
 *
 * The file lies in the volume's directory as "CHUNK.restore-N", so that one
 * rename moves it to its place, and only what is verified and durable ever has
 * a chunk's name. A crash leaves such files to the next start, which removes
 * them before the store serves.
 *
 * A transfer is the store's, not a connection's. Whatever ends it gives back
 * its space and its file.
 */
#include "store/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/maintain.h"
#include "store/private.h"
#include "store/request.h"

#define PIECE_TIMEOUT (60 * NSEC_PER_SEC)
#define STALLED_AFTER (5 * NSEC_PER_SEC)	/* another sender may begin */
#define SUFFIX ".restore-"
#define PIECES_MAX 4u			/* that wait for the one at work */

bool store_restore_leftover(const char *name)
{
	return strspn(name, "0123456789abcdef") == 12 &&
	       strncmp(name + 12, SUFFIX, strlen(SUFFIX)) == 0;
}

/* ---- may it come? ------------------------------------------------------------ */

/*
 * An unsealed copy may be what a later writer counts on, whose SEAL has not
 * come yet: it gives way only to a seal that is no older than the last epoch
 * that asked for it, to a chain that has all of it, or to one that has all that
 * a published root counts on, since the log's end is looked for behind that
 * chunk for ever after.
 */
static bool has_what_counts(const struct store_restore *r,
			    const struct store_chunk *chunk)
{
	uint32_t settled = store_chunk_settled(chunk);

	return r->epoch >= store_chunk_counted_by(chunk) ||
	       (settled > 0 && r->length >= settled);
}

static uint32_t check_unsealed(const struct store_restore *r,
			       const struct store_chunk *chunk, bool taking)
{
	const struct store_chunk_live *live = chunk->live;
	uint32_t length = store_chunk_length(chunk);

	if (has_what_counts(r, chunk))
		return WIRE_OK;
	if ((chunk->flags & STORE_CHUNK_BAD) || live->broken)
		return chunk->length <= r->length ? WIRE_OK : WIRE_ECONFLICT;
	if (length > r->length)
		return WIRE_ECONFLICT;
	if (!taking || length == 0 ||
	    (r->here.block == length && r->here.crc == live->done.crc))
		return WIRE_OK;
	/* It has grown meanwhile, or is another chain. */
	return r->here.block == length ? WIRE_ECONFLICT : WIRE_EBUSY;
}

static uint32_t check_sealed(const struct store_restore *r,
			     const struct store_chunk *chunk)
{
	bool same = chunk->length == r->length && chunk->end_crc == r->end_crc;

	if (!(chunk->flags & STORE_CHUNK_BAD))
		return chunk->seal_epoch >= r->epoch ? WIRE_ESEALED : WIRE_OK;
	return chunk->seal_epoch < r->epoch || same ? WIRE_OK : WIRE_ECONFLICT;
}

uint32_t store_restore_check(const struct store_restore *r, bool taking)
{
	const struct store *store = r->store;
	const struct store_volume *volume = store_volume_find(&store->index,
							      r->volume);
	const struct store_chunk *chunk = NULL;

	if (volume != NULL)
		chunk = store_chunk_find(volume, r->number);
	if (volume != NULL ? volume->epoch_seen == UINT64_MAX :
			     store_condemned_has(&store->condemned, r->volume))
		return WIRE_EFENCED;
	if (!store_epoch_valid(volume, r->epoch))
		return WIRE_EINVAL;
	if (chunk == NULL)
		return WIRE_OK;
	if ((chunk->flags & STORE_CHUNK_DELETING) ||
	    (!taking && (chunk->flags & STORE_CHUNK_RESTORING)))
		return WIRE_EBUSY;
	return chunk->flags & STORE_CHUNK_SEALED ?
	       check_sealed(r, chunk) : check_unsealed(r, chunk, taking);
}

/* ---- endings ----------------------------------------------------------------- */

static void answer(struct store_request *request, uint32_t staged,
		   uint32_t status)
{
	const struct wire_restore *body = &request->body.restore;
	struct wire_restore_reply *reply = &request->reply.restore;
	const struct store_volume *volume = store_volume_find(
		&request->store->index, le64_to_cpu(body->volume));
	const struct store_chunk *chunk = NULL;

	if (volume != NULL)
		chunk = store_chunk_find(volume, le64_to_cpu(body->chunk));
	if (chunk != NULL) {
		reply->epoch = cpu_to_le64(chunk->seal_epoch);
		reply->sealed = cpu_to_le16(
			store_copy_state(chunk) == WIRE_COPY_SEALED &&
			chunk->seal_epoch >= le64_to_cpu(body->epoch));
	}
	reply->staged = cpu_to_le32(staged);
	reply->clients = cpu_to_le16(store_has_clients(request->store));
	store_request_finish(request, status);
}

static void forget(struct store_restore *r)
{
	struct store *store = r->store;

	env_timer_cancel(store->env, &r->timer);
	if (r->file >= 0)
		store_detached_close(store, r->file);
	if (r->exists)
		store_detached_unlink(store, r->path);
	list_del_init(&r->node);
	store->restore_count--;
	store_stream_release(&r->stream);
	free(r);
}

/* Pieces that wait for the end of a transfer: none can be due any more. */
static void answer_rest(struct list_head *pieces, uint32_t status)
{
	struct store_request *request;

	while (!list_empty(pieces)) {
		request = list_first_entry(pieces, struct store_request, queue);
		list_del_init(&request->queue);
		answer(request, 0, status == WIRE_OK ? WIRE_ESEALED : status);
	}
}

void store_restore_end(struct store_restore *r, uint32_t status)
{
	struct store_request *request = r->request;
	uint32_t staged = r->staged;
	struct list_head pieces;

	list_init(&pieces);
	list_splice_tail_init(&r->pieces, &pieces);
	/* What is in its place now is accounted as a chunk. */
	if (status != WIRE_OK)
		store_space_add(r->store, -(int64_t)r->length * BLOCK_SIZE);
	forget(r);
	answer(request, staged, status);
	answer_rest(&pieces, status);
}

static void give_up(struct store_restore *r)
{
	store_space_add(r->store, -(int64_t)r->length * BLOCK_SIZE);
	forget(r);
}

static void piece_missing(struct env_timer *timer)
{
	struct store_restore *r = container_of(timer, struct store_restore,
					       timer);

	log_info("store: the copy of chunk %012" PRIx64 " of volume %016" PRIx64 " that was being restored is given up: no piece came for %u s",
		 r->number, r->volume, (unsigned int)(PIECE_TIMEOUT / NSEC_PER_SEC));
	give_up(r);
}

void store_restores_drop(struct store *store, const struct store_volume *volume)
{
	struct store_restore *r, *next;

	list_for_each_entry_safe(r, next, &store->restores, node)
		if (r->request == NULL &&
		    (volume == NULL || r->volume == volume->id))
			give_up(r);
}

void store_restores_release(struct store *store)
{
	struct store_restore *r, *next;

	list_for_each_entry_safe(r, next, &store->restores, node) {
		env_timer_cancel(store->env, &r->timer);
		store_stream_release(&r->stream);
		free(r);
	}
}

/* ---- the whole --------------------------------------------------------------- */

static void closed(struct env_file_op *op)
{
	struct store_restore *r = op->ctx;

	r->file = -1;
	store_restore_place(r);
}

static void synced(struct env_file_op *op)
{
	struct store_restore *r = op->ctx;

	if (op->result < 0)
		store_restore_end(r, WIRE_EIO);
	else
		store_op_close(r->store, &r->op, r->file, closed, r);
}

static void note_record(struct store_stream *stream,
			const struct record *record)
{
	struct store_restore *r = container_of(stream, struct store_restore,
					       stream);

	if (stream->tail.block == r->here.block)
		r->here.crc = stream->tail.crc;
	if (record->root != 0 && record->sequence > r->root_sequence) {
		r->root = record->root;
		r->root_sequence = record->sequence;
	}
}

/* ---- one piece --------------------------------------------------------------- */

static void next_piece(struct store_restore *r);

static void piece_here(struct store_restore *r)
{
	struct store_request *request = r->request;
	uint32_t status;

	status = r->store->state == STORE_SERVING ?
		 store_restore_check(r, false) : WIRE_EBUSY;
	if (status != WIRE_OK) {
		store_restore_end(r, status);
		return;
	}
	if (r->staged == r->length) {
		store_op_sync(r->store, &r->op, r->file, synced, r);
		return;
	}
	answer(request, r->staged, WIRE_OK);
	next_piece(r);
}

static void piece_written(struct env_file_op *op)
{
	struct store_restore *r = op->ctx;

	if (op->result < 0 || (uint64_t)op->result < op->length) {
		store_restore_end(r, op->result < 0 && op->result != -ENOSPC ?
				     WIRE_EIO : WIRE_ENOSPC);
		return;
	}
	store_request_give_data(r->request);
	r->staged += le32_to_cpu(r->request->body.restore.blocks);
	piece_here(r);
}

/* The piece at work goes on with the chain, and the last one ends it. */
static bool piece_is_good(struct store_restore *r)
{
	const struct store_buffer *in = &r->request->in;
	uint32_t i, blocks = in->bytes / BLOCK_SIZE;

	for (i = 0; i < in->count; i++)
		if (store_stream_feed(&r->stream, in->iov[i].iov_base,
				      (uint32_t)in->iov[i].iov_len /
				      BLOCK_SIZE) < 0)
			return false;
	return r->staged + blocks < r->length ||
	       store_stream_ends(&r->stream, r->end_crc);
}

static void write_piece(struct store_restore *r)
{
	const struct store_buffer *in = &r->request->in;

	if (!piece_is_good(r)) {
		store_restore_end(r, WIRE_EBADCRC);
		return;
	}
	memcpy(r->iov, in->iov, in->count * sizeof(r->iov[0]));
	store_op_write_vec(r->store, &r->op, r->file, r->iov, (int)in->count,
			   (uint64_t)r->staged * BLOCK_SIZE, piece_written, r);
}

static void next_piece(struct store_restore *r)
{
	struct store_request *request;

	r->request = NULL;
	while (r->request == NULL && !list_empty(&r->pieces)) {
		request = list_first_entry(&r->pieces, struct store_request,
					   queue);
		list_del_init(&request->queue);
		r->piece_count--;
		if (le32_to_cpu(request->body.restore.block) == r->staged)
			r->request = request;
		else
			answer(request, r->staged, WIRE_EOFFSET);
	}
	if (r->request != NULL)
		write_piece(r);
	else
		env_timer_after(r->store->env, &r->timer, PIECE_TIMEOUT);
}

static void file_open(struct env_file_op *op)
{
	struct store_restore *r = op->ctx;

	if (op->result < 0) {
		log_error("store: cannot make %s: %s", r->path,
			  strerror((int)-op->result));
		store_restore_end(r, op->result == -ENOSPC ? WIRE_ENOSPC :
							     WIRE_EIO);
		return;
	}
	r->file = (int)op->result;
	r->exists = true;
	write_piece(r);
}

static void dir_ready(struct store_file_wait *wait, int err)
{
	struct store_restore *r = container_of(wait, struct store_restore, dir);

	if (err < 0) {
		store_restore_end(r, err == -ENOSPC ? WIRE_ENOSPC : WIRE_EIO);
		return;
	}
	snprintf(r->path, sizeof(r->path),
		 "chunks/%016" PRIx64 "/%012" PRIx64 SUFFIX "%x", r->volume,
		 r->number, r->store->restore_serial++);
	store_op_open(r->store, &r->op, r->path,
		      FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT, file_open, r);
}

/* ---- the verb ---------------------------------------------------------------- */

static struct store_restore *find(const struct store *store, uint64_t volume,
				  uint64_t number)
{
	struct store_restore *r;

	list_for_each_entry(r, &store->restores, node)
		if (r->volume == volume && r->number == number)
			return r;
	return NULL;
}

static void fill_in(struct store_restore *r, struct store *store,
		    const struct wire_restore *body)
{
	memset(r, 0, sizeof(*r));
	r->store = store;
	r->volume = le64_to_cpu(body->volume);
	r->number = le64_to_cpu(body->chunk);
	r->epoch = le64_to_cpu(body->epoch);
	r->length = le32_to_cpu(body->length);
	r->end_crc = le32_to_cpu(body->end_crc);
	r->token = body->token;
	r->file = -1;
}

static bool same_copy(const struct store_restore *r,
		      const struct store_restore *asked)
{
	return r->epoch == asked->epoch && r->length == asked->length &&
	       r->end_crc == asked->end_crc;
}

static bool well_formed(const struct store_request *request)
{
	const struct wire_restore *body = &request->body.restore;
	uint32_t length = le32_to_cpu(body->length);
	uint32_t block = le32_to_cpu(body->block);
	uint32_t blocks = le32_to_cpu(body->blocks);
	uint64_t number = le64_to_cpu(body->chunk);

	if (!store_request_maintenance(request) || body->volume == 0 ||
	    number == 0 || number > CHUNK_NUMBER_MAX || body->epoch == 0 ||
	    length > CHUNK_BLOCKS_MAX || blocks > WIRE_RESTORE_MAX ||
	    request->data_len != blocks * BLOCK_SIZE)
		return false;
	if (length == 0)
		return block == 0 && blocks == 0 && body->end_crc == 0;
	return blocks > 0 && block < length && blocks <= length - block;
}

/*
 * What the copy that is here takes comes back when the new one has its place:
 * until then some of what cleaning may use is for that. Else a full store could
 * never have a bad copy replaced.
 */
bool store_restore_has_room(struct store *store, uint64_t volume,
			    uint64_t number, uint32_t length)
{
	const struct store_volume *v = store_volume_find(&store->index, volume);
	const struct store_chunk *chunk = v ? store_chunk_find(v, number) : NULL;
	uint32_t had = chunk ? store_chunk_footprint(chunk) : 0;

	if (length > had &&
	    !store_space_check(store, (uint64_t)(length - had) * BLOCK_SIZE,
			       STORE_SPACE_USER))
		return false;
	return store_space_check(store, (uint64_t)length * BLOCK_SIZE,
				 STORE_SPACE_CLEANING);
}

static uint32_t check_begin(const struct store_restore *asked)
{
	struct store *store = asked->store;
	uint32_t status = store_restore_check(asked, false);

	if (status == WIRE_ECONFLICT)
		store_tell_unsettled(store, asked->volume, asked->number);
	if (status != WIRE_OK)
		return status;
	if (store->restore_count >= STORE_RESTORES_MAX)
		return WIRE_EBUSY;
	if (!store_restore_has_room(store, asked->volume, asked->number,
				    asked->length))
		return WIRE_ENOSPC;
	return WIRE_OK;
}

static struct store_restore *restore_new(const struct store_restore *asked,
					 const struct store_volume *volume)
{
	const struct store_chunk *chunk = store_chunk_find(volume,
							   asked->number);
	struct store_restore *r = malloc(sizeof(*r));

	if (r == NULL)
		return NULL;
	*r = *asked;
	if (store_stream_init(&r->stream, r->volume, r->number, r->length) < 0) {
		free(r);
		return NULL;
	}
	r->stream.record = note_record;
	r->here.block = chunk != NULL ? store_chunk_length(chunk) : 0;
	return r;
}

static void begin(struct store_request *request,
		  const struct store_restore *asked)
{
	struct store *store = request->store;
	struct store_volume *volume = store_volume_get(store, asked->volume);
	struct store_restore *r = NULL;

	if (volume != NULL)
		r = restore_new(asked, volume);
	if (r == NULL) {
		answer(request, 0, WIRE_EIO);
		return;
	}
	list_init(&r->pieces);
	env_timer_init(&r->timer, piece_missing);
	list_add_tail(&r->node, &store->restores);
	store->restore_count++;
	store_space_add(store, (int64_t)r->length * BLOCK_SIZE);
	r->request = request;
	if (r->length == 0) {
		store_restore_place(r);
		return;
	}
	r->dir.fn = dir_ready;
	if (store_dir_get(volume, &r->dir) == 0)
		dir_ready(&r->dir, 0);
}

/* Nothing came for a while: its sender may have found its own copy bad. */
static bool stalled(const struct store_restore *r)
{
	return r->request == NULL && env_timer_armed(&r->timer) &&
	       env_now(r->store->env) + PIECE_TIMEOUT >=
	       r->timer.when + STALLED_AFTER;
}

/* WIRE_OK: block 0 begins the transfer anew, another is the next piece. */
static uint32_t check_next(const struct store_restore *r,
			   const struct store_restore *asked, uint32_t block)
{
	if (block == 0 && stalled(r))
		return WIRE_OK;
	if (!uuid_equal(&r->token, &asked->token) ||
	    r->piece_count >= PIECES_MAX || (block == 0 && r->request != NULL))
		return WIRE_EBUSY;
	return block == 0 || same_copy(r, asked) ? WIRE_OK : WIRE_EINVAL;
}

static void take_piece(struct store_restore *r, struct store_request *request)
{
	list_add_tail(&request->queue, &r->pieces);
	r->piece_count++;
	if (r->request != NULL)
		return;
	env_timer_cancel(r->store->env, &r->timer);
	next_piece(r);
}

void store_restore_run(struct store_request *request)
{
	const struct wire_restore *body = &request->body.restore;
	uint32_t block = le32_to_cpu(body->block), status;
	struct store_restore asked, *r;

	if (!well_formed(request)) {
		answer(request, 0, WIRE_EINVAL);
		return;
	}
	fill_in(&asked, request->store, body);
	r = find(request->store, asked.volume, asked.number);
	status = r == NULL ? WIRE_OK : check_next(r, &asked, block);
	if (status != WIRE_OK) {
		answer(request, r->staged, status);
		return;
	}
	if (r != NULL && block != 0) {
		take_piece(r, request);
		return;
	}
	if (r != NULL)
		give_up(r);		/* it begins anew */
	status = check_begin(&asked);
	if (status == WIRE_OK && block != 0)
		status = WIRE_EOFFSET;
	if (status == WIRE_OK)
		begin(request, &asked);
	else
		answer(request, 0, status);
}
