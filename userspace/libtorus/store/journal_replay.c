// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the journal at start.
 *
 *   chained batches -> applied   |  first bytes that are no next batch
 *                                v
 *   hunt: is there a batch with a later sequence behind them?
 *         yes: damage in the middle, the store must not start
 *         no:  the torn end of a crash, overwritten by the next batch
 *
 * A batch is begun only after the one before is durable, so a crash can spoil
 * but the last one; that is what makes the hunt's verdict certain.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/open.h"
#include "store/private.h"

#define WINDOW_BYTES (4u * JOURNAL_BATCH_MAX)

/* ---- applying ------------------------------------------------------------ */

static struct store_volume *apply_volume_id(struct store *store, __le64 id)
{
	return store_volume_get(store, le64_to_cpu(id));
}

static struct store_chunk *apply_chunk(struct store *store, __le64 volume_id,
				       __le64 number)
{
	struct store_volume *volume = apply_volume_id(store, volume_id);

	if (volume == NULL)
		return NULL;
	return store_chunk_get(volume, le64_to_cpu(number));
}

static void apply_root(struct store_volume *volume, __le64 root,
		       __le64 sequence)
{
	if (le64_to_cpu(sequence) <= volume->root_sequence)
		return;
	volume->root = le64_to_cpu(root);
	volume->root_sequence = le64_to_cpu(sequence);
}

static int apply_store(struct store *store,
		       const struct disk_journal_store *body)
{
	if (uuid_equal(&body->cluster, &store->cluster) &&
	    uuid_equal(&body->peer, &store->peer))
		return 0;
	return error_set(-EPERM, "journal: it belongs to another store than the file identity says. Put the right files together again");
}

static int apply_volume(struct store *store,
			const struct disk_journal_volume *body)
{
	struct store_volume *volume = apply_volume_id(store, body->volume);
	uint64_t epoch = le64_to_cpu(body->epoch);

	if (volume == NULL)
		return -ENOMEM;
	volume->epoch_seen = MAX(volume->epoch_seen, epoch);
	volume->epoch_fenced = MAX(volume->epoch_fenced, epoch);
	volume->chunk_max = MAX(volume->chunk_max,
				le64_to_cpu(body->chunk_max));
	apply_root(volume, body->root, body->root_sequence);
	if (le32_to_cpu(body->flags) & JOURNAL_TOMBSTONE)
		volume->tombstone = true;
	return 0;
}

/* The copy that RESTORE speaks of is another than the one that was bad. */
static int apply_seal(struct store *store, enum journal_type type,
		      const struct disk_journal_seal *body)
{
	struct store_chunk *chunk = apply_chunk(store, body->volume,
						body->chunk);

	if (chunk == NULL)
		return -ENOMEM;
	if (type == JOURNAL_RESTORE)
		chunk->flags &= ~STORE_CHUNK_BAD;
	store_chunk_set_sealed(chunk, le64_to_cpu(body->epoch),
			       le32_to_cpu(body->length),
			       le32_to_cpu(body->end_crc));
	apply_root(chunk->volume, body->root, body->root_sequence);
	return 0;
}

static int apply_to_chunk(struct store *store, enum journal_type type,
			  const struct disk_journal_chunk *body)
{
	struct store_chunk *chunk = apply_chunk(store, body->volume,
						body->chunk);

	if (chunk == NULL)
		return -ENOMEM;
	if (type == JOURNAL_BAD)
		chunk->flags |= STORE_CHUNK_BAD;
	else if (type == JOURNAL_DELETE)
		chunk->flags |= STORE_CHUNK_DELETING;
	else if (type == JOURNAL_KEEP)
		chunk->flags &= ~STORE_CHUNK_DELETING;
	else if (type == JOURNAL_FORGET)
		store_chunk_remove(chunk);
	else if (!(chunk->flags & STORE_CHUNK_SEALED))
		chunk->length = le32_to_cpu(body->length);
	return 0;
}

static bool chunk_number_ok(__le64 volume, __le64 number)
{
	return volume != 0 && number != 0 &&
	       le64_to_cpu(number) <= CHUNK_NUMBER_MAX;
}

static int apply(void *ctx, enum journal_type type,
		 const union disk_journal_body *body)
{
	struct store *store = ctx;

	switch (type) {
	case JOURNAL_STORE:
		return apply_store(store, &body->store);
	case JOURNAL_MOUNT:
		store->incarnation = body->mount.incarnation;
		memcpy(store->open->boot_id, body->mount.boot_id,
		       sizeof(store->open->boot_id));
		return 0;
	case JOURNAL_VOLUME:
		if (body->volume.volume == 0)
			return -EBADMSG;
		return apply_volume(store, &body->volume);
	case JOURNAL_SEAL:
	case JOURNAL_RESTORE:
		if (!chunk_number_ok(body->seal.volume, body->seal.chunk) ||
		    le32_to_cpu(body->seal.length) > CHUNK_BLOCKS_MAX)
			return -EBADMSG;
		return apply_seal(store, type, &body->seal);
	default:
		if (!chunk_number_ok(body->chunk.volume, body->chunk.chunk) ||
		    le32_to_cpu(body->chunk.length) > CHUNK_BLOCKS_MAX)
			return -EBADMSG;
		return apply_to_chunk(store, type, &body->chunk);
	}
}

