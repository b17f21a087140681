/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of the dirty pages of one level of a checkpoint, in the order of
 * their index: an array that grows in pieces, so that its elements stay where
 * they are.
 */
#ifndef TORUS_VOLUME_MAP_RESULTS_H
#define TORUS_VOLUME_MAP_RESULTS_H

#include <stddef.h>
#include <stdint.h>

#include "wire/record.h"

struct page_result {
	uint64_t index;		/* of the page in its level */
	block_addr_t addr;	/* 0 = not placed yet, or empty */
	uint32_t crc;
};

/* Zero-initialised is empty. */
struct results {
	struct page_result **piece;
	size_t piece_room;
	uint64_t count;
};

/** results_add() - a new last element with addr 0. NULL: out of memory. */
struct page_result *results_add(struct results *results, uint64_t index);
struct page_result *results_get(const struct results *results, uint64_t i);
void results_release(struct results *results);

#endif
