/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live view of the cluster: its identity, the ring and its predecessor, and
 * where the peers are, kept current by watches, with a peer_set whose
 * addresses follow. Goes on with what it knows while the metadata store is
 * away.
 */
#ifndef TORUS_PEER_CLUSTER_H
#define TORUS_PEER_CLUSTER_H

#include "env/env.h"
#include "meta/meta.h"
#include "meta/schema.h"
#include "peer/peer.h"
#include "ring/ring.h"

struct cluster;

struct cluster_ops {
	/* The current ring has a new version (after the first load). */
	void (*ring_changed)(void *ctx);
	/* As peer_set_ops.changed. */
	void (*peer_changed)(void *ctx, struct peer *peer, int err);
	/* The lease of a peer came, or went: a hint (after the first load). */
	void (*alive_changed)(void *ctx, const struct uuid *peer, bool alive);
	/* The document of a peer was deleted: nothing waits for it any more. */
	void (*peer_forgotten)(void *ctx, const struct uuid *peer);
};

struct cluster_config {
	struct uuid self;		/* null for clients */
	enum wire_role role;
	uint64_t replica_timeout_ns;	/* 0 = 1 s */
	const struct cluster_ops *ops;	/* may be NULL, as may its members */
	void *ctx;
};

/**
 * cluster_open() - load everything, then watch.
 * @done: 0; -ENOENT (no cluster there: the text says `torusctl init`);
 * or what the metadata store said.
 * Returns NULL when out of memory. The caller closes it after errors too.
 */
struct cluster *cluster_open(struct env *env, struct meta *meta,
			     const struct cluster_config *cfg,
			     void (*done)(void *ctx, int err), void *ctx);
void cluster_close(struct cluster *cluster);

const struct cluster_doc *cluster_doc(const struct cluster *cluster);
struct peer_set *cluster_peers(struct cluster *cluster);

/**
 * cluster_ring() - the current ring; never NULL after open. A ring lives until
 * ring_changed() returns.
 */
const struct ring *cluster_ring(const struct cluster *cluster);

/** cluster_ring_revision() - mod_revision of the key that the current ring was
 * read from: what a transaction compares that depends on it. */
int64_t cluster_ring_revision(const struct cluster *cluster);

/** cluster_reload_ring() - read the ring now: a transaction has shown that the
 * watch lags. ring_changed() tells if it is another one. */
void cluster_reload_ring(struct cluster *cluster);

/** cluster_ring_version() - current or previous ring if it has that version,
 * else NULL. */
const struct ring *cluster_ring_version(const struct cluster *cluster,
					uint64_t version);

/** cluster_peer_alive() - whether its lease stands: a hint, never a proof. */
bool cluster_peer_alive(const struct cluster *cluster, const struct uuid *peer);

/** cluster_peer_expected() - whether it may come back with what it holds: it has
 * a document, or a place in the current or the previous ring. False for one that
 * was removed by force. A metadata store that was emptied takes the rings from
 * nobody who has seen them. */
bool cluster_peer_expected(const struct cluster *cluster,
			   const struct uuid *peer);

typedef void (*cluster_peer_fn)(void *ctx, const struct peer_doc *doc,
				bool alive);

/** cluster_for_each_peer() - every peer document known, in order of uuid. */
void cluster_for_each_peer(const struct cluster *cluster, cluster_peer_fn fn,
			   void *ctx);

#endif
