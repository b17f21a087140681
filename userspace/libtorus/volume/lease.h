/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torus/ID/owners/HEX under a lease: tells people and maintenance that the
 * volume's owner is alive. Nothing here protects data.
 */
#ifndef TORUS_VOLUME_LEASE_H
#define TORUS_VOLUME_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "env/env.h"

struct volume;

#define LEASE_TTL_S 30u

struct lease {
	int64_t id;			/* 0 = none */
	bool busy, revoking, stopped;
	bool rejected;			/* until docwriter knows the value */
	struct env_timer retry;
};

void lease_init(struct volume *v);
void lease_start(struct volume *v);
/** lease_run() - from the turn: put again what the metadata store rejected. */
void lease_run(struct volume *v);
/** lease_stop() - give the lease back; best effort. */
void lease_stop(struct volume *v);
/** lease_ended() - it was stopped, and nothing of it is under way. */
bool lease_ended(const struct volume *v);
void lease_release(struct volume *v);

#endif
