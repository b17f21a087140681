/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as people type and read them. */
#ifndef TORUS_BASE_SIZE_H
#define TORUS_BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/**
 * size_parse() - bytes from "4096", "64MiB", "1.5GiB", "10G" (K M G T P, with
 * or without "iB", are powers of 1024).
 * Returns 0, -EINVAL (does not parse) or -ERANGE (overflow), and sets the
 * error text, naming @text.
 */
int size_parse(const char *text, uint64_t *bytes);

/** size_format() - "1.5 GiB": at most three digits, NUL-terminated in @buf. */
void size_format(uint64_t bytes, char *buf, size_t len);

#endif
