/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an active chunk: SEAL to its members, again and again to those
 * that do not answer; copies to other peers when a chunk that is sealed in the
 * metadata has fewer than min_replicas; then it leaves the list.
 */
#ifndef TORUS_VOLUME_SEALER_H
#define TORUS_VOLUME_SEALER_H

#include <stdbool.h>

#include "env/env.h"

struct volume;

struct sealer {
	struct env_timer retry;
};

void sealer_init(struct volume *v);
void sealer_release(struct volume *v);

/** sealer_run() - from the turn. */
void sealer_run(struct volume *v);

/** sealer_settled() - no SEAL is under way, no chunk is short of copies. */
bool sealer_settled(const struct volume *v);

#endif
