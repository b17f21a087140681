// SPDX-License-Identifier: Apache-2.0
/* How chunks follow each other, from made-up headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recover/internal.h"

#define CHUNKS_MAX 16u
#define RECORDS_MAX 8u

struct made {
	struct log_search s;
	struct chain_chunk chunks[CHUNKS_MAX];
	struct chain_end ends[CHUNKS_MAX][RECORDS_MAX];
};

/* The CRC of record @sequence as chunk @chunk has it. */
static uint32_t crc(uint64_t chunk, uint64_t sequence)
{
	return (uint32_t)(chunk * 1000 + sequence);
}

/* Records @first to @last of two blocks each; the first continues @prev. */
static struct chain_chunk *make(struct made *m, uint64_t number, uint64_t first,
				uint64_t last, uint32_t prev)
{
	uint32_t at = m->s.chunk_count++;
	struct chain_chunk *c = &m->chunks[at];

	*c = (struct chain_chunk){
		.number = number, .first_sequence = first,
		.first_prev_crc = prev, .ends = m->ends[at],
		.limit = CHUNK_BLOCKS_MAX,
	};
	for (uint64_t i = first; i <= last; i++)
		c->ends[c->count++] = (struct chain_end){
			2 * (uint32_t)(i - first + 1), crc(number, i) };
	return c;
}

static struct recover_path follow(struct made *m, block_addr_t addr,
				  uint64_t sequence, uint32_t from)
{
	struct recover_path path;

	m->s.chunks = m->chunks;
	assert_int_equal(chain_index(&m->s), 0);
	assert_int_equal(chain_follow(&m->s, addr, sequence, from, &path), 0);
	return path;
}

static void assert_step(const struct recover_path *path, uint32_t i,
			uint64_t chunk, uint32_t length, uint64_t next)
{
	assert_true(i < path->count);
	assert_int_equal(path->steps[i].chunk, chunk);
	assert_int_equal(path->steps[i].length, length);
	assert_int_equal(path->steps[i].next, next);
}

static void done(struct made *m, struct recover_path *path)
{
	recover_path_release(path);
	free(m->s.by_first);
	free(m);
}

static void test_an_empty_log_ends_where_it_begins(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path = follow(m, block_addr(1, 0), 0, 0);

	assert_int_equal(path.count, 1);
	assert_step(&path, 0, 1, 0, 0);
	assert_int_equal(path.sequence, 0);
	done(m, &path);
}

static void test_full_chunks_lead_to_the_next_number(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path;

	make(m, 1, 1, 3, 0)->last_end = 6;
	make(m, 2, 4, 5, crc(1, 3));
	path = follow(m, block_addr(1, 0), 0, 0);
	assert_int_equal(path.count, 2);
	assert_step(&path, 0, 1, 6, 2);
	assert_true(path.steps[0].complete);
	assert_step(&path, 1, 2, 4, 0);
	assert_false(path.steps[1].complete);
	assert_int_equal(path.sequence, 5);
	assert_int_equal(path.crc, crc(2, 5));
	done(m, &path);
}

/* 3 and 4 of chunk 1 were given up for those of chunk 9. */
static void test_the_higher_chunk_counts(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path;

	make(m, 1, 1, 4, 0);
	make(m, 5, 3, 3, crc(1, 2));
	make(m, 9, 3, 4, crc(1, 2));
	path = follow(m, block_addr(1, 0), 0, 0);
	assert_int_equal(path.count, 2);
	assert_step(&path, 0, 1, 4, 9);
	assert_step(&path, 1, 9, 4, 0);
	assert_int_equal(path.sequence, 4);
	done(m, &path);
}

static void test_other_records_of_the_same_sequence_are_no_successors(
	void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path;

	make(m, 1, 1, 3, 0);
	make(m, 9, 3, 4, crc(7, 2));
	path = follow(m, block_addr(1, 0), 0, 0);
	assert_int_equal(path.count, 1);
	assert_step(&path, 0, 1, 6, 0);
	assert_int_equal(chain_tip(&m->s)->number, 9);
	done(m, &path);
}

