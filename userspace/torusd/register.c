// SPDX-License-Identifier: Apache-2.0
/*
 * Two keys tell of this peer: its document, which stays when it is down, and a
 * key under a lease, which says that it lives. Both are written in one
 * transaction, and again after a lease was lost. The document alone is written
 * when the space in use has moved: soon if it moved far, else a little later.
 * Nothing is written, and no timer runs, while it does not move.
 *
 *   lease -> who is alive under this peer's name? nobody, or one at this very
 *            address (an earlier life: the address is taken only once)
 *               -> write, if that is still so
 *         -> one elsewhere: its lease lapses, or it is a second torusd on a
 *            copy of this directory. One that is not ready yet gives up then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "torusd.h"

#define LEASE_S		30
#define SPACE_FAR	(64ull << 20)	/* or 1 % of the size */
#define FAR_NS		(3 * NSEC_PER_SEC)
#define NEAR_NS		(15 * NSEC_PER_SEC)
#define RIVAL_NS	(LEASE_S * NSEC_PER_SEC)

static void grant(struct torusd *d);

void registration_doc(struct torusd *d, struct peer_doc *doc)
{
	struct store_stats stats;

	store_stats(d->store, &stats);
	memset(doc, 0, sizeof(*doc));
	doc->id = *store_peer(d->store);
	snprintf(doc->address, sizeof(doc->address), "%s", d->address);
	doc->size = stats.size;
	doc->used = stats.used;
	memcpy(doc->zone, d->options.zone, sizeof(doc->zone));
	memcpy(doc->rack, d->options.rack, sizeof(doc->rack));
	if (gethostname(doc->host, sizeof(doc->host) - 1) < 0)
		doc->host[0] = '\0';
	doc->incarnation = *store_incarnation(d->store);
}

/* How far the space in use is from what the document says. */
static uint64_t untold(struct torusd *d, uint64_t *size)
{
	uint64_t told = d->registration.used_told;
	struct store_stats stats;

	store_stats(d->store, &stats);
	*size = stats.size;
	return stats.used > told ? stats.used - told : told - stats.used;
}

/* The next write to the metadata store, if there is something to be told. What
 * runs or is to be tried again tells it anyway. */
static void plan_refresh(struct torusd *d)
{
	struct registration *r = &d->registration;
	uint64_t size, change = untold(d, &size), when;

	if (r->running || env_timer_armed(&r->retry.timer) ||
	    change < STORE_SPACE_STEP)
		return;
	when = env_now(d->env) +
	       (change >= MIN(SPACE_FAR, size / 100) ? FAR_NS : NEAR_NS);
	env_timer_set_by(d->env, &r->refresh, when);
}

void registration_space_moved(void *ctx)
{
	struct torusd *d = ctx;

	/* Chunks are counted before there is anything to register. */
	if (d->registration.started && !d->stopping)
		plan_refresh(d);
}

static void failed(struct torusd *d, int err)
{
	struct registration *r = &d->registration;

	r->running = false;
	if (d->stopping)
		return;
	log_warning("cannot register with %s: %s; trying again",
		    d->settings.url, error_text(err));
	retry_later(&r->retry);
	torusd_check_ready(d);
}

static void keys_written(struct torusd *d, int err, bool succeeded)
{
	struct registration *r = &d->registration;

	if (err == 0 && !succeeded)
		err = error_set(-EAGAIN, "another torusd has just registered as this peer");
	/* lost() leaves it to what was running to begin again. */
	if (err == 0 && r->lease == 0)
		err = error_set(-ESTALE, "the lease was lost meanwhile");
	if (err < 0) {
		failed(d, err);
		return;
	}
	r->running = false;
	r->rival_since_ns = 0;
	retry_reset(&r->retry);
	if (d->stopping)
		return;
	plan_refresh(d);
	torusd_check_ready(d);
}

static void written(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct torusd *d = ctx;

	if (err == 0 && succeeded)
		d->registration.alive_revision = revision;
	keys_written(d, err, succeeded);
}

static void refreshed(void *ctx, int err, bool succeeded, int64_t revision)
{
	(void)revision;
	keys_written(ctx, err, succeeded);
}

