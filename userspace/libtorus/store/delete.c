// SPDX-License-Identifier: Apache-2.0
/*
 * Deleting.
 *
 *   one chunk:  JOURNAL_DELETE durable -> idle -> unlink -> directory synced
 *               -> JOURNAL_FORGET -> gone from the index -> answer
 *   a volume:   JOURNAL_VOLUME with the tombstone durable -> chunk by chunk
 *               idle, unlink, gone from the index -> directory removed -> done
 *
 * A deletion may be called off in the step that unlinks; JOURNAL_KEEP then takes
 * back what DELETE said, before anybody sees the chunk again.
 *
 * Between DELETE and FORGET a crash leaves a file that start-up removes; only
 * then may a chunk of that number be made again. A tombstone needs neither
 * entry: start-up removes every file of such a volume. To everybody else a
 * tombstone looks like a fence with the highest epoch there is.
 *
 * Every store sees every tombstone. One that never heard of the volume keeps
 * its number in memory only (condemned.h), so that neither the journal nor the
 * index grows with what was deleted elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "store/private.h"
#include "store/request.h"

/* ---- one chunk ----------------------------------------------------------- */

static void erase(struct store_chunk *chunk)
{
	struct store *store = chunk->volume->store;

	store_tell_gone(chunk);
	store_space_add(store, -(int64_t)store_chunk_footprint(chunk) *
			       BLOCK_SIZE);
	store_chunk_live_free(chunk);
	store_chunk_remove(chunk);
	store_space_look(store);
}

static struct store_chunk *deleted_chunk(const struct store_delete *del)
{
	return store_chunk_find(del->volume, del->number);
}

static void log_chunk(struct store_delete *del, enum journal_type type,
		      void (*done)(struct store_journal_entry *entry, int err))
{
	struct store_journal_entry *entry = &del->entry;

	memset(entry, 0, sizeof(*entry));
	entry->type = type;
	entry->done = done;
	entry->body.chunk.volume = cpu_to_le64(del->volume->id);
	entry->body.chunk.chunk = cpu_to_le64(del->number);
	store_journal_submit(&del->volume->store->journal, entry);
}

static void forgotten(struct store_journal_entry *entry, int err)
{
	struct store_delete *del = container_of(entry, struct store_delete,
						entry);

	if (err == 0)
		erase(deleted_chunk(del));
	del->done(del, err == 0 ? 0 : -EIO);
}

static void name_gone(struct store_sync_wait *wait, int err)
{
	struct store_delete *del = container_of(wait, struct store_delete,
						names);

	if (err < 0)
		del->done(del, -EIO);
	else
		log_chunk(del, JOURNAL_FORGET, forgotten);
}

static bool condemned(const struct store_volume *volume)
{
	return volume->epoch_seen == UINT64_MAX;
}

/* Where KEEP is not durable a restart would go on with the deletion: the chunk
 * stays out of sight until then. */
static void kept(struct store_journal_entry *entry, int err)
{
	struct store_delete *del = container_of(entry, struct store_delete,
						entry);
	struct store_chunk *chunk = deleted_chunk(del);

	if (err == 0)
		chunk->flags &= ~STORE_CHUNK_DELETING;
	store_chunk_release(chunk);
	/* The deletion of the whole volume has passed it by meanwhile. */
	del->still = NULL;
	if (err == 0 && !del->failed && condemned(del->volume) &&
	    store_chunk_delete(del) == 0)
		return;
	del->done(del, err == 0 && !del->failed ? -ECANCELED : -EIO);
}

static void keep(struct store_delete *del)
{
	struct store_chunk *chunk = deleted_chunk(del);

	store_chunk_hold(chunk);
	log_chunk(del, JOURNAL_KEEP, kept);
}

/* Its file was closed for it: what was not synced, nobody vouches for. */
static void give_up(struct store_delete *del)
{
	struct store_chunk *chunk = deleted_chunk(del);

	if (chunk->live->data.durable < chunk->live->data.written)
		store_chunk_mark_bad(chunk, "it could neither be removed nor synced");
	keep(del);
}

/* The file is there still, so the chunk is what it was: who wants it gone asks
 * again, while one that stays out of sight would take its space for ever. */
static void unlinked(struct env_file_op *op)
{
	struct store_delete *del = op->ctx;
	struct store_volume *volume = del->volume;

	if (op->result < 0 && op->result != -ENOENT) {
		log_error("store: cannot remove %s: %s", op->path,
			  strerror((int)-op->result));
		del->failed = true;
		give_up(del);
		return;
	}
	del->names.fn = name_gone;
	store_syncer_wait(&volume->names, &del->names,
			  ++volume->names.written);
}

