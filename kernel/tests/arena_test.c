// SPDX-License-Identifier: GPL-2.0
/*
 * Where the arena puts requests, and what it copies. The arenas here are on
 * pages of our own: that a memfd is a proper one is for tests/selftests.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/random.h>

#include "arena.h"
#include "genl.h"

#define UNIT TORUS_ARENA_UNIT
/* The largest request of these tests, and units that it takes. */
#define LARGEST (4 * UNIT)
#define LARGEST_UNITS 4
#define UNITS 16
#define COMMON_UNITS (UNITS - LARGEST_UNITS)
/* Filled into memory that must not be written. */
#define CANARY 0xa5

static_assert(PAGE_SIZE == UNIT);

static void free_page_array(void *data)
{
	struct torus_arena *arena = data;
	unsigned long i;

	for (i = 0; i < arena->nr_pages; i++)
		__free_page(arena->pages[i]);
}

/* An arena of UNITS units, as torus_arena_init() leaves one. */
static struct torus_arena *make_arena(struct kunit *test)
{
	struct torus_arena *arena;
	struct page *page;

	arena = kunit_kzalloc(test, sizeof(*arena), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arena);
	arena->pages = kunit_kcalloc(test, UNITS, sizeof(*arena->pages),
				     GFP_KERNEL);
	arena->used = kunit_kcalloc(test, BITS_TO_LONGS(UNITS), sizeof(long),
				    GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, arena->pages);
	KUNIT_ASSERT_NOT_NULL(test, arena->used);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_page_array,
							   arena));
	for (; arena->nr_pages < UNITS; arena->nr_pages++) {
		page = alloc_page(GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, page);
		memset(page_address(page), CANARY, PAGE_SIZE);
		arena->pages[arena->nr_pages] = page;
	}
	arena->units = UNITS;
	arena->reserve = COMMON_UNITS;
	spin_lock_init(&arena->lock);
	return arena;
}

/* Takes @nr units one by one and expects them all to be given. */
static void take_units(struct kunit *test, struct torus_arena *arena,
		       unsigned int nr)
{
	while (nr--)
		KUNIT_ASSERT_GE(test, torus_arena_get(arena, UNIT), 0);
}

static void range_covers_all_bytes(struct kunit *test)
{
	static const struct { u32 bytes, units; } sizes[] = {
		{ 1, 1 }, { 512, 1 }, { UNIT - 1, 1 }, { UNIT, 1 },
		{ UNIT + 1, 2 }, { 2 * UNIT, 2 }, { LARGEST - 1, 4 },
		{ LARGEST, 4 },
	};
	struct torus_arena *arena = make_arena(test);
	unsigned int i;
	long unit;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unit = torus_arena_get(arena, sizes[i].bytes);
		KUNIT_ASSERT_GE(test, unit, 0);
		KUNIT_EXPECT_EQ(test, bitmap_weight(arena->used, UNITS),
				sizes[i].units);
		KUNIT_EXPECT_EQ(test, find_first_bit(arena->used, UNITS), unit);
		torus_arena_put(arena, unit, sizes[i].bytes);
		KUNIT_EXPECT_TRUE(test, bitmap_empty(arena->used, UNITS));
	}
}

static void ranges_do_not_overlap(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);
	DECLARE_BITMAP(taken, UNITS) = {};
	unsigned int n;
	long unit;

	for (n = 0; n < COMMON_UNITS / 3; n++) {
		unit = torus_arena_get(arena, 3 * UNIT);
		KUNIT_ASSERT_GE(test, unit, 0);
		KUNIT_ASSERT_LE(test, unit + 3, COMMON_UNITS);
		KUNIT_EXPECT_EQ(test, find_next_bit(taken, unit + 3, unit),
				unit + 3);
		bitmap_set(taken, unit, 3);
	}
	KUNIT_EXPECT_EQ(test, bitmap_weight(taken, UNITS), COMMON_UNITS);
}

