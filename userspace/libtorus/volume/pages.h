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
};

/**
 * pages_open() - make map and chunk table with these top entries (addr 0 =
 * empty), for the size in v->doc. The reader must have its epoch.
 * Returns 0 or -errno.
 */
int pages_open(struct volume *v, const struct map_entry *map_root,
	       const struct map_entry *table_root);

/** pages_release() - harmless when pages_open() was never called. */
void pages_release(struct volume *v);

/**
 * pages_apply() - the effect of one record on map and chunk table, live (when
 * it is acknowledged) and in replay. @r: chunk, block, header_blocks, extents
 * and payload_crc are used.
 * Returns 0 or -ENOMEM.
 */
int pages_apply(struct volume *v, const struct record *r);

#endif
