// SPDX-License-Identifier: Apache-2.0
#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <stdbool.h>
#include <string.h>

#include "base/endian.h"

/* ISA-L takes the length as an int. */
#define PIECE_MAX (1u << 30)
/* The polynomial 0x1edc6f41 with its bits in reverse order. */
#define POLYNOMIAL 0x82f63b78u
#define SAMPLE 4096
#define ROUNDS 4

static bool use_tables;

/*
 * ISA-L's crc32_iscsi() works on the bare register: it inverts neither what
 * it is given nor what it returns, so both are done here.
 */
static uint32_t by_instructions(uint32_t crc, const void *data, size_t len)
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

/*
 * Slicing by 8: what each of eight bytes does to the register is looked up, in
 * a table for its distance to the last of them. M. Kounavis and F. Berry,
 * "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation",
 * IEEE Transactions on Computers 57 (2008).
 */
static uint32_t table[8][256];

static void fill_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t reg = byte;

		for (int bit = 0; bit < 8; bit++)
			reg = (reg >> 1) ^ (reg & 1 ? POLYNOMIAL : 0);
		table[0][byte] = reg;
	}
	for (int i = 1; i < 8; i++)
		for (uint32_t byte = 0; byte < 256; byte++)
			table[i][byte] = (table[i - 1][byte] >> 8) ^
					 table[0][table[i - 1][byte] & 0xff];
}

static uint32_t update_8(uint64_t v)
{
	return table[7][v & 0xff] ^ table[6][v >> 8 & 0xff] ^
	       table[5][v >> 16 & 0xff] ^ table[4][v >> 24 & 0xff] ^
	       table[3][v >> 32 & 0xff] ^ table[2][v >> 40 & 0xff] ^
	       table[1][v >> 48 & 0xff] ^ table[0][v >> 56];
}

uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t reg = ~crc;
	__le64 eight;

	if (!table[0][1])
		fill_tables();
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&eight, p, 8);
		reg = update_8(le64_to_cpu(eight) ^ reg);
	}
	for (; len; len--)
		reg = (reg >> 8) ^ table[0][(reg ^ *p++) & 0xff];
	return ~reg;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	return use_tables ? crc32c_by_tables(crc, data, len) :
			    by_instructions(crc, data, len);
}

bool crc32c_uses_tables(void)
{
	return use_tables;
}

/* The best of some, in nanoseconds: what interrupts one of them is no measure. */
static uint64_t time_of(uint32_t (*way)(uint32_t, const void *, size_t),
			uint64_t (*now_ns)(void))
{
	static const uint8_t sample[SAMPLE];
	static volatile uint32_t result;	/* has it computed at all */
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = now_ns(), took;

		result = way(result, sample, sizeof(sample));
		took = now_ns() - start;
		if (took < best)
			best = took;
	}
	return best;
}

void crc32c_calibrate(uint64_t (*now_ns)(void))
{
	uint64_t tables = time_of(crc32c_by_tables, now_ns);
	uint64_t instructions = time_of(by_instructions, now_ns);

	use_tables = tables < instructions;
}
