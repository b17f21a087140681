// SPDX-License-Identifier: Apache-2.0
/*
 * Ketama whose owners stand apart: the copies of a chunk lie in as many zones
 * as there are, in a zone in as many racks, in a rack on as many hosts.
 *
 * The members come in the order of ketama's walk, but each time the next one
 * is the first of the walk among those whose zone was taken least often so
 * far, of these whose rack was, of these whose host was. So the first R are
 * spread as far as the topology allows, for every R, and a longer answer
 * begins with every shorter one. A member that comes or goes changes the
 * place of little more than its own chunks, since the walk is ketama's.
 *
 * The walk goes only as far as it must: how often the next one's zone, rack
 * and host were taken is known from counts before the member is.
 *
 * A label that is empty is a label: members without a zone share one. A rack
 * is one of its zone, a host one of its rack. Members of weight 0 come last,
 * as with ketama. A zone that has less capacity than its share of the copies
 * fills up first: what is asked for here is safety, not balance.
 */
#include <string.h>

#include "base/cleanup.h"
#include "ring/ring_priv.h"

#define HOST (RING_LEVELS - 1)
#define FAR UINT16_MAX

/* What was taken so far, and who was met but passed over. */
struct spread {
	uint16_t taken[RING_LEVELS][RING_MEMBERS_MAX];	/* by group */
	uint16_t left[RING_MEMBERS_MAX];		/* by host */
	/* of the members with points that are not taken */
	uint16_t waiting[RING_MEMBERS_MAX];
	uint32_t waiting_count;
};

static bool same_place(const struct ring_member *a, const struct ring_member *b,
		       unsigned int level)
{
	return strcmp(a->zone, b->zone) == 0 &&
	       (level < 1 || strcmp(a->rack, b->rack) == 0) &&
	       (level < 2 || strcmp(a->host, b->host) == 0);
}

/* A group's number is its first member's. */
static void build_groups(struct ring *ring, unsigned int level)
{
	const struct ring_member *members = ring->spec.members;
	uint32_t i, j;

	for (i = 0; i < ring->spec.member_count; i++) {
		for (j = 0; j < i; j++)
			if (same_place(&members[i], &members[j], level))
				break;
		ring->group[level][i] = (uint16_t)j;
	}
}

static int zones_build(struct ring *ring)
{
	unsigned int level;

	for (level = 0; level < RING_LEVELS; level++)
		build_groups(ring, level);
	return ring_points_build(ring);
}

static void spread_start(struct spread *s, const struct ring *ring)
{
	uint32_t i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < ring->spec.member_count; i++)
		s->left[ring->group[HOST][i]] += ring->spec.members[i].weight > 0;
}

/*
 * How often zone, rack and host of the next member were taken: the least that
 * one of those who are left can offer, zone before rack before host. Whether
 * anybody is left.
 */
static bool spread_aim(const struct spread *s, const struct ring *ring,
		       uint16_t *aim)
{
	uint32_t i;

	aim[0] = aim[1] = aim[HOST] = FAR;
	for (i = 0; i < ring->spec.member_count; i++) {
		uint16_t key[RING_LEVELS];
		unsigned int level;

		/* Once per host: only its first member has its number. */
		if (s->left[i] == 0)
			continue;
		for (level = 0; level < RING_LEVELS; level++)
			key[level] = s->taken[level][ring->group[level][i]];
		level = 0;
		while (level < HOST && key[level] == aim[level])
			level++;
		if (key[level] < aim[level])
			memcpy(aim, key, sizeof(key));
	}
	return aim[0] != FAR;
}

static bool spread_fits(const struct spread *s, const struct ring *ring,
			uint16_t member, const uint16_t *aim)
{
	unsigned int level;

	for (level = 0; level < RING_LEVELS; level++)
		if (s->taken[level][ring->group[level][member]] != aim[level])
			return false;
	return true;
}

/* The first that fits of those who were passed over. */
static bool spread_waiting(struct spread *s, const struct ring *ring,
			   const uint16_t *aim, uint16_t *member)
{
	uint32_t i;

	for (i = 0; i < s->waiting_count; i++) {
		*member = s->waiting[i];
		if (!spread_fits(s, ring, *member, aim))
			continue;
		s->waiting_count--;
		memmove(&s->waiting[i], &s->waiting[i + 1],
			(s->waiting_count - i) * sizeof(s->waiting[0]));
		return true;
	}
	return false;
}

static bool spread_next(struct spread *s, const struct ring *ring,
			struct ring_walk *walk, uint16_t *member)
{
	uint16_t aim[RING_LEVELS];
	unsigned int level;
	bool found;

	if (!spread_aim(s, ring, aim))
		return false;
	found = spread_waiting(s, ring, aim, member);
	while (!found && ring_walk_next(walk, ring, member)) {
		found = spread_fits(s, ring, *member, aim);
		if (!found)
			s->waiting[s->waiting_count++] = *member;
	}
	if (!found)
		return false;
	for (level = 0; level < RING_LEVELS; level++)
		s->taken[level][ring->group[level][*member]]++;
	s->left[ring->group[HOST][*member]]--;
	return true;
}

static void zones_order(const struct ring *ring, uint64_t volume,
			uint64_t chunk, uint32_t want, uint16_t *order)
{
	uint64_t key = ring_hash_chunk(volume, chunk);
	struct ring_walk walk;
	struct spread spread;
	uint32_t found = 0;

	ring_walk_start(&walk, ring, key);
	spread_start(&spread, ring);
	while (found < want && spread_next(&spread, ring, &walk, &order[found]))
		found++;
	if (found < want)
		ring_append_weightless(ring, key, want, found, order);
}

const struct ring_ops ring_zones_ops = {
	.name = "zones",
	.members_max = RING_MEMBERS_MAX,
	.build = zones_build,
	.order = zones_order,
};
