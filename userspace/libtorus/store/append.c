// SPDX-License-Identifier: Apache-2.0
/*
 * APPEND. A record is checked as a whole, bytes and place in the chain, before
 * it is written, and it is answered only when it and all before it in the
 * chunk are written:
 *
 *   checked -> in flight (live->appends, in order of offset) -> written
 *           -> counted (live->done moves over it) -> [durable] -> answered
 *
 * live->issued is the end with all that is in flight, live->done the end of
 * what counts. When a write fails, it and everything behind it is answered
 * with the error; appends are refused until the last of those writes has come
 * back, since a late one could land on newer bytes. Then issued = done.
 *
 * The same record again is a retry: it waits with the first one if that is
 * still in flight; if it is counted, the header in the file is compared.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/private.h"
#include "store/request.h"

static struct store_request *append_request(struct store_append *append)
{
	return container_of(append, struct store_request, u.append);
}

static void answer(struct store_request *request, uint32_t status)
{
	struct wire_append_reply *reply = &request->reply.append;

	if (status == WIRE_OK &&
	    store_request_fenced(request, request->u.append.epoch))
		status = WIRE_EFENCED;
	if (request->volume != NULL)
		reply->epoch = cpu_to_le64(request->volume->epoch_seen);
	if (request->chunk != NULL)
		reply->length =
			cpu_to_le32(store_chunk_length(request->chunk));
	reply->incarnation = request->store->incarnation;
	store_request_finish(request, status);
}

static void made_durable(struct store_durable_wait *wait, int err)
{
	struct store_append *append =
		container_of(wait, struct store_append, durable);
	uint32_t status = store_durable_status(err);

	if (err == 0 && store_chunk_length(wait->chunk) < append->tail.block)
		status = WIRE_ESEALED;	/* it was cut off meanwhile */
	answer(append_request(append), status);
}

/* The record was counted, now or before; a seal may have cut it off since. */
static void answer_counted(struct store_request *request)
{
	struct store_append *append = &request->u.append;

	if (store_chunk_length(request->chunk) < append->tail.block) {
		answer(request, WIRE_ESEALED);
		return;
	}
	if (!(request->flags & WIRE_DURABLE)) {
		answer(request, WIRE_OK);
		return;
	}
	append->durable.fn = made_durable;
	store_chunk_make_durable(request->chunk, append->tail.block,
				 &append->durable);
}

static void answer_written(struct store_request *request, uint32_t status)
{
	if (status == WIRE_OK)
		answer_counted(request);
	else
		answer(request, status);
}

/* ---- counting ----------------------------------------------------------- */

static void count_record(struct store_chunk *chunk,
			 const struct store_append *append)
{
	struct store_volume *volume = chunk->volume;
	struct store_chunk_live *live = chunk->live;

	live->done = append->tail;
	live->data.written = append->tail.block;
	live->damaged_block = UINT32_MAX;
	if (append->root != 0 &&
	    append->root_sequence > volume->root_sequence) {
		volume->root = append->root;
		volume->root_sequence = append->root_sequence;
	}
	volume->store->stats.appends++;
}

/* Takes @append out of the chunk and answers it and its retries. */
static void end_append(struct store_chunk *chunk, struct store_append *append,
		       uint32_t status)
{
	struct store_request *request = append_request(append), *follower;
	struct list_head answers;

	list_init(&answers);
	list_splice_tail_init(&append->followers, &answers);
	list_del_init(&append->node);
	list_del_init(&append->volume_node);
	store_fence_append_ended(chunk->volume, append->epoch);
	list_add(&request->queue, &answers);
	while (!list_empty(&answers)) {
		follower = list_first_entry(&answers, struct store_request,
					    queue);
		list_del_init(&follower->queue);
		answer_written(follower, status);
	}
}

/* What overwrites the damaged end of a file takes no more space than that. */
static void set_issued(struct store_chunk *chunk, struct store_tail tail)
{
	int64_t had = store_chunk_footprint(chunk);

	chunk->live->issued = tail;
	store_space_add(chunk->volume->store,
			(store_chunk_footprint(chunk) - had) * BLOCK_SIZE);
}

static void all_ended(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;

	if (live->failing != WIRE_OK) {
		/* A part of it may be there, until the chunk is sealed. */
		if (chunk->flags & STORE_CHUNK_FILE)
			live->found_blocks = MAX(live->found_blocks,
						 live->issued.block);
		set_issued(chunk, live->done);
		live->failing = WIRE_OK;
	}
	store_chunk_dirty(chunk);
	store_seal_appends_ended(chunk);
}

static void advance(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct store_append *first;

	while (!list_empty(&live->appends)) {
		first = list_first_entry(&live->appends, struct store_append,
					 node);
		if (!first->written)
			return;
		if (live->failing == WIRE_OK)
			live->failing = first->status;
		if (live->failing == WIRE_OK)
			count_record(chunk, first);
		end_append(chunk, first, live->failing);
	}
	all_ended(chunk);
}

