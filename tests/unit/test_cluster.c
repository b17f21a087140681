// SPDX-License-Identifier: Apache-2.0
/* cluster.h over a metadata store of a few keys, moved by hand. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "fake_env.h"
#include "peer/cluster.h"
#include "peer/peer_priv.h"

static const struct uuid cluster_id = { { 0xc1, 1 } };
static const struct uuid peer_a = { { 0x0a } };
static const struct uuid peer_b = { { 0x0b } };
static const struct uuid peer_c = { { 0x0c } };

/* ---- a metadata store ---------------------------------------------------- */

#define KEYS_MAX 16
#define VIEWS 3u	/* lists that opening takes */

struct meta_watch {
	struct list_head node;
	char prefix[META_KEY_MAX];
	int64_t from;
	meta_watch_fn event;
	void *ctx;
};

struct request {
	struct list_head node;
	char key[META_KEY_MAX];
	meta_get_fn got;
	meta_list_fn listed;
	void *ctx;
};

struct fake_meta {
	struct meta meta;
	struct { char key[META_KEY_MAX]; char *value; } kv[KEYS_MAX];
	int64_t revision;
	int fail;			/* answer requests with this */
	unsigned int lists;
	struct list_head requests, watches;
};

static struct fake_meta *fake_of(struct meta *m)
{
	return container_of(m, struct fake_meta, meta);
}

static void enqueue(struct meta *m, const char *key, meta_get_fn got,
		    meta_list_fn listed, void *ctx)
{
	struct request *r = calloc(1, sizeof(*r));

	snprintf(r->key, sizeof(r->key), "%s", key);
	r->got = got;
	r->listed = listed;
	r->ctx = ctx;
	list_add_tail(&r->node, &fake_of(m)->requests);
}

static void fake_get(struct meta *m, const char *key, meta_get_fn done,
		     void *ctx)
{
	enqueue(m, key, done, NULL, ctx);
}

static void fake_list(struct meta *m, const char *prefix, meta_list_fn done,
		      void *ctx)
{
	fake_of(m)->lists++;
	enqueue(m, prefix, NULL, done, ctx);
}

static struct meta_watch *fake_watch(struct meta *m, const char *prefix,
				     int64_t from, meta_watch_fn event,
				     void *ctx)
{
	struct meta_watch *w = calloc(1, sizeof(*w));

	snprintf(w->prefix, sizeof(w->prefix), "%s", prefix);
	w->from = from;
	w->event = event;
	w->ctx = ctx;
	list_add_tail(&w->node, &fake_of(m)->watches);
	return w;
}

static void fake_unwatch(struct meta *m, struct meta_watch *w)
{
	list_del_init(&w->node);
	free(w);
}

static const struct meta_ops fake_meta_ops = {
	.get = fake_get,
	.list = fake_list,
	.watch = fake_watch,
	.unwatch = fake_unwatch,
};

static size_t matching(struct fake_meta *f, const char *prefix,
		       struct meta_kv *kv)
{
	size_t count = 0;
	unsigned int i;

	for (i = 0; i < KEYS_MAX; i++) {
		if (f->kv[i].value == NULL ||
		    strncmp(f->kv[i].key, prefix, strlen(prefix)) != 0)
			continue;
		kv[count].key = f->kv[i].key;
		kv[count].value = f->kv[i].value;
		kv[count].mod_revision = 1;
		kv[count++].lease = 0;
	}
	return count;
}

/* Answer what was asked so far; false: nothing was. */
static bool fake_meta_answer(struct fake_meta *f)
{
	struct meta_kv kv[KEYS_MAX];
	struct request *r;
	size_t count;

	if (list_empty(&f->requests))
		return false;
	r = list_first_entry(&f->requests, struct request, node);
	list_del_init(&r->node);
	count = f->fail ? 0 : matching(f, r->key, kv);
	if (f->fail)
		error_set(f->fail, "metadata store: does not answer");
	if (r->got != NULL)
		r->got(r->ctx, f->fail, f->revision, count ? kv : NULL);
	else
		r->listed(r->ctx, f->fail, f->revision, kv, count);
	free(r);
	return true;
}

