/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maintenance: what a torusd does by itself with the chunks it holds (DESIGN
 * section 7). It sits above the store and the peers, in the same process, and
 * does no I/O of its own.
 *
 *	maint.c      life, events, progress
 *	place.c      is each sealed chunk on all of its owners? (and walk.c,
 *	             item.c, lookup.c, members.c, volumes.c: see private.h)
 *	push.c       one copy on its way to one owner
 *	drop.c       copies that do not belong here
 *	seal.c       copies that missed their seal
 *	moved.c      when the previous ring may go
 *	rate.c       how fast
 *	scrub.c      is each copy good?
 *	garbage.c    chunks that no root needs
 *	settle.c     volumes that nobody will seal
 */
#ifndef TORUS_MAINT_MAINT_H
#define TORUS_MAINT_MAINT_H

#include <stdint.h>

#include "env/env.h"
#include "meta/meta.h"
#include "peer/cluster.h"
#include "store/store.h"

struct maint;

struct maint_config {
	uint64_t recovery_grace_ns;	/* 0 = 10 min */
	uint64_t rate_busy;		/* bytes/s while clients use this store;
					 * 0 = 32 MiB/s */
	uint64_t rate_idle;		/* bytes/s else; 0 = no limit */
	uint32_t transfers;		/* copies at a time; 0 = 4 */
	uint64_t walk_interval_ns;	/* full walk; 0 = 1 h */
	uint64_t scrub_rate;		/* bytes/s; 0 = 8 MiB/s */
	uint64_t scrub_interval_ns;	/* begin to begin; 0 = 7 days */
	char host[HOST_MAX];		/* for attachments of settle.c */
};

/**
 * maint_new() - start to look after @store, which serves already.
 * @cluster was opened with WIRE_ROLE_PEER; its owner forwards ring_changed and
 * peer_changed by the two functions below.
 * All of them outlive the maint. Returns NULL when out of memory.
 */
struct maint *maint_new(struct env *env, struct meta *meta,
			struct cluster *cluster, struct store *store,
			const struct maint_config *cfg);

/** maint_free() - drop everything at once. Before store_close(). */
void maint_free(struct maint *maint);

void maint_ring_changed(struct maint *maint);
void maint_peer_changed(struct maint *maint, struct peer *peer, int err);
/* Of cluster_ops: a peer's lease came, or went. */
void maint_alive_changed(struct maint *maint, const struct uuid *peer,
			 bool alive);

/** maint_idle() - nothing is left to copy, to drop, to heal: for tests. */
bool maint_idle(const struct maint *maint);

#endif
