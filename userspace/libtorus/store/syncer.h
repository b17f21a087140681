/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group sync of one thing that grows: the data of a chunk file (counted in
 * blocks), or the names in a directory (counted in changes). Whoever needs the
 * first n of it durable waits for n; all that wait together share one sync.
 *
 * What is durable after a sync is what had been written when it began.
 */
#ifndef TORUS_STORE_SYNCER_H
#define TORUS_STORE_SYNCER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct store_syncer {
	uint64_t written;	/* grown by the owner */
	uint64_t durable;
	uint64_t target;	/* of the running sync */
	bool running;
	struct list_head waiters;
	/* Begin one sync; store_syncer_finish() must follow. */
	void (*start)(struct store_syncer *syncer);
	/* It failed with @err; called before the waiters are. */
	void (*failed)(struct store_syncer *syncer, int err);
};

struct store_sync_wait {
	struct list_head node;
	uint64_t target;
	void (*fn)(struct store_sync_wait *wait, int err);
};

void store_syncer_init(struct store_syncer *syncer,
		       void (*start)(struct store_syncer *syncer),
		       void (*failed)(struct store_syncer *syncer, int err));

/**
 * store_syncer_wait() - call wait->fn once the first @target are durable.
 * @target: above syncer->durable, at most syncer->written (asserted).
 * wait->fn gets -errno when the sync that would have covered it failed.
 */
void store_syncer_wait(struct store_syncer *syncer,
		       struct store_sync_wait *wait, uint64_t target);

/**
 * store_syncer_cut() - @written are left, and durable: what lay behind them
 * counts no more. Who waits for some of that waits for what is left, or no sync
 * would ever be enough.
 */
void store_syncer_cut(struct store_syncer *syncer, uint64_t written);

/** store_syncer_finish() - the sync that start() began is over. */
void store_syncer_finish(struct store_syncer *syncer, int err);

#endif
