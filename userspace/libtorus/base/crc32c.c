// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* ISA-L takes the length as an int. */
#define PIECE_MAX (1u << 30)

/*
 * ISA-L's crc32_iscsi() works on the bare register: it inverts neither what
 * it is given nor what it returns, so both are done here.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	/* ISA-L does not write through its non-const pointer. */
	unsigned char *p = (unsigned char *)(uintptr_t)data;
	uint32_t reg = ~crc;

	while (len > 0) {
		int piece = len > PIECE_MAX ? (int)PIECE_MAX : (int)len;

		reg = crc32_iscsi(p, piece, reg);
		p += piece;
		len -= (size_t)piece;
	}
	return ~reg;
}
