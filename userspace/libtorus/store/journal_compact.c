// SPDX-License-Identifier: Apache-2.0
/*
 * Compaction: the present state goes to "journal.new", batch after batch; once
 * that is durable it takes the journal's name. Entries submitted meanwhile wait
 * and go to the new file, so that the state does not move under the cursor.
 *
 *   unlink leftover -> create -> write* -> sync -> rename -> sync directory
 *
 * A failure before the rename leaves the old journal as it was, to be used on.
 * After a rename whose directory cannot be synced nobody knows which of the two
 * a crash will bring back: that is a failed sync of the journal.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

/* Room for all entries of one volume or chunk. */
#define ROOM_FOR_ONE 256u
#define NEW_NAME "journal.new"

static void finish(struct store_journal *journal, int err)
{
	void (*done)(struct store *store, int err) = journal->done;
	int leftover = journal->new_file;

	journal->new_file = -1;
	if (leftover >= 0)
		store_detached_close(journal->store, leftover);
	journal->compact_at = MAX(4 * journal->offset,
				  (uint64_t)JOURNAL_COMPACT_MIN);
	journal->busy = false;
	journal->done = NULL;
	if (err < 0)
		log_warning("store: the journal was not compacted: %s",
			    strerror(-err));
	if (done != NULL)
		done(journal->store, err);
	store_journal_kick(journal);
}

static void put_store(struct store_journal *journal)
{
	const struct store *store = journal->store;
	struct disk_journal_store who = {
		.cluster = store->cluster,
		.peer = store->peer,
	};
	struct disk_journal_mount mount = store_mount_body(store);

	store_batch_add(&journal->batch, JOURNAL_STORE, &who);
	store_batch_add(&journal->batch, JOURNAL_MOUNT, &mount);
}

static void put_volume(struct store_batch *batch,
		       const struct store_volume *volume)
{
	struct disk_journal_volume body = {
		.volume = cpu_to_le64(volume->id),
		.epoch = cpu_to_le64(volume->epoch_fenced),
		.root = cpu_to_le64(volume->root),
		.root_sequence = cpu_to_le64(volume->root_sequence),
		.chunk_max = cpu_to_le64(volume->chunk_max),
		.flags = cpu_to_le32(volume->tombstone ? JOURNAL_TOMBSTONE : 0),
	};

	store_batch_add(batch, JOURNAL_VOLUME, &body);
}

static void put_seal(struct store_batch *batch, const struct store_chunk *chunk)
{
	const struct store_volume *volume = chunk->volume;
	struct disk_journal_seal body = {
		.volume = cpu_to_le64(volume->id),
		.chunk = cpu_to_le64(chunk->number),
		.epoch = cpu_to_le64(chunk->seal_epoch),
		.length = cpu_to_le32(chunk->length),
		.end_crc = cpu_to_le32(chunk->end_crc),
		.root = cpu_to_le64(volume->root),
		.root_sequence = cpu_to_le64(volume->root_sequence),
	};

	store_batch_add(batch, JOURNAL_SEAL, &body);
}

static void put_chunk(struct store_batch *batch, struct store_chunk *chunk)
{
	struct disk_journal_chunk body = {
		.volume = cpu_to_le64(chunk->volume->id),
		.chunk = cpu_to_le64(chunk->number),
	};

	if (chunk->flags & STORE_CHUNK_BAD)
		store_batch_add(batch, JOURNAL_BAD, &body);
	if (chunk->flags & STORE_CHUNK_DELETING)
		store_batch_add(batch, JOURNAL_DELETE, &body);
	if (chunk->flags & STORE_CHUNK_SEALED) {
		put_seal(batch, chunk);
		return;
	}
	/* While the store opens, the live part does not know yet. */
	if (chunk->live != NULL && store_chunk_durable(chunk) > chunk->length)
		chunk->length = store_chunk_durable(chunk);
	body.length = cpu_to_le32(chunk->length);
	if (chunk->length > 0)
		store_batch_add(batch, JOURNAL_DURABLE, &body);
}

/* Returns whether there may be more. */
static bool put_state(struct store_journal *journal)
{
	const struct store_index *index = &journal->store->index;
	struct store_batch *batch = &journal->batch;
	struct store_volume *volume =
		store_volume_find(index, journal->cursor_volume);
	struct store_chunk *chunk;

	while (JOURNAL_BATCH_MAX - batch->bytes >= ROOM_FOR_ONE) {
		chunk = volume == NULL ? NULL :
			store_index_next(index, volume->id,
					 journal->cursor_chunk);
		if (chunk != NULL && chunk->volume == volume) {
			put_chunk(batch, chunk);
			journal->cursor_chunk = chunk->number;
			continue;
		}
		volume = store_volume_next(index, journal->cursor_volume);
		if (volume == NULL)
			return false;
		put_volume(batch, volume);
		journal->cursor_volume = volume->id;
		journal->cursor_chunk = 0;
	}
	return true;
}

static void dir_synced(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0)
		store_journal_fail(journal, (int)op->result);
	finish(journal, op->result < 0 ? (int)op->result : 0);
}

static void renamed(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0) {
		finish(journal, (int)op->result);
		return;
	}
	if (journal->file >= 0)
		store_detached_close(journal->store, journal->file);
	journal->file = journal->new_file;
	journal->new_file = -1;
	journal->offset = journal->new_offset;
	journal->sequence = journal->new_sequence;
	journal->crc = journal->new_crc;
	store_op_path(journal->store, op, FILE_SYNC_DIR, "", dir_synced,
		      journal);
}

static void new_synced(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0)
		finish(journal, (int)op->result);
	else
		store_op_rename(journal->store, op, NEW_NAME, "journal",
				renamed, journal);
}

static void write_next(struct store_journal *journal);

static void new_written(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0 || (uint64_t)op->result < op->length) {
		finish(journal, op->result < 0 ? (int)op->result : -ENOSPC);
		return;
	}
	journal->new_offset += op->length;
	if (journal->more)
		write_next(journal);
	else
		store_op_sync(journal->store, op, journal->new_file,
			      new_synced, journal);
}

static void write_next(struct store_journal *journal)
{
	uint32_t bytes;

	store_batch_begin(&journal->batch);
	if (journal->new_sequence == 0)
		put_store(journal);
	journal->more = put_state(journal);
	bytes = store_batch_finish(&journal->batch, &journal->new_crc,
				   ++journal->new_sequence);
	store_op_write(journal->store, &journal->op, journal->new_file,
		       &journal->iov, journal->batch.buf, bytes,
		       journal->new_offset, new_written, journal);
}

static void new_opened(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0) {
		finish(journal, (int)op->result);
		return;
	}
	journal->new_file = (int)op->result;
	journal->new_offset = 0;
	journal->new_sequence = 0;
	journal->new_crc = 0;
	journal->cursor_volume = 0;
	journal->cursor_chunk = 0;
	write_next(journal);
}

static void leftover_gone(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0 && op->result != -ENOENT)
		finish(journal, (int)op->result);
	else
		store_op_open(journal->store, op, NEW_NAME,
			      FILE_CREATE | FILE_EXCLUSIVE, new_opened,
			      journal);
}

void store_journal_compact(struct store_journal *journal,
			   void (*done)(struct store *store, int err))
{
	journal->busy = true;
	journal->done = done;
	store_op_path(journal->store, &journal->op, FILE_UNLINK, NEW_NAME,
		      leftover_gone, journal);
}
