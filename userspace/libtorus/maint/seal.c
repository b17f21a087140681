// SPDX-License-Identifier: Apache-2.0
/*
 * Open copies that missed their SEAL, where nobody has a sealed one that could
 * take their place, and it is known how much of the chunk counts: the store
 * seals its own. What is to come of the chunk then is decided like after any
 * other seal: the copy is pushed to those that lack it.
 */
#include "maint/private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define AGAIN	(30 * NSEC_PER_SEC)

struct seal {
	struct list_head node;		/* maint->sealing */
	struct item *item;
	struct store_copy_op op;
};

static void report(struct item *item, int err)
{
	struct maint *m = item->maint;

	switch (err) {
	case 0:
		m->sealed_chunks++;
		log_info("volume %016" PRIx64 ", chunk %" PRIu64 ": the copy here had missed its seal; nobody has a good sealed one, so it is sealed at what counts",
			 item->volume, item->chunk);
		item_again(item);
		break;
	case -EALREADY:
	case -EUCLEAN:			/* it asks others now, see scrub.c */
	case -ENOENT:
		item_settled(item);
		break;
	case -ECANCELED:		/* a later epoch: to be learned again */
		garbage_want(&m->garbage);
		item_settled(item);
		break;
	case -EILSEQ:
		m->conflicts++;
		log_error("volume %016" PRIx64 ", chunk %" PRIu64 ": the open copy here does not have the records that count; it is left as it is",
			  item->volume, item->chunk);
		item_settled(item);
		break;
	default:
		log_warning("volume %016" PRIx64 ", chunk %" PRIu64 ": a copy that missed its seal cannot be sealed (%s); trying again",
			    item->volume, item->chunk, strerror(-err));
		/* fall through */
	case -EBUSY:
		item_later(item, AGAIN);
		break;
	}
	maint_kick(m);
}

static void done(struct store_copy_op *op, int err)
{
	struct seal *s = op->ctx;
	struct item *item = s->item;

	list_del_init(&s->node);
	free(s);
	item->maint->sealing_count--;
	report(item, err);
}

static void start(struct maint *m, struct item *item)
{
	struct seal *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		item_later(item, AGAIN);
		return;
	}
	item_begin(item, ITEM_SEALING);
	s->item = item;
	s->op.volume = item->volume;
	s->op.chunk = item->chunk;
	s->op.end_crc = item->end_crc;
	s->op.done = done;
	s->op.ctx = s;
	list_add_tail(&s->node, &m->sealing);
	m->sealing_count++;
	store_copy_seal(m->store, &s->op);
}

void seal_turn(struct maint *m)
{
	while (m->sealing_count < MAINT_SEALS && !list_empty(&m->seals))
		start(m, list_first_entry(&m->seals, struct item, node));
}

void seal_release(struct maint *m)
{
	struct seal *s, *next;

	list_for_each_entry_safe(s, next, &m->sealing, node) {
		store_copy_cancel(m->store, &s->op);
		free(s);
	}
}
