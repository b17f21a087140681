// SPDX-License-Identifier: Apache-2.0
/*
 * Operations that nobody waits for: closing a handle, giving back the space
 * behind a sealed length. Each lives on store->detached until it is done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/chunk.h"
#include "store/private.h"

struct detached {
	struct list_head node;
	struct store *store;
	struct env_file_op op;
	char path[80];			/* unlinking */
	/* punching */
	struct store_chunk *chunk;
	struct store_file_wait file;
	uint64_t offset;
};

static struct detached *detached_new(struct store *store)
{
	struct detached *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->store = store;
	list_add_tail(&d->node, &store->detached);
	store->detached_count++;
	return d;
}

static void detached_end(struct detached *d)
{
	struct store *store = d->store;

	list_del_init(&d->node);
	store->detached_count--;
	free(d);
	store_close_step(store);
}

static void closed(struct env_file_op *op)
{
	detached_end(op->ctx);
}

/* Out of memory: the handle is lost until the process ends; said, not hidden. */
void store_detached_close(struct store *store, int file)
{
	struct detached *d = detached_new(store);

	if (d == NULL)
		log_error("store: out of memory, a file stays open");
	else
		store_op_close(store, &d->op, file, closed, d);
}

static void path_unlinked(struct env_file_op *op)
{
	if (op->result < 0 && op->result != -ENOENT)
		log_warning("store: cannot remove %s: %s. The next start tries again",
			    op->path, strerror((int)-op->result));
	detached_end(op->ctx);
}

void store_detached_unlink(struct store *store, const char *path)
{
	struct detached *d = detached_new(store);

	if (d == NULL) {
		log_error("store: out of memory, %s stays until the next start",
			  path);
		return;
	}
	snprintf(d->path, sizeof(d->path), "%s", path);
	store_op_path(store, &d->op, FILE_UNLINK, d->path, path_unlinked, d);
}

static void punch_end(struct detached *d)
{
	struct store_chunk *chunk = d->chunk;

	detached_end(d);
	store_chunk_release(chunk);
}

/* The journal knows the length: space that is not given back is all it costs. */
static void punched(struct env_file_op *op)
{
	struct detached *d = op->ctx;

	if (op->result < 0 && op->result != -EOPNOTSUPP)
		log_warning("store: cannot free the end of %s: %s",
			    d->chunk->live->path, strerror((int)-op->result));
	punch_end(d);
}

static void punch_open(struct store_file_wait *wait, int err)
{
	struct detached *d = container_of(wait, struct detached, file);

	if (err < 0)
		punch_end(d);
	else
		store_op_punch(d->store, &d->op, d->chunk->live->file,
			       d->offset, STORE_CHUNK_BYTES_MAX - d->offset,
			       punched, d);
}

void store_detached_punch(struct store_chunk *chunk, uint32_t from_block)
{
	struct detached *d = detached_new(chunk->volume->store);

	if (d == NULL)
		return;
	d->chunk = chunk;
	d->offset = (uint64_t)from_block * BLOCK_SIZE;
	d->file.fn = punch_open;
	store_chunk_hold(chunk);
	if (store_file_get(chunk, false, &d->file) == 0)
		punch_open(&d->file, 0);
}

void store_detached_release(struct store *store)
{
	struct detached *d, *next;

	list_for_each_entry_safe(d, next, &store->detached, node) {
		list_del_init(&d->node);
		free(d);
	}
}
