// SPDX-License-Identifier: Apache-2.0
/*
 * The map over a page store in memory, against a plain array: sets, clears of
 * all sizes, growth, checkpoints that are committed, aborted or fail, lookups
 * that wait for pages while all that goes on, with a cache of few pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "volume/map.h"

#define FIRST_BLOCKS	(200u * 256 + 17)
#define MODEL_BLOCKS	(3u * 256 * 256 + 99)
#define LOOKUPS		24u

struct stored_page {
	struct hash_node node;
	uint8_t data[BLOCK_SIZE];
};

struct bed {
	struct map *map;
	uint64_t blocks;		/* size of the volume now */
	struct map_entry *model;	/* MODEL_BLOCKS of them */
	struct hash_table pages;
	struct list_head loads;
	uint64_t next_addr, load_count;
	uint32_t fail_per_mille;	/* of page loads */
	bool checkpointing;
	struct map_entry root;		/* of the last checkpoint */
	int readies;
	struct list_head placing;
	uint32_t placing_count;
	uint64_t pages_out, dropped_now, dropped_folding;
	unsigned int pending;
};

struct query {
	struct map_lookup lookup;
	struct map_entry entries[RECORD_PAYLOAD_BLOCKS_MAX];
	struct bed *bed;
	bool busy;
};

static struct query queries[LOOKUPS];
static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* ---- the page store --------------------------------------------------- */

static void load_page(void *ctx, struct map_page_load *load)
{
	struct bed *bed = ctx;

	bed->load_count++;
	list_add_tail(&load->node, &bed->loads);
}

static void note_dropped(void *ctx, const struct map_entry *old, bool folding)
{
	struct bed *bed = ctx;

	assert_true(old->addr != 0);
	assert_int_equal(old->flags & MAP_ENTRY_DELTA, 0);
	*(folding ? &bed->dropped_folding : &bed->dropped_now) += 1;
}

static const struct map_owner_ops owner_ops = {
	.load_page = load_page, .dropped = note_dropped,
};

/* For owners who are not told what goes it need not be read. */
static const struct map_owner_ops careless_ops = { .load_page = load_page };
static const struct map_owner_ops *ops = &owner_ops;

static struct stored_page *page_at(struct bed *bed, block_addr_t addr)
{
	struct hash_node *node = hash_first(&bed->pages, hash_u64(addr));

	assert_non_null(node);
	return container_of(node, struct stored_page, node);
}

/* Answer one load, any of those waiting. False: there is none. */
static bool answer_load(struct bed *bed)
{
	struct list_head *node = bed->loads.next;
	struct map_page_load *load;
	int err = 0;

	if (list_empty(&bed->loads))
		return false;
	for (uint32_t i = draw(8); i && node->next != &bed->loads; i--)
		node = node->next;
	load = list_entry(node, struct map_page_load, node);
	list_del_init(node);
	if (draw(1000) < bed->fail_per_mille)
		err = -ETIMEDOUT;
	else
		memcpy(load->page, page_at(bed, load->entry.addr)->data,
		       BLOCK_SIZE);
	map_page_loaded(load, err);
	return true;
}

static block_addr_t store_page(struct bed *bed, const uint8_t *data,
			       uint32_t *crc)
{
	struct stored_page *page = malloc(sizeof(*page));
	block_addr_t addr = ++bed->next_addr + (1 << 20);

	assert_non_null(page);
	memcpy(page->data, data, BLOCK_SIZE);
	*crc = crc32c(0, data, BLOCK_SIZE);
	hash_insert(&bed->pages, &page->node, hash_u64(addr));
	return addr;
}

/* ---- bed -------------------------------------------------------------- */

