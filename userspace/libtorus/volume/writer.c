// SPDX-License-Identifier: Apache-2.0
/*
 * Records in flight.
 *
 * Position: (chunk, block) is where the next record goes. One block of every
 * chunk stays free until the record that is marked LAST, so that a header-only
 * record can always close it; a record with data is marked LAST itself when
 * what waits behind it does not fit any more.
 *
 * Acknowledgement: a record is acknowledged when all members have it and all
 * records before it are acknowledged. Only then do map, chunk table, `end` and
 * the requests learn of it. So what the log says and what was acknowledged are
 * always a prefix of each other.
 *
 * A record that failed on one member fails for good: tail_replica_failed()
 * decides L, which calls writer_requeue(), and the requests are built into new
 * records once the new tail is committed. The old record, a zombie, only waits
 * for its calls to end; its buffers are those of requests that are queued
 * again, so before the first of these is handed back what is left of the calls
 * is cancelled.
 *
 * Batching is natural: a second record leaves while another is in flight only
 * if it is big enough for its header not to matter.
 */
#include "volume/writer.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/internal.h"

#define MEMORY_RETRY	(10 * NSEC_PER_MSEC)

static void deadline_fired(struct env_timer *timer);

static void memory_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, writer.memory));
}

int writer_init(struct volume *v)
{
	struct writer *w = &v->writer;

	list_init(&w->waiting);
	list_init(&w->log_writes);
	list_init(&w->moves);
	list_init(&w->flights);
	list_init(&w->zombies);
	env_timer_init(&w->deadline, deadline_fired);
	env_timer_init(&w->memory, memory_fired);
	return pool_init(&w->pool, sizeof(struct flight), _Alignof(struct flight),
			 WRITER_FLIGHTS);
}

/* Where the log goes on after what is acknowledged. */
static void seek_end(struct volume *v)
{
	struct writer *w = &v->writer;

	w->chunk = v->end.chunk;
	w->block = v->end.block;
	w->sequence = v->end.last.sequence;
	w->prev_crc = v->end.last.header_crc;
}

void writer_start(struct volume *v)
{
	seek_end(v);
}

static void cancel_calls(struct flight *flight)
{
	uint32_t i;

	for (i = 0; i < flight->member_count; i++) {
		if (!flight->members[i].busy)
			continue;
		flight->members[i].busy = false;
		flight->pending--;
		peer_call_cancel(&flight->members[i].call);
	}
}

static void flight_free(struct flight *flight)
{
	struct volume *v = flight->volume;

	list_del_init(&flight->node);
	pool_put(&v->writer.pool, flight);
}

void writer_zombies_cancel(struct volume *v)
{
	struct flight *flight;

	while (!list_empty(&v->writer.zombies)) {
		flight = list_first_entry(&v->writer.zombies, struct flight,
					  node);
		cancel_calls(flight);
		flight_free(flight);
	}
}

static void cancel_flights(struct volume *v)
{
	struct flight *flight;

	while (!list_empty(&v->writer.flights)) {
		flight = list_first_entry(&v->writer.flights, struct flight,
					  node);
		cancel_calls(flight);
		flight_free(flight);
	}
	v->writer.flight_count = 0;
}

void writer_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->writer.deadline);
	env_timer_cancel(v->env, &v->writer.memory);
	cancel_flights(v);
	writer_zombies_cancel(v);
	pool_release(&v->writer.pool);
}

bool writer_idle(const struct volume *v)
{
	return list_empty(&v->writer.waiting) && list_empty(&v->writer.flights);
}

bool writer_moves_may(const struct volume *v)
{
	return v->doc.sealed_count <= CHECKPOINT_SEALED_MAX &&
	       map_overlay_bytes(v->pages.map) < 2 * v->cfg.overlay_bytes;
}

bool writer_users_may(const struct volume *v)
{
	return writer_moves_may(v) && !cleaner_holds_users(v);
}

/* ---- requests --------------------------------------------------------- */

/* Parts of unaligned requests may be older than what they stand behind. */
static void arm_deadline(struct volume *v, const struct volume_request *req)
{
	env_timer_set_by(v->env, &v->writer.deadline, volume_deadline(v, req));
}

