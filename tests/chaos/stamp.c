// SPDX-License-Identifier: Apache-2.0
/*
 * Each 16 bytes carry the value, and the block mixed with their own place: a
 * mixture of two writes, a shifted sector, and another block's data all show.
 */
#include <string.h>

#include "history.h"
#include "stamp.h"

#define UNITS (STAMP_BLOCK / 16)

static void unit_fill(uint64_t unit[2], uint64_t value, uint32_t block,
		      unsigned int i)
{
	unit[0] = value;
	unit[1] = ((uint64_t)block << 16 | i) * 0x9e3779b97f4a7c15ULL ^ value;
}

void stamp_fill(void *data, uint64_t value, uint32_t block)
{
	uint64_t unit[2];
	unsigned int i;

	for (i = 0; i < UNITS; i++) {
		unit_fill(unit, value, block, i);
		memcpy((char *)data + i * sizeof(unit), unit, sizeof(unit));
	}
}

uint64_t stamp_value(const void *data, uint32_t block)
{
	static const char zeros[STAMP_BLOCK];
	uint64_t value, unit[2];
	unsigned int i;

	if (memcmp(data, zeros, STAMP_BLOCK) == 0)
		return 0;
	memcpy(&value, data, sizeof(value));
	for (i = 0; i < UNITS; i++) {
		unit_fill(unit, value, block, i);
		if (memcmp((const char *)data + i * sizeof(unit), unit,
			   sizeof(unit)))
			return EVENT_TORN;
	}
	return value && value != EVENT_TORN ? value : EVENT_TORN;
}
