// SPDX-License-Identifier: Apache-2.0
/*
 * What every metadata backend must do. Runs over the store that the
 * environment variable TORUS_TEST_META names (an etcd:// or local: URL), by
 * default over a new file; tests/integration/meta runs it over both. Each test
 * has keys of its own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "meta/local.h"
#include "meta/url.h"
#include "shell.h"

#define KEY_ROOM 128
#define EVENTS_MAX 4096

static char directory[] = "/tmp/torus-meta-XXXXXX";
static struct meta_settings settings;
static struct env *env;
static struct meta *m, *m2;		/* two clients of one store */
static char prefix[KEY_ROOM];

static bool is_local(void)
{
	return strncmp(settings.url, "local:", 6) == 0;
}

static int group_setup(void **state)
{
	const char *url = getenv("TORUS_TEST_META");

	assert_non_null(mkdtemp(directory));
	settings.create = true;
	if (url)
		snprintf(settings.url, sizeof(settings.url), "%s", url);
	else
		snprintf(settings.url, sizeof(settings.url), "local:%s/meta",
			 directory);
	print_message("metadata store: %s\n", settings.url);
	return 0;
}

static int group_teardown(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/meta", directory);
	unlink(path);
	return rmdir(directory);
}

static int setup(void **state)
{
	uint64_t random;

	env = env_uring_new(&(struct env_uring_config){ 0 });
	assert_non_null(env);
	assert_int_equal(meta_open(env, &settings, &m), 0);
	assert_int_equal(meta_open(env, &settings, &m2), 0);
	env_random(env, &random, sizeof(random));
	snprintf(prefix, sizeof(prefix), "torus-test/%016llx/",
		 (unsigned long long)random);
	return 0;
}

static int teardown(void **state)
{
	if (m)
		m->ops->close(m);
	if (m2)
		m2->ops->close(m2);
	env_uring_free(env);
	return 0;
}

static const char *key(const char *name)
{
	static char keys[8][2 * KEY_ROOM];
	static int next;
	char *k = keys[next++ % 8];

	snprintf(k, sizeof(keys[0]), "%s%s", prefix, name);
	return k;
}

/* ---- waiting for answers -------------------------------------------------------- */

static struct {
	int count, err, successes;
	bool succeeded, found;
	int64_t revision, lease, mod_revision;
	size_t listed;
	char value[1024], keys[1024];
} a;

static void turn_until(const int *counter, int value, uint64_t seconds)
{
	uint64_t end = env_now(env) + seconds * NSEC_PER_SEC;

	while (*counter < value) {
		if (env_now(env) > end)
			fail_msg("no answer in %d s", (int)seconds);
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC / 5), 0);
	}
}

static void answer(void)
{
	int before = a.count;

	turn_until(&a.count, before + 1, 20);
	assert_int_equal(a.count, before + 1);
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	a.count++;
	a.err = err;
	a.revision = revision;
	a.found = kv != NULL;
	if (!kv)
		return;
	snprintf(a.value, sizeof(a.value), "%s", kv->value);
	a.mod_revision = kv->mod_revision;
	a.lease = kv->lease;
}

/* "key=value ", or "key- ", as far as there is room. */
static void append(char *text, size_t size, const char *between,
		   const struct meta_kv *kv)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s%s%.50s ",
		 kv->key + strlen(prefix), between, kv->value ? kv->value : "");
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	size_t i;

	a.count++;
	a.err = err;
	a.revision = revision;
	a.listed = count;
	a.keys[0] = 0;
	for (i = 0; i < count; i++) {
		assert_true(strncmp(kv[i].key, prefix, strlen(prefix)) == 0);
		append(a.keys, sizeof(a.keys), "=", &kv[i]);
	}
}

static void committed(void *ctx, int err, bool succeeded, int64_t revision)
{
	a.count++;
	a.err = err;
	a.succeeded = succeeded;
	a.successes += !err && succeeded;
	a.revision = revision;
}

static void leased(void *ctx, int err, int64_t lease)
{
	a.count++;
	a.err = err;
	a.lease = lease;
}

static void get(const char *name)
{
	m->ops->get(m, key(name), got, NULL);
	answer();
	assert_int_equal(a.err, 0);
}

static void list(const char *name)
{
	m->ops->list(m, key(name), listed, NULL);
	answer();
	assert_int_equal(a.err, 0);
}

static void submit(struct meta *to, const struct meta_txn *txn)
{
	to->ops->txn(to, txn, committed, NULL);
	answer();
}

