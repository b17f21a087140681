// SPDX-License-Identifier: Apache-2.0
/*
 * READ. The blocks are not checked here: the reader has their checksums from
 * the map, and looks. A bad copy is read from all the same, as long as it has a
 * file: what the reader's checksums accept may be the last copy there is.
 */
#include <errno.h>
#include <string.h>

#include "store/private.h"
#include "store/request.h"

static void answer(struct store_request *request, uint32_t status)
{
	const struct wire_read *body = &request->body.read;
	struct wire_read_reply *reply = &request->reply.read;
	struct store_volume *attached = store_volume_find(
		&request->store->index, le64_to_cpu(body->attached));

	if (attached != NULL) {
		uint64_t epoch = le64_to_cpu(body->epoch);

		reply->epoch = cpu_to_le64(attached->epoch_seen);
		if (epoch != 0 && epoch < attached->epoch_seen)
			status = WIRE_EFENCED;
	}
	if (status == WIRE_OK) {
		reply->blocks = body->blocks;
		request->store->stats.reads++;
		request->store->stats.read_bytes += request->out.bytes;
		store_clients_moved(request, request->out.bytes);
	} else {
		store_buffer_give(&request->store->send, &request->out);
	}
	store_request_finish(request, status);
}

static void read_done(struct env_file_op *op)
{
	struct store_request *request = op->ctx;

	if (op->result < 0 || (uint64_t)op->result < op->length)
		answer(request, WIRE_EIO);
	else
		answer(request, WIRE_OK);
}

static void file_open(struct store_file_wait *wait, int err)
{
	struct store_request *request =
		container_of(wait, struct store_request, file_wait);
	uint64_t block = le32_to_cpu(request->body.read.block);

	if (err < 0) {
		answer(request, err == -ENOENT ? WIRE_EBADCOPY : WIRE_EIO);
		return;
	}
	memcpy(request->iov, request->out.iov,
	       request->out.count * sizeof(request->iov[0]));
	store_op_read(request->store, &request->op, request->chunk->live->file,
		      request->iov, (int)request->out.count,
		      block * BLOCK_SIZE, read_done, request);
}

static void with_buffer(struct store_pool_wait *wait)
{
	struct store_request *request =
		container_of(wait, struct store_request, pool_wait);
	uint32_t blocks = le32_to_cpu(request->body.read.blocks);

	if (!store_buffer_take(&request->store->send, &request->out,
			       blocks * BLOCK_SIZE)) {
		store_pool_queue(&request->store->send, wait);
		return;
	}
	request->file_wait.fn = file_open;
	if (store_file_get(request->chunk, false, &request->file_wait) == 0)
		file_open(&request->file_wait, 0);
}

static uint32_t check(struct store_request *request)
{
	const struct wire_read *body = &request->body.read;
	uint64_t block = le32_to_cpu(body->block);
	uint64_t blocks = le32_to_cpu(body->blocks);
	uint32_t status;

	if (blocks == 0 || blocks > WIRE_APPEND_MAX / BLOCK_SIZE ||
	    block + blocks > CHUNK_BLOCKS_MAX ||
	    le64_to_cpu(body->volume) == 0)
		return WIRE_EINVAL;
	request->volume = store_volume_find(&request->store->index,
					    le64_to_cpu(body->volume));
	status = store_request_chunk(request, le64_to_cpu(body->chunk));
	if (status != WIRE_OK)
		return status;
	if (block + blocks > store_chunk_length(request->chunk))
		return request->chunk->flags & STORE_CHUNK_BAD ?
		       WIRE_EBADCOPY : WIRE_EOFFSET;
	return request->chunk->flags & STORE_CHUNK_FILE ? WIRE_OK :
							   WIRE_EBADCOPY;
}

void store_read_run(struct store_request *request)
{
	uint32_t status = check(request);

	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	request->pool_wait.fn = with_buffer;
	with_buffer(&request->pool_wait);
}
