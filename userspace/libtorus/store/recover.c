// SPDX-License-Identifier: Apache-2.0
/*
 * Start-up: what the journal knows meets what the directory holds.
 *
 *   sync the directories above -> list chunks/ and each volume's directory
 *        -> judge every chunk
 *        -> set foreign and truncated files aside -> read unsealed chains
 *
 *   sealed     file too short or missing: the copy is bad
 *   unsealed   the chain in the file decides; what lies behind what was known
 *              durable has its payload checked too
 *   deleted    the file is removed once the store serves
 *   left over  pieces of copies that were being restored: removed
 *   unknown    names that are no chunks, files that hold something else: moved
 *              to aside/, named in the log, never deleted
 *
 * A chain that stops before the end of its file is either the torn end of a
 * crash (then the copy goes on from there) or, below what was known durable,
 * damage: the valid part can be scanned and read, but nothing is added to it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/open.h"
#include "store/private.h"
#include "store/recover.h"
#include "store/request.h"

struct aside {
	struct list_head node;
	char from[320], to[160];	/* to "": it is removed */
};

static struct aside *plan(struct store_open *open, const char *dir,
			  const char *name)
{
	struct aside *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		open->err = -ENOMEM;
		return NULL;
	}
	snprintf(a->from, sizeof(a->from), "%s/%s", dir, name);
	list_add_tail(&a->node, &open->aside);
	return a;
}

void store_set_aside(struct store *store, const char *dir, const char *name,
		     const char *why)
{
	struct store_open *open = store->open;
	struct aside *a = plan(open, dir, name);
	const char *inner = strchr(dir, '/');

	if (a == NULL)
		return;
	snprintf(a->to, sizeof(a->to), "aside/%s%s%.64s.%" PRIx64 ".%u",
		 inner != NULL ? inner + 1 : "", inner != NULL ? "-" : "", name,
		 env_realtime(store->env), open->aside_count++);
	log_error("store: %s: %s. It is set aside as %s; look at it, then remove it",
		  a->from, why, a->to);
}

void store_recover_release(struct store_open *open)
{
	struct aside *a, *next;

	list_for_each_entry_safe(a, next, &open->aside, node)
		free(a);
	list_init(&open->aside);
	store_chains_release(open);
}

static void fail(struct store *store, int err)
{
	store->open->step(store, err);
}

/* ---- setting aside -------------------------------------------------------- */

static void move_next(struct store *store);

static void moved(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct aside *a = list_first_entry(&store->open->aside, struct aside,
					   node);

	if (op->result < 0 && *a->to == '\0') {
		fail(store, error_set((int)op->result, "cannot remove %s: %s",
				      a->from, strerror((int)-op->result)));
		return;
	}
	if (op->result < 0) {
		fail(store, error_set((int)op->result, "cannot move %s to %s: %s",
				      a->from, a->to,
				      strerror((int)-op->result)));
		return;
	}
	list_del_init(&a->node);
	free(a);
	move_next(store);
}

static void move_next(struct store *store)
{
	struct store_open *open = store->open;
	struct aside *a;

	if (open->err < 0 || list_empty(&open->aside)) {
		if (open->err == -EPROTONOSUPPORT)
			error_set(open->err, "there are chunks that a newer version of torusd has written, named in the log");
		else if (open->err < 0)
			error_set(open->err, "%s", strerror(-open->err));
		open->step(store, open->err);
		return;
	}
	a = list_first_entry(&open->aside, struct aside, node);
	if (*a->to == '\0')
		store_op_path(store, &open->op, FILE_UNLINK, a->from, moved,
			      store);
	else
		store_op_rename(store, &open->op, a->from, a->to, moved,
				store);
}

static void aside_made(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0 && op->result != -EEXIST)
		fail(store, error_set((int)op->result, "cannot make directory aside: %s",
				      strerror((int)-op->result)));
	else
		move_next(store);
}

static void move_aside(struct store *store)
{
	if (store->open->aside_count == 0)
		move_next(store);
	else
		store_op_path(store, &store->open->op, FILE_MKDIR, "aside",
			      aside_made, store);
}

/* ---- judging --------------------------------------------------------------- */

/*
 * A file that is longer than the chunk got its end punched when it was sealed,
 * but a loss of power may have brought that back.
 */
static void judge_sealed(struct store_chunk *chunk)
{
	struct store *store = chunk->volume->store;

	if (chunk->live != NULL && (chunk->flags & STORE_CHUNK_FILE) &&
	    !(chunk->flags & STORE_CHUNK_BAD))
		store_detached_punch(chunk, chunk->length);

	if (chunk->length == 0 || (chunk->flags & STORE_CHUNK_FILE) ||
	    (chunk->flags & STORE_CHUNK_BAD))
		return;
	if (store_chunk_live(chunk) == NULL)
		store->open->err = -ENOMEM;
	else
		store_chunk_mark_bad(chunk, "its file is missing or too short");
}

