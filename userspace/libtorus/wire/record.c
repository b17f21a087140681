// SPDX-License-Identifier: Apache-2.0
/*
 * The record codec. What is decoded may be anything: the leftovers of a
 * recycled file, a torn write, a frame of a hostile peer. So decoding goes
 * through three gates: first the few fields that say how much to look at,
 * with their limits; then the CRC over exactly that; then every field, as if
 * the CRC said nothing (a correct CRC over nonsense is a bug or an attack).
 *
 * magic, version, crc and header_bytes keep their places in all versions to
 * come: so damage can be told from a newer version, and a header that this
 * code cannot read still has a known size.
 */
#include "wire/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/error.h"

#define HEADER_BYTES_MAX (RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE)
#define CRC_AT offsetof(struct disk_record_header, crc)
#define AFTER_CRC (CRC_AT + sizeof(__le32))

static_assert(sizeof(struct disk_record_header) +
	      RECORD_EXTENTS_MAX * sizeof(struct disk_extent) +
	      RECORD_PAYLOAD_BLOCKS_MAX * sizeof(__le32) <= HEADER_BYTES_MAX,
	      "the largest header fits its blocks");

static int bad(const struct record *r, const char *what)
{
	return error_set(-EBADMSG, "record %" PRIu64 " in chunk %" PRIu64 " block %u is damaged: %s",
			 r->sequence, r->chunk, r->block, what);
}

/* The CRC field counts as zero. */
static uint32_t header_crc(const uint8_t *buf, uint32_t header_bytes)
{
	static const uint8_t zero[sizeof(__le32)];
	uint32_t crc = crc32c(0, buf, CRC_AT);

	crc = crc32c(crc, zero, sizeof(zero));
	return crc32c(crc, buf + AFTER_CRC, header_bytes - AFTER_CRC);
}

static bool page_range_valid(uint64_t id, uint32_t count)
{
	uint64_t level = id >> 56, index = id & ((1ull << 56) - 1);

	return level < RECORD_PAGE_LEVELS_MAX &&
	       index < RECORD_PAGE_INDEX_MAX &&
	       count <= RECORD_PAGE_INDEX_MAX - index;
}

static bool volume_range_valid(uint64_t first, uint32_t count)
{
	return first < RECORD_VOLUME_BLOCKS_MAX &&
	       count <= RECORD_VOLUME_BLOCKS_MAX - first;
}

static bool log_range_valid(block_addr_t addr, uint32_t count)
{
	return block_addr_chunk(addr) != 0 &&
	       block_addr_block(addr) < CHUNK_BLOCKS_MAX &&
	       count <= CHUNK_BLOCKS_MAX - block_addr_block(addr);
}

static const char *extent_fault(const struct extent *e)
{
	bool valid;

	if (e->count == 0)
		return "an extent is empty";
	if (e->kind != EXTENT_RELOCATION && e->source != 0)
		return "an extent that is no relocation has a source";
	switch (e->kind) {
	case EXTENT_DATA:
	case EXTENT_ZERO:
		valid = volume_range_valid(e->first, e->count);
		break;
	case EXTENT_RELOCATION:
		valid = volume_range_valid(e->first, e->count) &&
			log_range_valid(e->source, e->count);
		break;
	case EXTENT_MAP_PAGE:
	case EXTENT_CHUNK_PAGE:
		valid = page_range_valid(e->first, e->count);
		break;
	case EXTENT_ROOT:
		valid = e->first == 0;
		break;
	default:
		return "an extent has an unknown kind";
	}
	return valid ? NULL : "an extent is out of range";
}

/* Extents against the number of payload blocks; NULL: nothing is wrong. */
static const char *extents_fault(const struct record *r)
{
	uint64_t owned = 0;
	uint32_t i;

	for (i = 0; i < r->extent_count; i++) {
		const char *fault = extent_fault(&r->extents[i]);

		if (fault != NULL)
			return fault;
		if (extent_has_payload(r->extents[i].kind))
			owned += r->extents[i].count;
	}
	if (owned != r->payload_blocks)
		return "its extents do not own its payload blocks";
	return NULL;
}

