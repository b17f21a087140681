/* SPDX-License-Identifier: Apache-2.0 */
/* Statements and rows of the local metadata store, under local_db.c. */
#ifndef TORUS_META_LOCAL_SQL_H
#define TORUS_META_LOCAL_SQL_H

#include "meta/local_db.h"

/** sql_prepare() - a statement, reset and without bindings. */
struct sqlite3_stmt *sql_prepare(struct local_db *db, enum db_statement which);

/** sql_step() - 1: there is a row, 0: there is none (any more), -errno. */
int sql_step(struct local_db *db, sqlite3_stmt *stmt);

/** sql_bind() - @text stays the caller's, and in place until the reset. */
void sql_bind(sqlite3_stmt *stmt, int i, const char *text);

int sql_get_state(struct local_db *db, const char *name, int64_t *value);
int sql_set_state(struct local_db *db, const char *name, int64_t value);

int sql_begin(struct local_db *db, bool write);
/**
 * sql_end() - end what sql_begin() began; @err decides how, and wins.
 * Returns -ETIMEDOUT when the disk failed during the commit: it may be there.
 */
int sql_end(struct local_db *db, int err);

/** sql_set_durable() - whether commits wait for the disk. */
void sql_set_durable(struct local_db *db, bool durable);

/** sql_collect() - all rows that are left: (key, value, revision, lease). */
int sql_collect(struct local_db *db, sqlite3_stmt *stmt, struct db_rows *rows);
int sql_add_row(struct db_rows *rows, sqlite3_stmt *stmt);

int sql_out_of_memory(void);

#endif
