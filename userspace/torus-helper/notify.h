/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the helper tells whoever started it (sd_notify(3)): systemd, or
 * `torusctl attach`, which listens in the same way.
 */
#ifndef TORUS_HELPER_NOTIFY_H
#define TORUS_HELPER_NOTIFY_H

#include <stdint.h>
#include <sys/types.h>

/** notify_ready() - the device can be opened. */
void notify_ready(uint32_t device, const char *volume);

/** notify_status() - one sentence about what goes on. */
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** notify_main() - who is the main process of the unit from now on. */
void notify_main(pid_t pid);

/** notify_stopping() - the end is near. */
void notify_stopping(void);

/** notify_failed() - why it ends, and the errno. */
void notify_failed(int err, const char *sentence);

#endif