static void put_lease(struct meta *to, const char *name, const char *value,
		      int64_t lease)
{
	struct meta_txn txn = { .put_count = 1 };

	txn.put[0] = (struct meta_put){ key(name), value, lease };
	submit(to, &txn);
	assert_int_equal(a.err, 0);
	assert_true(a.succeeded);
}

static int64_t put(const char *name, const char *value)
{
	put_lease(m, name, value, 0);
	return a.revision;
}

static bool put_if(const char *name, int64_t mod_revision, const char *value)
{
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };

	txn.compare[0] = (struct meta_compare){ key(name), mod_revision };
	txn.put[0] = (struct meta_put){ key(name), value, 0 };
	submit(m, &txn);
	assert_int_equal(a.err, 0);
	return a.succeeded;
}

/* ---- keys ------------------------------------------------------------------------ */

static void missing_key_is_no_error(void **state)
{
	get("x");
	assert_false(a.found);
	assert_true(a.revision > 0);
}

static void value_is_read_back(void **state)
{
	int64_t revision = put("x", "{\"a\":\"\\\"\xc3\xa4\\n\"}");

	get("x");
	assert_true(a.found);
	assert_string_equal(a.value, "{\"a\":\"\\\"\xc3\xa4\\n\"}");
	assert_int_equal(a.mod_revision, revision);
	assert_true(a.revision >= revision);
	assert_int_equal(a.lease, 0);
}

static void key_is_created_once(void **state)
{
	assert_true(put_if("x", 0, "1"));
	assert_false(put_if("x", 0, "2"));
	get("x");
	assert_string_equal(a.value, "1");
}

static void swap_compares_the_revision(void **state)
{
	int64_t first, second;

	assert_true(put_if("x", 0, "1"));
	first = a.revision;
	assert_true(put_if("x", first, "2"));
	second = a.revision;
	assert_true(second > first);
	assert_false(put_if("x", first, "3"));
	assert_false(put_if("x", second + 1, "3"));
	get("x");
	assert_string_equal(a.value, "2");
	assert_int_equal(a.mod_revision, second);
}

static void deleted_key_can_be_created_again(void **state)
{
	assert_true(put_if("x", 0, "1"));
	assert_true(put_if("x", a.revision, NULL));
	get("x");
	assert_false(a.found);
	assert_true(put_if("x", 0, "2"));
	put("none", NULL);
	get("x");
	assert_string_equal(a.value, "2");
}

static void transaction_is_all_or_nothing(void **state)
{
	struct meta_txn txn = { .compare_count = 2, .put_count = 3 };
	int64_t revision = put("a", "1");

	txn.compare[0] = (struct meta_compare){ key("a"), revision };
	txn.compare[1] = (struct meta_compare){ key("b"), 7 };
	txn.put[0] = (struct meta_put){ key("a"), "2", 0 };
	txn.put[1] = (struct meta_put){ key("b"), "2", 0 };
	txn.put[2] = (struct meta_put){ key("c"), NULL, 0 };
	put("c", "1");
	submit(m, &txn);
	assert_int_equal(a.err, 0);
	assert_false(a.succeeded);
	list("");
	assert_string_equal(a.keys, "a=1 c=1 ");
	txn.compare[1].mod_revision = 0;
	submit(m, &txn);
	assert_true(a.succeeded);
	revision = a.revision;
	list("");
	assert_string_equal(a.keys, "a=2 b=2 ");
	get("b");
	assert_int_equal(a.mod_revision, revision);
}

static void largest_transaction_fits(void **state)
{
	static char keys[META_TXN_MAX][KEY_ROOM + 8];
	static struct meta_txn txn;
	int i;

	for (i = 0; i < META_TXN_MAX; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%s%02d", prefix, i);
		txn.compare[i] = (struct meta_compare){ keys[i], 0 };
		txn.put[i] = (struct meta_put){ keys[i], "v", 0 };
	}
	txn.compare_count = txn.put_count = META_TXN_MAX;
	submit(m, &txn);
	assert_int_equal(a.err, 0);
	assert_true(a.succeeded);
	list("");
	assert_int_equal(a.listed, META_TXN_MAX);
	txn.put[1].key = keys[0];
	txn.compare_count = 0;
	submit(m, &txn);
	assert_int_equal(a.err, -EINVAL);
	assert_non_null(strstr(error_text(a.err), keys[0]));
}

static void list_is_ordered_and_bounded_by_its_prefix(void **state)
{
	put("d/b", "2");
	put("d/a", "1");
	put("d/", "0");
	put("d", "x");
	put("d0", "x");
	put("e/a", "x");
	list("d/");
	assert_int_equal(a.listed, 3);
	assert_string_equal(a.keys, "d/=0 d/a=1 d/b=2 ");
	list("none/");
	assert_int_equal(a.listed, 0);
}

