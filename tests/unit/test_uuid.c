// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/uuid.h"

static const char canonical[] = "00112233-4455-6677-8899-aabbccddeeff";

static void text_and_bytes_agree(void **state)
{
	char text[UUID_TEXT_SIZE];
	struct uuid u;
	unsigned int i;

	assert_int_equal(uuid_parse(canonical, &u), 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(u.byte[i], i * 0x11);
	uuid_format(&u, text);
	assert_string_equal(text, canonical);
	assert_int_equal(uuid_parse("00112233-4455-6677-8899-AABBCCDDEEFF", &u),
			 0);
	assert_int_equal(u.byte[15], 0xff);
}

static void other_texts_are_refused(void **state)
{
	static const char *const cases[] = {
		"", "0", "00112233445566778899aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeef",
		"00112233-4455-6677-8899-aabbccddeeff0",
		"0011223g-4455-6677-8899-aabbccddeeff",
		"{0112233-4455-6677-8899-aabbccddeeff",
		"00112233_4455-6677-8899-aabbccddeeff",
	};
	struct uuid u = { { 1 } };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(uuid_parse(cases[i], &u), -EINVAL);
	assert_int_equal(u.byte[0], 1);
}

static void random_ones_say_so(void **state)
{
	struct uuid u;

	memset(&u, 0xff, sizeof(u));
	uuid_from_random(&u);
	assert_int_equal(u.byte[6], 0x4f);
	assert_int_equal(u.byte[8], 0xbf);
	assert_false(uuid_is_null(&u));
	memset(&u, 0, sizeof(u));
	assert_true(uuid_is_null(&u));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_bytes_agree),
		cmocka_unit_test(other_texts_are_refused),
		cmocka_unit_test(random_ones_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
