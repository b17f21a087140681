/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a volume (or another peer, or torusctl) and a torusd
 * (Documentation/protocol.md).
 *
 *   frame := header body data
 *
 * The header is fixed, the body a fixed structure per type and direction, the
 * data whatever the type says. The header's CRC covers header and body; data
 * carries its own checksums (records) or is covered by header.data_crc (all
 * other types). Requests on a connection may be answered in any order; the
 * answer repeats type and request id with WIRE_REPLY set. The first frame in
 * each direction is HELLO.
 */
#ifndef TORUS_WIRE_PROTO_H
#define TORUS_WIRE_PROTO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/endian.h"
#include "base/uuid.h"
#include "wire/record.h"

#define WIRE_MAGIC	0x53555254u	/* "TRUS" */
#define WIRE_VERSION	1
#define WIRE_BODY_MAX	256u
#define WIRE_DATA_MAX	(2u << 20)
/* Largest APPEND: a whole record. */
#define WIRE_APPEND_MAX ((RECORD_PAYLOAD_BLOCKS_MAX + \
			  RECORD_HEADER_BLOCKS_MAX) * BLOCK_SIZE)

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_PING,	/* no body: alive? */
	WIRE_APPEND,	/* data = one record */
	WIRE_SYNC,	/* data = disk array of struct wire_range */
	WIRE_READ,	/* reply data = blocks */
	WIRE_FENCE,
	WIRE_SCAN,	/* reply data = packed headers */
	WIRE_SEAL,
	WIRE_STAT_CHUNK,
	WIRE_LIST,	/* reply data = array of struct wire_list_entry */
	WIRE_DELETE,
	WIRE_STAT,
	WIRE_LOOKUP,	/* data = array of struct wire_lookup_entry */
	WIRE_RESTORE,	/* data = blocks of a sealed chunk */
	WIRE_CHECK,	/* look after a chunk */
	WIRE_MAINTENANCE,	/* reply data = array of struct wire_finding */
	WIRE_VOLUMES,	/* reply data = array of struct wire_volume_entry */
	WIRE_RECALL,	/* reply data = remembered documents */
	WIRE_TYPE_COUNT,
};

enum wire_flags {
	WIRE_REPLY = 1 << 0,
	WIRE_DURABLE = 1 << 1,		/* APPEND: sync before the answer */
	WIRE_FORCE_TAIL = 1 << 2,	/* reserved, refused */
	WIRE_COPY = 1 << 3,		/* APPEND: of a record that is in the log
					 * already; may use the reserve */
};

/* Results of requests; 0 is success. Values are never reused. */
enum wire_status {
	WIRE_OK = 0,
	WIRE_EFENCED = 1,	/* a higher epoch was seen; reply names it */
	WIRE_ENOCHUNK = 2,	/* no such chunk here */
	WIRE_EOFFSET = 3,	/* APPEND not at the end; reply has the length */
	WIRE_ESEALED = 4,	/* chunk is sealed; reply has the length */
	WIRE_ECHAIN = 5,	/* record does not continue the chain */
	WIRE_EBADCRC = 6,	/* header or payload CRC wrong */
	WIRE_EBADCOPY = 7,	/* this copy failed a sync or is damaged */
	WIRE_ENOSPC = 8,
	WIRE_EIO = 9,
	WIRE_EINVAL = 10,	/* malformed or out of range */
	WIRE_EVERSION = 11,
	WIRE_ECLUSTER = 12,	/* other cluster */
	WIRE_EPEER = 13,	/* not the peer you meant */
	WIRE_ECONFLICT = 14,	/* SEAL: chain at that length differs */
	WIRE_EBUSY = 15,	/* try again later */
	WIRE_STATUS_COUNT,
};

/** wire_status_text() - a sentence for people. */
const char *wire_status_text(uint32_t status);

/** wire_status_errno() - nearest negative errno; 0 for WIRE_OK. */
int wire_status_errno(uint32_t status);

/** wire_type_name() - "append", or "?" for unknown types. */
const char *wire_type_name(uint32_t type);