static void judge_unsealed(struct store_chunk *chunk)
{
	if (store_chunk_live(chunk) == NULL)
		chunk->volume->store->open->err = -ENOMEM;
	else if (!(chunk->flags & STORE_CHUNK_FILE))
		store_chunk_mark_bad(chunk, "its file is missing");
	else if (!(chunk->flags & STORE_CHUNK_BAD))
		store_chain_recover(chunk);
}

/* Returns whether the chunk stays in the index. */
static bool judge(struct store_chunk *chunk)
{
	bool has_file = (chunk->flags & STORE_CHUNK_FILE) != 0;

	if (chunk->volume->tombstone)
		return has_file;	/* store_erase_leftovers() */
	if (chunk->flags & STORE_CHUNK_DELETING)
		return true;		/* likewise */
	if (!has_file && chunk->length == 0 && chunk->flags == 0)
		return false;
	if (chunk->flags & STORE_CHUNK_SEALED)
		judge_sealed(chunk);
	else
		judge_unsealed(chunk);
	return true;
}

static void judge_all(struct store *store)
{
	struct store_chunk *chunk;
	uint64_t volume = 0, number = 0;

	/* Held open by one, so that the end comes after all are started. */
	store->open->pending = 1;
	while ((chunk = store_index_next(&store->index, volume, number)) !=
	       NULL) {
		volume = chunk->volume->id;
		number = chunk->number;
		store_space_add(store, (int64_t)store_chunk_footprint(chunk) *
				       BLOCK_SIZE);
		if (!judge(chunk)) {
			store_space_add(store,
					-(int64_t)store_chunk_footprint(chunk) *
					BLOCK_SIZE);
			store_chunk_live_free(chunk);
			store_chunk_remove(chunk);
		}
	}
	store->appended_since = 0;	/* the file system counts them already */
	store_chain_ended(store);
}

void store_chain_ended(struct store *store)
{
	if (--store->open->pending == 0)
		move_aside(store);
}

/* ---- listing --------------------------------------------------------------- */

/* Exactly @digits lower-case hex digits. */
static bool parse_hex(const char *name, size_t digits, uint64_t *value)
{
	if (strlen(name) != digits ||
	    strspn(name, "0123456789abcdef") != digits)
		return false;
	*value = strtoull(name, NULL, 16);
	return *value != 0;
}

/* A torn block at the end holds nothing, but takes a whole one on the disk. */
static void note_size(struct store_chunk_live *live, uint64_t size)
{
	size = MIN(size, (uint64_t)CHUNK_BLOCKS_MAX * BLOCK_SIZE);
	live->torn_end = size % BLOCK_SIZE != 0;
	live->found_blocks = (uint32_t)(size / BLOCK_SIZE) + live->torn_end;
}

static int note_file(struct store_chunk *chunk, const char *dir,
		     const char *name, uint64_t size)
{
	if ((chunk->flags & STORE_CHUNK_SEALED) &&
	    !(chunk->flags & STORE_CHUNK_DELETING) &&
	    !chunk->volume->tombstone && size / BLOCK_SIZE < chunk->length) {
		store_set_aside(chunk->volume->store, dir, name,
				"the chunk is truncated");
		return 0;
	}
	chunk->flags |= STORE_CHUNK_FILE;
	if ((chunk->flags & STORE_CHUNK_SEALED) &&
	    size <= (uint64_t)chunk->length * BLOCK_SIZE)
		return 0;
	if (store_chunk_live(chunk) == NULL)
		return -ENOMEM;
	if (chunk->flags & STORE_CHUNK_SEALED)
		return 0;		/* judge_sealed() */
	note_size(chunk->live, size);
	return 0;
}

static void found_chunk(struct env_file_op *op, const char *name,
			uint64_t size, bool is_directory)
{
	struct store *store = op->ctx;
	struct store_open *open = store->open;
	struct store_volume *volume = store_volume_find(&store->index,
							open->volume);
	struct store_chunk *chunk;
	uint64_t number, max;

	if (!is_directory && store_restore_leftover(name)) {
		plan(open, volume->path, name);
		return;
	}
	if (is_directory || !parse_hex(name, 12, &number)) {
		store_set_aside(store, volume->path, name, "this is no chunk");
		return;
	}
	/* A name alone proves no number: that takes a record, or the journal. */
	max = volume->chunk_max;
	chunk = store_chunk_get(volume, number);
	volume->chunk_max = max;
	if (chunk == NULL || note_file(chunk, volume->path, name, size) < 0)
		open->err = -ENOMEM;
}

