// SPDX-License-Identifier: Apache-2.0
/*
 * The owner's key: granted, put, and made again when the lease is lost. It is
 * put only if the volume's value is the one that we know as ours: who has been
 * fenced without noticing must not take the new owner's key away. Where it is
 * another value docwriter reads it, and thereby finds out, or the key is put
 * again. Any other failure is only tried again. Only a detach waits for the end
 * of it, and not for long: whoever closes the metadata store at once would take
 * back what has not been sent yet.
 */
#include "volume/lease.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "volume/internal.h"

#define RETRY_NS (5 * NSEC_PER_SEC)

static void retry_fired(struct env_timer *timer);

void lease_init(struct volume *v)
{
	env_timer_init(&v->lease.retry, retry_fired);
}

void lease_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->lease.retry);
}

static void retry_later(struct volume *v)
{
	if (!v->lease.stopped)
		env_timer_after(v->env, &v->lease.retry, RETRY_NS);
}

static void put_done(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct volume *v = ctx;

	v->lease.busy = false;
	if (v->lease.stopped) {
		volume_kick(v);
	} else if (err) {
		retry_later(v);
	} else if (!succeeded) {
		v->lease.rejected = true;
		docwriter_recheck(v);
	}
}

static int put_owner(struct volume *v)
{
	char volume[META_KEY_MAX], key[META_KEY_MAX], value[128];
	struct meta_txn txn;

	key_volume(&cluster_doc(v->cluster)->id, v->doc.name, volume);
	key_owner(&cluster_doc(v->cluster)->id, v->doc.id, key);
	snprintf(value, sizeof(value), "{\"version\":1,\"epoch\":%llu}",
		 (unsigned long long)v->epoch);
	memset(&txn, 0, sizeof(txn));
	txn.compare[0].key = volume;
	txn.compare[0].mod_revision = v->doc.mod_revision;
	txn.compare_count = 1;
	txn.put[0].key = key;
	txn.put[0].value = value;
	txn.put[0].lease = v->lease.id;
	txn.put_count = 1;
	return metacall_txn(&v->metacalls, &txn, put_done, v);
}

static void granted(void *ctx, int err, int64_t lease)
{
	struct volume *v = ctx;

	v->lease.busy = false;
	if (err) {
		retry_later(v);
		volume_kick(v);
		return;
	}
	v->lease.id = lease;
	if (v->lease.stopped)
		lease_stop(v);
	else if (put_owner(v))
		retry_later(v);
	else
		v->lease.busy = true;
}

static void lost(void *ctx, int64_t lease)
{
	struct volume *v = ctx;

	v->lease.id = 0;
	retry_later(v);
}

void lease_start(struct volume *v)
{
	int err;

	if (v->lease.busy || v->lease.stopped)
		return;
	err = v->lease.id != 0 ? put_owner(v) :
	      metacall_lease_grant(&v->metacalls, LEASE_TTL_S, granted, lost,
				   v);
	if (err)
		retry_later(v);
	else
		v->lease.busy = true;
}

static void retry_fired(struct env_timer *timer)
{
	lease_start(container_of(timer, struct volume, lease.retry));
}

void lease_run(struct volume *v)
{
	if (!v->lease.rejected || docwriter_rechecking(v))
		return;
	v->lease.rejected = false;
	lease_start(v);
}

/* If it failed the lease ends by itself: nobody keeps it alive. */
static void revoked(void *ctx, int err, int64_t lease)
{
	struct volume *v = ctx;

	v->lease.revoking = false;
	volume_kick(v);
}

void lease_stop(struct volume *v)
{
	int64_t lease = v->lease.id;

	v->lease.stopped = true;
	v->lease.id = 0;
	env_timer_cancel(v->env, &v->lease.retry);
	if (lease != 0)
		v->lease.revoking = metacall_lease_revoke(&v->metacalls, lease,
							  revoked, v) == 0;
}

bool lease_ended(const struct volume *v)
{
	return v->lease.stopped && !v->lease.busy && !v->lease.revoking;
}