static void single_units_never_take_the_reserve(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 1), -ENOSPC);
	KUNIT_EXPECT_EQ(test, find_next_bit(arena->used, UNITS, COMMON_UNITS),
			UNITS);
}

static void reserve_serves_one_large_request(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, LARGEST), COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, LARGEST), -ENOSPC);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), -ENOSPC);
	torus_arena_put(arena, COMMON_UNITS, LARGEST);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, LARGEST), COMMON_UNITS);
}

static void reserve_is_not_shared_by_two_smaller_ones(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), -ENOSPC);
}

static void fragmented_arena_serves_a_large_request(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);
	unsigned int unit;

	take_units(test, arena, COMMON_UNITS);
	for (unit = 0; unit < COMMON_UNITS; unit += 2)
		torus_arena_put(arena, unit, UNIT);
	/* Half of it is free, but no two units in a row. */
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), COMMON_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), -ENOSPC);
	/* Which is no reason to refuse a small one. */
	take_units(test, arena, COMMON_UNITS / 2);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
}

static void neighbours_that_end_make_room(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS);
	KUNIT_ASSERT_EQ(test, torus_arena_get(arena, LARGEST), COMMON_UNITS);
	torus_arena_put(arena, 4, UNIT);
	torus_arena_put(arena, 6, UNIT);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 3 * UNIT), -ENOSPC);
	torus_arena_put(arena, 5, UNIT);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 3 * UNIT), 4);
}

static void lowest_place_is_given(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), 0);
	torus_arena_put(arena, 0, UNIT);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), 0);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), 1);
	torus_arena_put(arena, 0, UNIT);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, 2 * UNIT), 2);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), 0);
}

static void owner_has_a_unit_of_its_own(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	arena->homes = 3;
	arena->first = 5;
	KUNIT_EXPECT_EQ(test, torus_arena_get_home(arena, UNIT, 0), 2);
	KUNIT_EXPECT_EQ(test, torus_arena_get_home(arena, 1, 2), 4);
	/* Two units are more than a home, and the next owner has none. */
	KUNIT_EXPECT_EQ(test, torus_arena_get_home(arena, UNIT + 1, 1), 5);
	KUNIT_EXPECT_EQ(test, torus_arena_get_home(arena, UNIT, 3), 7);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), 8);
}

static void home_is_there_whoever_waits(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	arena->homes = 1;
	arena->first = 1;
	take_units(test, arena, COMMON_UNITS - 1);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
	KUNIT_EXPECT_EQ(test, torus_arena_get_home(arena, UNIT, 0), 0);
	/* It would be of no use to who waits. */
	KUNIT_EXPECT_FALSE(test, torus_arena_put(arena, 0, UNIT));
	KUNIT_EXPECT_TRUE(test, torus_arena_put(arena, 1, UNIT));
}

static void rings_before_the_first_unit_stay_untouched(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);
	unsigned int first = 3;

	arena->first = first;
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), first);
	take_units(test, arena, COMMON_UNITS - first - 1);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
	torus_arena_put(arena, first + 1, UNIT);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), first + 1);
	KUNIT_EXPECT_EQ(test, find_first_bit(arena->used, UNITS), first);
}

static void large_request_uses_the_very_end_of_the_common_part(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS - LARGEST_UNITS);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, LARGEST),
			COMMON_UNITS - LARGEST_UNITS);
}

static void refusal_is_told_to_the_next_release_once(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);

	take_units(test, arena, COMMON_UNITS);
	KUNIT_EXPECT_FALSE(test, torus_arena_put(arena, 3, UNIT));
	take_units(test, arena, 1);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
	KUNIT_EXPECT_EQ(test, torus_arena_get(arena, UNIT), -ENOSPC);
	KUNIT_EXPECT_TRUE(test, torus_arena_put(arena, 5, UNIT));
	KUNIT_EXPECT_FALSE(test, torus_arena_put(arena, 6, UNIT));
}

/* ---- copies -------------------------------------------------------------- */

#define SEGMENTS_MAX 4
#define SEGMENT_PAGES 2

