// SPDX-License-Identifier: Apache-2.0
/*
 * Maintenance (maint/maint.h) in this process: it begins when the store serves
 * and the cluster is known, with a view of the cluster of its own, and ends
 * before the store is closed. Until the metadata store has shown the cluster
 * nothing is repaired; once it has, that goes on with what is known.
 */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "torusd.h"

/* A hung peer costs others a repair, not a write: no need to be strict. */
#define REPLICA_TIMEOUT (5 * NSEC_PER_SEC)

static void begin(struct torusd *d);

static void ring_changed(void *ctx)
{
	struct torusd *d = ctx;

	if (d->maintenance.maint != NULL)
		maint_ring_changed(d->maintenance.maint);
}

static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct torusd *d = ctx;

	if (d->maintenance.maint != NULL)
		maint_peer_changed(d->maintenance.maint, peer, err);
}

static void alive_changed(void *ctx, const struct uuid *peer, bool alive)
{
	struct torusd *d = ctx;

	if (d->maintenance.maint != NULL)
		maint_alive_changed(d->maintenance.maint, peer, alive);
	if (!alive && uuid_equal(peer, store_peer(d->store)))
		member_seen_dead(&d->member);
}

static void peer_forgotten(void *ctx, const struct uuid *peer)
{
	struct torusd *d = ctx;

	(void)peer;
	member_peer_forgotten(&d->member);
}

static const struct cluster_ops cluster_ops = {
	.ring_changed = ring_changed,
	.peer_changed = peer_changed,
	.alive_changed = alive_changed,
	.peer_forgotten = peer_forgotten,
};

static void later(struct torusd *d, int err)
{
	cluster_close(d->maintenance.cluster);
	d->maintenance.cluster = NULL;
	log_warning("cannot look after the chunks: %s; trying again",
		    error_text(err));
	retry_later(&d->maintenance.retry);
}

static void opened(void *ctx, int err)
{
	struct torusd *d = ctx;
	struct maintenance *m = &d->maintenance;

	if (err == 0)
		m->maint = maint_new(d->env, d->meta, m->cluster, d->store,
				     &d->options.maint);
	if (err == 0 && m->maint == NULL)
		err = error_set(-ENOMEM, "out of memory");
	if (err < 0)
		later(d, err);
}

static void begin(struct torusd *d)
{
	struct cluster_config cfg = {
		.self = *store_peer(d->store),
		.role = WIRE_ROLE_PEER,
		.replica_timeout_ns = REPLICA_TIMEOUT,
		.ops = &cluster_ops,
		.ctx = d,
	};

	d->maintenance.cluster = cluster_open(d->env, d->meta, &cfg, opened, d);
	if (d->maintenance.cluster == NULL)
		later(d, error_set(-ENOMEM, "out of memory"));
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct maintenance *m = container_of(retry, struct maintenance, retry);

	begin(container_of(m, struct torusd, maintenance));
}

void maintenance_start(struct torusd *d)
{
	if (gethostname(d->options.maint.host,
			sizeof(d->options.maint.host) - 1) < 0)
		d->options.maint.host[0] = '\0';
	retry_init(&d->maintenance.retry, d->env, try_again);
	begin(d);
}

void maintenance_stop(struct torusd *d)
{
	struct maintenance *m = &d->maintenance;

	if (m->retry.env != NULL)
		env_timer_cancel(d->env, &m->retry.timer);
	maint_free(m->maint);
	m->maint = NULL;
	cluster_close(m->cluster);
	m->cluster = NULL;
}