/* Both keys; or the document, as long as the other one is as we wrote it. */
static void write_keys(struct torusd *d, bool both)
{
	const struct uuid *cluster = &d->cluster.id;
	char peer_key[META_KEY_MAX], alive_key[META_KEY_MAX];
	CLEANUP_FREE char *peer = NULL, *alive = marker_encode();
	struct meta_txn txn = { .compare_count = 1, .put_count = both ? 2 : 1 };
	struct peer_doc doc;

	/* Without a lease this peer would be alive for ever. */
	if (d->registration.lease == 0) {
		failed(d, error_set(-ESTALE, "the lease was lost meanwhile"));
		return;
	}
	registration_doc(d, &doc);
	peer = peer_doc_encode(&doc);
	if (peer == NULL || alive == NULL) {
		failed(d, error_set(-ENOMEM, "out of memory"));
		return;
	}
	d->registration.used_told = doc.used;
	key_peer(cluster, &doc.id, peer_key);
	key_alive(cluster, &doc.id, alive_key);
	txn.compare[0] = (struct meta_compare){
		.key = alive_key,
		.mod_revision = d->registration.alive_revision,
	};
	txn.put[0] = (struct meta_put){ .key = peer_key, .value = peer };
	txn.put[1] = (struct meta_put){ .key = alive_key, .value = alive,
					.lease = d->registration.lease };
	d->meta->ops->txn(d->meta, &txn, both ? written : refreshed, d);
}

static void rival(struct torusd *d, const struct peer_doc *other)
{
	struct registration *r = &d->registration;
	uint64_t now = env_now(d->env);
	char peer[UUID_TEXT_SIZE];
	int err;

	uuid_format(&other->id, peer);
	err = error_set(-EBUSY, "peer %s is alive at %s: this directory is a copy of that peer's, and one of the two must go; or that torusd has just died, and will be forgotten within %d s",
			peer, other->address, LEASE_S);
	if (r->rival_since_ns == 0)
		r->rival_since_ns = now;
	if (d->ready || now - r->rival_since_ns < RIVAL_NS) {
		failed(d, err);
		return;
	}
	r->running = false;
	torusd_fail(d, d->options.data_dir, err);
}

static void got_peer(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct torusd *d = ctx;
	struct peer_doc other;

	if (err == 0 && kv != NULL)
		err = peer_doc_decode(kv->key, kv->value, &other);
	if (err < 0)
		failed(d, err);
	else if (kv != NULL && strcmp(other.address, d->address) != 0)
		rival(d, &other);
	else
		write_keys(d, true);
}

static void got_alive(void *ctx, int err, int64_t revision,
		      const struct meta_kv *kv)
{
	struct torusd *d = ctx;
	char key[META_KEY_MAX];

	if (err < 0) {
		failed(d, err);
		return;
	}
	d->registration.alive_revision = kv != NULL ? kv->mod_revision : 0;
	if (kv == NULL) {
		write_keys(d, true);
		return;
	}
	key_peer(&d->cluster.id, store_peer(d->store), key);
	d->meta->ops->get(d->meta, key, got_peer, d);
}

static void look(struct torusd *d)
{
	char key[META_KEY_MAX];

	if (d->stopping) {
		d->registration.running = false;
		return;
	}
	key_alive(&d->cluster.id, store_peer(d->store), key);
	d->meta->ops->get(d->meta, key, got_alive, d);
}

static void lost(void *ctx, int64_t lease)
{
	struct torusd *d = ctx;
	struct registration *r = &d->registration;

	if (r->lease == lease)
		r->lease = 0;
	if (d->stopping)
		return;
	log_warning("the lease of this peer was lost, others see it as down; registering again");
	env_timer_cancel(d->env, &r->refresh);
	if (!r->running)
		grant(d);
}

static void granted(void *ctx, int err, int64_t lease)
{
	struct torusd *d = ctx;

	if (err < 0) {
		failed(d, err);
		return;
	}
	d->registration.lease = lease;
	look(d);
}

static void grant(struct torusd *d)
{
	d->registration.running = true;
	if (d->registration.lease != 0)
		look(d);
	else
		d->meta->ops->lease_grant(d->meta, LEASE_S, granted, lost, d);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct registration *r = container_of(retry, struct registration,
					      retry);

	if (!r->running)
		grant(container_of(r, struct torusd, registration));
}

static void refresh(struct env_timer *timer)
{
	struct registration *r = container_of(timer, struct registration,
					      refresh);

	if (r->running)
		return;
	r->running = true;
	write_keys(container_of(r, struct torusd, registration), false);
}

void registration_start(struct torusd *d)
{
	struct registration *r = &d->registration;

	retry_init(&r->retry, d->env, try_again);
	env_timer_init(&r->refresh, refresh);
	r->started = true;
	grant(d);
}

static void revoked(void *ctx, int err, int64_t lease)
{
	struct torusd *d = ctx;

	if (err < 0)
		log_warning("cannot give the lease back (%s): others see this peer as up for another %d s",
			    error_text(err), LEASE_S);
	d->lease_revoked = true;
	torusd_check_stopped(d);
}

void registration_stop(struct torusd *d)
{
	struct registration *r = &d->registration;

	if (r->retry.env != NULL) {
		env_timer_cancel(d->env, &r->retry.timer);
		env_timer_cancel(d->env, &r->refresh);
	}
	if (r->lease == 0)
		d->lease_revoked = true;
	else
		d->meta->ops->lease_revoke(d->meta, r->lease, revoked, d);
	r->lease = 0;
}
