// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ring/ring.h"

#define CLOCK_PPM_MAX 1000

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	vsnprintf(w->failure, sizeof(w->failure), fmt, ap);
	va_end(ap);
	sim_trace(w->sim, NULL, "FAILED", 0, 0, 0, 0);
}

static void on_fail(void *ctx, const char *what)
{
	world_fail(ctx, "%s", what);
}

static void recovered_task(struct sim_task *task)
{
	faults_recovered(container_of(task, struct tenant, recovered));
}

static void random_uuid(struct world *w, struct uuid *id)
{
	size_t i;

	for (i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)sim_random(w->sim);
	uuid_from_random(id);
}

void world_put(struct world *w, const char *key, char *text)
{
	if (!text)
		abort();
	sim_meta_put(w->sim, key, text);
	free(text);
}

void world_cluster_doc(const struct world *w, struct cluster_doc *doc)
{
	*doc = (struct cluster_doc){
		.id = w->cluster, .replication = w->replication,
		.chunk_size = (uint64_t)w->chunk_blocks * BLOCK_SIZE,
	};
}

static void put_cluster(struct world *w)
{
	struct cluster_doc doc;

	world_cluster_doc(w, &doc);
	world_put(w, KEY_CLUSTER, cluster_doc_encode(&doc));
}

void world_peer_doc(const struct world *w, unsigned int store,
		    struct peer_doc *doc)
{
	const struct store_node *s = &w->stores[store];

	memset(doc, 0, sizeof(*doc));
	doc->id = s->id;
	snprintf(doc->address, sizeof(doc->address), "%s", s->address);
	snprintf(doc->zone, sizeof(doc->zone), "zone%u", s->zone);
	snprintf(doc->host, sizeof(doc->host), "host%u", store);
	doc->size = 1ull << 30;
}

static void put_peers(struct world *w)
{
	struct peer_doc doc;
	char key[META_KEY_MAX];
	unsigned int i;

	for (i = 0; i < w->store_count; i++) {
		world_peer_doc(w, i, &doc);
		key_peer(&w->cluster, &doc.id, key);
		world_put(w, key, peer_doc_encode(&doc));
	}
}

static void put_volume(struct tenant *t)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct world *w = t->world;
	char key[META_KEY_MAX];

	if (!doc)
		abort();
	snprintf(doc->name, sizeof(doc->name), "%s", t->name);
	doc->id = t->id;
	doc->size = t->blocks * BLOCK_SIZE;
	doc->replication = t->replication;
	doc->chunk_blocks = w->chunk_blocks;
	doc->tail.first = 1;
	doc->next_chunk = 1;
	key_volume(&w->cluster, t->name, key);
	world_put(w, key, volume_doc_encode(doc));
	key_volume_id(&w->cluster, t->id, key);
	world_put(w, key, name_encode(t->name));
	key_next_volume(&w->cluster, key);
	world_put(w, key, counter_encode(t->id + 1));
	free(doc);
}

void world_volume_doc(struct tenant *t, struct volume_doc *doc)
{
	struct world *w = t->world;
	char key[META_KEY_MAX];

	key_volume(&w->cluster, t->name, key);
	if (volume_doc_decode(key, sim_meta_value(w->sim, key), doc))
		abort();
	doc->mod_revision = sim_meta_revision(w->sim, key);
}

static void draw_delays(struct world *w)
{
	struct sim_delays *d = sim_delays(w->sim);

	d->net_max = sim_between(w->sim, 100, 2000) * 1000;
	d->disk_max = sim_between(w->sim, 50, 1000) * 1000;
	d->sync_max = sim_between(w->sim, 1, 20) * NSEC_PER_MSEC;
	if (sim_chance(w->sim, 1, 3)) {
		d->net_slow = (uint32_t)sim_between(w->sim, 50, 500);
		d->net_slow_max = sim_between(w->sim, 5, 300) * NSEC_PER_MSEC;
	}
}

