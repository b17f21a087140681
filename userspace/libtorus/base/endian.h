/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between the little-endian fields of disk and wire structures
 * and the host's integers. The __leNN types come from the kernel's headers so
 * that sparse catches a missing conversion.
 */
#ifndef TORUS_BASE_ENDIAN_H
#define TORUS_BASE_ENDIAN_H

#include <endian.h>
#include <linux/types.h>
#include <stdint.h>

#ifdef __CHECKER__
#define TORUS_FORCE __attribute__((force))
#else
#define TORUS_FORCE
#endif

static inline __le16 cpu_to_le16(uint16_t v)
{
	return (TORUS_FORCE __le16)htole16(v);
}

static inline __le32 cpu_to_le32(uint32_t v)
{
	return (TORUS_FORCE __le32)htole32(v);
}

static inline __le64 cpu_to_le64(uint64_t v)
{
	return (TORUS_FORCE __le64)htole64(v);
}

static inline uint16_t le16_to_cpu(__le16 v)
{
	return le16toh((TORUS_FORCE uint16_t)v);
}

static inline uint32_t le32_to_cpu(__le32 v)
{
	return le32toh((TORUS_FORCE uint32_t)v);
}

static inline uint64_t le64_to_cpu(__le64 v)
{
	return le64toh((TORUS_FORCE uint64_t)v);
}

#endif
