/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata calls on behalf of something that may be freed at any moment. The
 * metadata interface has no cancel, so a pending call holds a small object of
 * its own; when its owner goes first, the object is orphaned and the answer,
 * if one comes, only frees it.
 */
#ifndef TORUS_VOLUME_METACALL_H
#define TORUS_VOLUME_METACALL_H

#include "base/list.h"
#include "meta/meta.h"

struct metacalls {
	struct meta *meta;
	struct list_head pending;
};

void metacalls_init(struct metacalls *mc, struct meta *meta);

/** metacalls_release() - callbacks of pending calls do not come any more. */
void metacalls_release(struct metacalls *mc);

/* As the operations of meta.h; 0 or -ENOMEM (no callback then). */
int metacall_get(struct metacalls *mc, const char *key, meta_get_fn done,
		 void *ctx);
int metacall_list(struct metacalls *mc, const char *prefix, meta_list_fn done,
		  void *ctx);
int metacall_txn(struct metacalls *mc, const struct meta_txn *txn,
		 meta_txn_fn done, void *ctx);
int metacall_lease_grant(struct metacalls *mc, unsigned int ttl_s,
			 meta_lease_fn done, meta_lease_lost_fn lost,
			 void *ctx);
int metacall_lease_revoke(struct metacalls *mc, int64_t lease,
			  meta_lease_fn done, void *ctx);

#endif
