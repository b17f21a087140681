// SPDX-License-Identifier: Apache-2.0
/*
 * The list of active chunks and what may be said about their durability. The
 * calls embedded in the members are sync.c's; here they are only cancelled.
 */
#include "volume/active.h"

#include <errno.h>
#include <stdlib.h>

#include "volume/copy.h"
#include "volume/internal.h"

void active_init(struct volume *v)
{
	list_init(&v->active.chunks);
	v->active.count = 0;
}

void active_release(struct volume *v)
{
	struct active_chunk *chunk, *next;

	list_for_each_entry_safe(chunk, next, &v->active.chunks, node)
		active_drop(chunk);
}

static void member_init(struct active_chunk *chunk, struct active_member *m,
			const struct uuid *id)
{
	m->id = *id;
	m->peer = peer_find(cluster_peers(chunk->volume->cluster), id);
	m->chunk = chunk;
}

struct active_chunk *active_open(struct volume *v, uint64_t number, int *err)
{
	struct uuid ids[RING_REPLICATION_MAX];
	struct active_chunk *chunk;
	uint32_t count, i;

	count = tail_ensemble(v, &v->doc, number, ids);
	if (count < v->min_replicas) {
		*err = -ENOENT;
		return NULL;
	}
	chunk = calloc(1, sizeof(*chunk));
	if (chunk == NULL) {
		*err = -ENOMEM;
		return NULL;
	}
	chunk->volume = v;
	chunk->number = number;
	chunk->member_count = count;
	for (i = 0; i < count; i++)
		member_init(chunk, &chunk->members[i], &ids[i]);
	list_add_tail(&chunk->node, &v->active.chunks);
	v->active.count++;
	return chunk;
}

struct active_chunk *active_find(struct volume *v, uint64_t number)
{
	struct active_chunk *chunk;

	list_for_each_entry(chunk, &v->active.chunks, node)
		if (chunk->number == number)
			return chunk;
	return NULL;
}

void active_set_state(struct active_chunk *chunk, enum active_state state)
{
	if (state == ACTIVE_SEALED && chunk->state != ACTIVE_SEALED)
		chunk->volume->active.count--;
	chunk->state = state;
}

void active_drop(struct active_chunk *chunk)
{
	struct volume *v = chunk->volume;
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++) {
		if (!chunk->members[i].busy)
			continue;
		peer_call_cancel(&chunk->members[i].call);
		if (chunk->members[i].in_round)
			v->sync.busy--;
	}
	if (chunk->copy != NULL)
		copy_cancel(chunk->copy);
	peer_call_cancel(&chunk->search);
	if (chunk->state != ACTIVE_SEALED)
		v->active.count--;
	list_del_init(&chunk->node);
	free(chunk);
}

struct active_member *active_member_of(struct active_chunk *chunk,
				       const struct uuid *id)
{
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++)
		if (uuid_equal(&chunk->members[i].id, id))
			return &chunk->members[i];
	return NULL;
}

bool active_is_extra(const struct active_chunk *chunk, const struct uuid *id)
{
	uint32_t i;

	for (i = 0; i < chunk->extra_count; i++)
		if (uuid_equal(&chunk->extra[i], id))
			return true;
	return false;
}

void active_add_extra(struct active_chunk *chunk, const struct uuid *id)
{
	if (!active_is_extra(chunk, id) &&
	    chunk->extra_count < RING_REPLICATION_MAX)
		chunk->extra[chunk->extra_count++] = *id;
}

bool active_durable_all(const struct active_chunk *chunk, uint32_t length)
{
	uint32_t i;

	for (i = 0; i < chunk->member_count; i++)
		if (chunk->members[i].durable < length)
			return false;
	return true;
}

uint32_t active_copies(const struct active_chunk *chunk)
{
	uint32_t i, count = chunk->extra_count;

	for (i = 0; i < chunk->member_count; i++)
		if (!chunk->members[i].gone &&
		    chunk->members[i].durable >= chunk->length)
			count++;
	return count;
}

bool active_durable(const struct active_chunk *chunk, uint32_t length)
{
	switch (chunk->state) {
	case ACTIVE_OPEN:
		return active_durable_all(chunk, length);
	case ACTIVE_SEALED:
		return active_copies(chunk) >= chunk->volume->min_replicas;
	case ACTIVE_CLOSING:
		break;
	}
	return false;
}

static bool endangered(const struct active_chunk *chunk)
{
	uint32_t i;

	if (chunk->state == ACTIVE_OPEN || active_copies(chunk) > 0)
		return false;
	for (i = 0; i < chunk->member_count; i++)
		if (!chunk->members[i].failed && !chunk->members[i].gone)
			return false;
	return true;
}

bool active_endangered(const struct volume *v)
{
	const struct active_chunk *chunk;

	list_for_each_entry(chunk, &v->active.chunks, node)
		if (endangered(chunk))
			return true;
	return false;
}

int active_answered(struct active_member *member,
		    const struct uuid *incarnation)
{
	if (uuid_equal(&member->incarnation, incarnation))
		return 0;
	if (!uuid_is_null(&member->incarnation) &&
	    member->acked > member->durable)
		return -ESTALE;
	member->incarnation = *incarnation;
	return 0;
}
