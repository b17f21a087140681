// SPDX-License-Identifier: Apache-2.0
#include "volume/map_page.h"

#include <errno.h>
#include <string.h>

#include "base/endian.h"

void map_entry_encode(const struct map_entry *entry,
		      struct disk_map_entry *disk)
{
	uint64_t chunk = block_addr_chunk(entry->addr);

	*disk = (struct disk_map_entry){
		.crc = cpu_to_le32(entry->crc),
		.block = cpu_to_le16(block_addr_block(entry->addr)),
		.lineage = cpu_to_le16(entry->lineage),
		.chunk_low = cpu_to_le32(chunk),
		.chunk_high = cpu_to_le16(chunk >> 32),
		.flags = cpu_to_le16(entry->flags),
	};
}

void map_entry_decode(const struct disk_map_entry *disk,
		      struct map_entry *entry)
{
	uint64_t chunk = (uint64_t)le16_to_cpu(disk->chunk_high) << 32 |
			 le32_to_cpu(disk->chunk_low);

	*entry = (struct map_entry){
		.addr = block_addr(chunk, le16_to_cpu(disk->block)),
		.crc = le32_to_cpu(disk->crc),
		.lineage = le16_to_cpu(disk->lineage),
		.flags = le16_to_cpu(disk->flags) & ~MAP_ENTRY_DELTA,
	};
}

static struct disk_map_entry *disk_entry(uint8_t *page, unsigned int i)
{
	return (struct disk_map_entry *)page + i;
}

void page_entry(const uint8_t *page, unsigned int i, struct map_entry *entry)
{
	map_entry_decode((const struct disk_map_entry *)page + i, entry);
}

bool page_set_entry(uint8_t *page, unsigned int i,
		    const struct map_entry *entry)
{
	struct disk_map_entry disk;

	map_entry_encode(entry, &disk);
	if (!memcmp(disk_entry(page, i), &disk, sizeof(disk)))
		return false;
	*disk_entry(page, i) = disk;
	return true;
}

bool page_clear(uint8_t *page, unsigned int from, unsigned int to,
		void (*dropped)(void *ctx, const struct map_entry *old),
		void *ctx)
{
	static const struct map_entry absent;
	bool changed = false;

	for (unsigned int i = from; i < to; i++) {
		struct map_entry old;

		page_entry(page, i, &old);
		if (!old.addr)
			continue;
		page_set_entry(page, i, &absent);
		dropped(ctx, &old);
		changed = true;
	}
	return changed;
}

bool page_is_empty(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, BLOCK_SIZE - 1);
}

int lineage_add(struct map_entry *entry, uint16_t lineage)
{
	if (entry->addr && entry->lineage + lineage > UINT16_MAX)
		return -EUCLEAN;
	if (entry->addr)
		entry->lineage += lineage;
	return 0;
}

int page_rebase(const uint8_t *from, uint16_t lineage, uint8_t *to)
{
	struct map_entry entry;

	memcpy(to, from, BLOCK_SIZE);
	if (!lineage)
		return 0;
	for (unsigned int i = 0; i < MAP_FANOUT; i++) {
		page_entry(from, i, &entry);
		if (lineage_add(&entry, lineage))
			return -EUCLEAN;
		page_set_entry(to, i, &entry);
	}
	return 0;
}
