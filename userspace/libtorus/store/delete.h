/* SPDX-License-Identifier: Apache-2.0 */
/* The removal of one chunk, whoever asked for it. */
#ifndef TORUS_STORE_DELETE_H
#define TORUS_STORE_DELETE_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "store/chunk.h"
#include "store/journal.h"
#include "store/syncer.h"

struct store_delete {
	/* in */
	struct store_volume *volume;
	uint64_t number;
	/* Asked at the start and in the step that unlinks; false ends it with
	 * -ECANCELED and the chunk stays. May be NULL. */
	bool (*still)(struct store_delete *del);
	/* 0, -ECANCELED, or -EIO. */
	void (*done)(struct store_delete *del, int err);
	/* private */
	bool failed;			/* to unlink: it stays */
	struct store_chunk_idle_wait idle;
	struct store_sync_wait names;
	struct store_journal_entry entry;
	struct env_file_op op;
	char path[48];
};

/**
 * store_chunk_delete() - begin; del->done() follows, perhaps from inside where
 * the journal has failed.
 * Returns 0; -ENOENT: no such chunk; -EBUSY: something else has it in hand;
 * -ECANCELED: still() says no; -ENOMEM. Then done() does not come.
 */
int store_chunk_delete(struct store_delete *del);

#endif
