/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_DEVICES_H
#define FUZZ_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "chance.h"

/*
 * Ids: those that the fuzzer gives to devices, one beyond them that is the
 * largest there is, those that never exist, and those of the clean cycles.
 * None of the last can be made from one of the first by turning
 * DEVICES_FLIPS bits.
 */
#define DEVICES_IDS 16
#define DEVICES_ID_LAST 4095
#define DEVICES_ABSENT 3000
#define DEVICES_NR_ABSENT 900
#define DEVICES_CYCLE 2720
#define DEVICES_NR_CYCLE 16
#define DEVICES_FLIPS 3

/* More are not kept at once. */
#define DEVICES_MAX 10

/* All threads know the same devices. */
void devices_note(uint32_t id);
void devices_forget(uint32_t id);

/* Says whether there is a block device. */
void devices_set_live(uint32_t id, bool live);

unsigned int devices_count(void);

/* One of them, or -1. */
int devices_pick(struct chance *c);

/* One with a block device; waits for it. -1 once devices_end() was called. */
int devices_wait_live(struct chance *c);
void devices_end(void);

#endif