static void tell(struct fake_meta *f, enum meta_event_type type,
		 const char *key, const char *value)
{
	struct meta_kv kv = { key, value, f->revision, 0 };
	struct meta_watch *w, *tmp;

	list_for_each_entry_safe(w, tmp, &f->watches, node)
		if (strncmp(key, w->prefix, strlen(w->prefix)) == 0 &&
		    w->from <= f->revision)
			w->event(w->ctx, type, &kv);
}

/* Store and tell the watchers; frees @value. NULL deletes. */
static void fake_put(struct fake_meta *f, const char *key, char *value)
{
	int i, at = -1;

	for (i = KEYS_MAX - 1; i >= 0; i--)
		if (f->kv[i].value == NULL)
			at = at < 0 ? i : at;
		else if (strcmp(f->kv[i].key, key) == 0)
			break;
	if (i >= 0)
		at = i;
	free(f->kv[at].value);
	f->kv[at].value = value;
	snprintf(f->kv[at].key, sizeof(f->kv[at].key), "%s", key);
	f->revision++;
	tell(f, value != NULL ? META_EVENT_PUT : META_EVENT_DELETE, key, value);
}

/* ---- the world ----------------------------------------------------------- */

struct world {
	struct fake_env env;
	struct fake_meta meta;
	struct cluster *cluster;
	int opened, err, ring_changes, peer_changes;
	uint64_t old_version;		/* seen through a ring held since open */
	const struct ring *held;
};

static void on_open(void *ctx, int err)
{
	struct world *w = ctx;

	w->opened++;
	w->err = err;
}

static void on_ring(void *ctx)
{
	struct world *w = ctx;

	w->ring_changes++;
	/* Must still be readable: ASan would tell. */
	if (w->held != NULL)
		w->old_version = ring_spec(w->held)->version;
	w->held = NULL;
}

static void on_peer(void *ctx, struct peer *peer, int err)
{
	struct world *w = ctx;

	w->peer_changes++;
}

static const struct cluster_ops ops = {
	.ring_changed = on_ring,
	.peer_changed = on_peer,
};

static void put_cluster(struct world *w)
{
	struct cluster_doc doc = {
		.id = cluster_id, .replication = 2, .chunk_size = 64 << 20,
	};

	fake_put(&w->meta, KEY_CLUSTER, cluster_doc_encode(&doc));
}

static void put_ring(struct world *w, uint64_t version, bool previous)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	doc->current.version = version;
	doc->current.type = RING_MOD;
	doc->current.replication = 2;
	doc->current.member_count = 2;
	doc->current.members[0].peer = peer_a;
	doc->current.members[1].peer = peer_b;
	doc->current.members[0].weight = 1 << 30;
	doc->current.members[1].weight = 1 << 30;
	doc->has_previous = previous;
	doc->previous = doc->current;
	doc->previous.version = version - 1;
	key_ring(&cluster_id, key);
	fake_put(&w->meta, key, ring_doc_encode(doc));
	free(doc);
}

static void put_peer(struct world *w, const struct uuid *id,
		     const char *address)
{
	struct peer_doc doc = { .id = *id, .size = 1 << 30,
				.incarnation = { { 1 } } };
	char key[META_KEY_MAX];

	snprintf(doc.address, sizeof(doc.address), "%s", address);
	key_peer(&cluster_id, id, key);
	fake_put(&w->meta, key, peer_doc_encode(&doc));
}

static void put_alive(struct world *w, const struct uuid *id, bool alive)
{
	char key[META_KEY_MAX];

	key_alive(&cluster_id, id, key);
	fake_put(&w->meta, key, alive ? strdup("{\"version\":1}") : NULL);
}

