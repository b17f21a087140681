// SPDX-License-Identifier: Apache-2.0
/* Errors, logs, hash table, pool and timer heap. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pool.h"
#include "env/timer_heap.h"

static void error_keeps_the_sentence(void **state)
{
	error_clear();
	assert_string_equal(error_text(-ENOENT), strerror(ENOENT));
	assert_int_equal(error_set(-EINVAL, "volume %s: bad", "a"), -EINVAL);
	assert_string_equal(error_text(-EINVAL), "volume a: bad");
	error_prefix("attach %d", 7);
	assert_string_equal(error_text(-EINVAL), "attach 7: volume a: bad");
	/* A sentence may quote the one before. */
	error_set(-EIO, "<%s>", error_text(-EINVAL));
	assert_string_equal(error_text(-EIO), "<attach 7: volume a: bad>");
}

static void error_prefix_alone_keeps_strerror(void **state)
{
	char expect[128];

	error_clear();
	error_prefix("open %s", "x");
	snprintf(expect, sizeof(expect), "open x: %s", strerror(ENOENT));
	assert_string_equal(error_text(-ENOENT), expect);
	assert_string_equal(error_text(-ENOENT), expect);
}

static void error_cuts_what_is_too_long(void **state)
{
	char text[2 * ERROR_TEXT_MAX];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set(-EIO, "%s", text);
	assert_int_equal(strlen(error_text(-EIO)), ERROR_TEXT_MAX - 1);
	error_prefix("p");
	assert_int_equal(strlen(error_text(-EIO)), ERROR_TEXT_MAX - 1);
	assert_memory_equal(error_text(-EIO), "p: xx", 5);
}

static char logged[64];
static int log_count;

static void sink(enum log_level level, const char *line)
{
	snprintf(logged, sizeof(logged), "%d %.60s", level, line);
	log_count++;
}

static void log_goes_to_the_sink_from_its_level_on(void **state)
{
	log_set_sink(sink);
	log_set_level(LOG_LEVEL_WARNING);
	log_info("no");
	assert_int_equal(log_count, 0);
	log_warning("yes %d", 1);
	assert_string_equal(logged, "1 yes 1");
	log_set_sink(NULL);
	log_error("nobody");
	assert_int_equal(log_count, 1);
	log_set_sink(log_sink_stderr);
	log_set_level(LOG_LEVEL_INFO);
}

struct item {
	struct hash_node node;
	int key;
};

static struct item *find(struct hash_table *t, int key, uint64_t hash)
{
	struct hash_node *n;

	for (n = hash_first(t, hash); n != NULL; n = hash_next(n))
		if (container_of(n, struct item, node)->key == key)
			return container_of(n, struct item, node);
	return NULL;
}

static void hash_finds_what_is_in_it(void **state)
{
	/* Every hash is shared by four items, so that chains are real. */
	enum { COUNT = 4000 };
	struct item *items = calloc(COUNT, sizeof(*items));
	struct hash_table t;
	struct hash_node *n;
	int i, seen = 0;

	assert_int_equal(hash_init(&t, 0), 0);
	for (i = 0; i < COUNT; i++) {
		items[i].key = i;
		hash_insert(&t, &items[i].node, hash_u64((uint64_t)i / 4));
	}
	for (i = 0; i < COUNT; i++)
		assert_ptr_equal(find(&t, i, hash_u64((uint64_t)i / 4)),
				 &items[i]);
	assert_null(find(&t, COUNT, hash_u64(COUNT / 4)));
	for (i = 0; i < COUNT; i += 2)
		hash_remove(&t, &items[i].node);
	assert_int_equal(t.count, COUNT / 2);
	for (n = hash_walk(&t, NULL); n != NULL; n = hash_walk(&t, n)) {
		assert_int_equal(container_of(n, struct item, node)->key % 2, 1);
		seen++;
	}
	assert_int_equal(seen, COUNT / 2);
	for (i = 0; i < COUNT; i++)
		assert_int_equal(find(&t, i, hash_u64((uint64_t)i / 4)) != NULL,
				 i % 2);
	hash_release(&t);
	free(items);
}

