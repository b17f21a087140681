// SPDX-License-Identifier: Apache-2.0
/*
 * The documents of cluster and ring, as the metadata store has them, go to the
 * store, which keeps them beside the chunks: `torusctl recover` asks for them
 * when the metadata store is lost. Read once, and followed from then on.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "torusd.h"

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv);

static void ask(struct torusd *d)
{
	char key[META_KEY_MAX];

	key_ring(&d->cluster.id, key);
	d->meta->ops->get(d->meta, key, got, d);
}

static void take(struct torusd *d, const struct meta_kv *kv)
{
	CLEANUP_FREE struct ring_doc *ring = malloc(sizeof(*ring));
	CLEANUP_FREE char *cluster = cluster_doc_encode(&d->cluster);

	if (ring == NULL || cluster == NULL)
		return;
	if (ring_doc_decode(kv->key, kv->value, ring) < 0)
		log_warning("%s", error_text(-EBADMSG));
	else
		store_remember(d->store, ring->current.version, cluster,
			       kv->value);
}

static void changed(void *ctx, enum meta_event_type type,
		    const struct meta_kv *kv)
{
	struct torusd *d = ctx;

	if (d->stopping)
		return;
	if (type == META_EVENT_PUT)
		take(d, kv);
	if (type != META_EVENT_RESET)
		return;
	d->meta->ops->unwatch(d->meta, d->remembering.watch);
	d->remembering.watch = NULL;
	ask(d);
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	struct torusd *d = ctx;
	char key[META_KEY_MAX];

	if (d->stopping)
		return;
	if (err < 0) {
		log_warning("cannot read the ring: %s; trying again",
			    error_text(err));
		retry_later(&d->remembering.retry);
		return;
	}
	retry_reset(&d->remembering.retry);
	if (kv != NULL)
		take(d, kv);
	key_ring(&d->cluster.id, key);
	d->remembering.watch = d->meta->ops->watch(d->meta, key, revision + 1,
						   changed, d);
	if (d->remembering.watch == NULL)
		retry_later(&d->remembering.retry);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct remembering *r = container_of(retry, struct remembering, retry);

	ask(container_of(r, struct torusd, remembering));
}

void remembering_start(struct torusd *d)
{
	retry_init(&d->remembering.retry, d->env, try_again);
	ask(d);
}