static void idle(struct store_chunk_idle_wait *wait)
{
	struct store_delete *del = container_of(wait, struct store_delete,
						idle);
	struct store_chunk *chunk = deleted_chunk(del);

	if (del->still != NULL && !condemned(del->volume) &&
	    !del->still(del)) {
		keep(del);
		return;
	}
	store_file_forget(chunk);
	if (!(chunk->flags & STORE_CHUNK_FILE)) {
		log_chunk(del, JOURNAL_FORGET, forgotten);
		return;
	}
	store_file_path(chunk, del->path);
	store_op_path(del->volume->store, &del->op, FILE_UNLINK, del->path,
		      unlinked, del);
}

static void delete_logged(struct store_journal_entry *entry, int err)
{
	struct store_delete *del = container_of(entry, struct store_delete,
						entry);
	struct store_chunk *chunk = deleted_chunk(del);

	if (err < 0) {
		chunk->flags &= ~STORE_CHUNK_DELETING;
		store_chunk_release(chunk);
		del->done(del, -EIO);
		return;
	}
	del->idle.fn = idle;
	store_chunk_when_idle(chunk, &del->idle);
	store_chunk_release(chunk);
}

/*
 * The chunk is held until delete_logged(), since whoever uses it now may end
 * before that and take the live part with it.
 */
int store_chunk_delete(struct store_delete *del)
{
	struct store_chunk *chunk = deleted_chunk(del);

	if (chunk == NULL)
		return -ENOENT;
	if (chunk->flags & (STORE_CHUNK_DELETING | STORE_CHUNK_RESTORING))
		return -EBUSY;
	if (del->still != NULL && !del->still(del))
		return -ECANCELED;
	if (store_chunk_live(chunk) == NULL)
		return -ENOMEM;
	chunk->flags |= STORE_CHUNK_DELETING;
	store_chunk_hold(chunk);
	log_chunk(del, JOURNAL_DELETE, delete_logged);
	return 0;
}

/* ---- the verb ------------------------------------------------------------ */

static void answer(struct store_request *request, uint32_t status)
{
	store_chunk_reply(request);
	store_request_finish(request, status);
}

static void chunk_deleted(struct store_delete *del, int err)
{
	answer(container_of(del, struct store_request, u.delete),
	       err == 0 ? WIRE_OK : WIRE_EIO);
}

static uint32_t refusal(int err)
{
	return err == -ENOENT ? WIRE_ENOCHUNK :
	       err == -EBUSY ? WIRE_EBUSY : WIRE_EIO;
}

/*
 * Maintenance deletes what it knows to be dead, or to be somewhere else; the
 * writer of a volume what its published root does not need, as long as nobody
 * has fenced it: a later writer may go on from an older root.
 */
static void delete_one(struct store_request *request)
{
	const struct wire_chunk *body = &request->body.chunk;
	struct store_delete *del = &request->u.delete;
	uint32_t status = WIRE_OK;
	int err;

	if (!store_request_maintenance(request) && body->epoch == 0)
		status = WIRE_EINVAL;
	else if (body->epoch != 0)
		status = store_request_epoch(request, le64_to_cpu(body->volume),
					     le64_to_cpu(body->epoch), false);
	if (status == WIRE_OK && request->volume == NULL)
		status = WIRE_ENOCHUNK;
	if (status != WIRE_OK) {
		answer(request, status);
		return;
	}
	del->volume = request->volume;
	del->number = le64_to_cpu(body->chunk);
	del->done = chunk_deleted;
	err = store_chunk_delete(del);
	if (err < 0)
		answer(request, refusal(err));
}

static void volume_deleted(void *ctx, int err)
{
	answer(ctx, err == 0 ? WIRE_OK : WIRE_EIO);
}

void store_delete_run(struct store_request *request)
{
	const struct wire_chunk *body = &request->body.chunk;
	uint64_t id = le64_to_cpu(body->volume);

	request->volume = store_volume_find(&request->store->index, id);
	if (body->chunk != 0)
		delete_one(request);
	/* Only a tombstone in the metadata store condemns a volume. */
	else if (request->volume == NULL || !request->volume->tombstone)
		answer(request, WIRE_EINVAL);
	else
		store_delete_volume(request->store, id, volume_deleted,
				    request);
}

/* ---- a volume ------------------------------------------------------------ */

struct volume_delete {
	struct list_head node;		/* store->volume_deletes */
	struct store_volume *volume;
	struct store_chunk *chunk;	/* whose turn it is */
	struct store_journal_entry entry;
	struct store_chunk_idle_wait idle;
	struct env_file_op op;
	char path[48];
	store_open_fn done;
	void *ctx;
};

