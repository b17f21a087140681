// SPDX-License-Identifier: Apache-2.0
/*
 * Two keys tell of this peer: its document, which stays when it is down, and a
 * key under a lease, which says that it lives. Both are written in one
 * transaction, and again after a lease was lost. The document alone is written
 * when the space in use has moved: soon if it moved far, else a little later.
 * Nothing is written, and no timer runs, while it does not move. What was deleted
 * by others, as when the metadata are wiped and rebuilt, is written again as soon
 * as the watch says so: the lease may outlive its key.
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

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "member/private.h"

#define LEASE_S		30
#define SPACE_FAR	(64ull << 20)	/* or 1 % of the size */
#define FAR_NS		(3 * NSEC_PER_SEC)
#define NEAR_NS		(15 * NSEC_PER_SEC)
#define RIVAL_NS	(LEASE_S * NSEC_PER_SEC)

static void grant(struct member *m);

static void tell(struct member *m)
{
	m->cfg.ops->changed(m->cfg.ctx);
}

void member_doc(const struct member *m, struct peer_doc *doc)
{
	struct store_stats stats;

	store_stats(m->store, &stats);
	memset(doc, 0, sizeof(*doc));
	doc->id = *store_peer(m->store);
	memcpy(doc->address, m->cfg.address, sizeof(doc->address));
	doc->size = stats.size;
	doc->used = stats.used;
	memcpy(doc->zone, m->cfg.zone, sizeof(doc->zone));
	memcpy(doc->rack, m->cfg.rack, sizeof(doc->rack));
	memcpy(doc->host, m->cfg.host, sizeof(doc->host));
	doc->incarnation = *store_incarnation(m->store);
}

/* How far the space in use is from what the document says. */
static uint64_t untold(struct member *m, uint64_t *size)
{
	uint64_t told = m->registration.used_told;
	struct store_stats stats;

	store_stats(m->store, &stats);
	*size = stats.size;
	return stats.used > told ? stats.used - told : told - stats.used;
}

/* The next write to the metadata store, if there is something to be told. What
 * runs or is to be tried again tells it anyway. */
static void plan_refresh(struct member *m)
{
	struct registration *r = &m->registration;
	uint64_t size, change = untold(m, &size), when;

	if (r->running || env_timer_armed(&r->retry.timer) ||
	    change < STORE_SPACE_STEP)
		return;
	when = env_now(m->env) +
	       (change >= MIN(SPACE_FAR, size / 100) ? FAR_NS : NEAR_NS);
	env_timer_set_by(m->env, &r->refresh, when);
}

void member_space_moved(struct member *m)
{
	/* Chunks are counted before there is anything to register. */
	if (m->started && !m->stopping)
		plan_refresh(m);
}

static void failed(struct member *m, int err)
{
	struct registration *r = &m->registration;

	r->running = false;
	if (m->stopping)
		return;
	log_warning("cannot register with the metadata store: %s; trying again",
		    error_text(err));
	retry_later(&r->retry);
	tell(m);
}

/* lost() has said why, and leaves it to what was running. */
static void begin_again(struct member *m)
{
	m->registration.running = false;
	if (m->stopping)
		return;
	retry_later(&m->registration.retry);
	tell(m);
}

static void keys_written(struct member *m, int err, bool succeeded)
{
	struct registration *r = &m->registration;

	if (err == 0 && !succeeded)
		err = error_set(-EAGAIN, "another torusd has just registered as this peer");
	if (r->lease == 0 && !m->stopping) {
		begin_again(m);
		return;
	}
	if (err < 0) {
		failed(m, err);
		return;
	}
	r->running = false;
	r->rival_since_ns = 0;
	retry_reset(&r->retry);
	if (m->stopping)
		return;
	if (r->lease_lost)
		log_info("registered again: others see this peer as up");
	r->lease_lost = false;
	plan_refresh(m);
	tell(m);
}

static void written(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct member *m = ctx;

	if (err == 0 && succeeded)
		m->registration.alive_revision = revision;
	keys_written(m, err, succeeded);
}

static void refreshed(void *ctx, int err, bool succeeded, int64_t revision)
{
	(void)revision;
	keys_written(ctx, err, succeeded);
}

/* Both keys; or the document, as long as the other one is as we wrote it. */
static void write_keys(struct member *m, bool both)
{
	const struct uuid *cluster = &m->cfg.cluster.id;
	char peer_key[META_KEY_MAX], alive_key[META_KEY_MAX];
	CLEANUP_FREE char *peer = NULL, *alive = marker_encode();
	struct meta_txn txn = { .compare_count = 1, .put_count = both ? 2 : 1 };
	struct peer_doc doc;

	/* Without a lease this peer would be alive for ever. */
	if (m->registration.lease == 0) {
		begin_again(m);
		return;
	}
	member_doc(m, &doc);
	peer = peer_doc_encode(&doc);
	if (peer == NULL || alive == NULL) {
		failed(m, error_set(-ENOMEM, "out of memory"));
		return;
	}
	m->registration.used_told = doc.used;
	key_peer(cluster, &doc.id, peer_key);
	key_alive(cluster, &doc.id, alive_key);
	txn.compare[0] = (struct meta_compare){
		.key = alive_key,
		.mod_revision = m->registration.alive_revision,
	};
	txn.put[0] = (struct meta_put){ .key = peer_key, .value = peer };
	txn.put[1] = (struct meta_put){ .key = alive_key, .value = alive,
					.lease = m->registration.lease };
	m->meta->ops->txn(m->meta, &txn, both ? written : refreshed, m);
}

