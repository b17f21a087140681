// SPDX-License-Identifier: Apache-2.0
/*
 * Shape of the tree: all leaves lie at the same depth (node.level 0). An inner
 * node's key[i] is a lower bound of what lies below child[i]; key[0] is not
 * looked at, the leftmost child takes everything below key[1].
 *
 * Insertion splits full nodes on the way down, so that it needs no way back
 * up, and a failed allocation leaves a correct tree. A node that is full and
 * receives a key above all of its own keeps its entries and only the last one
 * moves: ascending insertion, the sequential write, gives full leaves.
 *
 * Erasing frees empty nodes and joins neighbours that together fill half of a
 * node; it never allocates and does not otherwise rebalance.
 */
#include "base/btree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Freed nodes kept for reuse beyond what is reserved. */
#define SPARE_KEPT	64u

struct btree_node {
	uint16_t level;			/* 0 = leaf */
	uint16_t count;
	struct btree_node *next_spare;	/* in the pool only */
	uint64_t key[BTREE_ORDER];
	union {
		struct btree_value value[BTREE_ORDER];
		struct btree_node *child[BTREE_ORDER];
	};
};

size_t btree_node_size(void)
{
	return sizeof(struct btree_node);
}

static void spare_put(struct btree_pool *pool, struct btree_node *node)
{
	if (pool->spare_count >= pool->reserved + SPARE_KEPT) {
		free(node);
		return;
	}
	node->next_spare = pool->spare;
	pool->spare = node;
	pool->spare_count++;
}

static struct btree_node *spare_get(struct btree_pool *pool)
{
	struct btree_node *node = pool->spare;

	if (!node)
		return malloc(sizeof(*node));
	pool->spare = node->next_spare;
	pool->spare_count--;
	return node;
}

int btree_pool_reserve(struct btree_pool *pool, size_t nodes)
{
	pool->reserved += nodes;
	while (pool->spare_count < pool->reserved) {
		struct btree_node *node = malloc(sizeof(*node));

		if (!node) {
			pool->reserved -= nodes;
			return -ENOMEM;
		}
		spare_put(pool, node);
	}
	return 0;
}

void btree_pool_unreserve(struct btree_pool *pool, size_t nodes)
{
	assert(pool->reserved >= nodes);
	pool->reserved -= nodes;
}

void btree_pool_release(struct btree_pool *pool)
{
	while (pool->spare_count)
		free(spare_get(pool));
	pool->reserved = 0;
}

static struct btree_node *node_new(struct btree *tree, unsigned int level)
{
	struct btree_node *node = spare_get(tree->pool);

	if (!node)
		return NULL;
	node->level = level;
	node->count = 0;
	tree->nodes++;
	return node;
}

static void node_free(struct btree *tree, struct btree_node *node)
{
	tree->nodes--;
	spare_put(tree->pool, node);
}

static void subtree_free(struct btree *tree, struct btree_node *node)
{
	if (node->level)
		for (unsigned int i = 0; i < node->count; i++)
			subtree_free(tree, node->child[i]);
	else
		tree->entries -= node->count;
	node_free(tree, node);
}

void btree_release(struct btree *tree)
{
	if (tree->root)
		subtree_free(tree, tree->root);
	tree->root = NULL;
	assert(!tree->entries && !tree->nodes);
}