/* Everything but the extents; NULL: nothing is wrong. */
static const char *fields_fault(const struct record *r)
{
	if (r->flags & ~RECORD_FLAGS_ALL)
		return "it has unknown flags";
	if (r->volume == 0)
		return "its volume is 0";
	if (r->chunk == 0 || r->chunk > CHUNK_NUMBER_MAX)
		return "its chunk number is out of range";
	if (r->epoch == 0)
		return "its epoch is 0";
	if (r->sequence == 0)
		return "its sequence is 0";
	if (r->flushed >= r->sequence)
		return "its flushed watermark is not below its sequence";
	if (r->root == 0 ? r->root_crc != 0 : !log_range_valid(r->root, 1))
		return "its root address is out of range";
	if (r->block + record_blocks(r) > CHUNK_BLOCKS_MAX)
		return "it goes beyond the end of the chunk";
	return NULL;
}

static void encode_arrays(const struct record *r, uint8_t *at)
{
	uint32_t i;

	for (i = 0; i < r->extent_count; i++) {
		const struct extent *e = &r->extents[i];
		struct disk_extent disk = {
			.first = cpu_to_le64(e->first),
			.source = cpu_to_le64(e->source),
			.count = cpu_to_le32(e->count),
			.kind = (__u8)e->kind,
		};

		memcpy(at, &disk, sizeof(disk));
		at += sizeof(disk);
	}
	for (i = 0; i < r->payload_blocks; i++) {
		__le32 crc = cpu_to_le32(r->payload_crc[i]);

		memcpy(at, &crc, sizeof(crc));
		at += sizeof(crc);
	}
}

void record_encode(struct record *r, void *buf)
{
	struct disk_record_header disk = {
		.magic = cpu_to_le32(RECORD_MAGIC),
		.version = cpu_to_le16(RECORD_VERSION),
		.flags = cpu_to_le16(r->flags),
		.prev_crc = cpu_to_le32(r->prev_crc),
		.payload_blocks = cpu_to_le16((uint16_t)r->payload_blocks),
		.extent_count = cpu_to_le16((uint16_t)r->extent_count),
		.volume = cpu_to_le64(r->volume),
		.chunk = cpu_to_le64(r->chunk),
		.epoch = cpu_to_le64(r->epoch),
		.sequence = cpu_to_le64(r->sequence),
		.flushed = cpu_to_le64(r->flushed),
		.root = cpu_to_le64(r->root),
		.root_crc = cpu_to_le32(r->root_crc),
		.block = cpu_to_le16((uint16_t)r->block),
	};
	uint8_t *out = buf;
	__le32 crc;

	assert(r->payload_blocks <= RECORD_PAYLOAD_BLOCKS_MAX);
	assert(r->extent_count <= RECORD_EXTENTS_MAX);
	r->header_bytes = record_header_bytes(r->extent_count,
					      r->payload_blocks);
	r->header_blocks = record_header_blocks(r->extent_count,
						r->payload_blocks);
	assert(fields_fault(r) == NULL);
	assert(extents_fault(r) == NULL);
	disk.header_bytes = cpu_to_le32(r->header_bytes);
	memcpy(out, &disk, sizeof(disk));
	encode_arrays(r, out + sizeof(disk));
	memset(out + r->header_bytes, 0,
	       r->header_blocks * BLOCK_SIZE - r->header_bytes);
	r->crc = header_crc(out, r->header_bytes);
	crc = cpu_to_le32(r->crc);
	memcpy(out + CRC_AT, &crc, sizeof(crc));
}

static void decode_fixed(const struct disk_record_header *disk,
			 struct record *r)
{
	r->volume = le64_to_cpu(disk->volume);
	r->chunk = le64_to_cpu(disk->chunk);
	r->epoch = le64_to_cpu(disk->epoch);
	r->sequence = le64_to_cpu(disk->sequence);
	r->flushed = le64_to_cpu(disk->flushed);
	r->root = le64_to_cpu(disk->root);
	r->root_crc = le32_to_cpu(disk->root_crc);
	r->crc = le32_to_cpu(disk->crc);
	r->prev_crc = le32_to_cpu(disk->prev_crc);
	r->block = le16_to_cpu(disk->block);
	r->flags = le16_to_cpu(disk->flags);
	r->header_bytes = le32_to_cpu(disk->header_bytes);
	r->header_blocks = DIV_ROUND_UP(r->header_bytes, BLOCK_SIZE);
	r->payload_blocks = le16_to_cpu(disk->payload_blocks);
	r->extent_count = le16_to_cpu(disk->extent_count);
}