static void bed_init(struct bed *bed, uint64_t blocks, uint64_t cache)
{
	struct map_entry empty = { 0 };
	struct map_config cfg = {
		.blocks = blocks, .overlay_limit = 1 << 20,
		.cache_limit = cache, .ops = ops, .ctx = bed,
	};

	*bed = (struct bed){ .blocks = blocks };
	memset(queries, 0, sizeof(queries));
	list_init(&bed->loads);
	list_init(&bed->placing);
	assert_int_equal(hash_init(&bed->pages, 64), 0);
	bed->model = calloc(MODEL_BLOCKS, sizeof(*bed->model));
	bed->map = map_new(&cfg, &empty);
	assert_non_null(bed->map);
}

static void bed_release(struct bed *bed)
{
	struct hash_node *node = hash_walk(&bed->pages, NULL);

	ops = &owner_ops;
	map_free(bed->map);
	while (node) {
		struct stored_page *page =
			container_of(node, struct stored_page, node);

		node = hash_walk(&bed->pages, node);
		free(page);
	}
	hash_release(&bed->pages);
	free(bed->model);
}

/* ---- lookups ---------------------------------------------------------- */

static void check_query(const struct query *query)
{
	for (uint32_t i = 0; i < query->lookup.count; i++) {
		const struct map_entry *want =
			&query->bed->model[query->lookup.first + i];

		assert_int_equal(query->entries[i].addr, want->addr);
		assert_int_equal(query->entries[i].flags, 0);
		if (want->addr)
			assert_int_equal(query->entries[i].crc, want->crc);
	}
}

static void query_done(struct map_lookup *lookup, int err)
{
	struct query *query = container_of(lookup, struct query, lookup);

	assert_true(query->busy);
	query->busy = false;
	query->bed->pending--;
	if (err)
		assert_int_equal(err, -ETIMEDOUT);
	else
		check_query(query);
}

static void start_query(struct bed *bed, uint64_t first, uint32_t count)
{
	struct query *query = NULL;
	int ret;

	for (unsigned int i = 0; i < LOOKUPS && !query; i++)
		if (!queries[i].busy)
			query = &queries[i];
	if (!query)
		return;
	query->bed = bed;
	query->busy = true;
	bed->pending++;
	query->lookup = (struct map_lookup){
		.first = first, .count = count, .entries = query->entries,
		.done = query_done,
	};
	ret = map_lookup(bed->map, &query->lookup);
	if (ret != -EINPROGRESS)
		query_done(&query->lookup, ret);
}

static void settle(struct bed *bed)
{
	while (answer_load(bed))
		;
	assert_int_equal(bed->pending, 0);
}

static void check_everything(struct bed *bed)
{
	settle(bed);
	for (uint64_t block = 0; block < bed->blocks;) {
		uint32_t count = MIN(bed->blocks - block, (uint64_t)256);

		start_query(bed, block, count);
		settle(bed);
		block += count;
	}
}

static bool scan_over;

static void scan_done(struct map_scan *scan, int err)
{
	assert_int_equal(err, 0);
	scan_over = true;
}

/* A scan finds everything that is there, and nothing else. */
static void check_scan(struct bed *bed)
{
	struct map_scan scan = { .done = scan_done };
	uint64_t at = 0;
	int ret;

	settle(bed);
	do {
		scan_over = false;
		ret = map_scan(bed->map, &scan);
		scan_over |= ret == 0;
		while (!scan_over)
			assert_true(answer_load(bed));
		for (; at < (scan.count ? scan.first : bed->blocks); at++)
			assert_int_equal(bed->model[at].addr, 0);
		for (uint32_t i = 0; i < scan.count && at < bed->blocks; i++)
			assert_int_equal(scan.entries[i].addr,
					 bed->model[at++].addr);
	} while (scan.count);
	assert_int_equal(at, bed->blocks);
}

/* ---- checkpoints ------------------------------------------------------ */

static void note_ready(void *ctx)
{
	struct bed *bed = ctx;

	bed->readies++;
}

