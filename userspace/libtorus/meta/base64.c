// SPDX-License-Identifier: Apache-2.0
#include "meta/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const char *data, size_t len)
{
	char *text = malloc((len + 2) / 3 * 4 + 1), *out = text;
	const uint8_t *in = (const uint8_t *)data;
	size_t i;

	if (!text)
		return NULL;
	for (i = 0; i < len; i += 3) {
		uint32_t n = in[i] << 16 | (i + 1 < len ? in[i + 1] << 8 : 0) |
			     (i + 2 < len ? in[i + 2] : 0);

		*out++ = digits[n >> 18];
		*out++ = digits[n >> 12 & 63];
		*out++ = i + 1 < len ? digits[n >> 6 & 63] : '=';
		*out++ = i + 2 < len ? digits[n & 63] : '=';
	}
	*out = 0;
	return text;
}

static int value_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Four digits; how many bytes they are, or -1. */
static int decode_group(const char *in, uint8_t out[3])
{
	int v[4], i, pads = (in[3] == '=') + (in[3] == '=' && in[2] == '=');
	uint32_t n = 0;

	for (i = 0; i < 4; i++) {
		v[i] = i >= 4 - pads ? 0 : value_of(in[i]);
		if (v[i] < 0)
			return -1;
		n = n << 6 | v[i];
	}
	for (i = 0; i < 3; i++)
		out[i] = n >> (16 - 8 * i);
	return 3 - pads;
}

char *base64_decode(const char *text)
{
	size_t len = strlen(text), i, at = 0;
	uint8_t *out = malloc(len / 4 * 3 + 4);
	int n = 3;

	if (!out) {
		errno = ENOMEM;
		return NULL;
	}
	for (i = 0; i + 4 <= len && n == 3; i += 4) {
		n = decode_group(text + i, out + at);
		at += n > 0 ? n : 0;
	}
	/* A padded group is the last one. */
	if (n < 0 || i != len || memchr(out, 0, at)) {
		free(out);
		errno = EBADMSG;
		return NULL;
	}
	out[at] = 0;
	return (char *)out;
}