/* A request whose data lie in pieces of memory of any length and place. */
struct data {
	struct request rq;
	struct bio bio;
	struct bio_vec vecs[SEGMENTS_MAX];
	u8 *memory[SEGMENTS_MAX];
	unsigned int offset[SEGMENTS_MAX];
	unsigned int len[SEGMENTS_MAX];
	unsigned int nr;
	unsigned int total;
};

struct layout {
	const char *name;
	unsigned int nr;
	struct { unsigned int offset, len; } segments[SEGMENTS_MAX];
};

static const struct layout layouts[] = {
	{ "one_unit", 1, { { 0, UNIT } } },
	{ "one_sector", 1, { { 0, 512 } } },
	{ "one_sector_at_the_end_of_a_page", 1, { { UNIT - 512, 512 } } },
	{ "one_byte", 1, { { 1, 1 } } },
	{ "across_a_page_of_the_data", 1, { { UNIT - 512, 1024 } } },
	{ "two_units_in_a_row", 1, { { 0, 2 * UNIT } } },
	{ "sectors_across_a_page_of_the_arena", 4,
	  { { 0, 2048 }, { 512, 1536 }, { 1024, 1024 }, { 512, 512 } } },
	{ "odd_lengths", 4, { { 3, 1021 }, { 7, 4093 }, { 511, 1 },
			      { 1, 3069 } } },
	{ "largest", 2, { { 0, 2 * UNIT }, { 0, 2 * UNIT } } },
};

static void layout_name(const struct layout *layout, char *desc)
{
	strscpy(desc, layout->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(layout, layouts, layout_name);

static void free_memory(void *memory)
{
	free_pages_exact(memory, SEGMENT_PAGES * PAGE_SIZE);
}

static u8 *get_memory(struct kunit *test)
{
	u8 *memory = alloc_pages_exact(SEGMENT_PAGES * PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, memory);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_memory,
							   memory));
	memset(memory, CANARY, SEGMENT_PAGES * PAGE_SIZE);
	return memory;
}

static struct data *make_data(struct kunit *test, const struct layout *layout,
			      blk_opf_t opf)
{
	struct data *data = kunit_kzalloc(test, sizeof(*data), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, data);
	bio_init(&data->bio, NULL, data->vecs, SEGMENTS_MAX, opf);
	for (i = 0; i < layout->nr; i++) {
		data->memory[i] = get_memory(test);
		data->offset[i] = layout->segments[i].offset;
		data->len[i] = layout->segments[i].len;
		data->total += data->len[i];
		__bio_add_page(&data->bio, virt_to_page(data->memory[i]),
			       data->len[i], data->offset[i]);
	}
	data->nr = layout->nr;
	data->rq.cmd_flags = opf;
	data->rq.bio = &data->bio;
	data->rq.__data_len = data->total;
	return data;
}

static u8 *arena_byte(struct torus_arena *arena, u64 pos)
{
	return (u8 *)page_address(arena->pages[pos >> PAGE_SHIFT]) +
	       offset_in_page(pos);
}

/* The byte of the request at @pos, wherever it lies. */
static u8 *data_byte(struct data *data, unsigned int pos)
{
	unsigned int i;

	for (i = 0; pos >= data->len[i]; i++)
		pos -= data->len[i];
	return data->memory[i] + data->offset[i] + pos;
}

static unsigned int wrong_bytes(struct torus_arena *arena, unsigned long unit,
				struct data *data)
{
	unsigned int pos, wrong = 0;

	for (pos = 0; pos < data->total; pos++)
		wrong += *arena_byte(arena, unit * UNIT + pos) !=
			 *data_byte(data, pos);
	return wrong;
}

/* Bytes of the arena outside of the range that were written. */
static unsigned int touched_bytes(struct torus_arena *arena, unsigned long unit,
				  unsigned int len)
{
	u64 pos, from = (u64)unit * UNIT;
	unsigned int touched = 0;

	for (pos = 0; pos < (u64)UNITS * UNIT; pos++)
		if (pos < from || pos >= from + len)
			touched += *arena_byte(arena, pos) != CANARY;
	return touched;
}