static void hash_function_never_changes(void **state)
{
	/* First output of SplitMix64 seeded with 0; placement depends on it. */
	assert_true(hash_u64(0) == 0xe220a8397b1dcdafull);
	assert_true(hash_u64_pair(1, 2) != hash_u64_pair(2, 1));
}

static void pool_is_bounded(void **state)
{
	struct pool pool;
	void *a, *b;

	assert_int_equal(pool_init(&pool, 100, 64, 2), 0);
	a = pool_get(&pool);
	b = pool_get(&pool);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal((uintptr_t)a % 64, 0);
	assert_int_equal((char *)b - (char *)a, 128);
	assert_null(pool_get(&pool));
	pool_put(&pool, a);
	assert_ptr_equal(pool_get(&pool), a);
	pool_release(&pool);
}

static void no_fire(struct env_timer *timer)
{
}

static void timers_come_out_in_order(void **state)
{
	enum { COUNT = 1000 };
	static struct env_timer timers[COUNT];
	struct timer_heap heap;
	struct env_timer *t;
	uint64_t last = 0, order = 0;
	int i, popped = 0;

	assert_int_equal(timer_heap_init(&heap, 1), 0);
	srand(1);
	for (i = 0; i < COUNT; i++) {
		env_timer_init(&timers[i], no_fire);
		assert_int_equal(timer_heap_set(&heap, &timers[i],
						(uint64_t)rand() % 100), 0);
	}
	for (i = 0; i < COUNT; i += 3)
		timer_heap_cancel(&heap, &timers[i]);
	for (i = 1; i < COUNT; i += 3)
		assert_int_equal(timer_heap_set(&heap, &timers[i],
						(uint64_t)rand() % 100), 0);
	assert_null(timer_heap_pop(&heap, 0, 0));
	while ((t = timer_heap_pop(&heap, 99, UINT64_MAX)) != NULL) {
		assert_false(env_timer_armed(t));
		assert_int_not_equal((t - timers) % 3, 0);
		assert_true(t->when > last || (t->when == last &&
					       t->order > order));
		last = t->when;
		order = t->order;
		popped++;
	}
	assert_int_equal(popped, COUNT - DIV_ROUND_UP(COUNT, 3));
	timer_heap_free(&heap);
}

static void timer_turn_ends(void **state)
{
	struct timer_heap heap;
	struct env_timer t;
	uint64_t turn;

	assert_int_equal(timer_heap_init(&heap, 4), 0);
	env_timer_init(&t, no_fire);
	timer_heap_cancel(&heap, &t);
	assert_int_equal(timer_heap_set(&heap, &t, 5), 0);
	assert_null(timer_heap_pop(&heap, 4, UINT64_MAX));
	turn = timer_heap_turn(&heap);
	assert_ptr_equal(timer_heap_pop(&heap, 5, turn), &t);
	assert_int_equal(timer_heap_set(&heap, &t, 5), 0);
	assert_null(timer_heap_pop(&heap, 5, turn));
	assert_ptr_equal(timer_heap_first(&heap), &t);
	timer_heap_free(&heap);
	assert_false(env_timer_armed(&t));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_keeps_the_sentence),
		cmocka_unit_test(error_prefix_alone_keeps_strerror),
		cmocka_unit_test(error_cuts_what_is_too_long),
		cmocka_unit_test(log_goes_to_the_sink_from_its_level_on),
		cmocka_unit_test(hash_finds_what_is_in_it),
		cmocka_unit_test(hash_function_never_changes),
		cmocka_unit_test(pool_is_bounded),
		cmocka_unit_test(timers_come_out_in_order),
		cmocka_unit_test(timer_turn_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
