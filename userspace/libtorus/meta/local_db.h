/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL of the local metadata store. Used by the store's thread only (and
 * by the opener before that thread runs).
 */
#ifndef TORUS_META_LOCAL_DB_H
#define TORUS_META_LOCAL_DB_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/meta.h"

enum db_statement {
	DB_BEGIN_READ, DB_BEGIN_WRITE, DB_COMMIT, DB_ROLLBACK,
	DB_GET_STATE, DB_SET_STATE,
	DB_GET, DB_LIST, DB_PUT, DB_DELETE, DB_LOG,
	DB_CHANGES, DB_PRUNE,
	DB_LEASE_NEW, DB_LEASE_EXISTS, DB_LEASE_KEEP, DB_LEASE_DELETE,
	DB_LEASE_DUE, DB_LEASE_NEXT, DB_LEASE_KEYS,
	DB_STATEMENTS,
};

struct local_db {
	sqlite3 *handle;
	struct sqlite3_stmt *stmt[DB_STATEMENTS];
	char path[4096];
	char boot[40];			/* leases of another boot are dead */
	_Atomic int64_t history;	/* revisions kept in the log */
	atomic_bool stopping;		/* do not wait for locks any more */
};

/* A growing copy of keys and values, all strings from malloc. */
struct db_row {
	char *key;
	char *value;			/* NULL: deleted */
	int64_t revision, lease;
};

struct db_rows {
	struct db_row *row;
	size_t count, room;
};

void db_rows_release(struct db_rows *rows);

/** db_open() - 0 or -errno with error text that names the file. */
int db_open(struct local_db *db, const char *path, bool create);
void db_close(struct local_db *db);

/* All: 0 or -errno with error text. */
int db_list(struct local_db *db, const char *key, bool prefix,
	    struct db_rows *rows, int64_t *revision);
int db_txn(struct local_db *db, const struct meta_txn *txn, bool *succeeded,
	   int64_t *revision);

struct db_changes {
	struct db_rows rows;		/* in order */
	int64_t compacted;		/* changes up to here are forgotten */
	int64_t revision;		/* of the store */
	int64_t upto;			/* rows are complete up to here */
	int64_t lease_ms;		/* until the next lease expires; -1 */
};

/** db_changes() - what happened at revision @from and later. */
int db_changes(struct local_db *db, int64_t from, struct db_changes *changes);

int db_lease_grant(struct local_db *db, unsigned int ttl_s, int64_t *lease);
/* -ENOENT: it has expired. */
int db_lease_keep(struct local_db *db, int64_t lease, unsigned int ttl_s);
int db_lease_revoke(struct local_db *db, int64_t lease);

#endif