/* Returns whether the bytes that must be zero are. */
static bool decode_extent(const uint8_t *at, struct extent *e)
{
	struct disk_extent disk;

	memcpy(&disk, at, sizeof(disk));
	e->first = le64_to_cpu(disk.first);
	e->source = le64_to_cpu(disk.source);
	e->count = le32_to_cpu(disk.count);
	e->kind = disk.kind;
	return disk.zero[0] == 0 && disk.zero[1] == 0 && disk.zero[2] == 0;
}

static int decode_arrays(const uint8_t *at, struct record *r)
{
	uint32_t i;

	for (i = 0; i < r->extent_count; i++) {
		if (!decode_extent(at, &r->extents[i]))
			return bad(r, "bytes that must be zero are not");
		at += sizeof(struct disk_extent);
	}
	for (i = 0; i < r->payload_blocks; i++) {
		__le32 crc;

		memcpy(&crc, at, sizeof(crc));
		r->payload_crc[i] = le32_to_cpu(crc);
		at += sizeof(crc);
	}
	return 0;
}

/*
 * The first two gates: how much there is to look at, and its CRC. Fills in
 * the fixed part of @r.
 */
static int decode_frame(const uint8_t *buf, size_t len,
			struct disk_record_header *disk, struct record *r)
{
	uint32_t magic;

	if (len < sizeof(*disk))
		return -EAGAIN;
	memcpy(disk, buf, sizeof(*disk));
	magic = le32_to_cpu(disk->magic);
	if (magic != RECORD_MAGIC)
		return -ENODATA;
	decode_fixed(disk, r);
	if (r->header_bytes < sizeof(*disk) ||
	    r->header_bytes > HEADER_BYTES_MAX)
		return bad(r, "its header's size is out of range");
	if (r->header_bytes > len)
		return -EAGAIN;
	if (header_crc(buf, r->header_bytes) != r->crc)
		return bad(r, "its header's CRC is wrong");
	return 0;
}

int record_decode(const void *buf, size_t len, struct record *r)
{
	struct disk_record_header disk;
	const char *fault;
	int err;

	err = decode_frame(buf, len, &disk, r);
	if (err < 0)
		return err;
	if (le16_to_cpu(disk.version) > RECORD_VERSION)
		return error_set(-EPROTONOSUPPORT, "record %" PRIu64 " in chunk %" PRIu64 " has format version %u, this program knows up to %u: use a newer one",
				 r->sequence, r->chunk,
				 le16_to_cpu(disk.version), RECORD_VERSION);
	if (disk.version == 0)
		return bad(r, "its version is 0");
	if (disk.zero16 != 0 || disk.zero64[0] != 0 || disk.zero64[1] != 0)
		return bad(r, "bytes that must be zero are not");
	if (r->payload_blocks > RECORD_PAYLOAD_BLOCKS_MAX ||
	    r->extent_count > RECORD_EXTENTS_MAX ||
	    r->header_bytes != record_header_bytes(r->extent_count,
						   r->payload_blocks))
		return bad(r, "its counts are out of range");
	fault = fields_fault(r);
	if (fault != NULL)
		return bad(r, fault);
	err = decode_arrays((const uint8_t *)buf + sizeof(disk), r);
	if (err < 0)
		return err;
	fault = extents_fault(r);
	return fault != NULL ? bad(r, fault) : 0;
}

int record_check_payload(const struct record *r, const void *payload)
{
	const uint8_t *block = payload;
	uint32_t i;

	for (i = 0; i < r->payload_blocks; i++, block += BLOCK_SIZE)
		if (crc32c(0, block, BLOCK_SIZE) != r->payload_crc[i])
			return error_set(-EBADMSG, "record %" PRIu64 " in chunk %" PRIu64 " block %u is damaged: the CRC of payload block %u is wrong",
					 r->sequence, r->chunk, r->block, i);
	return 0;
}

struct record *record_new(void)
{
	struct {
		struct record record;
		struct extent extents[RECORD_EXTENTS_MAX];
		uint32_t payload_crc[RECORD_PAYLOAD_BLOCKS_MAX];
	} *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return NULL;
	all->record.extents = all->extents;
	all->record.payload_crc = all->payload_crc;
	return &all->record;
}

void record_free(struct record *r)
{
	/* The record is the first member of what record_new() allocated. */
	free(r);
}
