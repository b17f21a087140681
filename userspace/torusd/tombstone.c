// SPDX-License-Identifier: Apache-2.0
/*
 * Tombstones: the one thing that lets a store delete a volume's chunks. They
 * are listed at start, so that a peer that was down during a deletion cleans
 * up when it returns, and watched from then on. Absence never deletes. Each peer
 * confirms in the tombstone that nothing of the volume is left here, and who
 * sees that every peer has done so removes it (confirm.c). An hourly look does
 * that where the last peer to wait for was removed from the cluster.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "torusd.h"

#define LOOK_AGAIN (3600 * NSEC_PER_SEC)

/* One volume on its way out. */
struct burial {
	struct torusd *daemon;
	uint64_t volume;
	uint64_t used;			/* bytes, before */
};

static uint64_t bytes_used(const struct torusd *d)
{
	struct store_stats stats;

	store_stats(d->store, &stats);
	return stats.used;
}

/* Most tombstones are old, or of volumes that this store never had: nothing is
 * there to be removed, nor to be said. */
static void volume_deleted(void *ctx, int err)
{
	struct burial *b = ctx;

	if (err < 0)
		log_error("%s. The rest goes at the next start",
			  error_text(err));
	else if (bytes_used(b->daemon) < b->used)
		log_info("volume %016" PRIx64 ": deleted, its chunks are gone",
			 b->volume);
	if (err == 0)
		confirming_add(b->daemon, b->volume);
	free(b);
}

static void bury(struct torusd *d, const char *key)
{
	struct burial *b = malloc(sizeof(*b));
	const char *name = strrchr(key, '/');
	char *end;

	if (b == NULL || name == NULL)
		goto out_free;
	b->daemon = d;
	b->used = bytes_used(d);
	b->volume = strtoull(name + 1, &end, 16);
	if (strlen(name + 1) == 16 && *end == '\0' && b->volume != 0) {
		store_delete_volume(d->store, b->volume, volume_deleted, b);
		return;
	}
	log_warning("%s: not a tombstone's key, ignored", key);
out_free:
	free(b);
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count);

static void list(struct torusd *d)
{
	char prefix[META_KEY_MAX];

	key_prefix(&d->cluster.id, "tombstones", prefix);
	d->meta->ops->list(d->meta, prefix, listed, d);
}

/* Changed by the confirmation of another peer. */
static bool has_ours(const struct torusd *d, const struct meta_kv *kv)
{
	CLEANUP_FREE struct tombstone_doc *doc = malloc(sizeof(*doc));

	return doc != NULL && !tombstone_doc_decode(kv->key, kv->value, doc) &&
	       confirmed_by(doc, store_peer(d->store));
}

static void changed(void *ctx, enum meta_event_type type,
		    const struct meta_kv *kv)
{
	struct torusd *d = ctx;

	if (d->stopping)
		return;
	if (type == META_EVENT_PUT && !has_ours(d, kv))
		bury(d, kv->key);
	if (type != META_EVENT_RESET)
		return;
	d->meta->ops->unwatch(d->meta, d->tombstones.watch);
	d->tombstones.watch = NULL;
	list(d);
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	struct torusd *d = ctx;
	char prefix[META_KEY_MAX];
	size_t i;

	if (d->stopping)
		return;
	if (err < 0) {
		log_warning("cannot list deleted volumes: %s; trying again",
			    error_text(err));
		retry_later(&d->tombstones.retry);
		return;
	}
	retry_reset(&d->tombstones.retry);
	env_timer_after(d->env, &d->tombstones.hourly, LOOK_AGAIN);
	for (i = 0; i < count; i++)
		bury(d, kv[i].key);
	key_prefix(&d->cluster.id, "tombstones", prefix);
	d->tombstones.watch = d->meta->ops->watch(d->meta, prefix,
						  revision + 1, changed, d);
	if (d->tombstones.watch == NULL)
		retry_later(&d->tombstones.retry);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct tombstones *t = container_of(retry, struct tombstones, retry);

	list(container_of(t, struct torusd, tombstones));
}

static void look_again(struct env_timer *timer)
{
	struct tombstones *t = container_of(timer, struct tombstones, hourly);
	struct torusd *d = container_of(t, struct torusd, tombstones);

	if (d->stopping)
		return;
	if (t->watch != NULL)
		d->meta->ops->unwatch(d->meta, t->watch);
	t->watch = NULL;
	list(d);
}

void tombstones_start(struct torusd *d)
{
	env_timer_init(&d->tombstones.hourly, look_again);
	retry_init(&d->tombstones.retry, d->env, try_again);
	list(d);
}
