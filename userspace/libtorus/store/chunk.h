/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a chunk that exists only while something happens to it: every
 * unsealed chunk has one, a sealed one while it is used or its file is open.
 *
 * users counts who needs the live part and its handle to stay: operations of
 * all kinds. A file may be closed, and the live part of a sealed chunk freed,
 * only with users == 0. A file with unsynced bytes is never closed: its sync
 * error would be lost.
 */
#ifndef TORUS_STORE_CHUNK_H
#define TORUS_STORE_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "store/index.h"
#include "store/journal.h"
#include "store/syncer.h"

struct store_request;

/* Where a chain of records ends. */
struct store_tail {
	uint32_t block;		/* blocks before it */
	uint32_t crc;		/* of the last header; block 0: 0 */
	uint64_t sequence;	/* of the last record */
	bool last;		/* that record says that none follows */
};

/* A wait for "the first n blocks, and the name, are durable". */
struct store_durable_wait {
	struct store_chunk *chunk;
	struct store_sync_wait data, name;
	struct list_head node;		/* live->bad_waiters */
	unsigned int pending;
	int err;
	/* 0; -EUCLEAN: the copy is bad, and that is durable; -EIO: the journal
	 * failed. */
	void (*fn)(struct store_durable_wait *wait, int err);
};

struct store_file_wait {
	struct list_head node;
	/* 0: live->file is open. -ENOENT, -EIO ... */
	void (*fn)(struct store_file_wait *wait, int err);
};

struct store_chunk_idle_wait {
	struct list_head node;
	void (*fn)(struct store_chunk_idle_wait *wait);
};

struct store_chunk_live {
	struct store_chunk *chunk;
	unsigned int users;
	/* the file (files.c) */
	int file;			/* -1 = not open */
	bool opening, creating;
	struct list_head file_waiters;
	struct list_head lru;		/* store->idle_files or store->starved */
	struct list_head idle_waits;
	struct env_file_op file_op;
	struct store_file_wait dir_wait;
	char path[48];
	/* the chain (append.c) */
	struct store_tail done;		/* counted: written, answered */
	struct store_tail issued;	/* with what is being written */
	struct list_head appends;	/* in flight, in order of offset */
	uint32_t failing;		/* status for all that is in flight */
	uint32_t damaged_block;		/* found at start; ~0 = none */
	bool broken;			/* damage below what is durable */
	uint64_t counted_by;		/* epoch that last asked for it; 0: not
					 * since the start */
	uint32_t settled;		/* blocks that a published root counts
					 * on: no more will be asked for ... */
	uint32_t settled_crc;		/* of the last of them; 0: not known */
	uint64_t settled_epoch;		/* ... up to that epoch */
	uint32_t found_blocks;		/* of the file at start */
	bool torn_end;			/* the last of them is not whole */
	/* durability (durable.c); counted in blocks */
	struct store_syncer data;
	struct store_file_wait sync_file;
	struct env_file_op sync_op;
	uint64_t name_change;		/* of volume->names that made the name */
	struct list_head dirty;		/* store->dirty, oldest first */
	uint64_t dirty_since;
	bool background;		/* background sync under way */
	struct store_durable_wait background_wait;
	struct list_head log_node;	/* store->log_durable */
	bool bad_logged;		/* JOURNAL_BAD is durable */
	bool bad_submitted;
	struct store_journal_entry bad_entry;
	struct list_head bad_waiters;
	/* sealing (seal.c) */
	struct store_request *sealing;
	struct list_head seal_queue;
};

/** store_chunk_live() - the live part, made if need be; NULL: no memory. */
struct store_chunk_live *store_chunk_live(struct store_chunk *chunk);

/** store_chunk_live_free() - at once, whatever its state: the store ends. */
void store_chunk_live_free(struct store_chunk *chunk);

/** store_chunk_hold() - with a live part; store_chunk_release() undoes it. */
void store_chunk_hold(struct store_chunk *chunk);
void store_chunk_release(struct store_chunk *chunk);

