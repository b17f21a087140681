/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata store: a small ordered key-value store with transactions,
 * watches and leases, as etcd offers it. Backends: etcd.c, local.c (SQLite),
 * and the simulator's.
 *
 * Keys are NUL-terminated strings, values are NUL-terminated JSON text. All
 * calls return at once; the callback comes later from the event loop, exactly
 * once (watches: many times). Strings handed to a call are copied; strings
 * handed to a callback are valid during it.
 *
 * Errors of callbacks: 0; -ETIMEDOUT (no answer in time: a transaction MAY
 * have been or MAY YET BE applied); -EHOSTUNREACH and the like (surely not
 * applied); -EACCES; -EBADMSG (answer not understood); of transactions also
 * -ENOENT (a put names a lease that does not exist) and -EINVAL (a key is put
 * twice). The error text is set during the callback.
 */
#ifndef TORUS_META_META_H
#define TORUS_META_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meta;

struct meta_kv {
	const char *key;
	const char *value;
	int64_t mod_revision;		/* of the last change of this key */
	int64_t lease;			/* 0 = none */
};

struct meta_compare {
	const char *key;
	int64_t mod_revision;		/* 0 = the key must not exist */
};

struct meta_put {
	const char *key;
	const char *value;		/* NULL = delete the key */
	int64_t lease;			/* 0 = none */
};

#define META_TXN_MAX 16

struct meta_txn {
	struct meta_compare compare[META_TXN_MAX];
	int compare_count;
	struct meta_put put[META_TXN_MAX];
	int put_count;
};

enum meta_event_type { META_EVENT_PUT, META_EVENT_DELETE,
		       META_EVENT_RESET };	/* history lost: list again */

typedef void (*meta_get_fn)(void *ctx, int err, int64_t revision,
			    const struct meta_kv *kv);	/* NULL = no such key */
typedef void (*meta_list_fn)(void *ctx, int err, int64_t revision,
			     const struct meta_kv *kv, size_t count);
/* @succeeded: all compares held and all puts were applied at @revision. */
typedef void (*meta_txn_fn)(void *ctx, int err, bool succeeded,
			    int64_t revision);
typedef void (*meta_watch_fn)(void *ctx, enum meta_event_type type,
			      const struct meta_kv *kv);
typedef void (*meta_lease_fn)(void *ctx, int err, int64_t lease);
/* The error text says why, as half a sentence. */
typedef void (*meta_lease_lost_fn)(void *ctx, int64_t lease);

struct meta_watch;

struct meta_ops {
	void (*get)(struct meta *m, const char *key, meta_get_fn done, void *ctx);
	void (*list)(struct meta *m, const char *prefix, meta_list_fn done,
		     void *ctx);
	void (*txn)(struct meta *m, const struct meta_txn *txn,
		    meta_txn_fn done, void *ctx);
	/*
	 * Events of all keys under @prefix with revision >= @from, in order,
	 * reconnecting for ever; META_EVENT_RESET when events may be missing:
	 * whoever lists after it misses nothing. @from 0 = from now on. The
	 * value of a deleted key is NULL.
	 */
	struct meta_watch *(*watch)(struct meta *m, const char *prefix,
				    int64_t from, meta_watch_fn event, void *ctx);
	void (*unwatch)(struct meta *m, struct meta_watch *watch);
	/*
	 * Grant a lease of @ttl_s seconds and keep it alive until revoked. If
	 * it expires nevertheless @lost is called once and the lease is dead.
	 */
	void (*lease_grant)(struct meta *m, unsigned int ttl_s,
			    meta_lease_fn done, meta_lease_lost_fn lost,
			    void *ctx);
	void (*lease_revoke)(struct meta *m, int64_t lease, meta_lease_fn done,
			     void *ctx);
	void (*close)(struct meta *m);	/* pending callbacks do not come */
};

struct meta {
	const struct meta_ops *ops;
};

#endif
