/* SPDX-License-Identifier: Apache-2.0 */
/* 128-bit identifiers (cluster, peer, incarnation) and their text form. */
#ifndef TORUS_BASE_UUID_H
#define TORUS_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Room for the canonical text form and its terminating NUL. */
#define UUID_TEXT_SIZE 37

struct uuid {
	uint8_t byte[16];
};

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->byte, b->byte, sizeof(a->byte)) == 0;
}

static inline bool uuid_is_null(const struct uuid *u)
{
	static const struct uuid null;

	return uuid_equal(u, &null);
}

/** uuid_format() - write the canonical lower-case text of @u into @text. */
void uuid_format(const struct uuid *u, char text[UUID_TEXT_SIZE]);

/** uuid_parse() - read the canonical text form; 0 or -EINVAL. */
int uuid_parse(const char *text, struct uuid *u);

/** uuid_from_random() - set version and variant bits in 16 random bytes. */
void uuid_from_random(struct uuid *u);

#endif
