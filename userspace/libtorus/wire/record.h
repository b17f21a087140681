/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record: what one append carries (Documentation/format.md).
 *
 *   chunk   := record* ; a sequence of 4 KiB blocks, nothing else
 *   record  := header payload
 *   header  := record_header extent{extent_count} crc32c{payload_blocks} pad
 *              ; 1 to RECORD_HEADER_BLOCKS_MAX blocks, zero padded
 *   payload := block{payload_blocks}
 *
 * Payload blocks belong to the extents in order; extents of kind DATA,
 * RELOCATION, MAP_PAGE, CHUNK_PAGE and ROOT own `count` payload blocks each,
 * ZERO owns none. All integers are little-endian.
 *
 * The header's CRC covers header_bytes bytes from its start with the crc field
 * taken as zero. prev_crc is the crc of the record with sequence - 1 (0 when
 * sequence is 1), so that the log is a chain: stale bytes of a recycled file
 * never continue it.
 */
#ifndef TORUS_WIRE_RECORD_H
#define TORUS_WIRE_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endian.h"

#define BLOCK_SIZE		4096u
#define BLOCK_SHIFT		12
#define CHUNK_BLOCKS_MAX	16384u		/* 64 MiB */
#define CHUNK_NUMBER_MAX	((1ull << 48) - 1)
#define RECORD_MAGIC		0x43455254u	/* "TREC" */
#define RECORD_VERSION		1
#define RECORD_PAYLOAD_BLOCKS_MAX 256u		/* 1 MiB */
#define RECORD_EXTENTS_MAX	512u
#define RECORD_HEADER_BLOCKS_MAX 4u
#define RECORD_VOLUME_BLOCKS_MAX (1ull << 40)	/* 4 PiB */
#define RECORD_PAGE_LEVELS_MAX	8u
#define RECORD_PAGE_INDEX_MAX	(1ull << 40)

enum record_flags {
	RECORD_LAST = 1 << 0,		/* no record follows in this chunk */
};
#define RECORD_FLAGS_ALL RECORD_LAST

enum extent_kind {
	EXTENT_DATA = 1,	/* first = volume block */
	EXTENT_ZERO = 2,	/* trim and write zeroes; no payload */
	EXTENT_RELOCATION = 3,	/* as DATA; applies only where the map still
				 * points at source + i */
	EXTENT_MAP_PAGE = 4,	/* first = page id: level << 56 | page index */
	EXTENT_CHUNK_PAGE = 5,	/* likewise, of the chunk table */
	EXTENT_ROOT = 6,	/* first = 0; payload is a root (volume/root.h) */
};

/* Address of a block in the log of a volume: chunk << 16 | block in chunk. */
typedef uint64_t block_addr_t;

static inline block_addr_t block_addr(uint64_t chunk, uint32_t block)
{
	return chunk << 16 | block;
}

static inline uint64_t block_addr_chunk(block_addr_t addr)
{
	return addr >> 16;
}

static inline uint32_t block_addr_block(block_addr_t addr)
{
	return addr & 0xffff;
}

struct disk_extent {
	__le64 first;
	__le64 source;		/* block_addr_t, RELOCATION only, else 0 */
	__le32 count;		/* blocks, at least 1 */
	__u8 kind;
	__u8 zero[3];
};
static_assert(sizeof(struct disk_extent) == 24, "on-disk size");

struct disk_record_header {
	__le32 magic;
	__le16 version;
	__le16 flags;
	__le32 crc;
	__le32 prev_crc;
	__le32 header_bytes;	/* without the padding */
	__le16 payload_blocks;
	__le16 extent_count;
	__le64 volume;
	__le64 chunk;
	__le64 epoch;
	__le64 sequence;	/* from 1 through the volume's whole life */
	__le64 flushed;		/* highest sequence known to be durable */
	__le64 root;		/* block_addr_t of the newest published root's
				 * record header, 0 = none */
	__le32 root_crc;	/* that header's crc */
	__le16 block;		/* where in the chunk this header lies */
	__le16 zero16;
	__le64 zero64[2];
};
static_assert(sizeof(struct disk_record_header) == 96, "on-disk size");

struct extent {
	uint64_t first;
	block_addr_t source;
	uint32_t count;
	enum extent_kind kind;
};

/* Host view of a header. Arrays point to memory of whoever filled it in. */
struct record {
	uint64_t volume, chunk, epoch, sequence, flushed;
	block_addr_t root;
	uint32_t root_crc;
	uint32_t crc;			/* set by encode and decode */
	uint32_t prev_crc;
	uint32_t block;
	uint16_t flags;
	uint32_t header_bytes;		/* set by encode and decode */
	uint32_t header_blocks;		/* likewise */
	uint32_t payload_blocks;
	uint32_t extent_count;
	struct extent *extents;		/* room for RECORD_EXTENTS_MAX */
	uint32_t *payload_crc;		/* room for RECORD_PAYLOAD_BLOCKS_MAX */
};

/** record_header_bytes() - size of a header with so many extents and blocks. */
static inline uint32_t record_header_bytes(uint32_t extent_count,
					   uint32_t payload_blocks)
{
	return sizeof(struct disk_record_header) +
	       extent_count * sizeof(struct disk_extent) +
	       payload_blocks * sizeof(uint32_t);
}

static inline uint32_t record_header_blocks(uint32_t extent_count,
					    uint32_t payload_blocks)
{
	return (record_header_bytes(extent_count, payload_blocks) +
		BLOCK_SIZE - 1) / BLOCK_SIZE;
}

/** record_blocks() - header and payload blocks together. */
static inline uint32_t record_blocks(const struct record *r)
{
	return r->header_blocks + r->payload_blocks;
}

/** extent_has_payload() - whether extents of @kind own payload blocks. */
static inline bool extent_has_payload(enum extent_kind kind)
{
	return kind != EXTENT_ZERO;
}

/**
 * record_encode() - write the header of @r, zero padded to whole blocks.
 * @buf: r's header_blocks (computed here) * BLOCK_SIZE bytes, at most
 *       RECORD_HEADER_BLOCKS_MAX blocks.
 * Sets r->crc, header_bytes, header_blocks. The caller guarantees the limits
 * and that the extents own exactly payload_blocks blocks (asserted).
 */
void record_encode(struct record *r, void *buf);

/**
 * record_decode() - check and read one header.
 * @buf, @len: bytes from the header's start; more than the header is fine.
 * @r: extents and payload_crc must point to room for the maxima.
 * Checks everything that can be checked without context: magic, version,
 * flags, limits, zero fields, extents' sum and kinds, chunk and block ranges,
 * CRC. Never reads beyond @len.
 * Returns 0; -ENODATA (no magic: the end of a chain, not damage); -EAGAIN
 * (@len is shorter than the header; with RECORD_HEADER_BLOCKS_MAX blocks it
 * never is, so where the chunk ends before that it is damage);
 * -EPROTONOSUPPORT (a newer version, whose CRC holds); -EBADMSG (damaged).
 * The last two set the error text. After an error the content of @r is
 * undefined.
 */
int record_decode(const void *buf, size_t len, struct record *r);

/**
 * record_check_payload() - compare payload blocks with the header's CRCs.
 * @payload: r->payload_blocks blocks in one piece.
 * Returns 0 or -EBADMSG, with error text.
 */
int record_check_payload(const struct record *r, const void *payload);

/* A record on the heap with its arrays: for decoders. */
struct record *record_new(void);
void record_free(struct record *r);

#endif
