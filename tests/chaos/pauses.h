/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_PAUSES_H
#define TORUS_CHAOS_PAUSES_H

#include <stddef.h>

#include "history.h"

/*
 * pauses_print() - how long each kind of fault held I/O up. The file @path has
 * one line "KIND BEGIN END" for each fault (nanoseconds, as in a history). One
 * that another kind overlaps, or follows within two seconds, counts only if all
 * of its kind are such. Prints for each kind
 *
 *   pause KIND N gap MS slowest MS [never alone]
 *
 * N faults; the longest time in which no write ended; the longest request. A
 * request that took longer than two seconds before a fault is not its doing.
 * Returns 0, -EINVAL for a line that is none, or -errno.
 */
int pauses_print(const char *path, const struct event *events, size_t count);

#endif
