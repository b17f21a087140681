/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_TESTS_UNIT_SHELL_H
#define TORUS_TESTS_UNIT_SHELL_H

/**
 * shell() - run a command with /bin/sh and wait for it.
 * Returns its exit status; -1 when it could not be run or a signal ended it.
 */
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
