// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "chance.h"

void chance_init(struct chance *c, uint64_t seed, unsigned int thread)
{
	c->state = seed * 0x9e3779b97f4a7c15ull + thread;
	chance_u64(c);
}

/* splitmix64 */
uint64_t chance_u64(struct chance *c)
{
	uint64_t x = c->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

uint64_t chance_below(struct chance *c, uint64_t n)
{
	return chance_u64(c) % n;
}

bool chance_one_in(struct chance *c, unsigned int n)
{
	return chance_below(c, n) == 0;
}

void chance_bytes(struct chance *c, void *to, size_t len)
{
	uint8_t *at = to;

	while (len) {
		uint64_t word = chance_u64(c);
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(at, &word, n);
		at += n;
		len -= n;
	}
}
