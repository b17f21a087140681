// SPDX-License-Identifier: Apache-2.0
/*
 * Reading the chain of one unsealed chunk at start.
 *
 *   walk, payload checked behind what was known durable
 *     |-- all of the file is valid -----------------------> ready
 *     |-- first record belongs to another chunk, or the
 *     |   file does not begin like a record --------------> set aside
 *     |-- something invalid -> hunt for later records of
 *     |   this chunk behind it ----------------------------> ready, and
 *     |                               live->damaged_block says what was found
 *     `-- the file cannot be read -------------------------> bad copy
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/chain.h"
#include "store/recover.h"

#define HUNT_BLOCKS 64u

struct recovery {
	struct list_head node;		/* open->chains */
	struct store *store;
	struct store_chunk *chunk;
	struct store_walk walk;
	struct store_file_wait file;
	struct store_chunk_idle_wait idle;
	struct env_file_op op;
	struct iovec iov;
	uint32_t at;			/* hunt: block at the window's start */
	uint8_t *window;
};

static void recovery_free(struct recovery *rec)
{
	list_del_init(&rec->node);
	free(rec->window);
	free(rec);
}

void store_chains_release(struct store_open *open)
{
	struct recovery *rec, *next;

	list_for_each_entry_safe(rec, next, &open->chains, node)
		recovery_free(rec);
}

static void end(struct recovery *rec)
{
	struct store *store = rec->store;
	struct store_chunk *chunk = rec->chunk;

	recovery_free(rec);
	store_chunk_release(chunk);
	store_chain_ended(store);
}

/* ---- outcomes -------------------------------------------------------------- */

static void ready(struct recovery *rec)
{
	struct store_chunk *chunk = rec->chunk;
	struct store_chunk_live *live = chunk->live;
	uint32_t known = chunk->length;	/* durable, says the journal */

	live->done = rec->walk.tail;
	live->issued = live->done;
	live->data.written = live->done.block;
	live->data.durable = MIN(known, live->done.block);
	if (known == 0)
		live->name_change = ++chunk->volume->names.written;
	if (live->done.block < known) {
		live->broken = true;
		live->damaged_block = live->done.block;
		log_error("store: %s: damaged at block %u, of which %u were durable. Other replicas have the data; nothing more is added to this copy",
			  live->path, live->done.block, known);
	}
	store_chunk_dirty(chunk);
	end(rec);
}

/* Nobody uses the chunk any more: its handle, and what is known, can go. */
static void foreign_idle(struct store_chunk_idle_wait *wait)
{
	struct recovery *rec = container_of(wait, struct recovery, idle);
	struct store_chunk *chunk = rec->chunk;
	struct store *store = rec->store;

	recovery_free(rec);
	store_file_forget(chunk);
	if (chunk->length > 0) {
		store_chunk_mark_bad(chunk, "its file holds something else");
	} else {
		store_chunk_live_free(chunk);
		store_chunk_remove(chunk);
	}
	store_chain_ended(store);
}

static void foreign(struct recovery *rec, const char *why)
{
	struct store_chunk *chunk = rec->chunk;
	struct store_chunk_live *live = chunk->live;

	store_set_aside(rec->store, chunk->volume->path,
			strrchr(live->path, '/') + 1, why);
	store_space_add(rec->store, -(int64_t)store_chunk_footprint(chunk) *
				    BLOCK_SIZE);
	live->found_blocks = 0;
	chunk->flags &= ~STORE_CHUNK_FILE;
	rec->idle.fn = foreign_idle;
	store_chunk_when_idle(chunk, &rec->idle);
	store_chunk_release(chunk);
}

static void unreadable(struct recovery *rec, int err)
{
	if (err == -ENOMEM)
		rec->store->open->err = err;
	else
		store_chunk_mark_bad(rec->chunk, strerror(-err));
	end(rec);
}

static void newer_version(struct recovery *rec)
{
	log_error("store: %s: written by a newer version of torusd",
		  rec->chunk->live->path);
	rec->store->open->err = -EPROTONOSUPPORT;
	end(rec);
}

/* ---- the hunt --------------------------------------------------------------- */

static void hunt_read(struct env_file_op *op);

static void read_window(struct recovery *rec, uint32_t block)
{
	uint32_t left = rec->chunk->live->found_blocks - block;

	rec->at = block;
	rec->iov.iov_base = rec->window;
	rec->iov.iov_len = (size_t)MIN(left, HUNT_BLOCKS) * BLOCK_SIZE;
	store_op_read(rec->store, &rec->op, rec->chunk->live->file, &rec->iov,
		      1, (uint64_t)block * BLOCK_SIZE, hunt_read, rec);
}

