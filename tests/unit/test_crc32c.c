// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

/* RFC 3720, appendix B.4. */
static void rfc3720_vectors(void **state)
{
	uint8_t data[32];
	unsigned int i;

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
}

static void nothing_changes_nothing(void **state)
{
	assert_int_equal(crc32c(0, NULL, 0), 0);
	assert_int_equal(crc32c(0x12345678, NULL, 0), 0x12345678);
}

static void pieces_equal_the_whole(void **state)
{
	uint8_t data[4099];
	uint32_t whole;
	size_t i;

	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	whole = crc32c(0, data, sizeof(data));
	for (i = 0; i <= sizeof(data); i += 13)
		assert_int_equal(crc32c(crc32c(0, data, i), data + i,
					sizeof(data) - i), whole);
}

static void both_ways_agree(void **state)
{
	uint8_t data[300];
	size_t from, len;

	for (from = 0; from < sizeof(data); from++)
		data[from] = (uint8_t)(from * 13 + (from >> 3));
	for (from = 0; from < 9; from++)
		for (len = 0; len < 290; len++)
			assert_int_equal(crc32c_by_tables(7, data + from, len),
					 crc32c(7, data + from, len));
}

static uint64_t calls;

/* Clocks by which the tables, measured first, are faster or slower. */
static uint64_t tables_first(void)
{
	return calls++ < 8 ? calls : 100 * calls;
}

static uint64_t instructions_first(void)
{
	return calls++ < 8 ? 100 * calls : calls;
}

static void either_way_gives_the_vectors(void **state)
{
	calls = 0;
	crc32c_calibrate(tables_first);
	assert_true(crc32c_uses_tables());
	rfc3720_vectors(state);
	pieces_equal_the_whole(state);
	calls = 0;
	crc32c_calibrate(instructions_first);
	assert_false(crc32c_uses_tables());
	rfc3720_vectors(state);
	pieces_equal_the_whole(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc3720_vectors),
		cmocka_unit_test(nothing_changes_nothing),
		cmocka_unit_test(pieces_equal_the_whole),
		cmocka_unit_test(both_ways_agree),
		cmocka_unit_test(either_way_gives_the_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
