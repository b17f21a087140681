// SPDX-License-Identifier: Apache-2.0
/*
 * How many copies a volume's chunks have, as its document in the metadata store
 * says: of a bounded number of volumes, for a while. A volume that is not to be
 * found there (deleted, or the metadata store was lost) gets as many copies as
 * the ring says, and nothing of it is dropped.
 */
#include "maint/private.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "meta/schema.h"

#define VOLUMES_MAX	1024u
#define FETCHES_MAX	8u
#define GOOD_FOR	(600 * NSEC_PER_SEC)
#define BAD_FOR		(30 * NSEC_PER_SEC)

struct volume_info {
	struct hash_node by_id;
	struct list_head node;		/* volumes->lru */
	struct maint *maint;
	uint64_t id;
	bool fetching;
	bool known;
	uint8_t replication;
	uint64_t tail_first;		/* nobody looks for the log's end below */
	uint64_t expires;		/* 0: nothing is known yet */
};

static struct volume_info *info_find(const struct maint *m, uint64_t id)
{
	struct hash_node *n = hash_first(&m->volumes.by_id, hash_u64(id));

	for (; n != NULL; n = hash_next(n)) {
		struct volume_info *v = container_of(n, struct volume_info,
						     by_id);

		if (v->id == id)
			return v;
	}
	return NULL;
}

static void info_free(struct volumes *vs, struct volume_info *v)
{
	hash_remove(&vs->by_id, &v->by_id);
	list_del_init(&v->node);
	vs->count--;
	free(v);
}

static void evict(struct volumes *vs)
{
	struct volume_info *v;

	list_for_each_entry(v, &vs->lru, node) {
		if (v->fetching)
			continue;
		info_free(vs, v);
		return;
	}
}

static struct volume_info *info_new(struct maint *m, uint64_t id)
{
	struct volumes *vs = &m->volumes;
	struct volume_info *v;

	if (vs->count >= VOLUMES_MAX)
		evict(vs);
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return NULL;
	v->maint = m;
	v->id = id;
	hash_insert(&vs->by_id, &v->by_id, hash_u64(id));
	list_add_tail(&v->node, &vs->lru);
	vs->count++;
	return v;
}

/* With nothing declared, every chunk there is has its end. */
static uint64_t tail_first(const struct volume_doc *doc)
{
	return doc->tail.first <= doc->tail.last ? doc->tail.first
						 : doc->next_chunk;
}

/* What was known stays true while the metadata store is away. */
static void fetched(struct volume_info *v, bool known, uint32_t replication,
		    bool answered)
{
	struct maint *m = v->maint;

	v->fetching = false;
	m->volumes.fetching--;
	if (known) {
		v->known = true;
		v->replication = (uint8_t)replication;
	} else if (answered) {
		v->known = false;
	}
	v->expires = env_now(m->env) + (known ? GOOD_FOR : BAD_FOR);
	maint_kick(m);
}

static void got_doc(void *ctx, int err, int64_t revision,
		    const struct meta_kv *kv)
{
	struct volume_info *v = ctx;
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	bool known = err == 0 && kv != NULL && doc != NULL &&
		     volume_doc_decode(kv->key, kv->value, doc) == 0 &&
		     doc->id == v->id;

	if (known)
		v->tail_first = tail_first(doc);
	fetched(v, known, known ? doc->replication : 0, err == 0);
}

static void got_name(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct volume_info *v = ctx;
	char name[VOLUME_NAME_MAX], key[META_KEY_MAX];

	if (err < 0 || kv == NULL || name_decode(kv->key, kv->value, name) < 0) {
		fetched(v, false, 0, err == 0);
		return;
	}
	key_volume(&cluster_doc(v->maint->cluster)->id, name, key);
	if (metacall_get(&v->maint->calls, key, got_doc, v) < 0)
		fetched(v, false, 0, false);
}

static void fetch(struct maint *m, struct volume_info *v)
{
	char key[META_KEY_MAX];

	if (v->fetching || m->volumes.fetching >= FETCHES_MAX)
		return;
	v->fetching = true;
	m->volumes.fetching++;
	key_volume_id(&cluster_doc(m->cluster)->id, v->id, key);
	if (metacall_get(&m->calls, key, got_name, v) < 0)
		fetched(v, false, 0, false);
}

bool volumes_get(struct maint *m, uint64_t volume, uint8_t *replication,
		 bool *known)
{
	struct volume_info *v = info_find(m, volume);

	if (v == NULL)
		v = info_new(m, volume);
	if (v == NULL)
		return false;
	list_move_tail(&v->node, &m->volumes.lru);
	if (v->expires <= env_now(m->env)) {
		fetch(m, v);
		return false;
	}
	*known = v->known;
	*replication = v->known ? v->replication :
		       (uint8_t)ring_spec(m->ring)->replication;
	return true;
}

uint8_t volumes_most(struct maint *m, uint64_t volume)
{
	const struct volume_info *v = info_find(m, volume);

	return v != NULL && v->known ? v->replication : RING_REPLICATION_MAX;
}

bool volumes_below_tail(const struct maint *m, uint64_t volume,
			uint64_t chunk)
{
	const struct volume_info *v = info_find(m, volume);

	return v != NULL && v->known && chunk < v->tail_first;
}

int volumes_init(struct maint *m)
{
	list_init(&m->volumes.lru);
	return hash_init(&m->volumes.by_id, 64);
}

void volumes_release(struct maint *m)
{
	struct volume_info *v, *next;

	list_for_each_entry_safe(v, next, &m->volumes.lru, node)
		info_free(&m->volumes, v);
	hash_release(&m->volumes.by_id);
}
