// SPDX-License-Identifier: Apache-2.0
/*
 * From waiting requests to the extents, CRCs and iov of one record. Data stays
 * where the submitter put it: the iov points there.
 *
 * A request is never split over two records unless not even an empty chunk
 * could hold it: then its blocks go out in pieces, `progress` says how far it
 * is, and it stays at the head of the queue until its last piece is taken.
 *
 * Pages of a checkpoint and relocations share records with users' writes, but
 * get half of each record when both wait; a root has a record of its own.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "volume/internal.h"

#define SHARED_BLOCKS (RECORD_PAYLOAD_BLOCKS_MAX / 2)

/* Blocks of payload that @req still has to send. */
static uint32_t request_payload(const struct volume_request *req)
{
	if (req->op != VOLUME_WRITE)
		return 0;
	return (uint32_t)(req->length >> BLOCK_SHIFT) - req->progress;
}

/* Whether one more extent with @blocks of payload fits. */
static bool fits(const struct record *r, uint32_t blocks, uint32_t room,
		 uint32_t payload_max)
{
	uint32_t payload = r->payload_blocks + blocks;

	return r->extent_count < RECORD_EXTENTS_MAX && payload <= payload_max &&
	       record_header_blocks(r->extent_count + 1, payload) + payload <=
	       room;
}

/* The extent continues the previous one where it can. */
static void add_extent(struct record *r, enum extent_kind kind, uint64_t first,
		       uint32_t count, block_addr_t source)
{
	struct extent *e;

	if (r->extent_count > 0) {
		e = &r->extents[r->extent_count - 1];
		if (e->kind == kind && e->first + e->count == first &&
		    (!source || e->source + e->count == source) &&
		    kind != EXTENT_ROOT && e->count <= UINT32_MAX - count) {
			e->count += count;
			return;
		}
	}
	e = &r->extents[r->extent_count++];
	e->kind = kind;
	e->first = first;
	e->count = count;
	e->source = source;
}

static void add_payload(struct flight *flight, const void *data,
			uint32_t blocks)
{
	struct record *r = &flight->record;
	const uint8_t *block = data;
	struct iovec *last = &flight->iov[flight->iov_count - 1];
	uint32_t i;

	for (i = 0; i < blocks; i++, block += BLOCK_SIZE)
		r->payload_crc[r->payload_blocks++] =
			crc32c(0, block, BLOCK_SIZE);
	if (flight->iov_count > 1 &&
	    (const uint8_t *)last->iov_base + last->iov_len == data) {
		last->iov_len += (size_t)blocks * BLOCK_SIZE;
		return;
	}
	flight->iov[flight->iov_count].iov_base = (void *)data;
	flight->iov[flight->iov_count++].iov_len = (size_t)blocks * BLOCK_SIZE;
}

static void take_blocks(struct volume *v, struct flight *flight,
			struct volume_request *req, uint32_t blocks)
{
	add_extent(&flight->record, EXTENT_DATA,
		   (req->offset >> BLOCK_SHIFT) + req->progress, blocks, 0);
	add_payload(flight, (uint8_t *)req->buffer +
		    (size_t)req->progress * BLOCK_SIZE, blocks);
	req->progress += blocks;
	cleaner_users_took(v, blocks);
	v->writer.waiting_bytes -= (uint64_t)blocks * BLOCK_SIZE;
}

static void take_request(struct volume *v, struct flight *flight,
			 struct volume_request *req)
{
	if (req->op == VOLUME_WRITE)
		take_blocks(v, flight, req, request_payload(req));
	else
		add_extent(&flight->record, EXTENT_ZERO,
			   req->offset >> BLOCK_SHIFT,
			   (uint32_t)(req->length >> BLOCK_SHIFT), 0);
	flight->durable |= req->fua;
	list_move_tail(&req->node, &flight->requests);
}

/* The most payload that a record in an otherwise empty chunk can carry. */
static uint32_t largest_payload(const struct volume *v)
{
	uint32_t room = v->doc.chunk_blocks - 1;
	uint32_t blocks = MIN(RECORD_PAYLOAD_BLOCKS_MAX, room - 1);

	while (record_header_blocks(1, blocks) + blocks > room)
		blocks--;
	return blocks;
}

/* A request that no record can hold: as much of it as there is room for. */
static void take_piece(struct volume *v, struct flight *flight,
		       struct volume_request *req, uint32_t room)
{
	uint32_t blocks = MIN(largest_payload(v), room - 1);

