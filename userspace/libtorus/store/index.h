/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store knows: its volumes in order of id, and each one's chunks in
 * order of number. Sorted arrays of pointers: numbers grow, so that adding is
 * at the end in nearly every case, LIST needs an order, and a chunk costs 48
 * bytes of heap and 8 of array.
 */
#ifndef TORUS_STORE_INDEX_H
#define TORUS_STORE_INDEX_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "store/syncer.h"

struct store;
struct store_chunk_live;

enum store_chunk_flags {
	STORE_CHUNK_SEALED = 1 << 0,
	STORE_CHUNK_BAD = 1 << 1,	/* this copy is bad for good */
	STORE_CHUNK_DELETING = 1 << 2,	/* for all but DELETE it is not here */
	STORE_CHUNK_FILE = 1 << 3,	/* a file of this name exists */
	STORE_CHUNK_RESTORING = 1 << 4,	/* a restored copy takes its place */
};

struct store_chunk {
	struct store_volume *volume;
	struct store_chunk_live *live;	/* NULL: sealed and unused */
	uint64_t number : 48, flags : 16;
	uint64_t seal_epoch;
	/* Sealed length; of an unsealed chunk what the journal knows durable. */
	uint32_t length;
	uint32_t end_crc;		/* sealed: crc of the last header */
};
static_assert(sizeof(struct store_chunk) <= 48, "64 bytes per chunk stored");

enum store_dir_state { STORE_DIR_NONE, STORE_DIR_MAKING, STORE_DIR_READY };

struct store_volume {
	struct store *store;
	uint64_t id;
	uint64_t epoch_seen;	/* lower ones are refused; tombstone: ~0 */
	uint64_t epoch_fenced;	/* durable part of it */
	bool tombstone;		/* durable, or condemned and never here */
	uint64_t chunk_max;	/* highest number held or heard of */
	uint64_t root, root_sequence;	/* newest root seen in a header */
	uint32_t open_chunks;	/* unsealed, for the reserve of space */
	struct store_chunk **chunks;
	uint32_t chunk_count, chunk_cap;
	struct list_head appends;	/* in flight, see append.c */
	struct list_head fences;	/* waiting for those, see fence.c */
	/* directory chunks/ID */
	enum store_dir_state dir_state;
	struct list_head dir_waiters;
	struct store_syncer names;	/* changes of names in it */
	struct env_file_op dir_op, names_op;
	char path[32];
};

struct store_index {
	struct store_volume **volumes;
	uint32_t count, cap;
	uint64_t chunk_count;
	uint32_t open_volumes;		/* with unsealed chunks */
};

void store_index_release(struct store_index *index);

/** store_volume_find() - NULL: nothing is known of it. */
struct store_volume *store_volume_find(const struct store_index *index,
				       uint64_t id);

/** store_volume_get() - find or add; NULL: out of memory. */
struct store_volume *store_volume_get(struct store *store, uint64_t id);

struct store_chunk *store_chunk_find(const struct store_volume *volume,
				     uint64_t number);

/** store_chunk_get() - find or add (unsealed, empty); NULL: out of memory. */
struct store_chunk *store_chunk_get(struct store_volume *volume,
				    uint64_t number);

/** store_chunk_set_sealed() - at (length, end_crc), by @epoch. */
void store_chunk_set_sealed(struct store_chunk *chunk, uint64_t epoch,
			    uint32_t length, uint32_t end_crc);

/** store_chunk_remove() - forget; it must have no live part. */
void store_chunk_remove(struct store_chunk *chunk);

/**
 * store_index_next() - first chunk strictly after (volume, number), of any
 * volume; NULL at the end.
 */
struct store_chunk *store_index_next(const struct store_index *index,
				     uint64_t volume, uint64_t number);

/** store_volume_next() - first volume with an id above @after, or NULL. */
struct store_volume *store_volume_next(const struct store_index *index,
				       uint64_t after);

#endif
