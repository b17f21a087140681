// SPDX-License-Identifier: Apache-2.0
/*
 * chaos-bank ACKED: a database of SQLite on a volume, that does transactions
 * and can tell whether they are all there; ACKED is the last that is known to
 * be done.
 *
 * A transaction moves money between two accounts and enters that in a list.
 * Whenever a server begins to serve, the list must be complete up to its end,
 * hold everything that was acknowledged, and explain every balance: half a
 * transaction does none of these.
 *
 * stdin:  open PATH    another server serves; the one before can do nothing more
 *         (its end)    finish, look at everything once more, and end
 * stdout: acked N      so many are done
 *         anything else is wrong, and it ends with 1
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vfs.h"

#define ACCOUNTS 100
#define BALANCE 1000
#define PAUSE_NS 25000000	/* between transactions */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char path[4096];
static unsigned int session;
static bool stopping;

static struct target target = TARGET_CLOSED;
static sqlite3 *database;
static int64_t acked;
static uint64_t rng;

static uint64_t pick(uint64_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (rng >> 11) % below;
}

static void wrong(const char *what, int64_t a, int64_t b)
{
	printf("%s (%" PRId64 ", %" PRId64 ")\n", what, a, b);
	fflush(stdout);
	exit(1);
}

/*
 * After an error of SQLite: false, if it only is that the server has gone. Any
 * other error of the volume, or none at all, is something that must not be.
 */
static bool fail(const char *what)
{
	int err = vfs_error();

	if (err != -ENOTCONN) {
		printf("%s: %s: %s\n", what, sqlite3_errmsg(database),
		       err ? strerror(-err) : "no error of the volume");
		fflush(stdout);
		exit(1);
	}
	return false;
}

static bool run(const char *sql)
{
	return sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK ||
	       fail(sql);
}

static int take_number(void *out, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	*(int64_t *)out = values[0] ? strtoll(values[0], NULL, 10) : 0;
	return 0;
}

static bool ask(const char *sql, int64_t *number)
{
	*number = 0;
	return sqlite3_exec(database, sql, take_number, number, NULL) ==
	       SQLITE_OK || fail(sql);
}

/* ---- looking --------------------------------------------------------------- */

struct sums {
	int64_t balances[ACCOUNTS];
	int64_t last;
};

static int take_entry(void *arg, int columns, char **values, char **names)
{
	struct sums *sums = arg;
	int64_t seq = strtoll(values[0], NULL, 10);
	int64_t amount = strtoll(values[3], NULL, 10);
	unsigned long from = strtoul(values[1], NULL, 10);
	unsigned long to = strtoul(values[2], NULL, 10);

	(void)columns;
	(void)names;
	if (seq != sums->last + 1)
		wrong("a transaction does not follow the one before", sums->last,
		      seq);
	if (from >= ACCOUNTS || to >= ACCOUNTS)
		wrong("there is no such account", (int64_t)from, (int64_t)to);
	sums->last = seq;
	sums->balances[from] -= amount;
	sums->balances[to] += amount;
	return 0;
}

static int take_account(void *arg, int columns, char **values, char **names)
{
	struct sums *sums = arg;
	unsigned long id = strtoul(values[0], NULL, 10);
	int64_t balance = strtoll(values[1], NULL, 10);

	(void)columns;
	(void)names;
	if (id >= ACCOUNTS || sums->balances[id] + BALANCE != balance)
		wrong("a balance is not what the transactions make of it",
		      (int64_t)id, balance);
	return 0;
}

static int take_integrity(void *arg, int columns, char **values, char **names)
{
	(void)arg;
	(void)columns;
	(void)names;
	if (strcmp(values[0], "ok"))
		printf("integrity_check: %s\n", values[0]);
	return strcmp(values[0], "ok") != 0;
}

static bool check(void)
{
	struct sums sums = { .last = 0 };

	if (sqlite3_exec(database, "pragma integrity_check", take_integrity,
			 NULL, NULL) != SQLITE_OK)
		return fail("integrity_check");
	if (sqlite3_exec(database, "select * from entry order by seq",
			 take_entry, &sums, NULL) != SQLITE_OK)
		return fail("reading the entries");
	if (sums.last < acked)
		wrong("transactions that were acknowledged are gone", sums.last,
		      acked);
	if (sqlite3_exec(database, "select id, balance from account",
			 take_account, &sums, NULL) != SQLITE_OK)
		return fail("reading the accounts");
	/* What was done without an answer is done. */
	acked = sums.last;
	return true;
}

