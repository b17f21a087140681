// SPDX-License-Identifier: Apache-2.0
/*
 * Copies that do not belong here, on their way out. Whether it still holds that
 * they do not is asked by the store in the step that unlinks: the ring must be
 * the one that all owners follow, and what they said not be old.
 */
#include "maint/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"

#define GOOD_FOR	(30 * NSEC_PER_SEC)
#define AGAIN		(30 * NSEC_PER_SEC)

struct drop {
	struct list_head node;		/* maint->dropping */
	struct item *item;
	struct store_copy_op op;
};

bool drop_unasked(const struct item *item)
{
	struct store_volume_seen seen;

	store_volume_seen(item->maint->store, item->volume, &seen);
	return seen.epoch <= item->epoch_limit;
}

static bool holds(const struct item *item)
{
	const struct maint *m = item->maint;

	return !item->again && item->ring_version == m->ring_version &&
	       env_now(m->env) - item->looked < GOOD_FOR && drop_unasked(item);
}

static bool still(struct store_copy_op *op)
{
	const struct drop *d = op->ctx;

	return holds(d->item);
}

static void report(struct item *item, int err)
{
	struct maint *m = item->maint;

	if (err == 0) {
		m->dropped_chunks++;
		item_settled(item);
	} else if (err == -ECANCELED) {
		item_again(item);
	} else if (err == -ENOENT) {
		item_settled(item);
	} else if (err == -EBUSY) {
		item_later(item, AGAIN);
	} else {
		log_warning("volume %016" PRIx64 ", chunk %" PRIu64 ": a copy that does not belong here cannot be removed (error %d); trying again",
			    item->volume, item->chunk, err);
		item_later(item, AGAIN);
	}
	maint_kick(m);
}

static void done(struct store_copy_op *op, int err)
{
	struct drop *d = op->ctx;
	struct item *item = d->item;

	list_del_init(&d->node);
	free(d);
	item->maint->dropping_count--;
	report(item, err);
}

static void start(struct maint *m, struct item *item)
{
	struct drop *d;

	if (!holds(item)) {
		item_again(item);
		return;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		item_later(item, AGAIN);
		return;
	}
	item_begin(item, ITEM_DROPPING);
	d->item = item;
	d->op.volume = item->volume;
	d->op.chunk = item->chunk;
	d->op.still = still;
	d->op.done = done;
	d->op.ctx = d;
	list_add_tail(&d->node, &m->dropping);
	m->dropping_count++;
	store_copy_delete(m->store, &d->op);
}

void drop_turn(struct maint *m)
{
	while (m->dropping_count < MAINT_DROPS && !list_empty(&m->drops))
		start(m, list_first_entry(&m->drops, struct item, node));
}

void drop_release(struct maint *m)
{
	struct drop *d, *next;

	list_for_each_entry_safe(d, next, &m->dropping, node) {
		store_copy_cancel(m->store, &d->op);
		free(d);
	}
}
