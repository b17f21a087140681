// SPDX-License-Identifier: Apache-2.0
/*
 * A restored copy takes its place.
 *
 *   file durable -> chunk marked RESTORING: who comes is told to try again
 *     -> nobody uses the chunk any more -> checked once more
 *     -> an old copy that an earlier epoch sealed otherwise: JOURNAL_BAD durable
 *     -> renamed over the old copy -> directory synced -> JOURNAL_RESTORE
 *        durable -> sealed -> answer
 *
 * What a crash leaves, step by step:
 *   before the rename is on the disk  the old copy, or none, as it was
 *   after it, before JOURNAL_RESTORE  the whole new copy under the journal's
 *       old word for it: nothing known or unsealed: an unsealed copy that has
 *       all the records (one that is shorter than what the journal calls
 *       durable counts as damaged); bad: still bad. RESTORE comes again.
 *   after it                          the new copy, sealed
 * The word "sealed so" must not stand for other bytes for a moment: others count
 * such copies. So it is taken back before the rename; the later seal has
 * overruled that copy anyway.
 *
 * So nothing is promised that the disk does not hold, and at each moment either
 * the old bytes or the new ones are there, whole. The rename stays inside of
 * one directory: then it is one change of it.
 *
 * When the directory cannot be synced, or the journal not written, nobody knows
 * which of the two copies the next start finds: the copy is bad until then.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/private.h"
#include "store/request.h"
#include "store/restore.h"

/* The chunk goes on as it is. */
static void end_held(struct store_restore *r, uint32_t status)
{
	struct store_chunk *chunk = r->chunk;

	chunk->flags &= ~STORE_CHUNK_RESTORING;
	store_restore_end(r, status);
	store_chunk_release(chunk);
}

/* Of a bad copy, a later epoch may have sealed the very same bytes again. */
static uint64_t seal_epoch(const struct store_restore *r)
{
	const struct store_chunk *chunk = r->chunk;

	if (!(chunk->flags & STORE_CHUNK_SEALED) || chunk->length != r->length ||
	    chunk->end_crc != r->end_crc)
		return r->epoch;
	return MAX(r->epoch, chunk->seal_epoch);
}

static void apply(struct store_restore *r)
{
	struct store_chunk *chunk = r->chunk;
	struct store_volume *volume = chunk->volume;
	uint32_t had;

	chunk->flags &= ~(STORE_CHUNK_BAD | STORE_CHUNK_RESTORING);
	chunk->live->bad_logged = false;
	if (r->root_sequence > volume->root_sequence) {
		volume->root = r->root;
		volume->root_sequence = r->root_sequence;
	}
	had = store_seal_apply(chunk, seal_epoch(r), r->length, r->end_crc);
	store_space_add(r->store, -(int64_t)had * BLOCK_SIZE);
	if (r->length == 0 && (chunk->flags & STORE_CHUNK_FILE))
		store_detached_punch(chunk, 0);
}

static void restore_logged(struct store_journal_entry *entry, int err)
{
	struct store_restore *r = container_of(entry, struct store_restore,
					       entry);

	if (err == 0)
		apply(r);
	else if (r->length > 0)
		store_chunk_mark_bad(r->chunk, "the journal could not be written while it was restored");
	end_held(r, err == 0 ? WIRE_OK : WIRE_EIO);
}

static void log_restore(struct store_restore *r)
{
	struct disk_journal_seal *body = &r->entry.body.seal;

	r->entry.type = JOURNAL_RESTORE;
	r->entry.done = restore_logged;
	body->volume = cpu_to_le64(r->volume);
	body->chunk = cpu_to_le64(r->number);
	body->epoch = cpu_to_le64(seal_epoch(r));
	body->length = cpu_to_le32(r->length);
	body->end_crc = cpu_to_le32(r->end_crc);
	body->root = cpu_to_le64(r->root);
	body->root_sequence = cpu_to_le64(r->root_sequence);
	store_journal_submit(&r->store->journal, &r->entry);
}

static void name_durable(struct store_sync_wait *wait, int err)
{
	struct store_restore *r = container_of(wait, struct store_restore,
					       names);

	if (err < 0)
		end_held(r, WIRE_EIO);	/* it was marked bad for that */
	else
		log_restore(r);
}

/* The old file, if it was open, has no name any more. */
static void drop_old_file(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct store *store = chunk->volume->store;

	list_del_init(&live->dirty);
	list_del_init(&live->log_node);
	if (live->file < 0)
		return;
	store_detached_close(store, live->file);
	live->file = -1;
	store->files_open--;
	store_files_service(store);
}

static void renamed(struct env_file_op *op)
{
	struct store_restore *r = op->ctx;
	struct store_chunk *chunk = r->chunk;
	struct store_syncer *names = &chunk->volume->names;

	if (op->result < 0) {
		log_error("store: cannot rename %s to %s: %s", r->path,
			  r->place, strerror((int)-op->result));
		end_held(r, WIRE_EIO);
		return;
	}
	r->exists = false;
	drop_old_file(chunk);
	chunk->flags |= STORE_CHUNK_FILE;
	chunk->live->name_change = ++names->written;
	r->names.fn = name_durable;
	store_syncer_wait(names, &r->names, chunk->live->name_change);
}

static void rename_it(struct store_restore *r)
{
	store_file_path(r->chunk, r->place);
	store_op_rename(r->store, &r->op, r->path, r->place, renamed, r);
}

static void old_copy_bad(struct store_durable_wait *wait, int err)
{
	struct store_restore *r = container_of(wait, struct store_restore,
					       overruled);

	if (err == -EUCLEAN)
		rename_it(r);
	else
		end_held(r, WIRE_EIO);
}

/* Sealed and good, but as something else. */
static bool overrules(const struct store_restore *r)
{
	const struct store_chunk *chunk = r->chunk;

	return (chunk->flags & STORE_CHUNK_SEALED) &&
	       !(chunk->flags & STORE_CHUNK_BAD) &&
	       (chunk->length != r->length || chunk->end_crc != r->end_crc);
}

static void unused(struct store_chunk_idle_wait *wait)
{
	struct store_restore *r = container_of(wait, struct store_restore,
					       idle);
	uint32_t status = store_restore_check(r, true);

	store_chunk_hold(r->chunk);
	if (status == WIRE_OK && store_refuses_changes(r->store))
		status = WIRE_EIO;
	if (status != WIRE_OK) {
		end_held(r, status);
		return;
	}
	if (r->length == 0) {
		log_restore(r);
		return;
	}
	if (!overrules(r)) {
		rename_it(r);
		return;
	}
	store_chunk_mark_bad(r->chunk, "a later epoch has sealed it otherwise, and that copy takes its place");
	r->overruled.fn = old_copy_bad;
	store_chunk_make_durable(r->chunk, 0, &r->overruled);
}

void store_restore_place(struct store_restore *r)
{
	struct store_volume *volume = store_volume_find(&r->store->index,
							r->volume);
	uint32_t status = store_restore_check(r, false);
	struct store_chunk *chunk;

	if (status != WIRE_OK) {
		store_restore_end(r, status);
		return;
	}
	chunk = store_chunk_get(volume, r->number);
	if (chunk == NULL || store_chunk_live(chunk) == NULL) {
		if (chunk != NULL && chunk->flags == 0)
			store_chunk_remove(chunk);
		store_restore_end(r, WIRE_EIO);
		return;
	}
	r->chunk = chunk;
	chunk->flags |= STORE_CHUNK_RESTORING;
	r->idle.fn = unused;
	store_chunk_when_idle(chunk, &r->idle);
}