/**
 * store_chunk_when_idle() - call wait->fn when there are no users; at once if
 * there are none now. Several waits get their turn one after the other: fn()
 * holds the chunk for as long as its turn lasts, or removes it.
 */
void store_chunk_when_idle(struct store_chunk *chunk,
			   struct store_chunk_idle_wait *wait);

/**
 * store_chunk_count_on() - a writer or recoverer of the volume's present epoch
 * asks for the chunk: it may count on what it gets to know.
 */
void store_chunk_count_on(struct store_chunk *chunk);

/** store_chunk_counted_by() - highest epoch that may count on the bytes of this
 * unsealed chunk. */
uint64_t store_chunk_counted_by(const struct store_chunk *chunk);

/** store_chunk_settled() - blocks of this unsealed chunk that count for good; 0:
 * not known. */
uint32_t store_chunk_settled(const struct store_chunk *chunk);

/** store_chunk_length() - valid blocks. */
uint32_t store_chunk_length(const struct store_chunk *chunk);

/** store_chunk_end_crc() - crc of the last valid header; 0: no record. */
uint32_t store_chunk_end_crc(const struct store_chunk *chunk);

/** store_chunk_durable() - of those, how many are known to be durable. */
uint32_t store_chunk_durable(const struct store_chunk *chunk);

/** store_chunk_was_durable() - the same, with what has been damaged since: more
 * than the length of a copy that lost durable records. */
uint32_t store_chunk_was_durable(const struct store_chunk *chunk);

/** store_chunk_footprint() - blocks that its file takes. */
uint32_t store_chunk_footprint(const struct store_chunk *chunk);

/* ---- files.c ----------------------------------------------------------- */

/**
 * store_file_get() - make live->file usable; the caller holds the chunk.
 * @create: make the file where there is none.
 * Returns 0: it is open now. -EINPROGRESS: wait->fn follows.
 */
int store_file_get(struct store_chunk *chunk, bool create,
		   struct store_file_wait *wait);

/** store_file_forget() - close the handle of an idle chunk, if it is open, and
 * plan nothing more for it: it is being deleted, or the store closed. */
void store_file_forget(struct store_chunk *chunk);

/** store_file_path() - "chunks/VOLUME/CHUNK" of @chunk into @path. */
void store_file_path(const struct store_chunk *chunk, char path[48]);

/** store_files_idle() - for chunk.c: no users any more. */
void store_files_idle(struct store_chunk *chunk);

/** store_files_service() - give freed handles to those who wait for one. */
void store_files_service(struct store *store);

/* dir.c: the directory of a volume. */
void store_dir_init(struct store_volume *volume);
/** store_dir_get() - it exists, durably: 0 or -EINPROGRESS, wait->fn follows. */
int store_dir_get(struct store_volume *volume, struct store_file_wait *wait);

/* ---- durable.c --------------------------------------------------------- */

/**
 * store_chunk_make_durable() - wait->fn is called, perhaps from inside, once
 * the first @blocks (at most store_chunk_length()) and the name are durable,
 * or the copy has been marked bad. Holds the chunk meanwhile.
 */
void store_chunk_make_durable(struct store_chunk *chunk, uint32_t blocks,
			      struct store_durable_wait *wait);

/** store_chunk_mark_bad() - for good. @why: for the log. */
void store_chunk_mark_bad(struct store_chunk *chunk, const char *why);

/** store_chunk_dirty() - bytes were written: sync them some time. */
void store_chunk_dirty(struct store_chunk *chunk);

/** store_chunk_sync_now() - background sync of a dirty chunk, at once. */
void store_chunk_sync_now(struct store_chunk *chunk);

/** store_durable_init() - the live part's own state in it. */
void store_durable_init(struct store_chunk_live *live);

/** store_background_init() - the store's timers for it. */
void store_background_init(struct store *store);

/** store_chunk_log_durable() - put what became durable into @batch. */
void store_chunk_log_durable(struct store *store, struct store_batch *batch);

#endif
