/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One torusd: a store, the reactor it runs on, and its place in the cluster.
 *
 *	main.c       options, directory, reactor; start and end
 *	link.c       the cluster's document: waits for the metadata store
 *	join.c       membership of the ring
 *	maintain.c   repair, rebalance and all that is done by itself
 *
 * Registration, tombstones and what the store remembers are member/member.h.
 */
#ifndef TORUSD_TORUSD_H
#define TORUSD_TORUSD_H

#include <stdbool.h>

#include "datadir.h"
#include "env/env.h"
#include "maint/maint.h"
#include "member/member.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "meta/url.h"
#include "options.h"
#include "store/store.h"

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
	struct member member;
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

/** joining_start() - become a member of the ring, unless it is one. */
void joining_start(struct torusd *d);

/** maintenance_start() - look after the chunks of the store, which serves. */
void maintenance_start(struct torusd *d);

/** maintenance_stop() - before the store is closed; at any time. */
void maintenance_stop(struct torusd *d);

#endif
