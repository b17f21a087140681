// SPDX-License-Identifier: Apache-2.0
/*
 * The frame codec. All that may be known of a type without knowing its
 * meaning is in one table: body sizes, limits of the data, flags. A frame that
 * violates its row is refused before anything is allocated for it.
 */
#include "wire/proto.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/error.h"

static_assert(WIRE_APPEND_MAX <= WIRE_DATA_MAX, "an append fits a frame");
static_assert(WIRE_SYNC_MAX * sizeof(struct wire_range) <= WIRE_DATA_MAX,
	      "a sync fits a frame");

/* What one direction of a type may carry. */
struct direction {
	uint32_t body;
	uint32_t data_min, data_max;
	uint32_t data_unit;		/* data_len is a multiple; 0 = no data */
	uint32_t flags;			/* besides WIRE_REPLY */
	bool data_unchecked;		/* data has checksums of its own */
};

struct type_info {
	const char *name;
	struct direction way[2];	/* request, reply */
};

#define BODY(s) .body = sizeof(struct s)
#define SYNC_DATA .data_max = WIRE_SYNC_MAX * sizeof(struct wire_range), \
		  .data_unit = sizeof(struct wire_range)
#define LOOKUP_DATA \
	.data_max = WIRE_LOOKUP_MAX * sizeof(struct wire_lookup_entry), \
	.data_unit = sizeof(struct wire_lookup_entry)

static const struct type_info types[WIRE_TYPE_COUNT] = {
	[WIRE_HELLO] = { "hello", { { BODY(wire_hello) },
				    { BODY(wire_hello) } } },
	[WIRE_PING] = { "ping", { { .body = 0 }, { .body = 0 } } },
	[WIRE_APPEND] = { "append", {
		{ BODY(wire_append), .data_min = BLOCK_SIZE,
		  .data_max = WIRE_APPEND_MAX, .data_unit = BLOCK_SIZE,
		  .flags = WIRE_DURABLE | WIRE_COPY, .data_unchecked = true },
		{ BODY(wire_append_reply) } } },
	[WIRE_SYNC] = { "sync", {
		{ BODY(wire_sync), SYNC_DATA },
		{ BODY(wire_sync_reply), SYNC_DATA } } },
	[WIRE_READ] = { "read", {
		{ BODY(wire_read) },
		{ BODY(wire_read_reply), .data_max = WIRE_APPEND_MAX,
		  .data_unit = BLOCK_SIZE, .data_unchecked = true } } },
	[WIRE_FENCE] = { "fence", { { BODY(wire_fence) },
				    { BODY(wire_fence_reply) } } },
	[WIRE_SCAN] = { "scan", {
		{ BODY(wire_scan) },
		{ BODY(wire_scan_reply), .data_max = WIRE_DATA_MAX,
		  .data_unit = 8 } } },
	[WIRE_SEAL] = { "seal", { { BODY(wire_seal) },
				  { BODY(wire_chunk_reply) } } },
	[WIRE_STAT_CHUNK] = { "stat-chunk", { { BODY(wire_chunk) },
					      { BODY(wire_chunk_reply) } } },
	[WIRE_LIST] = { "list", {
		{ BODY(wire_list) },
		{ BODY(wire_list_reply), .data_max = WIRE_DATA_MAX,
		  .data_unit = sizeof(struct wire_list_entry) } } },
	[WIRE_DELETE] = { "delete", { { BODY(wire_chunk) },
				      { BODY(wire_chunk_reply) } } },
	[WIRE_STAT] = { "stat", { { .body = 0 }, { BODY(wire_stat_reply) } } },
	[WIRE_LOOKUP] = { "lookup", {
		{ BODY(wire_lookup), LOOKUP_DATA },
		{ BODY(wire_lookup), LOOKUP_DATA } } },
	[WIRE_RESTORE] = { "restore", {
		{ BODY(wire_restore),
		  .data_max = WIRE_RESTORE_MAX * BLOCK_SIZE,
		  .data_unit = BLOCK_SIZE, .data_unchecked = true },
		{ BODY(wire_restore_reply) } } },
	[WIRE_CHECK] = { "check", { { BODY(wire_check) }, { .body = 0 } } },
	[WIRE_MAINTENANCE] = { "maintenance", {
		{ BODY(wire_maintenance) },
		{ BODY(wire_maintenance_reply),
		  .data_max = WIRE_FINDINGS_MAX * sizeof(struct wire_finding),
		  .data_unit = sizeof(struct wire_finding) } } },
	[WIRE_VOLUMES] = { "volumes", {
		{ BODY(wire_volumes) },
		{ BODY(wire_list_reply),
		  .data_max = WIRE_VOLUMES_MAX *
			      sizeof(struct wire_volume_entry),
		  .data_unit = sizeof(struct wire_volume_entry) } } },
	[WIRE_RECALL] = { "recall", {
		{ .body = 0 },
		{ .body = 0, .data_max = WIRE_RECALL_MAX, .data_unit = 1 } } },
};

