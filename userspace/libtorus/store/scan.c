// SPDX-License-Identifier: Apache-2.0
/* SCAN: the headers of a chain, packed (wire/scan.h), a buffer at a time. */
#include <stdlib.h>
#include <string.h>

#include "store/chain.h"
#include "store/private.h"
#include "store/request.h"
#include "wire/scan.h"

/* Less cannot hold the largest header. */
#define SCAN_BYTES_MIN (RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)

struct scan {
	struct store_walk walk;
	struct store_request *request;
	uint32_t bytes_max, used, count;
	bool full;
};

static void answer(struct store_request *request, uint32_t status)
{
	const struct wire_scan *body = &request->body.scan;
	struct wire_scan_reply *reply = &request->reply.scan;
	const struct store_chunk *chunk = request->chunk;

	if (status == WIRE_OK && body->epoch != 0 &&
	    store_request_fenced(request, le64_to_cpu(body->epoch)))
		status = WIRE_EFENCED;
	if (request->volume != NULL)
		reply->epoch = cpu_to_le64(request->volume->epoch_seen);
	reply->incarnation = request->store->incarnation;
	if (chunk != NULL) {
		reply->length = cpu_to_le32(store_chunk_length(chunk));
		reply->durable = cpu_to_le32(store_chunk_durable(chunk));
		reply->sealed =
			cpu_to_le32(!!(chunk->flags & STORE_CHUNK_SEALED));
		reply->end_crc = cpu_to_le32(store_chunk_end_crc(chunk));
	}
	if (status != WIRE_OK || request->out.bytes == 0)
		store_buffer_give(&request->store->send, &request->out);
	store_request_finish(request, status);
}

static int add_header(struct store_walk *walk, const struct record *r,
		      const void *header)
{
	struct scan *scan = container_of(walk, struct scan, walk);
	struct store_buffer *out = &scan->request->out;
	uint32_t size = (uint32_t)scan_entry_size(r->header_bytes);
	uint32_t tail = size - (uint32_t)sizeof(__le32) - r->header_bytes;
	__le32 bytes = cpu_to_le32(r->header_bytes);
	static const uint8_t zeros[8];

	if (size > scan->bytes_max - scan->used) {
		scan->full = true;
		return 1;
	}
	store_buffer_copy(out, scan->used, &bytes, sizeof(bytes));
	store_buffer_copy(out, scan->used + (uint32_t)sizeof(bytes), header,
			  r->header_bytes);
	store_buffer_copy(out, scan->used + size - tail, zeros, tail);
	scan->used += size;
	scan->count++;
	scan->request->reply.scan.next_block =
		cpu_to_le32(r->block + record_blocks(r));
	return 0;
}

static void walked(struct store_walk *walk, int err)
{
	struct scan *scan = container_of(walk, struct scan, walk);
	struct store_request *request = scan->request;
	struct wire_scan_reply *reply = &request->reply.scan;
	uint32_t status = store_walk_failed(err) ? WIRE_EIO : WIRE_OK;

	store_buffer_resize(&request->out, scan->used);
	reply->count = cpu_to_le32(scan->count);
	reply->more = cpu_to_le32(scan->full);
	if (err < 0)
		reply->damaged_block = cpu_to_le32(walk->tail.block);
	answer(request, status);
}

static void start_walk(struct store_request *request, uint32_t start,
		       uint32_t end)
{
	struct scan *scan = calloc(1, sizeof(*scan));

	if (scan == NULL) {
		answer(request, WIRE_EIO);
		return;
	}
	request->copied = scan;
	scan->request = request;
	scan->bytes_max = request->out.bytes;
	scan->walk.chunk = request->chunk;
	scan->walk.start = start;
	scan->walk.end = end;
	scan->walk.check_from = UINT32_MAX;
	scan->walk.record = add_header;
	scan->walk.done = walked;
	store_walk_start(&scan->walk);
}

static void with_buffer(struct store_pool_wait *wait)
{
	struct store_request *request =
		container_of(wait, struct store_request, pool_wait);
	uint32_t start = le32_to_cpu(request->body.scan.block);
	uint32_t bytes = le32_to_cpu(request->body.scan.bytes_max);
	uint32_t length = store_chunk_length(request->chunk);

	bytes = bytes < STORE_BUFFER_MAX ? bytes : STORE_BUFFER_MAX;
	if (start >= length) {		/* also: cut while this waited */
		answer(request, WIRE_OK);
		return;
	}
	if (!store_buffer_take(&request->store->send, &request->out, bytes)) {
		store_pool_queue(&request->store->send, wait);
		return;
	}
	start_walk(request, start, length);
}

static uint32_t check(struct store_request *request)
{
	const struct wire_scan *body = &request->body.scan;
	uint32_t status, damaged;

	if (le32_to_cpu(body->bytes_max) < SCAN_BYTES_MIN)
		return WIRE_EINVAL;
	if (body->epoch == 0 && store_request_maintenance(request)) {
		request->volume = store_volume_find(&request->store->index,
						    le64_to_cpu(body->volume));
		status = WIRE_OK;
	} else {
		status = store_request_epoch(request, le64_to_cpu(body->volume),
					     le64_to_cpu(body->epoch), false);
	}
	if (status == WIRE_OK)
		status = store_request_chunk(request, le64_to_cpu(body->chunk));
	if (status != WIRE_OK)
		return status;
	if (body->epoch != 0)
		store_chunk_count_on(request->chunk);
	if (request->chunk->flags & STORE_CHUNK_BAD)
		return WIRE_EBADCOPY;
	if (le32_to_cpu(body->block) > store_chunk_length(request->chunk))
		return WIRE_EOFFSET;
	request->reply.scan.next_block = body->block;
	damaged = request->chunk->live->damaged_block;
	request->reply.scan.damaged_block = cpu_to_le32(damaged);
	return WIRE_OK;
}

void store_scan_run(struct store_request *request)
{
	uint32_t status;

	request->reply.scan.damaged_block = cpu_to_le32(UINT32_MAX);
	status = check(request);
	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	request->pool_wait.fn = with_buffer;
	with_buffer(&request->pool_wait);
}
