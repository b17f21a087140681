// SPDX-License-Identifier: Apache-2.0
/*
 * How the chunks of a log follow each other, from their records alone. Each
 * record carries the CRC of the header before it: so the first record of a
 * chunk says which record of another chunk it continues. Chunk numbers are
 * never used again, and a writer begins a chunk only where the log ends: of
 * two chunks that continue the same record the higher one counts, and what the
 * lower chunk has behind that record was given up. Pure functions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recover/internal.h"

struct chain_chunk *chain_find(const struct log_search *s, uint64_t number)
{
	uint32_t low = 0, high = s->chunk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->chunks[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->chunk_count && s->chunks[low].number == number ?
	       &s->chunks[low] : NULL;
}

/* By the sequence of the first record; of equal ones the higher number last. */
static int by_first(const struct log_search *s, uint32_t a, uint32_t b)
{
	uint64_t left = s->chunks[a].first_sequence;
	uint64_t right = s->chunks[b].first_sequence;

	if (left != right)
		return left < right ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int compare_first(const void *a, const void *b, void *s)
{
	return by_first(s, *(const uint32_t *)a, *(const uint32_t *)b);
}

int chain_index(struct log_search *s)
{
	free(s->by_first);
	s->by_first_count = 0;
	s->by_first = calloc(s->chunk_count + 1, sizeof(*s->by_first));
	if (!s->by_first)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->chunk_count; i++)
		if (s->chunks[i].count)
			s->by_first[s->by_first_count++] = i;
	qsort_r(s->by_first, s->by_first_count, sizeof(*s->by_first),
		compare_first, s);
	return 0;
}

const struct chain_chunk *chain_tip(const struct log_search *s)
{
	for (uint32_t i = s->chunk_count; i-- > 0;)
		if (s->chunks[i].count)
			return &s->chunks[i];
	return NULL;
}

int64_t chain_end_at(const struct chain_chunk *c, uint32_t block)
{
	uint32_t low = 0, high = c->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c->ends[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->count && c->ends[low].block == block ? (int64_t)low : -1;
}

/* The highest chunk above @above whose first record follows (sequence, crc). */
static const struct chain_chunk *successor(const struct log_search *s,
					   uint64_t above, uint64_t sequence,
					   uint32_t crc)
{
	uint32_t low = 0, high = s->by_first_count;
	const struct chain_chunk *c;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		c = &s->chunks[s->by_first[middle]];
		if (c->first_sequence <= sequence + 1)
			low = middle + 1;
		else
			high = middle;
	}
	while (low-- > 0) {
		c = &s->chunks[s->by_first[low]];
		if (c->first_sequence != sequence + 1 || c->number <= above)
			return NULL;
		if (c->first_prev_crc == crc)
			return c;
	}
	return NULL;
}

static int add_step(struct recover_path *path, const struct recover_step *step)
{
	struct recover_step *steps = recover_grow(path->steps, sizeof(*steps),
						  path->count, &path->room);

	if (!steps)
		return -ENOMEM;
	path->steps = steps;
	path->steps[path->count++] = *step;
	return 0;
}

void recover_path_release(struct recover_path *path)
{
	free(path->steps);
	memset(path, 0, sizeof(*path));
}

/* Index of the first record that may follow in @c; -1: none of its records. */
static int64_t begin_in(const struct chain_chunk *c, uint32_t block,
			uint64_t sequence, uint32_t crc)
{
	int64_t at;

	if (!c || !c->count)
		return -1;
	if (!block)
		return c->first_sequence == sequence + 1 &&
		       c->first_prev_crc == crc ? 0 : -1;
	at = chain_end_at(c, block);
	return at >= 0 && c->ends[at].crc == crc ? at + 1 : -1;
}

int chain_follow(const struct log_search *s, block_addr_t addr, uint64_t sequence,
		 uint32_t crc, struct recover_path *path)
{
	uint64_t number = block_addr_chunk(addr);
	uint32_t block = block_addr_block(addr);
	const struct chain_chunk *c, *next;

	memset(path, 0, sizeof(*path));
	for (;;) {
		int64_t at;
		struct recover_step step = { .chunk = number };

		c = chain_find(s, number);
		at = begin_in(c, block, sequence, crc);
		next = successor(s, number, sequence, crc);
		while (!next && at >= 0 && at < c->count) {
			sequence++;
			crc = c->ends[at].crc;
			block = c->ends[at++].block;
			next = successor(s, number, sequence, crc);
		}
		step.length = block;
		step.end_crc = block ? crc : 0;
		step.complete = c && block && c->last_end == block;
		step.next = next ? next->number : 0;
		if (add_step(path, &step))
			return -ENOMEM;
		if (!next)
			break;
		number = next->number;
		block = 0;
	}
	path->sequence = sequence;
	path->crc = crc;
	return 0;
}

bool chain_holds(const struct recover_path *path, const struct chain_root *root)
{
	for (uint32_t i = 0; i < path->count; i++)
		if (path->steps[i].chunk == block_addr_chunk(root->addr))
			return root->end <= path->steps[i].length;
	return false;
}