static const struct {
	const char *text;
	int err;
} statuses[WIRE_STATUS_COUNT] = {
	[WIRE_OK] = { "success", 0 },
	[WIRE_EFENCED] = { "a newer attachment has fenced this one", -ESTALE },
	[WIRE_ENOCHUNK] = { "the store has no such chunk", -ENOENT },
	[WIRE_EOFFSET] = { "the chunk does not end there", -ERANGE },
	[WIRE_ESEALED] = { "the chunk is sealed", -EROFS },
	[WIRE_ECHAIN] = { "the record does not continue the chunk's chain",
			  -EILSEQ },
	[WIRE_EBADCRC] = { "a CRC is wrong", -EBADMSG },
	[WIRE_EBADCOPY] = { "the store's copy of the chunk is bad", -EUCLEAN },
	[WIRE_ENOSPC] = { "the store is full", -ENOSPC },
	[WIRE_EIO] = { "the store's disk failed", -EIO },
	[WIRE_EINVAL] = { "the request is malformed or out of range", -EINVAL },
	[WIRE_EVERSION] = { "no common protocol version", -EPROTONOSUPPORT },
	[WIRE_ECLUSTER] = { "the peer belongs to another cluster", -EPERM },
	[WIRE_EPEER] = { "another peer listens at this address",
			 -EADDRNOTAVAIL },
	[WIRE_ECONFLICT] = { "the chunk's chain differs at that length",
			     -EEXIST },
	[WIRE_EBUSY] = { "the store is busy, try again later", -EBUSY },
};

const char *wire_status_text(uint32_t status)
{
	if (status >= WIRE_STATUS_COUNT)
		return "unknown status";
	return statuses[status].text;
}

int wire_status_errno(uint32_t status)
{
	if (status >= WIRE_STATUS_COUNT)
		return -EPROTO;
	return statuses[status].err;
}

static const struct type_info *type_info(unsigned int type)
{
	if (type >= WIRE_TYPE_COUNT || types[type].name == NULL)
		return NULL;
	return &types[type];
}

const char *wire_type_name(uint32_t type)
{
	const struct type_info *info = type_info(type);

	return info != NULL ? info->name : "?";
}

int wire_body_size(unsigned int type, bool reply)
{
	const struct type_info *info = type_info(type);

	return info != NULL ? (int)info->way[reply].body : -1;
}

bool wire_data_checked(const struct wire_header *hdr)
{
	const struct type_info *info = type_info(hdr->type);

	return info == NULL ||
	       !info->way[(hdr->flags & WIRE_REPLY) != 0].data_unchecked;
}

uint32_t wire_data_crc(const struct wire_header *hdr, const struct iovec *data,
		       int data_count)
{
	uint32_t crc = 0, left = hdr->data_len;
	int i;

	if (!wire_data_checked(hdr))
		return 0;
	for (i = 0; i < data_count && left > 0; i++) {
		uint32_t len = (uint32_t)MIN(data[i].iov_len, (size_t)left);

		crc = crc32c(crc, data[i].iov_base, len);
		left -= len;
	}
	return crc;
}

int wire_check_data(const struct wire_header *hdr, const struct iovec *data,
		    int data_count)
{
	if (wire_data_crc(hdr, data, data_count) != hdr->data_crc)
		return error_set(-EBADMSG, "the CRC of the data of a %s frame is wrong",
				 wire_type_name(hdr->type));
	return 0;
}

