// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.h"

#include <errno.h>

static const char hex_digits[] = "0123456789abcdef";

/* Whether a dash follows byte @i in the canonical form (8-4-4-4-12). */
static bool dash_after(unsigned int i)
{
	return i == 3 || i == 5 || i == 7 || i == 9;
}

void uuid_format(const struct uuid *u, char text[UUID_TEXT_SIZE])
{
	char *p = text;
	unsigned int i;

	for (i = 0; i < sizeof(u->byte); i++) {
		*p++ = hex_digits[u->byte[i] >> 4];
		*p++ = hex_digits[u->byte[i] & 15];
		if (dash_after(i))
			*p++ = '-';
	}
	*p = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int uuid_parse(const char *text, struct uuid *u)
{
	struct uuid parsed;
	unsigned int i;

	for (i = 0; i < sizeof(parsed.byte); i++) {
		int high = hex_value(text[0]);
		int low = high < 0 ? -1 : hex_value(text[1]);

		if (low < 0)
			return -EINVAL;
		parsed.byte[i] = (uint8_t)(high << 4 | low);
		text += 2;
		if (dash_after(i) && *text++ != '-')
			return -EINVAL;
	}
	if (*text != '\0')
		return -EINVAL;
	*u = parsed;
	return 0;
}

/* Version 4, variant 1 (RFC 4122, section 4.4). */
void uuid_from_random(struct uuid *u)
{
	u->byte[6] = (u->byte[6] & 0x0f) | 0x40;
	u->byte[8] = (u->byte[8] & 0x3f) | 0x80;
}