/* A root says (chunk, block) of a chunk whose rest was given up, or which is
 * not there any more. */
static void test_the_log_goes_on_elsewhere_at_once(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path;

	make(m, 9, 3, 4, crc(1, 2));
	path = follow(m, block_addr(1, 4), 2, crc(1, 2));
	assert_int_equal(path.count, 2);
	assert_step(&path, 0, 1, 4, 9);
	assert_int_equal(path.steps[0].end_crc, crc(1, 2));
	assert_step(&path, 1, 9, 4, 0);
	done(m, &path);
}

static void test_a_block_that_ends_no_record_is_a_gap(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct recover_path path;

	make(m, 1, 1, 4, 0);
	path = follow(m, block_addr(1, 3), 2, crc(1, 2));
	assert_int_equal(path.count, 1);
	assert_int_equal(path.sequence, 2);
	recover_path_release(&path);
	path = follow(m, block_addr(1, 4), 2, crc(3, 2));
	assert_int_equal(path.sequence, 2);
	done(m, &path);
}

static void test_paths_hold_the_roots_on_them(void **state)
{
	struct made *m = calloc(1, sizeof(*m));
	struct chain_root root = { .addr = block_addr(9, 2), .end = 4 };
	struct recover_path path;

	make(m, 1, 1, 2, 0);
	make(m, 9, 3, 4, crc(1, 2));
	path = follow(m, block_addr(1, 0), 0, 0);
	assert_true(chain_holds(&path, &root));
	root.end = 6;
	assert_false(chain_holds(&path, &root));
	root.addr = block_addr(5, 2);
	root.end = 2;
	assert_false(chain_holds(&path, &root));
	done(m, &path);
}

/* What does not follow by number is listed; a chunk with few copies, too. */
static void test_the_sealed_list_leads_along_the_path(void **state)
{
	struct recover_step steps[] = {
		{ .chunk = 1, .next = 2, .length = 6, .complete = true,
		  .copies = 3 },
		{ .chunk = 2, .next = 3, .length = 6, .complete = true,
		  .copies = 1 },
		{ .chunk = 3, .next = 9, .length = 4, .end_crc = 7,
		  .copies = 3 },
		{ .chunk = 9, .next = 0, .length = 2, .copies = 3 },
	};
	struct recover_path path = { .steps = steps, .count = 4 };
	struct recover_volume *v = calloc(1, sizeof(*v));

	assert_non_null(v);
	v->doc.replication = 3;
	v->doc.next_chunk = 100;
	assert_int_equal(recover_list_sealed(v, &path), 0);
	assert_int_equal(v->doc.sealed_count, 3);
	assert_int_equal(v->doc.sealed[0].chunk, 3);
	assert_int_equal(v->doc.sealed[0].next, 9);
	assert_int_equal(v->doc.sealed[0].end_crc, 7);
	assert_int_equal(v->doc.sealed[1].chunk, 9);
	assert_int_equal(v->doc.sealed[1].next, 100);
	assert_int_equal(v->doc.sealed[2].chunk, 2);
	assert_int_equal(v->doc.sealed[2].next, 3);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_log_ends_where_it_begins),
		cmocka_unit_test(test_full_chunks_lead_to_the_next_number),
		cmocka_unit_test(test_the_higher_chunk_counts),
		cmocka_unit_test(
			test_other_records_of_the_same_sequence_are_no_successors),
		cmocka_unit_test(test_the_log_goes_on_elsewhere_at_once),
		cmocka_unit_test(test_a_block_that_ends_no_record_is_a_gap),
		cmocka_unit_test(test_paths_hold_the_roots_on_them),
		cmocka_unit_test(test_the_sealed_list_leads_along_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
