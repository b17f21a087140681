// SPDX-License-Identifier: Apache-2.0
/*
 * Tables: `state` holds the store's revision and the revision up to which the
 * log has been pruned; `kv` the keys; `log` the changes, for watches; `lease`
 * deadlines on the boot clock together with the id of the boot, because all
 * holders of a lease die with the machine.
 *
 * The journal mode is DELETE: unlinking the journal is the commit, and that is
 * an event which other processes see through inotify, no earlier and without
 * fail, whatever becomes of the writer (local.c). With a write-ahead log there
 * is no such event: the file changes before the commit is visible.
 */
#include "meta/local_sql.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define APPLICATION_ID	0x54525553	/* "TRUS" */
#define FORMAT		1
#define HISTORY		10000
#define LOCK_WAIT_MS	5000

static const char schema[] =
	"PRAGMA application_id = 1414681939;"
	"PRAGMA user_version = 1;"
	"CREATE TABLE state(name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
	" WITHOUT ROWID;"
	"INSERT INTO state VALUES('revision', 1), ('compacted', 1);"
	"CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL,"
	" revision INTEGER NOT NULL, lease INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX kv_lease ON kv(lease) WHERE lease != 0;"
	"CREATE TABLE log(revision INTEGER NOT NULL, number INTEGER NOT NULL,"
	" key TEXT NOT NULL, value TEXT, lease INTEGER NOT NULL,"
	" PRIMARY KEY(revision, number)) WITHOUT ROWID;"
	"CREATE TABLE lease(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" deadline INTEGER NOT NULL, boot TEXT NOT NULL);";

static_assert(APPLICATION_ID == 1414681939, "the schema says so too");

