/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the metadata store said of cluster and ring, kept in the file
 * "documents" (Documentation/store.md). Nothing in the store depends on it.
 */
#ifndef TORUS_STORE_DOCUMENTS_H
#define TORUS_STORE_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env/env.h"

struct store;

struct store_documents {
	char *text;		/* cluster NUL ring NUL; NULL: none */
	size_t bytes;
	uint64_t version;	/* of the ring */
	bool dirty;		/* not in the file yet */
	/* reading, writing: one at a time */
	bool busy;
	char *image;		/* of the file */
	struct env_file_op op;
	struct iovec iov;
	int file;
	void (*done)(struct store *store, int err);
};

/**
 * store_documents_parse() - take what is in @image, of @bytes bytes, which is
 * changed: true, with text, bytes and version set (release them); false: it is
 * damaged, or there is no memory.
 */
bool store_documents_parse(struct store_documents *d, char *image,
			   size_t bytes);

void store_documents_release(struct store_documents *documents);

#endif
