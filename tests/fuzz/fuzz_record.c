// SPDX-License-Identifier: Apache-2.0
/*
 * Anything may be found where a record is looked for. The input is a header;
 * since chance never finds a CRC, it is tried as it is and with the CRC put
 * right. What is decoded must obey the limits and encode to the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "wire/record.h"
#include "wire/scan.h"

#define HEADER_MAX (RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int condition)
{
	if (!condition)
		abort();
}

static void check_limits(const struct record *r)
{
	uint64_t owned = 0;
	uint32_t i;

	check(r->extent_count <= RECORD_EXTENTS_MAX);
	check(r->payload_blocks <= RECORD_PAYLOAD_BLOCKS_MAX);
	check(r->header_blocks >= 1 &&
	      r->header_blocks <= RECORD_HEADER_BLOCKS_MAX);
	check(r->block + record_blocks(r) <= CHUNK_BLOCKS_MAX);
	check(r->chunk >= 1 && r->chunk <= CHUNK_NUMBER_MAX);
	for (i = 0; i < r->extent_count; i++)
		if (extent_has_payload(r->extents[i].kind))
			owned += r->extents[i].count;
	check(owned == r->payload_blocks);
}

static void try_decode(const uint8_t *data, size_t size)
{
	static uint8_t again[HEADER_MAX];
	struct record *r = record_new();

	check(r != NULL);
	if (record_decode(data, size, r) == 0) {
		uint32_t crc = r->crc, bytes = r->header_bytes;

		check_limits(r);
		check(bytes <= size);
		record_encode(r, again);
		check(r->crc == crc && r->header_bytes == bytes);
		check(memcmp(again, data, bytes) == 0);
	}
	record_free(r);
}

static void fix_crc(uint8_t *data, size_t size)
{
	uint32_t bytes, crc;
	__le32 disk;

	if (size < sizeof(struct disk_record_header))
		return;
	memcpy(&disk, data + 16, sizeof(disk));
	bytes = le32_to_cpu(disk);
	if (bytes < sizeof(struct disk_record_header) || bytes > size)
		return;
	memset(data + 8, 0, sizeof(disk));
	crc = crc32c(0, data, bytes);
	disk = cpu_to_le32(crc);
	memcpy(data + 8, &disk, sizeof(disk));
}

/* The same bytes as the data of a scan reply. */
static void try_scan(const uint8_t *data, size_t size)
{
	struct scan_iter it;
	const void *header;
	uint32_t bytes;

	scan_iter_init(&it, data, size);
	while (scan_next(&it, &header, &bytes) == 1) {
		check((const uint8_t *)header >= data);
		check((const uint8_t *)header + bytes <= data + size);
		try_decode(header, bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	try_decode(data, size);
	try_scan(data, size);
	copy = malloc(size + 1);
	check(copy != NULL);
	memcpy(copy, data, size);
	fix_crc(copy, size);
	try_decode(copy, size);
	free(copy);
	return 0;
}
