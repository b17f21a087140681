// SPDX-License-Identifier: Apache-2.0
/*
 * Invariant 1 from outside: when the engine acknowledges a record, every
 * member of its chunk's ensemble has it in its file. Read from the disks of
 * the stores, header by header as the files grow, without asking anybody.
 *
 * A store that lost power in the meantime may have lost it since; a chunk that
 * has been sealed in the metadata since is no longer in the tail, and then
 * min_replicas copies are demanded.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "store/private.h"
#include "wire/record.h"
#include "world.h"

#define SEEN_ROOM 4096		/* records remembered; a power of two */
#define CHUNKS_ROOM 1024
#define LOOK_BACK 200		/* chunk numbers; some are never used */
#define CLOSED UINT32_MAX
#define RECENT (5 * NSEC_PER_SEC)

struct inspect_store {
	struct inspect_seen seen[SEEN_ROOM];
	struct {
		uint64_t chunk;		/* whose place this is */
		uint32_t block;		/* the first one not looked at */
	} next[CHUNKS_ROOM];
};

static struct inspect_store *inspect_new(void)
{
	struct inspect_store *in = calloc(1, sizeof(*in));

	if (!in)
		abort();
	return in;
}

void inspect_chunk_path(const struct tenant *t, uint64_t chunk, char path[64])
{
	snprintf(path, 64, "chunks/%016" PRIx64 "/%012" PRIx64, t->id, chunk);
}

void inspect_init(struct world *w)
{
	w->record = record_new();
	if (!w->record)
		abort();
}

void inspect_tenant(struct tenant *t)
{
	struct store_node *s;

	t->chunks_seen = calloc(1, CHUNKS_ROOM);
	if (!t->chunks_seen)
		abort();
	for_each_store(s, t->world)
		s->inspect[t->index] = inspect_new();
}

void inspect_free(struct world *w)
{
	struct store_node *s;
	struct tenant *t;

	ring_free(w->rings[0]);
	ring_free(w->rings[1]);
	record_free(w->record);
	for_each_tenant(t, w) {
		free(t->chunks_seen);
		for_each_store(s, w)
			free(s->inspect[t->index]);
	}
}

void inspect_power_loss(struct store_node *s)
{
	struct tenant *t;

	for_each_tenant(t, s->world)
		memset(s->inspect[t->index], 0, sizeof(*s->inspect[0]));
}

