// SPDX-License-Identifier: Apache-2.0
/* What is taken from the file "scrub" is what is written there again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "maint/scrub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SCRUB_TEXT_MAX], again[SCRUB_TEXT_MAX];
	struct scrub_saved saved, twice;
	size_t len;

	if (scrub_saved_parse((const char *)data, size, &saved) < 0)
		return 0;
	len = scrub_saved_format(&saved, text, sizeof(text));
	if (len >= sizeof(text) || scrub_saved_parse(text, len, &twice) < 0 ||
	    scrub_saved_format(&twice, again, sizeof(again)) != len ||
	    memcmp(text, again, len) != 0)
		abort();
	return 0;
}
