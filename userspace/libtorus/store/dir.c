// SPDX-License-Identifier: Apache-2.0
/*
 * The directory of a volume, chunks/ID. It is made, and its own name made
 * durable, before the first file goes in: once per volume, and it saves every
 * SYNC from thinking of two directories.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

static void tell_waiters(struct store_volume *volume, int err)
{
	struct store_file_wait *wait;
	struct list_head ready;

	list_init(&ready);
	list_splice_tail_init(&volume->dir_waiters, &ready);
	while (!list_empty(&ready)) {
		wait = list_first_entry(&ready, struct store_file_wait, node);
		list_del_init(&wait->node);
		wait->fn(wait, err);
	}
}

static void finish(struct store_volume *volume, int err)
{
	volume->dir_state = err < 0 ? STORE_DIR_NONE : STORE_DIR_READY;
	if (err < 0)
		log_error("store: cannot make directory %s: %s", volume->path,
			  strerror(-err));
	tell_waiters(volume, err);
}

/*
 * After a failed sync of the directory of directories no name below it can be
 * trusted to stay: nothing more is promised.
 */
static void parent_synced(struct env_file_op *op)
{
	struct store_volume *volume = op->ctx;

	if (op->result < 0)
		store_journal_fail(&volume->store->journal, (int)op->result);
	finish(volume, op->result < 0 ? (int)op->result : 0);
}

static void made(struct env_file_op *op)
{
	struct store_volume *volume = op->ctx;

	if (op->result < 0 && op->result != -EEXIST) {
		finish(volume, (int)op->result);
		return;
	}
	store_op_path(volume->store, op, FILE_SYNC_DIR, "chunks",
		      parent_synced, volume);
}

int store_dir_get(struct store_volume *volume, struct store_file_wait *wait)
{
	if (volume->dir_state == STORE_DIR_READY)
		return 0;
	list_add_tail(&wait->node, &volume->dir_waiters);
	if (volume->dir_state == STORE_DIR_NONE) {
		volume->dir_state = STORE_DIR_MAKING;
		store_op_path(volume->store, &volume->dir_op, FILE_MKDIR,
			      volume->path, made, volume);
	}
	return -EINPROGRESS;
}

static void names_synced(struct env_file_op *op)
{
	struct store_volume *volume = op->ctx;

	store_syncer_finish(&volume->names,
			    op->result < 0 ? (int)op->result : 0);
}

static void names_start(struct store_syncer *syncer)
{
	struct store_volume *volume =
		container_of(syncer, struct store_volume, names);

	store_op_path(volume->store, &volume->names_op, FILE_SYNC_DIR,
		      volume->path, names_synced, volume);
}

/* Every name that was not durable may be gone after the next crash. */
static void names_failed(struct store_syncer *syncer, int err)
{
	struct store_volume *volume =
		container_of(syncer, struct store_volume, names);
	uint32_t i;

	for (i = 0; i < volume->chunk_count; i++) {
		struct store_chunk *chunk = volume->chunks[i];

		/* One that is being deleted may be past its last user. */
		if (chunk->live != NULL &&
		    !(chunk->flags & STORE_CHUNK_DELETING) &&
		    chunk->live->name_change > syncer->durable)
			store_chunk_mark_bad(chunk,
					     "its directory cannot be synced");
	}
}

void store_dir_init(struct store_volume *volume)
{
	store_syncer_init(&volume->names, names_start, names_failed);
}
