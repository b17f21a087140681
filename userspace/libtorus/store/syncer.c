// SPDX-License-Identifier: Apache-2.0
#include "store/syncer.h"

#include <assert.h>

#include "base/cleanup.h"

void store_syncer_init(struct store_syncer *syncer,
		       void (*start)(struct store_syncer *syncer),
		       void (*failed)(struct store_syncer *syncer, int err))
{
	*syncer = (struct store_syncer){ .start = start, .failed = failed };
	list_init(&syncer->waiters);
}

static void start_if_wanted(struct store_syncer *syncer)
{
	if (syncer->running || list_empty(&syncer->waiters))
		return;
	syncer->running = true;
	syncer->target = syncer->written;
	syncer->start(syncer);
}

void store_syncer_wait(struct store_syncer *syncer,
		       struct store_sync_wait *wait, uint64_t target)
{
	assert(target > syncer->durable && target <= syncer->written);
	wait->target = target;
	list_add_tail(&wait->node, &syncer->waiters);
	start_if_wanted(syncer);
}

void store_syncer_cut(struct store_syncer *syncer, uint64_t written)
{
	struct store_sync_wait *wait;

	syncer->written = written;
	syncer->target = MIN(syncer->target, written);
	syncer->durable = written;
	list_for_each_entry(wait, &syncer->waiters, node)
		wait->target = MIN(wait->target, written);
}

/* All waiters on failure: what they want was not made durable before either. */
static void take_finished(struct store_syncer *syncer, int err,
			  struct list_head *out)
{
	struct store_sync_wait *wait, *next;

	list_for_each_entry_safe(wait, next, &syncer->waiters, node)
		if (err < 0 || wait->target <= syncer->durable)
			list_move_tail(&wait->node, out);
}

void store_syncer_finish(struct store_syncer *syncer, int err)
{
	struct list_head finished;
	struct store_sync_wait *wait;

	syncer->running = false;
	if (err == 0 && syncer->target > syncer->durable)
		syncer->durable = syncer->target;
	if (err < 0)
		syncer->failed(syncer, err);
	list_init(&finished);
	take_finished(syncer, err, &finished);
	/* The next round runs while these are told. */
	start_if_wanted(syncer);
	while (!list_empty(&finished)) {
		wait = list_first_entry(&finished, struct store_sync_wait, node);
		list_del_init(&wait->node);
		wait->fn(wait, err);
	}
}