struct disk_wire_header {
	__le32 magic;
	__le16 version;
	__le16 type;
	__le64 request;
	__le32 flags;
	__le32 status;		/* replies only, else 0 */
	__le32 body_len;
	__le32 data_len;
	__le32 data_crc;	/* 0 for APPEND, RESTORE and READ replies */
	__le32 crc;		/* header with this field zero, then body */
	__le64 zero;
};
static_assert(sizeof(struct disk_wire_header) == 48, "wire size");

/* Host view. */
struct wire_header {
	uint16_t type;
	uint64_t request;
	uint32_t flags;
	uint32_t status;
	uint32_t body_len;
	uint32_t data_len;
	uint32_t data_crc;
};

/* ---- bodies (all little-endian on the wire) --------------------------- */

/* Features a side understands; the connection uses the intersection. */
#define WIRE_FEATURES_ALL 0ull

struct wire_hello {		/* request and reply */
	__le16 version_min, version_max;
	__le32 role;		/* enum wire_role */
	__le64 features;
	struct uuid cluster;	/* null: sender does not know one (init) */
	struct uuid from;	/* peer uuid of the sender, null for clients */
	struct uuid to;		/* request: expected peer, null = any */
	struct uuid incarnation;	/* reply: of the store's mount */
	__le64 zero[2];
};
static_assert(sizeof(struct wire_hello) == 96, "wire size");

enum wire_role { WIRE_ROLE_VOLUME = 1, WIRE_ROLE_PEER, WIRE_ROLE_ADMIN };

struct wire_append {
	__le64 volume;
	__le64 chunk;
	__le64 epoch;		/* of the sender; >= the record's own */
	__le32 block;
	__le32 blocks;		/* data_len / BLOCK_SIZE */
};
static_assert(sizeof(struct wire_append) == 32, "wire size");

struct wire_append_reply {
	__le64 epoch;		/* highest seen for the volume (EFENCED) */
	__le32 length;		/* blocks in the chunk now */
	__le32 zero;
	struct uuid incarnation;
};
static_assert(sizeof(struct wire_append_reply) == 32, "wire size");

/* SYNC: make [0, length) of each listed chunk durable. */
struct wire_sync {
	__le64 volume;
	__le64 epoch;
	__le32 count;		/* entries in data, at most WIRE_SYNC_MAX */
	__le32 zero;
};
static_assert(sizeof(struct wire_sync) == 24, "wire size");
#define WIRE_SYNC_MAX 1024u

struct wire_range {		/* data of SYNC */
	__le64 chunk;
	__le32 length;		/* blocks that must be there and durable */
	__le32 status;		/* reply data repeats the array with results */
};
static_assert(sizeof(struct wire_range) == 16, "wire size");

struct wire_sync_reply {
	__le64 epoch;
	__le32 count;
	__le32 zero;
	struct uuid incarnation;
};
static_assert(sizeof(struct wire_sync_reply) == 32, "wire size");

struct wire_read {
	__le64 volume;		/* owner of the chunk */
	__le64 chunk;
	__le64 attached;	/* volume on whose behalf */
	__le64 epoch;		/* of that volume; 0 = maintenance, unfenced */
	__le32 block;
	__le32 blocks;		/* at most WIRE_APPEND_MAX / BLOCK_SIZE */
};
static_assert(sizeof(struct wire_read) == 40, "wire size");

struct wire_read_reply {
	__le64 epoch;
	__le32 blocks;
	__le32 zero;
};
static_assert(sizeof(struct wire_read_reply) == 16, "wire size");

struct wire_fence {
	__le64 volume;
	__le64 epoch;
};
static_assert(sizeof(struct wire_fence) == 16, "wire size");

struct wire_fence_reply {
	__le64 epoch;		/* highest seen, after this request */
	__le64 chunk_max;	/* highest chunk number held or heard of, 0 */
	__le64 root;		/* newest root address seen in any header */
	__le64 root_sequence;	/* sequence of a record that named it */
	struct uuid incarnation;
};
static_assert(sizeof(struct wire_fence_reply) == 48, "wire size");

/*
 * SCAN: headers of the chain from block on. The reply's data is a sequence of
 * { __le32 bytes; header bytes without padding }, each padded to 8 bytes.
 * more = 1: ask again from next_block. A damaged record that has valid later
 * ones of its chain is reported by damaged_block (else ~0).
 */
