// SPDX-License-Identifier: Apache-2.0
/*
 * What is durable of a chunk: its data up to a block (live->data, a syncer of
 * blocks) and its name (volume->names, a syncer of changes). A sync that fails
 * makes the copy bad for good: the kernel reports such an error once and then
 * forgets the bytes, so a second sync would succeed and prove nothing. The
 * verdict is in the journal before anybody is told.
 *
 * A chunk with unsynced bytes is on store->dirty; one timer, armed only while
 * that list has members, syncs what has been there for the interval.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

static struct store *chunk_store(const struct store_chunk *chunk)
{
	return chunk->volume->store;
}

/* ---- the data of one file ---------------------------------------------- */

static void data_finish(struct store_chunk_live *live, int err)
{
	struct store_chunk *chunk = live->chunk;

	chunk_store(chunk)->stats.syncs++;
	store_syncer_finish(&live->data, err);
	store_chunk_release(chunk);
}

static void data_synced(struct env_file_op *op)
{
	data_finish(op->ctx, op->result < 0 ? (int)op->result : 0);
}

static void data_file_open(struct store_file_wait *wait, int err)
{
	struct store_chunk_live *live =
		container_of(wait, struct store_chunk_live, sync_file);

	if (err < 0)
		data_finish(live, err);
	else
		store_op_sync(chunk_store(live->chunk), &live->sync_op,
			      live->file, data_synced, live);
}

static void data_start(struct store_syncer *syncer)
{
	struct store_chunk_live *live =
		container_of(syncer, struct store_chunk_live, data);

	store_chunk_hold(live->chunk);
	live->sync_file.fn = data_file_open;
	if (store_file_get(live->chunk, false, &live->sync_file) == 0)
		data_file_open(&live->sync_file, 0);
}

static void data_failed(struct store_syncer *syncer, int err)
{
	struct store_chunk_live *live =
		container_of(syncer, struct store_chunk_live, data);

	store_chunk_mark_bad(live->chunk, strerror(-err));
}

/* ---- bad copies --------------------------------------------------------- */

static void tell(struct store_durable_wait *wait, int err)
{
	struct store_chunk *chunk = wait->chunk;

	wait->fn(wait, err);
	store_chunk_release(chunk);
}

static void bad_logged(struct store_journal_entry *entry, int err)
{
	struct store_chunk_live *live =
		container_of(entry, struct store_chunk_live, bad_entry);
	struct store_chunk *chunk = live->chunk;
	struct store_durable_wait *wait;

	live->bad_submitted = false;
	live->bad_logged = err == 0;
	while (!list_empty(&live->bad_waiters)) {
		wait = list_first_entry(&live->bad_waiters,
					struct store_durable_wait, node);
		list_del_init(&wait->node);
		tell(wait, err == 0 ? -EUCLEAN : -EIO);
	}
	store_chunk_release(chunk);
}

static void submit_bad(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct disk_journal_chunk *body = &live->bad_entry.body.chunk;

	if (live->bad_logged || live->bad_submitted)
		return;
	live->bad_submitted = true;
	memset(&live->bad_entry, 0, sizeof(live->bad_entry));
	live->bad_entry.type = JOURNAL_BAD;
	live->bad_entry.done = bad_logged;
	body->volume = cpu_to_le64(chunk->volume->id);
	body->chunk = cpu_to_le64(chunk->number);
	store_chunk_hold(chunk);
	store_journal_submit(&chunk_store(chunk)->journal, &live->bad_entry);
}

void store_chunk_mark_bad(struct store_chunk *chunk, const char *why)
{
	struct store_chunk_live *live = chunk->live;

	if (!(chunk->flags & STORE_CHUNK_BAD)) {
		chunk->flags |= STORE_CHUNK_BAD;
		chunk_store(chunk)->stats.errors++;
		log_error("store: %s: this copy is bad from now on: %s. Other replicas have the data; repair replaces it",
			  live->path, why);
		store_tell_changed(chunk);
	}
	list_del_init(&live->dirty);
	submit_bad(chunk);
}

/* ---- waiting ------------------------------------------------------------ */

/* It rides along with the next batch, or makes one of its own after a while. */
static void log_later(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct store *store = chunk_store(chunk);

	if ((chunk->flags & STORE_CHUNK_SEALED) ||
	    !list_empty(&live->log_node))
		return;
	list_add_tail(&live->log_node, &store->log_durable);
	if (!env_timer_armed(&store->log_timer))
		env_timer_after(store->env, &store->log_timer,
				store->cfg.sync_interval_ns);
}

static void part_ended(struct store_durable_wait *wait, int err)
{
	struct store_chunk *chunk = wait->chunk;

	if (err < 0)
		wait->err = err;
	if (--wait->pending > 0)
		return;
	if (wait->err == 0 && !(chunk->flags & STORE_CHUNK_BAD)) {
		log_later(chunk);
		tell(wait, 0);
		return;
	}
	if (chunk->live->bad_logged) {
		tell(wait, -EUCLEAN);
		return;
	}
	list_add_tail(&wait->node, &chunk->live->bad_waiters);
	store_chunk_mark_bad(chunk, "it could not be synced");
}

static void data_durable(struct store_sync_wait *part, int err)
{
	part_ended(container_of(part, struct store_durable_wait, data), err);
}

