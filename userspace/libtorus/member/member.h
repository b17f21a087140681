/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store owes to its cluster's metadata, beside its maintenance: a
 * document and a lease, the deletion of what has a tombstone, and a copy of the
 * cluster's documents for the day the metadata are lost.
 *
 *	member.c     life
 *	register.c   peer document and lease
 *	tombstone.c  volumes that were deleted
 *	confirm.c    the word that nothing of them is left
 *	remember.c   what the store keeps
 *	retry.c      waits
 *
 * It lives from the time the store serves and the cluster is known to the end
 * of the process. Nothing of it stops when the metadata store is away: it tries
 * again, for as long as it takes.
 */
#ifndef TORUS_MEMBER_MEMBER_H
#define TORUS_MEMBER_MEMBER_H

#include <stdbool.h>

#include "base/list.h"
#include "env/env.h"
#include "member/retry.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "store/store.h"

struct member_ops {
	/* Registered, or failed for now: member_registering() tells. */
	void (*changed)(void *ctx);
	/* Another process serves as this peer, and this one is not ready yet:
	 * it must end. Error text is set. */
	void (*failed)(void *ctx, int err);
	/* member_stop() is done. */
	void (*stopped)(void *ctx);
};

struct member_config {
	struct env *env;
	struct meta *meta;
	struct store *store;		/* serves */
	struct cluster_doc cluster;
	char address[ADDRESS_MAX];	/* where others reach it */
	char zone[RING_LABEL_MAX], rack[RING_LABEL_MAX], host[RING_LABEL_MAX];
	const struct member_ops *ops;
	void *ctx;
};

struct registration {
	struct retry retry;
	struct env_timer refresh;	/* armed while more is to be told */
	int64_t lease;			/* 0 = none */
	int64_t alive_revision;		/* of the key under the lease; 0 = none */
	bool lease_lost;		/* and not made good for yet */
	uint64_t rival_since_ns;	/* another has our name; 0 = none */
	uint64_t used_told;		/* bytes, in the document */
	bool running;
};

struct tombstones {
	struct retry retry;
	struct meta_watch *watch;
	struct env_timer look;		/* again: each hour, or sooner */
	struct list_head burials;	/* under way in the store */
};

/* Telling the metadata store that this peer has nothing of a deleted volume
 * any more; one after the other. */
struct confirming {
	struct retry retry;
	struct list_head waiting;
	bool busy;
};

struct remembering {
	struct retry retry;
	struct meta_watch *watch;
};

struct member {
	struct member_config cfg;
	struct env *env;		/* of cfg */
	struct meta *meta;
	struct store *store;
	bool started, stopping;
	bool ready;			/* the owner's: it has said so */
	struct registration registration;
	struct tombstones tombstones;
	struct confirming confirming;
	struct remembering remembering;
};

/** member_start() - copies @cfg. @m: zeroed memory of the caller's. */
void member_start(struct member *m, const struct member_config *cfg);

/** member_stop() - nothing new is begun, and the lease is given back. At any
 * time, also if it was never started. Returns whether that is all; if not,
 * ops.stopped() follows. */
bool member_stop(struct member *m);

/** member_release() - free its memory. Only when no callback comes any more:
 * the store and what is behind @env and @meta are closed, or the process is
 * ending. */
void member_release(struct member *m);

/** member_registering() - it is at it, or a rival is in the way. */
bool member_registering(const struct member *m);

/** member_space_moved() - for store_config.space_moved: the peer's document is
 * written again soon. Before member_start() it does nothing. */
void member_space_moved(struct member *m);

/** member_seen_dead() - the watch says that the key of this peer's life has gone.
 * If its lease stands it registers again. */
void member_seen_dead(struct member *m);

/** member_peer_forgotten() - the watch says that a peer was removed for good:
 * tombstones that waited for it alone can go. */
void member_peer_forgotten(struct member *m);

/** member_doc() - this peer's document, as it is now. */
void member_doc(const struct member *m, struct peer_doc *doc);

#endif