void writer_submit(struct volume *v, struct volume_request *req)
{
	req->progress = 0;
	if (req->op == VOLUME_WRITE && v->tail.full) {
		volume_finish(v, req, -ENOSPC);
		return;
	}
	if (req->op == VOLUME_WRITE)
		v->writer.waiting_bytes += req->length;
	list_add_tail(&req->node, &v->writer.waiting);
	arm_deadline(v, req);
	volume_kick(v);
}

void writer_log(struct volume *v, struct log_write *write)
{
	list_add_tail(&write->node, &v->writer.log_writes);
	volume_kick(v);
}

void writer_move(struct volume *v, struct log_write *write)
{
	list_add_tail(&write->node, &v->writer.moves);
	volume_kick(v);
}

/* Calls that are left of old records may point into their data. */
void writer_recall_moves(struct volume *v, struct list_head *list)
{
	if (list_empty(&v->writer.moves))
		return;
	writer_zombies_cancel(v);
	list_splice_tail_init(&v->writer.moves, list);
}

/* The request leaves the queue for good. */
static void fail_request(struct volume *v, struct volume_request *req, int err)
{
	if (req->op == VOLUME_WRITE)
		v->writer.waiting_bytes -=
			req->length - (uint64_t)req->progress * BLOCK_SIZE;
	writer_zombies_cancel(v);
	list_del_init(&req->node);
	volume_finish(v, req, err);
}

void writer_fail_data(struct volume *v, int err)
{
	struct volume_request *req, *next;

	list_for_each_entry_safe(req, next, &v->writer.waiting, node)
		if (req->op == VOLUME_WRITE)
			fail_request(v, req, err);
}

/*
 * A piece of the request may be in flight; then it ends with that flight, or
 * with the change of tail that a failure of the flight brings.
 */
static void deadline_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, writer.deadline);
	uint64_t now = env_now(v->env);
	struct volume_request *req, *next;

	list_for_each_entry_safe(req, next, &v->writer.waiting, node) {
		if (volume_deadline(v, req) > now)
			arm_deadline(v, req);
		else if (req->progress == 0)
			fail_request(v, req, -ETIMEDOUT);
		else
			env_timer_set_by(v->env, timer, now + NSEC_PER_SEC);
	}
}

/* ---- acknowledging ---------------------------------------------------- */

static void finish_writes(struct flight *flight)
{
	struct record *r = &flight->record;
	block_addr_t header = block_addr(r->chunk, r->block);
	uint32_t block = r->block + r->header_blocks, index = 0;
	struct log_write *write;
	uint32_t skip = r->payload_blocks;

	list_for_each_entry(write, &flight->writes, node)
		skip -= write->blocks;
	/* Requests come first in a record, log_writes after them. */
	block += skip;
	index += skip;
	while (!list_empty(&flight->writes)) {
		write = list_first_entry(&flight->writes, struct log_write, node);
		list_del_init(&write->node);
		write->sequence = r->sequence;
		write->done(write, header, r->crc,
			    block_addr(r->chunk, block),
			    &r->payload_crc[index]);
		block += write->blocks;
		index += write->blocks;
	}
}

static void finish_requests(struct flight *flight)
{
	struct volume *v = flight->volume;
	struct volume_request *req;

	while (!list_empty(&flight->requests)) {
		req = list_first_entry(&flight->requests, struct volume_request,
				       node);
		list_del_init(&req->node);
		req->sequence = flight->record.sequence;
		req->header_crc = flight->record.crc;
		sync_complete(v, req);
	}
}

static void advance_end(struct volume *v, const struct flight *flight)
{
	const struct record *r = &flight->record;
	struct active_chunk *chunk = flight->chunk;

	chunk->length = r->block + record_blocks(r);
	chunk->end_crc = r->crc;
	chunk->last_sequence = r->sequence;
	v->end.last.sequence = r->sequence;
	v->end.last.header_crc = r->crc;
	v->end.chunk = r->chunk;
	v->end.block = chunk->length;
	v->end.from_chunk = 0;
	if (r->flags & RECORD_LAST) {
		chunk->complete = true;
		v->end.chunk = r->chunk + 1;
		v->end.block = 0;
		sync_kick(v);
		checkpoint_lags(v);
	}
	v->log_since_root += (uint64_t)record_blocks(r) * BLOCK_SIZE;
	tail_took(v, r);
}