static void name_durable(struct store_sync_wait *part, int err)
{
	part_ended(container_of(part, struct store_durable_wait, name), err);
}

void store_chunk_make_durable(struct store_chunk *chunk, uint32_t blocks,
			      struct store_durable_wait *wait)
{
	struct store_chunk_live *live = chunk->live;
	struct store_syncer *names = &chunk->volume->names;

	store_chunk_hold(chunk);
	wait->chunk = chunk;
	wait->pending = 1;
	wait->err = 0;
	wait->data.fn = data_durable;
	wait->name.fn = name_durable;
	if (!(chunk->flags & STORE_CHUNK_BAD)) {
		if (blocks > live->data.durable) {
			wait->pending++;
			store_syncer_wait(&live->data, &wait->data, blocks);
		}
		if (live->name_change > names->durable) {
			wait->pending++;
			store_syncer_wait(names, &wait->name,
					  live->name_change);
		}
	}
	part_ended(wait, 0);
}

/* ---- the background ----------------------------------------------------- */

static void arm_timer(struct store *store)
{
	struct store_chunk_live *oldest;

	if (list_empty(&store->dirty) || env_timer_armed(&store->sync_timer))
		return;
	oldest = list_first_entry(&store->dirty, struct store_chunk_live,
				  dirty);
	env_timer_set(store->env, &store->sync_timer,
		      oldest->dirty_since + store->cfg.sync_interval_ns);
}

static bool all_durable(const struct store_chunk_live *live)
{
	return live->data.durable >= live->data.written &&
	       live->name_change <= live->chunk->volume->names.durable;
}

void store_chunk_dirty(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;
	struct store *store = chunk_store(chunk);

	if (live->background || !list_empty(&live->dirty) ||
	    (chunk->flags & STORE_CHUNK_BAD) || all_durable(live))
		return;
	live->dirty_since = store_now(store);
	list_add_tail(&live->dirty, &store->dirty);
	arm_timer(store);
}

static void background_ended(struct store_durable_wait *wait, int err)
{
	struct store_chunk_live *live =
		container_of(wait, struct store_chunk_live, background_wait);

	struct store *store = chunk_store(live->chunk);

	live->background = false;
	store->background_count--;
	store_chunk_dirty(live->chunk);
	store_close_step(store);
}

void store_chunk_sync_now(struct store_chunk *chunk)
{
	struct store_chunk_live *live = chunk->live;

	list_del_init(&live->dirty);
	if (live->background || all_durable(live))
		return;
	live->background = true;
	chunk_store(chunk)->background_count++;
	live->background_wait.fn = background_ended;
	store_chunk_make_durable(chunk, (uint32_t)live->data.written,
				 &live->background_wait);
}

static void sync_old(struct env_timer *timer)
{
	struct store *store = container_of(timer, struct store, sync_timer);
	uint64_t now = store_now(store);

	while (!list_empty(&store->dirty)) {
		struct store_chunk_live *live = list_first_entry(
			&store->dirty, struct store_chunk_live, dirty);

		if (live->dirty_since + store->cfg.sync_interval_ns > now)
			break;
		store_chunk_sync_now(live->chunk);
	}
	arm_timer(store);
}

/*
 * What was durable and rots must not pass, after a restart, for the torn end of
 * a crash: so the journal knows of it soon also where nothing else is going on.
 * The entry says what the journal says already; it is there to be ridden on.
 */
static void log_now(struct env_timer *timer)
{
	struct store *store = container_of(timer, struct store, log_timer);
	struct store_journal_entry *entry;

	if (list_empty(&store->log_durable) || store->state != STORE_SERVING)
		return;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL) {
		env_timer_after(store->env, timer, store->cfg.sync_interval_ns);
		return;
	}
	entry->heap = true;
	store_journal_mount(store, entry);
}

void store_background_init(struct store *store)
{
	list_init(&store->dirty);
	list_init(&store->log_durable);
	env_timer_init(&store->sync_timer, sync_old);
	env_timer_init(&store->log_timer, log_now);
}

void store_durable_init(struct store_chunk_live *live)
{
	store_syncer_init(&live->data, data_start, data_failed);
	live->data.written = live->done.block;
	live->data.durable = live->done.block;
	list_init(&live->dirty);
	list_init(&live->log_node);
	list_init(&live->bad_waiters);
	/* It was set by replay, or logged before the live part last went. */
	live->bad_logged = (live->chunk->flags & STORE_CHUNK_BAD) != 0;
}

void store_chunk_log_durable(struct store *store, struct store_batch *batch)
{
	struct store_chunk_live *live, *next;

	list_for_each_entry_safe(live, next, &store->log_durable, log_node) {
		struct store_chunk *chunk = live->chunk;
		uint32_t durable = store_chunk_durable(chunk);
		struct disk_journal_chunk body = {
			.volume = cpu_to_le64(chunk->volume->id),
			.chunk = cpu_to_le64(chunk->number),
			.length = cpu_to_le32(durable),
		};

		if ((chunk->flags &
		     (STORE_CHUNK_SEALED | STORE_CHUNK_DELETING)) ||
		    live->broken) {	/* more of it was, and is to be known */
			list_del_init(&live->log_node);
			continue;
		}
		if (!store_batch_add(batch, JOURNAL_DURABLE, &body))
			return;
		chunk->length = durable;
		list_del_init(&live->log_node);
	}
}
