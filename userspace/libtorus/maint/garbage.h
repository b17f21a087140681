/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage: which of the copies here are of chunks that no root needs? The
 * writer of a volume tells the peers what it has freed; what it could not tell,
 * because they were down, or it died, they find out here. Part of maintenance;
 * deletes nothing but copies of this store.
 *
 * The same look learns how much of the other chunks the root counts on, and
 * tells the store that of its unsealed copies, which may give way then.
 */
#ifndef TORUS_MAINT_GARBAGE_H
#define TORUS_MAINT_GARBAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "maint/fetch.h"
#include "meta/schema.h"
#include "peer/cluster.h"
#include "store/maintain.h"
#include "volume/chunk_table.h"
#include "volume/map.h"
#include "volume/metacall.h"
#include "volume/reader.h"
#include "wire/record.h"

#define GARBAGE_DEAD_MAX 1024u		/* found, and to be deleted */
#define GARBAGE_TOLD_MAX 64u		/* volumes that went back, by name */

struct garbage_config {
	uint64_t interval_ns;		/* between two looks; 0 = 1 h */
	/* From finding a chunk dead to deleting it: longer than any read that
	 * began before its root was published; 0 = 150 s. */
	uint64_t grace_ns;
	/* It is known now how much of an unsealed copy here counts; may be
	 * NULL. */
	void (*settled)(void *ctx, uint64_t volume, uint64_t chunk);
	void *ctx;
};

enum garbage_state {
	GARBAGE_REST,			/* until the next look */
	GARBAGE_NEXT,			/* to the next volume of this store */
	GARBAGE_DOC,			/* its value is being read */
	GARBAGE_HEADER,			/* of its root: from some peer */
	GARBAGE_ROOT,			/* the root itself */
	GARBAGE_TABLE,			/* is each copy in the chunk table? */
	GARBAGE_GRACE,
	GARBAGE_DELETE,
};

struct garbage_dead {
	uint64_t volume, chunk;
};

struct garbage {
	struct env *env;
	struct cluster *cluster;
	struct store *store;
	struct garbage_config cfg;
	struct metacalls calls;
	struct env_timer turn;
	enum garbage_state state;
	bool busy;			/* an answer will come */
	bool again;			/* look once more when this is over */
	/* garbage_want() */
	bool wanted;
	uint64_t not_before, pause;
	/* the volume being looked at */
	uint64_t volume;		/* 0: none yet */
	struct volume_fetch fetch;
	struct store_volume_seen seen;	/* before its value was asked for */
	struct root_ref root;
	uint64_t epoch;			/* of the value that names that */
	uint32_t replication;
	uint32_t peer;			/* of the permutation, to be asked */
	struct peer_call call;
	struct record *record;
	struct reader *reader;
	struct block_read read;
	struct map_entry *entries;
	uint8_t *payload;
	struct chunk_table *table;
	uint64_t horizon;
	/* A lookup of one leaf loads one page at a time. */
	struct map_page_load *load;
	struct block_read page;
	uint64_t chunk;			/* cursor */
	struct map_lookup lookup;
	struct map_entry found[MAP_FANOUT];
	/* what was found */
	struct garbage_dead dead[GARBAGE_DEAD_MAX];
	uint32_t dead_count;
	struct store_copy_op op;
	/* shown */
	uint64_t removed;		/* chunks, since the start */
	uint64_t behind, behind_now;	/* volumes, in the last look; this */
	uint64_t told[GARBAGE_TOLD_MAX];	/* those that were logged */
	uint32_t told_count;
};

/** garbage_init() - the first look is soon. @meta, @cluster and @store outlive
 * it. 0 or -ENOMEM. */
int garbage_init(struct garbage *g, struct env *env, struct meta *meta,
		 struct cluster *cluster, struct store *store,
		 const struct garbage_config *cfg);
void garbage_release(struct garbage *g);

/** garbage_look() - begin a look now, or after the one that is under way. */
void garbage_look(struct garbage *g);

/** garbage_want() - look soon: somebody needs to know how much of an unsealed
 * copy counts. The less often, the longer that was not to be found out. */
void garbage_want(struct garbage *g);

/** garbage_is_dead() - that chunk was found dead, and is yet to be deleted. */
bool garbage_is_dead(const struct garbage *g, uint64_t volume, uint64_t chunk);

/** garbage_report() - fills in its part. */
void garbage_report(const struct garbage *g,
		    struct wire_maintenance_reply *reply);

/** garbage_idle() - nothing is under way. */
bool garbage_idle(const struct garbage *g);

#endif
