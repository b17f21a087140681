// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 16u

static struct hash_node **bucket_of(const struct hash_table *table,
				    uint64_t hash)
{
	return &table->bucket[hash & (table->bucket_count - 1)];
}

int hash_init(struct hash_table *table, size_t expected)
{
	size_t count = BUCKETS_MIN;

	while (count < expected)
		count *= 2;
	table->bucket = calloc(count, sizeof(*table->bucket));
	if (table->bucket == NULL)
		return -ENOMEM;
	table->bucket_count = count;
	table->count = 0;
	return 0;
}

void hash_release(struct hash_table *table)
{
	free(table->bucket);
	table->bucket = NULL;
	table->bucket_count = 0;
	table->count = 0;
}

static void link_node(struct hash_table *table, struct hash_node *node)
{
	struct hash_node **bucket = bucket_of(table, node->hash);

	node->next = *bucket;
	*bucket = node;
}

static void grow(struct hash_table *table)
{
	struct hash_node **old = table->bucket;
	size_t old_count = table->bucket_count, i;
	struct hash_node **new = calloc(old_count * 2, sizeof(*new));

	if (new == NULL)
		return;
	table->bucket = new;
	table->bucket_count = old_count * 2;
	for (i = 0; i < old_count; i++) {
		struct hash_node *node = old[i], *next;

		for (; node != NULL; node = next) {
			next = node->next;
			link_node(table, node);
		}
	}
	free(old);
}

void hash_insert(struct hash_table *table, struct hash_node *node,
		 uint64_t hash)
{
	if (table->count >= table->bucket_count)
		grow(table);
	node->hash = hash;
	link_node(table, node);
	table->count++;
}

void hash_remove(struct hash_table *table, struct hash_node *node)
{
	struct hash_node **at = bucket_of(table, node->hash);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	table->count--;
}

static struct hash_node *match(struct hash_node *node, uint64_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

struct hash_node *hash_first(const struct hash_table *table, uint64_t hash)
{
	return match(*bucket_of(table, hash), hash);
}

struct hash_node *hash_next(const struct hash_node *node)
{
	return match(node->next, node->hash);
}

struct hash_node *hash_walk(const struct hash_table *table,
			    const struct hash_node *previous)
{
	size_t i = 0;

	if (previous != NULL) {
		if (previous->next != NULL)
			return previous->next;
		i = (previous->hash & (table->bucket_count - 1)) + 1;
	}
	for (; i < table->bucket_count; i++)
		if (table->bucket[i] != NULL)
			return table->bucket[i];
	return NULL;
}
