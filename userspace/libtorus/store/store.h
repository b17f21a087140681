/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk store: what a torusd does with its directory.
 *
 *   identity              cluster id, peer uuid (text, written once)
 *   documents             of cluster and ring, as the metadata store had them
 *   journal               fences, seals, deletes, bad copies, incarnation
 *   chunks/VOLUME/CHUNK   one file per chunk (hex), records only
 *   aside/                files that were found and are no chunks
 *
 * The valid length of an unsealed chunk comes from the chain of records in
 * it, of a sealed one from the journal. The store answers requests; it asks
 * nobody.
 */
#ifndef TORUS_STORE_STORE_H
#define TORUS_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "wire/proto.h"

struct store;

struct store_config {
	struct uuid cluster;	/* null: take the directory's, if it has one */
	struct uuid peer;	/* null: the directory's, or make one */
	uint64_t size;		/* bytes it may use; 0 = the file system's */
	char boot_id[64];	/* + mount identity: the incarnation changes when
				 * this differs from the journal's */
	bool new_incarnation;	/* tests: as if unsynced bytes may be lost */
	uint64_t sync_interval_ns;	/* background sync; 0 = 5 s */
	uint64_t chunk_size;	/* bytes, the cluster's: for the reserve of
				 * space; 0 = 64 MiB */
	uint32_t near_full_percent;	/* of its size; 0 = 85 */
	uint32_t full_percent;		/* no user data from there; 0 = 95 */
	uint64_t receive_bytes;	/* memory for data of appends; 0 = 2 MiB */
	uint64_t send_bytes;	/* memory for data of replies; 0 = 2 MiB */
	/*
	 * The space in use has moved by STORE_SPACE_STEP since the last call;
	 * also while the store opens and counts. From inside the store, which
	 * it must not call except for store_stats(). May be NULL.
	 */
	void (*space_moved)(void *ctx);
	void *ctx;
};

#define STORE_NEAR_FULL_PERCENT 85u
#define STORE_FULL_PERCENT 95u
#define STORE_SPACE_STEP (1u << 20)

/* @err 0, or -errno with error text naming the directory's file. */
typedef void (*store_open_fn)(void *ctx, int err);

/**
 * store_open() - read the directory behind @env, checking what must be
 * checked: identity against @cfg (another cluster's or peer's directory is
 * refused), journal, chains of unsealed chunks (their payload too where it was
 * not known durable).
 * Returns the store at once; it serves after @done with err 0. After an error
 * the caller frees it.
 */
struct store *store_open(struct env *env, const struct store_config *cfg,
			 store_open_fn done, void *ctx);

/**
 * store_close() - drop the connections, finish what is at work, sync, close the
 * files; @done, then the caller frees. Only after store_open() ended well.
 * The env goes on listening: nobody is answered any more, and before
 * store_free() the caller stops its loop or lets go of the env.
 */
void store_close(struct store *store, store_open_fn done, void *ctx);

/**
 * store_free() - free the memory, at any time. Without store_close() this is a
 * crash: file operations and callbacks under way must never come back, so the
 * env has to have dropped them before.
 */
void store_free(struct store *store);

const struct uuid *store_cluster(const struct store *store);
const struct uuid *store_peer(const struct store *store);
const struct uuid *store_incarnation(const struct store *store);

/**
 * store_serve() - accept connections on @address and answer them. May be called
 * while the store still opens; until then they are dropped at their first
 * frame.
 * Returns 0 or -errno with error text (port in use names the port).
 */
int store_serve(struct store *store, const char *address);

/**
 * store_accept() - serve a connection that came to an address of the caller's:
 * for its env_accept_fn. Otherwise as store_serve().
 */
const struct env_conn_ops *store_accept(struct store *store,
					struct env_conn *conn, void **ctx);

/**
 * store_delete_volume() - a tombstone for @volume was seen in the metadata
 * store of the right cluster: remove all its chunks, refuse new ones. Every
 * later request for the volume is EFENCED. The tombstone is remembered durably
 * by a store that knows the volume; any other remembers its number until the
 * store is closed. @done comes when the files are gone, from inside when there
 * is nothing to do.
 */
void store_delete_volume(struct store *store, uint64_t volume,
			 store_open_fn done, void *ctx);

/**
 * store_remember() - keep the documents of cluster and ring (JSON text) beside
 * the chunks, so that `torusctl recover` finds them there when the metadata
 * store is lost. Copied; written in the background.
 * @version: of the ring. An older one than what is remembered is ignored: the
 * metadata store went back.
 */
void store_remember(struct store *store, uint64_t version, const char *cluster,
		    const char *ring);

struct store_stats {
	uint64_t size, used, chunks, volumes;
	uint64_t appends, append_bytes, reads, read_bytes, syncs, errors;
};
void store_stats(const struct store *store, struct store_stats *stats);

#endif
