/* SPDX-License-Identifier: Apache-2.0 */
/* The 4 KiB page of a map: 256 entries, nothing else (Documentation/map.md). */
#ifndef TORUS_VOLUME_MAP_PAGE_H
#define TORUS_VOLUME_MAP_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "volume/map.h"

/** map_entry_encode() - @entry as it is stored. */
void map_entry_encode(const struct map_entry *entry,
		      struct disk_map_entry *disk);
void map_entry_decode(const struct disk_map_entry *disk,
		      struct map_entry *entry);

/** page_entry() - entry @i of a page. */
void page_entry(const uint8_t *page, unsigned int i, struct map_entry *entry);

/** page_set_entry() - returns whether that changed the page. */
bool page_set_entry(uint8_t *page, unsigned int i,
		    const struct map_entry *entry);

/** page_clear() - make entries [from, to) absent; calls @dropped for each that
 * was not. Returns whether that changed the page. */
bool page_clear(uint8_t *page, unsigned int from, unsigned int to,
		void (*dropped)(void *ctx, const struct map_entry *old),
		void *ctx);

/** page_is_empty() - every entry is absent. */
bool page_is_empty(const uint8_t *page);

/**
 * page_rebase() - copy a page that belongs to the @lineage-th ancestor so that
 * the copy belongs to the volume itself: what it says of itself becomes
 * @lineage, its parent @lineage + 1, and so on. 0, or -EUCLEAN if that does
 * not fit.
 */
int page_rebase(const uint8_t *from, uint16_t lineage, uint8_t *to);

/** lineage_add() - the lineage of an entry found in a page of @lineage: adds
 * it to @entry's. 0 or -EUCLEAN. */
int lineage_add(struct map_entry *entry, uint16_t lineage);

#endif
