/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owner of the volume's map and chunk table: loads their pages through the
 * reader, and applies records to them in the order of the log.
 */
#ifndef TORUS_VOLUME_PAGES_H
#define TORUS_VOLUME_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "volume/map.h"
#include "wire/record.h"

struct volume;
struct page_load;

#define PAGES_LOADS_MAX 32u		/* reads in flight */

struct pages {
	struct map *map;
	struct chunk_table *table;
	struct list_head queue;		/* map_page_loads that wait */
	struct page_load *loads;	/* PAGES_LOADS_MAX of them */
	struct list_head free_loads;
	uint64_t stored_blocks;		/* in the chunks of the table */
	uint64_t live_blocks;		/* of those; an estimate */
};

/**
 * pages_open() - make map and chunk table with these top entries (addr 0 =
 * empty), for the size in v->doc. The reader must have its epoch.
 * Returns 0 or -errno.
 */
int pages_open(struct volume *v, const struct map_entry *map_root,
	       const struct map_entry *table_root);

/** pages_set_totals() - as the root says; 0 and 0 for an empty volume. */
void pages_set_totals(struct volume *v, uint64_t stored, uint64_t live);

/** pages_release() - harmless when pages_open() was never called. */
void pages_release(struct volume *v);

/**
 * pages_reserve() - memory for pages_apply() of @r, so that it cannot fail;
 * pages_unreserve() after it. 0 or -ENOMEM.
 */
int pages_reserve(struct volume *v, const struct record *r);
void pages_unreserve(struct volume *v, const struct record *r);

/** pages_changed_by() - whether the record changes what the volume holds;
 * others carry only pages and roots. */
bool pages_changed_by(const struct record *r);

/** pages_forget() - @chunk, of which @blocks were applied, held nothing but
 * pages that nothing refers to, and is not part of the log any more. */
void pages_forget(struct volume *v, uint64_t chunk, uint32_t blocks);

/**
 * pages_apply() - the effect of one record on map and chunk table, live (when
 * it is acknowledged) and in replay. @r: chunk, block, header_blocks, extents
 * and payload_crc are used.
 * A relocation takes effect block by block, where the map still points at its
 * source. Returns 0, -ENOMEM or -ERANGE (beyond the volume's end).
 */
int pages_apply(struct volume *v, const struct record *r);

#endif
