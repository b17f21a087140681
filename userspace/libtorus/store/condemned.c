// SPDX-License-Identifier: Apache-2.0
#include "store/condemned.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* First index whose id is @id or above. */
static uint32_t place_of(const struct store_condemned *c, uint64_t id)
{
	uint32_t low = 0, high = c->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (c->ids[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool store_condemned_has(const struct store_condemned *c, uint64_t id)
{
	uint32_t at = place_of(c, id);

	return at < c->count && c->ids[at] == id;
}

static int make_room(struct store_condemned *c)
{
	uint32_t grown = c->cap + c->cap / 4 + 8;
	uint64_t *moved;

	if (c->count < c->cap)
		return 0;
	moved = realloc(c->ids, grown * sizeof(*moved));
	if (moved == NULL)
		return -ENOMEM;
	c->ids = moved;
	c->cap = grown;
	return 0;
}

/* They are listed in order: the place is nearly always the end. */
int store_condemned_add(struct store_condemned *c, uint64_t id)
{
	uint32_t at = place_of(c, id);

	if (at < c->count && c->ids[at] == id)
		return 0;
	if (make_room(c) < 0)
		return -ENOMEM;
	memmove(&c->ids[at + 1], &c->ids[at],
		(c->count - at) * sizeof(c->ids[0]));
	c->ids[at] = id;
	c->count++;
	return 0;
}

void store_condemned_release(struct store_condemned *c)
{
	free(c->ids);
	memset(c, 0, sizeof(*c));
}
