// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"

static void sizes_that_people_type(void **state)
{
	static const struct { const char *text; uint64_t bytes; } cases[] = {
		{ "0", 0 }, { "4096", 4096 }, { "4096B", 4096 },
		{ "1K", 1024 }, { "64MiB", 64ull << 20 }, { "10G", 10ull << 30 },
		{ "10g", 10ull << 30 }, { "1.5GiB", 3ull << 29 },
		{ "0.5 MiB", 1ull << 19 }, { "1P", 1ull << 50 },
		{ "16383P", 16383ull << 50 }, { "18446744073709551615", UINT64_MAX },
		{ "1.0000000000000000000000001K", 1024 },
		{ "2.25T", 9ull << 38 },
	};
	uint64_t bytes;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(size_parse(cases[i].text, &bytes), 0);
		assert_true(bytes == cases[i].bytes);
	}
}

static void sizes_that_are_none(void **state)
{
	static const char *const cases[] = {
		"", "K", "-1", "+1", " 1", "1.5", "1.5B", "1.", ".5G", "1KB",
		"1Ki", "1 K B", "1X", "0x10", "1G ", "1,5G", "1e3", "1GiBs",
	};
	uint64_t bytes = 42;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		error_clear();
		assert_int_equal(size_parse(cases[i], &bytes), -EINVAL);
		assert_non_null(strstr(error_text(-EINVAL), "is not a size"));
		assert_int_equal(bytes, 42);
	}
}

static void sizes_beyond_64_bits(void **state)
{
	static const char *const cases[] = {
		"18446744073709551616", "16384P", "16383.9999P999",
		"99999999999999999999999999",
	};
	uint64_t bytes;

	assert_int_equal(size_parse(cases[0], &bytes), -ERANGE);
	assert_int_equal(size_parse(cases[1], &bytes), -ERANGE);
	assert_int_equal(size_parse(cases[2], &bytes), -EINVAL);
	assert_int_equal(size_parse(cases[3], &bytes), -ERANGE);
}

static void sizes_that_people_read(void **state)
{
	static const struct { uint64_t bytes; const char *text; } cases[] = {
		{ 0, "0 B" }, { 999, "999 B" }, { 1000, "1 KiB" },
		{ 1024, "1 KiB" }, { 1536, "1.5 KiB" }, { 64 << 20, "64 MiB" },
		{ 3ull << 29, "1.5 GiB" }, { 999ull << 20, "999 MiB" },
		{ 1000ull << 20, "1 GiB" }, { (1ull << 20) - 1, "1 MiB" },
		{ 123ull << 40, "123 TiB" }, { 1ull << 50, "1 PiB" },
		{ UINT64_MAX, "16 EiB" },
	};
	char text[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		size_format(cases[i].bytes, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
	size_format(1536, text, 4);
	assert_string_equal(text, "1.5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_people_type),
		cmocka_unit_test(sizes_that_are_none),
		cmocka_unit_test(sizes_beyond_64_bits),
		cmocka_unit_test(sizes_that_people_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