static void place_one(struct bed *bed)
{
	struct map_dirty_page *page;
	block_addr_t addr;
	uint32_t crc;

	if (list_empty(&bed->placing))
		return;
	page = draw(2) ? list_first_entry(&bed->placing, struct map_dirty_page,
					  node) :
			 list_last_entry(&bed->placing, struct map_dirty_page,
					 node);
	list_del_init(&page->node);
	bed->placing_count--;
	addr = store_page(bed, page->page, &crc);
	map_checkpoint_placed(bed->map, page, addr, crc);
}

static void abort_checkpoint(struct bed *bed)
{
	list_init(&bed->placing);
	bed->placing_count = 0;
	bed->checkpointing = false;
	map_checkpoint_abort(bed->map);
}

/* One call of next; true when the checkpoint ended, one way or another. */
static bool drive_checkpoint(struct bed *bed)
{
	struct map_dirty_page *page;
	struct map_entry root;
	int ret = map_checkpoint_next(bed->map, &page, &root, note_ready, bed);

	if (ret == 0) {
		list_add_tail(&page->node, &bed->placing);
		bed->placing_count++;
		bed->pages_out++;
		return false;
	}
	if (ret == -EAGAIN)
		return false;
	if (ret == -ENODATA) {
		assert_int_equal(bed->placing_count, 0);
		bed->checkpointing = false;
		bed->root = root;
		map_checkpoint_commit(bed->map, &root);
		return true;
	}
	assert_int_equal(ret, -ETIMEDOUT);
	abort_checkpoint(bed);
	return true;
}

static void begin_checkpoint(struct bed *bed)
{
	assert_int_equal(map_checkpoint_begin(bed->map), 0);
	assert_int_equal(map_checkpoint_begin(bed->map), -EBUSY);
	bed->checkpointing = true;
}

static void whole_checkpoint(struct bed *bed)
{
	begin_checkpoint(bed);
	while (bed->checkpointing) {
		if (drive_checkpoint(bed))
			break;
		if (!answer_load(bed))
			place_one(bed);
	}
}

/* ---- changes ---------------------------------------------------------- */

static void do_set(struct bed *bed, uint64_t first, uint32_t count)
{
	uint32_t crc[RECORD_PAYLOAD_BLOCKS_MAX];
	block_addr_t addr = block_addr(1 + draw(1u << 30), draw(10000));

	for (uint32_t i = 0; i < count; i++) {
		crc[i] = draw(1u << 31);
		bed->model[first + i] = (struct map_entry){
			.addr = addr + i, .crc = crc[i],
		};
	}
	assert_int_equal(map_reserve(bed->map, 1, count), 0);
	assert_int_equal(map_set(bed->map, first, count, addr, crc), 0);
	map_unreserve(bed->map, 1, count);
}

static void do_clear(struct bed *bed, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		bed->model[first + i].addr = 0;
	assert_int_equal(map_clear(bed->map, first, count), 0);
}

/* A range that likes the edges of pages. */
static void draw_range(const struct bed *bed, uint32_t max, uint64_t *first,
		       uint64_t *count)
{
	*first = draw(bed->blocks);
	*count = 1 + draw(max);
	switch (draw(6)) {
	case 0:
		*first &= ~255ull;
		break;
	case 1:
		*first &= ~65535ull;
		break;
	case 2:
		*first = draw(bed->blocks / 1024);
		break;
	}
	if (max > 256 && draw(3) == 0)
		*count = (*count + 255) & ~255ull;
	*count = MIN(*count, bed->blocks - *first);
}

static void change(struct bed *bed)
{
	uint64_t first, count;

	if (draw(10) < 7) {
		draw_range(bed, draw(4) ? 8 : 256, &first, &count);
		do_set(bed, first, count);
		return;
	}
	draw_range(bed, draw(4) ? 40 : draw(3) ? 5000 : 150000, &first, &count);
	do_clear(bed, first, count);
}

static void grow(struct bed *bed)
{
	if (bed->blocks + 40000 > MODEL_BLOCKS)
		return;
	bed->blocks += draw(40000);
	assert_int_equal(map_grow(bed->map, bed->blocks), 0);
}

