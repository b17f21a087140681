// SPDX-License-Identifier: Apache-2.0
/* The root record's payload: what goes in comes out, and nothing else does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "volume/root.h"

static struct root example(void)
{
	return (struct root){
		.volume = 0x1122334455667788,
		.sequence = 1000, .record_crc = 0xdeadbeef,
		.log_next = block_addr(77, 1234),
		.next_chunk = 100, .horizon = 76,
		.stored_blocks = 5000, .live_blocks = 4000,
		.map = { .addr = block_addr(70, 5), .crc = 1, .lineage = 2,
			 .flags = 3 },
		.chunk_table = { .addr = 0, .flags = 1 },
		.document = "{\"version\":1}",
	};
}

static uint8_t *encode(const struct root *root, size_t *len)
{
	uint8_t *buf;

	*len = (size_t)root_blocks(root) * BLOCK_SIZE;
	buf = malloc(*len);
	assert_non_null(buf);
	memset(buf, 0xee, *len);
	root_encode(root, buf);
	return buf;
}

static void check_same(const struct root *a, const struct root *b)
{
	assert_int_equal(a->volume, b->volume);
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->record_crc, b->record_crc);
	assert_int_equal(a->log_next, b->log_next);
	assert_int_equal(a->next_chunk, b->next_chunk);
	assert_int_equal(a->horizon, b->horizon);
	assert_int_equal(a->stored_blocks, b->stored_blocks);
	assert_int_equal(a->live_blocks, b->live_blocks);
	assert_memory_equal(&a->map, &b->map, sizeof(a->map));
	assert_memory_equal(&a->chunk_table, &b->chunk_table,
			    sizeof(a->chunk_table));
	assert_string_equal(a->document, b->document);
	assert_int_equal(a->freed_count, b->freed_count);
	for (uint32_t i = 0; i < a->freed_count; i++)
		assert_int_equal(a->freed[i], b->freed[i]);
}

static void round_trip(const struct root *root)
{
	struct root back;
	size_t len;
	uint8_t *buf = encode(root, &len);

	assert_int_equal(root_decode(buf, len, &back), 0);
	check_same(root, &back);
	root_release(&back);
	free(buf);
}

static void a_root_survives_the_round_trip(void **state)
{
	struct root root = example();

	(void)state;
	round_trip(&root);
	root.document = "";
	round_trip(&root);
}

static void the_largest_root_fits_in_a_record(void **state)
{
	uint64_t *freed = malloc(ROOT_FREED_MAX * sizeof(*freed));
	char *document = malloc(ROOT_DOCUMENT_MAX + 1);
	struct root root = example();

	(void)state;
	assert_non_null(freed);
	assert_non_null(document);
	for (uint32_t i = 0; i < ROOT_FREED_MAX; i++)
		freed[i] = 1 + i * 3;
	memset(document, 'x', ROOT_DOCUMENT_MAX);
	document[ROOT_DOCUMENT_MAX] = 0;
	root.next_chunk = 1 << 20;
	root.freed = freed;
	root.freed_count = ROOT_FREED_MAX;
	root.document = document;
	assert_true(root_blocks(&root) <= RECORD_PAYLOAD_BLOCKS_MAX);
	round_trip(&root);
	free(freed);
	free(document);
}

static void every_damaged_byte_is_noticed(void **state)
{
	uint64_t freed[] = { 3, 9, 50 };
	struct root root = example(), back;
	uint8_t *buf;
	size_t len;

	(void)state;
	root.freed = freed;
	root.freed_count = 3;
	buf = encode(&root, &len);
	for (size_t i = 0; i < len; i++) {
		buf[i] ^= 0x40;
		assert_int_not_equal(root_decode(buf, len, &back), 0);
		root_release(&back);
		buf[i] ^= 0x40;
	}
	free(buf);
}

static void wrong_sizes_are_refused(void **state)
{
	struct root root = example(), back;
	size_t len;
	uint8_t *buf = encode(&root, &len);
	uint8_t two[2 * BLOCK_SIZE] = { 0 };

	(void)state;
	assert_int_equal(len, BLOCK_SIZE);
	assert_int_equal(root_decode(buf, len - 1, &back), -EBADMSG);
	assert_int_equal(root_decode(buf, 0, &back), -EBADMSG);
	memcpy(two, buf, len);
	assert_int_equal(root_decode(two, sizeof(two), &back), -EBADMSG);
	free(buf);
}

static void a_newer_version_is_named(void **state)
{
	struct root root = example(), back;
	size_t len;
	uint8_t *buf = encode(&root, &len);

	(void)state;
	((struct disk_root *)buf)->version = cpu_to_le16(9);
	assert_int_equal(root_decode(buf, len, &back), -EPROTONOSUPPORT);
	assert_non_null(strstr(error_text(-EPROTONOSUPPORT), "version 9"));
	free(buf);
}

static void refuse(struct root root)
{
	struct root back;
	size_t len;
	uint8_t *buf = encode(&root, &len);

	assert_int_equal(root_decode(buf, len, &back), -EBADMSG);
	free(buf);
}

static void impossible_values_are_refused(void **state)
{
	static const uint64_t unsorted[] = { 9, 9 }, beyond[] = { 1, 100 };
	struct root root;

	(void)state;
	root = example(), root.volume = 0, refuse(root);
	root = example(), root.log_next = 0, refuse(root);
	root = example(), root.log_next = block_addr(101, 0), refuse(root);
	root = example(), root.horizon = 101, refuse(root);
	root = example(), root.map.flags = 0, refuse(root);
	root = example(), root.map.flags = 6, refuse(root);
	root = example(), root.map.addr = block_addr(70, 0), refuse(root);
	root = example(), root.chunk_table.addr = 5, refuse(root);
	root = example(), root.freed = unsorted, root.freed_count = 2;
	refuse(root);
	root = example(), root.freed = beyond, root.freed_count = 2;
	refuse(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_root_survives_the_round_trip),
		cmocka_unit_test(the_largest_root_fits_in_a_record),
		cmocka_unit_test(every_damaged_byte_is_noticed),
		cmocka_unit_test(wrong_sizes_are_refused),
		cmocka_unit_test(a_newer_version_is_named),
		cmocka_unit_test(impossible_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
