// SPDX-License-Identifier: Apache-2.0
/*
 * Consistent hashing with many points per peer, after ketama (Richard Jones,
 * "libketama: a consistent hashing algo for memcache clients", Last.fm, 2007),
 * which follows Karger et al., "Consistent Hashing and Random Trees", 1997.
 *
 * Every member has points on a circle of 64-bit numbers, as many as its share
 * of the capacity of all: POINTS_PER_MEMBER where all are equal. A chunk's
 * permutation is the order in which a walk upwards from the chunk's hash meets
 * the members for the first time. As in ketama the number of points is
 * relative to the mean capacity, so that a new peer moves its own share, and,
 * where it is not of mean size, at most about as much again between others.
 *
 * Against the original: the hash is SplitMix64's finaliser instead of MD5,
 * and shares are rounded integers instead of floating point, since the same
 * spec must give the same answer on every machine.
 *
 * A member of weight 0 has no points and owns nothing as long as others can:
 * it comes last. Several of those are ordered by their hash with the chunk.
 * Nor does it count for the mean, so that the others keep their points when a
 * member is drained, and again when it is removed.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ring/ring_priv.h"

#define POINTS_PER_MEMBER 512u

/* A point: the upper 48 bits of its place, and whose it is. */
#define POINT_MEMBER_MASK 0xffffull

static_assert(RING_MEMBERS_MAX <= POINT_MEMBER_MASK + 1, "a member fits");

static unsigned __int128 total_weight(const struct ring_spec *spec,
				      uint32_t *weighty)
{
	unsigned __int128 total = 0;
	uint32_t i;

	*weighty = 0;
	for (i = 0; i < spec->member_count; i++) {
		total += spec->members[i].weight;
		*weighty += spec->members[i].weight > 0;
	}
	return total;
}

/*
 * The share of a member of @weight among @weighty members, to the nearest
 * integer. At most 2^64 times 2^17 points: far from an overflow.
 */
static uint32_t points_of(uint64_t weight, unsigned __int128 total,
			  uint32_t weighty)
{
	unsigned __int128 share = (unsigned __int128)weight * weighty *
				  POINTS_PER_MEMBER;
	uint32_t points = (uint32_t)((share + total / 2) / total);

	return points == 0 && weight > 0 ? 1 : points;
}

static int compare_points(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Points are hashes, evenly spread over 64 bits. So they are first thrown into
 * about as many slices of the circle as there are points, and what few share
 * one are then put in order: linear time, ten times faster than qsort() for
 * the rings that are built whenever a program starts.
 */
static int sort_points(uint64_t *points, uint32_t count)
{
	unsigned int bits = count > 2 ? 31 - (unsigned int)__builtin_clz(count) : 1;
	uint32_t *start = calloc((1ull << bits) + 1, sizeof(*start));
	uint64_t *from = malloc(count * sizeof(*from)), point;
	uint32_t i, j;

	if (start == NULL || from == NULL) {
		free(start);
		free(from);
		return -ENOMEM;
	}
	memcpy(from, points, count * sizeof(*from));
	for (i = 0; i < count; i++)
		start[(from[i] >> (64 - bits)) + 1]++;
	for (i = 1; i <= 1u << bits; i++)
		start[i] += start[i - 1];
	for (i = 0; i < count; i++)
		points[start[from[i] >> (64 - bits)]++] = from[i];
	for (i = 1; i < count; i++) {
		point = points[i];
		for (j = i; j > 0 && points[j - 1] > point; j--)
			points[j] = points[j - 1];
		points[j] = point;
	}
	free(start);
	free(from);
	return 0;
}

int ring_points_build(struct ring *ring)
{
	const struct ring_spec *spec = &ring->spec;
	uint32_t i, j, weighty, count = 0;
	unsigned __int128 total = total_weight(spec, &weighty);

	if (total == 0)
		return error_set(-EINVAL, "ring version %" PRIu64 ": every member has weight 0, one at least must have capacity",
				 spec->version);
	for (i = 0; i < spec->member_count; i++)
		count += points_of(spec->members[i].weight, total, weighty);
	ring->points = calloc(count, sizeof(*ring->points));
	if (ring->points == NULL)
		return -ENOMEM;
	for (i = 0; i < spec->member_count; i++) {
		uint32_t points = points_of(spec->members[i].weight, total,
					    weighty);
		uint64_t peer = ring_hash_peer(&spec->members[i].peer);

		for (j = 0; j < points; j++)
			ring->points[ring->point_count++] =
				(hash_u64_pair(peer, j) & ~POINT_MEMBER_MASK) |
				i;
	}
	return sort_points(ring->points, count);
}

/* Index of the first point at or above @place; 0 beyond the last one. */
static uint32_t first_point(const struct ring *ring, uint64_t place)
{
	uint32_t low = 0, high = ring->point_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ring->points[middle] < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low == ring->point_count ? 0 : low;
}

void ring_append_weightless(const struct ring *ring, uint64_t key,
			    uint32_t want, uint32_t found, uint16_t *order)
{
	uint64_t rank[RING_MEMBERS_MAX];
	uint32_t i, count = 0;

	for (i = 0; i < ring->spec.member_count; i++) {
		const struct ring_member *m = &ring->spec.members[i];

		if (m->weight == 0)
			rank[count++] = (hash_u64_pair(ring_hash_peer(&m->peer),
						       key) &
					 ~POINT_MEMBER_MASK) | i;
	}
	qsort(rank, count, sizeof(rank[0]), compare_points);
	for (i = 0; i < count && found < want; i++)
		order[found++] = (uint16_t)(rank[i] & POINT_MEMBER_MASK);
}

void ring_walk_start(struct ring_walk *walk, const struct ring *ring,
		     uint64_t key)
{
	walk->at = first_point(ring, key);
	walk->steps = 0;
	memset(walk->seen, 0, sizeof(walk->seen));
}

bool ring_walk_next(struct ring_walk *walk, const struct ring *ring,
		    uint16_t *member)
{
	while (walk->steps < ring->point_count) {
		*member = ring->points[walk->at] & POINT_MEMBER_MASK;
		walk->at = walk->at + 1 == ring->point_count ? 0 : walk->at + 1;
		walk->steps++;
		if (!walk->seen[*member]) {
			walk->seen[*member] = true;
			return true;
		}
	}
	return false;
}

static void ketama_order(const struct ring *ring, uint64_t volume,
			 uint64_t chunk, uint32_t want, uint16_t *order)
{
	uint64_t key = ring_hash_chunk(volume, chunk);
	struct ring_walk walk;
	uint32_t found = 0;

	ring_walk_start(&walk, ring, key);
	while (found < want && ring_walk_next(&walk, ring, &order[found]))
		found++;
	if (found < want)
		ring_append_weightless(ring, key, want, found, order);
}

const struct ring_ops ring_ketama_ops = {
	.name = "ketama",
	.members_max = RING_MEMBERS_MAX,
	.build = ring_points_build,
	.order = ketama_order,
};
