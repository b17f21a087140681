/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 with padding (RFC 4648), as etcd's JSON has keys and values. */
#ifndef TORUS_META_BASE64_H
#define TORUS_META_BASE64_H

#include <stddef.h>

/** base64_encode() - text from malloc; NULL: out of memory. */
char *base64_encode(const char *data, size_t len);

/**
 * base64_decode() - the decoded bytes from malloc, with a NUL behind them.
 * Returns NULL when @text is no base64 or contains a NUL byte (errno EBADMSG),
 * or when out of memory (ENOMEM).
 */
char *base64_decode(const char *text);

#endif