/* ---- reading ------------------------------------------------------------- */

static void finish(struct store_journal *journal, int err)
{
	if (err == 0 && journal->sequence == 0)
		err = error_set(-EBADMSG, "journal: no valid batch in it, the file is damaged. Restore it, or empty the directory and let repair fill it again");
	free(journal->window);
	journal->window = NULL;
	journal->compact_at = MAX(4 * journal->offset,
				  (uint64_t)JOURNAL_COMPACT_MIN);
	journal->done(journal->store, err);
}

static int64_t broken(struct store_journal *journal)
{
	return error_set(-EBADMSG, "journal: damaged at byte %" PRIu64 ", with valid batches behind it. Restore the file, or empty the directory and let repair fill it again",
			 journal->damaged);
}

static int apply_batch(struct store_journal *journal,
		       const struct disk_journal_batch *head)
{
	int err;

	error_clear();
	err = store_batch_walk(head, apply, journal->store);
	if (err == -EPROTONOSUPPORT)
		return error_set(err, "journal: an entry of unknown type, written by a newer version of torusd");
	if (err == -EBADMSG)
		return error_set(err, "journal: malformed entry at byte %" PRIu64,
				 journal->new_offset);
	return err;
}

/*
 * What lies at new_offset, with @left bytes in memory. Returns how far to
 * advance, or -errno.
 */
static int64_t look_at(struct store_journal *journal, const void *at,
		       size_t left)
{
	const struct disk_journal_batch *head = at;
	bool hunting = journal->damaged != UINT64_MAX;
	int64_t bytes = store_batch_check(at, left);
	uint64_t next = journal->sequence + 1;
	int err;

	if (bytes == -EPROTONOSUPPORT)
		return error_set(-EPROTONOSUPPORT, "journal: written by a newer version of torusd");
	if (bytes > 0 && !hunting && le64_to_cpu(head->sequence) == next &&
	    le32_to_cpu(head->prev_crc) == journal->crc) {
		err = apply_batch(journal, head);
		if (err < 0)
			return err;
		journal->sequence = next;
		journal->crc = le32_to_cpu(head->crc);
		journal->offset = journal->new_offset + (uint64_t)bytes;
		return bytes;
	}
	if (!hunting)
		journal->damaged = journal->new_offset;
	if (bytes > 0 && le64_to_cpu(head->sequence) > next)
		return broken(journal);
	return BLOCK_SIZE;
}

static void window_read(struct env_file_op *op);

static void read_window(struct store_journal *journal)
{
	journal->window_offset = journal->new_offset;
	journal->iov.iov_base = journal->window;
	journal->iov.iov_len = WINDOW_BYTES;
	store_op_read(journal->store, &journal->op, journal->file,
		      &journal->iov, 1, journal->window_offset, window_read,
		      journal);
}

static void end_of_file(struct store_journal *journal)
{
	if (journal->damaged != UINT64_MAX)
		log_warning("store: journal: what follows byte %" PRIu64 " was not finished when the last torusd ended; going on from there",
			    journal->offset);
	finish(journal, 0);
}

static void window_read(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;
	bool eof = op->result < (int64_t)WINDOW_BYTES;
	int64_t advance;

	if (op->result < 0) {
		finish(journal, error_set((int)op->result, "journal: %s",
					  strerror((int)-op->result)));
		return;
	}
	journal->window_bytes = (size_t)op->result;
	for (;;) {
		size_t at = journal->new_offset - journal->window_offset;
		size_t left = at < journal->window_bytes ?
			      journal->window_bytes - at : 0;

		if (eof ? left == 0 : left < JOURNAL_BATCH_MAX)
			break;
		advance = look_at(journal, journal->window + at, left);
		if (advance < 0) {
			finish(journal, (int)advance);
			return;
		}
		journal->new_offset += (uint64_t)advance;
	}
	if (eof)
		end_of_file(journal);
	else
		read_window(journal);
}

static void journal_opened(struct env_file_op *op)
{
	struct store_journal *journal = op->ctx;

	if (op->result < 0) {
		journal->done(journal->store, (int)op->result);
		return;
	}
	journal->file = (int)op->result;
	journal->window = aligned_alloc(BLOCK_SIZE, WINDOW_BYTES);
	if (journal->window == NULL)
		finish(journal, -ENOMEM);
	else
		read_window(journal);
}

void store_journal_replay(struct store_journal *journal,
			  void (*done)(struct store *store, int err))
{
	journal->done = done;
	journal->new_offset = 0;
	store_op_open(journal->store, &journal->op, "journal", FILE_FRESH,
		      journal_opened, journal);
}