/* The CRC field counts as zero. */
static uint32_t frame_crc(const struct disk_wire_header *in, const void *body,
			  uint32_t body_len)
{
	struct disk_wire_header copy = *in;

	copy.crc = 0;
	return crc32c(crc32c(0, &copy, sizeof(copy)), body, body_len);
}

void wire_encode_header(const struct wire_header *hdr, const void *body,
			struct disk_wire_header *out)
{
	memset(out, 0, sizeof(*out));
	out->magic = cpu_to_le32(WIRE_MAGIC);
	out->version = cpu_to_le16(WIRE_VERSION);
	out->type = cpu_to_le16(hdr->type);
	out->request = cpu_to_le64(hdr->request);
	out->flags = cpu_to_le32(hdr->flags);
	out->status = cpu_to_le32(hdr->status);
	out->body_len = cpu_to_le32(hdr->body_len);
	out->data_len = cpu_to_le32(hdr->data_len);
	out->data_crc = cpu_to_le32(hdr->data_crc);
	out->crc = cpu_to_le32(frame_crc(out, body, hdr->body_len));
}

static int check_frame(const struct disk_wire_header *in)
{
	uint16_t version = le16_to_cpu(in->version);
	uint16_t type = le16_to_cpu(in->type);

	if (le32_to_cpu(in->magic) != WIRE_MAGIC)
		return error_set(-EBADMSG, "no frame of the Torus protocol (magic %08x)",
				 le32_to_cpu(in->magic));
	if (version != WIRE_VERSION)
		return error_set(-EPROTONOSUPPORT, "frame of protocol version %u, this program knows %u",
				 version, WIRE_VERSION);
	if (type_info(type) == NULL)
		return error_set(-EPROTONOSUPPORT, "frame of unknown type %u",
				 type);
	if (in->zero != 0)
		return error_set(-EBADMSG, "%s frame: bytes that must be zero are not",
				 wire_type_name(type));
	return 0;
}

static int check_sizes(const struct wire_header *hdr,
		       const struct direction *way)
{
	const char *what = hdr->flags & WIRE_REPLY ? "reply" : "request";
	const char *name = wire_type_name(hdr->type);

	if (hdr->body_len != way->body)
		return error_set(-EBADMSG, "%s %s: body of %u bytes, must be %u",
				 name, what, hdr->body_len, way->body);
	if (hdr->data_len < way->data_min || hdr->data_len > way->data_max ||
	    (way->data_unit != 0 && hdr->data_len % way->data_unit != 0))
		return error_set(-EBADMSG, "%s %s: %u bytes of data, which it never has",
				 name, what, hdr->data_len);
	if (hdr->data_crc != 0 && (way->data_unchecked || hdr->data_len == 0))
		return error_set(-EBADMSG, "%s %s: has a data CRC, must not",
				 name, what);
	return 0;
}

int wire_decode_header(const struct disk_wire_header *in,
		       struct wire_header *hdr)
{
	const struct direction *way;
	bool reply;
	int err;

	err = check_frame(in);
	if (err < 0)
		return err;
	hdr->type = le16_to_cpu(in->type);
	hdr->request = le64_to_cpu(in->request);
	hdr->flags = le32_to_cpu(in->flags);
	hdr->status = le32_to_cpu(in->status);
	hdr->body_len = le32_to_cpu(in->body_len);
	hdr->data_len = le32_to_cpu(in->data_len);
	hdr->data_crc = le32_to_cpu(in->data_crc);
	reply = (hdr->flags & WIRE_REPLY) != 0;
	way = &types[hdr->type].way[reply];
	if (hdr->flags & ~(way->flags | WIRE_REPLY))
		return error_set(-EBADMSG, "%s frame: unknown flags %x",
				 wire_type_name(hdr->type), hdr->flags);
	if (hdr->status >= (reply ? WIRE_STATUS_COUNT : 1u))
		return error_set(-EBADMSG, "%s frame: unknown status %u",
				 wire_type_name(hdr->type), hdr->status);
	return check_sizes(hdr, way);
}

int wire_check_crc(const struct disk_wire_header *in, const void *body)
{
	uint32_t body_len = le32_to_cpu(in->body_len);

	if (body_len > WIRE_BODY_MAX ||
	    frame_crc(in, body, body_len) != le32_to_cpu(in->crc))
		return error_set(-EBADMSG, "the CRC of a frame's header is wrong");
	return 0;
}
