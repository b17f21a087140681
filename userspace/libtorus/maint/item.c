// SPDX-License-Identifier: Apache-2.0
/*
 * The chunks that are not settled. An item exists from the moment that there
 * is reason to look at a chunk until there is nothing to be done about it:
 *
 *	LATER --> READY --> ASKED --> (settled: freed)
 *	  ^         ^         |---> PUSH --> PUSHING --+
 *	  |         |         |---> DROP --> DROPPING -+
 *	  |         |         |---> SEAL --> SEALING --+
 *	  |         +---------|------------------------+
 *	  +-------------------+
 *
 * Those in LATER, DROP and SEAL are bounded in number, and so are those in PUSH, of
 * which the one with the most copies gives way to one with fewer. A walk finds
 * what found no room once there is some.
 */
#include "maint/private.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"

static uint64_t item_hash(uint64_t volume, uint64_t chunk)
{
	return hash_u64_pair(volume, chunk);
}

struct item *item_find(struct maint *m, uint64_t volume, uint64_t chunk)
{
	struct hash_node *n = hash_first(&m->items, item_hash(volume, chunk));

	for (; n != NULL; n = hash_next(n)) {
		struct item *item = container_of(n, struct item, by_chunk);

		if (item->volume == volume && item->chunk == chunk)
			return item;
	}
	return NULL;
}

static uint64_t item_bytes(const struct item *item)
{
	return (uint64_t)item->length * BLOCK_SIZE;
}

static bool is_parked(enum item_state state)
{
	return state == ITEM_LATER || state == ITEM_DROP ||
	       state == ITEM_SEAL;
}

/* What the counters say of a state; @sign is 1 or -1. */
static void count(struct item *item, int sign)
{
	struct maint *m = item->maint;
	uint64_t bytes = item_bytes(item) * (uint64_t)sign;

	if (is_parked(item->state))
		m->parked += (uint32_t)sign;
	if (item->state == ITEM_PUSH)
		m->queued += (uint32_t)sign;
	switch (item->state) {
	case ITEM_PUSH:
	case ITEM_PUSHING:
		m->push_count += (uint32_t)sign;
		m->push_bytes += bytes;
		if (item->copies < item->replication)
			m->short_count += (uint64_t)sign;
		break;
	case ITEM_DROP:
	case ITEM_DROPPING:
		m->drop_count += (uint32_t)sign;
		m->drop_bytes += bytes;
		break;
	default:
		break;
	}
}

static void enter(struct item *item, enum item_state state,
		  struct list_head *list)
{
	env_timer_cancel(item->maint->env, &item->later);
	count(item, -1);
	item->state = state;
	count(item, 1);
	list_del_init(&item->node);
	if (list != NULL)
		list_add_tail(&item->node, list);
}

void item_walked(struct item *item)
{
	if (!item->walked)
		item->maint->walked++;
	item->walked = true;
}

static void item_free(struct item *item)
{
	struct maint *m = item->maint;

	m->walked -= item->walked;
	env_timer_cancel(m->env, &item->later);
	count(item, -1);
	list_del_init(&item->node);
	hash_remove(&m->items, &item->by_chunk);
	free(item);
}

static void make_ready(struct item *item)
{
	item->again = false;
	enter(item, ITEM_READY, &item->maint->ready);
	maint_kick(item->maint);
}

static void later_fired(struct env_timer *timer)
{
	make_ready(container_of(timer, struct item, later));
}

struct item *item_new(struct maint *m, uint64_t volume, uint64_t chunk)
{
	struct item *item = calloc(1, sizeof(*item));

	if (item == NULL) {
		m->overflow = true;
		return NULL;
	}
	item->maint = m;
	item->volume = volume;
	item->chunk = chunk;
	item->state = ITEM_READY;
	list_init(&item->node);
	env_timer_init(&item->later, later_fired);
	hash_insert(&m->items, &item->by_chunk, item_hash(volume, chunk));
	list_add_tail(&item->node, &m->ready);
	return item;
}

/* No room for it: a walk comes by when there is some. */
static void give_up(struct item *item)
{
	struct maint *m = item->maint;

	m->overflow = true;
	if (item->state == ITEM_PUSH || item->state == ITEM_PUSHING) {
		m->over_chunks++;
		m->over_bytes += item_bytes(item);
	}
	item_free(item);
}