static void start(struct world *w)
{
	struct cluster_config cfg = {
		.role = WIRE_ROLE_VOLUME, .ops = &ops, .ctx = w,
	};

	w->cluster = cluster_open(&w->env.env, &w->meta.meta, &cfg, on_open, w);
	assert_non_null(w->cluster);
}

static void answer_all(struct world *w)
{
	while (fake_meta_answer(&w->meta))
		;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	log_set_sink(NULL);
	fake_env_init(&w->env);
	w->meta.meta.ops = &fake_meta_ops;
	list_init(&w->meta.requests);
	list_init(&w->meta.watches);
	*state = w;
	return 0;
}

static int setup_open(void **state)
{
	struct world *w;

	setup(state);
	w = *state;
	put_cluster(w);
	put_ring(w, 7, true);
	put_peer(w, &peer_b, "b:1");
	put_peer(w, &peer_a, "a:1");
	put_alive(w, &peer_a, true);
	start(w);
	answer_all(w);
	return w->opened == 1 && w->err == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	int i;

	cluster_close(w->cluster);
	assert_true(list_empty(&w->meta.watches));
	/* Answers that come after the end free what waited for them. */
	answer_all(w);
	for (i = 0; i < KEYS_MAX; i++)
		free(w->meta.kv[i].value);
	fake_env_release(&w->env);
	free(w);
	return 0;
}

/* ---- tests -------------------------------------------------------------- */

static void collect(void *ctx, const struct peer_doc *doc, bool alive)
{
	char *text = ctx;

	snprintf(text + strlen(text), 64 - strlen(text), "%s%s ", doc->address,
		 alive ? "+" : "");
}

static void expect_peers(struct world *w, const char *expect)
{
	char text[64] = "";

	cluster_for_each_peer(w->cluster, collect, text);
	assert_string_equal(text, expect);
}

static void opening_loads_everything(void **state)
{
	struct world *w = *state;

	assert_true(uuid_equal(&cluster_doc(w->cluster)->id, &cluster_id));
	assert_int_equal(ring_spec(cluster_ring(w->cluster))->version, 7);
	assert_ptr_equal(cluster_ring_version(w->cluster, 7),
			 cluster_ring(w->cluster));
	assert_int_equal(ring_spec(cluster_ring_version(w->cluster, 6))->version,
			 6);
	assert_null(cluster_ring_version(w->cluster, 5));
	expect_peers(w, "a:1+ b:1 ");
	assert_true(cluster_peer_alive(w->cluster, &peer_a));
	assert_false(cluster_peer_alive(w->cluster, &peer_b));
	assert_false(cluster_peer_alive(w->cluster, &peer_c));
	assert_string_equal(peer_address(peer_find(cluster_peers(w->cluster),
						   &peer_b)), "b:1");
	/* Nobody is connected to before there is a reason. */
	assert_int_equal(w->env.connects, 0);
	assert_int_equal(w->ring_changes, 0);
}

static void no_cluster_names_the_way_out(void **state)
{
	struct world *w = *state;

	start(w);
	assert_int_equal(w->opened, 0);
	answer_all(w);
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->err, -ENOENT);
	assert_non_null(strstr(error_text(w->err), "torusctl init"));
}

static void no_ring_is_an_error(void **state)
{
	struct world *w = *state;

	put_cluster(w);
	start(w);
	answer_all(w);
	assert_int_equal(w->err, -ENOENT);
	assert_non_null(strstr(error_text(w->err), "no ring"));
}

static void errors_of_the_store_are_passed_on(void **state)
{
	struct world *w = *state;

	put_cluster(w);
	start(w);
	fake_meta_answer(&w->meta);
	w->meta.fail = -EHOSTUNREACH;
	answer_all(w);
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->err, -EHOSTUNREACH);
}

static void a_broken_ring_does_not_open(void **state)
{
	char key[META_KEY_MAX];
	struct world *w = *state;

	put_cluster(w);
	key_ring(&cluster_id, key);
	fake_put(&w->meta, key, strdup("{\"version\":1}"));
	start(w);
	answer_all(w);
	assert_int_equal(w->opened, 1);
	assert_int_equal(w->err, -EBADMSG);
}

