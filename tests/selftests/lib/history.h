/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_HISTORY_H
#define SELFTEST_HISTORY_H

#include <stdint.h>

/* What became of the requests of a device, as the driver's tracepoints tell. */
struct history {
	uint64_t queued;
	uint64_t completed;
	uint64_t requeued;
	uint64_t failed;
};

/* Begins to record; skips the test without tracing. */
void history_begin(void);

/*
 * Ends the recording and fails the test unless each request that came to the
 * driver was given back by it once, and none that had not come.
 */
void history_check(uint32_t dev_id, struct history *history);

#endif