static void long_value_is_kept(void **state)
{
	static char value[300001];

	memset(value, 'v', sizeof(value) - 1);
	put("x", value);
	get("x");
	assert_int_equal(strlen(a.value), sizeof(a.value) - 1);
	list("");
	assert_int_equal(a.listed, 1);
}

/* Both have read the same: one of the two must lose. */
static void compete(void)
{
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };
	int before;
	char value[32];

	get("n");
	snprintf(value, sizeof(value), "%ld", a.found ? strtol(a.value, NULL, 10) + 1 : 1);
	txn.compare[0] = (struct meta_compare){ key("n"),
		a.found ? a.mod_revision : 0 };
	txn.put[0] = (struct meta_put){ key("n"), value, 0 };
	before = a.count;
	m->ops->txn(m, &txn, committed, NULL);
	m2->ops->txn(m2, &txn, committed, NULL);
	turn_until(&a.count, before + 2, 20);
}

static void competing_clients_lose_no_update(void **state)
{
	int i;

	a.successes = 0;
	for (i = 0; i < 10; i++)
		compete();
	assert_int_equal(a.successes, 10);
	get("n");
	assert_string_equal(a.value, "10");
}

/* ---- watches ----------------------------------------------------------------------- */

static struct events {
	int count, resets;
	char text[4096];
	int64_t last_revision;
	struct meta_watch *watch;	/* to be ended inside */
	struct meta *close;		/* likewise */
} ev, ev2;

static void event(void *ctx, enum meta_event_type type,
		  const struct meta_kv *kv)
{
	struct events *e = ctx;

	e->count++;
	if (type == META_EVENT_RESET) {
		e->resets++;
		return;
	}
	assert_true(strncmp(kv->key, prefix, strlen(prefix)) == 0);
	assert_true(kv->mod_revision >= e->last_revision);
	e->last_revision = kv->mod_revision;
	assert_true((type == META_EVENT_PUT) == (kv->value != NULL));
	append(e->text, sizeof(e->text), kv->value ? "=" : "-", kv);
	if (e->watch)
		m->ops->unwatch(m, e->watch);
	e->watch = NULL;
	if (e->close) {
		e->close->ops->close(e->close);
		m2 = NULL;
		e->close = NULL;
	}
}

static struct meta_watch *watch(struct meta *client, const char *name,
				int64_t from, struct events *e)
{
	memset(e, 0, sizeof(*e));
	return client->ops->watch(client, key(name), from, event, e);
}

static void watch_sees_past_and_future(void **state)
{
	int64_t from = put("w/a", "1");
	struct meta_watch *w;

	put("other", "x");
	put("w/b", "1");
	put("w/a", NULL);
	w = watch(m, "w/", from, &ev);
	turn_until(&ev.count, 3, 10);
	assert_string_equal(ev.text, "w/a=1 w/b=1 w/a- ");
	put("w/a", "2");
	put("w", "x");
	put("w/b", NULL);
	turn_until(&ev.count, 5, 10);
	assert_string_equal(ev.text, "w/a=1 w/b=1 w/a- w/a=2 w/b- ");
	assert_int_equal(ev.resets, 0);
	m->ops->unwatch(m, w);
	put("w/c", "1");
	get("w/c");
	assert_int_equal(ev.count, 5);
}

static void watch_begins_at_its_revision(void **state)
{
	int64_t first = put("w/a", "1");
	int64_t second = put("w/a", "2");

	assert_true(second > first);
	watch(m, "w/", second, &ev);
	watch(m, "w/", second + 1, &ev2);
	turn_until(&ev.count, 1, 10);
	put("w/a", "3");
	turn_until(&ev.count, 2, 10);
	turn_until(&ev2.count, 1, 10);
	assert_string_equal(ev.text, "w/a=2 w/a=3 ");
	assert_string_equal(ev2.text, "w/a=3 ");
}

static void watch_sees_other_clients(void **state)
{
	struct meta_txn txn = { .put_count = 3 };
	int64_t from = put("w/z", "0") + 1;

	watch(m, "w/", from, &ev);
	put_lease(m2, "w/a", "1", 0);
	turn_until(&ev.count, 1, 10);
	txn.put[0] = (struct meta_put){ key("w/a"), "2", 0 };
	txn.put[1] = (struct meta_put){ key("w/b"), "2", 0 };
	txn.put[2] = (struct meta_put){ key("w/z"), NULL, 0 };
	submit(m2, &txn);
	turn_until(&ev.count, 4, 10);
	assert_string_equal(ev.text, "w/a=1 w/a=2 w/b=2 w/z- ");
}

