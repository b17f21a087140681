/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C (Castagnoli), computed by ISA-L with the processor's instructions; or
 * with tables, where those are slow: an emulated processor has them, and takes
 * four times as long for them.
 */
#ifndef TORUS_BASE_CRC32C_H
#define TORUS_BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * crc32c() - CRC32C of @len bytes, continuing from @crc.
 * @crc: 0 to start, or the value returned for the bytes before @data.
 * The result is the finished (inverted) value as in RFC 3720: the CRC of the
 * nine bytes "123456789" is 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/**
 * crc32c_calibrate() - find out which way is faster here, and go it from now on.
 * @now_ns: a clock that only grows, in nanoseconds
 * Takes some 10 us. Before other threads compute anything; the results are the
 * same either way, and without it ISA-L computes them.
 */
void crc32c_calibrate(uint64_t (*now_ns)(void));

/** crc32c_uses_tables() - which way was found to be faster. */
bool crc32c_uses_tables(void);

/** crc32c_by_tables() - the slower way, mostly. For crc32c.c and its tests;
 * the first call fills the tables, so it is to be the only one of its time. */
uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t len);

#endif
