// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as a root: refused, or the same again when encoded. The checksum
 * is put right first, as the fuzzer could not guess it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "volume/root.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_crc_right(uint8_t *buf, size_t len)
{
	struct disk_root disk;
	size_t bytes;

	if (len < sizeof(disk))
		return;
	memcpy(&disk, buf, sizeof(disk));
	bytes = le32_to_cpu(disk.bytes);
	if (bytes > len)
		return;
	disk.crc = cpu_to_le32(0);
	memcpy(buf, &disk, sizeof(disk));
	disk.crc = cpu_to_le32(crc32c(0, buf, bytes));
	memcpy(buf, &disk, sizeof(disk));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
	uint8_t *buf = calloc(1, len ? len : 1), *again;
	struct root root;

	if (!buf)
		abort();
	memcpy(buf, data, size);
	put_crc_right(buf, len);
	if (root_decode(buf, len, &root) == 0) {
		if ((size_t)root_blocks(&root) * BLOCK_SIZE != len)
			abort();
		again = malloc(len);
		if (!again)
			abort();
		root_encode(&root, again);
		if (memcmp(buf, again, len))
			abort();
		free(again);
		root_release(&root);
	}
	free(buf);
	return 0;
}