static void account(struct volume *v, const struct flight *flight)
{
	const struct record *r = &flight->record;
	const struct log_write *write;

	v->stats.records++;
	v->stats.record_bytes += (uint64_t)record_blocks(r) * BLOCK_SIZE;
	v->stats.header_bytes += (uint64_t)r->header_blocks * BLOCK_SIZE;
	list_for_each_entry(write, &flight->writes, node) {
		if (write->kind == EXTENT_RELOCATION)
			v->stats.relocated_bytes +=
				(uint64_t)write->blocks * BLOCK_SIZE;
		else
			v->stats.map_page_bytes +=
				(uint64_t)write->blocks * BLOCK_SIZE;
	}
}

/* The oldest record is on all members: it takes effect. */
static void acknowledge(struct volume *v, struct flight *flight)
{
	bool durable = flight->durable;

	v->writer.flight_count--;
	advance_end(v, flight);
	account(v, flight);
	if (pages_apply(v, &flight->record))
		volume_fail(v, VOLUME_OUT_OF_MEMORY,
			    "out of memory for the map of volume %s",
			    v->doc.name);
	pages_unreserve(v, &flight->record);
	writer_zombies_cancel(v);
	finish_requests(flight);
	finish_writes(flight);
	flight_free(flight);
	sync_acknowledged(v);
	if (durable)
		sync_update(v);
}

static void acknowledge_all(struct volume *v)
{
	struct writer *w = &v->writer;
	struct flight *flight;

	while (!list_empty(&w->flights)) {
		flight = list_first_entry(&w->flights, struct flight, node);
		if (flight->acked < flight->member_count)
			break;
		acknowledge(v, flight);
	}
	volume_kick(v);
}

/* What a member's answer to an APPEND says about it. */
static int check_answer(struct flight *flight, struct active_member *member,
			const struct peer_call *call)
{
	const struct wire_append_reply *reply = call->reply;
	uint32_t end = flight->record.block + record_blocks(&flight->record);
	int err;

	err = active_answered(member, &reply->incarnation);
	if (err)
		return err;
	if (le32_to_cpu(reply->length) < end)
		return -ESTALE;
	member->acked = MAX(member->acked, end);
	if (flight->durable)
		member->durable = MAX(member->durable, end);
	return 0;
}

static bool has_moves(const struct flight *flight)
{
	const struct log_write *write;

	list_for_each_entry(write, &flight->writes, node)
		if (write->kind == EXTENT_RELOCATION)
			return true;
	return false;
}

/* The flight may be gone after this. */
static void replica_failed(struct volume *v, struct flight *flight,
			   const struct uuid *id, int err)
{
	bool moves = err == -ENOSPC && has_moves(flight);

	tail_replica_failed(v, id, err);
	if (moves)
		cleaner_no_room(v);
}

static void append_done(struct peer_call *call)
{
	struct flight_member *fm = container_of(call, struct flight_member,
						call);
	struct flight *flight = fm->flight;
	struct volume *v = flight->volume;
	struct active_member *member;
	int err = volume_answer(v, call);

	fm->busy = false;
	flight->pending--;
	if (flight->zombie) {
		if (flight->pending == 0) {
			flight_free(flight);
			volume_kick(v);
		}
		return;
	}
	if (v->failing)
		return;
	member = active_member_of(flight->chunk, &fm->id);
	if (!err)
		err = check_answer(flight, member, call);
	if (err) {
		member->failed = true;
		replica_failed(v, flight, &fm->id, err);
		return;
	}
	flight->acked++;
	acknowledge_all(v);
}

/* ---- sending ---------------------------------------------------------- */

static struct flight *flight_new(struct volume *v, struct active_chunk *chunk)
{
	struct flight *flight = pool_get(&v->writer.pool);