/* Disks that answer at once, but for one operation in a while: it is overtaken
 * by what was submitted long after it, syncs included. */
static void draw_stalls(struct world *w)
{
	struct sim_delays *d = sim_delays(w->sim);

	if (!sim_chance(w->sim, 1, 3))
		return;
	d->disk_slow = (uint32_t)sim_between(w->sim, 10, 200);
	d->disk_slow_max = sim_between(w->sim, 10, 300) * NSEC_PER_MSEC;
}

/* Most worlds are small: they are fast, and have most of what can go wrong. */
static void draw_size(struct world *w)
{
	static const struct {
		uint32_t stores_min, stores_max, tenants_min, tenants_max;
	} sizes[] = {
		{ 3, 5, 1, 1 }, { 3, 5, 1, 1 }, { 3, 5, 1, 1 },
		{ 3, 6, 1, 2 }, { 4, 7, 2, 2 }, { 6, STORES_MAX, 1, VOLUMES_MAX },
	};
	uint64_t i = sim_below(w->sim, ARRAY_SIZE(sizes));

	w->store_count = (uint32_t)sim_between(w->sim, sizes[i].stores_min,
					       sizes[i].stores_max);
	w->tenant_count = (uint32_t)sim_between(w->sim, sizes[i].tenants_min,
						sizes[i].tenants_max);
	w->zone_count = (uint32_t)sim_between(w->sim, 1, ZONES_MAX);
	w->replication = sim_chance(w->sim, 1, 3) ? 2 : 3;
	w->chunk_blocks = 256u << sim_below(w->sim, 2);
	if (w->limits.stores)
		w->store_count = MIN(w->store_count, w->limits.stores);
	w->store_count = MAX(w->store_count, w->replication);
	if (w->limits.volumes)
		w->tenant_count = MIN(w->tenant_count, w->limits.volumes);
}

static void draw_world(struct world *w)
{
	struct sim *sim = w->sim;
	unsigned int i;

	draw_size(w);
	w->fault_gap = (uint32_t)sim_between(sim, 10, 60);
	if (w->limits.gap >= 0)
		w->fault_gap = (uint32_t)w->limits.gap;
	w->replica_timeout = sim_between(sim, 100, 600) * NSEC_PER_MSEC;
	w->io_timeout = 30 * NSEC_PER_SEC;
	w->sync_interval = sim_between(sim, 50, 5000) * NSEC_PER_MSEC;
	draw_delays(w);
	maintain_draw(w);
	random_uuid(w, &w->cluster);
	for (i = 0; i < STORES_MAX; i++) {
		random_uuid(w, &w->stores[i].id);
		w->stores[i].zone = i % w->zone_count;
	}
}

static void draw_tenant(struct tenant *t)
{
	struct volume_config *cfg = &t->config;
	struct world *w = t->world;
	struct sim *sim = w->sim;

	t->blocks = sim_between(sim, 256, 1200);
	if (w->tenant_count > 1)
		t->blocks /= 2;
	t->depth = (uint32_t)sim_between(sim, 1, 16);
	t->replication = w->replication;
	if (t->index && w->store_count > 2)
		t->replication = (uint32_t)sim_between(sim, 2, 3);
	snprintf(cfg->name, sizeof(cfg->name), "%s", t->name);
	cfg->replica_timeout_ns = w->replica_timeout;
	cfg->io_timeout_ns = w->io_timeout;
	cfg->map_cache_bytes = sim_between(sim, 8, 64) * BLOCK_SIZE;
	cfg->overlay_bytes = sim_between(sim, 4, 64) << 10;
	cfg->checkpoint_log_bytes = sim_between(sim, 2, 32) << 20;
	cfg->checkpoint_lag_ns = (cfg->checkpoint_log_bytes >> 20) *
				 20 * NSEC_PER_SEC;
	cfg->tail_chunks = sim_between(sim, 2, 6);
	cfg->sync_interval_ns = w->sync_interval;
	cfg->clean_threshold = (uint32_t)sim_between(sim, 1, 40);
}

