// SPDX-License-Identifier: Apache-2.0
/*
 * Tombstones: the one thing that lets a store delete a volume's chunks. They
 * are listed at start, so that a peer that was down during a deletion cleans
 * up when it returns, and watched from then on. Absence never deletes. Each peer
 * confirms in the tombstone that nothing of the volume is left here, and who
 * sees that every peer has done so removes it (confirm.c). Where the last peer
 * to wait for was removed from the cluster, a look does that when the watch tells
 * of it; an hourly look is for what nobody told. Where the
 * store could not delete - a full disk takes not even the journal's word - the
 * look comes soon: nothing else would free that space before the next start.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "member/private.h"

#define LOOK_AGAIN (3600 * NSEC_PER_SEC)
#define BURY_AGAIN (30 * NSEC_PER_SEC)

/* One volume on its way out. */
struct burial {
	struct list_head node;		/* tombstones.burials */
	struct member *member;
	uint64_t volume;
	uint64_t used;			/* bytes, before */
};

static uint64_t bytes_used(const struct member *m)
{
	struct store_stats stats;

	store_stats(m->store, &stats);
	return stats.used;
}

/* Most tombstones are old, or of volumes that this store never had: nothing is
 * there to be removed, nor to be said. */
static void volume_deleted(void *ctx, int err)
{
	struct burial *b = ctx;
	struct member *m = b->member;

	if (err < 0) {
		log_error("%s; trying again", error_text(err));
		env_timer_after(m->env, &m->tombstones.look, BURY_AGAIN);
	} else {
		if (bytes_used(m) < b->used)
			log_info("volume %016" PRIx64 ": deleted, its chunks are gone",
				 b->volume);
		confirming_add(m, b->volume);
	}
	list_del_init(&b->node);
	free(b);
}

static void bury(struct member *m, const char *key)
{
	struct burial *b = malloc(sizeof(*b));
	const char *name = strrchr(key, '/');
	char *end;

	if (b == NULL || name == NULL)
		goto out_free;
	b->member = m;
	b->used = bytes_used(m);
	b->volume = strtoull(name + 1, &end, 16);
	if (strlen(name + 1) == 16 && *end == '\0' && b->volume != 0) {
		list_add_tail(&b->node, &m->tombstones.burials);
		store_delete_volume(m->store, b->volume, volume_deleted, b);
		return;
	}
	log_warning("%s: not a tombstone's key, ignored", key);
out_free:
	free(b);
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count);

static void list(struct member *m)
{
	char prefix[META_KEY_MAX];

	key_prefix(&m->cfg.cluster.id, "tombstones", prefix);
	m->meta->ops->list(m->meta, prefix, listed, m);
}

/* Changed by the confirmation of another peer. */
static bool has_ours(const struct member *m, const struct meta_kv *kv)
{
	CLEANUP_FREE struct tombstone_doc *doc = malloc(sizeof(*doc));

	return doc != NULL && !tombstone_doc_decode(kv->key, kv->value, doc) &&
	       confirmed_by(doc, store_peer(m->store));
}

static void changed(void *ctx, enum meta_event_type type,
		    const struct meta_kv *kv)
{
	struct member *m = ctx;

	if (m->stopping)
		return;
	if (type == META_EVENT_PUT && !has_ours(m, kv))
		bury(m, kv->key);
	if (type != META_EVENT_RESET)
		return;
	m->meta->ops->unwatch(m->meta, m->tombstones.watch);
	m->tombstones.watch = NULL;
	list(m);
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	struct member *m = ctx;
	char prefix[META_KEY_MAX];
	size_t i;

	if (m->stopping)
		return;
	if (err < 0) {
		log_warning("cannot list deleted volumes: %s; trying again",
			    error_text(err));
		retry_later(&m->tombstones.retry);
		return;
	}
	retry_reset(&m->tombstones.retry);
	/* Sooner, if somebody has asked for that since the list began. */
	env_timer_set_by(m->env, &m->tombstones.look,
			 env_now(m->env) + LOOK_AGAIN);
	for (i = 0; i < count; i++)
		bury(m, kv[i].key);
	/* Two lists may have been under way. */
	if (m->tombstones.watch != NULL)
		m->meta->ops->unwatch(m->meta, m->tombstones.watch);
	key_prefix(&m->cfg.cluster.id, "tombstones", prefix);
	m->tombstones.watch = m->meta->ops->watch(m->meta, prefix,
						  revision + 1, changed, m);
	if (m->tombstones.watch == NULL)
		retry_later(&m->tombstones.retry);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct tombstones *t = container_of(retry, struct tombstones, retry);

	list(container_of(t, struct member, tombstones));
}

static void look_again(struct env_timer *timer)
{
	struct tombstones *t = container_of(timer, struct tombstones, look);
	struct member *m = container_of(t, struct member, tombstones);

	if (m->stopping)
		return;
	if (t->watch != NULL)
		m->meta->ops->unwatch(m->meta, t->watch);
	t->watch = NULL;
	list(m);
}

void member_peer_forgotten(struct member *m)
{
	if (m->started && !m->stopping)
		env_timer_set_by(m->env, &m->tombstones.look, env_now(m->env));
}

void tombstones_start(struct member *m)
{
	list_init(&m->tombstones.burials);
	env_timer_init(&m->tombstones.look, look_again);
	retry_init(&m->tombstones.retry, m->env, try_again);
	list(m);
}

void tombstones_release(struct member *m)
{
	struct burial *b, *tmp;

	list_for_each_entry_safe(b, tmp, &m->tombstones.burials, node)
		free(b);
	list_init(&m->tombstones.burials);
}