static void a_new_ring_is_reported_once(void **state)
{
	struct world *w = *state;

	w->held = cluster_ring(w->cluster);
	put_ring(w, 8, true);
	assert_int_equal(w->ring_changes, 1);
	assert_int_equal(w->old_version, 7);
	assert_int_equal(ring_spec(cluster_ring(w->cluster))->version, 8);
	assert_non_null(cluster_ring_version(w->cluster, 7));
	put_ring(w, 9, false);
	assert_int_equal(w->ring_changes, 2);
	assert_null(cluster_ring_version(w->cluster, 8));
}

static void nonsense_never_replaces_sense(void **state)
{
	char key[META_KEY_MAX];
	struct world *w = *state;

	key_ring(&cluster_id, key);
	fake_put(&w->meta, key, strdup("not JSON"));
	assert_int_equal(w->ring_changes, 0);
	fake_put(&w->meta, key, NULL);
	assert_int_equal(ring_spec(cluster_ring(w->cluster))->version, 7);
	key_peer(&cluster_id, &peer_a, key);
	fake_put(&w->meta, key, strdup("{\"version\":99}"));
	key_prefix(&cluster_id, "peers", key);
	snprintf(key + strlen(key), 16, "rubbish");
	fake_put(&w->meta, key, strdup("{}"));
	expect_peers(w, "a:1+ b:1 ");
}

static void peers_come_move_and_go(void **state)
{
	struct peer_set *set;
	char key[META_KEY_MAX];
	struct world *w = *state;

	set = cluster_peers(w->cluster);
	put_peer(w, &peer_c, "c:1");
	put_alive(w, &peer_c, true);
	expect_peers(w, "a:1+ b:1 c:1+ ");
	peer_connect(peer_find(set, &peer_c));
	put_peer(w, &peer_c, "c:2");
	assert_string_equal(fake_conn(&w->env)->address, "c:2");
	put_alive(w, &peer_c, false);
	expect_peers(w, "a:1+ b:1 c:2 ");
	key_peer(&cluster_id, &peer_c, key);
	fake_put(&w->meta, key, NULL);
	expect_peers(w, "a:1+ b:1 ");
	/* Nobody tries to reach it any more. */
	fake_env_run(&w->env, 1000 * NSEC_PER_SEC);
	assert_null(fake_conn(&w->env));
	assert_int_equal(w->env.connects, 2);
}

static size_t memory_in_use(void)
{
	return mallinfo2().uordblks;
}

static void come_and_go(struct world *w, unsigned int i, bool doc_first)
{
	struct uuid id = { { 0xdd, (uint8_t)i, (uint8_t)(i >> 8) } };
	char key[META_KEY_MAX];

	put_peer(w, &id, "d:1");
	put_alive(w, &id, true);
	if (!doc_first)
		put_alive(w, &id, false);
	key_peer(&cluster_id, &id, key);
	fake_put(&w->meta, key, NULL);
	if (doc_first)
		put_alive(w, &id, false);
}

/* Of each only its place in the set of peers stays, which others may hold. */
static void peers_that_are_gone_are_forgotten(void **state)
{
	const unsigned int many = 256;
	struct world *w = *state;
	size_t before, grown;
	unsigned int i;

	for (i = 0; i < many; i++)
		come_and_go(w, i, i % 2);
	before = memory_in_use();
	for (; i < 2 * many; i++)
		come_and_go(w, i, i % 2);
	grown = memory_in_use() - before;
	assert_in_range(grown, 0, many * (sizeof(struct peer) + 128));
	expect_peers(w, "a:1+ b:1 ");
}