static void finish_write(struct store_request *request, int64_t result)
{
	struct store_append *append = &request->u.append;
	struct store_chunk *chunk = request->chunk;

	if (result >= 0 && (uint64_t)result < request->data_len)
		result = -ENOSPC;
	append->written = true;
	if (result == -ENOSPC)
		store_space_look(chunk->volume->store);
	if (result < 0)
		append->status = result == -ENOSPC ? WIRE_ENOSPC : WIRE_EIO;
	store_chunk_hold(chunk);
	advance(chunk);
	store_chunk_release(chunk);
}

static void write_done(struct env_file_op *op)
{
	finish_write(op->ctx, op->result);
}

static void write_record(struct store_file_wait *wait, int err)
{
	struct store_request *request =
		container_of(wait, struct store_request, file_wait);
	uint64_t block = le32_to_cpu(request->body.append.block);

	if (err < 0) {
		finish_write(request, err);
		return;
	}
	memcpy(request->iov, request->in.iov,
	       request->in.count * sizeof(request->iov[0]));
	store_op_write_vec(request->store, &request->op,
			   request->chunk->live->file, request->iov,
			   (int)request->in.count, block * BLOCK_SIZE,
			   write_done, request);
}

static void issue(struct store_request *request)
{
	struct store_append *append = &request->u.append;

	list_add_tail(&append->node, &request->chunk->live->appends);
	list_add_tail(&append->volume_node, &request->volume->appends);
	set_issued(request->chunk, append->tail);
	request->store->stats.append_bytes += request->data_len;
	store_clients_moved(request, request->data_len);
	request->file_wait.fn = write_record;
	if (store_file_get(request->chunk, true, &request->file_wait) == 0)
		write_record(&request->file_wait, 0);
}

/* ---- retries ------------------------------------------------------------ */

static void retry_read(struct env_file_op *op)
{
	struct store_request *request = op->ctx;
	struct record *r = request->store->record;
	uint32_t status = WIRE_EOFFSET;

	if (op->result < 0)
		status = WIRE_EIO;
	else if (record_decode(request->out.iov[0].iov_base,
			       (size_t)op->result, r) == 0 &&
		 r->crc == request->u.append.tail.crc)
		status = WIRE_OK;
	store_buffer_give(&request->store->send, &request->out);
	answer_written(request, status);
}

static void retry_file_open(struct store_file_wait *wait, int err)
{
	struct store_request *request =
		container_of(wait, struct store_request, file_wait);
	uint64_t block = le32_to_cpu(request->body.append.block);

	if (err < 0) {
		answer(request, WIRE_EIO);
		return;
	}
	request->iov[0] = request->out.iov[0];
	store_op_read(request->store, &request->op, request->chunk->live->file,
		      request->iov, 1, block * BLOCK_SIZE, retry_read,
		      request);
}

static void compare_with_file(struct store_pool_wait *wait)
{
	struct store_request *request =
		container_of(wait, struct store_request, pool_wait);

	if (!store_buffer_take(&request->store->send, &request->out,
			       RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)) {
		store_pool_queue(&request->store->send, wait);
		return;
	}
	request->file_wait.fn = retry_file_open;
	if (store_file_get(request->chunk, false, &request->file_wait) == 0)
		retry_file_open(&request->file_wait, 0);
}

/* Not at the end: a retry of what is there, or a mistake. */
static void not_at_end(struct store_request *request)
{
	struct store_append *append = &request->u.append, *other;
	struct store_chunk_live *live = request->chunk->live;

	if (append->tail.block <= live->done.block) {
		request->pool_wait.fn = compare_with_file;
		compare_with_file(&request->pool_wait);
		return;
	}
	list_for_each_entry(other, &live->appends, node) {
		if (other->tail.block == append->tail.block &&
		    other->tail.crc == append->tail.crc &&
		    live->failing == WIRE_OK) {
			list_add_tail(&request->queue, &other->followers);
			return;
		}
	}
	answer(request, WIRE_EOFFSET);
}

/* ---- checking ----------------------------------------------------------- */

static uint32_t check_payload(const struct record *r,
			      const struct store_buffer *buf)
{
	uint32_t at = r->header_blocks, left = r->payload_blocks;
	const uint32_t per_segment = STORE_SEGMENT_SIZE / BLOCK_SIZE;
	struct record part = *r;

	while (left > 0) {
		uint32_t inside = at % per_segment;
		const uint8_t *base = buf->iov[at / per_segment].iov_base;

		part.payload_blocks = MIN(left, per_segment - inside);
		if (record_check_payload(&part, base + inside * BLOCK_SIZE) < 0)
			return WIRE_EBADCRC;
		part.payload_crc += part.payload_blocks;
		at += part.payload_blocks;
		left -= part.payload_blocks;
	}
	return WIRE_OK;
}

