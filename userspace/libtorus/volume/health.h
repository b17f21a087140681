/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peers may be members of the next declared tail. A peer that failed us
 * is a suspect for a back-off (1 s doubling to 60 s) and until its connection
 * is up again. One that said that it is full is asked whether it has room
 * again, not tried: each try would cost a new ensemble.
 */
#ifndef TORUS_VOLUME_HEALTH_H
#define TORUS_VOLUME_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "peer/peer.h"

struct volume;

struct suspect {
	struct uuid peer;
	uint64_t failed_at, retry_at, backoff_ns;
	bool full;			/* said ENOSPC */
	bool waiting;			/* still excluded */
};

#define SUSPECTS_MAX 256		/* RING_MEMBERS_MAX */

struct health {
	struct suspect suspects[SUSPECTS_MAX];
	uint32_t count;
	struct env_timer retry;
	struct peer_call stat;		/* to one that is full, at a time */
	struct uuid asked;
	bool asking;
};

void health_init(struct volume *v);
void health_release(struct volume *v);

/** health_failed() - @peer failed as a member of a chunk with @err. */
void health_failed(struct volume *v, const struct uuid *peer, int err);

/** health_watch() - @peer was excluded without having failed us: say when it
 * can be had. */
void health_watch(struct volume *v, const struct uuid *peer);

/** health_peer_changed() - its connection came up or went down. */
void health_peer_changed(struct volume *v, const struct uuid *peer);

/** health_good() - worth being declared as a member. */
bool health_good(struct volume *v, const struct uuid *peer);

/** health_full() - excluded because it said that it is full. */
bool health_full(struct volume *v, const struct uuid *peer);

/** health_scarce() - nearly full, by what its document says: others are better
 * members, as long as there are enough of them. */
bool health_scarce(struct volume *v, const struct uuid *peer);

/** health_hopeful() - good, or it has failed so short ago, and not for want of
 * space, that it is worth waiting for. */
bool health_hopeful(struct volume *v, const struct uuid *peer);

/** health_last_resort() - not good, but connected, and its last failure is a
 * back-off of at most 8 s ago: usable when too few others remain. A peer that
 * fails each time is not asked, and a new tail not declared, every second. */
bool health_last_resort(struct volume *v, const struct uuid *peer);

#endif