	if (flight == NULL)
		return NULL;
	memset(flight, 0, offsetof(struct flight, iov));
	memset(&flight->record, 0, sizeof(flight->record));
	flight->volume = v;
	flight->chunk = chunk;
	flight->record.extents = flight->extents;
	flight->record.payload_crc = flight->payload_crc;
	list_init(&flight->node);
	list_init(&flight->requests);
	list_init(&flight->writes);
	return flight;
}

/* A durable append ends with a sync: as long as that may take, and its own. */
static uint64_t append_timeout(const struct flight *flight)
{
	const struct volume *v = flight->volume;
	uint64_t ns = VOLUME_CALL_TIMEOUTS * v->cfg.replica_timeout_ns;

	return flight->durable ? MAX(ns, volume_sync_timeout(v)) : ns;
}

static void send_to(struct flight *flight, struct flight_member *fm,
		    const struct active_member *member)
{
	const struct record *r = &flight->record;
	struct wire_append body;

	memset(&body, 0, sizeof(body));
	body.volume = cpu_to_le64(r->volume);
	body.chunk = cpu_to_le64(r->chunk);
	body.epoch = cpu_to_le64(flight->volume->epoch);
	body.block = cpu_to_le32(r->block);
	body.blocks = cpu_to_le32(record_blocks(r));
	fm->flight = flight;
	fm->id = member->id;
	fm->busy = true;
	fm->call.type = WIRE_APPEND;
	fm->call.flags = flight->durable ? WIRE_DURABLE : 0;
	fm->call.body = &body;
	fm->call.data = flight->iov;
	fm->call.data_count = (int)flight->iov_count;
	fm->call.data_len = flight->data_len;
	fm->call.timeout_ns = append_timeout(flight);
	fm->call.done = append_done;
	flight->pending++;
	peer_call(member->peer, &fm->call);
}

/* Gives the record its place in the log and its header. */
static void place(struct volume *v, struct flight *flight, bool last)
{
	struct writer *w = &v->writer;
	struct record *r = &flight->record;

	r->volume = v->doc.id;
	r->chunk = w->chunk;
	r->block = w->block;
	r->epoch = v->epoch;
	r->sequence = ++w->sequence;
	r->flushed = v->durable;
	r->root = v->doc.root.addr;
	r->root_crc = v->doc.root.crc;
	r->prev_crc = w->prev_crc;
	r->flags = last ? RECORD_LAST : 0;
	record_encode(r, flight->header);
	flight->iov[0].iov_base = flight->header;
	flight->iov[0].iov_len = (size_t)r->header_blocks * BLOCK_SIZE;
	flight->data_len = record_blocks(r) * BLOCK_SIZE;
	w->prev_crc = r->crc;
	w->block += record_blocks(r);
	flight->chunk->placed = w->block;
	if (last) {
		w->chunk++;
		w->block = 0;
	}
}

static void launch(struct volume *v, struct flight *flight)
{
	struct active_chunk *chunk = flight->chunk;
	uint32_t i;

	list_add_tail(&flight->node, &v->writer.flights);
	v->writer.flight_count++;
	flight->member_count = chunk->member_count;
	for (i = 0; i < chunk->member_count; i++)
		send_to(flight, &flight->members[i], &chunk->members[i]);
}

/* Blocks that the record at the head of the queue will need at least. */
static uint32_t next_needs(const struct writer *w)
{
	const struct volume_request *req;
	uint32_t blocks = 0;

	if (!list_empty(&w->waiting)) {
		req = list_first_entry(&w->waiting, struct volume_request, node);
		if (req->op == VOLUME_WRITE && req->progress == 0)
			blocks = (uint32_t)(req->length >> BLOCK_SHIFT);
	} else if (!list_empty(&w->log_writes)) {
		blocks = list_first_entry(&w->log_writes, struct log_write,
					  node)->blocks;
	} else if (!list_empty(&w->moves)) {
		blocks = list_first_entry(&w->moves, struct log_write,
					  node)->blocks;
	}
	blocks = MIN(blocks, RECORD_PAYLOAD_BLOCKS_MAX);
	return blocks + record_header_blocks(1, blocks);
}