struct wire_scan {
	__le64 volume;
	__le64 chunk;
	__le64 epoch;
	__le32 block;
	__le32 bytes_max;
};
static_assert(sizeof(struct wire_scan) == 32, "wire size");

struct wire_scan_reply {
	__le64 epoch;
	__le32 next_block;
	__le32 length;		/* valid blocks in the chunk */
	__le32 durable;		/* of those, known durable */
	__le32 sealed;		/* 1: sealed at length with end_crc */
	__le32 end_crc;		/* crc of the last valid header */
	__le32 more;
	__le32 damaged_block;
	__le32 count;		/* headers in data */
	struct uuid incarnation;
};
static_assert(sizeof(struct wire_scan_reply) == 56, "wire size");

/*
 * SEAL at length blocks, whose last record's header has crc end_crc (0 for
 * length 0). The length is a record boundary of the chain; a longer copy is
 * cut, a shorter one answers EOFFSET, a different one ECONFLICT. Durable
 * before the answer.
 */
struct wire_seal {
	__le64 volume;
	__le64 chunk;
	__le64 epoch;
	__le32 length;
	__le32 end_crc;
};
static_assert(sizeof(struct wire_seal) == 32, "wire size");

struct wire_chunk {		/* STAT_CHUNK, DELETE */
	__le64 volume;
	__le64 chunk;		/* DELETE: 0 = all chunks of the volume */
	__le64 epoch;
};
static_assert(sizeof(struct wire_chunk) == 24, "wire size");

struct wire_chunk_reply {	/* SEAL, STAT_CHUNK, DELETE */
	__le64 epoch;
	__le64 chunk_epoch;	/* epoch that sealed it, or 0 */
	__le32 length;
	__le32 durable;		/* above length: more was, and is damaged */
	__le32 sealed;
	__le32 end_crc;
	struct uuid incarnation;
};
static_assert(sizeof(struct wire_chunk_reply) == 48, "wire size");

struct wire_list {
	__le64 volume;		/* 0 = every volume */
	__le64 after_volume;	/* cursor: strictly after (volume, chunk) */
	__le64 after_chunk;
	__le32 max;
	__le32 zero;
};
static_assert(sizeof(struct wire_list) == 32, "wire size");

struct wire_list_entry {	/* data of the reply, in ascending order */
	__le64 volume;
	__le64 chunk;
	__le32 length;
	__le32 sealed;
	__le32 end_crc;
	__le32 zero;
};
static_assert(sizeof(struct wire_list_entry) == 32, "wire size");

struct wire_list_reply {
	__le32 count;
	__le32 more;
};
static_assert(sizeof(struct wire_list_reply) == 8, "wire size");

enum wire_space_state {
	WIRE_SPACE_OK,
	WIRE_SPACE_NEAR_FULL,	/* a warning, nothing else */
	WIRE_SPACE_FULL,	/* user data is refused with ENOSPC */
};

struct wire_stat_reply {
	__le64 size;		/* bytes this store may use */
	__le64 used;
	__le64 chunks;
	__le64 volumes;
	struct uuid peer;
	struct uuid incarnation;
	__le64 space_left;	/* bytes of user data that it would take */
	__le32 space_state;	/* enum wire_space_state */
	__le32 zero32;
	__le64 zero[2];
};
static_assert(sizeof(struct wire_stat_reply) == 96, "wire size");

/*
 * LOOKUP: what does this store have of these chunks? Only volume and chunk of
 * the request's entries are read. The answer repeats them in order.
 */
struct wire_lookup {		/* request and reply */
	__le64 ring_version;	/* newest that the sender follows; 0 = none */
	__le32 count;		/* entries in data, at most WIRE_LOOKUP_MAX */
	__le32 zero;
};
static_assert(sizeof(struct wire_lookup) == 16, "wire size");
#define WIRE_LOOKUP_MAX 1024u

enum wire_copy_state {
	WIRE_COPY_NONE,		/* nothing, or on its way out */
	WIRE_COPY_OPEN,		/* not sealed */
	WIRE_COPY_SEALED,	/* durable, at (length, end_crc) */
	WIRE_COPY_BAD,		/* a sync failed, or it is damaged */
	WIRE_COPY_DELETED,	/* the volume has a tombstone */
};

