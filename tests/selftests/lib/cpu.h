/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_CPU_H
#define SELFTEST_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Moves this thread, and those it starts, to one CPU; -1: to any. */
void cpu_pin(int cpu);

/* The hardware queue of a device that serves a CPU; fails the test if none. */
unsigned int cpu_queue(uint32_t id, unsigned int cpu);

/* Takes a CPU out, or back in. 0 or -errno; -ENOENT: it cannot be. */
int cpu_set_online(unsigned int cpu, bool online);

#endif
