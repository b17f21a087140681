// SPDX-License-Identifier: Apache-2.0
/* A chain that comes in pieces of any size. */
#include "store/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/crc32c.h"

#define VOLUME 0x11
#define CHUNK 5

struct chain {
	uint8_t *bytes;
	uint32_t blocks, crc;
	uint64_t sequence;
	uint32_t ends[8], records;
};

/* @zeros: extents without payload, which make the header large. */
static void add(struct chain *c, uint32_t payload, uint32_t zeros,
		uint16_t flags)
{
	static struct extent extents[RECORD_EXTENTS_MAX];
	uint32_t crcs[RECORD_PAYLOAD_BLOCKS_MAX], i, count = 0, header;
	struct record r = {
		.volume = VOLUME, .chunk = CHUNK, .epoch = 1,
		.sequence = ++c->sequence, .prev_crc = c->crc,
		.block = c->blocks, .flags = flags,
		.payload_blocks = payload, .extents = extents,
		.payload_crc = crcs,
	};

	for (i = 0; i < zeros; i++)
		extents[count++] = (struct extent){ .first = 1000 + 2 * i,
						    .count = 1,
						    .kind = EXTENT_ZERO };
	if (payload > 0)
		extents[count++] = (struct extent){ .first = 7,
						    .count = payload,
						    .kind = EXTENT_DATA };
	r.extent_count = count;
	header = record_header_blocks(count, payload);
	c->bytes = realloc(c->bytes, (size_t)(c->blocks + header + payload) *
				     BLOCK_SIZE);
	for (i = 0; i < payload; i++) {
		uint8_t *at = c->bytes +
			      (size_t)(c->blocks + header + i) * BLOCK_SIZE;

		memset(at, (int)(c->sequence + i), BLOCK_SIZE);
		crcs[i] = crc32c(0, at, BLOCK_SIZE);
	}
	record_encode(&r, c->bytes + (size_t)c->blocks * BLOCK_SIZE);
	c->crc = r.crc;
	c->blocks += header + payload;
	c->ends[c->records++] = c->blocks;
}

/* Headers of 1, 3, 4, 1, 3 and 1 blocks. */
static struct chain make_chain(void)
{
	struct chain c = { .bytes = NULL };

	add(&c, 3, 0, 0);
	add(&c, 0, 400, 0);
	add(&c, 20, RECORD_EXTENTS_MAX - 1, 0);
	add(&c, 7, 0, 0);
	add(&c, 1, 400, 0);
	add(&c, 0, 1, RECORD_LAST);
	return c;
}

static uint32_t seen;

static void count_record(struct store_stream *stream, const struct record *r)
{
	assert_int_equal(r->sequence, ++seen);
	assert_int_equal(stream->tail.sequence, r->sequence);
	assert_int_equal(stream->tail.block, r->block + record_blocks(r));
}

/* @size blocks at a time, each piece in memory that ends with it. */
static int feed(const struct chain *c, uint32_t size, struct store_stream *s)
{
	uint32_t at, n;
	int err = 0;

	seen = 0;
	assert_int_equal(store_stream_init(s, VOLUME, CHUNK, c->blocks), 0);
	s->record = count_record;
	for (at = 0; at < c->blocks && err == 0; at += n) {
		uint8_t *part;

		n = MIN(size, c->blocks - at);
		part = malloc((size_t)n * BLOCK_SIZE);
		memcpy(part, c->bytes + (size_t)at * BLOCK_SIZE,
		       (size_t)n * BLOCK_SIZE);
		err = store_stream_feed(s, part, n);
		free(part);
	}
	return err;
}

static void any_size_of_pieces_gives_the_same(void **state)
{
	struct chain c = make_chain();
	struct store_stream s;
	uint32_t size;

	for (size = 1; size <= c.blocks; size++) {
		assert_int_equal(feed(&c, size, &s), 0);
		assert_int_equal(seen, c.records);
		assert_true(store_stream_ends(&s, c.crc));
		assert_false(store_stream_ends(&s, c.crc ^ 1));
		store_stream_release(&s);
		store_stream_release(&s);
	}
	free(c.bytes);
}

static void it_ends_only_with_a_whole_record(void **state)
{
	struct chain c = make_chain();
	uint32_t blocks, all = c.blocks, at = 0;
	struct store_stream s;

	for (blocks = 1; blocks < all; blocks++) {
		struct chain cut = c;
		int err;

		cut.blocks = blocks;
		err = feed(&cut, 5, &s);
		if (blocks == c.ends[at]) {
			assert_int_equal(err, 0);
			assert_true(store_stream_ends(&s, s.tail.crc));
			at++;
		} else {
			/* The record would go beyond the end, or lacks a part. */
			assert_true(err == -EILSEQ ||
				    !store_stream_ends(&s, s.tail.crc));
		}
		store_stream_release(&s);
	}
	free(c.bytes);
}

/* Of headers what their CRC covers; behind that nothing is read. */
static void every_damaged_byte_is_found(void **state)
{
	struct chain c = make_chain();
	struct store_stream s;
	uint32_t sizes[] = { 1, 2, 5, 100 }, i;
	size_t at;

	for (at = 8; at < (size_t)c.blocks * BLOCK_SIZE; at += 1009) {
		bool padding = true;

		c.bytes[at] ^= 0x10;
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			int err = feed(&c, sizes[i], &s);

			if (i == 0)
				padding = err == 0;
			assert_int_equal(err == 0, padding);
			assert_true(err == 0 || err == -EBADMSG);
			store_stream_release(&s);
		}
		/* At most the rest of a header's last block. */
		if (padding)
			assert_int_equal(c.bytes[at], 0x10);
		c.bytes[at] ^= 0x10;
	}
	free(c.bytes);
}

static int feed_as(const struct chain *c, uint64_t volume, uint64_t chunk)
{
	struct store_stream s;
	int err;

	assert_int_equal(store_stream_init(&s, volume, chunk, c->blocks), 0);
	err = store_stream_feed(&s, c->bytes, c->blocks);
	store_stream_release(&s);
	return err;
}

static void what_does_not_belong_there_is_refused(void **state)
{
	struct chain c = make_chain(), other = { .sequence = 9 };

	assert_int_equal(feed_as(&c, VOLUME, CHUNK), 0);
	assert_int_equal(feed_as(&c, VOLUME + 1, CHUNK), -EILSEQ);
	assert_int_equal(feed_as(&c, VOLUME, CHUNK + 1), -EILSEQ);
	/* Something follows the record that says that none does. */
	add(&c, 1, 0, 0);
	assert_int_equal(feed_as(&c, VOLUME, CHUNK), -EILSEQ);
	/* A gap in the sequence. */
	add(&other, 1, 0, 0);
	other.sequence++;
	add(&other, 1, 0, 0);
	assert_int_equal(feed_as(&other, VOLUME, CHUNK), -EILSEQ);
	/* Nothing at all. */
	memset(other.bytes, 0, BLOCK_SIZE);
	assert_int_equal(feed_as(&other, VOLUME, CHUNK), -ENODATA);
	free(other.bytes);
	free(c.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_size_of_pieces_gives_the_same),
		cmocka_unit_test(it_ends_only_with_a_whole_record),
		cmocka_unit_test(every_damaged_byte_is_found),
		cmocka_unit_test(what_does_not_belong_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