static void list_next(struct store *store);

static void volume_listed(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0)
		fail(store, error_set((int)op->result, "%s: cannot list: %s",
				      op->path, strerror((int)-op->result)));
	else
		list_next(store);
}

static void list_next(struct store *store)
{
	struct store_open *open = store->open;
	struct store_volume *volume;

	do {
		volume = store_volume_next(&store->index, open->volume);
		if (volume != NULL)
			open->volume = volume->id;
	} while (volume != NULL && volume->dir_state != STORE_DIR_READY);
	if (volume == NULL)
		judge_all(store);
	else
		store_op_list(store, &open->op, volume->path, found_chunk,
			      volume_listed, store);
}

static void found_volume(struct env_file_op *op, const char *name,
			 uint64_t size, bool is_directory)
{
	struct store *store = op->ctx;
	struct store_volume *volume;
	uint64_t id;

	if (!is_directory || !parse_hex(name, 16, &id)) {
		store_set_aside(store, "chunks", name,
				"this is no volume's directory");
		return;
	}
	volume = store_volume_get(store, id);
	if (volume == NULL)
		store->open->err = -ENOMEM;
	else
		volume->dir_state = STORE_DIR_READY;
}

static void volumes_listed(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0)
		fail(store, error_set((int)op->result, "chunks: cannot list: %s",
				      strerror((int)-op->result)));
	else
		list_next(store);
}

static void list_volumes(struct store *store)
{
	store_op_list(store, &store->open->op, "chunks", found_volume,
		      volumes_listed, store);
}

/* Returns whether the names in the directory of @op are durable. */
static bool names_durable(const struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result >= 0)
		return true;
	fail(store, error_set((int)op->result,
			      "%s: cannot sync the directory: %s",
			      *op->path ? op->path : "the data directory",
			      strerror((int)-op->result)));
	return false;
}

static void volumes_durable(struct env_file_op *op)
{
	if (names_durable(op))
		list_volumes(op->ctx);
}

static void root_durable(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (names_durable(op))
		store_op_path(store, op, FILE_SYNC_DIR, "chunks",
			      volumes_durable, store);
}

/*
 * Names that an earlier process made and did not live to sync are there, and
 * nobody else would sync them: what is promised below them would go with them.
 */
void store_recover(struct store *store,
		   void (*done)(struct store *store, int err))
{
	struct store_open *open = store->open;

	open->step = done;
	open->volume = 0;
	store_op_path(store, &open->op, FILE_SYNC_DIR, "", root_durable, store);
}

/* ---- after the start ------------------------------------------------------- */

static void leftovers_erased(void *ctx, int err)
{
	if (err < 0)
		log_error("store: %s", error_text(err));
}

static void chunk_deleted(struct store_request *request)
{
	if (request->status != WIRE_OK)
		log_error("store: a deleted chunk could not be removed: %s",
			  wire_status_text(request->status));
	store_request_free(request);
}

/* As if the DELETE, which a crash cut short, came again. */
static void delete_again(struct store_chunk *chunk)
{
	struct store_request *request =
		store_request_new(chunk->volume->store);

	if (request == NULL) {
		log_warning("store: too many deleted chunks to remove at once; the rest goes at the next start");
		return;
	}
	chunk->flags &= ~STORE_CHUNK_DELETING;
	request->type = WIRE_DELETE;
	request->role = WIRE_ROLE_PEER;
	request->body.chunk.volume = cpu_to_le64(chunk->volume->id);
	request->body.chunk.chunk = cpu_to_le64(chunk->number);
	request->done = chunk_deleted;
	store_request_run(request);
}

/* What a DELETE had in hand when the store ended, nobody has in hand now. */
static void take_over_deletes(struct store_volume *volume)
{
	for (uint32_t i = 0; i < volume->chunk_count; i++)
		volume->chunks[i]->flags &= ~STORE_CHUNK_DELETING;
}

void store_erase_leftovers(struct store *store)
{
	struct store_volume *volume;
	uint64_t id = 0;
	uint32_t i;

	while ((volume = store_volume_next(&store->index, id)) != NULL) {
		id = volume->id;
		if (volume->tombstone &&
		    volume->dir_state == STORE_DIR_READY) {
			take_over_deletes(volume);
			store_delete_volume(store, id, leftovers_erased, store);
			continue;
		}
		for (i = volume->chunk_count; i > 0; i--)
			if (volume->chunks[i - 1]->flags &
			    STORE_CHUNK_DELETING)
				delete_again(volume->chunks[i - 1]);
	}
}
