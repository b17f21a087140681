/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C (Castagnoli), computed by ISA-L with the processor's instructions. */
#ifndef TORUS_BASE_CRC32C_H
#define TORUS_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/**
 * crc32c() - CRC32C of @len bytes, continuing from @crc.
 * @crc: 0 to start, or the value returned for the bytes before @data.
 * The result is the finished (inverted) value as in RFC 3720: the CRC of the
 * nine bytes "123456789" is 0xe3069283.
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
