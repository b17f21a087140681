/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One torusd: a store, the reactor it runs on, and its place in the cluster.
 *
 *	main.c       options, directory, reactor; start and end
 *	link.c       the cluster's document: waits for the metadata store
 *	register.c   peer document and lease
 *	tombstone.c  volumes that were deleted
 *	join.c       membership of the ring
 *	maintain.c   repair, rebalance and all that is done by itself
 *	remember.c   what the store keeps for the day the metadata are lost
 */
#ifndef TORUSD_TORUSD_H
#define TORUSD_TORUSD_H

#include <stdbool.h>

#include "datadir.h"
#include "env/env.h"
#include "maint/maint.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "meta/url.h"
#include "options.h"
#include "store/store.h"

#define RETRY_MIN_NS NSEC_PER_SEC
#define RETRY_MAX_NS (30 * NSEC_PER_SEC)

/* A wait that doubles with every failure. */
struct retry {
	struct env_timer timer;
	struct env *env;
	uint64_t delay_ns;
};
void retry_init(struct retry *retry, struct env *env,
		void (*fn)(struct env_timer *timer));
void retry_later(struct retry *retry);
void retry_reset(struct retry *retry);

struct registration {
	struct retry retry;
	struct env_timer refresh;	/* armed while more is to be told */
	int64_t lease;			/* 0 = none */
	int64_t alive_revision;		/* of the key under the lease; 0 = none */
	uint64_t rival_since_ns;	/* another has our name; 0 = none */
	uint64_t used_told;		/* bytes, in the document */
	bool started;
	bool running;
};

struct tombstones {
	struct retry retry;
	struct meta_watch *watch;
	struct env_timer hourly;	/* looks again: peers come and go */
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

struct joining {
	struct retry retry;
	bool done;
};

struct maintenance {
	struct retry retry;
	struct cluster *cluster;	/* NULL: not begun, or to be tried again */
	struct maint *maint;		/* NULL: it has not shown itself yet */
};

struct torusd {
	struct torusd_options options;
	struct datadir dir;
	struct env *env;
	struct meta *meta;
	struct meta_settings settings;
	struct store *store;
	struct cluster_doc cluster;
	bool cluster_known;		/* from the metadata store */
	struct uuid store_cluster;	/* of the store; null: its directory's */
	bool listening;			/* or about to, once the port is free */
	bool serving;
	bool ready;			/* said so */
	bool stopping;
	bool store_closed, lease_revoked;
	int exit_status;
	char address[ADDRESS_MAX];	/* where others reach it */
	struct env_timer listen_again;
	uint64_t listen_until_ns;	/* the port may be freed; 0 = not yet tried */
	struct retry link;
	struct env_timer patience;	/* with the metadata store at start */
	struct registration registration;
	struct tombstones tombstones;
	struct confirming confirming;
	struct remembering remembering;
	struct joining joining;
	struct maintenance maintenance;
	struct env_timer stop_timer;
};

/** torusd_fail() - log the error text, end with status 1. */
void torusd_fail(struct torusd *d, const char *what, int err);

/** torusd_cluster_known() - link.c has the cluster's document. */
void torusd_cluster_known(struct torusd *d);

/** torusd_open_store() - open and serve, if that has not begun. @cluster may
 * be NULL: the directory's own. */
void torusd_open_store(struct torusd *d, const struct uuid *cluster);

/** torusd_check_ready() - say that it is, once everything is in place. */
void torusd_check_ready(struct torusd *d);

/** torusd_check_stopped() - end once nothing is left to be done. */
void torusd_check_stopped(struct torusd *d);

/** link_start() - get the cluster's document, for as long as it takes. */
void link_start(struct torusd *d);

/** registration_start() - tell the others where this peer is and that it
 * lives; again whenever the lease was lost. */
void registration_start(struct torusd *d);

/** registration_stop() - give the lease back; d->lease_revoked after that, and
 * torusd_check_stopped() is called if it took time. */
void registration_stop(struct torusd *d);

/** registration_space_moved() - of the store @ctx is the torusd of: the peer's
 * document is written again soon. */
void registration_space_moved(void *ctx);

/** registration_doc() - this peer's document, as it is now. */
void registration_doc(struct torusd *d, struct peer_doc *doc);

/** tombstones_start() - follow the list of deleted volumes. */
void tombstones_start(struct torusd *d);

/** confirming_start() - before tombstones_start(). */
void confirming_start(struct torusd *d);

/** confirming_add() - @volume has a tombstone, and no chunk here any more. */
void confirming_add(struct torusd *d, uint64_t volume);

/** confirmed_by() - whether @peer is in the tombstone's list. */
bool confirmed_by(const struct tombstone_doc *doc, const struct uuid *peer);

/** remembering_start() - hand the cluster's documents to the store. */
void remembering_start(struct torusd *d);

/** joining_start() - become a member of the ring, unless it is one. */
void joining_start(struct torusd *d);

/** maintenance_start() - look after the chunks of the store, which serves. */
void maintenance_start(struct torusd *d);

/** maintenance_stop() - before the store is closed; at any time. */
void maintenance_stop(struct torusd *d);

#endif