/* Fills in store->record. */
static uint32_t check_record(struct store_request *request)
{
	const struct wire_append *body = &request->body.append;
	const struct store_buffer *buf = &request->in;
	struct record *r = request->store->record;
	uint32_t block = le32_to_cpu(body->block);
	int err;

	if (le32_to_cpu(body->blocks) == 0 || buf->count == 0 ||
	    (uint64_t)le32_to_cpu(body->blocks) * BLOCK_SIZE !=
		    request->data_len ||
	    block >= CHUNK_BLOCKS_MAX || le64_to_cpu(body->chunk) == 0 ||
	    le64_to_cpu(body->chunk) > CHUNK_NUMBER_MAX)
		return WIRE_EINVAL;
	err = record_decode(buf->iov[0].iov_base, buf->iov[0].iov_len, r);
	if (err < 0)
		return err == -EPROTONOSUPPORT ? WIRE_EVERSION : WIRE_EBADCRC;
	if (r->volume != le64_to_cpu(body->volume) ||
	    r->chunk != le64_to_cpu(body->chunk) || r->block != block ||
	    r->epoch > le64_to_cpu(body->epoch) ||
	    record_blocks(r) != le32_to_cpu(body->blocks) ||
	    block + record_blocks(r) > CHUNK_BLOCKS_MAX)
		return WIRE_EINVAL;
	return check_payload(r, buf);
}

/* A copy of what other stores have lets a volume be attached, or flushed. */
static enum store_space_use use_of(const struct store_request *request,
				   const struct record *r)
{
	enum store_space_use use = STORE_SPACE_META;
	uint32_t i;

	if (request->flags & WIRE_COPY)
		return use;
	for (i = 0; i < r->extent_count; i++) {
		if (r->extents[i].kind == EXTENT_DATA)
			return STORE_SPACE_USER;
		if (r->extents[i].kind == EXTENT_RELOCATION)
			use = STORE_SPACE_CLEANING;
	}
	return use;
}

/* Whether @r, which lies at the end, is what comes next. */
static uint32_t check_place(const struct store_request *request,
			    const struct record *r)
{
	const struct store_chunk *chunk = request->chunk;
	const struct store_chunk_live *live = chunk->live;
	const struct store_tail *end = &live->issued;

	if (live->failing != WIRE_OK)
		return live->failing;
	if (end->block > 0 &&
	    (end->last || r->prev_crc != end->crc ||
	     r->sequence != end->sequence + 1))
		return WIRE_ECHAIN;
	if (!store_space_check(chunk->volume->store,
			       (uint64_t)record_blocks(r) * BLOCK_SIZE,
			       use_of(request, r)))
		return WIRE_ENOSPC;
	return WIRE_OK;
}

static uint32_t chunk_state(const struct store_chunk *chunk)
{
	if (chunk->flags & (STORE_CHUNK_DELETING | STORE_CHUNK_RESTORING))
		return WIRE_EBUSY;
	if (chunk->flags & STORE_CHUNK_BAD)
		return WIRE_EBADCOPY;
	if (chunk->flags & STORE_CHUNK_SEALED)
		return WIRE_ESEALED;
	if (chunk->live->broken)
		return WIRE_EBADCOPY;
	if (chunk->live->sealing != NULL)
		return WIRE_EBUSY;
	return WIRE_OK;
}

static uint32_t hold_chunk(struct store_request *request, uint64_t number)
{
	struct store_chunk *chunk = store_chunk_get(request->volume, number);

	if (chunk == NULL || store_chunk_live(chunk) == NULL)
		return WIRE_EIO;
	request->chunk = chunk;
	store_chunk_hold(chunk);
	store_chunk_count_on(chunk);
	return chunk_state(chunk);
}

static uint32_t prepare(struct store_request *request)
{
	const struct wire_append *body = &request->body.append;
	const struct record *r = request->store->record;
	struct store_append *append = &request->u.append;
	uint32_t status;

	list_init(&append->node);
	list_init(&append->volume_node);
	list_init(&append->followers);
	append->epoch = le64_to_cpu(body->epoch);
	status = check_record(request);
	if (status != WIRE_OK)
		return status;
	status = store_request_epoch(request, r->volume, append->epoch, true);
	if (status != WIRE_OK)
		return status;
	append->tail = (struct store_tail){
		.block = r->block + record_blocks(r),
		.crc = r->crc,
		.sequence = r->sequence,
		.last = (r->flags & RECORD_LAST) != 0,
	};
	append->root = r->root;
	append->root_sequence = r->sequence;
	return hold_chunk(request, r->chunk);
}

void store_append_run(struct store_request *request)
{
	const struct record *r = request->store->record;
	uint32_t status = prepare(request);

	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	if (r->block < request->chunk->live->issued.block) {
		not_at_end(request);
		return;
	}
	if (r->block > request->chunk->live->issued.block)
		status = WIRE_EOFFSET;
	else
		status = check_place(request, r);
	if (status == WIRE_OK)
		issue(request);
	else
		answer(request, status);
}