static void watch_sees_other_processes(void **state)
{
	int64_t from = put("w/z", "0") + 1;
	int status = -1;
	pid_t pid;

	watch(m, "w/", from, &ev);
	get("w/z");
	pid = fork();
	if (pid == 0) {
		/* Nothing of the parent's reactor may be touched here. */
		env = env_uring_new(&(struct env_uring_config){ 0 });
		if (meta_open(env, &settings, &m))
			_exit(1);
		put("w/a", "child");
		m->ops->close(m);
		_exit(0);
	}
	turn_until(&ev.count, 1, 20);
	assert_string_equal(ev.text, "w/a=child ");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void watch_ended_inside_its_event_is_silent(void **state)
{
	int64_t from = put("w/a", "1");

	put("w/b", "1");
	ev.watch = NULL;
	watch(m, "w/", from, &ev2);
	memset(&ev, 0, sizeof(ev));
	ev.watch = m->ops->watch(m, key("w/"), from, event, &ev);
	turn_until(&ev2.count, 2, 10);
	turn_until(&ev.count, 1, 10);
	put("w/c", "1");
	turn_until(&ev2.count, 3, 10);
	assert_int_equal(ev.count, 1);
}

static void store_closed_inside_an_event_is_silent(void **state)
{
	int64_t from = put("w/a", "1");

	put("w/b", "1");
	watch(m2, "w/", from, &ev);
	ev.close = m2;
	m2->ops->get(m2, key("w/a"), got, NULL);
	turn_until(&ev.count, 1, 10);
	put("w/c", "1");
	assert_int_equal(ev.count, 1);
	assert_null(m2);
}

static void many_changes_arrive_in_order(void **state)
{
	struct meta_txn txn = { .put_count = META_TXN_MAX };
	static char keys[META_TXN_MAX][KEY_ROOM + 8];
	int64_t from = put("x", "0");
	int i, j;

	for (j = 0; j < META_TXN_MAX; j++) {
		snprintf(keys[j], sizeof(keys[j]), "%sw/%02d", prefix, j);
		txn.put[j] = (struct meta_put){ keys[j], "v", 0 };
	}
	for (i = 0; i < 100; i++)
		submit(m2, &txn);
	watch(m, "w/", from, &ev);
	turn_until(&ev.count, 100 * META_TXN_MAX, 20);
	assert_int_equal(ev.last_revision, a.revision);
	assert_int_equal(ev.resets, 0);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(ev.count, 100 * META_TXN_MAX);
}

/* Forgets the history up to about now. */
static void compact(int64_t revision)
{
	char name[32];
	int i;

	if (!is_local()) {
		assert_int_equal(shell("ETCDCTL_API=3 etcdctl --endpoints=%s "
				       "compact %lld >/dev/null",
				       settings.url + strlen("etcd://"),
				       (long long)revision), 0);
		return;
	}
	meta_local_set_history(m, 10);
	for (i = 0; i < 80; i++) {
		snprintf(name, sizeof(name), "fill%d", i % 3);
		put(name, "1");
	}
}

static void forgotten_history_is_said(void **state)
{
	int64_t from = put("w/a", "1");

	put("w/a", "2");
	compact(put("w/a", "3"));
	watch(m, "w/", from, &ev);
	turn_until(&ev.resets, 1, 10);
	put("w/a", "4");
	/* Ready again: the newest change comes, whatever came between. */
	while (!strstr(ev.text, "w/a=4 "))
		turn_until(&ev.count, ev.count + 1, 10);
	assert_int_equal(ev.resets, 1);
}

/* ---- leases -------------------------------------------------------------------------- */

static int losses;
static int64_t lost_lease;

static void lost(void *ctx, int64_t lease)
{
	assert_ptr_equal(ctx, &losses);
	losses++;
	lost_lease = lease;
}

static int64_t grant(struct meta *client, unsigned int ttl_s)
{
	losses = 0;
	client->ops->lease_grant(client, ttl_s, leased, lost, &losses);
	answer();
	assert_int_equal(a.err, 0);
	assert_true(a.lease != 0);
	return a.lease;
}

static void revoked_lease_takes_its_keys(void **state)
{
	int64_t lease = grant(m, 30), from;

	put_lease(m, "l/a", "1", lease);
	from = a.revision;
	put_lease(m, "l/b", "1", lease);
	put("l/c", "1");
	get("l/a");
	assert_int_equal(a.lease, lease);
	watch(m2, "l/", from, &ev);
	m->ops->lease_revoke(m, lease, leased, NULL);
	answer();
	assert_int_equal(a.err, 0);
	list("l/");
	assert_string_equal(a.keys, "l/c=1 ");
	turn_until(&ev.count, 5, 10);
	assert_non_null(strstr(ev.text, "l/a- "));
	assert_non_null(strstr(ev.text, "l/b- "));
	assert_int_equal(losses, 0);
}

static void key_put_again_leaves_its_lease(void **state)
{
	int64_t lease = grant(m, 30);

	put_lease(m, "l/a", "1", lease);
	put("l/a", "2");
	m->ops->lease_revoke(m, lease, leased, NULL);
	answer();
	get("l/a");
	assert_true(a.found);
}

static void unknown_lease_is_refused(void **state)
{
	struct meta_txn txn = { .put_count = 2 };

	txn.put[0] = (struct meta_put){ key("l/a"), "1", 0 };
	txn.put[1] = (struct meta_put){ key("l/b"), "1", 123456789 };
	submit(m, &txn);
	assert_int_equal(a.err, -ENOENT);
	assert_false(a.succeeded);
	list("l/");
	assert_int_equal(a.listed, 0);
}

static void lease_of_a_living_holder_stays(void **state)
{
	uint64_t end;

	put_lease(m, "l/a", "1", grant(m, 2));
	end = env_now(env) + 7 * NSEC_PER_SEC / 2;
	while (env_now(env) < end)
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC / 2), 0);
	get("l/a");
	assert_true(a.found);
	assert_int_equal(losses, 0);
}

