// SPDX-License-Identifier: Apache-2.0
/*
 * How many copies a volume's chunks have, as its document in the metadata store
 * says: of a bounded number of volumes, for a while. A volume that is not to be
 * found there (deleted, or the metadata store was lost) gets as many copies as
 * the ring says, and nothing of it is dropped.
 */
#include "maint/private.h"

#include <stdlib.h>

#include "maint/fetch.h"

#define VOLUMES_MAX	1024u
#define FETCHES_MAX	8u
#define GOOD_FOR	(600 * NSEC_PER_SEC)
#define BAD_FOR		(30 * NSEC_PER_SEC)
#define TAIL_GOOD_FOR	(30 * NSEC_PER_SEC)

struct volume_info {
	struct hash_node by_id;
	struct list_head node;		/* volumes->lru */
	struct maint *maint;
	uint64_t id;
	struct volume_fetch fetch;
	bool fetching;
	bool known;
	uint8_t replication;
	uint64_t tail_first;		/* nobody looks for the log's end below */
	uint64_t expires;		/* 0: nothing is known yet */
	uint64_t answered;		/* when the metadata store did, last */
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
static void fetched(void *ctx, int err, const struct volume_doc *doc)
{
	struct volume_info *v = ctx;
	struct maint *m = v->maint;

	v->fetching = false;
	m->volumes.fetching--;
	if (doc != NULL) {
		v->replication = (uint8_t)doc->replication;
		v->tail_first = tail_first(doc);
	}
	if (err == 0)
		v->known = doc != NULL;
	v->answered = env_now(m->env);
	v->expires = v->answered + (doc != NULL ? GOOD_FOR : BAD_FOR);
	maint_kick(m);
}

static void fetch(struct maint *m, struct volume_info *v)
{
	if (v->fetching || m->volumes.fetching >= FETCHES_MAX)
		return;
	v->fetching = true;
	m->volumes.fetching++;
	v->fetch = (struct volume_fetch){
		.calls = &m->calls, .cluster = &cluster_doc(m->cluster)->id,
		.volume = v->id, .done = fetched, .ctx = v,
	};
	volume_fetch(&v->fetch);
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

bool volumes_tail_is_old(struct maint *m, uint64_t volume)
{
	struct volume_info *v = info_find(m, volume);

	if (v == NULL || !v->known ||
	    env_now(m->env) - v->answered < TAIL_GOOD_FOR)
		return false;
	v->expires = 0;
	return true;
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
