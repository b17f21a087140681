// SPDX-License-Identifier: Apache-2.0
/*
 * Choosing a peer. In the normal case the choice is among a small group whose
 * members all have the chunk: the writer's own ensemble for open chunks, else
 * the owners by the current ring, or the one peer that had it when the owners
 * did not. Within the group the blocks are spread by their position (64 blocks
 * go to the same peer, so that read-ahead in a store still works), unless that
 * peer is more than twice as costly as the cheapest; cost = smoothed latency *
 * calls outstanding. Every 32nd choice keeps to the spread anyway, so that a
 * peer that was slow once gets measured again; but none goes to a peer that
 * lets a hedged call wait (reader_hedge.c), while there is another.
 *
 * When nobody of the group is left, all peers are walked in the order of the
 * design: current ring, previous ring, everybody else who is known.
 */
#include "volume/reader_peers.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "volume/reader_private.h"

#define SPREAD_BLOCKS	64u
#define REMEASURE	32u
#define COST_NOT_UP	NSEC_PER_SEC

/* The index of a peer, which is added where it is new. */
static uint32_t peer_index(struct reader *reader, struct peer *peer)
{
	struct reader_peers *peers = &reader->peers;

	for (uint32_t i = 0; i < peers->count; i++)
		if (peers->peer[i].peer == peer)
			return i;
	if (peers->count == READER_PEERS_MAX)
		return PEER_NONE;
	peers->peer[peers->count].peer = peer;
	return peers->count++;
}

static uint32_t uuid_index(struct reader *reader, const struct uuid *id)
{
	struct peer *peer = peer_find(cluster_peers(reader->cluster), id);

	return peer ? peer_index(reader, peer) : PEER_NONE;
}

static uint32_t replication(const struct reader *reader,
			    const struct ring_spec *spec)
{
	uint32_t n = reader->cfg.replication ? reader->cfg.replication :
		     spec->replication;

	return MIN(n, RING_REPLICATION_MAX);
}

static struct chunk_hint *hint_slot(struct reader *reader, uint64_t volume,
				    uint64_t chunk)
{
	return &reader->peers.hint[hash_u64_pair(volume, chunk) % READER_HINTS];
}

static void fill_hint(struct reader *reader, struct chunk_hint *hint)
{
	const struct ring *ring = cluster_ring(reader->cluster);
	const struct ring_spec *spec = ring_spec(ring);
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t n = ring_permutation(ring, hint->volume, hint->chunk, order);

	hint->ring_version = spec->version;
	hint->owner_count = 0;
	n = MIN(n, replication(reader, spec));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t peer = uuid_index(reader,
					   &spec->members[order[i]].peer);

		if (peer != PEER_NONE)
			hint->owner[hint->owner_count++] = peer;
	}
}

static struct chunk_hint *get_hint(struct reader *reader, uint64_t volume,
				   uint64_t chunk)
{
	struct chunk_hint *hint = hint_slot(reader, volume, chunk);
	uint64_t version = ring_spec(cluster_ring(reader->cluster))->version;

	if (hint->chunk != chunk || hint->volume != volume) {
		*hint = (struct chunk_hint){
			.volume = volume, .chunk = chunk, .had = PEER_NONE,
		};
		fill_hint(reader, hint);
	} else if (hint->ring_version != version) {
		fill_hint(reader, hint);
	}
	return hint;
}

bool reader_owns(struct reader *reader, uint64_t volume, uint64_t chunk,
		 uint32_t peer)
{
	const struct chunk_hint *hint = get_hint(reader, volume, chunk);

	for (uint32_t i = 0; i < hint->owner_count; i++)
		if (hint->owner[i] == peer)
			return true;
	return false;
}

void reader_hint_had(struct reader *reader, uint64_t volume, uint64_t chunk,
		     uint32_t peer)
{
	get_hint(reader, volume, chunk)->had = peer;
}

void reader_hint_drop(struct reader *reader, uint64_t volume, uint64_t chunk,
		      uint32_t peer)
{
	struct chunk_hint *hint = hint_slot(reader, volume, chunk);

	if (hint->volume == volume && hint->chunk == chunk &&
	    hint->had == peer)
		hint->had = PEER_NONE;
}

/* The peers that should all have the chunk. */
static uint32_t find_group(struct reader *reader, uint64_t volume,
			   uint64_t chunk, uint32_t *group)
{
	struct uuid id[RING_REPLICATION_MAX];
	struct chunk_hint *hint;
	uint32_t n = 0, count = 0;

	if (reader->cfg.holders && volume == reader->cfg.volume)
		n = reader->cfg.holders(reader->cfg.ctx, chunk, id,
					RING_REPLICATION_MAX);
	for (uint32_t i = 0; i < n; i++) {
		group[count] = uuid_index(reader, &id[i]);
		count += group[count] != PEER_NONE;
	}
	if (count)
		return count;
	hint = get_hint(reader, volume, chunk);
	if (hint->had != PEER_NONE) {
		group[0] = hint->had;
		return 1;
	}
	for (uint32_t i = 0; i < hint->owner_count; i++)
		group[i] = hint->owner[i];
	return hint->owner_count;
}

static bool may_ask(const struct reader *reader, uint32_t i,
		    const struct peer_bits *bad, const struct peer_bits *tried)
{
	return i != PEER_NONE && !peer_bit(bad, i) && !peer_bit(tried, i) &&
	       peer_usable(reader->peers.peer[i].peer);
}

