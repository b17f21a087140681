/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of a root record (EXTENT_ROOT): the state of a volume after
 * exactly record S, and the volume's document, so that `torusctl recover` can
 * rebuild the metadata from the stores alone (Documentation/map.md).
 *
 *   root := disk_root freed{freed_count} document pad
 *           ; zero padded to whole blocks; freed: __le64 chunk numbers in
 *           ; ascending order; document: the volume's JSON text, without NUL
 */
#ifndef TORUS_VOLUME_ROOT_H
#define TORUS_VOLUME_ROOT_H

#include <stddef.h>

#include "volume/map.h"

#define ROOT_MAGIC	0x544f4f52u	/* "ROOT" */
#define ROOT_VERSION	1
#define ROOT_FREED_MAX	32768u
#define ROOT_DOCUMENT_MAX (512u << 10)	/* bytes */

struct disk_root {
	__le32 magic;
	__le16 version;
	__le16 header_bytes;		/* of this structure */
	__le32 bytes;			/* of all, without the padding */
	__le32 crc;			/* of bytes, with this field zero */
	__le64 volume;
	__le64 sequence;
	__le64 log_next;
	__le64 next_chunk;
	__le64 horizon;
	__le64 stored_blocks;
	__le64 live_blocks;
	__le32 record_crc;
	__le32 freed_count;
	__le32 document_bytes;
	__le32 zero32;
	struct disk_map_entry map, chunk_table;
	__le64 zero64[4];
};
static_assert(sizeof(struct disk_root) == 152, "on-disk size");

struct root {
	uint64_t volume;
	uint64_t sequence;		/* S; 0 = before the first record */
	uint32_t record_crc;		/* of the header of record S; 0 */
	block_addr_t log_next;		/* where record S + 1 goes */
	uint64_t next_chunk;		/* lowest number never declared */
	uint64_t horizon;		/* first chunk of the tail; chunks from
					 * here on are live whatever the table
					 * says */
	uint64_t stored_blocks;		/* in the chunks of the table */
	uint64_t live_blocks;		/* of those, an estimate */
	struct map_entry map, chunk_table;	/* flags: height */
	const uint64_t *freed;		/* chunks that left the table since the
					 * previous root, ascending */
	uint32_t freed_count;
	const char *document;		/* JSON, NUL-terminated */
	void *memory;			/* private: of root_decode() */
};

/** root_blocks() - payload blocks that root_encode() fills; at most
 * RECORD_PAYLOAD_BLOCKS_MAX. */
uint32_t root_blocks(const struct root *root);

/**
 * root_encode() - @buf: root_blocks() * BLOCK_SIZE bytes.
 * The caller keeps freed_count and the document within their limits
 * (asserted).
 */
void root_encode(const struct root *root, void *buf);

/**
 * root_decode() - check everything and read.
 * @len: bytes of the payload, a multiple of BLOCK_SIZE.
 * Returns 0, and *@root holds memory for root_release(); -EBADMSG (damaged, or
 * not a root; error text says what); -EPROTONOSUPPORT (newer version);
 * -ENOMEM. After an error root_release() is harmless.
 */
int root_decode(const void *buf, size_t len, struct root *root);
void root_release(struct root *root);

#endif
