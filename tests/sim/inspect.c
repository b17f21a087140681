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
#include "wire/record.h"
#include "world.h"

#define SEEN_ROOM 4096		/* records remembered; a power of two */
#define CHUNKS_ROOM 1024
#define LOOK_BACK 200		/* chunk numbers; some are never used */
#define RECENT (5 * NSEC_PER_SEC)

struct seen {
	uint64_t sequence, chunk;
	uint32_t crc;
};

struct inspect_store {
	struct seen seen[SEEN_ROOM];
	uint32_t next[CHUNKS_ROOM];	/* per chunk: first block not looked at */
	struct record *record;
};

void inspect_init(struct world *w)
{
	unsigned int i;

	w->chunks_seen = calloc(1, CHUNKS_ROOM);
	if (!w->chunks_seen)
		abort();
	for (i = 0; i < w->store_count; i++) {
		w->stores[i].inspect = calloc(1, sizeof(struct inspect_store));
		if (!w->stores[i].inspect)
			abort();
		w->stores[i].inspect->record = record_new();
	}
}

void inspect_free(struct world *w)
{
	unsigned int i;

	ring_free(w->ring);
	free(w->chunks_seen);
	for (i = 0; i < w->store_count; i++) {
		record_free(w->stores[i].inspect->record);
		free(w->stores[i].inspect);
	}
}

void inspect_power_loss(struct store_node *s)
{
	struct record *record = s->inspect->record;

	memset(s->inspect, 0, sizeof(*s->inspect));
	s->inspect->record = record;
}

/* Look at what was added to one chunk's file since the last time. */
static void chunk_update(struct store_node *s, uint64_t volume, uint64_t chunk)
{
	static uint8_t buf[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	uint32_t *next = &s->inspect->next[chunk % CHUNKS_ROOM];
	struct record *r = s->inspect->record;
	struct world *w = s->world;
	struct seen *seen;
	char path[64];
	int64_t n;

	snprintf(path, sizeof(path), "chunks/%016" PRIx64 "/%012" PRIx64,
		 volume, chunk);
	for (;;) {
		n = sim_disk_peek(s->node, path, (uint64_t)*next * BLOCK_SIZE,
				  buf, sizeof(buf), false);
		if (n < BLOCK_SIZE || record_decode(buf, (size_t)n, r) ||
		    r->volume != volume || r->chunk != chunk ||
		    r->block != *next)
			return;
		seen = &s->inspect->seen[r->sequence % SEEN_ROOM];
		/* Of two with one sequence the higher chunk's counts. */
		if (seen->sequence != r->sequence || seen->chunk <= chunk)
			*seen = (struct seen){ r->sequence, chunk, r->crc };
		*next += record_blocks(r);
		w->stats.chunks += !w->chunks_seen[chunk % CHUNKS_ROOM];
		w->chunks_seen[chunk % CHUNKS_ROOM] = 1;
	}
}

static const struct seen *find(const struct store_node *s,
			       struct log_position at)
{
	const struct seen *seen = &s->inspect->seen[at.sequence % SEEN_ROOM];

	if (seen->sequence == at.sequence && seen->crc == at.header_crc)
		return seen;
	return NULL;
}

static void update_all(struct world *w, const struct volume_doc *doc)
{
	uint64_t chunk, first = doc->next_chunk > LOOK_BACK ?
				doc->next_chunk - LOOK_BACK : 1;
	unsigned int i;

	for (i = 0; i < w->store_count; i++)
		for (chunk = first; chunk < doc->next_chunk; chunk++)
			chunk_update(&w->stores[i], doc->id, chunk);
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

static struct ring *ring_of(struct world *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];
	struct ring *ring = NULL;

	key_ring(&w->cluster, key);
	if (!doc || ring_doc_decode(key, sim_meta_value(w->sim, key), doc) ||
	    ring_create(&doc->current, &ring))
		abort();
	free(doc);
	return ring;
}

/* Every declared member of @chunk has the record. */
static void demand_members(struct world *w, const struct volume_doc *doc,
			   uint64_t chunk, struct log_position at)
{
	struct uuid members[RING_REPLICATION_MAX];
	struct store_node *s;
	uint32_t i, count;

	if (!w->ring)
		w->ring = ring_of(w);
	count = ring_ensemble(w->ring, doc->id, chunk, doc->replication,
			      doc->tail.excluded, doc->tail.excluded_count,
			      members);
	for (i = 0; i < count; i++) {
		s = store_of(w, &members[i]);
		if (!find(s, at) && !excused(s))
			world_fail(w, "record %" PRIu64 " of chunk %" PRIu64
				   " was acknowledged, but %s has not got it",
				   at.sequence, chunk,
				   sim_node_name(s->node));
	}
}

void inspect_acknowledged(struct client *c, struct log_position at)
{
	const struct volume_doc *doc = volume_doc(c->volume);
	const struct seen *seen = NULL;
	struct world *w = c->world;
	unsigned int i, have = 0, lost = 0;

	if (!at.sequence)
		return;
	update_all(w, doc);
	for (i = 0; i < w->store_count; i++) {
		if (find(&w->stores[i], at)) {
			seen = find(&w->stores[i], at);
			have++;
		} else {
			lost += excused(&w->stores[i]);
		}
	}
	if (seen && seen->chunk >= doc->tail.first &&
	    seen->chunk <= doc->tail.last)
		demand_members(w, doc, seen->chunk, at);
	else if (have + lost < w->replication / 2 + 1)
		world_fail(w, "record %" PRIu64 " was acknowledged, but only "
			   "%u stores have it", at.sequence, have);
}

/* The chain of records in one file: where it ends, and with what. */
static void dump_chunk(struct store_node *s, uint64_t chunk, FILE *out)
{
	static uint8_t buf[RECORD_HEADER_BLOCKS_MAX * BLOCK_SIZE];
	struct record *r = s->inspect->record;
	uint64_t first = 0, last = 0, epoch = 0;
	uint32_t block = 0;
	char path[64];
	int64_t n;

	snprintf(path, sizeof(path), "chunks/%016x/%012" PRIx64, 1, chunk);
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
	fprintf(out, "%s chunk %" PRIu64 ": %u blocks, records %" PRIu64 "-%"
		PRIu64 ", epoch %" PRIu64 "%s\n", sim_node_name(s->node),
		chunk, block, first, last, epoch,
		block && (r->flags & RECORD_LAST) ? ", last" : "");
}

void inspect_dump(struct world *w, FILE *out)
{
	char key[META_KEY_MAX];
	uint64_t chunk;
	unsigned int i;

	key_volume(&w->cluster, VOLUME_NAME, key);
	fprintf(out, "%s\n", sim_meta_value(w->sim, key));
	for (i = 0; i < w->store_count; i++) {
		char id[UUID_TEXT_SIZE];

		uuid_format(&w->stores[i].id, id);
		fprintf(out, "%s = %s\n", sim_node_name(w->stores[i].node), id);
	}
	for (chunk = 1; chunk < CHUNKS_ROOM; chunk++)
		for (i = 0; i < w->store_count; i++)
			dump_chunk(&w->stores[i], chunk, out);
}
