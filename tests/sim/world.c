// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ring/ring.h"

#define VOLUME_ID 1

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
	faults_recovered(container_of(task, struct world, recovered));
}

static void random_uuid(struct world *w, struct uuid *id)
{
	size_t i;

	for (i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)sim_random(w->sim);
	uuid_from_random(id);
}

/* Put the text that an encoder made, and free it. */
static void put(struct world *w, const char *key, char *text)
{
	if (!text)
		abort();
	sim_meta_put(w->sim, key, text);
	free(text);
}

static void put_cluster(struct world *w)
{
	struct cluster_doc doc = {
		.id = w->cluster, .replication = w->replication,
		.chunk_size = (uint64_t)w->chunk_blocks * BLOCK_SIZE,
	};

	put(w, KEY_CLUSTER, cluster_doc_encode(&doc));
}

static void put_ring(struct world *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];
	unsigned int i;

	if (!doc)
		abort();
	doc->current.version = 1;
	doc->current.type = sim_chance(w->sim, 1, 3) ? RING_MOD : RING_KETAMA;
	doc->current.replication = w->replication;
	doc->current.member_count = w->store_count;
	for (i = 0; i < w->store_count; i++) {
		doc->current.members[i].peer = w->stores[i].id;
		doc->current.members[i].weight = 1ull << 30;
	}
	key_ring(&w->cluster, key);
	put(w, key, ring_doc_encode(doc));
	free(doc);
}

static void put_peers(struct world *w)
{
	struct peer_doc doc;
	char key[META_KEY_MAX];
	unsigned int i;

	for (i = 0; i < w->store_count; i++) {
		memset(&doc, 0, sizeof(doc));
		doc.id = w->stores[i].id;
		snprintf(doc.address, sizeof(doc.address), "%s",
			 w->stores[i].address);
		doc.size = 1ull << 30;
		key_peer(&w->cluster, &doc.id, key);
		put(w, key, peer_doc_encode(&doc));
	}
}

static void put_volume(struct world *w)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	if (!doc)
		abort();
	snprintf(doc->name, sizeof(doc->name), VOLUME_NAME);
	doc->id = VOLUME_ID;
	doc->size = w->blocks * BLOCK_SIZE;
	doc->replication = w->replication;
	doc->chunk_blocks = w->chunk_blocks;
	doc->tail.first = 1;
	doc->next_chunk = 1;
	key_volume(&w->cluster, VOLUME_NAME, key);
	put(w, key, volume_doc_encode(doc));
	key_volume_id(&w->cluster, VOLUME_ID, key);
	put(w, key, name_encode(VOLUME_NAME));
	key_next_volume(&w->cluster, key);
	put(w, key, counter_encode(VOLUME_ID + 1));
	free(doc);
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

static void draw_config(struct world *w)
{
	struct volume_config *cfg = &w->config;
	struct sim *sim = w->sim;

	w->store_count = (unsigned int)sim_between(sim, 3, STORES_MAX);
	w->replication = sim_chance(sim, 1, 3) ? 2 : 3;
	w->chunk_blocks = 256u << sim_below(sim, 2);
	w->blocks = sim_between(sim, 256, 1200);
	w->depth = (uint32_t)sim_between(sim, 1, 16);
	w->fault_gap = (uint32_t)sim_between(sim, 10, 60);
	w->replica_timeout = sim_between(sim, 100, 600) * NSEC_PER_MSEC;
	w->io_timeout = 30 * NSEC_PER_SEC;
	snprintf(cfg->name, sizeof(cfg->name), VOLUME_NAME);
	cfg->replica_timeout_ns = w->replica_timeout;
	cfg->io_timeout_ns = w->io_timeout;
	cfg->map_cache_bytes = sim_between(sim, 8, 64) * BLOCK_SIZE;
	cfg->overlay_bytes = sim_between(sim, 4, 64) << 10;
	cfg->checkpoint_log_bytes = sim_between(sim, 2, 32) << 20;
	cfg->tail_chunks = sim_between(sim, 2, 6);
	cfg->sync_interval_ns = sim_between(sim, 50, 5000) * NSEC_PER_MSEC;
}

struct world *world_new(uint64_t seed, uint32_t target, FILE *trace)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned int i;

	if (!w)
		abort();
	w->seed = seed;
	w->target = target;
	w->sim = sim_new(seed);
	sim_trace_live(w->sim, trace);
	sim_log_attach(w->sim);
	sim_fail_hook(w->sim, on_fail, w);
	sim_task_init(w->sim, &w->recovered, recovered_task);
	draw_config(w);
	draw_delays(w);
	random_uuid(w, &w->cluster);
	w->model = model_new(w->blocks * BLOCK_SECTORS, on_fail, w);
	for (i = 0; i < w->store_count; i++) {
		store_node_init(w, i);
		random_uuid(w, &w->stores[i].id);
	}
	put_cluster(w);
	put_ring(w);
	put_peers(w);
	put_volume(w);
	inspect_init(w);
	for (i = 0; i < w->store_count; i++)
		store_node_start(&w->stores[i]);
	for (i = 0; i < CLIENTS; i++)
		client_init(w, i);
	return w;
}

void world_free(struct world *w)
{
	unsigned int i;

	for (i = 0; i < CLIENTS; i++)
		client_kill(&w->clients[i], false);
	for (i = 0; i < w->store_count; i++)
		store_node_free(&w->stores[i]);
	inspect_free(w);
	model_free(w->model);
	sim_free(w->sim);
	free(w);
}
