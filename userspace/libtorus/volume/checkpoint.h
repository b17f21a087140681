/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoint: the state after record S becomes a tree in the log, named by a
 * root that the metadata store names.
 *
 *   IDLE -> PAGES (map, then chunk table) -> ROOT -> FLUSH -> PUBLISH -> IDLE
 */
#ifndef TORUS_VOLUME_CHECKPOINT_H
#define TORUS_VOLUME_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "volume/docwriter.h"
#include "volume/map.h"
#include "volume/sync.h"
#include "volume/writer.h"

struct volume;

enum checkpoint_state {
	CHECKPOINT_IDLE,
	CHECKPOINT_PAGES,
	CHECKPOINT_ROOT,
	CHECKPOINT_FLUSH,
	CHECKPOINT_PUBLISH,
};

#define CHECKPOINT_PAGES_MAX 128u	/* pages in the writer's hands */

struct checkpoint {
	enum checkpoint_state state;
	bool wanted;
	struct volume_doc *doc;		/* of the root record */
	uint64_t sequence;		/* S */
	uint64_t chunk;			/* replay starts here */
	uint32_t block;
	uint32_t prev_crc;
	uint64_t log_bytes;		/* log_since_root at S */
	struct map_entry map_root, table_root;
	struct page_write *pages;	/* CHECKPOINT_PAGES_MAX of them */
	struct list_head free_pages;
	uint32_t in_flight;
	void *root_data;
	struct log_write root_write;
	struct root_ref root;
	struct sync_wait wait;
	struct doc_change publish;
	uint64_t backoff_ns;
	struct env_timer retry;
};

int checkpoint_init(struct volume *v);
void checkpoint_release(struct volume *v);

/** checkpoint_start() - run one soon, also when nothing demands it. */
void checkpoint_start(struct volume *v);

/** checkpoint_run() - from the turn: begin one if something demands it. */
void checkpoint_run(struct volume *v);

/** checkpoint_running() - one is wanted or under way. */
bool checkpoint_running(const struct volume *v);

/** checkpoint_needed() - there is anything that the newest root lacks. */
bool checkpoint_needed(const struct volume *v);

#endif
