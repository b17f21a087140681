/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_CHAOS_HISTORY_H
#define TORUS_CHAOS_HISTORY_H

/*
 * What a load did to a device and what it saw: one event for each block of each
 * request. chaos-load writes these to a file, chaos-check judges them. It is a
 * file of this machine, of one run: times are nanoseconds of CLOCK_MONOTONIC.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

enum event_kind {
	EVENT_READ = 1,
	EVENT_WRITE,		/* value 0: a trim, or zeros */
	EVENT_FLUSH,		/* also for a write with FUA */
	EVENT_SESSION,		/* from here on, another server serves */
	EVENT_LOSS,		/* what was not flushed before may be lost */
};

enum event_outcome {
	EVENT_OK = 1,
	/*
	 * Its server went away: it was done before the next session, or never.
	 * `end` is when that session began.
	 */
	EVENT_UNKNOWN,
	EVENT_FAILED,		/* it was done at some time, or never */
};

#define EVENT_NO_BLOCK UINT32_MAX
#define EVENT_NEVER UINT64_MAX
/* Read, but no stamp of this block: torn, misplaced, or garbage. */
#define EVENT_TORN UINT64_MAX

struct event {
	uint64_t invoke, end;
	uint64_t value;		/* written or read; every write has its own */
	uint32_t block;
	uint8_t kind, outcome;
	uint16_t thread;
};
static_assert(sizeof(struct event) == 32, "size in a history");

#endif
