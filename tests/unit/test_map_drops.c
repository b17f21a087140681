// SPDX-License-Identifier: Apache-2.0
/* What a checkpoint tells of what it drops, and pages it is asked to write
 * anew. Pages are loaded at once, from an array. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "volume/map.h"

#define BLOCKS	(256u * 256 * 2)	/* three levels */
#define PAGES	4096u

struct bed {
	struct map *map;
	struct map_entry root;
	uint8_t (*pages)[BLOCK_SIZE];
	uint32_t page_count, loads;
	struct map_page_load *load;	/* waits for its answer */
	uint64_t dropped_now, dropped_folding;
	uint32_t placed;
};

static block_addr_t page_addr(uint32_t i)
{
	return block_addr(1000 + i / 100, 1 + i % 100);
}

static uint32_t page_number(block_addr_t addr)
{
	return (uint32_t)(block_addr_chunk(addr) - 1000) * 100 +
	       block_addr_block(addr) - 1;
}

static void load_page(void *ctx, struct map_page_load *load)
{
	struct bed *bed = ctx;

	load->node.next = NULL;
	load->owner_priv = bed->load;
	bed->load = load;
	bed->loads++;
}

static void answer_loads(struct bed *bed)
{
	struct map_page_load *load;

	while ((load = bed->load) != NULL) {
		bed->load = load->owner_priv;
		memcpy(load->page, bed->pages[page_number(load->entry.addr)],
		       BLOCK_SIZE);
		map_page_loaded(load, 0);
	}
}

static void dropped(void *ctx, const struct map_entry *old, bool folding)
{
	struct bed *bed = ctx;

	*(folding ? &bed->dropped_folding : &bed->dropped_now) += 1;
}

static const struct map_owner_ops ops = {
	.load_page = load_page, .dropped = dropped,
};

static void open_map(struct bed *bed)
{
	struct map_config cfg = { .blocks = BLOCKS, .ops = &ops, .ctx = bed };

	bed->map = map_new(&cfg, &bed->root);
	assert_non_null(bed->map);
	bed->dropped_now = bed->dropped_folding = 0;
	bed->loads = 0;
}

/* From now on nothing is cached. */
static void reopen(struct bed *bed)
{
	map_free(bed->map);
	open_map(bed);
}

static int setup(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->pages = calloc(PAGES, BLOCK_SIZE);
	assert_non_null(bed->pages);
	open_map(bed);
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	map_free(bed->map);
	free(bed->pages);
	free(bed);
	return 0;
}

static void ready(void *ctx)
{
}

static void place(struct bed *bed, struct map_dirty_page *page)
{
	uint32_t i = bed->page_count++;

	assert_true(i < PAGES);
	memcpy(bed->pages[i], page->page, BLOCK_SIZE);
	bed->placed++;
	map_checkpoint_placed(bed->map, page, page_addr(i),
			      crc32c(0, bed->pages[i], BLOCK_SIZE));
}

/* Pages of a checkpoint that has begun: all of them. */
static void write_pages(struct bed *bed)
{
	struct map_dirty_page *page;
	int ret;

	bed->placed = 0;
	while ((ret = map_checkpoint_next(bed->map, &page, &bed->root, ready,
					  bed)) != -ENODATA) {
		if (ret == 0)
			place(bed, page);
		else
			assert_int_equal(ret, -EAGAIN);
		answer_loads(bed);
	}
}

static void checkpoint(struct bed *bed)
{
	assert_int_equal(0, map_checkpoint_begin(bed->map));
	write_pages(bed);
	map_checkpoint_commit(bed->map, &bed->root);
}

static void set(struct bed *bed, uint64_t first, uint32_t count, uint64_t chunk)
{
	static const uint32_t crc[RECORD_PAYLOAD_BLOCKS_MAX];

	assert_int_equal(0, map_set(bed->map, first, count,
				    block_addr(chunk, 1), crc));
}

static struct map_entry locate(struct bed *bed, unsigned int level,
			       uint64_t index)
{
	struct map_locate l = { .level = level, .index = index };

	while (map_locate(bed->map, &l) == -EINPROGRESS) {
		map_locate_cancel(&l);
		answer_loads(bed);
	}
	return l.entry;
}

/* ---- tests ------------------------------------------------------------ */

static void a_clear_tells_all_that_was_below_it(void **state)
{
	struct bed *bed = *state;
	unsigned int i;

	for (i = 0; i < 10; i++)
		set(bed, (uint64_t)i * 4096, 100, 1 + i);
	checkpoint(bed);
	reopen(bed);
	assert_int_equal(0, map_clear(bed->map, 0, BLOCKS));
	assert_int_equal(0, bed->dropped_now);
	checkpoint(bed);
	assert_int_equal(0, bed->root.addr);
	/* 1000 blocks in 10 leaves, the page above them, the top. */
	assert_int_equal(1000 + 10 + 1 + 1, bed->dropped_folding);
	assert_int_equal(12, bed->loads);
	assert_int_equal(0, bed->placed);
}

