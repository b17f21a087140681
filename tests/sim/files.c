// SPDX-License-Identifier: Apache-2.0
/*
 * Chunk files at the moment when they go, and when a restored one takes its
 * place. Later looks would miss most of what can be wrong with that: other copies
 * are left, and maintenance heals what is not good.
 *
 *   goes    only what no root needs, or what R others have (section 7: all
 *           owners have confirmed, and they never drop)
 *   comes   only what is whole, good, and durable
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "world.h"

/* The tenant and the chunk whose file is called @path; NULL: another file. */
static struct tenant *chunk_of(struct world *w, const char *path,
			       uint64_t *chunk)
{
	struct tenant *t;
	char name[64];
	uint64_t id;

	if (sscanf(path, "chunks/%" SCNx64 "/%" SCNx64, &id, chunk) != 2 ||
	    id == 0 || id > w->tenant_count)
		return NULL;
	t = &w->tenants[id - 1];
	inspect_chunk_path(t, *chunk, name);
	return strcmp(name, path) == 0 ? t : NULL;
}

/* What it has is durable; of one that is down nobody knows how long it is. */
static bool has_copy(const struct store_node *s, const struct tenant *t,
		     uint64_t chunk, const char *path)
{
	struct store_copy copy = { .length = 1 };

	if (s->serving &&
	    !store_copy_get(s->store, t->id, chunk, &copy))
		return false;
	return copy.length && sim_disk_durable(s->node, path, 0,
					       (uint64_t)copy.length * BLOCK_SIZE);
}

static void goes(struct store_node *s, struct tenant *t, uint64_t chunk,
		 const char *path)
{
	uint32_t have = 0, need = t->replication;
	struct store_node *other;

	if (s->world->meta_lost)	/* the audit sees what is missing */
		return;
	need = MIN(need, ring_spec(inspect_ring_now(s->world))->member_count);
	for_each_store(other, s->world)
		have += other != s && has_copy(other, t, chunk, path);
	if (have < need && !t->deleted && audit_needs(t, chunk))
		world_fail(s->world, "%s removes its copy of chunk %" PRIu64
			   " of %s, which is live, while %u others have one, not %u",
			   sim_node_name(s->node), chunk, t->name, have, need);
}

static void comes(struct store_node *s, struct tenant *t, uint64_t chunk,
		  const char *path)
{
	uint64_t size = sim_disk_size(s->node, path);
	uint32_t crc;

	if (!audit_good_file(s, path, t, chunk, (uint32_t)(size / BLOCK_SIZE),
			     &crc))
		world_fail(s->world, "%s takes a bad copy of chunk %" PRIu64
			   " of %s for a good one", sim_node_name(s->node),
			   chunk, t->name);
	else if (!sim_disk_synced(s->node, path, 0, size))
		world_fail(s->world, "%s takes a copy of chunk %" PRIu64
			   " of %s that is not durable", sim_node_name(s->node),
			   chunk, t->name);
}

static void changes(void *ctx, struct sim_node *node, const char *path,
		    const char *from)
{
	struct world *w = ctx;
	struct store_node *s;
	struct tenant *t;
	uint64_t chunk;

	t = chunk_of(w, path, &chunk);
	for_each_store(s, w) {
		if (!t || s->node != node)
			continue;
		if (!from && sim_disk_size(node, path))
			goes(s, t, chunk, path);
		else if (from && strstr(from, ".restore-"))
			comes(s, t, chunk, from);
	}
}

void files_watch(struct world *w)
{
	sim_disk_watch(w->sim, changes, w);
}
