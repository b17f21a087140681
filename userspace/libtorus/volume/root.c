// SPDX-License-Identifier: Apache-2.0
#include "volume/root.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "volume/map_page.h"

#define ROOT_BYTES_MAX	(RECORD_PAYLOAD_BLOCKS_MAX * BLOCK_SIZE)

static_assert(sizeof(struct disk_root) + ROOT_FREED_MAX * sizeof(__le64) +
	      ROOT_DOCUMENT_MAX <= ROOT_BYTES_MAX, "a root fits in one record");

static size_t root_bytes(size_t freed_count, size_t document_bytes)
{
	return sizeof(struct disk_root) + freed_count * sizeof(__le64) +
	       document_bytes;
}

uint32_t root_blocks(const struct root *root)
{
	size_t bytes = root_bytes(root->freed_count, strlen(root->document));

	return (bytes + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

static uint32_t root_crc(const struct disk_root *header, const uint8_t *rest,
			 size_t rest_bytes)
{
	struct disk_root copy = *header;

	copy.crc = cpu_to_le32(0);
	return crc32c(crc32c(0, &copy, sizeof(copy)), rest, rest_bytes);
}

static void encode_header(const struct root *root, struct disk_root *disk)
{
	size_t document_bytes = strlen(root->document);

	*disk = (struct disk_root){
		.magic = cpu_to_le32(ROOT_MAGIC),
		.version = cpu_to_le16(ROOT_VERSION),
		.header_bytes = cpu_to_le16(sizeof(*disk)),
		.bytes = cpu_to_le32(root_bytes(root->freed_count,
						document_bytes)),
		.volume = cpu_to_le64(root->volume),
		.sequence = cpu_to_le64(root->sequence),
		.log_next = cpu_to_le64(root->log_next),
		.next_chunk = cpu_to_le64(root->next_chunk),
		.horizon = cpu_to_le64(root->horizon),
		.stored_blocks = cpu_to_le64(root->stored_blocks),
		.live_blocks = cpu_to_le64(root->live_blocks),
		.record_crc = cpu_to_le32(root->record_crc),
		.freed_count = cpu_to_le32(root->freed_count),
		.document_bytes = cpu_to_le32(document_bytes),
	};
	map_entry_encode(&root->map, &disk->map);
	map_entry_encode(&root->chunk_table, &disk->chunk_table);
}

void root_encode(const struct root *root, void *buf)
{
	size_t document_bytes = strlen(root->document);
	struct disk_root *disk = buf;
	uint8_t *rest = (uint8_t *)(disk + 1);
	size_t freed_bytes = root->freed_count * sizeof(__le64);

	assert(root->freed_count <= ROOT_FREED_MAX);
	assert(document_bytes <= ROOT_DOCUMENT_MAX);
	memset(buf, 0, (size_t)root_blocks(root) * BLOCK_SIZE);
	encode_header(root, disk);
	for (uint32_t i = 0; i < root->freed_count; i++) {
		__le64 chunk = cpu_to_le64(root->freed[i]);

		memcpy(rest + i * sizeof(chunk), &chunk, sizeof(chunk));
	}
	memcpy(rest + freed_bytes, root->document, document_bytes);
	disk->crc = cpu_to_le32(root_crc(disk, rest,
					 freed_bytes + document_bytes));
}

static int check_size(const struct disk_root *disk, size_t len)
{
	uint64_t freed = le32_to_cpu(disk->freed_count);
	uint64_t document = le32_to_cpu(disk->document_bytes);
	uint32_t bytes = le32_to_cpu(disk->bytes);

	if (le16_to_cpu(disk->header_bytes) != sizeof(*disk))
		return error_set(-EBADMSG, "root: header of %u bytes",
				 le16_to_cpu(disk->header_bytes));
	if (freed > ROOT_FREED_MAX || document > ROOT_DOCUMENT_MAX ||
	    bytes != root_bytes(freed, document))
		return error_set(-EBADMSG,
				 "root: %u bytes for %" PRIu64 " freed chunks and a document of %" PRIu64 " bytes",
				 bytes, freed, document);
	if (len % BLOCK_SIZE || bytes > len || len - bytes >= BLOCK_SIZE)
		return error_set(-EBADMSG,
				 "root: %u bytes in a payload of %zu", bytes,
				 len);
	return 0;
}

static int check_bytes(const struct disk_root *disk, const uint8_t *buf,
		       size_t len)
{
	size_t bytes = le32_to_cpu(disk->bytes);

	if (root_crc(disk, buf + sizeof(*disk), bytes - sizeof(*disk)) !=
	    le32_to_cpu(disk->crc))
		return error_set(-EBADMSG, "root: checksum is wrong");
	for (size_t i = bytes; i < len; i++)
		if (buf[i])
			return error_set(-EBADMSG, "root: padding is not zero");
	if (memchr(buf + bytes - le32_to_cpu(disk->document_bytes), 0,
		   le32_to_cpu(disk->document_bytes)))
		return error_set(-EBADMSG, "root: NUL in the document");
	if (le32_to_cpu(disk->zero32) || le64_to_cpu(disk->zero64[0]) ||
	    le64_to_cpu(disk->zero64[1]) || le64_to_cpu(disk->zero64[2]) ||
	    le64_to_cpu(disk->zero64[3]))
		return error_set(-EBADMSG, "root: reserved field is not zero");
	return 0;
}

static int check_tree(const struct map_entry *top, const char *what)
{
	uint32_t block = block_addr_block(top->addr);

	if (top->flags < 1 || top->flags > MAP_LEVELS_MAX)
		return error_set(-EBADMSG, "root: %s of %u levels", what,
				 top->flags);
	if (top->addr && (!block_addr_chunk(top->addr) || !block ||
			  block >= CHUNK_BLOCKS_MAX))
		return error_set(-EBADMSG, "root: %s at an impossible place",
				 what);
	return 0;
}

static int check_root(const struct root *root)
{
	uint64_t next = block_addr_chunk(root->log_next);
	int ret = check_tree(&root->map, "map");

	if (!ret)
		ret = check_tree(&root->chunk_table, "chunk table");
	if (ret)
		return ret;
	if (!root->volume)
		return error_set(-EBADMSG, "root: of no volume");
	if (!next || block_addr_block(root->log_next) > CHUNK_BLOCKS_MAX)
		return error_set(-EBADMSG, "root: log goes on nowhere");
	if (root->next_chunk > CHUNK_NUMBER_MAX + 1 || next > root->next_chunk ||
	    root->horizon > root->next_chunk)
		return error_set(-EBADMSG, "root: chunk numbers disagree");
	for (uint32_t i = 0; i < root->freed_count; i++)
		if (root->freed[i] >= root->next_chunk || !root->freed[i] ||
		    (i && root->freed[i] <= root->freed[i - 1]))
			return error_set(-EBADMSG,
					 "root: list of freed chunks is wrong");
	return 0;
}

static void decode_header(const struct disk_root *disk, struct root *root)
{
	*root = (struct root){
		.volume = le64_to_cpu(disk->volume),
		.sequence = le64_to_cpu(disk->sequence),
		.record_crc = le32_to_cpu(disk->record_crc),
		.log_next = le64_to_cpu(disk->log_next),
		.next_chunk = le64_to_cpu(disk->next_chunk),
		.horizon = le64_to_cpu(disk->horizon),
		.stored_blocks = le64_to_cpu(disk->stored_blocks),
		.live_blocks = le64_to_cpu(disk->live_blocks),
		.freed_count = le32_to_cpu(disk->freed_count),
	};
	map_entry_decode(&disk->map, &root->map);
	map_entry_decode(&disk->chunk_table, &root->chunk_table);
	/* All 16 bits: here they are a height. */
	root->map.flags = le16_to_cpu(disk->map.flags);
	root->chunk_table.flags = le16_to_cpu(disk->chunk_table.flags);
}

/* Freed list and document, in one piece of memory. */
static int decode_rest(const struct disk_root *disk, const uint8_t *rest,
		       struct root *root)
{
	size_t document_bytes = le32_to_cpu(disk->document_bytes);
	size_t freed_bytes = root->freed_count * sizeof(uint64_t);
	uint64_t *freed = malloc(freed_bytes + document_bytes + 1);
	char *document = (char *)freed + freed_bytes;

	if (!freed)
		return error_set(-ENOMEM, "root: out of memory");
	for (uint32_t i = 0; i < root->freed_count; i++) {
		__le64 chunk;

		memcpy(&chunk, rest + i * sizeof(chunk), sizeof(chunk));
		freed[i] = le64_to_cpu(chunk);
	}
	memcpy(document, rest + freed_bytes, document_bytes);
	document[document_bytes] = 0;
	root->freed = freed;
	root->document = document;
	root->memory = freed;
	return 0;
}

int root_decode(const void *buf, size_t len, struct root *root)
{
	const uint8_t *rest = (const uint8_t *)buf + sizeof(struct disk_root);
	struct disk_root disk;
	int ret;

	*root = (struct root){ 0 };
	if (len < BLOCK_SIZE)
		return error_set(-EBADMSG, "root: payload of %zu bytes", len);
	memcpy(&disk, buf, sizeof(disk));
	if (le32_to_cpu(disk.magic) != ROOT_MAGIC)
		return error_set(-EBADMSG, "root: no root here");
	if (le16_to_cpu(disk.version) != ROOT_VERSION)
		return error_set(-EPROTONOSUPPORT,
				 "root: format version %u, this program knows %u",
				 le16_to_cpu(disk.version), ROOT_VERSION);
	ret = check_size(&disk, len);
	if (!ret)
		ret = check_bytes(&disk, buf, len);
	if (ret)
		return ret;
	decode_header(&disk, root);
	ret = decode_rest(&disk, rest, root);
	if (!ret)
		ret = check_root(root);
	if (ret)
		root_release(root);
	return ret;
}

void root_release(struct root *root)
{
	free(root->memory);
	*root = (struct root){ 0 };
}