static void rival(struct member *m, const struct peer_doc *other)
{
	struct registration *r = &m->registration;
	uint64_t now = env_now(m->env);
	char peer[UUID_TEXT_SIZE];
	int err;

	uuid_format(&other->id, peer);
	err = error_set(-EBUSY, "peer %s is alive at %s: this directory is a copy of that peer's, and one of the two must go; or that torusd has just died, and will be forgotten within %d s",
			peer, other->address, LEASE_S);
	if (r->rival_since_ns == 0)
		r->rival_since_ns = now;
	if (m->ready || now - r->rival_since_ns < RIVAL_NS) {
		failed(m, err);
		return;
	}
	r->running = false;
	m->cfg.ops->failed(m->cfg.ctx, err);
}

static void got_peer(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct member *m = ctx;
	struct peer_doc other;

	if (err == 0 && kv != NULL)
		err = peer_doc_decode(kv->key, kv->value, &other);
	if (err < 0)
		failed(m, err);
	else if (kv != NULL && strcmp(other.address, m->cfg.address) != 0)
		rival(m, &other);
	else
		write_keys(m, true);
}

static void got_alive(void *ctx, int err, int64_t revision,
		      const struct meta_kv *kv)
{
	struct member *m = ctx;
	char key[META_KEY_MAX];

	if (err < 0) {
		failed(m, err);
		return;
	}
	m->registration.alive_revision = kv != NULL ? kv->mod_revision : 0;
	if (kv == NULL) {
		write_keys(m, true);
		return;
	}
	key_peer(&m->cfg.cluster.id, store_peer(m->store), key);
	m->meta->ops->get(m->meta, key, got_peer, m);
}

static void look(struct member *m)
{
	char key[META_KEY_MAX];

	if (m->stopping) {
		m->registration.running = false;
		return;
	}
	key_alive(&m->cfg.cluster.id, store_peer(m->store), key);
	m->meta->ops->get(m->meta, key, got_alive, m);
}

static void lost(void *ctx, int64_t lease)
{
	struct member *m = ctx;
	struct registration *r = &m->registration;

	if (r->lease == lease)
		r->lease = 0;
	if (m->stopping)
		return;
	log_warning("others see this peer as down: %s; it registers again, and serves what it holds meanwhile",
		    error_text(-ESTALE));
	r->lease_lost = true;
	env_timer_cancel(m->env, &r->refresh);
	if (!r->running)
		grant(m);
}

static void granted(void *ctx, int err, int64_t lease)
{
	struct member *m = ctx;

	if (err < 0) {
		failed(m, err);
		return;
	}
	m->registration.lease = lease;
	look(m);
}

static void grant(struct member *m)
{
	m->registration.running = true;
	if (m->registration.lease != 0)
		look(m);
	else
		m->meta->ops->lease_grant(m->meta, LEASE_S, granted, lost, m);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct registration *r = container_of(retry, struct registration,
					      retry);

	if (!r->running)
		grant(container_of(r, struct member, registration));
}

static void refresh(struct env_timer *timer)
{
	struct registration *r = container_of(timer, struct registration,
					      refresh);

	if (r->running)
		return;
	r->running = true;
	write_keys(container_of(r, struct member, registration), false);
}

void member_seen_dead(struct member *m)
{
	struct registration *r = &m->registration;

	if (!m->started || m->stopping || r->running || r->lease == 0)
		return;
	env_timer_cancel(m->env, &r->refresh);
	grant(m);
}

void registration_start(struct member *m)
{
	struct registration *r = &m->registration;

	retry_init(&r->retry, m->env, try_again);
	env_timer_init(&r->refresh, refresh);
	grant(m);
}

static void revoked(void *ctx, int err, int64_t lease)
{
	struct member *m = ctx;

	if (err < 0)
		log_warning("cannot give the lease back (%s): others see this peer as up for another %d s",
			    error_text(err), LEASE_S);
	m->cfg.ops->stopped(m->cfg.ctx);
}

bool registration_stop(struct member *m)
{
	struct registration *r = &m->registration;
	int64_t lease = r->lease;

	env_timer_cancel(m->env, &r->retry.timer);
	env_timer_cancel(m->env, &r->refresh);
	r->lease = 0;
	if (lease == 0)
		return true;
	m->meta->ops->lease_revoke(m->meta, lease, revoked, m);
	return false;
}

bool member_registering(const struct member *m)
{
	return m->registration.running || m->registration.rival_since_ns != 0;
}
