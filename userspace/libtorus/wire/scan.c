// SPDX-License-Identifier: Apache-2.0
#include "wire/scan.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

int scan_append(void *buf, size_t size, size_t *used, const void *header,
		uint32_t header_bytes)
{
	size_t entry = scan_entry_size(header_bytes);
	__le32 bytes = cpu_to_le32(header_bytes);
	uint8_t *at = (uint8_t *)buf + *used;

	if (*used > size || entry > size - *used)
		return -ENOSPC;
	memcpy(at, &bytes, sizeof(bytes));
	memcpy(at + sizeof(bytes), header, header_bytes);
	memset(at + sizeof(bytes) + header_bytes, 0,
	       entry - sizeof(bytes) - header_bytes);
	*used += entry;
	return 0;
}

int scan_next(struct scan_iter *it, const void **header,
	      uint32_t *header_bytes)
{
	__le32 disk;
	uint32_t bytes;

	if (it->left == 0)
		return 0;
	if (it->left < sizeof(disk))
		return error_set(-EBADMSG, "scan reply ends within an entry");
	memcpy(&disk, it->at, sizeof(disk));
	bytes = le32_to_cpu(disk);
	if (bytes < sizeof(struct disk_record_header) ||
	    bytes > RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)
		return error_set(-EBADMSG, "scan reply has an entry of %u bytes, which no record header has",
				 bytes);
	if (scan_entry_size(bytes) > it->left)
		return error_set(-EBADMSG, "scan reply ends within an entry");
	*header = it->at + sizeof(disk);
	*header_bytes = bytes;
	it->at += scan_entry_size(bytes);
	it->left -= scan_entry_size(bytes);
	return 1;
}
