/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records in flight. A record is built from what waits (batch.c), sent to all
 * members of its chunk at once, and acknowledged in the order of sequence.
 * When the tail changes, unacknowledged records become zombies: their requests
 * go back to the head of the queue, and their calls end by themselves or are
 * cancelled before the first of those requests completes.
 */
#ifndef TORUS_VOLUME_WRITER_H
#define TORUS_VOLUME_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "env/env.h"
#include "peer/peer.h"
#include "ring/ring.h"
#include "wire/record.h"

struct volume;
struct volume_request;
struct active_chunk;
struct flight;

#define WRITER_FLIGHTS	 48u		/* records, zombies included */
#define WRITER_DEPTH	 32u		/* records in flight */
/* A second record is not sent before so much waits: headers stay under 5 %. */
#define WRITER_PIPELINE_BYTES (80u << 10)

/* Blocks that the engine itself puts into the log. */
struct log_write {
	enum extent_kind kind;		/* MAP_PAGE, CHUNK_PAGE, ROOT;
					 * RELOCATION: writer_move() */
	uint64_t first;
	block_addr_t source;		/* RELOCATION */
	const void *data;		/* stable until done() */
	uint32_t blocks;
	/*
	 * Acknowledged. @header: address of the record's header, @crc: its crc;
	 * @payload, @payload_crc: where the data lies and its blocks' crcs.
	 */
	void (*done)(struct log_write *write, block_addr_t header, uint32_t crc,
		     block_addr_t payload, const uint32_t *payload_crc);
	void *ctx;
	struct list_head node;		/* private */
	uint64_t sequence;		/* set before done() */
};

struct flight_member {
	struct flight *flight;
	struct peer_call call;
	struct uuid id;
	bool busy;
};

struct flight {
	struct list_head node;
	struct volume *volume;
	struct active_chunk *chunk;	/* NULL for zombies */
	struct record record;
	bool zombie;
	bool durable;			/* sent with WIRE_DURABLE */
	uint32_t pending;		/* calls not answered */
	uint32_t acked;			/* members that have it */
	uint32_t member_count;
	uint32_t iov_count, data_len;
	struct list_head requests;	/* that end with this record */
	struct list_head writes;	/* log_writes in it */
	struct volume_request *partial;	/* begun, not ended, in this record */
	uint32_t partial_blocks;	/* of it, in this record */
	struct flight_member members[RING_REPLICATION_MAX];
	struct iovec iov[PEER_CALL_IOV_MAX];
	struct extent extents[RECORD_EXTENTS_MAX];
	uint32_t payload_crc[RECORD_PAYLOAD_BLOCKS_MAX];
	uint8_t header[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
};

struct writer {
	struct list_head waiting;	/* WRITE, TRIM, ZERO, in order */
	struct list_head log_writes;	/* struct log_write */
	struct list_head moves;		/* likewise: relocations, which may
					 * be called back while they wait */
	uint64_t waiting_bytes;		/* payload in `waiting` */
	struct pool pool;
	struct list_head flights;	/* in order of sequence */
	struct list_head zombies;
	uint32_t flight_count;
	/* Where the next record goes and what it is chained to. */
	uint64_t chunk;
	uint32_t block;
	uint64_t sequence;
	uint32_t prev_crc;
	struct env_timer deadline;
	struct env_timer memory;	/* until it is tried again */
};

int writer_init(struct volume *v);
void writer_start(struct volume *v);	/* from v->end */
void writer_release(struct volume *v);

/** writer_submit() - a WRITE, TRIM or ZERO of whole blocks. */
void writer_submit(struct volume *v, struct volume_request *req);

/** writer_log() - pages and roots; never time out. */
void writer_log(struct volume *v, struct log_write *write);

/** writer_move() - a relocation; it shares the log with users' writes. */
void writer_move(struct volume *v, struct log_write *write);

/** writer_recall_moves() - take back the relocations that are not in flight:
 * they are put into @list. */
void writer_recall_moves(struct volume *v, struct list_head *list);

/** writer_run() - send what may be sent; from the turn. */
void writer_run(struct volume *v);

/** writer_requeue() - L is decided: records not acknowledged go back. */
void writer_requeue(struct volume *v);

/** writer_restart() - a new tail is committed: go on from there. */
void writer_restart(struct volume *v);

/** writer_stop() - the volume failed: hand every request back with @err,
 * those in flight too; nothing is sent any more. */
void writer_stop(struct volume *v, int err);

/** writer_fail_data() - hand WRITEs back: no peer has room. */
void writer_fail_data(struct volume *v, int err);

/** writer_idle() - no request waits or is in flight. */
bool writer_idle(const struct volume *v);

/** writer_zombies_cancel() - before a buffer goes back to its owner. */
void writer_zombies_cancel(struct volume *v);

/** writer_users_may() - users' writes may be sent now; else only the engine's
 * own, because a checkpoint has to come first. */
bool writer_users_may(const struct volume *v);

/** writer_moves_may() - likewise for relocations. */
bool writer_moves_may(const struct volume *v);

/* batch.c */

/**
 * batch_build() - fill @flight from what waits, for at most @room blocks with
 * header; requests leave the queue. Position, chain and flags are the
 * writer's. Returns payload and extents taken in flight->record; false:
 * nothing (that fits) waits.
 */
bool batch_build(struct volume *v, struct flight *flight, uint32_t room);

/** batch_undo() - put what batch_build() took back to the queue's head. */
void batch_undo(struct volume *v, struct flight *flight);

#endif