static void volume_delete_end(struct volume_delete *del, int err)
{
	struct store *store = del->volume->store;
	store_open_fn done = del->done;
	void *ctx = del->ctx;

	if (err < 0)
		error_set(err, "cannot remove the chunks of volume %016" PRIx64 ": %s",
			  del->volume->id, strerror(-err));
	list_del_init(&del->node);
	free(del);
	done(ctx, err);
	store_close_step(store);
}

static void next_chunk(struct volume_delete *del);

static void chunk_unlinked(struct env_file_op *op)
{
	struct volume_delete *del = op->ctx;

	if (op->result < 0 && op->result != -ENOENT) {
		/* For the next attempt, which leaves alone what others have. */
		del->chunk->flags &= ~STORE_CHUNK_DELETING;
		volume_delete_end(del, (int)op->result);
		return;
	}
	erase(del->chunk);
	next_chunk(del);
}

static void volume_chunk_idle(struct store_chunk_idle_wait *wait)
{
	struct volume_delete *del = container_of(wait, struct volume_delete,
						 idle);

	store_file_forget(del->chunk);
	store_file_path(del->chunk, del->path);
	store_op_path(del->volume->store, &del->op, FILE_UNLINK, del->path,
		      chunk_unlinked, del);
}

static void dir_synced(struct env_file_op *op)
{
	volume_delete_end(op->ctx, op->result < 0 ? (int)op->result : 0);
}

/* A file that a DELETE has in hand keeps the directory until the next start. */
static void dir_removed(struct env_file_op *op)
{
	struct volume_delete *del = op->ctx;
	struct store_volume *volume = del->volume;
	bool removed = op->result == 0 || op->result == -ENOENT;

	if (removed)
		volume->dir_state = STORE_DIR_NONE;
	store_op_path(volume->store, op, FILE_SYNC_DIR,
		      removed ? "chunks" : volume->path, dir_synced, del);
}

/* Those that a DELETE has in hand already are left to it. */
static struct store_chunk *first_chunk(const struct store_volume *volume)
{
	uint32_t i;

	for (i = 0; i < volume->chunk_count; i++)
		if (!(volume->chunks[i]->flags & STORE_CHUNK_DELETING))
			return volume->chunks[i];
	return NULL;
}

static void next_chunk(struct volume_delete *del)
{
	struct store_chunk *chunk = first_chunk(del->volume);

	del->chunk = chunk;
	if (chunk == NULL && del->volume->dir_state == STORE_DIR_READY) {
		store_op_path(del->volume->store, &del->op, FILE_UNLINK,
			      del->volume->path, dir_removed, del);
		return;
	}
	if (chunk == NULL || store_chunk_live(chunk) == NULL) {
		volume_delete_end(del, chunk == NULL ? 0 : -ENOMEM);
		return;
	}
	chunk->flags |= STORE_CHUNK_DELETING;
	del->idle.fn = volume_chunk_idle;
	store_chunk_when_idle(chunk, &del->idle);
}

static void tombstone_logged(struct store_journal_entry *entry, int err)
{
	struct volume_delete *del = container_of(entry, struct volume_delete,
						 entry);

	if (err < 0) {
		volume_delete_end(del, err);
		return;
	}
	del->volume->tombstone = true;
	del->volume->epoch_fenced = UINT64_MAX;
	next_chunk(del);
}

static void condemn(struct store *store, uint64_t id, store_open_fn done,
		    void *ctx)
{
	int err = store_condemned_add(&store->condemned, id);

	if (err < 0)
		error_set(err, "out of memory");
	done(ctx, err);
}

void store_delete_volume(struct store *store, uint64_t id,
			 store_open_fn done, void *ctx)
{
	struct store_volume *volume = store_volume_find(&store->index, id);
	struct volume_delete *del;

	if (volume == NULL) {
		condemn(store, id, done, ctx);
		return;
	}
	del = calloc(1, sizeof(*del));
	if (del == NULL) {
		done(ctx, error_set(-ENOMEM, "out of memory"));
		return;
	}
	list_add_tail(&del->node, &store->volume_deletes);
	del->volume = volume;
	del->done = done;
	del->ctx = ctx;
	volume->epoch_seen = UINT64_MAX;
	store_restores_drop(store, volume);
	if (volume->tombstone) {
		next_chunk(del);
		return;
	}
	del->entry.type = JOURNAL_VOLUME;
	del->entry.done = tombstone_logged;
	del->entry.body.volume.volume = cpu_to_le64(id);
	del->entry.body.volume.epoch = cpu_to_le64(UINT64_MAX);
	del->entry.body.volume.flags = cpu_to_le32(JOURNAL_TOMBSTONE);
	store_journal_submit(&store->journal, &del->entry);
}

void store_volume_deletes_release(struct store *store)
{
	struct volume_delete *del, *next;

	list_for_each_entry_safe(del, next, &store->volume_deletes, node)
		free(del);
}
