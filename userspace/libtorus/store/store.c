// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <stdlib.h>

#include "store/chain.h"
#include "store/chunk.h"
#include "store/open.h"
#include "store/private.h"
#include "store/request.h"
#include "store/server.h"

static void set_defaults(struct store_config *cfg)
{
	if (cfg->sync_interval_ns == 0)
		cfg->sync_interval_ns = STORE_SYNC_INTERVAL;
	if (cfg->chunk_size == 0)
		cfg->chunk_size = STORE_CHUNK_BYTES_MAX;
	if (cfg->near_full_percent == 0)
		cfg->near_full_percent = STORE_NEAR_FULL_PERCENT;
	if (cfg->full_percent == 0)
		cfg->full_percent = STORE_FULL_PERCENT;
	if (cfg->receive_bytes == 0)
		cfg->receive_bytes = STORE_POOL_BYTES;
	if (cfg->send_bytes == 0)
		cfg->send_bytes = STORE_POOL_BYTES;
}

static void init_lists(struct store *store)
{
	list_init(&store->requests);
	list_init(&store->conns);
	list_init(&store->idle_files);
	list_init(&store->starved);
	list_init(&store->detached);
	list_init(&store->walks);
	list_init(&store->walk_queue);
	list_init(&store->volume_deletes);
	list_init(&store->restores);
	list_init(&store->receive.waiters);
	list_init(&store->restore_receive.waiters);
	list_init(&store->send.waiters);
	store_background_init(store);
	store_space_init(store);
	store_copies_init(store);
}

static int allocate(struct store *store)
{
	if (store_journal_init(&store->journal, store) < 0 ||
	    store_pool_init(&store->receive, store->cfg.receive_bytes) < 0 ||
	    store_pool_init(&store->restore_receive,
			    STORE_RESTORE_BYTES) < 0 ||
	    store_pool_init(&store->send, store->cfg.send_bytes) < 0)
		return -1;
	store->record = record_new();
	store->open = calloc(1, sizeof(*store->open));
	if (store->open == NULL || store->record == NULL)
		return -1;
	list_init(&store->open->aside);
	list_init(&store->open->chains);
	return 0;
}

struct store *store_open(struct env *env, const struct store_config *cfg,
			 store_open_fn done, void *ctx)
{
	struct store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->env = env;
	store->cfg = *cfg;
	set_defaults(&store->cfg);
	init_lists(store);
	if (allocate(store) < 0) {
		store_free(store);
		return NULL;
	}
	store_open_start(store, done, ctx);
	return store;
}

static void free_requests(struct store *store)
{
	struct store_request *request, *next;

	list_for_each_entry_safe(request, next, &store->requests, node)
		store_request_free(request);
}

void store_free(struct store *store)
{
	if (store == NULL)
		return;
	env_timer_cancel(store->env, &store->sync_timer);
	env_timer_cancel(store->env, &store->log_timer);
	env_timer_cancel(store->env, &store->space_timer);
	/* Nobody is to be called when buffers come back. */
	store->receive.stopped = true;
	store->restore_receive.stopped = true;
	store->send.stopped = true;
	free(store->close);
	store->close = NULL;
	/* First what points to others, which may be part of a request. */
	store_journal_release(&store->journal);
	store_server_release(store);
	store_walks_release(store);
	free_requests(store);
	store_copies_release(store);
	store_restores_release(store);
	store_volume_deletes_release(store);
	store_detached_release(store);
	store_open_release(store);
	store_index_release(&store->index);
	store_condemned_release(&store->condemned);
	store_documents_release(&store->documents);
	store_pool_release(&store->receive);
	store_pool_release(&store->restore_receive);
	store_pool_release(&store->send);
	if (store->record != NULL)
		record_free(store->record);
	free(store);
}

const struct uuid *store_cluster(const struct store *store)
{
	return &store->cluster;
}

const struct uuid *store_peer(const struct store *store)
{
	return &store->peer;
}

const struct uuid *store_incarnation(const struct store *store)
{
	return &store->incarnation;
}

void store_stats(const struct store *store, struct store_stats *stats)
{
	*stats = store->stats;
	stats->size = store->size;
	stats->used = store_space_used(store);
	stats->chunks = store->index.chunk_count;
	stats->volumes = store->index.count;
}
