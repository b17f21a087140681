/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that were deleted and of which this store knows nothing else: a
 * sorted array of ids, 8 bytes for each. In memory only: the metadata store
 * keeps the tombstones, and torusd reads them all at each start.
 */
#ifndef TORUS_STORE_CONDEMNED_H
#define TORUS_STORE_CONDEMNED_H

#include <stdbool.h>
#include <stdint.h>

struct store_condemned {
	uint64_t *ids;
	uint32_t count, cap;
};

/** store_condemned_add() - once or again. 0 or -ENOMEM. */
int store_condemned_add(struct store_condemned *condemned, uint64_t id);

bool store_condemned_has(const struct store_condemned *condemned, uint64_t id);

void store_condemned_release(struct store_condemned *condemned);

#endif
