// SPDX-License-Identifier: Apache-2.0
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

static const char unit_letters[] = "KMGTPE";

static int size_bad(const char *text)
{
	return error_set(-EINVAL, "\"%s\" is not a size: write a number, with K, M, G, T or P (or KiB, MiB ...) for powers of 1024",
			 text);
}

/* The digits after the point as a fraction of @unit, rounded down. */
static const char *parse_fraction(const char *p, uint64_t unit, uint64_t *bytes)
{
	uint64_t scale = 1, value = 0;

	for (; isdigit((unsigned char)*p); p++) {
		/* More digits than this change no byte of a pebibyte. */
		if (scale < 1000000000000000000ull) {
			value = value * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	}
	*bytes = (uint64_t)((unsigned __int128)value * unit / scale);
	return p;
}

/* Shift of the unit at @p, or -1 if @p is none and not the end either. */
static int parse_unit(const char *p)
{
	const char *letter;

	if (*p == ' ')
		p++;
	if (*p == '\0' || strcmp(p, "B") == 0)
		return 0;
	letter = strchr("KMGTP", toupper((unsigned char)*p));
	if (letter == NULL)
		return -1;
	if (p[1] != '\0' && strcmp(p + 1, "iB") != 0)
		return -1;
	return 10 * (int)(strchr(unit_letters, *letter) - unit_letters + 1);
}

int size_parse(const char *text, uint64_t *bytes)
{
	uint64_t whole = 0, fraction = 0;
	const char *p = text, *point = NULL;
	bool overflow = false;
	int shift;

	if (!isdigit((unsigned char)*p))
		return size_bad(text);
	for (; isdigit((unsigned char)*p); p++)
		overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
			    __builtin_add_overflow(whole, *p - '0', &whole);
	if (*p == '.') {
		point = ++p;
		if (!isdigit((unsigned char)*p))
			return size_bad(text);
		while (isdigit((unsigned char)*p))
			p++;
	}
	shift = parse_unit(p);
	if (shift < 0 || (point != NULL && shift == 0))
		return size_bad(text);
	if (point != NULL)
		parse_fraction(point, 1ull << shift, &fraction);
	if (overflow || __builtin_mul_overflow(whole, 1ull << shift, &whole) ||
	    __builtin_add_overflow(whole, fraction, &whole))
		return error_set(-ERANGE, "size \"%s\" is too large: 16 EiB is the end of what can be counted",
				 text);
	*bytes = whole;
	return 0;
}

void size_format(uint64_t bytes, char *buf, size_t len)
{
	unsigned __int128 tenths;
	unsigned int unit = 0;
	char suffix[4] = "B";

	/* Up to 999 of each unit, so that three digits always do. */
	while (unit < sizeof(unit_letters) - 1 &&
	       (unit == 0 ? bytes >= 1000 :
		((unsigned __int128)bytes * 10 >> (10 * unit)) >= 9995))
		unit++;
	if (unit > 0)
		snprintf(suffix, sizeof(suffix), "%ciB", unit_letters[unit - 1]);
	tenths = ((unsigned __int128)bytes * 10 +
		  (unit ? (1ull << (10 * unit)) / 2 : 0)) >> (10 * unit);
	if (tenths < 1000 && tenths % 10 != 0)
		snprintf(buf, len, "%u.%u %s", (unsigned int)(tenths / 10),
			 (unsigned int)(tenths % 10), suffix);
	else
		snprintf(buf, len, "%u %s", (unsigned int)((tenths + 5) / 10),
			 suffix);
}
