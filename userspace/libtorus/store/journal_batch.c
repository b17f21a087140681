// SPDX-License-Identifier: Apache-2.0
/* Batches of the journal in memory: put together, checked, taken apart. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "store/journal.h"
#include "wire/record.h"

static const uint16_t body_size[JOURNAL_TYPE_COUNT] = {
	[JOURNAL_STORE] = sizeof(struct disk_journal_store),
	[JOURNAL_MOUNT] = sizeof(struct disk_journal_mount),
	[JOURNAL_VOLUME] = sizeof(struct disk_journal_volume),
	[JOURNAL_SEAL] = sizeof(struct disk_journal_seal),
	[JOURNAL_BAD] = sizeof(struct disk_journal_chunk),
	[JOURNAL_DELETE] = sizeof(struct disk_journal_chunk),
	[JOURNAL_FORGET] = sizeof(struct disk_journal_chunk),
	[JOURNAL_DURABLE] = sizeof(struct disk_journal_chunk),
	[JOURNAL_RESTORE] = sizeof(struct disk_journal_seal),
	[JOURNAL_KEEP] = sizeof(struct disk_journal_chunk),
};

void store_batch_begin(struct store_batch *batch)
{
	batch->bytes = sizeof(struct disk_journal_batch);
	batch->count = 0;
}

bool store_batch_add(struct store_batch *batch, enum journal_type type,
		     const void *body)
{
	struct disk_journal_entry head = {
		.type = cpu_to_le16(type),
		.bytes = cpu_to_le16(body_size[type]),
	};

	assert(type > 0 && type < JOURNAL_TYPE_COUNT);
	if (batch->bytes + sizeof(head) + body_size[type] > JOURNAL_BATCH_MAX)
		return false;
	memcpy(batch->buf + batch->bytes, &head, sizeof(head));
	memcpy(batch->buf + batch->bytes + sizeof(head), body, body_size[type]);
	batch->bytes += sizeof(head) + body_size[type];
	batch->count++;
	return true;
}

static uint32_t batch_crc(const struct disk_journal_batch *in)
{
	struct disk_journal_batch head = *in;
	const uint8_t *rest = (const uint8_t *)(in + 1);

	head.crc = 0;
	return crc32c(crc32c(0, &head, sizeof(head)), rest,
		      le32_to_cpu(in->bytes) - sizeof(head));
}

uint32_t store_batch_finish(struct store_batch *batch, uint32_t *crc,
			    uint64_t sequence)
{
	struct disk_journal_batch *head = (void *)batch->buf;
	uint32_t padded = DIV_ROUND_UP(batch->bytes, BLOCK_SIZE) * BLOCK_SIZE;

	memset(head, 0, sizeof(*head));
	head->magic = cpu_to_le32(JOURNAL_MAGIC);
	head->version = cpu_to_le16(JOURNAL_VERSION);
	head->count = cpu_to_le16(batch->count);
	head->bytes = cpu_to_le32(batch->bytes);
	head->prev_crc = cpu_to_le32(*crc);
	head->sequence = cpu_to_le64(sequence);
	*crc = batch_crc(head);
	head->crc = cpu_to_le32(*crc);
	memset(batch->buf + batch->bytes, 0, padded - batch->bytes);
	return padded;
}

int64_t store_batch_check(const void *buf, size_t len)
{
	const struct disk_journal_batch *head = buf;
	uint32_t bytes;

	if (len < sizeof(*head))
		return -EAGAIN;
	if (le32_to_cpu(head->magic) != JOURNAL_MAGIC)
		return -EBADMSG;
	bytes = le32_to_cpu(head->bytes);
	if (bytes < sizeof(*head) || bytes > JOURNAL_BATCH_MAX)
		return -EBADMSG;
	if (bytes > len)
		return -EAGAIN;
	if (batch_crc(head) != le32_to_cpu(head->crc))
		return -EBADMSG;
	if (le16_to_cpu(head->version) != JOURNAL_VERSION)
		return -EPROTONOSUPPORT;
	return DIV_ROUND_UP(bytes, BLOCK_SIZE) * BLOCK_SIZE;
}

int store_batch_walk(const void *buf,
		     int (*fn)(void *ctx, enum journal_type type,
			       const union disk_journal_body *body), void *ctx)
{
	const struct disk_journal_batch *head = buf;
	uint32_t at = sizeof(*head), end = le32_to_cpu(head->bytes);
	uint16_t i, type, bytes;
	int err;

	for (i = 0; i < le16_to_cpu(head->count); i++) {
		const struct disk_journal_entry *entry =
			(const void *)((const uint8_t *)buf + at);
		union disk_journal_body body;

		if (end - at < sizeof(*entry))
			return -EBADMSG;
		type = le16_to_cpu(entry->type);
		bytes = le16_to_cpu(entry->bytes);
		if (type == 0 || type >= JOURNAL_TYPE_COUNT)
			return -EPROTONOSUPPORT;
		if (bytes != body_size[type] || end - at - sizeof(*entry) < bytes)
			return -EBADMSG;
		memcpy(&body, entry + 1, bytes);
		err = fn(ctx, type, &body);
		if (err < 0)
			return err;
		at += sizeof(*entry) + bytes;
	}
	return at == end ? 0 : -EBADMSG;
}