static uint64_t cost(const struct reader_peer *p)
{
	uint64_t latency = MAX(p->latency, (uint64_t)1);

	if (peer_state(p->peer) != PEER_UP || p->overdue > 0)
		latency += COST_NOT_UP;
	return latency * (p->outstanding + 1);
}

static uint32_t choose_in_group(struct reader *reader, const uint32_t *group,
				uint32_t count, uint64_t spread,
				const struct peer_bits *bad,
				const struct peer_bits *tried)
{
	struct reader_peers *peers = &reader->peers;
	uint32_t best = PEER_NONE, first = PEER_NONE;

	for (uint32_t n = 0; n < count; n++) {
		uint32_t i = group[(spread + n) % count];

		if (!may_ask(reader, i, bad, tried))
			continue;
		if (first == PEER_NONE)
			first = i;
		if (best == PEER_NONE ||
		    cost(&peers->peer[i]) < cost(&peers->peer[best]))
			best = i;
	}
	if (best == PEER_NONE)
		return PEER_NONE;
	if (peer_state(peers->peer[first].peer) == PEER_UP &&
	    peers->peer[first].overdue == 0 && ++peers->choices % REMEASURE == 0)
		return first;
	return cost(&peers->peer[first]) / 2 > cost(&peers->peer[best]) ?
	       best : first;
}

static uint32_t choose_by_ring(struct reader *reader, const struct ring *ring,
			       uint64_t volume, uint64_t chunk,
			       const struct peer_bits *bad,
			       const struct peer_bits *tried)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t n = ring ? ring_permutation(ring, volume, chunk, order) : 0;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = uuid_index(reader,
				&ring_spec(ring)->members[order[k]].peer);

		if (may_ask(reader, i, bad, tried))
			return i;
	}
	return PEER_NONE;
}

static void add_known_peer(void *ctx, const struct peer_doc *doc, bool alive)
{
	(void)alive;
	uuid_index(ctx, &doc->id);
}

uint32_t reader_choose(struct reader *reader, uint64_t volume, uint64_t chunk,
		       uint32_t block, const struct peer_bits *bad,
		       const struct peer_bits *tried)
{
	const struct ring *ring = cluster_ring(reader->cluster);
	const struct ring *previous =
		cluster_ring_version(reader->cluster,
				     ring_spec(ring)->version - 1);
	uint32_t group[RING_REPLICATION_MAX];
	uint32_t count = find_group(reader, volume, chunk, group);
	uint64_t spread = hash_u64_pair(chunk, block / SPREAD_BLOCKS);
	uint32_t i = choose_in_group(reader, group, count, spread, bad, tried);

	if (i == PEER_NONE)
		i = choose_by_ring(reader, ring, volume, chunk, bad, tried);
	if (i == PEER_NONE)
		i = choose_by_ring(reader, previous, volume, chunk, bad, tried);
	if (i != PEER_NONE)
		return i;
	cluster_for_each_peer(reader->cluster, add_known_peer, reader);
	for (i = 0; i < reader->peers.count; i++)
		if (may_ask(reader, i, bad, tried))
			return i;
	return PEER_NONE;
}

uint32_t reader_choose_second(struct reader *reader, uint64_t volume,
			      uint64_t chunk, uint32_t block,
			      const struct peer_bits *bad,
			      const struct peer_bits *tried)
{
	uint32_t group[RING_REPLICATION_MAX];
	uint32_t count = find_group(reader, volume, chunk, group);
	uint64_t spread = hash_u64_pair(chunk, block / SPREAD_BLOCKS);
	uint32_t i = choose_in_group(reader, group, count, spread, bad, tried);

	if (i == PEER_NONE ||
	    peer_state(reader->peers.peer[i].peer) != PEER_UP ||
	    reader->peers.peer[i].overdue > 0)
		return PEER_NONE;
	return i;
}

struct all_bad {
	struct reader *reader;
	const struct peer_bits *bad;
	uint32_t seen;
	bool all;
};

static void check_bad(struct all_bad *check, const struct uuid *id)
{
	uint32_t i = uuid_index(check->reader, id);

	check->seen++;
	if (i == PEER_NONE || !peer_bit(check->bad, i))
		check->all = false;
}

static void check_doc(void *ctx, const struct peer_doc *doc, bool alive)
{
	(void)alive;
	check_bad(ctx, &doc->id);
}

/*
 * A member of the current ring without a document is one that the watch has
 * not told of yet. One of the previous ring only has been forgotten: nothing
 * waits for what it holds.
 */
bool reader_all_bad(struct reader *reader, const struct peer_bits *bad)
{
	const struct ring_spec *spec = ring_spec(cluster_ring(reader->cluster));
	struct all_bad check = { .reader = reader, .bad = bad, .all = true };

	cluster_for_each_peer(reader->cluster, check_doc, &check);
	for (uint32_t i = 0; i < spec->member_count; i++)
		check_bad(&check, &spec->members[i].peer);
	return check.seen && check.all;
}

void reader_peer_answered(struct reader *reader, uint32_t peer,
			  uint64_t latency)
{
	struct reader_peer *p = &reader->peers.peer[peer];

	p->outstanding--;
	if (!latency)
		return;
	p->latency = p->latency ? p->latency - p->latency / 8 + latency / 8 :
		     latency;
}
