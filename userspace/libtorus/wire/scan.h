/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of a SCAN reply: record headers without their padding, packed.
 *
 *   data  := entry*
 *   entry := bytes:le32 header{bytes} zero{to the next multiple of 8}
 */
#ifndef TORUS_WIRE_SCAN_H
#define TORUS_WIRE_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "wire/record.h"

/* Bytes that an entry for a header of @header_bytes takes. */
static inline size_t scan_entry_size(uint32_t header_bytes)
{
	return (sizeof(__le32) + header_bytes + 7) & ~(size_t)7;
}

/**
 * scan_append() - add one header to @buf.
 * @used: bytes of @buf in use so far, advanced on success.
 * @size: bytes of @buf.
 * Returns 0, -ENOSPC (does not fit; nothing was changed).
 */
int scan_append(void *buf, size_t size, size_t *used, const void *header,
		uint32_t header_bytes);

struct scan_iter {
	const uint8_t *at;
	size_t left;
};

static inline void scan_iter_init(struct scan_iter *it, const void *data,
				  size_t len)
{
	it->at = data;
	it->left = len;
}

/**
 * scan_next() - the next packed header, bounds checked.
 * Returns 1 and *@header, *@header_bytes (into the data; to be given to
 * record_decode()); 0 at the end; -EBADMSG with error text.
 */
int scan_next(struct scan_iter *it, const void **header,
	      uint32_t *header_bytes);

#endif
