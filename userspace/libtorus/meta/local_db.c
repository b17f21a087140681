// SPDX-License-Identifier: Apache-2.0
/*
 * What the local metadata store does, in terms of local_sql.c.
 *
 * Leases that are over are removed at the start of whatever comes next, so
 * that nobody sees a key of a dead lease.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "meta/local_sql.h"

#define PRUNE_EVERY	64		/* revisions */
#define CHANGES_MAX	1000		/* rows of one db_changes(), or a little
					 * more: revisions are kept whole */

/* ---- changes of keys ------------------------------------------------------------ */

/* A transaction of ours: the revision that it makes, once it changes a key. */
struct change {
	struct local_db *db;
	int64_t revision;		/* of the store before */
	bool changed;
};

static int change_begin(struct local_db *db, struct change *c)
{
	c->db = db;
	c->changed = false;
	return sql_get_state(db, "revision", &c->revision);
}

static int write_log(struct change *c, const char *key, const char *value,
		     int64_t lease)
{
	sqlite3_stmt *stmt = sql_prepare(c->db, DB_LOG);

	c->changed = true;
	sqlite3_bind_int64(stmt, 1, c->revision + 1);
	sql_bind(stmt, 2, key);
	if (value)
		sql_bind(stmt, 3, value);
	sqlite3_bind_int64(stmt, 4, lease);
	return sql_step(c->db, stmt);
}

static int change_put(struct change *c, const char *key, const char *value,
		      int64_t lease)
{
	sqlite3_stmt *stmt = sql_prepare(c->db, DB_PUT);
	int err;

	sql_bind(stmt, 1, key);
	sql_bind(stmt, 2, value);
	sqlite3_bind_int64(stmt, 3, c->revision + 1);
	sqlite3_bind_int64(stmt, 4, lease);
	err = sql_step(c->db, stmt);
	return err ? err : write_log(c, key, value, lease);
}

static int change_delete(struct change *c, const char *key)
{
	sqlite3_stmt *stmt = sql_prepare(c->db, DB_DELETE);
	int err;

	sql_bind(stmt, 1, key);
	err = sql_step(c->db, stmt);
	if (err || !sqlite3_changes(c->db->handle))
		return err;
	return write_log(c, key, NULL, 0);
}

static int prune(struct change *c)
{
	int64_t upto = c->revision - c->db->history;
	sqlite3_stmt *stmt = sql_prepare(c->db, DB_PRUNE);
	int err;

	if (c->revision % PRUNE_EVERY || upto <= 1)
		return 0;
	sqlite3_bind_int64(stmt, 1, upto);
	err = sql_step(c->db, stmt);
	return err ? err : sql_set_state(c->db, "compacted", upto);
}

/* To be called last in the transaction; c->revision is then the store's. */
static int change_end(struct change *c)
{
	int err;

	if (!c->changed)
		return 0;
	c->revision++;
	err = sql_set_state(c->db, "revision", c->revision);
	return err ? err : prune(c);
}

/* ---- leases ----------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

static int lease_query(struct local_db *db, enum db_statement which,
		       int64_t lease)
{
	sqlite3_stmt *stmt = sql_prepare(db, which);
	int n;

	sqlite3_bind_int64(stmt, 1, lease);
	n = sql_step(db, stmt);
	sqlite3_reset(stmt);
	return n;
}

static sqlite3_stmt *due_statement(struct local_db *db)
{
	sqlite3_stmt *stmt = sql_prepare(db, DB_LEASE_DUE);

	sqlite3_bind_int64(stmt, 1, now_ms());
	sql_bind(stmt, 2, db->boot);
	return stmt;
}

/* The lease and its keys go away in one revision. */
static int end_lease(struct change *c, int64_t lease)
{
	sqlite3_stmt *stmt = sql_prepare(c->db, DB_LEASE_KEYS);
	struct db_rows keys = { 0 };
	size_t i;
	int err;

	sqlite3_bind_int64(stmt, 1, lease);
	err = sql_collect(c->db, stmt, &keys);
	for (i = 0; i < keys.count && !err; i++)
		err = change_delete(c, keys.row[i].key);
	db_rows_release(&keys);
	return err ? err : lease_query(c->db, DB_LEASE_DELETE, lease);
}

