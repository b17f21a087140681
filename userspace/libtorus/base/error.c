// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static __thread struct {
	char text[ERROR_TEXT_MAX];
	/* Only prefixes so far: error_text() adds what strerror() says. */
	bool bare;
} last;

/* Adds @more, cut off where the room ends. */
static void append(char text[ERROR_TEXT_MAX], const char *more)
{
	size_t used = strlen(text), len = strlen(more);

	if (len > ERROR_TEXT_MAX - 1 - used)
		len = ERROR_TEXT_MAX - 1 - used;
	memcpy(text + used, more, len);
	text[used + len] = '\0';
}

int error_set(int err, const char *fmt, ...)
{
	/* The arguments may point into the sentence that is replaced. */
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(last.text, text, sizeof(text));
	last.bare = false;
	return err;
}

void error_prefix(const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (last.text[0] == '\0') {
		last.bare = true;
	} else {
		append(text, ": ");
		append(text, last.text);
	}
	memcpy(last.text, text, sizeof(text));
}

const char *error_text(int err)
{
	if (last.text[0] == '\0')
		return strerror(err < 0 ? -err : err);
	if (last.bare) {
		append(last.text, ": ");
		append(last.text, strerror(err < 0 ? -err : err));
		last.bare = false;
	}
	return last.text;
}

void error_clear(void)
{
	last.text[0] = '\0';
	last.bare = false;
}