/* Clocks differ by less than two in 1000. */
void world_draw_clock(struct world *w, struct sim_node *node)
{
	sim_node_clock_rate(node, (int32_t)sim_below(w->sim, 2 * CLOCK_PPM_MAX) -
				  CLOCK_PPM_MAX);
}

static void tenant_init(struct world *w, unsigned int index, const char *name,
			uint32_t replication)
{
	struct tenant *t = &w->tenants[index];
	unsigned int i;

	t->world = w;
	t->index = index;
	t->id = index + 1;
	snprintf(t->name, sizeof(t->name), "%s", name);
	draw_tenant(t);
	if (replication)
		t->replication = replication;
	sim_task_init(w->sim, &t->recovered, recovered_task);
	t->model = model_new(t->blocks * BLOCK_SECTORS, on_fail, w);
	put_volume(t);
	for (i = 0; i < CLIENTS; i++)
		client_init(t, i);
	inspect_tenant(t);
}

struct tenant *world_add_tenant(struct world *w, uint64_t id, const char *name,
				uint32_t replication)
{
	unsigned int index = w->tenant_count++;

	if (index >= TENANTS_MAX || id != index + 1)
		abort();
	world_draw(w, DRAW_TENANT, index);
	tenant_init(w, index, name, replication);
	world_draw_end(w);
	return &w->tenants[index];
}

struct world *world_new(uint64_t seed, const struct world_limits *limits,
			FILE *trace)
{
	struct world *w = calloc(1, sizeof(*w));
	struct store_node *s;
	unsigned int i;
	char name[16];

	if (!w)
		abort();
	w->seed = seed;
	w->limits = *limits;
	w->sim = sim_new(seed);
	sim_trace_live(w->sim, trace);
	sim_log_attach(w->sim);
	sim_fail_hook(w->sim, on_fail, w);
	world_draw(w, DRAW_WORLD, 0);
	draw_world(w);
	for (i = 0; i < w->store_count; i++)
		store_node_init(w, i);
	put_cluster(w);
	put_peers(w);
	rings_put_first(w);
	inspect_init(w);
	for (i = 0; i < w->tenant_count; i++) {
		snprintf(name, sizeof(name), "vol%u", i);
		tenant_init(w, i, name, 0);
	}
	draw_stalls(w);
	world_draw_end(w);
	events_draw(w);
	full_draw(w);
	removal_init(w);
	files_watch(w);
	for_each_store(s, w)
		store_node_start(s);
	return w;
}

void world_free(struct world *w)
{
	struct store_node *s;
	struct tenant *t;
	struct client *c;

	for_each_tenant(t, w)
		for_each_client(c, t)
			client_kill(c, true);
	removal_free(w);
	metaloss_free(w);
	for_each_store(s, w)
		store_node_free(s);
	inspect_free(w);
	for_each_tenant(t, w)
		model_free(t->model);
	sim_free(w->sim);
	free(w);
}

struct tenant *world_any_tenant(struct world *w)
{
	uint32_t count = 0, i;
	struct tenant *t;

	for_each_volume(t, w)
		count++;
	i = (uint32_t)sim_below(w->sim, count);
	for_each_volume(t, w)
		if (!i--)
			return t;
	abort();
}

uint32_t world_replication(struct world *w)
{
	uint32_t most = 0;
	struct tenant *t;

	for_each_volume(t, w)
		most = MAX(most, t->replication);
	return most;
}

void world_draw(struct world *w, enum draw kind, uint64_t number)
{
	sim_random_push(w->sim, w->seed ^ (uint64_t)kind << 56 ^ number << 24);
}

void world_draw_end(struct world *w)
{
	sim_random_pop(w->sim);
}
