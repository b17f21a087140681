/* SPDX-License-Identifier: Apache-2.0 */
/* One line per file operation: fill in a struct env_file_op and submit it. */
#ifndef TORUS_STORE_FILEOP_H
#define TORUS_STORE_FILEOP_H

#include <stddef.h>
#include <stdint.h>

#include "env/env.h"

struct store;
typedef void (*store_op_fn)(struct env_file_op *op);

void store_op_open(struct store *store, struct env_file_op *op,
		   const char *path, int flags, store_op_fn done, void *ctx);
void store_op_close(struct store *store, struct env_file_op *op, int file,
		    store_op_fn done, void *ctx);

/* op->length is set to the bytes asked for. */
void store_op_read(struct store *store, struct env_file_op *op, int file,
		   struct iovec *iov, int count, uint64_t offset,
		   store_op_fn done, void *ctx);
void store_op_write_vec(struct store *store, struct env_file_op *op, int file,
			struct iovec *iov, int count, uint64_t offset,
			store_op_fn done, void *ctx);
/* @iov: room for the one entry, filled in here. */
void store_op_write(struct store *store, struct env_file_op *op, int file,
		    struct iovec *iov, void *buf, size_t bytes,
		    uint64_t offset, store_op_fn done, void *ctx);

void store_op_sync(struct store *store, struct env_file_op *op, int file,
		   store_op_fn done, void *ctx);
void store_op_punch(struct store *store, struct env_file_op *op, int file,
		    uint64_t offset, uint64_t length, store_op_fn done,
		    void *ctx);

/* FILE_SYNC_DIR, FILE_UNLINK, FILE_MKDIR, FILE_STATFS. */
void store_op_path(struct store *store, struct env_file_op *op,
		   enum env_file_type type, const char *path,
		   store_op_fn done, void *ctx);
void store_op_rename(struct store *store, struct env_file_op *op,
		     const char *from, const char *to, store_op_fn done,
		     void *ctx);
void store_op_list(struct store *store, struct env_file_op *op,
		   const char *path,
		   void (*entry)(struct env_file_op *op, const char *name,
				 uint64_t size, bool is_directory),
		   store_op_fn done, void *ctx);

#endif