static int expire_in_change(struct change *c)
{
	sqlite3_stmt *stmt;
	int err;

	/* One at a time: the query must not run over a table that changes. */
	for (;;) {
		stmt = due_statement(c->db);
		err = sql_step(c->db, stmt);
		if (err <= 0)
			return err;
		err = end_lease(c, sqlite3_column_int64(stmt, 0));
		if (err)
			return err;
	}
}

static int expire_now(struct local_db *db)
{
	struct change c;
	int err = sql_begin(db, true);

	if (err)
		return err;
	err = change_begin(db, &c);
	if (!err)
		err = expire_in_change(&c);
	if (!err)
		err = change_end(&c);
	return sql_end(db, err);
}

/* Before a read: a write transaction only if there is something to do. */
static int expire(struct local_db *db)
{
	sqlite3_stmt *stmt = due_statement(db);
	int n = sql_step(db, stmt);

	sqlite3_reset(stmt);
	return n > 0 ? expire_now(db) : n;
}

int db_lease_grant(struct local_db *db, unsigned int ttl_s, int64_t *lease)
{
	sqlite3_stmt *stmt;
	int err = sql_begin(db, true);

	if (err)
		return err;
	stmt = sql_prepare(db, DB_LEASE_NEW);
	sqlite3_bind_int64(stmt, 1, now_ms() + ttl_s * 1000ll);
	sql_bind(stmt, 2, db->boot);
	err = sql_step(db, stmt);
	*lease = sqlite3_last_insert_rowid(db->handle);
	return sql_end(db, err);
}

static int lease_gone(int64_t lease)
{
	return error_set(-ENOENT, "lease %lld has expired", (long long)lease);
}

int db_lease_keep(struct local_db *db, int64_t lease, unsigned int ttl_s)
{
	sqlite3_stmt *stmt;
	int err = expire(db);

	if (err)
		return err;
	stmt = sql_prepare(db, DB_LEASE_KEEP);
	sqlite3_bind_int64(stmt, 1, lease);
	sqlite3_bind_int64(stmt, 2, now_ms() + ttl_s * 1000ll);
	/*
	 * Deadlines end with the boot, and are written often: they do not wait
	 * for the disk.
	 */
	sql_set_durable(db, false);
	err = sql_step(db, stmt);
	sql_set_durable(db, true);
	if (!err && !sqlite3_changes(db->handle))
		err = lease_gone(lease);
	return err;
}

int db_lease_revoke(struct local_db *db, int64_t lease)
{
	struct change c;
	int err = sql_begin(db, true);

	if (err)
		return err;
	err = change_begin(db, &c);
	if (!err)
		err = end_lease(&c, lease);
	if (!err)
		err = change_end(&c);
	return sql_end(db, err);
}

/* ---- reading ------------------------------------------------------------------------- */

/* The first key behind all that begin with @prefix; NULL: there is none. */
static char *prefix_end(const char *prefix)
{
	size_t len = strlen(prefix);
	char *key = strdup(prefix);

	while (key && len && (unsigned char)key[len - 1] == 0xff)
		key[--len] = 0;
	if (key && len)
		key[len - 1]++;
	else if (key)
		key[0] = 0;
	return key;
}

static int list_now(struct local_db *db, const char *key, bool prefix,
		    struct db_rows *rows)
{
	sqlite3_stmt *stmt = sql_prepare(db, prefix ? DB_LIST : DB_GET);
	CLEANUP_FREE char *last = prefix ? prefix_end(key) : NULL;
	int err;

	if (prefix && !last)
		return sql_out_of_memory();
	sql_bind(stmt, 1, key);
	if (last && *last)
		sql_bind(stmt, 2, last);
	err = sql_collect(db, stmt, rows);
	sqlite3_clear_bindings(stmt);
	return err;
}

int db_list(struct local_db *db, const char *key, bool prefix,
	    struct db_rows *rows, int64_t *revision)
{
	int err = expire(db);

	if (!err)
		err = sql_begin(db, false);
	if (err)
		return err;
	err = sql_get_state(db, "revision", revision);
	if (!err)
		err = list_now(db, key, prefix, rows);
	return sql_end(db, err);
}

