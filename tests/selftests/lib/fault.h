/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_FAULT_H
#define SELFTEST_FAULT_H

#include <stdbool.h>

/*
 * The knobs of a driver with fault points, /sys/kernel/debug/torus/faults; what
 * is written to them is described in Documentation/ABI/torus.
 */

/* Skips the test without them. All of them are off at its end. */
void faults_begin(void);

/* Has nothing go wrong any more; who stops at a point goes on. */
void faults_off(void);

/* Sets a knob anew; fails the test if it cannot. */
void fault_set(const char *knob, const char *setting);

/* The same; 0 or -errno. */
int fault_try_set(const char *knob, const char *setting);

/* Waits until it has happened since it was set; fails the test after the time. */
void fault_wait(const char *knob, int timeout_ms);

/* What a knob shows: a setting or a count. */
int fault_value(const char *knob, const char *key);

#endif