static const char *const sql[DB_STATEMENTS] = {
	[DB_BEGIN_READ] = "BEGIN DEFERRED",
	[DB_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[DB_COMMIT] = "COMMIT",
	[DB_ROLLBACK] = "ROLLBACK",
	[DB_GET_STATE] = "SELECT value FROM state WHERE name = ?",
	[DB_SET_STATE] = "UPDATE state SET value = ?2 WHERE name = ?1",
	[DB_GET] = "SELECT key, value, revision, lease FROM kv WHERE key = ?",
	[DB_LIST] = "SELECT key, value, revision, lease FROM kv"
		    " WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)"
		    " ORDER BY key",
	[DB_PUT] = "INSERT OR REPLACE INTO kv VALUES(?, ?, ?, ?)",
	[DB_DELETE] = "DELETE FROM kv WHERE key = ?",
	[DB_LOG] = "INSERT INTO log VALUES(?, (SELECT count(*) FROM log"
		   " WHERE revision = ?1), ?2, ?3, ?4)",
	[DB_CHANGES] = "SELECT key, value, revision, lease FROM log"
		       " WHERE revision >= ? ORDER BY revision, number",
	[DB_PRUNE] = "DELETE FROM log WHERE revision <= ?",
	[DB_LEASE_NEW] = "INSERT INTO lease(deadline, boot) VALUES(?, ?)",
	[DB_LEASE_EXISTS] = "SELECT 1 FROM lease WHERE id = ?",
	[DB_LEASE_KEEP] = "UPDATE lease SET deadline = ?2 WHERE id = ?1",
	[DB_LEASE_DELETE] = "DELETE FROM lease WHERE id = ?",
	[DB_LEASE_DUE] = "SELECT id FROM lease WHERE deadline <= ?1"
			 " OR boot != ?2",
	[DB_LEASE_NEXT] = "SELECT min(deadline) FROM lease",
	[DB_LEASE_KEYS] = "SELECT key FROM kv WHERE lease = ? AND lease != 0",
};

/* ---- errors and statements -------------------------------------------------- */

static int to_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int db_error(struct local_db *db)
{
	int err = to_errno(sqlite3_errcode(db->handle));

	if (err == -EBUSY)
		return error_set(err, "metadata file %s: another process has held its lock for %d s",
				 db->path, LOCK_WAIT_MS / 1000);
	return error_set(err, "metadata file %s: %s", db->path,
			 sqlite3_errmsg(db->handle));
}

sqlite3_stmt *sql_prepare(struct local_db *db, enum db_statement which)
{
	sqlite3_stmt *stmt = db->stmt[which];

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return stmt;
}

/* 1: there is a row, 0: there is none (any more), -errno. */
int sql_step(struct local_db *db, sqlite3_stmt *stmt)
{
	int rc = sqlite3_step(stmt), err;

	if (rc == SQLITE_ROW)
		return 1;
	err = rc == SQLITE_DONE ? 0 : db_error(db);
	sqlite3_reset(stmt);
	return err;
}

static int execute(struct local_db *db, enum db_statement which)
{
	return sql_step(db, sql_prepare(db, which));
}

void sql_bind(sqlite3_stmt *stmt, int i, const char *text)
{
	sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

int sql_get_state(struct local_db *db, const char *name, int64_t *value)
{
	sqlite3_stmt *stmt = sql_prepare(db, DB_GET_STATE);
	int n;

	sql_bind(stmt, 1, name);
	n = sql_step(db, stmt);
	if (n == 0)
		return error_set(-EBADMSG, "metadata file %s: \"%s\" is missing in it",
				 db->path, name);
	if (n < 0)
		return n;
	*value = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

int sql_set_state(struct local_db *db, const char *name, int64_t value)
{
	sqlite3_stmt *stmt = sql_prepare(db, DB_SET_STATE);

	sql_bind(stmt, 1, name);
	sqlite3_bind_int64(stmt, 2, value);
	return sql_step(db, stmt);
}

int sql_begin(struct local_db *db, bool write)
{
	return execute(db, write ? DB_BEGIN_WRITE : DB_BEGIN_READ);
}

int sql_end(struct local_db *db, int err)
{
	if (!err) {
		err = execute(db, DB_COMMIT);
		if (err == -EIO)
			err = -ETIMEDOUT;
	}
	if (err && !sqlite3_get_autocommit(db->handle)) {
		char text[ERROR_TEXT_MAX];

		snprintf(text, sizeof(text), "%s", error_text(err));
		execute(db, DB_ROLLBACK);
		error_set(err, "%s", text);
	}
	return err;
}

/*
 * EXTRA: a commit is durable before it is answered, also that the journal is
 * gone (FULL does not sync the directory).
 */
void sql_set_durable(struct local_db *db, bool durable)
{
	sqlite3_exec(db->handle, durable ? "PRAGMA synchronous = EXTRA" :
		     "PRAGMA synchronous = OFF", NULL, NULL, NULL);
}

/* ---- rows --------------------------------------------------------------------- */

void db_rows_release(struct db_rows *rows)
{
	size_t i;

	for (i = 0; i < rows->count; i++) {
		free(rows->row[i].key);
		free(rows->row[i].value);
	}
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

int sql_out_of_memory(void)
{
	return error_set(-ENOMEM, "out of memory");
}

static char *column_copy(sqlite3_stmt *stmt, int i)
{
	const char *text = (const char *)sqlite3_column_text(stmt, i);

	return text ? strdup(text) : NULL;
}

int sql_add_row(struct db_rows *rows, sqlite3_stmt *stmt)
{
	struct db_row *row;

	if (rows->count == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 16;

		row = realloc(rows->row, room * sizeof(*row));
		if (!row)
			return sql_out_of_memory();
		rows->row = row;
		rows->room = room;
	}
	row = &rows->row[rows->count];
	row->key = column_copy(stmt, 0);
	row->value = column_copy(stmt, 1);
	row->revision = sqlite3_column_int64(stmt, 2);
	row->lease = sqlite3_column_int64(stmt, 3);
	rows->count++;
	if (!row->key ||
	    (!row->value && sqlite3_column_type(stmt, 1) != SQLITE_NULL))
		return sql_out_of_memory();
	return 0;
}

int sql_collect(struct local_db *db, sqlite3_stmt *stmt, struct db_rows *rows)
{
	int n, err = 0;

	while (!err && (n = sql_step(db, stmt)) != 0)
		err = n < 0 ? n : sql_add_row(rows, stmt);
	sqlite3_reset(stmt);
	return err;
}

/* ---- opening ------------------------------------------------------------------------- */

/* Other processes hold locks for milliseconds; one that is stopped, longer. */
static int wait_for_lock(void *ctx, int count)
{
	struct local_db *db = ctx;
	int ms = count < 5 ? 1 << count : 25;
	struct timespec ts = { .tv_nsec = ms * 1000000l };

	if (db->stopping || count >= LOCK_WAIT_MS / 25)
		return 0;
	nanosleep(&ts, NULL);
	return 1;
}

/*
 * Ours alone to read, from its first moment. Only a file that is not there:
 * closing a descriptor of one that SQLite has open drops SQLite's locks.
 */
static int make_file(struct local_db *db)
{
	int fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else if (errno != EEXIST)
		return error_set(-errno, "metadata file %s: %s", db->path,
				 strerror(errno));
	return 0;
}

static int check_file(struct local_db *db)
{
	if (access(db->path, F_OK) == 0)
		return 0;
	if (errno == ENOENT)
		return error_set(-ENOENT, "metadata file %s does not exist: there is no cluster yet; make one with 'torusctl init'",
				 db->path);
	return error_set(-errno, "metadata file %s: %s", db->path,
			 strerror(errno));
}

static int pragma(struct local_db *db, const char *text, int64_t *value)
{
	sqlite3_stmt *stmt;
	int err;

	if (sqlite3_prepare_v2(db->handle, text, -1, &stmt, NULL) != SQLITE_OK)
		return db_error(db);
	err = sql_step(db, stmt);
	if (err > 0) {
		*value = sqlite3_column_int64(stmt, 0);
		err = 0;
	}
	sqlite3_finalize(stmt);
	return err;
}

/* In a transaction: two processes may come to a new file at once. */
static int init_schema(struct local_db *db)
{
	int64_t id = 0, format = 0, objects = 0;
	int err = pragma(db, "PRAGMA application_id", &id);

	if (!err)
		err = pragma(db, "PRAGMA user_version", &format);
	if (!err)
		err = pragma(db, "SELECT count(*) FROM sqlite_master", &objects);
	if (err)
		return err;
	if (!objects && !id) {
		if (sqlite3_exec(db->handle, schema, NULL, NULL, NULL))
			return db_error(db);
		return 0;
	}
	if (id != APPLICATION_ID)
		return error_set(-EBADMSG, "%s is a database, but no metadata file of Torus",
				 db->path);
	if (format != FORMAT)
		return error_set(-EPROTONOSUPPORT, "metadata file %s has format %lld, this program knows %d: upgrade this program",
				 db->path, (long long)format, FORMAT);
	return 0;
}

static int read_boot_id(struct local_db *db)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	bool read = f && fgets(db->boot, sizeof(db->boot), f);

	if (f)
		fclose(f);
	if (!read)
		return error_set(-EIO, "cannot read /proc/sys/kernel/random/boot_id");
	return 0;
}

static int prepare_all(struct local_db *db)
{
	int i;

	for (i = 0; i < DB_STATEMENTS; i++) {
		if (sqlite3_prepare_v3(db->handle, sql[i], -1,
				       SQLITE_PREPARE_PERSISTENT, &db->stmt[i],
				       NULL) != SQLITE_OK)
			return db_error(db);
	}
	return 0;
}

static int open_handle(struct local_db *db)
{
	int rc = sqlite3_open_v2(db->path, &db->handle, SQLITE_OPEN_READWRITE |
				 SQLITE_OPEN_FULLMUTEX, NULL);

	if (!db->handle)
		return sql_out_of_memory();
	if (rc != SQLITE_OK)
		return db_error(db);
	sqlite3_extended_result_codes(db->handle, 1);
	sqlite3_busy_handler(db->handle, wait_for_lock, db);
	if (sqlite3_exec(db->handle, "PRAGMA journal_mode = DELETE", NULL,
			 NULL, NULL))
		return db_error(db);
	sql_set_durable(db, true);
	return 0;
}

static int init_handle(struct local_db *db)
{
	int err = open_handle(db);

	if (err)
		return err;
	if (sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL))
		return db_error(db);
	err = init_schema(db);
	if (err) {
		sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
		return err;
	}
	if (sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL))
		return db_error(db);
	return prepare_all(db);
}

int db_open(struct local_db *db, const char *path, bool create)
{
	int err;

	memset(db, 0, sizeof(*db));
	db->history = HISTORY;
	if (strlen(path) >= sizeof(db->path))
		return error_set(-ENAMETOOLONG, "metadata file: path is too long");
	snprintf(db->path, sizeof(db->path), "%s", path);
	err = read_boot_id(db);
	if (!err)
		err = create ? make_file(db) : check_file(db);
	if (!err)
		err = init_handle(db);
	if (err)
		db_close(db);
	return err;
}

void db_close(struct local_db *db)
{
	int i;

	for (i = 0; i < DB_STATEMENTS; i++)
		sqlite3_finalize(db->stmt[i]);
	sqlite3_close(db->handle);
	db->handle = NULL;
}
