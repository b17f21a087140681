/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which peer to ask for a chunk: those that surely have it, then the owners by
 * the current ring, by the previous one, and every other peer there is.
 */
#ifndef TORUS_VOLUME_READER_PEERS_H
#define TORUS_VOLUME_READER_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "peer/peer.h"
#include "ring/ring.h"

#define READER_PEERS_MAX 512u
#define READER_HINTS	 512u
#define PEER_NONE	 UINT32_MAX

struct reader;

struct peer_bits {
	uint64_t word[READER_PEERS_MAX / 64];
};

static inline bool peer_bit(const struct peer_bits *bits, uint32_t i)
{
	return bits->word[i / 64] >> i % 64 & 1;
}

static inline void peer_bit_set(struct peer_bits *bits, uint32_t i)
{
	bits->word[i / 64] |= 1ull << i % 64;
}

struct reader_peer {
	struct peer *peer;
	uint32_t outstanding;
	uint32_t overdue;		/* of these, hedged */
	uint64_t latency;		/* smoothed, ns; 0 = not known */
};

/* What is known of one chunk; a slot is shared by many chunks. */
struct chunk_hint {
	uint64_t volume, chunk;		/* chunk 0 = empty */
	uint64_t ring_version;
	uint32_t owner_count;
	uint16_t owner[RING_REPLICATION_MAX];
	uint32_t had;			/* peer that had it, unlike others */
};

struct reader_peers {
	uint32_t count;
	uint64_t choices;
	struct reader_peer peer[READER_PEERS_MAX];
	struct chunk_hint hint[READER_HINTS];
};

/**
 * reader_choose() - the best usable peer that is in neither set.
 * @block: spreads the blocks of a chunk over its holders.
 * Returns its index, or PEER_NONE.
 */
uint32_t reader_choose(struct reader *reader, uint64_t volume, uint64_t chunk,
		       uint32_t block, const struct peer_bits *bad,
		       const struct peer_bits *tried);

/** reader_choose_second() - likewise, of those only that should all have the
 * chunk and are connected: for a hedge. */
uint32_t reader_choose_second(struct reader *reader, uint64_t volume,
			      uint64_t chunk, uint32_t block,
			      const struct peer_bits *bad,
			      const struct peer_bits *tried);

/** reader_all_bad() - every peer of the current ring, and every other one that
 * the cluster knows, is in @bad. */
bool reader_all_bad(struct reader *reader, const struct peer_bits *bad);

/** reader_owns() - by the current ring it should have the chunk. */
bool reader_owns(struct reader *reader, uint64_t volume, uint64_t chunk,
		 uint32_t peer);

/** reader_hint_had() - @peer had the chunk where another did not. */
void reader_hint_had(struct reader *reader, uint64_t volume, uint64_t chunk,
		     uint32_t peer);

/** reader_hint_drop() - forget that, if it was @peer. */
void reader_hint_drop(struct reader *reader, uint64_t volume, uint64_t chunk,
		      uint32_t peer);

/** reader_peer_answered() - one call to @peer ended; @latency 0: unanswered. */
void reader_peer_answered(struct reader *reader, uint32_t peer,
			  uint64_t latency);

#endif