	while (blocks > 0 && !fits(&flight->record, blocks, room,
				   RECORD_PAYLOAD_BLOCKS_MAX))
		blocks--;
	if (blocks == 0)
		return;
	take_blocks(v, flight, req, blocks);
	flight->partial = req;
}

static void take_requests(struct volume *v, struct flight *flight,
			  uint32_t room, uint32_t payload_max)
{
	struct writer *w = &v->writer;
	struct volume_request *req;

	while (!list_empty(&w->waiting)) {
		req = list_first_entry(&w->waiting, struct volume_request, node);
		if (flight->record.extent_count == 0 &&
		    request_payload(req) > largest_payload(v)) {
			take_piece(v, flight, req, room);
			return;
		}
		if (!fits(&flight->record, request_payload(req), room,
			  flight->record.extent_count == 0 ?
			  RECORD_PAYLOAD_BLOCKS_MAX : payload_max))
			return;
		take_request(v, flight, req);
	}
}

static void take_write(struct flight *flight, struct log_write *write)
{
	add_extent(&flight->record, write->kind, write->first, write->blocks,
		   write->source);
	add_payload(flight, write->data, write->blocks);
	list_move_tail(&write->node, &flight->writes);
}

static void take_moves(struct volume *v, struct flight *flight, uint32_t room,
		       uint32_t payload_max)
{
	struct writer *w = &v->writer;
	struct log_write *write;

	while (!list_empty(&w->moves)) {
		write = list_first_entry(&w->moves, struct log_write, node);
		if (!fits(&flight->record, write->blocks, room, payload_max) ||
		    flight->iov_count == PEER_CALL_IOV_MAX)
			return;
		take_write(flight, write);
	}
}

static void take_writes(struct volume *v, struct flight *flight, uint32_t room)
{
	struct writer *w = &v->writer;
	struct log_write *write;

	while (!list_empty(&w->log_writes)) {
		write = list_first_entry(&w->log_writes, struct log_write, node);
		if ((write->kind == EXTENT_ROOT &&
		     flight->record.extent_count > 0) ||
		    !fits(&flight->record, write->blocks, room,
			  RECORD_PAYLOAD_BLOCKS_MAX))
			return;
		take_write(flight, write);
		if (write->kind == EXTENT_ROOT)
			return;
	}
}

static bool root_waits(const struct writer *w)
{
	return !list_empty(&w->log_writes) &&
	       list_first_entry(&w->log_writes, struct log_write,
				node)->kind == EXTENT_ROOT;
}

bool batch_build(struct volume *v, struct flight *flight, uint32_t room)
{
	struct writer *w = &v->writer;
	bool pages = !list_empty(&w->log_writes);
	bool moves = !list_empty(&w->moves) && writer_moves_may(v);
	uint32_t share = pages ? SHARED_BLOCKS : RECORD_PAYLOAD_BLOCKS_MAX;

	flight->iov_count = 1;		/* 0 is the header's */
	if (!root_waits(w) && writer_users_may(v))
		take_requests(v, flight, room, moves ? SHARED_BLOCKS : share);
	if (!root_waits(w) && moves && flight->partial == NULL)
		take_moves(v, flight, room, share);
	if (flight->partial == NULL)
		take_writes(v, flight, room);
	return flight->record.extent_count > 0;
}

void batch_undo(struct volume *v, struct flight *flight)
{
	struct writer *w = &v->writer;
	struct volume_request *req;
	struct log_write *write;

	if (flight->partial != NULL) {
		w->waiting_bytes += (uint64_t)flight->partial->progress *
				    BLOCK_SIZE;
		flight->partial->progress = 0;
		flight->partial = NULL;
	}
	while (!list_empty(&flight->requests)) {
		req = list_last_entry(&flight->requests, struct volume_request,
				      node);
		req->progress = 0;
		if (req->op == VOLUME_WRITE)
			w->waiting_bytes += req->length;
		list_del_init(&req->node);
		list_add(&req->node, &w->waiting);
	}
	while (!list_empty(&flight->writes)) {
		write = list_last_entry(&flight->writes, struct log_write, node);
		list_del_init(&write->node);
		list_add(&write->node, write->kind == EXTENT_RELOCATION ?
			 &w->moves : &w->log_writes);
	}
}
