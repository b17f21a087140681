// SPDX-License-Identifier: Apache-2.0
/*
 * The file "documents": a line of text, then the documents of cluster and
 * ring, each with a NUL behind it.
 *
 *	torus-documents 1 RING-VERSION BYTES CRC32C
 *
 * It is written to a new name and put in place, so that there is always a whole
 * one; one that is damaged is as good as none. What comes while it is being
 * written is written after that.
 */
#include "store/documents.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "store/open.h"
#include "store/private.h"
#include "store/request.h"

#define NEW_NAME "documents.new"
#define HEAD_MAX 80u
#define IMAGE_MAX (WIRE_RECALL_MAX + HEAD_MAX)

static void write_start(struct store *store);

void store_documents_release(struct store_documents *documents)
{
	free(documents->text);
	free(documents->image);
	documents->text = NULL;
	documents->image = NULL;
}

/* ---- reading --------------------------------------------------------------- */

bool store_documents_parse(struct store_documents *d, char *image,
			   size_t bytes)
{
	size_t head = 0, want = 0;
	unsigned int format;
	uint64_t version;
	uint32_t crc;
	char *newline = memchr(image, '\n', bytes);

	if (newline == NULL)
		return false;
	*newline = '\0';
	head = (size_t)(newline - image) + 1;
	if (sscanf(image, "torus-documents %u %" SCNu64 " %zu %" SCNx32,
		   &format, &version, &want, &crc) != 4 || format != 1 ||
	    want != bytes - head || want == 0 ||
	    crc32c(0, image + head, want) != crc)
		return false;
	d->text = malloc(want);
	if (d->text == NULL)
		return false;
	memcpy(d->text, image + head, want);
	d->bytes = want;
	d->version = version;
	return true;
}

static void read_end(struct store *store, int err)
{
	struct store_documents *d = &store->documents;

	if (d->file >= 0)
		store_detached_close(store, d->file);
	d->file = -1;
	free(d->image);
	d->image = NULL;
	d->busy = false;
	d->done(store, err);
}

static void file_read(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result < 0)
		log_warning("store: documents: %s", strerror((int)-op->result));
	else if (!store_documents_parse(&store->documents,
					store->documents.image,
					(size_t)op->result))
		log_warning("store: documents: damaged; written anew when the metadata store can be reached");
	read_end(store, 0);
}

static void file_opened(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct store_documents *d = &store->documents;

	if (op->result < 0) {
		if (op->result != -ENOENT)
			log_warning("store: documents: %s",
				    strerror((int)-op->result));
		read_end(store, 0);
		return;
	}
	d->file = (int)op->result;
	d->image = malloc(IMAGE_MAX);
	if (d->image == NULL) {
		read_end(store, -ENOMEM);
		return;
	}
	d->iov = (struct iovec){ d->image, IMAGE_MAX };
	store_op_read(store, op, d->file, &d->iov, 1, 0, file_read, store);
}

void store_documents_read(struct store *store,
			  void (*done)(struct store *store, int err))
{
	struct store_documents *d = &store->documents;

	d->file = -1;
	d->busy = true;
	d->done = done;
	store_op_open(store, &d->op, "documents", 0, file_opened, store);
}

/* ---- writing --------------------------------------------------------------- */

static void write_end(struct store *store, int64_t err)
{
	struct store_documents *d = &store->documents;

	if (err < 0)
		log_warning("store: documents cannot be written: %s",
			    strerror((int)-err));
	if (d->file >= 0)
		store_detached_close(store, d->file);
	d->file = -1;
	free(d->image);
	d->image = NULL;
	d->busy = false;
	store->detached_count--;
	/* What is remembered next, though it be the same, is written. */
	d->dirty |= err < 0;
	if (d->dirty && err >= 0)
		write_start(store);
	else
		store_close_step(store);
}

static void dir_synced(struct env_file_op *op)
{
	write_end(op->ctx, op->result);
}

static void renamed(struct env_file_op *op)
{
	if (op->result < 0)
		write_end(op->ctx, op->result);
	else
		store_op_path(op->ctx, op, FILE_SYNC_DIR, "", dir_synced,
			      op->ctx);
}

static void synced(struct env_file_op *op)
{
	if (op->result < 0)
		write_end(op->ctx, op->result);
	else
		store_op_rename(op->ctx, op, NEW_NAME, "documents", renamed,
				op->ctx);
}

static void written(struct env_file_op *op)
{
	struct store *store = op->ctx;

	if (op->result >= 0 && (uint64_t)op->result < op->length)
		op->result = -ENOSPC;
	if (op->result < 0)
		write_end(store, op->result);
	else
		store_op_sync(store, op, store->documents.file, synced, store);
}

static void new_opened(struct env_file_op *op)
{
	struct store *store = op->ctx;
	struct store_documents *d = &store->documents;
	size_t head;

	if (op->result < 0) {
		write_end(store, op->result);
		return;
	}
	d->file = (int)op->result;
	d->image = malloc(HEAD_MAX + d->bytes);
	if (d->image == NULL) {
		write_end(store, -ENOMEM);
		return;
	}
	head = (size_t)snprintf(d->image, HEAD_MAX,
				"torus-documents 1 %" PRIu64 " %zu %08" PRIx32
				"\n", d->version, d->bytes,
				crc32c(0, d->text, d->bytes));
	memcpy(d->image + head, d->text, d->bytes);
	d->dirty = false;
	store_op_write(store, op, d->file, &d->iov, d->image, head + d->bytes,
		       0, written, store);
}

static void leftover_gone(struct env_file_op *op)
{
	if (op->result < 0 && op->result != -ENOENT)
		write_end(op->ctx, op->result);
	else
		store_op_open(op->ctx, op, NEW_NAME,
			      FILE_CREATE | FILE_EXCLUSIVE, new_opened,
			      op->ctx);
}

/* Closing waits for it, as for everything detached. */
static void write_start(struct store *store)
{
	struct store_documents *d = &store->documents;

	d->busy = true;
	d->file = -1;
	store->detached_count++;
	store_op_path(store, &d->op, FILE_UNLINK, NEW_NAME, leftover_gone,
		      store);
}

void store_remember(struct store *store, uint64_t version, const char *cluster,
		    const char *ring)
{
	struct store_documents *d = &store->documents;
	size_t first = strlen(cluster) + 1, second = strlen(ring) + 1;
	char *text;

	if (store->state != STORE_SERVING || version < d->version ||
	    first + second > WIRE_RECALL_MAX)
		return;
	text = malloc(first + second);
	if (text == NULL)
		return;
	memcpy(text, cluster, first);
	memcpy(text + first, ring, second);
	if (d->text != NULL && d->bytes == first + second &&
	    memcmp(d->text, text, d->bytes) == 0) {
		free(text);
		if (d->dirty && !d->busy)
			write_start(store);
		return;
	}
	free(d->text);
	d->text = text;
	d->bytes = first + second;
	d->version = version;
	d->dirty = true;
	if (!d->busy)
		write_start(store);
}

void store_recall_run(struct store_request *request)
{
	const struct store_documents *d = &request->store->documents;
	uint32_t status = WIRE_OK;

	if (!store_request_maintenance(request)) {
		status = WIRE_EINVAL;
	} else if (d->text != NULL) {
		request->copied = malloc(d->bytes);
		if (request->copied != NULL) {
			memcpy(request->copied, d->text, d->bytes);
			request->out_copied.iov_base = request->copied;
			request->out_copied.iov_len = d->bytes;
		} else {
			status = WIRE_EIO;
		}
	}
	store_request_finish(request, status);
}
