// SPDX-License-Identifier: Apache-2.0
/*
 * Opening a store.
 *
 *   space -> identity --there--> journal -> files (recover.c) -> incarnation
 *                |                                                  |
 *                none: make chunks/, journal, identity, in this     v
 *                order, each durable before the next ----------> serving
 *
 * The incarnation stays when the machine's boot id is the one in the journal:
 * what an earlier torusd had written is in the page cache, unsynced or not.
 * Otherwise a new one is durable before the first answer.
 *
 * What a failed sync has left in the page cache, clean for the kernel and not
 * on the disk, must not be read: a later sync would promise it. So journal and
 * unsealed chunks are opened with FILE_FRESH; what of them is gone then was
 * never promised, and is found missing by its length.
 */
#include "store/open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "store/private.h"

/* Tell the opener; error text is set. */
static void finish(struct store *store, int err)
{
	struct store_open *open = store->open;
	store_open_fn done = open->done;
	void *ctx = open->ctx;

	store_open_release(store);
	store->state = err < 0 ? STORE_DEAD : STORE_SERVING;
	if (err == 0)
		store_space_look_later(store);
	done(ctx, err);
	if (err == 0)
		store_erase_leftovers(store);
}

void store_open_release(struct store *store)
{
	if (store->open == NULL)
		return;
	store_recover_release(store->open);
	free(store->open);
	store->open = NULL;
}

/* ---- the incarnation ------------------------------------------------------ */

static void incarnation_logged(struct store_journal_entry *entry, int err)
{
	struct store_open *open = container_of(entry, struct store_open, entry);

	if (err < 0)
		error_set(err, "journal: cannot write: %s", strerror(-err));
	finish(open->store, err);
}

static void new_incarnation(struct store *store)
{
	env_random(store->env, store->incarnation.byte,
		   sizeof(store->incarnation.byte));
	uuid_from_random(&store->incarnation);
}

/* Every change that start-up found has been submitted before this entry. */
static void settle_incarnation(struct store *store, int err)
{
	struct store_open *open = store->open;

	if (err < 0) {
		finish(store, err);
		return;
	}
	if (store->cfg.new_incarnation ||
	    memcmp(open->boot_id, store->cfg.boot_id,
		   sizeof(open->boot_id)) != 0)
		new_incarnation(store);
	open->entry.done = incarnation_logged;
	store_journal_mount(store, &open->entry);
}

/* ---- an old store --------------------------------------------------------- */

static void journal_replayed(struct store *store, int err)
{
	if (err == -ENOENT)
		error_set(err, "journal: missing. Restore it, or empty the directory and let repair fill it again");
	if (err < 0)
		finish(store, err);
	else
		store_recover(store, settle_incarnation);
}

/* ---- a new store ---------------------------------------------------------- */

static void journal_made(struct store *store, int err)
{
	if (err < 0)
		finish(store, error_set(err, "journal: %s",
					strerror(-err)));
	else
		store_identity_write(store, finish);
}

static void make_identity(struct store *store)
{
	store->cluster = store->cfg.cluster;
	store->peer = store->cfg.peer;
	if (uuid_is_null(&store->cluster)) {
		finish(store, error_set(-EINVAL, "the directory is empty and no cluster was named"));
		return;
	}
	if (uuid_is_null(&store->peer)) {
		env_random(store->env, store->peer.byte,
			   sizeof(store->peer.byte));
		uuid_from_random(&store->peer);
	}
	new_incarnation(store);
	store_journal_compact(&store->journal, journal_made);
}

static void found_entry(struct env_file_op *op, const char *name,
			uint64_t size, bool is_directory)
{
	struct store *store = op->ctx;

	store->open->any_chunks = true;
}

static void chunks_listed(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0)
		finish(store, error_set((int)op->result, "chunks: %s",
					strerror((int)-op->result)));
	else if (store->open->any_chunks)
		finish(store, error_set(-EBADMSG, "identity: missing, but there are chunks. Restore the file, or empty the directory and let repair fill it again"));
	else
		make_identity(store);
}

/* An interrupted first start leaves an empty directory, perhaps a journal. */
static void chunks_made(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0 && op->result != -EEXIST)
		finish(store, error_set((int)op->result, "cannot make directory chunks: %s",
					strerror((int)-op->result)));
	else
		store_op_list(store, op, "chunks", found_entry, chunks_listed,
			      store);
}

/* ---- both ----------------------------------------------------------------- */

static void documents_read(struct store *store, int err)
{
	if (err < 0)
		finish(store, err);
	else
		store_journal_replay(&store->journal, journal_replayed);
}

static void identity_read(struct store *store, int err)
{
	if (err == -ENOENT)
		store_op_path(store, &store->open->op, FILE_MKDIR, "chunks",
			      chunks_made, store);
	else if (err < 0)
		finish(store, err);
	else
		store_documents_read(store, documents_read);
}

static void space_known(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0) {
		finish(store, error_set((int)op->result, "cannot ask the file system for its size: %s",
					strerror((int)-op->result)));
		return;
	}
	store->size = store->cfg.size != 0 ? store->cfg.size : op->total_bytes;
	store->disk_free = op->free_bytes;
	store_identity_read(store, identity_read);
}

void store_open_start(struct store *store, store_open_fn done, void *ctx)
{
	struct store_open *open = store->open;

	open->store = store;
	open->done = done;
	open->ctx = ctx;
	open->file = -1;
	list_init(&open->aside);
	list_init(&open->chains);
	store_op_path(store, &open->op, FILE_STATFS, "", space_known, store);
}
