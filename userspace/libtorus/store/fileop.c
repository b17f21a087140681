// SPDX-License-Identifier: Apache-2.0
#include "store/fileop.h"

#include <string.h>

#include "store/private.h"

static void prepare(struct env_file_op *op, enum env_file_type type,
		    store_op_fn done, void *ctx)
{
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->file = -1;
	op->done = done;
	op->ctx = ctx;
}

void store_op_open(struct store *store, struct env_file_op *op,
		   const char *path, int flags, store_op_fn done, void *ctx)
{
	prepare(op, FILE_OPEN, done, ctx);
	op->path = path;
	op->flags = flags;
	env_file_submit(store->env, op);
}

void store_op_close(struct store *store, struct env_file_op *op, int file,
		    store_op_fn done, void *ctx)
{
	prepare(op, FILE_CLOSE, done, ctx);
	op->file = file;
	env_file_submit(store->env, op);
}

static void submit_data(struct store *store, struct env_file_op *op, int file,
			struct iovec *iov, int count, uint64_t offset)
{
	int i;

	op->file = file;
	op->iov = iov;
	op->iov_count = count;
	op->offset = offset;
	for (i = 0; i < count; i++)
		op->length += iov[i].iov_len;
	env_file_submit(store->env, op);
}

void store_op_read(struct store *store, struct env_file_op *op, int file,
		   struct iovec *iov, int count, uint64_t offset,
		   store_op_fn done, void *ctx)
{
	prepare(op, FILE_READ, done, ctx);
	submit_data(store, op, file, iov, count, offset);
}

void store_op_write_vec(struct store *store, struct env_file_op *op, int file,
			struct iovec *iov, int count, uint64_t offset,
			store_op_fn done, void *ctx)
{
	prepare(op, FILE_WRITE, done, ctx);
	submit_data(store, op, file, iov, count, offset);
}

void store_op_write(struct store *store, struct env_file_op *op, int file,
		    struct iovec *iov, void *buf, size_t bytes,
		    uint64_t offset, store_op_fn done, void *ctx)
{
	iov->iov_base = buf;
	iov->iov_len = bytes;
	store_op_write_vec(store, op, file, iov, 1, offset, done, ctx);
}

void store_op_sync(struct store *store, struct env_file_op *op, int file,
		   store_op_fn done, void *ctx)
{
	prepare(op, FILE_SYNC, done, ctx);
	op->file = file;
	env_file_submit(store->env, op);
}

void store_op_punch(struct store *store, struct env_file_op *op, int file,
		    uint64_t offset, uint64_t length, store_op_fn done,
		    void *ctx)
{
	prepare(op, FILE_PUNCH, done, ctx);
	op->file = file;
	op->offset = offset;
	op->length = length;
	env_file_submit(store->env, op);
}

void store_op_path(struct store *store, struct env_file_op *op,
		   enum env_file_type type, const char *path,
		   store_op_fn done, void *ctx)
{
	prepare(op, type, done, ctx);
	op->path = path;
	env_file_submit(store->env, op);
}

void store_op_rename(struct store *store, struct env_file_op *op,
		     const char *from, const char *to, store_op_fn done,
		     void *ctx)
{
	prepare(op, FILE_RENAME, done, ctx);
	op->path = from;
	op->path2 = to;
	env_file_submit(store->env, op);
}

void store_op_list(struct store *store, struct env_file_op *op,
		   const char *path,
		   void (*entry)(struct env_file_op *op, const char *name,
				 uint64_t size, bool is_directory),
		   store_op_fn done, void *ctx)
{
	prepare(op, FILE_LIST, done, ctx);
	op->path = path;
	op->entry = entry;
	env_file_submit(store->env, op);
}