/* The lowest index from @low on whose key is not below @key, or the count. */
static unsigned int bound_from(const struct btree_node *node, unsigned int low,
			       uint64_t key)
{
	unsigned int high = node->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (node->key[mid] < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static unsigned int lower_bound(const struct btree_node *node, uint64_t key)
{
	return bound_from(node, 0, key);
}

/* The child of an inner node below which @key belongs. */
static unsigned int child_index(const struct btree_node *node, uint64_t key)
{
	unsigned int i = bound_from(node, 1, key);

	return i < node->count && node->key[i] == key ? i : i - 1;
}

struct btree_value *btree_find(const struct btree *tree, uint64_t key)
{
	struct btree_node *node = tree->root;
	unsigned int i;

	if (!node)
		return NULL;
	while (node->level)
		node = node->child[child_index(node, key)];
	i = lower_bound(node, key);
	if (i == node->count || node->key[i] != key)
		return NULL;
	return &node->value[i];
}

static size_t slot_size(const struct btree_node *node)
{
	return node->level ? sizeof(node->child[0]) : sizeof(node->value[0]);
}

static void *slot(struct btree_node *node, unsigned int i)
{
	return (char *)node->value + i * slot_size(node);
}

static void move_slots(struct btree_node *to, unsigned int to_index,
		       struct btree_node *from, unsigned int from_index,
		       unsigned int count)
{
	memmove(&to->key[to_index], &from->key[from_index],
		count * sizeof(to->key[0]));
	memmove(slot(to, to_index), slot(from, from_index),
		count * slot_size(from));
}

static void open_slot(struct btree_node *node, unsigned int i)
{
	move_slots(node, i + 1, node, i, node->count - i);
	node->count++;
}

static void close_slots(struct btree_node *node, unsigned int from,
			unsigned int to)
{
	move_slots(node, from, node, to, node->count - to);
	node->count -= to - from;
}

/* Split the full child @i of @parent, which has room, to make way for @key. */
static int split_child(struct btree *tree, struct btree_node *parent,
		       unsigned int i, uint64_t key)
{
	struct btree_node *left = parent->child[i];
	struct btree_node *right = node_new(tree, left->level);
	unsigned int keep = BTREE_ORDER / 2;

	if (!right)
		return -ENOMEM;
	if (key > left->key[BTREE_ORDER - 1])
		keep = BTREE_ORDER - 1;
	move_slots(right, 0, left, keep, BTREE_ORDER - keep);
	right->count = BTREE_ORDER - keep;
	left->count = keep;
	open_slot(parent, i + 1);
	parent->key[i + 1] = right->key[0];
	parent->child[i + 1] = right;
	return 0;
}

/* Make sure that the root exists and is not full. */
static int prepare_root(struct btree *tree, uint64_t key)
{
	struct btree_node *old = tree->root, *top;
	int ret;

	if (old && old->count < BTREE_ORDER)
		return 0;
	top = node_new(tree, old ? old->level + 1 : 0);
	if (!top)
		return -ENOMEM;
	if (old) {
		top->count = 1;
		top->key[0] = old->key[0];
		top->child[0] = old;
		ret = split_child(tree, top, 0, key);
		if (ret) {
			node_free(tree, top);
			return ret;
		}
	}
	tree->root = top;
	return 0;
}

static int descend_splitting(struct btree *tree, uint64_t key,
			     struct btree_node **leaf)
{
	struct btree_node *node;
	int ret = prepare_root(tree, key);

	if (ret)
		return ret;
	node = tree->root;
	while (node->level) {
		unsigned int i = child_index(node, key);

		if (node->child[i]->count == BTREE_ORDER) {
			ret = split_child(tree, node, i, key);
			if (ret)
				return ret;
			i = child_index(node, key);
		}
		node = node->child[i];
	}
	*leaf = node;
	return 0;
}

int btree_insert(struct btree *tree, uint64_t key,
		 const struct btree_value *value, struct btree_value *old)
{
	struct btree_value *present = btree_find(tree, key);
	struct btree_node *leaf;
	unsigned int i;
	int ret;

	if (present) {
		if (old)
			*old = *present;
		*present = *value;
		return 1;
	}
	ret = descend_splitting(tree, key, &leaf);
	if (ret)
		return ret;
	i = lower_bound(leaf, key);
	open_slot(leaf, i);
	leaf->key[i] = key;
	leaf->value[i] = *value;
	tree->entries++;
	return 0;
}

/* Join neighbours among the children [from, to) that are mostly empty. */
static void join_children(struct btree *tree, struct btree_node *node,
			  unsigned int from, unsigned int to)
{
	unsigned int i = from;

	while (i + 1 < to && i + 1 < node->count) {
		struct btree_node *left = node->child[i];
		struct btree_node *right = node->child[i + 1];

		if (left->count + right->count > BTREE_ORDER / 2) {
			i++;
			continue;
		}
		if (left->level)
			right->key[0] = node->key[i + 1];
		move_slots(left, left->count, right, 0, right->count);
		left->count += right->count;
		node_free(tree, right);
		close_slots(node, i + 1, i + 2);
		to--;
	}
}

static void erase_below(struct btree *tree, struct btree_node *node,
			uint64_t first, uint64_t last)
{
	unsigned int from, to, kept;

	if (!node->level) {
		from = lower_bound(node, first);
		to = last == UINT64_MAX ? node->count :
			lower_bound(node, last + 1);
		close_slots(node, from, to);
		tree->entries -= to - from;
		return;
	}
	from = kept = child_index(node, first);
	to = child_index(node, last) + 1;
	for (unsigned int i = from; i < to; i++) {
		erase_below(tree, node->child[i], first, last);
		if (!node->child[i]->count) {
			node_free(tree, node->child[i]);
			continue;
		}
		node->key[kept] = node->key[i];
		node->child[kept++] = node->child[i];
	}
	close_slots(node, kept, to);
	join_children(tree, node, from ? from - 1 : 0, kept + 1);
}

void btree_erase(struct btree *tree, uint64_t first, uint64_t last)
{
	struct btree_node *root = tree->root;

	if (!root || first > last)
		return;
	erase_below(tree, root, first, last);
	while (root && (!root->count || (root->level && root->count == 1))) {
		tree->root = root->count ? root->child[0] : NULL;
		node_free(tree, root);
		root = tree->root;
	}
}

static bool cursor_at(struct btree_cursor *cursor, const struct btree *tree,
		      const struct btree_node *leaf, unsigned int index)
{
	cursor->tree = tree;
	cursor->leaf = leaf;
	cursor->index = index;
	cursor->key = leaf->key[index];
	cursor->value = leaf->value[index];
	return true;
}

bool btree_seek(const struct btree *tree, uint64_t key,
		struct btree_cursor *cursor)
{
	const struct btree_node *node = tree->root, *later = NULL;
	unsigned int i;

	if (!node)
		return false;
	while (node->level) {
		i = child_index(node, key);
		if (i + 1 < node->count)
			later = node->child[i + 1];
		node = node->child[i];
	}
	i = lower_bound(node, key);
	if (i < node->count)
		return cursor_at(cursor, tree, node, i);
	if (!later)
		return false;
	while (later->level)
		later = later->child[0];
	return cursor_at(cursor, tree, later, 0);
}

bool btree_floor(const struct btree *tree, uint64_t key,
		 struct btree_cursor *cursor)
{
	const struct btree_node *node = tree->root, *earlier = NULL;
	unsigned int i;

	if (!node)
		return false;
	while (node->level) {
		i = child_index(node, key);
		if (i)
			earlier = node->child[i - 1];
		node = node->child[i];
	}
	i = lower_bound(node, key);
	if (i < node->count && node->key[i] == key)
		return cursor_at(cursor, tree, node, i);
	if (i)
		return cursor_at(cursor, tree, node, i - 1);
	if (!earlier)
		return false;
	while (earlier->level)
		earlier = earlier->child[earlier->count - 1];
	return cursor_at(cursor, tree, earlier, earlier->count - 1);
}

bool btree_next(struct btree_cursor *cursor)
{
	if (cursor->index + 1 < cursor->leaf->count)
		return cursor_at(cursor, cursor->tree, cursor->leaf,
				 cursor->index + 1);
	if (cursor->key == UINT64_MAX)
		return false;
	return btree_seek(cursor->tree, cursor->key + 1, cursor);
}
