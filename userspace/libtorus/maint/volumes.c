// SPDX-License-Identifier: Apache-2.0
/*
 * How many copies a volume's chunks have, as its document in the metadata store
 * says: of a bounded number of volumes, for a while. A volume that is not to be
 * found there (deleted, or the metadata store was lost) gets as many copies as
 * the ring says, and nothing of it is dropped.
 *
 * A superfluous copy in a volume's declared tail has to stay until that has
 * moved on, which no event tells: the document is read again for as long as a
 * copy is put off for it, with pauses that double up to AGAIN_MAX. Of the copies
 * that were put off, each volume keeps the first and the last: all between them
 * that lie below the tail by then are looked at. What is put off makes no item,
 * so it keeps nobody from being settled.
 */
#include "maint/private.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "maint/fetch.h"

#define VOLUMES_MAX	1024u
#define FETCHES_MAX	8u
#define GOOD_FOR	(600 * NSEC_PER_SEC)
#define BAD_FOR		(30 * NSEC_PER_SEC)
#define TAIL_GOOD_FOR	(30 * NSEC_PER_SEC)
#define AGAIN_MIN	(5 * NSEC_PER_SEC)
#define AGAIN_MAX	(60 * NSEC_PER_SEC)

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
	/* copies that are put off; none: not on volumes->put_off */
	struct list_head off_node;
	uint64_t off_after, off_last;	/* chunks: beyond the one, to the other */
	uint64_t off_again, off_pause;
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
	list_del_init(&v->off_node);
	vs->count--;
	free(v);
}

/* The oldest; what is put off for it is left to the next walk, so rather one of
 * which nothing is. */
static void evict(struct volumes *vs)
{
	struct volume_info *v, *oldest = NULL;

	list_for_each_entry(v, &vs->lru, node) {
		if (v->fetching)
			continue;
		if (oldest == NULL)
			oldest = v;
		if (list_empty(&v->off_node)) {
			oldest = v;
			break;
		}
	}
	if (oldest != NULL)
		info_free(vs, oldest);
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
	list_init(&v->off_node);
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

/* ---- what is put off -------------------------------------------------------- */

void volumes_put_off(struct maint *m, uint64_t volume, uint64_t chunk)
{
	struct volume_info *v = info_find(m, volume);
	uint64_t after = chunk > 0 ? chunk - 1 : 0;

	if (v == NULL)
		v = info_new(m, volume);
	if (v == NULL)
		return;
	if (!list_empty(&v->off_node)) {
		v->off_after = MIN(v->off_after, after);
		v->off_last = MAX(v->off_last, chunk);
		return;
	}
	list_add_tail(&v->off_node, &m->volumes.put_off);
	v->off_after = after;
	v->off_last = chunk;
	v->off_pause = AGAIN_MIN;
	v->off_again = env_now(m->env) + v->off_pause;
	maint_wake_at(m, v->off_again);
}

/* Those that are below the tail now; a batch of them in one turn. */
static void look_below_tail(struct maint *m, struct volume_info *v)
{
	struct store_copy copy;
	uint32_t n = 0;

	while (v->off_after < v->off_last) {
		if (!store_copy_next(m->store, v->id, v->off_after, &copy) ||
		    copy.volume != v->id || copy.chunk > v->off_last)
			break;
		if (!volumes_below_tail(m, v->id, copy.chunk))
			return;
		if (n++ == MAINT_BATCH_MAX) {
			maint_kick(m);
			return;
		}
		v->off_after = copy.chunk;
		item_look(m, v->id, copy.chunk, 0);
	}
	list_del_init(&v->off_node);
}

static void read_again(struct maint *m, struct volume_info *v)
{
	uint64_t now = env_now(m->env);

	/* The end of each that is under way brings another turn. */
	if (v->fetching || m->volumes.fetching >= FETCHES_MAX)
		return;
	if (now >= v->off_again) {
		fetch(m, v);
		v->off_pause = MIN(2 * v->off_pause, AGAIN_MAX);
		v->off_again = now + v->off_pause;
	}
	maint_wake_at(m, v->off_again);
}

void volumes_turn(struct maint *m)
{
	struct volume_info *v, *next;

	list_for_each_entry_safe(v, next, &m->volumes.put_off, off_node) {
		look_below_tail(m, v);
		if (!list_empty(&v->off_node))
			read_again(m, v);
	}
}

int volumes_init(struct maint *m)
{
	list_init(&m->volumes.put_off);
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
