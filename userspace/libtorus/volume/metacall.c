// SPDX-License-Identifier: Apache-2.0
/*
 * A metadata call belongs to its metacalls until it is answered, or until
 * metacalls_release() makes an orphan of it. Orphans are kept on one list of
 * the process: the metadata store may be closed without ever answering them,
 * so nobody else could find them again.
 *
 * A granted lease keeps its call alive as the place where `lost` arrives, until
 * the lease is lost or given back.
 */
#include "volume/metacall.h"

#include <errno.h>
#include <stdlib.h>

struct metacall {
	struct list_head node;
	struct metacalls *owner;	/* NULL: orphan */
	meta_get_fn get;
	meta_list_fn list;
	meta_txn_fn txn;
	meta_lease_fn granted;
	meta_lease_lost_fn lost;
	meta_lease_fn revoked;
	int64_t lease;			/* granted, or being revoked */
	void *ctx;
};

static struct list_head orphans = LIST_HEAD_INIT(orphans);

void metacalls_init(struct metacalls *mc, struct meta *meta)
{
	mc->meta = meta;
	list_init(&mc->pending);
}

void metacalls_release(struct metacalls *mc)
{
	struct metacall *call;

	list_for_each_entry(call, &mc->pending, node)
		call->owner = NULL;
	list_splice_tail_init(&mc->pending, &orphans);
}

static struct metacall *metacall_new(struct metacalls *mc, void *ctx)
{
	struct metacall *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->owner = mc;
	call->ctx = ctx;
	list_add_tail(&call->node, &mc->pending);
	return call;
}

static void metacall_free(struct metacall *call)
{
	list_del_init(&call->node);
	free(call);
}

static void get_answered(void *ctx, int err, int64_t revision,
			 const struct meta_kv *kv)
{
	struct metacall call = *(struct metacall *)ctx;

	metacall_free(ctx);
	if (call.owner != NULL)
		call.get(call.ctx, err, revision, kv);
}

int metacall_get(struct metacalls *mc, const char *key, meta_get_fn done,
		 void *ctx)
{
	struct metacall *call = metacall_new(mc, ctx);

	if (call == NULL)
		return -ENOMEM;
	call->get = done;
	mc->meta->ops->get(mc->meta, key, get_answered, call);
	return 0;
}

static void list_answered(void *ctx, int err, int64_t revision,
			  const struct meta_kv *kv, size_t count)
{
	struct metacall call = *(struct metacall *)ctx;

	metacall_free(ctx);
	if (call.owner != NULL)
		call.list(call.ctx, err, revision, kv, count);
}

int metacall_list(struct metacalls *mc, const char *prefix, meta_list_fn done,
		  void *ctx)
{
	struct metacall *call = metacall_new(mc, ctx);

	if (call == NULL)
		return -ENOMEM;
	call->list = done;
	mc->meta->ops->list(mc->meta, prefix, list_answered, call);
	return 0;
}

static void txn_answered(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct metacall call = *(struct metacall *)ctx;

	metacall_free(ctx);
	if (call.owner != NULL)
		call.txn(call.ctx, err, succeeded, revision);
}

int metacall_txn(struct metacalls *mc, const struct meta_txn *txn,
		 meta_txn_fn done, void *ctx)
{
	struct metacall *call = metacall_new(mc, ctx);

	if (call == NULL)
		return -ENOMEM;
	call->txn = done;
	mc->meta->ops->txn(mc->meta, txn, txn_answered, call);
	return 0;
}

static void lease_lost(void *ctx, int64_t lease)
{
	struct metacall call = *(struct metacall *)ctx;

	metacall_free(ctx);
	if (call.owner != NULL)
		call.lost(call.ctx, lease);
}

static void lease_granted(void *ctx, int err, int64_t lease)
{
	struct metacall *call = ctx;
	struct metacall copy = *call;

	if (err)
		metacall_free(call);
	else
		call->lease = lease;
	if (copy.owner != NULL)
		copy.granted(copy.ctx, err, lease);
}

int metacall_lease_grant(struct metacalls *mc, unsigned int ttl_s,
			 meta_lease_fn done, meta_lease_lost_fn lost,
			 void *ctx)
{
	struct metacall *call = metacall_new(mc, ctx);

	if (call == NULL)
		return -ENOMEM;
	call->granted = done;
	call->lost = lost;
	mc->meta->ops->lease_grant(mc->meta, ttl_s, lease_granted, lease_lost,
				   call);
	return 0;
}

/* The call that waits on @list for the loss of @lease, or NULL. */
static struct metacall *lease_find(struct list_head *list, int64_t lease)
{
	struct metacall *call;

	list_for_each_entry(call, list, node)
		if (call->lost != NULL && call->lease == lease)
			return call;
	return NULL;
}

static void lease_revoked(void *ctx, int err, int64_t lease)
{
	struct metacall call = *(struct metacall *)ctx;
	struct metacall *holder;

	holder = lease_find(call.owner ? &call.owner->pending : &orphans,
			    call.lease);
	if (holder != NULL && !err) {
		metacall_free(holder);
	} else if (holder != NULL) {
		/* The lease may stand still; its loss may yet be told. */
		holder->owner = NULL;
		list_move_tail(&holder->node, &orphans);
	}
	metacall_free(ctx);
	if (call.owner != NULL)
		call.revoked(call.ctx, err, lease);
}

int metacall_lease_revoke(struct metacalls *mc, int64_t lease,
			  meta_lease_fn done, void *ctx)
{
	struct metacall *call = metacall_new(mc, ctx);

	if (call == NULL)
		return -ENOMEM;
	call->revoked = done;
	call->lease = lease;
	mc->meta->ops->lease_revoke(mc->meta, lease, lease_revoked, call);
	return 0;
}