/* Look at what was added to one chunk's file since the last time. */
static void chunk_update(struct store_node *s, struct tenant *t, uint64_t chunk)
{
	static uint8_t buf[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	struct inspect_store *in = s->inspect[t->index];
	uint32_t *next = &in->next[chunk % CHUNKS_ROOM].block;
	struct world *w = s->world;
	struct record *r = w->record;
	struct inspect_seen *seen;
	char path[64];
	int64_t n;

	if (in->next[chunk % CHUNKS_ROOM].chunk != chunk) {
		in->next[chunk % CHUNKS_ROOM].chunk = chunk;
		*next = 0;
	}
	if (*next == CLOSED)
		return;
	inspect_chunk_path(t, chunk, path);
	for (;;) {
		n = sim_disk_peek(s->node, path, (uint64_t)*next * BLOCK_SIZE,
				  buf, sizeof(buf), false);
		if (n < BLOCK_SIZE || record_decode(buf, (size_t)n, r) ||
		    r->volume != t->id || r->chunk != chunk ||
		    r->block != *next)
			return;
		seen = &in->seen[r->sequence % SEEN_ROOM];
		/* Of two with one sequence the higher chunk's counts. */
		if (seen->sequence != r->sequence || seen->chunk <= chunk)
			*seen = (struct inspect_seen){
				.sequence = r->sequence, .chunk = chunk,
				.block = r->block, .blocks = record_blocks(r),
				.crc = r->crc, .prev_crc = r->prev_crc,
			};
		w->stats.chunks += !t->chunks_seen[chunk % CHUNKS_ROOM];
		t->chunks_seen[chunk % CHUNKS_ROOM] = 1;
		*next += record_blocks(r);
		if (r->flags & RECORD_LAST) {
			*next = CLOSED;
			return;
		}
	}
}

const struct inspect_seen *inspect_find(const struct store_node *s,
					const struct tenant *t,
					struct log_position at)
{
	const struct inspect_seen *seen = &s->inspect[t->index]->
				  seen[at.sequence % SEEN_ROOM];

	if (seen->sequence == at.sequence && seen->crc == at.header_crc)
		return seen;
	return NULL;
}

void inspect_update(struct tenant *t, uint64_t first, uint64_t end)
{
	struct store_node *s;
	uint64_t chunk;

	for_each_store(s, t->world)
		for (chunk = first; chunk < end; chunk++)
			chunk_update(s, t, chunk);
}

static void look_back(struct tenant *t, uint64_t chunk)
{
	inspect_update(t, chunk > LOOK_BACK ? chunk - LOOK_BACK : 1, chunk);
}

/* Rebuilt metadata go on at a number far from the last. */
void inspect_update_older(struct tenant *t, const struct volume_doc *doc)
{
	uint64_t root = block_addr_chunk(doc->root.addr);

	look_back(t, doc->tail.first);
	look_back(t, root);
	look_back(t, root + LOOK_BACK);
}

static struct store_node *store_of(struct world *w, const struct uuid *id)
{
	unsigned int i;

	for (i = 0; i < w->store_count; i++)
		if (uuid_equal(&w->stores[i].id, id))
			return &w->stores[i];
	return NULL;
}

static bool excused(const struct store_node *s)
{
	return s->power_loss &&
	       sim_now(s->world->sim) - s->power_loss < RECENT;
}

static void rings_load(struct world *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	if (!doc || ring_doc_decode(key, sim_meta_value(w->sim, key), doc))
		abort();
	ring_free(w->rings[0]);
	ring_free(w->rings[1]);
	w->rings[0] = w->rings[1] = NULL;
	if (ring_create(&doc->current, &w->rings[0]) ||
	    (doc->has_previous && ring_create(&doc->previous, &w->rings[1])))
		abort();
	free(doc);
}

static const struct ring *rings_find(const struct world *w, uint64_t version)
{
	int i;

	for (i = 0; i < 2; i++)
		if (w->rings[i] && ring_spec(w->rings[i])->version == version)
			return w->rings[i];
	return NULL;
}

/* NULL: forgotten by all. */
const struct ring *inspect_ring(struct world *w, uint64_t version)
{
	const struct ring *ring = rings_find(w, version);

	if (ring)
		return ring;
	rings_load(w);
	return rings_find(w, version);
}

const struct ring *inspect_ring_now(struct world *w)
{
	char key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	if (w->rings_revision != sim_meta_revision(w->sim, key))
		rings_load(w);
	w->rings_revision = sim_meta_revision(w->sim, key);
	return w->rings[0];
}

uint32_t inspect_members(struct tenant *t, const struct volume_doc *doc,
			 uint64_t chunk,
			 struct store_node *members[RING_REPLICATION_MAX])
{
	const struct ring *ring = inspect_ring(t->world, doc->tail.ring_version);
	struct uuid ids[RING_REPLICATION_MAX];
	uint32_t i, count;

	if (!ring) {
		world_fail(t->world, "the log of %s may end under ring version %"
			   PRIu64 ", which is forgotten", t->name,
			   doc->tail.ring_version);
		return 0;
	}
	count = ring_ensemble(ring, doc->id, chunk, doc->replication,
			      doc->tail.excluded, doc->tail.excluded_count,
			      ids);
	for (i = 0; i < count; i++)
		members[i] = store_of(t->world, &ids[i]);
	return count;
}

/* Every declared member of @chunk has the record. */
static void demand_members(struct tenant *t, const struct volume_doc *doc,
			   uint64_t chunk, struct log_position at)
{
	struct store_node *members[RING_REPLICATION_MAX], *s;
	uint32_t i, count = inspect_members(t, doc, chunk, members);

	for (i = 0; i < count; i++) {
		s = members[i];
		if (!inspect_find(s, t, at) && !excused(s))
			world_fail(t->world, "record %" PRIu64 " of chunk %"
				   PRIu64 " was acknowledged, but %s has not got it",
				   at.sequence, chunk,
				   sim_node_name(s->node));
	}
}

/* Who has the record; @lost: of those who have not, how many may have had. */
static unsigned int count_copies(struct tenant *t, struct log_position at,
				 const struct inspect_seen **seen, unsigned int *lost)
{
	const struct inspect_seen *found;
	unsigned int have = 0;
	struct store_node *s;

	*lost = 0;
	for_each_store(s, t->world) {
		found = inspect_find(s, t, at);
		have += found != NULL;
		*lost += !found && excused(s);
		*seen = found ? found : *seen;
	}
	return have;
}

/*
 * A writer that was superseded may still hear old answers, and acknowledge what
 * its successor has recovered: by then maintenance may have moved the chunk,
 * and the ring of the writer's own tail may be forgotten. So of its records
 * only the number of copies is demanded.
 */
void inspect_acknowledged(struct client *c, struct log_position at)
{
	const struct volume_doc *doc = volume_doc(c->volume);
	const struct inspect_seen *seen = NULL;
	struct tenant *t = c->tenant;
	unsigned int have, lost;

	/* Looked at before: it may have been cleaned since. */
	if (!at.sequence || at.sequence == c->inspected || t->deleted ||
	    t->world->meta_lost)
		return;
	c->inspected = at.sequence;
	inspect_update(t, doc->tail.first, doc->next_chunk);
	have = count_copies(t, at, &seen, &lost);
	if (have + lost < t->replication / 2 + 1) {
		inspect_update_older(t, doc);
		have = count_copies(t, at, &seen, &lost);
	}
	if (seen && seen->chunk >= doc->tail.first &&
	    seen->chunk <= doc->tail.last && !client_superseded(c))
		demand_members(t, doc, seen->chunk, at);
	else if (have + lost < t->replication / 2 + 1)
		world_fail(t->world, "record %" PRIu64 " was acknowledged, but "
			   "only %u stores have it", at.sequence, have);
}

/* What the store says of it, if it serves. */
static const char *copy_state(const struct store_node *s,
			      const struct tenant *t, uint64_t chunk)
{
	struct store_copy copy;

	if (!s->serving || !store_copy_get(s->store, t->id, chunk, &copy))
		return "";
	switch (copy.state) {
	case WIRE_COPY_OPEN:
		return copy.settled ? ", open, settled" : ", open";
	case WIRE_COPY_SEALED:
		return ", sealed";
	default:
		return ", bad";
	}
}

/* The chain of records in one file: where it ends, and with what. */
static void dump_chunk(struct store_node *s, const struct tenant *t,
		       uint64_t chunk, FILE *out)
{
	static uint8_t buf[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	struct record *r = s->world->record;
	uint64_t first = 0, last = 0, epoch = 0;
	uint32_t block = 0;
	char path[64];
	int64_t n;

	inspect_chunk_path(t, chunk, path);
	for (;;) {
		n = sim_disk_peek(s->node, path, (uint64_t)block * BLOCK_SIZE,
				  buf, sizeof(buf), false);
		if (n == -ENOENT)
			return;
		if (n < BLOCK_SIZE || record_decode(buf, (size_t)n, r))
			break;
		first = first ? first : r->sequence;
		last = r->sequence;
		epoch = r->epoch;
		block += record_blocks(r);
	}
	fprintf(out, "%s %s chunk %" PRIu64 ": %u blocks, records %" PRIu64 "-%"
		PRIu64 ", epoch %" PRIu64 "%s%s%s\n", sim_node_name(s->node),
		t->name, chunk, block, first, last, epoch,
		block && (r->flags & RECORD_LAST) ? ", last" : "",
		copy_state(s, t, chunk), maintain_does(s, t->id, chunk));
}

static void dump_tenant(struct tenant *t, FILE *out)
{
	struct world *w = t->world;
	char key[META_KEY_MAX];
	struct store_node *s;
	uint64_t chunk;

	key_volume(&w->cluster, t->name, key);
	fprintf(out, "%s\n", sim_meta_value(w->sim, key));
	for (chunk = 1; chunk < CHUNKS_ROOM; chunk++)
		for_each_store(s, w)
			dump_chunk(s, t, chunk, out);
}

static uint64_t in_blocks(uint64_t bytes)
{
	return bytes / BLOCK_SIZE;
}

static void dump_store(struct store_node *s, FILE *out)
{
	char id[UUID_TEXT_SIZE];
	struct store_stats stats;

	uuid_format(&s->id, id);
	fprintf(out, "%s = %s", sim_node_name(s->node), id);
	if (s->serving) {
		store_stats(s->store, &stats);
		fprintf(out, ": %" PRIu64 " of %" PRIu64 " blocks used, %" PRIu64
			" by the journal; room for %" PRIu64,
			in_blocks(stats.used), in_blocks(stats.size),
			in_blocks(sim_disk_bytes(s->node, "journal")),
			in_blocks(store_space_left(s->store)));
	}
	fprintf(out, "%s\n", maintain_busy(s));
}

void inspect_dump(struct world *w, FILE *out)
{
	char key[META_KEY_MAX];
	struct store_node *s;
	struct tenant *t;

	key_ring(&w->cluster, key);
	fprintf(out, "%s\n", sim_meta_value(w->sim, key));
	for_each_store(s, w)
		dump_store(s, out);
	for_each_volume(t, w)
		dump_tenant(t, out);
}
