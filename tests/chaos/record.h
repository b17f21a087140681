/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_RECORD_H
#define TORUS_CHAOS_RECORD_H

#include "history.h"

/* monotonic_ns() - the clock of all histories. */
uint64_t monotonic_ns(void);

/*
 * record_open() - events go to the end of this file; from any thread.
 * record_close() says whether all of them are there: 0 or -errno.
 */
int record_open(const char *path);
void record_event(const struct event *event);
int record_close(void);

#endif
