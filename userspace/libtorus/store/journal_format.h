/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's journal on disk (Documentation/store.md).
 *
 *   journal := batch*
 *   batch   := header entry* ; padded with zeros to whole 4 KiB blocks
 *
 * A batch is written by one write and made durable by one sync before the next
 * is begun, so that a crash damages at most the last one. Batches are chained:
 * each carries the CRC of the one before. The last state of a thing wins.
 */
#ifndef TORUS_STORE_JOURNAL_FORMAT_H
#define TORUS_STORE_JOURNAL_FORMAT_H

#include <assert.h>

#include "base/endian.h"
#include "base/uuid.h"

#define JOURNAL_MAGIC		0x4c4a5254u	/* "TRJL" */
#define JOURNAL_VERSION		1
#define JOURNAL_BATCH_MAX	65536u		/* bytes, padding included */
#define JOURNAL_BOOT_ID_MAX	64
#define JOURNAL_COMPACT_MIN	(4u << 20)	/* bytes; smaller ones are left alone */

struct disk_journal_batch {
	__le32 magic;
	__le16 version;
	__le16 count;		/* entries */
	__le32 bytes;		/* header and entries, without padding */
	__le32 crc;		/* of these bytes with this field zero */
	__le32 prev_crc;	/* of the batch before; 0 for the first */
	__le32 zero;
	__le64 sequence;	/* from 1 in every file */
};
static_assert(sizeof(struct disk_journal_batch) == 32, "on-disk size");

enum journal_type {
	JOURNAL_STORE = 1,	/* whose journal this is: first in each file */
	JOURNAL_MOUNT,		/* incarnation */
	JOURNAL_VOLUME,		/* fence, tombstone, highest numbers */
	JOURNAL_SEAL,
	JOURNAL_BAD,		/* this copy is bad for good */
	JOURNAL_DELETE,		/* the file must go */
	JOURNAL_FORGET,		/* ... and has gone: nothing is known of it */
	JOURNAL_DURABLE,	/* so much of an unsealed chunk is durable */
	JOURNAL_RESTORE,	/* a good copy, sealed, in place of what was here */
	JOURNAL_KEEP,		/* the file stays: takes DELETE back */
	JOURNAL_TYPE_COUNT,
};

/* In front of each body; the whole entry is a multiple of 8 bytes. */
struct disk_journal_entry {
	__le16 type;
	__le16 bytes;		/* of the body */
	__le32 zero;
};
static_assert(sizeof(struct disk_journal_entry) == 8, "on-disk size");

struct disk_journal_store {
	struct uuid cluster;
	struct uuid peer;
};
static_assert(sizeof(struct disk_journal_store) == 32, "on-disk size");

struct disk_journal_mount {
	struct uuid incarnation;
	char boot_id[JOURNAL_BOOT_ID_MAX];	/* NUL padded */
};
static_assert(sizeof(struct disk_journal_mount) == 80, "on-disk size");

#define JOURNAL_TOMBSTONE 1u

struct disk_journal_volume {
	__le64 volume;
	__le64 epoch;
	__le64 root;
	__le64 root_sequence;
	__le64 chunk_max;
	__le32 flags;		/* JOURNAL_TOMBSTONE */
	__le32 zero;
};
static_assert(sizeof(struct disk_journal_volume) == 48, "on-disk size");

struct disk_journal_seal {	/* SEAL, RESTORE */
	__le64 volume;
	__le64 chunk;
	__le64 epoch;
	__le32 length;
	__le32 end_crc;
	__le64 root;		/* newest root seen when it was sealed */
	__le64 root_sequence;
};
static_assert(sizeof(struct disk_journal_seal) == 48, "on-disk size");

struct disk_journal_chunk {	/* BAD, DELETE, FORGET, DURABLE, KEEP */
	__le64 volume;
	__le64 chunk;
	__le32 length;		/* DURABLE only, else 0 */
	__le32 zero;
};
static_assert(sizeof(struct disk_journal_chunk) == 24, "on-disk size");

union disk_journal_body {
	struct disk_journal_store store;
	struct disk_journal_mount mount;
	struct disk_journal_volume volume;
	struct disk_journal_seal seal;
	struct disk_journal_chunk chunk;
};

#endif