static void lease_of_a_dead_holder_ends(void **state)
{
	int64_t from;

	put_lease(m2, "l/a", "1", grant(m2, 2));
	from = a.revision + 1;
	watch(m, "l/", from, &ev);
	m2->ops->close(m2);
	m2 = NULL;
	turn_until(&ev.count, 1, 20);
	assert_string_equal(ev.text, "l/a- ");
	get("l/a");
	assert_false(a.found);
}

static void lost_lease_is_said(void **state)
{
	int64_t lease = grant(m, 3);

	/* Somebody else ends it. */
	m2->ops->lease_revoke(m2, lease, leased, NULL);
	answer();
	turn_until(&losses, 1, 10);
	assert_int_equal(lost_lease, lease);
	assert_int_equal(env_uring_turn(env, NSEC_PER_SEC), 0);
	assert_int_equal(losses, 1);
}

/* ---- life --------------------------------------------------------------------------------- */

static void closed_store_calls_nobody(void **state)
{
	int before, i;

	put("x", "1");
	before = a.count;
	memset(&ev, 0, sizeof(ev));
	for (i = 0; i < 10; i++) {
		m2->ops->get(m2, key("x"), got, NULL);
		m2->ops->lease_grant(m2, 10, leased, lost, NULL);
		m2->ops->watch(m2, key(""), 1, event, &ev);
	}
	m2->ops->close(m2);
	m2 = NULL;
	get("x");
	assert_int_equal(a.count, before + 1);
	assert_int_equal(ev.count, 0);
}

static void many_requests_at_once(void **state)
{
	int before, i;

	put("x", "1");
	before = a.count;
	for (i = 0; i < 200; i++)
		m->ops->get(m, key("x"), got, NULL);
	turn_until(&a.count, before + 200, 20);
	assert_true(a.found);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(missing_key_is_no_error),
		T(value_is_read_back),
		T(key_is_created_once),
		T(swap_compares_the_revision),
		T(deleted_key_can_be_created_again),
		T(transaction_is_all_or_nothing),
		T(largest_transaction_fits),
		T(list_is_ordered_and_bounded_by_its_prefix),
		T(long_value_is_kept),
		T(competing_clients_lose_no_update),
		T(watch_sees_past_and_future),
		T(watch_begins_at_its_revision),
		T(watch_sees_other_clients),
		T(watch_sees_other_processes),
		T(watch_ended_inside_its_event_is_silent),
		T(store_closed_inside_an_event_is_silent),
		T(many_changes_arrive_in_order),
		T(forgotten_history_is_said),
		T(revoked_lease_takes_its_keys),
		T(key_put_again_leaves_its_lease),
		T(unknown_lease_is_refused),
		T(lease_of_a_living_holder_stays),
		T(lease_of_a_dead_holder_ends),
		T(lost_lease_is_said),
		T(closed_store_calls_nobody),
		T(many_requests_at_once),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
