/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_DEVICE_H
#define SELFTEST_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/torus.h>

#include "nl.h"

/* What a device is added with; 0 leaves the driver's default. */
struct device_config {
	const char *volume;
	uint64_t size;
	uint32_t block_size;
	uint32_t queues;
	uint32_t depth;
	uint32_t io_size_max;
	uint32_t io_timeout_ms;
	uint32_t dead_timeout_ms;
	bool dead_timeout_zero;
	bool read_only;
};

extern const uint8_t test_incarnation[TORUS_INCARNATION_LEN];

/* Adds a device and remembers it for the cleanup. The id, or -errno. */
int device_try_add(const struct device_config *config);

/* The same; fails the test if it cannot. */
uint32_t device_add(const struct device_config *config);

/* Remembers for the cleanup a device that was added otherwise. */
void device_remember(uint32_t id);

/* Asks for the deletion. 0 or -errno. */
int device_delete(uint32_t id, bool force);

/*
 * The same, not forced, trying again for 5 s while somebody (udev, the end of
 * the partition scan) has it open for a moment; nothing tells when it is closed.
 */
int device_delete_patiently(uint32_t id);

/* Waits until the device is gone; false after the time. */
bool device_wait_gone(uint32_t id, int timeout_ms);

/* All about a device. 0 or -errno. */
int device_get(uint32_t id, struct nl_msg *answer);
uint32_t device_state(uint32_t id);
uint64_t device_counter(uint32_t id, uint16_t attr);

/* Waits for a state by the driver's events; false after the time. */
bool device_wait_state(uint32_t id, uint32_t state, int timeout_ms);

/* Opens /dev/torusN; -errno. */
int device_open(uint32_t id, int flags);

/* Sends a dev-set with one u32 attribute, a u64 one for the size. */
int device_set(uint32_t id, uint16_t attr, uint64_t value);

/* Leaves nothing to the cleanup: all that were added are gone. */
void device_forget(void);

/* Deletes by force whatever this test has added and not deleted. */
void device_cleanup(void);

#endif
