// SPDX-License-Identifier: Apache-2.0
/* The record header: round trips, damage, and every rule of the decoder. */
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
#include "base/error.h"
#include "wire/record.h"

#define HEADER_MAX (RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)

static uint8_t buf[HEADER_MAX];

/* A record with one extent of each kind that makes sense together. */
static struct record *sample(void)
{
	struct record *r = record_new();
	uint32_t i;

	assert_non_null(r);
	r->volume = 0x1122334455667788ull;
	r->chunk = 0xabcdef;
	r->epoch = 5;
	r->sequence = 1000;
	r->flushed = 990;
	r->root = block_addr(0xabc, 77);
	r->root_crc = 0x01020304;
	r->prev_crc = 0x0badcafe;
	r->block = 42;
	r->flags = RECORD_LAST;
	r->extent_count = 6;
	r->extents[0] = (struct extent) { 100, 0, 3, EXTENT_DATA };
	r->extents[1] = (struct extent) { 1ull << 39, 0, 1u << 31, EXTENT_ZERO };
	r->extents[2] = (struct extent) { 7, block_addr(12, 16382), 2,
					  EXTENT_RELOCATION };
	r->extents[3] = (struct extent) { 3ull << 56 | 9, 0, 1,
					  EXTENT_MAP_PAGE };
	r->extents[4] = (struct extent) { 0, 0, 1, EXTENT_CHUNK_PAGE };
	r->extents[5] = (struct extent) { 0, 0, 2, EXTENT_ROOT };
	r->payload_blocks = 9;
	for (i = 0; i < r->payload_blocks; i++)
		r->payload_crc[i] = 0x1000 + i;
	return r;
}

static void assert_same(const struct record *a, const struct record *b)
{
	uint32_t i;

	assert_true(a->volume == b->volume && a->chunk == b->chunk);
	assert_true(a->epoch == b->epoch && a->sequence == b->sequence);
	assert_true(a->flushed == b->flushed && a->root == b->root);
	assert_int_equal(a->root_crc, b->root_crc);
	assert_int_equal(a->crc, b->crc);
	assert_int_equal(a->prev_crc, b->prev_crc);
	assert_int_equal(a->block, b->block);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->header_bytes, b->header_bytes);
	assert_int_equal(a->header_blocks, b->header_blocks);
	assert_int_equal(a->payload_blocks, b->payload_blocks);
	assert_int_equal(a->extent_count, b->extent_count);
	for (i = 0; i < a->extent_count; i++) {
		assert_true(a->extents[i].first == b->extents[i].first);
		assert_true(a->extents[i].source == b->extents[i].source);
		assert_int_equal(a->extents[i].count, b->extents[i].count);
		assert_int_equal(a->extents[i].kind, b->extents[i].kind);
	}
	assert_memory_equal(a->payload_crc, b->payload_crc,
			    a->payload_blocks * sizeof(uint32_t));
}

static void what_is_written_is_read(void **state)
{
	struct record *r = sample(), *got = record_new();

	record_encode(r, buf);
	assert_int_equal(r->header_bytes, 96 + 6 * 24 + 9 * 4);
	assert_int_equal(r->header_blocks, 1);
	assert_int_equal(record_blocks(r), 10);
	assert_int_equal(record_decode(buf, r->header_bytes, got), 0);
	assert_same(r, got);
	assert_int_equal(record_decode(buf, sizeof(buf), got), 0);
	assert_same(r, got);
	record_free(r);
	record_free(got);
}

static void the_padding_is_zero(void **state)
{
	struct record *r = sample();
	uint32_t i;

	memset(buf, 0xff, sizeof(buf));
	record_encode(r, buf);
	for (i = r->header_bytes; i < BLOCK_SIZE; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[BLOCK_SIZE], 0xff);
	record_free(r);
}

static void the_largest_header_fits(void **state)
{
	struct record *r = sample(), *got = record_new();
	uint32_t i;

	r->extent_count = RECORD_EXTENTS_MAX;
	r->payload_blocks = RECORD_PAYLOAD_BLOCKS_MAX;
	for (i = 0; i < RECORD_EXTENTS_MAX; i++)
		r->extents[i] = (struct extent) { i, 0, 1, i % 2 ? EXTENT_DATA :
						  EXTENT_ZERO };
	for (i = 0; i < RECORD_PAYLOAD_BLOCKS_MAX; i++)
		r->payload_crc[i] = i * 0x01010101;
	record_encode(r, buf);
	assert_int_equal(r->header_blocks, 4);
	assert_int_equal(record_decode(buf, sizeof(buf), got), 0);
	assert_same(r, got);
	record_free(r);
	record_free(got);
}