static void query_somewhere(struct bed *bed)
{
	uint64_t first, count;

	draw_range(bed, 256, &first, &count);
	start_query(bed, first, count);
}

static void checkpoint_step(struct bed *bed)
{
	if (!bed->checkpointing) {
		if (draw(60) == 0)
			begin_checkpoint(bed);
		return;
	}
	if (draw(1500) == 0)
		abort_checkpoint(bed);
	else if (draw(3) == 0)
		place_one(bed);
	else
		drive_checkpoint(bed);
}

static void run_random(uint64_t first_seed, int rounds, int steps,
		       uint32_t fail_per_mille)
{
	for (int round = 0; round < rounds; round++) {
		struct bed bed;

		seed = first_seed + round;
		bed_init(&bed, FIRST_BLOCKS, 1);
		bed.fail_per_mille = fail_per_mille;
		for (int i = 0; i < steps; i++) {
			switch (draw(8)) {
			case 0:
				change(&bed);
				break;
			case 1:
				query_somewhere(&bed);
				break;
			case 2: case 3:
				answer_load(&bed);
				break;
			default:
				checkpoint_step(&bed);
				break;
			}
			if (draw(2000) == 0)
				grow(&bed);
		}
		bed.fail_per_mille = 0;
		if (bed.checkpointing)
			abort_checkpoint(&bed);
		check_everything(&bed);
		check_scan(&bed);
		whole_checkpoint(&bed);
		check_everything(&bed);
		check_scan(&bed);
		bed_release(&bed);
	}
}

static void agrees_with_an_array(void **state)
{
	(void)state;
	run_random(1, 12, 20000, 0);
}

static void agrees_when_page_loads_fail(void **state)
{
	(void)state;
	run_random(1000, 6, 20000, 30);
}

/* ---- single behaviours ------------------------------------------------ */

static void clearing_everything_leaves_no_tree(void **state)
{
	struct bed bed;

	(void)state;
	seed = 1;
	ops = &careless_ops;
	bed_init(&bed, FIRST_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < FIRST_BLOCKS; b += 1000)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	check_everything(&bed);
	do_clear(&bed, 0, FIRST_BLOCKS);
	begin_checkpoint(&bed);
	bed.load_count = bed.pages_out = 0;
	while (bed.checkpointing) {
		struct map_dirty_page *page;
		struct map_entry root;

		assert_int_equal(map_checkpoint_next(bed.map, &page, &root,
						     note_ready, &bed),
				 -ENODATA);
		assert_int_equal(root.addr, 0);
		map_checkpoint_commit(bed.map, &root);
		bed.checkpointing = false;
	}
	assert_int_equal(bed.load_count, 0);
	check_everything(&bed);
	bed_release(&bed);
}

static void a_large_clear_reads_only_its_edges(void **state)
{
	struct bed bed;

	(void)state;
	seed = 2;
	ops = &careless_ops;
	bed_init(&bed, MODEL_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < MODEL_BLOCKS; b += 256)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	do_clear(&bed, 100, 2 * 256 * 256);
	assert_true(map_overlay_bytes(bed.map) < 4096);
	bed.load_count = bed.pages_out = 0;
	whole_checkpoint(&bed);
	/* Two leaves, two pages above them, the top. */
	assert_true(bed.load_count <= 5);
	assert_int_equal(bed.pages_out, 5);
	check_everything(&bed);
	bed_release(&bed);
}

static void a_clean_map_writes_nothing(void **state)
{
	struct bed bed;

	(void)state;
	seed = 3;
	bed_init(&bed, FIRST_BLOCKS, 1);
	do_set(&bed, 5, 9);
	whole_checkpoint(&bed);
	do_clear(&bed, 1000, 20000);	/* was absent before */
	bed.pages_out = 0;
	whole_checkpoint(&bed);
	assert_int_equal(bed.pages_out, 0);
	check_everything(&bed);
	bed_release(&bed);
}

