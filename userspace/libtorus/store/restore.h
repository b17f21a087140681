/* SPDX-License-Identifier: Apache-2.0 */
/* One copy on its way in: between restore.c (pieces) and restore_place.c (its
 * place among the chunks). */
#ifndef TORUS_STORE_RESTORE_H
#define TORUS_STORE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "store/buffers.h"
#include "store/chunk.h"
#include "store/journal.h"
#include "store/stream.h"
#include "store/syncer.h"

struct store_request;

struct store_restore {
	struct list_head node;		/* store->restores */
	struct store *store;
	uint64_t volume, number, epoch;
	uint32_t length, end_crc;	/* of the chunk */
	struct uuid token;
	uint32_t staged;		/* blocks written */
	struct store_request *request;	/* the piece at work */
	struct list_head pieces;	/* that came meanwhile: request->queue */
	uint32_t piece_count;
	struct env_timer timer;		/* armed while there is none */
	/* the file beside the copy */
	char path[80];
	int file;			/* -1: not open */
	bool exists;			/* under that path */
	struct store_file_wait dir;
	struct env_file_op op;
	struct iovec iov[STORE_SEGMENTS_MAX];
	struct store_stream stream;	/* what has come */
	/* Where an unsealed copy ended, and what this chain has there. */
	struct store_tail here;
	/* Newest root that a header of the chain names. */
	uint64_t root, root_sequence;
	/* restore_place.c */
	struct store_chunk *chunk;	/* held */
	struct store_chunk_idle_wait idle;
	struct store_durable_wait overruled;
	struct store_sync_wait names;
	struct store_journal_entry entry;
	char place[48];
};

/**
 * store_restore_check() - whether such a copy may come, or take its place now:
 * WIRE_OK or the answer. @taking: the chunk has been emptied of users for it.
 */
uint32_t store_restore_check(const struct store_restore *restore, bool taking);

/** store_restore_has_room() - whether a copy of @length blocks may be restored,
 * for all that the space says. */
bool store_restore_has_room(struct store *store, uint64_t volume,
			    uint64_t number, uint32_t length);

/** store_restore_place() - the file is whole, verified and durable: give it its
 * place. Ends with store_restore_end(). */
void store_restore_place(struct store_restore *restore);

/** store_restore_end() - the transfer is over: answer, and forget it with all
 * that is left of it. */
void store_restore_end(struct store_restore *restore, uint32_t status);

#endif