/* Natural batching; see the top of the file. */
static bool worth_sending(const struct volume *v)
{
	const struct writer *w = &v->writer;
	bool moves = !list_empty(&w->moves) && writer_moves_may(v);
	bool users = !list_empty(&w->waiting) && writer_users_may(v);

	if (list_empty(&w->log_writes) && !moves && !users)
		return false;
	return w->flight_count == 0 || !list_empty(&w->log_writes) || moves ||
	       w->waiting_bytes >= WRITER_PIPELINE_BYTES;
}

/* The chunk that the next record goes to, or NULL if it cannot begin now. */
static struct active_chunk *current_chunk(struct volume *v)
{
	struct active_chunk *chunk = active_find(v, v->writer.chunk);
	int err;
	uint32_t i;

	if (chunk != NULL)
		return chunk;
	if (v->active.count >= ACTIVE_MAX) {
		/*
		 * sync_run() comes next in this turn. A kick would be one for
		 * each turn, without an end while that round is under way.
		 */
		v->sync.wanted = true;
		return NULL;
	}
	chunk = active_open(v, v->writer.chunk, &err);
	if (chunk == NULL) {
		if (err == -ENOENT)
			tail_renew(v, "its ensembles are not known any more");
		return NULL;
	}
	v->tail.begun++;
	tail_advanced(v, chunk->number);
	for (i = 0; i < chunk->member_count; i++) {
		if (chunk->members[i].peer != NULL)
			continue;
		tail_replica_failed(v, &chunk->members[i].id, -ENXIO);
		return NULL;
	}
	return chunk;
}

/* Builds and sends one record; false: nothing could be sent. */
static bool send_one(struct volume *v)
{
	struct writer *w = &v->writer;
	struct active_chunk *chunk = current_chunk(v);
	struct flight *flight;
	uint32_t room, used;
	bool last = true;

	if (chunk == NULL)
		return false;
	flight = flight_new(v, chunk);
	if (flight == NULL)
		return false;
	room = v->doc.chunk_blocks - 1 - w->block;
	if (room >= 2 && batch_build(v, flight, room)) {
		used = flight->record.payload_blocks +
		       record_header_blocks(flight->record.extent_count,
					    flight->record.payload_blocks);
		last = room - used < MAX(2u, next_needs(w));
	} else {
		flight->iov_count = 1;
	}
	if (pages_reserve(v, &flight->record)) {
		batch_undo(v, flight);
		pool_put(&w->pool, flight);
		/* With nothing in flight no answer would bring the next turn. */
		env_timer_after(v->env, &w->memory, MEMORY_RETRY);
		return false;
	}
	place(v, flight, last);
	launch(v, flight);
	return true;
}

void writer_run(struct volume *v)
{
	struct writer *w = &v->writer;

	while (volume_serving(v) && worth_sending(v) &&
	       w->flight_count < WRITER_DEPTH) {
		if (!tail_can_append(v, w->chunk)) {
			if (v->tail.state == TAIL_STEADY)
				tail_advanced(v, w->chunk);
			return;
		}
		if (active_endangered(v) || !send_one(v))
			return;
	}
}

/* ---- change of tail --------------------------------------------------- */

void writer_requeue(struct volume *v)
{
	struct writer *w = &v->writer;
	struct volume_request *req;
	struct flight *flight;

	while (!list_empty(&w->flights)) {
		flight = list_last_entry(&w->flights, struct flight, node);
		batch_undo(v, flight);
		pages_unreserve(v, &flight->record);
		flight->zombie = true;
		flight->chunk = NULL;
		list_move_tail(&flight->node, &w->zombies);
		if (flight->pending == 0)
			flight_free(flight);
	}
	w->flight_count = 0;
	list_for_each_entry(req, &w->waiting, node)
		arm_deadline(v, req);
}

void writer_restart(struct volume *v)
{
	seek_end(v);
	volume_kick(v);
}

void writer_stop(struct volume *v, int err)
{
	struct volume_request *req, *next;

	writer_requeue(v);
	writer_zombies_cancel(v);
	list_for_each_entry_safe(req, next, &v->writer.waiting, node)
		fail_request(v, req, err);
	env_timer_cancel(v->env, &v->writer.deadline);
}
