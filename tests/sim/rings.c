// SPDX-License-Identifier: Apache-2.0
/*
 * The ring, and its changes in the middle of everything, as torusctl makes
 * them: by one transaction that keeps the ring before, and not while the log
 * of a volume may still end under an older one than the current.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "peer/ring_change.h"
#include "world.h"

#define WEIGHT (1ull << 30)

struct ring_doc *ring_load(struct world *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	if (!doc || ring_doc_decode(key, sim_meta_value(w->sim, key), doc))
		abort();
	return doc;
}

static void ring_store(struct world *w, const struct ring_doc *doc)
{
	char key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	world_put(w, key, ring_doc_encode(doc));
}

static enum ring_type random_type(struct world *w)
{
	static const enum ring_type types[] = {
		RING_KETAMA, RING_KETAMA, RING_ZONES, RING_ZONES, RING_MOD,
	};

	return types[sim_below(w->sim, ARRAY_SIZE(types))];
}

static void add(struct world *w, struct ring_spec *spec, unsigned int store)
{
	struct peer_doc peer;

	world_peer_doc(w, store, &peer);
	if (ring_change_add(spec, &peer))
		abort();
}

void rings_put_first(struct world *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	unsigned int i, spare = 0;

	if (!doc)
		abort();
	doc->current.version = 1;
	doc->current.type = random_type(w);
	doc->current.replication = w->replication;
	if (w->store_count > 3)
		spare = (unsigned int)sim_below(w->sim, 3) % (w->store_count - 3);
	for (i = 0; i < w->store_count - spare; i++)
		add(w, &doc->current, i);
	ring_store(w, doc);
	free(doc);
}

static bool tail_is_old(struct world *w, const struct volume_doc *doc,
			uint64_t version)
{
	return doc->tail.last && doc->tail.first <= doc->tail.last &&
	       doc->tail.ring_version < version;
}

/* As torusctl refuses it. */
static bool change_must_wait(struct world *w, uint64_t version)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct tenant *t;
	bool wait = false;

	if (!doc)
		abort();
	for_each_volume(t, w) {
		world_volume_doc(t, doc);
		wait |= tail_is_old(w, doc, version);
	}
	free(doc);
	return wait;
}

/* Somebody who is no member joins. */
static bool change_add(struct world *w, struct ring_spec *spec)
{
	unsigned int i;

	for (i = 0; i < w->store_count; i++)
		if (!w->stores[i].gone &&
		    !ring_change_has(spec, &w->stores[i].id)) {
			add(w, spec, i);
			return true;
		}
	return false;
}

/* A member drains, or has drained for long enough. */
static bool change_drain(struct world *w, struct ring_spec *spec)
{
	struct ring_member *m = &spec->members[sim_below(w->sim,
							 spec->member_count)];
	unsigned int i, full = 0;

	for (i = 0; i < spec->member_count; i++)
		full += spec->members[i].weight != 0;
	if (m->weight && full <= world_replication(w))
		return false;
	m->weight = m->weight ? 0 : WEIGHT;
	return true;
}

static bool change_weight(struct world *w, struct ring_spec *spec)
{
	struct ring_member *m = &spec->members[sim_below(w->sim,
							 spec->member_count)];

	if (!m->weight)
		return false;
	m->weight = WEIGHT / sim_between(w->sim, 1, 4);
	return true;
}

static bool change_type(struct world *w, struct ring_spec *spec)
{
	enum ring_type type = random_type(w);

	if (type == spec->type)
		return false;
	spec->type = type;
	return true;
}

/* How many copies new volumes get; those that exist keep theirs. */
static bool change_replication(struct world *w, struct ring_spec *spec)
{
	uint32_t r = (uint32_t)sim_between(w->sim, 2, MIN(3u, w->store_count));

	if (r == spec->replication)
		return false;
	spec->replication = r;
	return true;
}

bool ring_change(struct world *w, ring_edit_fn edit, void *ctx)
{
	struct ring_doc *doc = ring_load(w);
	bool done;

	doc->previous = doc->current;
	doc->has_previous = true;
	done = !change_must_wait(w, doc->current.version) &&
	       edit(w, &doc->current, ctx);
	if (done) {
		doc->current.version++;
		sim_trace(w->sim, NULL, "ring version %llu",
			  doc->current.version, 0, 0, 0);
		ring_store(w, doc);
		w->stats.ring_changes++;
	}
	free(doc);
	return done;
}

void ring_add_spares(struct world *w, struct ring_spec *spec)
{
	struct store_node *s;

	for_each_store(s, w)
		if (!s->gone && !ring_change_has(spec, &s->id))
			add(w, spec, (unsigned int)(s - w->stores));
}

static bool edit_random(struct world *w, struct ring_spec *spec, void *ctx)
{
	static bool (*const changes[])(struct world *, struct ring_spec *) = {
		change_add, change_drain, change_weight, change_type,
		change_replication,
	};

	return changes[sim_below(w->sim, ARRAY_SIZE(changes))](w, spec);
}

void ring_change_random(struct world *w)
{
	ring_change(w, edit_random, NULL);
}
