/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as its own files see it.
 *
 *	server.c -> request -> append.c sync.c read.c scan.c seal.c fence.c
 *	                       list.c delete.c lookup.c restore.c
 *	maintain.h -> maintain.c copy.c
 *	                             |
 *	        chunk.c files.c dir.c durable.c chain.c   index.c   journal*.c
 *	                             |
 *	                          env.h
 */
#ifndef TORUS_STORE_PRIVATE_H
#define TORUS_STORE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "store/buffers.h"
#include "store/condemned.h"
#include "store/documents.h"
#include "store/fileop.h"
#include "store/index.h"
#include "store/journal.h"
#include "store/store.h"
#include "wire/proto.h"
#include "wire/record.h"

#define STORE_FILES_MAX		256u	/* open chunk files */
#define STORE_WALKS_MAX		8u	/* chains that are read at a time */
#define STORE_REQUESTS_MAX	8192u	/* at work, of all connections */
#define STORE_CONN_REQUESTS_MAX	4096u	/* at work, of one */
#define STORE_SYNC_INTERVAL	(5 * NSEC_PER_SEC)
#define STORE_POOL_BYTES	(2u << 20)
#define STORE_RESTORES_MAX	8u	/* copies received at a time */
#define STORE_RESTORE_BYTES	(4u << 20)	/* ... room for their pieces */
#define STORE_CHUNK_BYTES_MAX	((uint64_t)CHUNK_BLOCKS_MAX * BLOCK_SIZE)
#define STORE_STATFS_BYTES	(64u << 20)	/* appended between two looks */

enum store_state { STORE_OPENING, STORE_SERVING, STORE_CLOSING, STORE_DEAD };

struct store_events;

struct store {
	struct env *env;
	struct store_config cfg;
	enum store_state state;
	struct uuid cluster, peer, incarnation;
	struct store_index index;
	struct store_condemned condemned;
	struct store_journal journal;
	struct store_pool receive;	/* data of appends */
	struct store_pool restore_receive;	/* ... of copies restored */
	struct store_pool send;		/* data of replies */
	struct record *record;		/* decoder for what is done in one go */
	/* requests at work */
	struct list_head requests;
	uint32_t request_count;
	struct list_head conns;		/* server.c */
	/* files */
	struct list_head idle_files;	/* live->lru, longest idle first */
	struct list_head starved;	/* live->lru: wait for a handle */
	uint32_t files_open;
	struct list_head detached;	/* small operations nobody waits for */
	uint32_t detached_count;
	/* durability */
	struct list_head dirty;		/* live->dirty, oldest first */
	struct env_timer sync_timer;
	uint32_t background_count;	/* background syncs under way */
	struct list_head log_durable;	/* live->log_node */
	struct env_timer log_timer;	/* ... to the journal at the latest */
	/* chains that are read (chain.c) */
	struct list_head walks, walk_queue;
	uint32_t walk_count, walk_background_count;
	/* space, in bytes */
	uint64_t size;			/* what it may use */
	uint64_t chunk_bytes;		/* footprint of all chunks */
	uint64_t chunk_bytes_told;	/* when cfg.space_moved() was called */
	uint64_t disk_free;		/* of the file system, as last seen */
	uint64_t appended_since;	/* ... and what was written since */
	uint64_t appended_before;	/* the look that is under way */
	bool statfs_running;
	struct env_timer space_timer;	/* the disk is full: look again */
	enum wire_space_state space_said;	/* in the log, last */
	struct env_file_op statfs_op;
	struct store_stats stats;
	struct {			/* maintain.c */
		uint64_t bytes, counted;	/* moved since then */
		uint64_t until;		/* they count as being there */
	} clients;
	/* opening, closing */
	struct store_open *open;	/* open.c */
	struct store_close *close;	/* close.c */
	struct list_head volume_deletes;	/* delete.c */
	/* copies that are being received (restore.c) */
	struct list_head restores;
	uint32_t restore_count, restore_serial;
	/* maintenance (maintain.c, copy.c) */
	const struct store_events *events;
	void *events_ctx;
	uint64_t ring_version;
	struct list_head copy_works;	/* operations on one copy, under way */
	struct list_head copy_ended;	/* ... to be told of by the timer */
	struct env_timer copy_timer;
	struct store_documents documents;
};

/** store_now() - ns. */
static inline uint64_t store_now(struct store *store)
{
	return env_now(store->env);
}

/** store_refuses_changes() - the journal failed: nothing can be promised. */
static inline bool store_refuses_changes(const struct store *store)
{
	return store->journal.failed;
}

/* ---- space.c ------------------------------------------------------------ */

enum store_space_use {
	STORE_SPACE_META,	/* may use all but what the journal needs */
	STORE_SPACE_CLEANING,	/* relocations: half of the reserve */
	STORE_SPACE_USER,	/* new data, copies for repair: nothing of it,
				 * nor what is above full_percent */
};

/**
 * store_space_check() - whether @bytes more may be appended, given the reserve
 * of DESIGN invariant 10.
 */
bool store_space_check(struct store *store, uint64_t bytes,
		       enum store_space_use use);
/** store_space_left() - bytes of user data that would be taken. */
uint64_t store_space_left(const struct store *store);
/** store_space_add() - @bytes of chunk files more (less: negative). */
void store_space_add(struct store *store, int64_t bytes);
/** store_space_used() - bytes, journal included. */
uint64_t store_space_used(const struct store *store);
/** store_space_init() - once, before anything else here. */
void store_space_init(struct store *store);

/** store_space_look_later() - if others fill the disk, until they do not. */
void store_space_look_later(struct store *store);

/** store_space_look() - ask the file system again. */
void store_space_look(struct store *store);

/* ---- detached operations (detached.c) ---------------------------------- */

/* Small, fire and forget; failures are logged. */
void store_detached_close(struct store *store, int file);
void store_detached_punch(struct store_chunk *chunk, uint32_t from_block);
void store_detached_unlink(struct store *store, const char *path);

/** store_detached_release() - forget those under way: the store ends. */
void store_detached_release(struct store *store);

/** store_volume_deletes_release() - free those under way: the store ends. */
void store_volume_deletes_release(struct store *store);

/* ---- maintain.c --------------------------------------------------------- */

/** store_copy_state() - NONE for what is on its way out. */
enum wire_copy_state store_copy_state(const struct store_chunk *chunk);
/** store_tell_changed() - tell the maintenance what this copy is now. */
void store_tell_changed(const struct store_chunk *chunk);
/** store_tell_gone() - the same: it is about to go. */
void store_tell_gone(const struct store_chunk *chunk);
/** store_tell_unsettled() - a RESTORE was refused for an unsealed copy. */
void store_tell_unsettled(const struct store *store, uint64_t volume,
			  uint64_t number);

/* ---- restore.c ---------------------------------------------------------- */

/** store_restores_drop() - give up the transfers for @volume (NULL: for any)
 * that wait for a piece; the others end with the piece they are at. */
void store_restores_drop(struct store *store,
			 const struct store_volume *volume);
/** store_restores_release() - free them all: the store ends. */
void store_restores_release(struct store *store);
/** store_restore_leftover() - whether @name, found in a volume's directory, is
 * what a transfer left behind. */
bool store_restore_leftover(const char *name);

/* ---- copy.c ------------------------------------------------------------- */

void store_copies_init(struct store *store);
/** store_copies_release() - free those under way: the store ends. */
void store_copies_release(struct store *store);

/** store_close_step() - something ended: a store that is being closed may go
 * on. */
void store_close_step(struct store *store);

#endif