static void a_header_may_carry_nothing(void **state)
{
	struct record *r = sample(), *got = record_new();

	r->extent_count = 0;
	r->payload_blocks = 0;
	r->root = 0;
	r->root_crc = 0;
	r->block = CHUNK_BLOCKS_MAX - 1;
	record_encode(r, buf);
	assert_int_equal(r->header_bytes, 96);
	assert_int_equal(record_decode(buf, BLOCK_SIZE, got), 0);
	assert_same(r, got);
	record_free(r);
	record_free(got);
}

/*
 * The format is for ever: these bytes are what version 1 means. Their CRC was
 * also computed by other means.
 */
static void the_format_is_pinned(void **state)
{
	static const uint8_t start[] = {
		'T', 'R', 'E', 'C', 1, 0, 1, 0,
		0x86, 0x13, 0x72, 0xf9, 0xfe, 0xca, 0xad, 0x0b,
		0x14, 0x01, 0, 0, 9, 0, 6, 0,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0xef, 0xcd, 0xab, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
		0xe8, 3, 0, 0, 0, 0, 0, 0, 0xde, 3, 0, 0, 0, 0, 0, 0,
		77, 0, 0xbc, 0x0a, 0, 0, 0, 0, 4, 3, 2, 1, 42, 0, 0, 0,
	};
	struct record *r = sample();

	record_encode(r, buf);
	assert_memory_equal(buf, start, sizeof(start));
	record_free(r);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct record *r = sample(), *got = record_new();
	uint32_t bit;
	int err;

	record_encode(r, buf);
	for (bit = 0; bit < r->header_bytes * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		err = record_decode(buf, BLOCK_SIZE, got);
		assert_true(err == -EBADMSG || err == -ENODATA ||
			    err == -EAGAIN);
		/* Only the size can make it ask for more. */
		if (err == -EAGAIN)
			assert_in_range(bit / 8, 16, 19);
		if (err == -ENODATA)
			assert_in_range(bit / 8, 0, 3);
		err = record_decode(buf, sizeof(buf), got);
		assert_true(err == -EBADMSG || err == -ENODATA);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(record_decode(buf, BLOCK_SIZE, got), 0);
	record_free(r);
	record_free(got);
}

static void a_short_read_asks_for_more(void **state)
{
	struct record *r = sample(), *got = record_new();
	uint32_t len;

	record_encode(r, buf);
	for (len = 0; len < r->header_bytes; len++) {
		/* On the heap, so that ASan sees a byte too much. */
		uint8_t *copy = malloc(len + 1);

		memcpy(copy + 1, buf, len);
		assert_int_equal(record_decode(copy + 1, len, got), -EAGAIN);
		free(copy);
	}
	memset(buf, 0, sizeof(buf));
	assert_int_equal(record_decode(buf, BLOCK_SIZE, got), -ENODATA);
	record_free(r);
	record_free(got);
}

/* ---- correct CRC, nonsense inside ---------------------------------------- */

static void fix_crc(uint32_t header_bytes)
{
	uint32_t crc;

	memset(buf + 8, 0, 4);
	crc = crc32c(0, buf, header_bytes);
	buf[8] = (uint8_t)crc;
	buf[9] = (uint8_t)(crc >> 8);
	buf[10] = (uint8_t)(crc >> 16);
	buf[11] = (uint8_t)(crc >> 24);
}

struct patch {
	size_t at;
	unsigned int bytes;
	uint64_t value;
	const char *words;
};

#define FIELD(f) offsetof(struct disk_record_header, f), \
		 sizeof(((struct disk_record_header *)0)->f)
#define EXTENT(i, f) sizeof(struct disk_record_header) + \
		     (i) * sizeof(struct disk_extent) + \
		     offsetof(struct disk_extent, f), \
		     sizeof(((struct disk_extent *)0)->f)

static const struct patch patches[] = {
	{ FIELD(version), 0, "version is 0" },
	{ FIELD(flags), 2, "unknown flags" },
	{ FIELD(payload_blocks), 8, "counts are out of range" },
	{ FIELD(payload_blocks), 257, "counts are out of range" },
	{ FIELD(extent_count), 513, "counts are out of range" },
	{ FIELD(volume), 0, "volume is 0" },
	{ FIELD(chunk), 0, "chunk number" },
	{ FIELD(chunk), 1ull << 48, "chunk number" },
	{ FIELD(epoch), 0, "epoch is 0" },
	{ FIELD(sequence), 0, "sequence is 0" },
	{ FIELD(flushed), 1000, "flushed watermark" },
	{ FIELD(root), 0, "root address" },
	{ FIELD(root), 5, "root address" },
	{ FIELD(root), 1ull << 16 | CHUNK_BLOCKS_MAX, "root address" },
	{ FIELD(block), CHUNK_BLOCKS_MAX - 9, "end of the chunk" },
	{ FIELD(zero16), 1, "must be zero" },
	{ FIELD(zero64[0]), 1, "must be zero" },
	{ FIELD(zero64[1]), 1, "must be zero" },
	{ EXTENT(0, count), 0, "empty" },
	{ EXTENT(0, count), 4, "do not own" },
	{ EXTENT(0, count), 0xffffffff, "do not own" },
	{ EXTENT(0, kind), 0, "unknown kind" },
	{ EXTENT(0, kind), 7, "unknown kind" },
	{ EXTENT(0, kind), EXTENT_ZERO, "do not own" },
	{ EXTENT(0, source), 1 << 16, "source" },
	{ EXTENT(0, zero[2]), 1, "must be zero" },
	{ EXTENT(0, first), (1ull << 40) - 2, "out of range" },
	{ EXTENT(1, first), 1ull << 40, "out of range" },
	{ EXTENT(2, source), 0, "out of range" },
	{ EXTENT(2, source), 1 << 16 | 16383, "out of range" },
	{ EXTENT(3, first), 8ull << 56, "out of range" },
	{ EXTENT(3, first), 1ull << 40, "out of range" },
	{ EXTENT(5, first), 1, "out of range" },
};

static void sound_crcs_excuse_nothing(void **state)
{
	struct record *r = sample(), *got = record_new();
	unsigned int b;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(patches); i++) {
		const struct patch *p = &patches[i];

		record_encode(r, buf);
		for (b = 0; b < p->bytes; b++)
			buf[p->at + b] = (uint8_t)(p->value >> (8 * b));
		fix_crc(r->header_bytes);
		error_clear();
		assert_int_equal(record_decode(buf, sizeof(buf), got),
				 -EBADMSG);
		assert_non_null(strstr(error_text(-EBADMSG), p->words));
	}
	record_free(r);
	record_free(got);
}

