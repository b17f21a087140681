// SPDX-License-Identifier: Apache-2.0
/*
 * --auto-join: this peer adds itself to the ring, by compare-and-swap, keeping
 * the ring before beside the new one. As with torusctl, a change is put off
 * while the log of a volume may still end under an older ring than the current
 * one, since that would be forgotten.
 *
 *   get ring -> member? done
 *            -> list volumes: an old tail? later
 *            -> put if unchanged: lost the race? again at once
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "peer/ring_change.h"
#include "torusd.h"

/* The ring while it is being changed. */
struct attempt {
	struct torusd *daemon;
	int64_t revision;
	struct ring_doc ring;
};

static void begin(struct torusd *d);

static void later(struct torusd *d, int err)
{
	if (d->stopping)
		return;
	log_warning("cannot join the ring: %s; trying again", error_text(err));
	retry_later(&d->joining.retry);
	torusd_check_ready(d);
}

static void end(struct attempt *a, int err)
{
	struct torusd *d = a->daemon;

	free(a);
	if (err < 0) {
		later(d, err);
		return;
	}
	d->joining.done = true;
	torusd_check_ready(d);
}

static void written(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct attempt *a = ctx;
	struct torusd *d = a->daemon;

	if (err < 0) {
		end(a, err);
	} else if (!succeeded) {
		free(a);
		begin(d);
	} else {
		log_info("joined the ring, version %" PRIu64,
			 a->ring.current.version);
		end(a, 0);
	}
}

static int check_tails(const struct attempt *a, const struct meta_kv *kv,
		       size_t count)
{
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	size_t i;
	int err;

	if (doc == NULL)
		return error_set(-ENOMEM, "out of memory");
	for (i = 0; i < count; i++) {
		err = volume_doc_decode(kv[i].key, kv[i].value, doc);
		if (err < 0)
			return err;
		if (doc->tail.last != 0 && doc->tail.first <= doc->tail.last &&
		    doc->tail.ring_version < a->ring.current.version)
			return error_set(-EBUSY, "the log of volume '%s' may still end under ring version %" PRIu64 "; attaching it moves it on",
					 doc->name, doc->tail.ring_version);
	}
	return 0;
}

/* Counts the version up and sees whether that makes a ring. */
static int edit(struct attempt *a)
{
	struct ring_spec *spec = &a->ring.current;
	struct peer_doc self;
	struct ring *check;
	int err;

	a->ring.previous = *spec;
	a->ring.has_previous = true;
	member_doc(&a->daemon->member, &self);
	err = ring_change_add(spec, &self);
	if (err < 0)
		return err;
	spec->version++;
	err = ring_create(spec, &check);
	if (err == 0)
		ring_free(check);
	return err;
}

static void volumes_listed(void *ctx, int err, int64_t revision,
			   const struct meta_kv *kv, size_t count)
{
	struct attempt *a = ctx;
	struct torusd *d = a->daemon;
	char key[META_KEY_MAX];
	CLEANUP_FREE char *text = NULL;
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };

	if (err == 0)
		err = check_tails(a, kv, count);
	if (err == 0)
		err = edit(a);
	if (err == 0) {
		text = ring_doc_encode(&a->ring);
		if (text == NULL)
			err = error_set(-ENOMEM, "out of memory");
	}
	if (err < 0) {
		end(a, err);
		return;
	}
	key_ring(&d->cluster.id, key);
	txn.compare[0] = (struct meta_compare){ .key = key,
						.mod_revision = a->revision };
	txn.put[0] = (struct meta_put){ .key = key, .value = text };
	d->meta->ops->txn(d->meta, &txn, written, a);
}

static void got_ring(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct attempt *a = ctx;
	struct torusd *d = a->daemon;
	char prefix[META_KEY_MAX];

	if (err == 0 && kv == NULL)
		err = error_set(-ENOENT, "the cluster has no ring");
	if (err == 0)
		err = ring_doc_decode(kv->key, kv->value, &a->ring);
	if (err < 0) {
		end(a, err);
		return;
	}
	a->revision = kv->mod_revision;
	if (ring_change_has(&a->ring.current, store_peer(d->store))) {
		end(a, 0);
		return;
	}
	key_prefix(&d->cluster.id, "volumes", prefix);
	d->meta->ops->list(d->meta, prefix, volumes_listed, a);
}

static void begin(struct torusd *d)
{
	struct attempt *a = malloc(sizeof(*a));
	char key[META_KEY_MAX];

	if (a == NULL) {
		later(d, error_set(-ENOMEM, "out of memory"));
		return;
	}
	a->daemon = d;
	key_ring(&d->cluster.id, key);
	d->meta->ops->get(d->meta, key, got_ring, a);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct joining *j = container_of(retry, struct joining, retry);

	begin(container_of(j, struct torusd, joining));
}

void joining_start(struct torusd *d)
{
	retry_init(&d->joining.retry, d->env, try_again);
	begin(d);
}
