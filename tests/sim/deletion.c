// SPDX-License-Identifier: Apache-2.0
/*
 * A volume is deleted in the middle of everything, by the transaction that
 * torusctl makes: detached in order first, and only as long as nobody has
 * attached it since. Stores may be away then. Helpers that lost the volume
 * earlier and do not know go on: what they reach must refuse them. Another
 * volume is made, often by the same name.
 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "world.h"

/* What no root needs is gone, and so are the tombstone and its volume. */
static bool delete_volume(struct tenant *t, const struct volume_doc *doc)
{
	char volume[META_KEY_MAX], id[META_KEY_MAX], tombstone[META_KEY_MAX];
	struct world *w = t->world;
	char *name = name_encode(t->name);
	struct meta_txn txn = {
		.compare = { { volume, doc->mod_revision } },
		.compare_count = 1,
		.put = { { volume, NULL, 0 }, { id, NULL, 0 },
			 { tombstone, name, 0 } },
		.put_count = 3,
	};
	bool done;

	key_volume(&w->cluster, t->name, volume);
	key_volume_id(&w->cluster, t->id, id);
	key_tombstone(&w->cluster, t->id, tombstone);
	done = name && sim_meta_txn(w->sim, &txn);
	free(name);
	return done;
}

static struct tenant *make_another(struct tenant *old)
{
	struct world *w = old->world;
	struct ring_doc *ring = ring_load(w);
	uint32_t replication = ring->current.replication;
	char key[META_KEY_MAX];
	uint64_t id;

	free(ring);
	key_next_volume(&w->cluster, key);
	if (counter_decode(key, sim_meta_value(w->sim, key), &id))
		abort();
	return world_add_tenant(w, id, old->name, replication);
}

void deletion_begin(struct world *w)
{
	struct tenant *t = world_any_tenant(w);
	struct store_node *s = &w->stores[sim_below(w->sim, w->store_count)];

	if (w->tenant_count == TENANTS_MAX)
		return;
	t->doomed = true;
	if (sim_chance(w->sim, 1, 2) && !s->gone)
		store_node_kill(s, sim_between(w->sim, 1, 300) * NSEC_PER_SEC);
}

/* Who attaches by name would have the other volume of that name in the end, and
 * take it for this one. */
static void end_attaches(struct tenant *t)
{
	struct client *c;

	for_each_client(c, t)
		if (c->state == CLIENT_ATTACHING)
			client_kill(c, true);
}

bool deletion_turn(struct tenant *t)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct client *c = t->current;
	bool free_now;

	if (!doc)
		abort();
	if (c && c->state == CLIENT_SERVING)
		client_detach(c);
	world_volume_doc(t, doc);
	free_now = !doc->attachment.present && (!c || c->state == CLIENT_OFF) &&
		   delete_volume(t, doc);
	free(doc);
	if (!free_now)
		return false;
	end_attaches(t);
	t->deleted = true;
	t->current = NULL;
	t->world->stats.deleted++;
	sim_trace(t->world->sim, NULL, "volume %llu deleted", t->id, 0, 0, 0);
	make_another(t);
	return true;
}