struct wire_lookup_entry {
	__le64 volume;
	__le64 chunk;
	__le64 epoch;		/* that sealed it, else 0 */
	__le32 length;
	__le32 end_crc;
	__le32 state;		/* enum wire_copy_state */
	__le32 zero;
};
static_assert(sizeof(struct wire_lookup_entry) == 40, "wire size");

/*
 * RESTORE: a copy of a chunk that the sender holds, sealed by epoch at
 * (length, end_crc), piece by piece. The pieces lie beside the store's own
 * copy, if it has one, until the last is there and the whole chain was
 * verified; then the copy is durable, takes the other's place and is sealed,
 * before the answer. One transfer of a chunk at a time: its pieces carry the
 * same token and follow each other, a few may be under way; block 0 begins it
 * (anew). blocks 0 only for length 0.
 *
 * EBUSY: another transfer of the chunk is under way, or too many are;
 * EOFFSET: not the piece that is due, the reply says which; ESEALED: a copy
 * sealed by this epoch or a later one is here and good (also the answer to a
 * last piece that is sent again); ECONFLICT: what is here must not give way: an
 * unsealed copy with more or other records, on which a later epoch may count, or
 * a bad one that a later epoch sealed; EFENCED: the volume was
 * deleted; EBADCRC: the chain is not what it was said to be; ENOSPC. Every
 * answer but OK, EOFFSET, EINVAL and "another transfer is under way" forgets the
 * transfer.
 */
struct wire_restore {
	__le64 volume;
	__le64 chunk;
	__le64 epoch;		/* that sealed it at the sender */
	__le32 length;		/* of the chunk, in blocks */
	__le32 end_crc;
	__le32 block;		/* of this piece */
	__le32 blocks;		/* at most WIRE_RESTORE_MAX */
	struct uuid token;	/* of the transfer, by chance */
};
static_assert(sizeof(struct wire_restore) == 56, "wire size");
#define WIRE_RESTORE_MAX 256u

struct wire_restore_reply {
	__le64 epoch;		/* that sealed the copy that is here, or 0 */
	__le32 staged;		/* blocks of the transfer that are here */
	__le16 sealed;		/* 1: by this epoch or a later one, and good */
	__le16 clients;		/* 1: clients use this store, be gentle */
};
static_assert(sizeof(struct wire_restore_reply) == 16, "wire size");

/*
 * CHECK: somebody has reason to think that a chunk is not well. Answered at
 * once; what is done about it is the store's maintenance's business.
 */
struct wire_check {
	__le64 volume;
	__le64 chunk;
	__le32 flags;		/* enum wire_check_flags */
	__le32 zero;
};
static_assert(sizeof(struct wire_check) == 24, "wire size");

enum wire_check_flags {
	WIRE_CHECK_VERIFY = 1 << 0,	/* read your copy and verify it */
	WIRE_CHECK_PLACE = 1 << 1,	/* see to it that all owners have it */
};

enum wire_maintenance_action {
	WIRE_MAINTENANCE_SHOW,		/* nothing but the answer */
	WIRE_SCRUB_START,		/* from the beginning, now */
	WIRE_SCRUB_PAUSE,
	WIRE_SCRUB_RESUME,
	WIRE_MAINTENANCE_ACTION_COUNT,
};

struct wire_maintenance {
	__le32 action;
	__le32 zero;
};
static_assert(sizeof(struct wire_maintenance) == 8, "wire size");

enum wire_scrub_state { WIRE_SCRUB_IDLE, WIRE_SCRUB_RUNNING,
			WIRE_SCRUB_PAUSED };

