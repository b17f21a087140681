/* SPDX-License-Identifier: Apache-2.0 */
/* What exists only while a store opens. */
#ifndef TORUS_STORE_OPEN_H
#define TORUS_STORE_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "store/journal.h"
#include "store/store.h"

#define STORE_IDENTITY_MAX 512u

struct store_open {
	struct store *store;
	store_open_fn done;
	void *ctx;
	void (*step)(struct store *store, int err);	/* what comes next */
	struct env_file_op op;
	struct iovec iov;
	int file;
	char identity[STORE_IDENTITY_MAX];
	char boot_id[JOURNAL_BOOT_ID_MAX];	/* as the journal has it */
	bool fresh;				/* an empty directory */
	bool any_chunks;			/* fresh: it is not */
	struct store_journal_entry entry;
	/* recover.c */
	uint64_t volume;			/* being listed */
	struct list_head aside;			/* files to be set aside */
	uint32_t aside_count;
	uint32_t pending;			/* chains being read */
	struct list_head chains;
	int err;
};

/** store_open_start() - begin; the opener is told. */
void store_open_start(struct store *store, store_open_fn done, void *ctx);


/** store_open_release() - free what is left of it. */
void store_open_release(struct store *store);

/* identity.c: the file "identity". */

/** store_identity_parse() - 0, or -EBADMSG or -EPROTONOSUPPORT with text. */
int store_identity_parse(const char *text, struct uuid *cluster,
			 struct uuid *peer);

/** store_identity_read() - into store->cluster and peer, checked against the
 * configuration; done(-ENOENT): there is none. */
void store_identity_read(struct store *store,
			 void (*done)(struct store *store, int err));

/** store_identity_write() - durably. */
void store_identity_write(struct store *store,
			  void (*done)(struct store *store, int err));

/** store_documents_read() - documents.c: the file "documents", if there is a
 * good one; @done gets an error only when there is no memory for it. */
void store_documents_read(struct store *store,
			  void (*done)(struct store *store, int err));

/**
 * store_recover() - recover.c: compare the index, as the journal left it, with
 * the files that are there, and read the chains of unsealed chunks.
 */
void store_recover(struct store *store,
		   void (*done)(struct store *store, int err));

/** store_recover_release() - free what it holds. */
void store_recover_release(struct store_open *open);

/** store_erase_leftovers() - remove the files of deleted chunks. */
void store_erase_leftovers(struct store *store);

#endif
