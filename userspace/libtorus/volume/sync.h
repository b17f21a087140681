/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durability. One round at a time: it remembers what is acknowledged, sends
 * SYNC to every member that lacks some of it, and when all have answered raises
 * v->durable as far as invariant 1 allows. Whoever waits for less is done; for
 * the rest the next round begins. Chunks that are sealed in the metadata are
 * made durable by SEAL: sealer.h.
 */
#ifndef TORUS_VOLUME_SYNC_H
#define TORUS_VOLUME_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"

struct volume;
struct volume_request;

struct sync_wait {
	uint64_t sequence;		/* done when durable up to this */
	void (*done)(struct sync_wait *wait);
	void *ctx;
	struct list_head node;		/* private */
};

struct sync {
	struct list_head flushes;
	struct list_head ordered;	/* acknowledged writes, in record order,
					 * that a FUA write holds up */
	struct list_head waits;		/* struct sync_wait */
	uint32_t busy;			/* calls in flight */
	bool wanted;			/* a round should begin */
	struct env_timer timer;		/* background sync */
	struct env_timer deadline;
};

void sync_init(struct volume *v);
void sync_release(struct volume *v);

/** sync_flush() - hand @req back when everything up to req->sequence is
 * durable. */
void sync_flush(struct volume *v, struct volume_request *req);

/** sync_complete() - the record req->sequence is acknowledged: hand @req back,
 * in record order; with FUA not before everything up to it is durable. */
void sync_complete(struct volume *v, struct volume_request *req);

/** sync_wait() - as sync_flush(), for the engine itself; no time limit. */
void sync_wait(struct volume *v, struct sync_wait *wait);
void sync_wait_cancel(struct sync_wait *wait);

/** sync_kick() - begin a round soon, whether anybody waits or not. */
void sync_kick(struct volume *v);

/** sync_acknowledged() - there is data that is not durable: background sync. */
void sync_acknowledged(struct volume *v);

/** sync_update() - raise v->durable to what the members' answers allow. */
void sync_update(struct volume *v);

/** sync_taken_back() - records behind v->end are not part of the log any more:
 * nobody waits for them, and their numbers are used again. */
void sync_taken_back(struct volume *v);

/** sync_run() - from the turn. */
void sync_run(struct volume *v);

/** sync_stop() - the volume failed: hand everything that waits back. */
void sync_stop(struct volume *v, int err);

/** sync_idle() - no request waits. */
bool sync_idle(const struct volume *v);

#endif
