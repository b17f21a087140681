// SPDX-License-Identifier: Apache-2.0
/*
 * The chunk table against an array: records appended, blocks that die, chunks
 * dropped, over checkpoints that are committed or aborted, and reopening.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "volume/chunk_table.h"

#define CHUNKS	5000u
#define PAGES	60000u

struct model {
	bool live;
	uint32_t length;
	int32_t blocks;
};

static struct model model[CHUNKS];
static uint8_t (*pages)[BLOCK_SIZE];
static uint32_t page_count;
static struct list_head loads;
static struct chunk_table *table;
static struct map_entry root;
static uint64_t next_chunk, seed;
static bool checkpointing;
static uint64_t dropped_chunks;		/* on the list of no root yet */

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

static void load_page(void *ctx, struct map_page_load *load)
{
	(void)ctx;
	list_add_tail(&load->node, &loads);
}

static const struct map_owner_ops ops = { .load_page = load_page };

static bool answer_load(void)
{
	struct map_page_load *load;

	if (list_empty(&loads))
		return false;
	load = list_first_entry(&loads, struct map_page_load, node);
	list_del_init(&load->node);
	memcpy(load->page, pages[load->entry.addr - block_addr(1, 0)],
	       BLOCK_SIZE);
	map_page_loaded(load, 0);
	return true;
}

static void open_table(const struct map_entry *top)
{
	struct chunk_table_config cfg = {
		.next_chunk = next_chunk, .ops = &ops, .cache_limit = 1,
	};

	table = chunk_table_new(&cfg, top);
	assert_non_null(table);
}

/* ---- reading ---------------------------------------------------------- */

static void check_entries(struct map_lookup *lookup, int err)
{
	assert_int_equal(err, 0);
	for (uint32_t i = 0; i < lookup->count; i++) {
		const struct model *m = &model[lookup->first + i];
		int32_t want = m->blocks < 0 ? 0 : m->blocks;
		struct chunk_info info;

		chunk_info_decode(&lookup->entries[i], &info);
		assert_int_equal(info.live, m->live);
		if (!m->live)
			continue;
		assert_int_equal(info.length, m->length);
		if ((uint32_t)want > m->length)
			want = m->length;
		assert_int_equal(info.live_blocks, want);
	}
	lookup->count = 0;
}

static void check_all(void)
{
	static struct map_entry entries[RECORD_PAYLOAD_BLOCKS_MAX];

	while (answer_load())
		;
	for (uint64_t first = 0; first < CHUNKS; first += 250) {
		struct map_lookup lookup = {
			.first = first, .count = 250, .entries = entries,
			.done = check_entries,
		};

		if (map_lookup(chunk_table_map(table), &lookup) == 0)
			check_entries(&lookup, 0);
		while (lookup.count)
			assert_true(answer_load());
	}
}

/* ---- checkpoints ------------------------------------------------------ */

static void place(struct map_dirty_page *page)
{
	assert_true(page_count < PAGES);
	memcpy(pages[page_count], page->page, BLOCK_SIZE);
	map_checkpoint_placed(chunk_table_map(table), page,
			      block_addr(1, 0) + page_count,
			      crc32c(0, page->page, BLOCK_SIZE));
	page_count++;
}

static void no_ready(void *ctx)
{
	(void)ctx;
}

static void commit(const struct map_entry *top)
{
	const uint64_t *freed;
	uint32_t count = chunk_table_freed(table, &freed);

	for (uint32_t i = 0; i + 1 < count; i++)
		assert_true(freed[i] < freed[i + 1]);
	assert_true(count <= dropped_chunks);
	dropped_chunks -= count;
	root = *top;
	chunk_table_checkpoint_commit(table, top);
	checkpointing = false;
}

static void checkpoint_step(void)
{
	struct map_dirty_page *page;
	struct map_entry top;
	int ret = map_checkpoint_next(chunk_table_map(table), &page, &top,
				      no_ready, NULL);

	if (ret == 0)
		place(page);
	else if (ret == -ENODATA)
		commit(&top);
	else
		assert_int_equal(ret, -EAGAIN);
}

static void begin(void)
{
	assert_int_equal(chunk_table_checkpoint_begin(table), 0);
	checkpointing = true;
}

static void abort_checkpoint(void)
{
	chunk_table_checkpoint_abort(table);
	checkpointing = false;
}

static void finish_checkpoint(void)
{
	while (checkpointing) {
		checkpoint_step();
		answer_load();
	}
}

/* ---- changes ---------------------------------------------------------- */

static void append(uint64_t chunk)
{
	struct model *m = &model[chunk];
	uint32_t blocks = 2 + draw(200), live = blocks - 1;

	if (m->length + blocks > CHUNK_BLOCKS_MAX)
		return;
	assert_int_equal(chunk_table_append(table, chunk, m->length, blocks,
					    live), 0);
	m->live = true;
	m->length += blocks;
	m->blocks += live;
}

