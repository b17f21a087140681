// SPDX-License-Identifier: Apache-2.0
/*
 * Commit: entries that wait become one batch, written at the end of the file
 * and synced. One batch is under way at a time; what is submitted meanwhile
 * makes up the next.
 *
 *   waiting --build--> running --write--> --sync--> done(0)
 *
 * A write that fails leaves nothing that counts: the same place is written
 * again by the next batch. After a sync that failed nobody can tell what is on
 * the disk: the journal, and with it the store, takes no more promises.
 */
#include "store/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

int store_journal_init(struct store_journal *journal, struct store *store)
{
	memset(journal, 0, sizeof(*journal));
	journal->store = store;
	journal->file = -1;
	journal->new_file = -1;
	journal->damaged = UINT64_MAX;
	journal->compact_at = UINT64_MAX;
	list_init(&journal->waiting);
	list_init(&journal->running);
	journal->batch.buf = aligned_alloc(BLOCK_SIZE, JOURNAL_BATCH_MAX);
	return journal->batch.buf != NULL ? 0 : -ENOMEM;
}

static void drop_entries(struct list_head *list)
{
	struct store_journal_entry *entry, *next;

	list_for_each_entry_safe(entry, next, list, node) {
		list_del_init(&entry->node);
		if (entry->heap)
			free(entry);
	}
}

void store_journal_release(struct store_journal *journal)
{
	if (journal->store == NULL)
		return;
	drop_entries(&journal->waiting);
	drop_entries(&journal->running);
	free(journal->batch.buf);
	free(journal->window);
}

static void finish_entries(struct list_head *list, int err)
{
	struct store_journal_entry *entry;
	struct list_head ready;
	bool heap;

	list_init(&ready);
	list_splice_tail_init(list, &ready);
	while (!list_empty(&ready)) {
		entry = list_first_entry(&ready, struct store_journal_entry,
					 node);
		list_del_init(&entry->node);
		heap = entry->heap;
		if (entry->done != NULL)
			entry->done(entry, err);
		if (heap)
			free(entry);
	}
}

void store_journal_fail(struct store_journal *journal, int err)
{
	journal->failed = true;
	log_error("store: cannot make the journal durable (%s): refusing every change from now on. Check the disk, then restart torusd",
		  strerror(-err));
}

static void committed(struct store_journal *journal, int err)
{
	journal->busy = false;
	finish_entries(&journal->running, err);
	store_journal_kick(journal);
}

static void batch_synced(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0) {
		store_journal_fail(journal, (int)op->result);
		committed(journal, (int)op->result);
		return;
	}
	journal->offset = journal->new_offset;
	journal->sequence = journal->new_sequence;
	journal->crc = journal->new_crc;
	committed(journal, 0);
}

static void batch_written(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;
	int64_t wrote = op->result;

	if (wrote >= 0 && (uint64_t)wrote < op->length)
		wrote = -ENOSPC;
	if (wrote < 0) {
		log_error("store: cannot write the journal: %s",
			  strerror((int)-wrote));
		committed(journal, (int)wrote);
		return;
	}
	store_op_sync(journal->store, op, journal->file, batch_synced, journal);
}

/* The store's lazy entries ride along: they are not worth a sync of their own. */
static void build_batch(struct store_journal *journal)
{
	struct store_journal_entry *entry, *next;

	store_batch_begin(&journal->batch);
	list_for_each_entry_safe(entry, next, &journal->waiting, node) {
		if (!store_batch_add(&journal->batch, entry->type,
				     &entry->body))
			break;
		list_move_tail(&entry->node, &journal->running);
	}
	store_chunk_log_durable(journal->store, &journal->batch);
}

static void commit(struct store_journal *journal)
{
	uint32_t bytes;

	journal->busy = true;
	build_batch(journal);
	journal->new_crc = journal->crc;
	journal->new_sequence = journal->sequence + 1;
	bytes = store_batch_finish(&journal->batch, &journal->new_crc,
				   journal->new_sequence);
	journal->new_offset = journal->offset + bytes;
	store_op_write(journal->store, &journal->op, journal->file,
		       &journal->iov, journal->batch.buf, bytes,
		       journal->offset, batch_written, journal);
}

void store_journal_kick(struct store_journal *journal)
{
	if (journal->busy || list_empty(&journal->waiting))
		return;
	if (journal->failed) {
		finish_entries(&journal->waiting, -EIO);
		return;
	}
	if (journal->offset >= journal->compact_at)
		store_journal_compact(journal, NULL);
	else
		commit(journal);
}

void store_journal_submit(struct store_journal *journal,
			  struct store_journal_entry *entry)
{
	list_add_tail(&entry->node, &journal->waiting);
	store_journal_kick(journal);
}

struct disk_journal_mount store_mount_body(const struct store *store)
{
	struct disk_journal_mount body = { .incarnation = store->incarnation };

	memcpy(body.boot_id, store->cfg.boot_id, sizeof(body.boot_id));
	return body;
}

void store_journal_mount(struct store *store,
			 struct store_journal_entry *entry)
{
	entry->type = JOURNAL_MOUNT;
	entry->body.mount = store_mount_body(store);
	store_journal_submit(&store->journal, entry);
}
