/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_UEVENT_H
#define SELFTEST_UEVENT_H

#include <stdint.h>

/* Listens to what the kernel tells udev. The socket; fails the test. */
int uevent_open(void);

/* Waits for the next uevent that the size of a device has changed. */
void uevent_wait_resize(int fd, uint32_t id);

#endif
