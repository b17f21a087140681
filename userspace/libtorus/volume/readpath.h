/* SPDX-License-Identifier: Apache-2.0 */
/* VOLUME_READ: look the blocks up in the map, read them, hand them back. */
#ifndef TORUS_VOLUME_READPATH_H
#define TORUS_VOLUME_READPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"

struct volume;
struct volume_request;
struct read_op;

#define READS_MAX 64u			/* reads in flight; more wait */

struct readpath {
	struct list_head waiting;	/* requests */
	struct read_op *ops;		/* READS_MAX of them */
	struct list_head free_ops, busy_ops;
	struct env_timer deadline;	/* of what is not in the reader */
	struct env_timer memory;	/* armed: there was none; try again */
};

int readpath_init(struct volume *v);
void readpath_release(struct volume *v);

/** readpath_submit() - a READ of whole blocks. */
void readpath_submit(struct volume *v, struct volume_request *req);

/** readpath_run() - from the turn. */
void readpath_run(struct volume *v);

/** readpath_stop() - the volume failed: hand back all reads with @err, but for
 * those that the reader has: these end by themselves. */
void readpath_stop(struct volume *v, int err);

bool readpath_idle(const struct volume *v);

#endif