/* Whole revisions only, and no more of them once there are enough rows. */
static int collect_changes(struct local_db *db, sqlite3_stmt *stmt,
			   struct db_changes *changes)
{
	struct db_rows *rows = &changes->rows;
	int64_t last = 0;
	int n, err = 0;

	changes->upto = changes->revision;
	while (!err && (n = sql_step(db, stmt)) != 0) {
		if (n > 0 && rows->count >= CHANGES_MAX &&
		    sqlite3_column_int64(stmt, 2) != last) {
			changes->upto = last;
			break;
		}
		err = n < 0 ? n : sql_add_row(rows, stmt);
		last = n < 0 ? 0 : sqlite3_column_int64(stmt, 2);
	}
	sqlite3_reset(stmt);
	return err;
}

static int next_expiry(struct local_db *db, int64_t *ms)
{
	sqlite3_stmt *stmt = sql_prepare(db, DB_LEASE_NEXT);
	int n = sql_step(db, stmt);

	*ms = -1;
	if (n > 0 && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		*ms = MAX(sqlite3_column_int64(stmt, 0) - now_ms(), (sqlite3_int64)0);
	sqlite3_reset(stmt);
	return n < 0 ? n : 0;
}

static int changes_now(struct local_db *db, int64_t from,
		       struct db_changes *changes)
{
	sqlite3_stmt *stmt;
	int err = sql_get_state(db, "revision", &changes->revision);

	if (!err)
		err = sql_get_state(db, "compacted", &changes->compacted);
	if (err)
		return err;
	stmt = sql_prepare(db, DB_CHANGES);
	sqlite3_bind_int64(stmt, 1, from);
	err = collect_changes(db, stmt, changes);
	return err ? err : next_expiry(db, &changes->lease_ms);
}

int db_changes(struct local_db *db, int64_t from, struct db_changes *changes)
{
	int err = expire(db);

	memset(changes, 0, sizeof(*changes));
	if (!err)
		err = sql_begin(db, false);
	if (err)
		return err;
	err = sql_end(db, changes_now(db, from, changes));
	if (err)
		db_rows_release(&changes->rows);
	return err;
}

/* ---- transactions ------------------------------------------------------------------- */

/* 1: holds, 0: does not, -errno. */
static int compare_holds(struct local_db *db, const struct meta_compare *c)
{
	sqlite3_stmt *stmt = sql_prepare(db, DB_GET);
	int64_t revision = 0;
	int n;

	sql_bind(stmt, 1, c->key);
	n = sql_step(db, stmt);
	if (n > 0)
		revision = sqlite3_column_int64(stmt, 2);
	sqlite3_reset(stmt);
	return n < 0 ? n : revision == c->mod_revision;
}

static int compares_hold(struct local_db *db, const struct meta_txn *txn)
{
	int i, n = 1;

	for (i = 0; i < txn->compare_count && n == 1; i++)
		n = compare_holds(db, &txn->compare[i]);
	return n;
}

static int apply(struct change *c, const struct meta_put *put)
{
	int n;

	if (!put->value)
		return change_delete(c, put->key);
	if (put->lease) {
		n = lease_query(c->db, DB_LEASE_EXISTS, put->lease);
		if (n <= 0)
			return n < 0 ? n : lease_gone(put->lease);
	}
	return change_put(c, put->key, put->value, put->lease);
}

static int txn_in_change(struct change *c, const struct meta_txn *txn,
			 bool *succeeded)
{
	int i, err = 0, n = compares_hold(c->db, txn);

	*succeeded = n == 1;
	if (n != 1)
		return n;
	for (i = 0; i < txn->put_count && !err; i++)
		err = apply(c, &txn->put[i]);
	return err;
}

int db_txn(struct local_db *db, const struct meta_txn *txn, bool *succeeded,
	   int64_t *revision)
{
	struct change c;
	int err = expire(db);

	*succeeded = false;
	if (!err)
		err = sql_begin(db, true);
	if (err)
		return err;
	err = change_begin(db, &c);
	if (!err)
		err = txn_in_change(&c, txn, succeeded);
	if (!err)
		err = change_end(&c);
	*revision = c.revision;
	return sql_end(db, err);
}