static void newer_versions_are_told_from_damage(void **state)
{
	struct record *r = sample(), *got = record_new();

	record_encode(r, buf);
	buf[4] = 2;
	assert_int_equal(record_decode(buf, sizeof(buf), got), -EBADMSG);
	fix_crc(r->header_bytes);
	assert_int_equal(record_decode(buf, sizeof(buf), got),
			 -EPROTONOSUPPORT);
	assert_non_null(strstr(error_text(0), "format version 2"));
	record_free(r);
	record_free(got);
}

static void sizes_out_of_range_are_damage(void **state)
{
	static const uint32_t sizes[] = { 0, 95, HEADER_MAX + 1, UINT32_MAX };
	struct record *r = sample(), *got = record_new();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		__le32 bytes = cpu_to_le32(sizes[i]);

		record_encode(r, buf);
		memcpy(buf + 16, &bytes, sizeof(bytes));
		assert_int_equal(record_decode(buf, sizeof(buf), got),
				 -EBADMSG);
	}
	record_free(r);
	record_free(got);
}

static void payload_is_compared_block_by_block(void **state)
{
	struct record *r = sample();
	uint8_t *payload = malloc(9 * BLOCK_SIZE);
	uint32_t i;

	for (i = 0; i < 9 * BLOCK_SIZE; i++)
		payload[i] = (uint8_t)(i * 31 + i / 257);
	for (i = 0; i < 9; i++)
		r->payload_crc[i] = crc32c(0, payload + i * BLOCK_SIZE,
					   BLOCK_SIZE);
	assert_int_equal(record_check_payload(r, payload), 0);
	payload[7 * BLOCK_SIZE + 100] ^= 4;
	assert_int_equal(record_check_payload(r, payload), -EBADMSG);
	assert_non_null(strstr(error_text(0), "payload block 7"));
	free(payload);
	record_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(the_padding_is_zero),
		cmocka_unit_test(the_largest_header_fits),
		cmocka_unit_test(a_header_may_carry_nothing),
		cmocka_unit_test(the_format_is_pinned),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(a_short_read_asks_for_more),
		cmocka_unit_test(sound_crcs_excuse_nothing),
		cmocka_unit_test(newer_versions_are_told_from_damage),
		cmocka_unit_test(sizes_out_of_range_are_damage),
		cmocka_unit_test(payload_is_compared_block_by_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