static void drop(uint64_t chunk)
{
	assert_int_equal(chunk_table_drop(table, chunk), 0);
	model[chunk].live = false;
	dropped_chunks++;
}

static void change(void)
{
	uint64_t chunk;

	if (draw(20) == 0 && next_chunk + 40 < CHUNKS) {
		next_chunk += 1 + draw(40);
		append(next_chunk - 1);
		return;
	}
	chunk = 1 + draw(next_chunk - 1);
	if (draw(30) == 0 && model[chunk].live) {
		drop(chunk);
	} else if (draw(2)) {
		/* The newest ones grow. */
		chunk = next_chunk - 1;
		if (model[chunk].live)
			append(chunk);
	} else {
		int32_t delta = -(int32_t)draw(30);

		assert_int_equal(chunk_table_adjust(table, chunk, delta), 0);
		if (model[chunk].live)
			model[chunk].blocks += delta;
	}
}

static void bed_init(void)
{
	static const struct map_entry empty;

	memset(model, 0, sizeof(model));
	pages = malloc((size_t)PAGES * BLOCK_SIZE);
	assert_non_null(pages);
	page_count = 1;
	list_init(&loads);
	next_chunk = 2;
	checkpointing = false;
	dropped_chunks = 0;
	open_table(&empty);
}

static void bed_release(void)
{
	chunk_table_free(table);
	free(pages);
}

static void agrees_with_an_array(void **state)
{
	(void)state;
	for (int round = 0; round < 8; round++) {
		seed = 50 + round;
		bed_init();
		append(1);
		for (int i = 0; i < 20000; i++) {
			if (draw(3) == 0)
				change();
			else if (draw(2))
				answer_load();
			else if (checkpointing)
				checkpoint_step();
			else if (draw(100) == 0)
				begin();
			if (checkpointing && draw(400) == 0)
				abort_checkpoint();
			if (i % 4000 == 0)
				check_all();
		}
		finish_checkpoint();
		begin();
		finish_checkpoint();
		assert_int_equal(dropped_chunks, 0);
		check_all();
		chunk_table_free(table);
		open_table(&root);
		check_all();
		bed_release();
	}
}

static void an_open_chunk_of_the_root_goes_on(void **state)
{
	(void)state;
	seed = 1;
	bed_init();
	append(1);
	begin();
	append(1);	/* above what is frozen */
	finish_checkpoint();
	check_all();
	append(1);
	check_all();
	begin();
	finish_checkpoint();
	check_all();
	bed_release();
}

static void dead_chunks_do_not_come_back(void **state)
{
	(void)state;
	seed = 2;
	bed_init();
	append(1);
	append(1);
	drop(1);
	assert_int_equal(chunk_table_adjust(table, 1, -3), 0);
	check_all();
	begin();
	finish_checkpoint();
	assert_int_equal(root.addr, 0);
	assert_int_equal(chunk_table_adjust(table, 1, -3), 0);
	check_all();
	bed_release();
}

static void impossible_chunks_are_refused(void **state)
{
	(void)state;
	bed_init();
	assert_int_equal(chunk_table_append(table, 0, 0, 5, 4), -ERANGE);
	assert_int_equal(chunk_table_append(table, CHUNK_NUMBER_MAX + 1, 0, 5,
					    4), -ERANGE);
	assert_int_equal(chunk_table_append(table, MAP_BLOCKS_MAX, 0, 5, 4),
			 -ERANGE);
	assert_int_equal(chunk_table_drop(table, 0), -ERANGE);
	assert_int_equal(chunk_table_drop(table, 1 << 20), -ERANGE);
	bed_release();
}

static void the_list_of_freed_chunks_is_bounded(void **state)
{
	static const struct map_entry empty;
	const uint64_t *freed;

	(void)state;
	bed_init();
	chunk_table_free(table);
	next_chunk = ROOT_FREED_MAX + 10;
	open_table(&empty);
	for (uint32_t i = ROOT_FREED_MAX; i > 0; i--)
		assert_int_equal(chunk_table_drop(table, i), 0);
	assert_int_equal(chunk_table_drop(table, ROOT_FREED_MAX + 1),
			 -EAGAIN);
	dropped_chunks = ROOT_FREED_MAX;
	begin();
	assert_int_equal(chunk_table_freed(table, &freed), ROOT_FREED_MAX);
	assert_int_equal(freed[0], 1);
	finish_checkpoint();
	assert_int_equal(chunk_table_drop(table, ROOT_FREED_MAX + 1), 0);
	bed_release();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(an_open_chunk_of_the_root_goes_on),
		cmocka_unit_test(dead_chunks_do_not_come_back),
		cmocka_unit_test(impossible_chunks_are_refused),
		cmocka_unit_test(the_list_of_freed_chunks_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
