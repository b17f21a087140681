/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's own log of what chunk files cannot say (journal_format.h). An
 * entry is durable before its done() is called; entries that wait together
 * share one write and one sync.
 *
 * Journaled state changes in done() functions only, never at submission:
 * compaction writes the state as it is, while submitted entries wait behind.
 */
#ifndef TORUS_STORE_JOURNAL_H
#define TORUS_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "env/env.h"
#include "store/journal_format.h"

struct store;

struct store_journal_entry {
	struct list_head node;		/* private while submitted */
	enum journal_type type;
	bool heap;			/* from malloc: freed after done() */
	union disk_journal_body body;
	/* 0, or -errno: nothing of the entry counts. May be NULL. After a
	 * failed sync it is called from inside of the submission. */
	void (*done)(struct store_journal_entry *entry, int err);
};

/* A batch being put together. */
struct store_batch {
	uint8_t *buf;			/* JOURNAL_BATCH_MAX bytes */
	uint32_t bytes;			/* used, header included */
	uint16_t count;
};

struct store_journal {
	struct store *store;
	int file;			/* -1 = not open */
	uint64_t offset;		/* where the next batch goes, bytes */
	uint64_t sequence;		/* of the last batch */
	uint32_t crc;			/* likewise */
	uint64_t compact_at;		/* offset that starts a compaction */
	bool busy;			/* a commit or compaction runs */
	bool failed;			/* a sync failed: nothing is durable now */
	struct list_head waiting;	/* submitted */
	struct list_head running;	/* in the batch that is being written */
	struct store_batch batch;
	struct env_file_op op;
	struct iovec iov;
	/* compaction and replay */
	int new_file;
	uint64_t new_offset, new_sequence;
	uint32_t new_crc;
	uint64_t cursor_volume, cursor_chunk;
	bool more;			/* compaction: there is more to write */
	uint8_t *window;		/* replay: bytes of the file */
	size_t window_bytes;
	uint64_t window_offset;
	uint64_t damaged;		/* first byte that is no batch, or ~0 */
	void (*done)(struct store *store, int err);
};

int store_journal_init(struct store_journal *journal, struct store *store);

/** store_journal_release() - free memory; entries that wait are dropped. */
void store_journal_release(struct store_journal *journal);

/** store_journal_submit() - entry->done() follows: submit last of all. */
void store_journal_submit(struct store_journal *journal,
			  struct store_journal_entry *entry);

/** store_journal_mount() - submit a JOURNAL_MOUNT: under which incarnation, and
 * in which boot, the store runs. The rest of @entry is filled in. */
void store_journal_mount(struct store *store,
			 struct store_journal_entry *entry);

/** store_mount_body() - what such an entry says. */
struct disk_journal_mount store_mount_body(const struct store *store);


/**
 * store_journal_replay() - read the file "journal" into the index.
 * A torn last batch is dropped; damage before valid batches is -EBADMSG. Ends
 * with done(), error text set. -ENOENT: there is no journal.
 */
void store_journal_replay(struct store_journal *journal,
			  void (*done)(struct store *store, int err));

/**
 * store_journal_compact() - write the present state to a new file and put it
 * in the place of the journal. Runs by itself when the journal has grown.
 * @done: may be NULL.
 */
void store_journal_compact(struct store_journal *journal,
			   void (*done)(struct store *store, int err));

/** store_journal_kick() - go on with what waits: for journal*.c. */
void store_journal_kick(struct store_journal *journal);

/** store_journal_fail() - a sync failed: the store can promise nothing more. */
void store_journal_fail(struct store_journal *journal, int err);

/* ---- batches ----------------------------------------------------------- */

void store_batch_begin(struct store_batch *batch);

/** store_batch_add() - false: the batch is full. */
bool store_batch_add(struct store_batch *batch, enum journal_type type,
		     const void *body);

/**
 * store_batch_finish() - header, CRC and padding; returns bytes to be written.
 * @crc: of the batch before, replaced by this one's.
 */
uint32_t store_batch_finish(struct store_batch *batch, uint32_t *crc,
			    uint64_t sequence);

/**
 * store_batch_check() - whether @buf begins with a whole, undamaged batch.
 * Returns its bytes with padding, or -EBADMSG; -EPROTONOSUPPORT for a newer
 * version; -EAGAIN when @len is too short to tell.
 */
int64_t store_batch_check(const void *buf, size_t len);

/**
 * store_batch_walk() - call @fn for each entry of a checked batch; stops at
 * its first error. -EBADMSG: entries do not fit the batch; -EPROTONOSUPPORT:
 * an unknown type.
 */
int store_batch_walk(const void *buf,
		     int (*fn)(void *ctx, enum journal_type type,
			       const union disk_journal_body *body), void *ctx);

#endif
