/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of objects that embed a struct hash_node, and a hash function.
 * The table owns none of them. It grows by itself; where memory for that is
 * not to be had its chains just become longer, so that inserting never fails.
 *
 *	for (n = hash_first(&t, h); n != NULL; n = hash_next(n))
 *		if (my_key_matches(container_of(n, struct my, node)))
 */
#ifndef TORUS_BASE_HASH_H
#define TORUS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_node {
	struct hash_node *next;
	uint64_t hash;
};

struct hash_table {
	struct hash_node **bucket;
	size_t bucket_count;		/* a power of two */
	size_t count;			/* nodes */
};

/**
 * hash_init() - an empty table with room for @expected nodes before it grows.
 * Returns 0 or -ENOMEM.
 */
int hash_init(struct hash_table *table, size_t expected);

/** hash_release() - free the table's own memory; the nodes are the caller's. */
void hash_release(struct hash_table *table);

/** hash_insert() - add @node under @hash; equal hashes may be there already. */
void hash_insert(struct hash_table *table, struct hash_node *node,
		 uint64_t hash);

/** hash_remove() - take @node, which is in @table, out of it. */
void hash_remove(struct hash_table *table, struct hash_node *node);

/** hash_first() / hash_next() - nodes whose hash is equal to @hash. */
struct hash_node *hash_first(const struct hash_table *table, uint64_t hash);
struct hash_node *hash_next(const struct hash_node *node);

/**
 * hash_walk() - all nodes, in no order: NULL gives the first one. The node
 * that was returned last may be removed only after its successor was asked
 * for.
 */
struct hash_node *hash_walk(const struct hash_table *table,
			    const struct hash_node *previous);

/**
 * hash_u64() - a well mixed 64-bit function of @value: the finaliser of
 * SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
 * Generators, 2014). A bijection; the same on every machine.
 */
static inline uint64_t hash_u64(uint64_t value)
{
	value += 0x9e3779b97f4a7c15ull;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
	return value ^ (value >> 31);
}

/** hash_u64_pair() - the same of two values, whose order matters. */
static inline uint64_t hash_u64_pair(uint64_t a, uint64_t b)
{
	return hash_u64(hash_u64(a) ^ b);
}

#endif