static void one_load_serves_all_that_wait(void **state)
{
	struct bed bed;

	(void)state;
	seed = 4;
	bed_init(&bed, FIRST_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < FIRST_BLOCKS; b += 256)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	settle(&bed);
	for (uint64_t b = 0; b < 40 * 256; b += 256) {	/* evict leaf 150 */
		start_query(&bed, b, 1);
		settle(&bed);
	}
	bed.load_count = 0;
	for (int i = 0; i < 10; i++)
		start_query(&bed, 150 * 256 + i, 5);
	settle(&bed);
	assert_in_range(bed.load_count, 1, 3);
	bed_release(&bed);
}

static void a_cancelled_lookup_is_not_answered(void **state)
{
	struct bed bed;

	(void)state;
	seed = 5;
	bed_init(&bed, FIRST_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < FIRST_BLOCKS; b += 256)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	start_query(&bed, 90 * 256 + 200, 200);
	start_query(&bed, 90 * 256 + 200, 200);
	assert_int_equal(bed.pending, 2);
	map_lookup_cancel(&queries[0].lookup);
	queries[0].busy = false;
	bed.pending--;
	settle(&bed);
	bed_release(&bed);
}

static struct map_page_load *first_load(const struct bed *bed)
{
	return list_first_entry(&bed->loads, struct map_page_load, node);
}

/* Answer the load of the page at @addr; the others go on waiting. */
static void answer_only(struct bed *bed, block_addr_t addr)
{
	struct map_page_load *load;

	list_for_each_entry(load, &bed->loads, node)
		if (load->entry.addr == addr)
			break;
	list_del_init(&load->node);
	memcpy(load->page, page_at(bed, addr)->data, BLOCK_SIZE);
	map_page_loaded(load, 0);
}

static void a_commit_under_a_lookup_begins_it_anew(void **state)
{
	struct map_page_load *second;
	struct bed bed;

	(void)state;
	seed = 8;
	bed_init(&bed, FIRST_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < FIRST_BLOCKS; b += 256)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	/* Block 20 * 256 + 255 is decided by the overlay, 254 by the leaf. */
	do_set(&bed, 20 * 256 + 255, 1);
	start_query(&bed, 20 * 256 + 254, 4);
	assert_int_equal(bed.pending, 1);
	second = list_last_entry(&bed.loads, struct map_page_load, node);
	assert_ptr_not_equal(bed.loads.next, &second->node);
	begin_checkpoint(&bed);
	while (bed.checkpointing) {
		if (drive_checkpoint(&bed))
			break;
		if (bed.loads.next != &second->node)
			answer_only(&bed, first_load(&bed)->entry.addr);
		else
			place_one(&bed);
	}
	assert_int_equal(bed.pending, 1);
	settle(&bed);
	bed_release(&bed);
}

static void expect_error(struct map_lookup *lookup, int err)
{
	int *seen = lookup->ctx;

	*seen = err;
}

static void a_damaged_page_is_an_error(void **state)
{
	struct map_entry entries[5];
	int seen = 1;
	struct map_lookup lookup = {
		.first = 120 * 256, .count = 5, .entries = entries,
		.done = expect_error, .ctx = &seen,
	};
	struct map_page_load *load;
	struct bed bed;

	(void)state;
	seed = 6;
	bed_init(&bed, FIRST_BLOCKS, 1);
	for (uint64_t b = 0; b + 256 < FIRST_BLOCKS; b += 256)
		do_set(&bed, b, 256);
	whole_checkpoint(&bed);
	assert_int_equal(map_lookup(bed.map, &lookup), -EINPROGRESS);
	load = first_load(&bed);
	list_del_init(&load->node);
	memcpy(load->page, page_at(&bed, load->entry.addr)->data, BLOCK_SIZE);
	load->page[77] ^= 1;
	map_page_loaded(load, 0);
	assert_int_equal(seen, -EIO);
	/* It was not kept: the next lookup loads it again. */
	bed.load_count = 0;
	start_query(&bed, 120 * 256, 5);
	assert_int_equal(bed.load_count, 1);
	settle(&bed);
	bed_release(&bed);
}

