// SPDX-License-Identifier: Apache-2.0
/* The B+tree against a plain array, with random operations. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/btree.h"

#define KEYS 6000u

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* value.a of each key, 0 = absent. */
static uint64_t model[KEYS];

static void check_all(const struct btree *tree)
{
	struct btree_cursor cursor;
	size_t present = 0;
	uint64_t key = 0;
	bool more = btree_seek(tree, 0, &cursor);

	for (key = 0; key < KEYS; key++) {
		if (!model[key])
			continue;
		present++;
		assert_true(more);
		assert_int_equal(cursor.key, key);
		assert_int_equal(cursor.value.a, model[key]);
		more = btree_next(&cursor);
	}
	assert_false(more);
	assert_int_equal(tree->entries, present);
}

static void check_neighbours(const struct btree *tree, uint64_t key)
{
	struct btree_cursor cursor;
	int64_t below = key;
	uint64_t above = key;

	while (below >= 0 && !model[below])
		below--;
	while (above < KEYS && !model[above])
		above++;
	assert_int_equal(btree_floor(tree, key, &cursor), below >= 0);
	if (below >= 0)
		assert_int_equal(cursor.key, below);
	assert_int_equal(btree_seek(tree, key, &cursor), above < KEYS);
	if (above < KEYS)
		assert_int_equal(cursor.key, above);
	assert_int_equal(btree_find(tree, key) != NULL, model[key] != 0);
}

static void insert_one(struct btree *tree, uint64_t key)
{
	struct btree_value value = { .a = 1 + draw(1u << 30) }, old;
	int ret = btree_insert(tree, key, &value, &old);

	assert_int_equal(ret, model[key] ? 1 : 0);
	if (ret)
		assert_int_equal(old.a, model[key]);
	model[key] = value.a;
}

static void step(struct btree *tree)
{
	uint64_t first = draw(KEYS), last;

	switch (draw(8)) {
	case 0:
		last = first + (draw(4) ? draw(20) : draw(2000));
		btree_erase(tree, first, last);
		for (uint64_t i = first; i <= last && i < KEYS; i++)
			model[i] = 0;
		break;
	case 1:
		for (uint64_t i = first; i < KEYS && i < first + 100; i++)
			insert_one(tree, i);
		break;
	default:
		insert_one(tree, first);
		break;
	}
	check_neighbours(tree, draw(KEYS));
}

static void agrees_with_an_array(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct btree_pool pool = { 0 };
		struct btree tree;

		seed = 1000 + round;
		memset(model, 0, sizeof(model));
		btree_init(&tree, &pool);
		for (int i = 0; i < 4000; i++) {
			step(&tree);
			if (i % 500 == 0)
				check_all(&tree);
		}
		check_all(&tree);
		btree_erase(&tree, 0, UINT64_MAX);
		assert_int_equal(tree.entries, 0);
		assert_int_equal(tree.nodes, 0);
		btree_release(&tree);
		btree_pool_release(&pool);
	}
}

static void ascending_keys_fill_their_leaves(void **state)
{
	struct btree_pool pool = { 0 };
	struct btree_value value = { .a = 1 };
	struct btree tree;

	(void)state;
	btree_init(&tree, &pool);
	for (uint64_t i = 0; i < 100000; i++)
		assert_int_equal(btree_insert(&tree, i, &value, NULL), 0);
	assert_true(btree_bytes(&tree) / 100000 < 28);
	btree_release(&tree);
	btree_pool_release(&pool);
}

static void reserved_nodes_stay_available(void **state)
{
	struct btree_pool pool = { 0 };
	struct btree tree;

	(void)state;
	btree_init(&tree, &pool);
	assert_int_equal(btree_pool_reserve(&pool, 500), 0);
	assert_true(pool.spare_count >= 500);
	memset(model, 0, sizeof(model));
	for (uint64_t i = 0; i < 1000; i++)
		insert_one(&tree, i);
	assert_true(pool.spare_count >= 400);
	btree_pool_unreserve(&pool, 500);
	btree_release(&tree);
	assert_true(pool.spare_count < 1000);
	btree_pool_release(&pool);
	assert_int_equal(pool.spare_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(ascending_keys_fill_their_leaves),
		cmocka_unit_test(reserved_nodes_stay_available),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
