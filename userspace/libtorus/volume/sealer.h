/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an active chunk: SEAL to its members, again and again to those
 * that do not answer; copies to other peers when a chunk that is sealed in the
 * metadata has fewer than min_replicas; then it leaves the list.
 */
#ifndef TORUS_VOLUME_SEALER_H
#define TORUS_VOLUME_SEALER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "env/env.h"

struct volume;

struct sealer {
	struct env_timer retry;
};

void sealer_init(struct volume *v);
void sealer_release(struct volume *v);

/** sealer_run() - from the turn. */
void sealer_run(struct volume *v);

/** sealer_peer_up() - a peer can be reached again: do not wait any longer. */
void sealer_peer_up(struct volume *v, const struct uuid *peer);

/** sealer_lost_data() - acknowledged data is gone from all: fail for good. */
void sealer_lost_data(struct volume *v, uint64_t chunk);

/** sealer_settled() - no SEAL is under way, no chunk is short of copies. */
bool sealer_settled(const struct volume *v);

#endif