static void the_old_tree_survives_growth(void **state)
{
	struct bed bed;

	(void)state;
	seed = 9;
	bed_init(&bed, 100, 1);
	do_set(&bed, 7, 80);
	whole_checkpoint(&bed);
	bed.blocks = MODEL_BLOCKS - 1000;
	assert_int_equal(map_grow(bed.map, bed.blocks), 0);
	do_set(&bed, bed.blocks - 3, 3);
	whole_checkpoint(&bed);
	check_everything(&bed);
	check_scan(&bed);
	bed_release(&bed);
}

static void a_reopened_tree_is_the_same(void **state)
{
	struct map_config cfg = {
		.ops = &owner_ops, .cache_limit = 1,
	};
	struct bed bed;

	(void)state;
	seed = 10;
	bed_init(&bed, 100, 1);
	do_set(&bed, 7, 80);
	whole_checkpoint(&bed);
	assert_int_equal(bed.root.flags, 1);
	map_free(bed.map);
	/* It has grown before it is opened again. */
	cfg.ctx = &bed;
	cfg.blocks = bed.blocks = FIRST_BLOCKS;
	bed.map = map_new(&cfg, &bed.root);
	assert_non_null(bed.map);
	check_everything(&bed);
	do_set(&bed, 0, 5);
	do_set(&bed, bed.blocks - 3, 3);
	whole_checkpoint(&bed);
	assert_int_equal(bed.root.flags, 2);
	check_everything(&bed);
	bed_release(&bed);
}

static void ranges_are_checked(void **state)
{
	uint32_t crc[2] = { 0 };
	struct bed bed;

	(void)state;
	bed_init(&bed, 1000, 1);
	assert_int_equal(map_set(bed.map, 999, 2, 1 << 16, crc), -ERANGE);
	assert_int_equal(map_clear(bed.map, 999, 2), -ERANGE);
	assert_int_equal(map_clear(bed.map, 999, 0), -ERANGE);
	assert_int_equal(map_clear(bed.map, 999, UINT64_MAX), -ERANGE);
	assert_int_equal(map_grow(bed.map, MAP_BLOCKS_MAX + 1), -EFBIG);
	assert_int_equal(map_height(1), 1);
	assert_int_equal(map_height(256), 1);
	assert_int_equal(map_height(257), 2);
	assert_int_equal(map_height(65536), 2);
	assert_int_equal(map_height(MAP_BLOCKS_MAX), 5);
	bed_release(&bed);
}

static void random_writes_cost_few_bytes_each(void **state)
{
	uint32_t crc = 1;
	struct map_stats stats;
	struct bed bed;

	(void)state;
	seed = 7;
	bed_init(&bed, 1ull << 30, 1);
	for (int i = 0; i < 200000; i++)
		assert_int_equal(map_set(bed.map, draw(1u << 30), 1, 1 << 16,
					 &crc), 0);
	map_stats(bed.map, &stats);
	assert_true(stats.overlay_entries > 199000);
	assert_true(stats.overlay_bytes / stats.overlay_entries < 40);
	assert_true(map_wants_checkpoint(bed.map));
	bed_release(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
		cmocka_unit_test(agrees_when_page_loads_fail),
		cmocka_unit_test(clearing_everything_leaves_no_tree),
		cmocka_unit_test(a_large_clear_reads_only_its_edges),
		cmocka_unit_test(a_clean_map_writes_nothing),
		cmocka_unit_test(one_load_serves_all_that_wait),
		cmocka_unit_test(a_cancelled_lookup_is_not_answered),
		cmocka_unit_test(a_commit_under_a_lookup_begins_it_anew),
		cmocka_unit_test(a_damaged_page_is_an_error),
		cmocka_unit_test(the_old_tree_survives_growth),
		cmocka_unit_test(a_reopened_tree_is_the_same),
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(random_writes_cost_few_bytes_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
