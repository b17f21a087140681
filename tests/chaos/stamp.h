/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_STAMP_H
#define TORUS_CHAOS_STAMP_H

#include <stdint.h>

#define STAMP_BLOCK 4096

/* stamp_fill() - make the 4096 bytes that say: this value, in this block. */
void stamp_fill(void *data, uint64_t value, uint32_t block);

/*
 * stamp_value() - the value of a block as it was read, 0 if it is all zeros,
 * EVENT_TORN if it is not wholly one stamp of this block.
 */
uint64_t stamp_value(const void *data, uint32_t block);

#endif
