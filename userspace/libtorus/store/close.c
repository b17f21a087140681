// SPDX-License-Identifier: Apache-2.0
/*
 * Closing: each stage begins when nothing of the one before is left.
 *
 *   requests end -> all that is dirty is synced -> what became durable is
 *   journaled, so that the next start checks nothing twice -> files closed
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"
#include "store/server.h"

enum close_stage { CLOSE_REQUESTS, CLOSE_SYNCS, CLOSE_JOURNAL, CLOSE_FILES };

struct store_close {
	struct store *store;
	enum close_stage stage;
	store_open_fn done;
	void *ctx;
	struct store_journal_entry entry;
};

static void sync_all(struct store *store)
{
	struct store_chunk_live *live;

	while (!list_empty(&store->dirty)) {
		live = list_first_entry(&store->dirty, struct store_chunk_live,
					dirty);
		store_chunk_sync_now(live->chunk);
	}
}

static void close_files(struct store *store)
{
	struct store_chunk_live *live, *next;

	list_for_each_entry_safe(live, next, &store->idle_files, lru)
		store_file_forget(live->chunk);
	if (store->journal.file >= 0)
		store_detached_close(store, store->journal.file);
	store->journal.file = -1;
}

static void journal_written(struct store_journal_entry *entry, int err)
{
	struct store_close *close =
		container_of(entry, struct store_close, entry);
	struct store *store = close->store;

	if (err < 0)
		log_warning("store: the journal could not be brought up to date; the next start checks more");
	close->stage = CLOSE_FILES;
	/* Held open by one: closing must not end while it is begun. */
	store->detached_count++;
	close_files(store);
	store->detached_count--;
	store_close_step(store);
}

static void write_journal(struct store *store)
{
	struct store_journal_entry *entry = &store->close->entry;

	entry->done = journal_written;
	store_journal_mount(store, entry);
}

static void finish(struct store *store)
{
	struct store_close *close = store->close;
	store_open_fn done = close->done;
	void *ctx = close->ctx;

	store->close = NULL;
	store->state = STORE_DEAD;
	free(close);
	done(ctx, 0);
}

void store_close_step(struct store *store)
{
	struct store_close *close = store->close;

	if (close == NULL)
		return;
	switch (close->stage) {
	case CLOSE_REQUESTS:
		if (store->request_count > 0 ||
		    !list_empty(&store->copy_works) ||
		    !list_empty(&store->volume_deletes))
			return;
		close->stage = CLOSE_SYNCS;
		sync_all(store);
		store_close_step(store);
		return;
	case CLOSE_SYNCS:
		if (store->background_count > 0 || store->detached_count > 0)
			return;
		close->stage = CLOSE_JOURNAL;
		write_journal(store);
		return;
	case CLOSE_JOURNAL:
		return;
	case CLOSE_FILES:
		if (store->detached_count == 0)
			finish(store);
		return;
	}
}

void store_close(struct store *store, store_open_fn done, void *ctx)
{
	struct store_close *close = calloc(1, sizeof(*close));

	assert(store->state == STORE_SERVING);
	if (close == NULL) {
		done(ctx, -ENOMEM);
		return;
	}
	close->store = store;
	close->done = done;
	close->ctx = ctx;
	store->close = close;
	store->state = STORE_CLOSING;
	store_server_close(store);
	store_restores_drop(store, NULL);
	store_close_step(store);
}