/* ---- doing ----------------------------------------------------------------- */

static bool create(void)
{
	char sql[128];
	int i;

	if (!run("begin") ||
	    !run("create table account (id integer primary key, balance integer)") ||
	    !run("create table entry (seq integer primary key, source integer, target integer, amount integer)"))
		return false;
	for (i = 0; i < ACCOUNTS; i++) {
		snprintf(sql, sizeof(sql), "insert into account values (%d, %d)",
			 i, BALANCE);
		if (!run(sql))
			return false;
	}
	return run("commit");
}

static bool transfer(void)
{
	uint64_t from = pick(ACCOUNTS), to = pick(ACCOUNTS);
	uint64_t amount = 1 + pick(100);
	bool keep = pick(10) != 0;
	char sql[512];

	snprintf(sql, sizeof(sql),
		 "begin immediate;"
		 "update account set balance = balance - %" PRIu64 " where id = %" PRIu64 ";"
		 "update account set balance = balance + %" PRIu64 " where id = %" PRIu64 ";"
		 "insert into entry values (%" PRId64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 ");"
		 "%s", amount, from, amount, to, acked + 1, from, to, amount,
		 keep ? "commit" : "rollback");
	if (!run(sql))
		return false;
	acked += keep;
	if (keep) {
		printf("acked %" PRId64 "\n", acked);
		fflush(stdout);
	}
	return true;
}

static bool open_database(void)
{
	int64_t tables;

	if (sqlite3_open_v2(VFS_DATABASE, &database,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
			    VFS_NAME) != SQLITE_OK)
		return fail("opening");
	/* With less, an acknowledged transaction may be rolled back after a crash. */
	if (!run("pragma synchronous=extra") || !run("pragma temp_store=memory") ||
	    !ask("select count(*) from sqlite_master", &tables))
		return false;
	return tables ? check() : acked ? (wrong("the tables are gone", 0, acked),
					   false) : create();
}

/* ---- sessions -------------------------------------------------------------- */

/* Waits for another one than @last; false: it is time to end. */
static bool next_session(unsigned int *last)
{
	char name[sizeof(path)];
	bool is_new;
	int err;

	do {
		pthread_mutex_lock(&mutex);
		while (session == *last && !stopping)
			pthread_cond_wait(&changed, &mutex);
		is_new = session != *last;
		*last = session;
		target.aborted = false;
		memcpy(name, path, sizeof(name));
		pthread_mutex_unlock(&mutex);
		err = is_new ? target_open(&target, name) : 0;
	} while (err);
	return is_new;
}

static bool is_stopping(void)
{
	bool is;

	pthread_mutex_lock(&mutex);
	is = stopping;
	pthread_mutex_unlock(&mutex);
	return is;
}

static void work(void)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	while (transfer() && !is_stopping())
		nanosleep(&pause, NULL);
}

static void *sessions(void *arg)
{
	unsigned int last = 0;
	bool good = false;

	(void)arg;
	while (next_session(&last)) {
		good = open_database();
		if (good && !is_stopping())
			work();
		/* An error here has been told, or the server has gone. */
		sqlite3_close(database);
		database = NULL;
		vfs_error();
		good = is_stopping() && open_database();
		sqlite3_close(database);
		database = NULL;
		target_close(&target);
		if (is_stopping())
			break;
	}
	if (!good)
		wrong("there is no server in the end", (int64_t)last, acked);
	printf("acked %" PRId64 "\n", acked);
	return NULL;
}

static void begin_session(const char *line)
{
	pthread_mutex_lock(&mutex);
	session++;
	snprintf(path, sizeof(path), "%s", line);
	target_abort(&target);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char line[4096];

	if (argc != 2 || sscanf(argv[1], "%" SCNd64, &acked) != 1) {
		fprintf(stderr, "usage: chaos-bank ACKED\n");
		return 2;
	}
	rng = (uint64_t)time(NULL) * 0x9e3779b97f4a7c15ULL | 1;
	if (vfs_register(&target) || pthread_create(&thread, NULL, sessions, NULL)) {
		fprintf(stderr, "chaos-bank: cannot begin\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "open ", 5) == 0)
			begin_session(line + 5);
	}
	pthread_mutex_lock(&mutex);
	stopping = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	return 0;
}