static void a_clear_of_a_part_tells_that_part(void **state)
{
	struct bed *bed = *state;

	set(bed, 0, 256, 1);
	set(bed, 256, 256, 2);
	set(bed, 512, 256, 3);
	set(bed, 768, 256, 4);
	checkpoint(bed);
	reopen(bed);
	assert_int_equal(0, map_clear(bed->map, 100, 700));
	set(bed, 300, 10, 5);
	checkpoint(bed);
	/* The blocks, two leaves written anew, one that is gone, the page
	 * above and the top. */
	assert_int_equal(700 + 3 + 1 + 1 + 1, bed->dropped_folding);
}

static void what_never_was_costs_no_load(void **state)
{
	struct bed *bed = *state;

	set(bed, 5, 1, 1);
	checkpoint(bed);
	reopen(bed);
	assert_int_equal(0, map_clear(bed->map, 256, BLOCKS - 256));
	checkpoint(bed);
	assert_int_equal(0, bed->dropped_folding);
	assert_true(bed->loads <= 2);
}

static void a_page_is_written_anew_when_asked_for(void **state)
{
	struct bed *bed = *state;
	struct map_entry before, after;

	set(bed, 0, 200, 1);
	set(bed, 300, 200, 2);
	checkpoint(bed);
	reopen(bed);
	before = locate(bed, 0, 1);
	assert_true(before.addr != 0);
	assert_int_equal(0, map_rewrite(bed->map, 0, 1));
	/* One that does not exist, and so is not written. */
	assert_int_equal(0, map_rewrite(bed->map, 0, 77));
	checkpoint(bed);
	after = locate(bed, 0, 1);
	assert_true(after.addr != before.addr);
	assert_int_equal(after.crc, before.crc);
	assert_int_equal(3, bed->placed);
	/* Once. */
	checkpoint(bed);
	assert_int_equal(0, bed->placed);
}

static void an_aborted_checkpoint_still_owes_it(void **state)
{
	struct bed *bed = *state;
	struct map_entry before;

	set(bed, 0, 200, 1);
	checkpoint(bed);
	before = locate(bed, 0, 0);
	assert_int_equal(0, map_rewrite(bed->map, 0, 0));
	assert_int_equal(0, map_checkpoint_begin(bed->map));
	/* Asked for meanwhile: for the next one. */
	assert_int_equal(0, map_rewrite(bed->map, 2, 0));
	write_pages(bed);
	map_checkpoint_abort(bed->map);
	assert_int_equal(before.addr, locate(bed, 0, 0).addr);
	checkpoint(bed);
	assert_true(before.addr != locate(bed, 0, 0).addr);
	assert_int_equal(3, bed->placed);
}

static void pages_are_found_at_each_level(void **state)
{
	struct bed *bed = *state;

	set(bed, 0, 1, 1);
	set(bed, 256 * 256, 1, 1);
	checkpoint(bed);
	reopen(bed);
	assert_true(locate(bed, 2, 0).addr == bed->root.addr);
	assert_true(locate(bed, 1, 0).addr != 0);
	assert_true(locate(bed, 1, 1).addr != 0);
	assert_true(locate(bed, 0, 256).addr != 0);
	assert_int_equal(0, locate(bed, 0, 1).addr);
	assert_int_equal(0, locate(bed, 1, 2).addr);
	assert_int_equal(0, locate(bed, 2, 1).addr);
	assert_int_equal(0, locate(bed, 3, 0).addr);
}

/* A change on behalf of another map's checkpoint belongs to the running one,
 * until that has begun to fold. */
static void a_late_change_is_folded_in(void **state)
{
	struct bed *bed = *state;
	struct map_entry entry = { .addr = block_addr(1, 5), .crc = 10 };
	struct map_lookup lookup = { .first = 3, .count = 1 };
	struct map_entry found;

	assert_int_equal(0, map_set_entry(bed->map, 3, &entry));
	assert_int_equal(0, map_checkpoint_begin(bed->map));
	assert_int_equal(0, map_adjust_folding(bed->map, 3, -4));
	write_pages(bed);
	assert_int_equal(0, map_adjust_folding(bed->map, 3, -1));
	map_checkpoint_commit(bed->map, &bed->root);
	lookup.entries = &found;
	assert_int_equal(0, map_lookup(bed->map, &lookup));
	assert_int_equal(5, found.crc);
	/* What a crash now would leave. */
	reopen(bed);
	while (map_lookup(bed->map, &lookup) == -EINPROGRESS) {
		map_lookup_cancel(&lookup);
		answer_loads(bed);
	}
	assert_int_equal(6, found.crc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_clear_tells_all_that_was_below_it),
		TEST(a_clear_of_a_part_tells_that_part),
		TEST(what_never_was_costs_no_load),
		TEST(a_page_is_written_anew_when_asked_for),
		TEST(an_aborted_checkpoint_still_owes_it),
		TEST(pages_are_found_at_each_level),
		TEST(a_late_change_is_folded_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
