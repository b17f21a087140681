/* SPDX-License-Identifier: Apache-2.0 */
/* The contents of the simulated metadata store: keys, revisions, history. */
#ifndef TORUS_SIM_META_STORE_H
#define TORUS_SIM_META_STORE_H

#include "sim_internal.h"

struct history {
	int64_t revision, lease;
	char *key, *value;		/* value NULL: deleted */
};

struct stored {
	char *key, *value;
	int64_t mod_revision, lease;
};

struct sim_meta_store {
	struct sim *sim;
	struct stored *kv;		/* sorted by key */
	size_t count, room;
	struct history *history;
	size_t history_count, history_room;
	int64_t revision, last_lease;
	struct list_head leases;
	struct list_head orphans;	/* calls whose node is gone */
	struct sim_meta_faults faults;
};

const struct stored *simkv_find(const struct sim_meta_store *s, const char *key);
/* A copy of one key (@exact) or of all with a prefix; NULL when none. */
struct meta_kv *simkv_copy(const struct sim_meta_store *s, const char *key,
			   bool exact, size_t *count);
void simkv_free(struct meta_kv *kv, size_t count);
/* All compares hold: apply all puts under one new revision. */
bool simkv_txn(struct sim_meta_store *s, const struct meta_txn *txn);
/* Delete the keys under a lease; whether there were any. */
bool simkv_lease_drop(struct sim_meta_store *s, int64_t lease);
void simkv_clear(struct sim_meta_store *s);
/* Nothing but @kv, without what had a lease; no history. */
void simkv_reset(struct sim_meta_store *s, const struct meta_kv *kv,
		 size_t count, int64_t revision);

#endif