static void write_copies_all_and_nothing_else(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);
	struct data *data = make_data(test, test->param_value, REQ_OP_WRITE);
	unsigned int i;

	for (i = 0; i < data->nr; i++)
		get_random_bytes(data->memory[i] + data->offset[i],
				 data->len[i]);
	torus_arena_write(arena, 5, &data->rq);
	KUNIT_EXPECT_EQ(test, wrong_bytes(arena, 5, data), 0);
	KUNIT_EXPECT_EQ(test, touched_bytes(arena, 5, data->total), 0);
}

static void read_copies_all_and_nothing_else(struct kunit *test)
{
	struct torus_arena *arena = make_arena(test);
	struct data *data = make_data(test, test->param_value, REQ_OP_READ);
	unsigned int i;

	for (i = 0; i < UNITS; i++)
		get_random_bytes(page_address(arena->pages[i]), PAGE_SIZE);
	torus_arena_read(arena, UNITS - LARGEST_UNITS, &data->rq);
	KUNIT_EXPECT_EQ(test, wrong_bytes(arena, UNITS - LARGEST_UNITS, data),
			0);
	for (i = 0; i < data->nr; i++) {
		u8 *end = data->memory[i] + data->offset[i] + data->len[i];

		KUNIT_EXPECT_NULL(test, memchr_inv(data->memory[i], CANARY,
						   data->offset[i]));
		KUNIT_EXPECT_NULL(test, memchr_inv(end, CANARY,
						   data->memory[i] +
						   SEGMENT_PAGES * PAGE_SIZE -
						   end));
	}
}

static void several_bios_are_one_range(struct kunit *test)
{
	static const struct layout half = { "", 1, { { 512, 1536 } } };
	struct torus_arena *arena = make_arena(test);
	struct data *first = make_data(test, &half, REQ_OP_WRITE);
	struct data *second = make_data(test, &half, REQ_OP_WRITE);

	memset(first->memory[0] + 512, 1, 1536);
	memset(second->memory[0] + 512, 2, 1536);
	first->bio.bi_next = &second->bio;
	first->rq.__data_len = 3072;
	torus_arena_write(arena, 0, &first->rq);
	KUNIT_EXPECT_EQ(test, wrong_bytes(arena, 0, first), 0);
	KUNIT_EXPECT_EQ(test, *arena_byte(arena, 1536), 2);
	KUNIT_EXPECT_EQ(test, *arena_byte(arena, 3071), 2);
	KUNIT_EXPECT_EQ(test, touched_bytes(arena, 0, 3072), 0);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(range_covers_all_bytes),
	KUNIT_CASE(ranges_do_not_overlap),
	KUNIT_CASE(single_units_never_take_the_reserve),
	KUNIT_CASE(reserve_serves_one_large_request),
	KUNIT_CASE(reserve_is_not_shared_by_two_smaller_ones),
	KUNIT_CASE(fragmented_arena_serves_a_large_request),
	KUNIT_CASE(neighbours_that_end_make_room),
	KUNIT_CASE(lowest_place_is_given),
	KUNIT_CASE(owner_has_a_unit_of_its_own),
	KUNIT_CASE(home_is_there_whoever_waits),
	KUNIT_CASE(rings_before_the_first_unit_stay_untouched),
	KUNIT_CASE(large_request_uses_the_very_end_of_the_common_part),
	KUNIT_CASE(refusal_is_told_to_the_next_release_once),
	KUNIT_CASE_PARAM(write_copies_all_and_nothing_else, layout_gen_params),
	KUNIT_CASE_PARAM(read_copies_all_and_nothing_else, layout_gen_params),
	KUNIT_CASE(several_bios_are_one_range),
	{}
};

static struct kunit_suite suite = {
	.name = "torus_arena",
	.test_cases = cases,
};

kunit_test_suite(suite);
