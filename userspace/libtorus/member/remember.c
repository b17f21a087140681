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
#include "member/private.h"

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv);

static void ask(struct member *m)
{
	char key[META_KEY_MAX];

	key_ring(&m->cfg.cluster.id, key);
	m->meta->ops->get(m->meta, key, got, m);
}

static void take(struct member *m, const struct meta_kv *kv)
{
	CLEANUP_FREE struct ring_doc *ring = malloc(sizeof(*ring));
	CLEANUP_FREE char *cluster = cluster_doc_encode(&m->cfg.cluster);

	if (ring == NULL || cluster == NULL)
		return;
	if (ring_doc_decode(kv->key, kv->value, ring) < 0)
		log_warning("%s", error_text(-EBADMSG));
	else
		store_remember(m->store, ring->current.version, cluster,
			       kv->value);
}

static void changed(void *ctx, enum meta_event_type type,
		    const struct meta_kv *kv)
{
	struct member *m = ctx;

	if (m->stopping)
		return;
	if (type == META_EVENT_PUT)
		take(m, kv);
	if (type != META_EVENT_RESET)
		return;
	m->meta->ops->unwatch(m->meta, m->remembering.watch);
	m->remembering.watch = NULL;
	ask(m);
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	struct member *m = ctx;
	char key[META_KEY_MAX];

	if (m->stopping)
		return;
	if (err < 0) {
		log_warning("cannot read the ring: %s; trying again",
			    error_text(err));
		retry_later(&m->remembering.retry);
		return;
	}
	retry_reset(&m->remembering.retry);
	if (kv != NULL)
		take(m, kv);
	key_ring(&m->cfg.cluster.id, key);
	m->remembering.watch = m->meta->ops->watch(m->meta, key, revision + 1,
						   changed, m);
	if (m->remembering.watch == NULL)
		retry_later(&m->remembering.retry);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct remembering *r = container_of(retry, struct remembering, retry);

	ask(container_of(r, struct member, remembering));
}

void remembering_start(struct member *m)
{
	retry_init(&m->remembering.retry, m->env, try_again);
	ask(m);
}