static void a_lease_ends_a_back_off(void **state)
{
	struct world *w = *state;
	struct peer *b = peer_find(cluster_peers(w->cluster), &peer_b);

	peer_connect(b);
	fake_break(fake_conn(&w->env), -ECONNREFUSED);
	fake_env_run(&w->env, 0);
	assert_int_equal(w->peer_changes, 1);
	assert_int_equal(peer_state(b), PEER_DOWN);
	put_alive(w, &peer_b, true);
	assert_int_equal(peer_state(b), PEER_CONNECTING);
}

/* Changes that no watcher hears of. */
static void change_unheard(struct world *w)
{
	struct list_head deaf = LIST_HEAD_INIT(deaf);
	char key[META_KEY_MAX];

	list_splice_tail_init(&w->meta.watches, &deaf);
	put_ring(w, 8, true);
	put_peer(w, &peer_c, "c:1");
	put_alive(w, &peer_a, false);
	key_peer(&cluster_id, &peer_b, key);
	fake_put(&w->meta, key, NULL);
	list_splice_tail_init(&deaf, &w->meta.watches);
}

static void reset_all(struct world *w)
{
	struct meta_watch *watch, *tmp;

	list_for_each_entry_safe(watch, tmp, &w->meta.watches, node)
		watch->event(watch->ctx, META_EVENT_RESET, NULL);
}

static void lost_history_is_read_again(void **state)
{
	struct world *w = *state;
	struct meta_watch *watch;

	change_unheard(w);
	reset_all(w);
	expect_peers(w, "a:1+ b:1 ");
	answer_all(w);
	expect_peers(w, "a:1 c:1 ");
	assert_int_equal(w->ring_changes, 1);
	assert_int_equal(ring_spec(cluster_ring(w->cluster))->version, 8);
	list_for_each_entry(watch, &w->meta.watches, node)
		assert_int_equal(watch->from, w->meta.revision + 1);
	put_alive(w, &peer_c, true);
	expect_peers(w, "a:1 c:1+ ");
}

static void an_absent_store_is_asked_again(void **state)
{
	struct world *w = *state;
	unsigned int lists;

	change_unheard(w);
	w->meta.fail = -EHOSTUNREACH;
	reset_all(w);
	answer_all(w);
	/* It goes on with what it knows. */
	expect_peers(w, "a:1+ b:1 ");
	lists = w->meta.lists;
	fake_env_run(&w->env, NSEC_PER_SEC);
	assert_int_equal(w->meta.lists, lists + VIEWS);
	answer_all(w);
	fake_env_run(&w->env, NSEC_PER_SEC);
	assert_int_equal(w->meta.lists, lists + VIEWS);
	w->meta.fail = 0;
	fake_env_run(&w->env, NSEC_PER_SEC);
	answer_all(w);
	expect_peers(w, "a:1 c:1 ");
	assert_int_equal(w->opened, 1);
}

static void closing_may_come_at_any_time(void **state)
{
	struct world *w = *state;
	int steps, i;

	put_cluster(w);
	put_ring(w, 7, true);
	put_peer(w, &peer_a, "a:1");
	for (steps = 0; steps < 4; steps++) {
		start(w);
		for (i = 0; i < steps; i++)
			fake_meta_answer(&w->meta);
		cluster_close(w->cluster);
		answer_all(w);
	}
	w->cluster = NULL;
	assert_int_equal(w->opened, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_OPEN(f) cmocka_unit_test_setup_teardown(f, setup_open, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OPEN(opening_loads_everything),
		TEST(no_cluster_names_the_way_out),
		TEST(no_ring_is_an_error),
		TEST(errors_of_the_store_are_passed_on),
		TEST(a_broken_ring_does_not_open),
		TEST_OPEN(a_new_ring_is_reported_once),
		TEST_OPEN(nonsense_never_replaces_sense),
		TEST_OPEN(peers_come_move_and_go),
		TEST_OPEN(peers_that_are_gone_are_forgotten),
		TEST_OPEN(a_lease_ends_a_back_off),
		TEST_OPEN(lost_history_is_read_again),
		TEST_OPEN(an_absent_store_is_asked_again),
		TEST(closing_may_come_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
