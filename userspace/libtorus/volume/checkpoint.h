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
struct page_write;

enum checkpoint_state {
	CHECKPOINT_IDLE,
	CHECKPOINT_MAP,
	CHECKPOINT_TABLE,
	CHECKPOINT_ROOT,
	CHECKPOINT_FLUSH,
	CHECKPOINT_PUBLISH,
	CHECKPOINT_ABORT,		/* pages are still in the writer's hands */
};

#define CHECKPOINT_PAGES_MAX 128u	/* pages in the writer's hands */
/* Entries of the sealed list above which a checkpoint must come before any
 * more is written. */
#define CHECKPOINT_SEALED_MAX 32u

struct checkpoint {
	enum checkpoint_state state;
	bool wanted;
	bool blocked;			/* the map says when it goes on */
	/* The state that becomes the root: after record `end.last`. */
	uint64_t sequence;
	uint32_t record_crc;
	block_addr_t log_next;
	uint64_t log_bytes;		/* log_since_root then */
	uint64_t stored_blocks, live_blocks;
	uint64_t begun;			/* how many have */
	uint64_t horizon;		/* of the newest published root */
	uint64_t replay;		/* chunk where replay of it begins */
	uint64_t root_horizon;		/* of the one under way */
	struct map_entry map_root, table_root;
	struct page_write *pages;	/* CHECKPOINT_PAGES_MAX of them */
	struct list_head free_pages;
	uint32_t in_flight;
	void *root_data;
	struct log_write root_write;
	struct root_ref root;
	struct sync_wait wait;
	struct doc_change publish;
	uint32_t failures;
	struct env_timer retry;
	struct env_timer lag;		/* the root lies behind */
};

int checkpoint_init(struct volume *v);
void checkpoint_release(struct volume *v);

/** checkpoint_start() - run one soon, also when nothing demands it. */
void checkpoint_start(struct volume *v);

/** checkpoint_serve() - attaching is over. */
void checkpoint_serve(struct volume *v);

/** checkpoint_lags() - the log goes on in another chunk: have the newest root
 * not stay behind for longer than cfg.checkpoint_lag_ns. */
void checkpoint_lags(struct volume *v);

/** checkpoint_run() - from the turn: begin one if something demands it, go on
 * with the one that is under way. */
void checkpoint_run(struct volume *v);

/** checkpoint_abandon() - no record is in flight, and what was written of the
 * checkpoint is to be forgotten: end it now, to be tried again later. False:
 * its root may be published already. */
bool checkpoint_abandon(struct volume *v);

/** checkpoint_running() - one is wanted or under way. */
bool checkpoint_running(const struct volume *v);

/** checkpoint_due() - one would begin now, if nothing is to be moved. */
bool checkpoint_due(const struct volume *v);

/** checkpoint_dropped() - a block is dropped by what is folded. */
void checkpoint_dropped(struct volume *v);

/** checkpoint_needed() - the newest root lacks changes of the map, or still
 * lists chunks that were cleaned. */
bool checkpoint_needed(const struct volume *v);

#endif
