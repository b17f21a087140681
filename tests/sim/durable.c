// SPDX-License-Identifier: Apache-2.0
/*
 * What a loss of power would leave, asked at the moment when a promise is made:
 * when a flush or a FUA write is acknowledged, and when a new owner is about to
 * serve what it found. Waiting for the loss itself would show a broken promise
 * only when the right stores lost power before the next sync.
 *
 * Demanded of every record that is covered: all declared members have it, as
 * long as its chunk is in the tail; else min_replicas stores, whoever they are
 * by now (invariant 1). Records are followed backwards by the CRC of the
 * previous header, so that none that was cut off passes for the one that counts.
 * What lies before the published root may be garbage by now. A sealed
 * copy on the store whose disk rots may have been as good.
 */
#include <inttypes.h>

#include "base/cleanup.h"
#include "world.h"

static bool has_durable(const struct store_node *s, const struct tenant *t,
			struct log_position at)
{
	const struct inspect_seen *seen = inspect_find(s, t, at);
	char path[64];

	if (!seen)
		return false;
	inspect_chunk_path(t, seen->chunk, path);
	return sim_disk_durable(s->node, path, (uint64_t)seen->block * BLOCK_SIZE,
				(uint64_t)seen->blocks * BLOCK_SIZE);
}

static uint32_t count_durable(struct tenant *t, struct log_position at)
{
	struct store_node *s;
	uint32_t count = 0;

	for_each_store(s, t->world)
		count += has_durable(s, t, at);
	return count;
}

/* Where a store has lost power since the last look, it is looked at again. */
static bool shows_durable(const struct store_node *s, struct tenant *t,
			  uint64_t chunk, struct log_position at)
{
	if (!inspect_find(s, t, at))
		inspect_update(t, chunk, chunk + 1);
	return has_durable(s, t, at);
}

static void demand_members(struct client *c, const struct inspect_seen *seen,
			   struct log_position at, const char *when)
{
	struct store_node *members[RING_REPLICATION_MAX];
	struct tenant *t = c->tenant;
	uint32_t i, count;

	count = inspect_members(t, volume_doc(c->volume), seen->chunk, members);
	for (i = 0; i < count; i++)
		if (!shows_durable(members[i], t, seen->chunk, at))
			world_fail(t->world, "%s: record %" PRIu64 " of chunk %"
				   PRIu64 " of %s is not durable on %s", when,
				   at.sequence, seen->chunk, t->name,
				   sim_node_name(members[i]->node));
}

/* Copies may have moved, or been made, since the last look. */
static void demand_copies(struct client *c, const struct inspect_seen *seen,
			  struct log_position at, const char *when)
{
	struct tenant *t = c->tenant;
	const struct store_node *rotten = t->world->rotten;
	uint32_t need = t->replication / 2 + 1, have = count_durable(t, at);

	if (have < need) {
		inspect_update(t, seen->chunk, seen->chunk + 1);
		have = count_durable(t, at);
	}
	if (have < need && rotten)
		have += !has_durable(rotten, t, at);
	if (have < need)
		world_fail(t->world, "%s: record %" PRIu64 " of chunk %" PRIu64
			   " of %s is durable on %u stores, not on %u", when,
			   at.sequence, seen->chunk, t->name, have, need);
}

static const struct inspect_seen *anybody_has(const struct tenant *t,
					      struct log_position at)
{
	const struct inspect_seen *seen;
	struct store_node *s;

	for_each_store(s, t->world) {
		seen = inspect_find(s, t, at);
		if (seen)
			return seen;
	}
	return NULL;
}

static const struct inspect_seen *look_for(struct client *c,
					   struct log_position at)
{
	const struct volume_doc *doc = volume_doc(c->volume);
	const struct inspect_seen *seen = anybody_has(c->tenant, at);

	if (!seen)
		inspect_update(c->tenant, doc->tail.first, doc->next_chunk);
	if (!seen)
		seen = anybody_has(c->tenant, at);
	if (!seen)
		inspect_update_older(c->tenant, doc);
	return seen ? seen : anybody_has(c->tenant, at);
}

/*
 * Whether the members are known that it was promised on. The writer may have to
 * hear yet that a transaction of its own has sealed the chunk; its tail's ring
 * may be forgotten by then.
 */
static bool is_in_tail(const struct client *c, uint64_t chunk)
{
	const struct tail *tail = &volume_doc(c->volume)->tail;

	return chunk >= tail->first && chunk <= tail->last &&
	       inspect_ring(c->world, tail->ring_version);
}

/* Of all records up to @at, which was promised to @c. */
static void demand(struct client *c, struct log_position at, const char *when)
{
	const struct volume_doc *doc = volume_doc(c->volume);
	uint64_t done = MAX(c->durable, doc->root.sequence);
	const struct inspect_seen *seen;

	c->durable = MAX(c->durable, at.sequence);
	for (; at.sequence > done && !c->world->failed; at.sequence--) {
		seen = look_for(c, at);
		if (!seen) {
			world_fail(c->world, "%s: nobody has record %" PRIu64
				   " of %s", when, at.sequence,
				   c->tenant->name);
			return;
		}
		if (is_in_tail(c, seen->chunk))
			demand_members(c, seen, at, when);
		else
			demand_copies(c, seen, at, when);
		at.header_crc = seen->prev_crc;
	}
}

void durable_attached(struct client *c)
{
	if (!c->tenant->deleted)
		demand(c, volume_acknowledged(c->volume), "a new owner serves");
}

/*
 * Not from the newest that is acknowledged by now: a later write that was not
 * flushed may be gone from everywhere when the promise is heard, if all stores
 * lost power before a helper that hung read their answers. A change without a
 * record of its own promises what it came after.
 */
static struct log_position fua_position(const struct client_op *op)
{
	struct log_position at = { op->req.sequence, op->req.header_crc };

	return at.sequence > op->covers.sequence ? at : op->covers;
}

void durable_done(const struct client_op *op)
{
	struct client *c = op->client;

	if (client_superseded(c))
		return;
	if (op->req.op == VOLUME_FLUSH)
		demand(c, op->covers, "flushed");
	else if (op->req.fua)
		demand(c, fua_position(op), "FUA");
}
