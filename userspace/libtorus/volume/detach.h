/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orderly end of a volume: all requests done, a checkpoint, then one
 * transaction that seals the open chunk, declares no tail and removes the
 * attachment; then SEAL to the members and the lease given back, best effort.
 */
#ifndef TORUS_VOLUME_DETACH_H
#define TORUS_VOLUME_DETACH_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"
#include "volume/docwriter.h"
#include "volume/sync.h"
#include "volume/volume.h"

enum detach_state {
	DETACH_NONE,
	DETACH_DRAIN,			/* requests */
	DETACH_CHECKPOINT,
	DETACH_FLUSH,
	DETACH_RELEASE,			/* the transaction */
	DETACH_SETTLE,			/* SEALs and DELETEs */
	DETACH_OVER,
};

struct detach {
	enum detach_state state;
	volume_done_fn done;		/* NULL: nothing is owed */
	void *ctx;
	int err;
	bool checkpointed;		/* one was asked for */
	bool no_room;			/* for the pages of that one */
	bool submitted;			/* the transaction is docwriter's */
	bool waiting;			/* for `wait` */
	struct sync_wait wait;
	struct doc_change change;
	uint64_t progress;		/* at the last deadline */
	struct env_timer deadline;
};

void detach_init(struct volume *v);
void detach_release(struct volume *v);
void detach_start(struct volume *v, volume_done_fn done, void *ctx);

/** detach_run() - from the turn: go on if the current state is finished. */
void detach_run(struct volume *v);

/** detach_no_room() - peers that had to be taken although they are full have no
 * room for a page either. */
void detach_no_room(struct volume *v);

/** detach_stop() - the volume failed: so does detaching. */
void detach_stop(struct volume *v, int err);

#endif