struct wire_maintenance_reply {
	__le64 ring_version;
	__le64 copy_chunks;	/* that are yet to be copied to owners ... */
	__le64 copy_bytes;
	__le64 short_chunks;	/* ... of those, with fewer than R copies */
	__le64 grace_chunks;	/* short, but their owner may come back */
	__le64 drop_chunks;	/* that do not belong here any more */
	__le64 drop_bytes;
	__le64 copied_chunks;	/* since the start of torusd */
	__le64 copied_bytes;
	__le64 dropped_chunks;
	__le64 garbage_chunks;	/* dead ones removed, likewise */
	__le64 rate;		/* bytes/s that are copied now */
	__le64 eta_s;		/* until nothing is left to copy; ~0 = unknown */
	__le64 scrub_chunks;	/* of this round, done */
	__le64 scrub_total;
	__le64 scrub_bytes;
	__le64 scrub_bad;	/* bad copies found, since the start */
	__le64 scrub_healed;
	__le64 scrub_ended_ms;	/* realtime end of the last round; 0 = never */
	__le32 scrub_state;	/* enum wire_scrub_state */
	__le32 space_state;	/* enum wire_space_state */
	__le32 count;		/* findings in data */
	__le32 zero;
	__le64 behind;		/* volumes of which etcd went back: no garbage
				 * is collected */
	__le64 zero64[4];
};
static_assert(sizeof(struct wire_maintenance_reply) == 208, "wire size");

struct wire_finding {		/* newest first */
	__le64 volume;
	__le64 chunk;
	__le64 volume_block;	/* what lies there; ~0 = no user data */
	__le64 when_ms;		/* realtime */
	__le32 block;		/* in the chunk */
	__le32 kind;		/* enum extent_kind; 0 = a header */
	__le32 healed;
	__le32 zero;
};
static_assert(sizeof(struct wire_finding) == 48, "wire size");
#define WIRE_FINDINGS_MAX 256u

/*
 * VOLUMES: what a store knows of each volume, also of those that it has no
 * chunk of. For `torusctl recover`.
 */
struct wire_volumes {
	__le64 after;		/* cursor: ids above */
	__le32 max;		/* entries, at least 1 */
	__le32 zero;
};
static_assert(sizeof(struct wire_volumes) == 16, "wire size");
#define WIRE_VOLUMES_MAX 4096u

enum wire_volume_flags { WIRE_VOLUME_DELETED = 1 << 0 };

struct wire_volume_entry {	/* data of the reply, by ascending id */
	__le64 volume;
	__le64 epoch;		/* highest seen; of a deleted one 0 */
	__le64 chunk_max;	/* as in FENCE's reply */
	__le64 root;
	__le64 root_sequence;
	__le32 flags;		/* enum wire_volume_flags */
	__le32 zero;
};
static_assert(sizeof(struct wire_volume_entry) == 48, "wire size");
/* The reply's body is struct wire_list_reply. */

/*
 * RECALL: the documents of cluster and ring as this store saw them last, for
 * the day on which the metadata store is lost: two texts, each with its NUL.
 * No data: it never saw any.
 */
#define WIRE_RECALL_MAX (1u << 20)

/* ---- codec ------------------------------------------------------------ */

/**
 * wire_encode_header() - fill @out from @hdr and compute the header's CRC over
 * it and @body. hdr->data_crc is what wire_data_crc() gave.
 */
void wire_encode_header(const struct wire_header *hdr, const void *body,
			struct disk_wire_header *out);

/**
 * wire_decode_header() - check the 48 bytes before anything is allocated:
 * magic, version, known type, flags, body_len as the type demands in this
 * direction, data_len within the type's limits. The CRC needs the body and is
 * checked by wire_check_crc().
 * Returns 0, or -EBADMSG / -EPROTONOSUPPORT with error text; the connection
 * cannot be trusted after an error.
 */
int wire_decode_header(const struct disk_wire_header *in,
		       struct wire_header *hdr);

/** wire_check_crc() - header CRC over @in and @body; 0 or -EBADMSG. */
int wire_check_crc(const struct disk_wire_header *in, const void *body);

/** wire_body_size() - body length of a type in a direction; -1 = no such. */
int wire_body_size(unsigned int type, bool reply);

/**
 * wire_data_checked() - whether data_crc covers the data of such a frame
 * (everything but APPEND and RESTORE requests and READ replies, which are
 * covered by records and map).
 */
bool wire_data_checked(const struct wire_header *hdr);

/**
 * wire_data_crc() - data_crc of a frame: over hdr->data_len bytes of @data, 0
 * where wire_data_checked() says no.
 */
uint32_t wire_data_crc(const struct wire_header *hdr, const struct iovec *data,
		       int data_count);

/** wire_check_data() - hdr->data_crc against the data; 0 or -EBADMSG. */
int wire_check_data(const struct wire_header *hdr, const struct iovec *data,
		    int data_count);

#endif