static bool is_later(const struct recovery *rec, const struct record *r,
		     uint32_t block)
{
	return r->volume == rec->chunk->volume->id &&
	       r->chunk == rec->chunk->number && r->block == block &&
	       r->sequence > rec->walk.tail.sequence;
}

/* 1: found one; 0: none in this window, *@next is where to read on. */
static int hunt_window(struct recovery *rec, uint32_t blocks, uint32_t *next)
{
	struct record *r = rec->store->record;
	uint32_t i;
	int err;

	for (i = rec->at == rec->walk.tail.block; i < blocks; i++) {
		err = record_decode(rec->window + (size_t)i * BLOCK_SIZE,
				    (size_t)(blocks - i) * BLOCK_SIZE, r);
		if (err == 0 && is_later(rec, r, rec->at + i))
			return 1;
		if (err == -EAGAIN && i > 0)
			break;
	}
	*next = rec->at + i;
	return 0;
}

/* A torn first record has the magic, or zeros that were never written. */
static bool begins_foreign(const struct recovery *rec)
{
	__le32 magic;

	memcpy(&magic, rec->window, sizeof(magic));
	return rec->at == 0 && rec->walk.tail.block == 0 && magic != 0 &&
	       le32_to_cpu(magic) != RECORD_MAGIC;
}

static void hunt_read(struct env_file_op *op)
{
	struct recovery *rec = op->ctx;
	struct store_chunk_live *live = rec->chunk->live;
	uint32_t next = 0, blocks = (uint32_t)(op->result / BLOCK_SIZE);

	if (op->result < 0) {
		unreadable(rec, (int)op->result);
		return;
	}
	if (blocks > 0 && begins_foreign(rec)) {
		foreign(rec, "this is no chunk of Torus");
		return;
	}
	if (blocks > 0 && hunt_window(rec, blocks, &next) > 0) {
		live->damaged_block = rec->walk.tail.block;
		log_warning("store: %s: the record at block %u is not whole, though later ones are there",
			    live->path, live->damaged_block);
		ready(rec);
		return;
	}
	if (blocks == 0 || next >= live->found_blocks || next <= rec->at)
		ready(rec);
	else
		read_window(rec, next);
}

static void hunt(struct store_file_wait *wait, int err)
{
	struct recovery *rec = container_of(wait, struct recovery, file);

	if (err < 0)
		unreadable(rec, err);
	else
		read_window(rec, rec->walk.tail.block);
}

static void start_hunt(struct recovery *rec)
{
	rec->window = aligned_alloc(BLOCK_SIZE, HUNT_BLOCKS * BLOCK_SIZE);
	if (rec->window == NULL) {
		unreadable(rec, -ENOMEM);
		return;
	}
	rec->file.fn = hunt;
	if (store_file_get(rec->chunk, false, &rec->file) == 0)
		hunt(&rec->file, 0);
}

/* ---- the walk --------------------------------------------------------------- */

static int note_record(struct store_walk *walk, const struct record *r,
		       const void *header)
{
	struct store_volume *volume = walk->chunk->volume;

	if (r->epoch > volume->epoch_seen)
		volume->epoch_seen = r->epoch;
	if (r->chunk > volume->chunk_max)
		volume->chunk_max = r->chunk;
	if (r->root != 0 && r->sequence > volume->root_sequence) {
		volume->root = r->root;
		volume->root_sequence = r->sequence;
	}
	return (r->flags & RECORD_LAST) != 0;
}

static void walked(struct store_walk *walk, int err)
{
	struct recovery *rec = container_of(walk, struct recovery, walk);

	if (store_walk_failed(err))
		unreadable(rec, err);
	else if (err == -EPROTONOSUPPORT)
		newer_version(rec);
	else if (walk->foreign && walk->tail.block == 0)
		foreign(rec, "it holds the records of another chunk");
	else if (err == 0)
		ready(rec);
	else
		start_hunt(rec);
}

void store_chain_recover(struct store_chunk *chunk)
{
	struct store *store = chunk->volume->store;
	struct recovery *rec = calloc(1, sizeof(*rec));

	if (rec == NULL) {
		store->open->err = -ENOMEM;
		return;
	}
	rec->store = store;
	rec->chunk = chunk;
	list_add_tail(&rec->node, &store->open->chains);
	store->open->pending++;
	store_chunk_hold(chunk);
	rec->walk.chunk = chunk;
	rec->walk.end = chunk->live->found_blocks - chunk->live->torn_end;
	rec->walk.check_from = chunk->length;
	rec->walk.record = note_record;
	rec->walk.done = walked;
	if (rec->walk.end == 0) {
		rec->walk.tail = (struct store_tail){ .block = 0 };
		ready(rec);
		return;
	}
	store_walk_start(&rec->walk);
}