static bool have_room(const struct maint *m)
{
	return m->parked < m->parked_max;
}

/* The item that waits to be pushed and has the most copies, more than
 * @copies, makes room. */
static bool make_room(struct maint *m, uint8_t copies)
{
	unsigned int i;

	for (i = RING_REPLICATION_MAX; i > copies; i--) {
		if (list_empty(&m->pushes[i]))
			continue;
		give_up(list_last_entry(&m->pushes[i], struct item, node));
		return true;
	}
	return false;
}

void item_look(struct maint *m, uint64_t volume, uint64_t chunk,
	       uint64_t delay_ns)
{
	struct item *item = item_find(m, volume, chunk);
	uint64_t when = env_now(m->env) + delay_ns;

	if (item != NULL && item->state == ITEM_LATER) {
		env_timer_set_by(m->env, &item->later, when);
		return;
	}
	if (item != NULL) {
		item->again = true;
		return;
	}
	if (!have_room(m)) {
		m->overflow = true;
		return;
	}
	item = item_new(m, volume, chunk);
	if (item == NULL)
		return;
	enter(item, ITEM_LATER, NULL);
	env_timer_set(m->env, &item->later, when);
}

void item_settled(struct item *item)
{
	if (item->again)
		make_ready(item);
	else
		item_free(item);
}

void item_later(struct item *item, uint64_t delay_ns)
{
	if (item->again) {
		make_ready(item);
		return;
	}
	if (!have_room(item->maint)) {
		give_up(item);
		return;
	}
	if (item->tries < UINT8_MAX)
		item->tries++;
	enter(item, ITEM_LATER, NULL);
	env_timer_after(item->maint->env, &item->later, delay_ns);
}

void item_push(struct item *item, struct maint_peer *target)
{
	struct maint *m = item->maint;
	uint8_t copies = MIN(item->copies, (uint8_t)RING_REPLICATION_MAX);

	item->copies = copies;
	if (m->queued >= m->queued_max && !make_room(m, copies)) {
		enter(item, ITEM_PUSH, NULL);
		give_up(item);
		return;
	}
	item->target = target;
	enter(item, ITEM_PUSH, &m->pushes[copies]);
	maint_kick(m);
}

void item_drop(struct item *item)
{
	struct maint *m = item->maint;

	if (!have_room(m)) {
		give_up(item);
		return;
	}
	enter(item, ITEM_DROP, &m->drops);
	maint_kick(m);
}

void item_seal(struct item *item)
{
	struct maint *m = item->maint;

	if (!have_room(m)) {
		give_up(item);
		return;
	}
	enter(item, ITEM_SEAL, &m->seals);
	maint_kick(m);
}

bool item_avoid(struct item *item, struct maint_peer *peer)
{
	unsigned int i;

	for (i = 0; i < MAINT_AVOID_MAX; i++)
		if (item->avoid[i] == NULL || item->avoid[i] == peer) {
			item->avoid[i] = peer;
			return true;
		}
	return false;
}

void item_begin(struct item *item, enum item_state state)
{
	enter(item, state, NULL);
}

void item_again(struct item *item)
{
	make_ready(item);
}

/* Those that are at work look again when they are done. */
void items_forget(struct maint *m)
{
	struct hash_node *n = hash_walk(&m->items, NULL), *next;

	for (; n != NULL; n = next) {
		struct item *item = container_of(n, struct item, by_chunk);

		next = hash_walk(&m->items, n);
		if (is_parked(item->state) || item->state == ITEM_PUSH ||
		    item->state == ITEM_READY)
			item_free(item);
		else
			item->again = true;
	}
}

int items_init(struct maint *m)
{
	unsigned int i;

	m->parked_max = MAINT_PARKED_MAX;
	m->queued_max = MAINT_PARKED_MAX;
	list_init(&m->ready);
	list_init(&m->drops);
	list_init(&m->seals);
	for (i = 0; i < ARRAY_SIZE(m->pushes); i++)
		list_init(&m->pushes[i]);
	return hash_init(&m->items, 64);
}

void items_release(struct maint *m)
{
	struct hash_node *n = hash_walk(&m->items, NULL), *next;

	for (; n != NULL; n = next) {
		next = hash_walk(&m->items, n);
		item_free(container_of(n, struct item, by_chunk));
	}
	hash_release(&m->items);
}
