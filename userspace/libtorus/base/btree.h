/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered map from 64-bit keys to 16-byte values, for large numbers of
 * entries in little memory: a B+tree whose nodes all have one size and come
 * from a pool, so that an owner can secure the memory of later insertions
 * before it commits itself to them.
 */
#ifndef TORUS_BASE_BTREE_H
#define TORUS_BASE_BTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BTREE_ORDER	64u	/* entries of a leaf, children of a node */

struct btree_value {
	uint64_t a, b;
};

struct btree_node;

/* Shared by the trees of one owner; zero-initialised is empty. */
struct btree_pool {
	struct btree_node *spare;
	size_t spare_count;
	size_t reserved;	/* spare nodes that must be kept */
};

/* Zero-initialised but for the pool is an empty tree. */
struct btree {
	struct btree_pool *pool;
	struct btree_node *root;
	size_t entries;
	size_t nodes;
};

/** btree_node_size() - bytes of one node, for accounting. */
size_t btree_node_size(void);

static inline size_t btree_bytes(const struct btree *tree)
{
	return tree->nodes * btree_node_size();
}

/**
 * btree_pool_reserve() - keep memory for @nodes more nodes than before.
 * Returns 0, or -ENOMEM with nothing changed. Undone by
 * btree_pool_unreserve() with the same number.
 */
int btree_pool_reserve(struct btree_pool *pool, size_t nodes);
void btree_pool_unreserve(struct btree_pool *pool, size_t nodes);

/** btree_pool_release() - free the spare nodes; its trees are empty by now. */
void btree_pool_release(struct btree_pool *pool);

static inline void btree_init(struct btree *tree, struct btree_pool *pool)
{
	*tree = (struct btree){ .pool = pool };
}

/** btree_release() - drop all entries. */
void btree_release(struct btree *tree);

/** btree_find() - the value of @key, to be read or changed, or NULL. */
struct btree_value *btree_find(const struct btree *tree, uint64_t key);

/**
 * btree_insert() - add @key, or replace its value.
 * @old: if not NULL, gets the value that was replaced.
 * Returns 0 (added), 1 (replaced) or -ENOMEM (nothing changed).
 */
int btree_insert(struct btree *tree, uint64_t key,
		 const struct btree_value *value, struct btree_value *old);

/** btree_erase() - drop all keys from @first to @last, both included. */
void btree_erase(struct btree *tree, uint64_t first, uint64_t last);

/* A position; good until the tree changes. */
struct btree_cursor {
	const struct btree *tree;
	const struct btree_node *leaf;
	unsigned int index;
	uint64_t key;
	struct btree_value value;
};

/** btree_seek() - go to the lowest key >= @key; false: there is none. */
bool btree_seek(const struct btree *tree, uint64_t key,
		struct btree_cursor *cursor);

/** btree_floor() - go to the highest key <= @key; false: there is none. */
bool btree_floor(const struct btree *tree, uint64_t key,
		 struct btree_cursor *cursor);

/** btree_next() - go on to the next key; false: there is none. */
bool btree_next(struct btree_cursor *cursor);

#endif
