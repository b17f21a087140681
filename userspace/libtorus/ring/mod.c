// SPDX-License-Identifier: Apache-2.0
/*
 * Round robin: chunk n of a volume begins at member (hash(volume) + n) modulo
 * the number of members, in order of their uuids, and goes on from there.
 * Evener than ketama and easy to follow by hand, but blind to capacities, and
 * any change of the members moves almost everything.
 */
#include <string.h>

#include "ring/ring_priv.h"

static int mod_build(struct ring *ring)
{
	const struct ring_member *members = ring->spec.members;
	uint32_t i, j;

	/* By insertion: there are at most RING_MEMBERS_MAX. */
	for (i = 0; i < ring->spec.member_count; i++) {
		for (j = i; j > 0; j--) {
			uint16_t before = ring->sorted[j - 1];

			if (memcmp(&members[before].peer, &members[i].peer,
				   sizeof(struct uuid)) < 0)
				break;
			ring->sorted[j] = before;
		}
		ring->sorted[j] = (uint16_t)i;
	}
	return 0;
}

static void mod_order(const struct ring *ring, uint64_t volume, uint64_t chunk,
		      uint32_t want, uint16_t *order)
{
	uint32_t count = ring->spec.member_count, i;
	uint64_t start = hash_u64(volume) % count + chunk % count;

	for (i = 0; i < want; i++)
		order[i] = ring->sorted[(start + i) % count];
}

const struct ring_ops ring_mod_ops = {
	.name = "mod",
	.members_max = RING_MEMBERS_MAX,
	.build = mod_build,
	.order = mod_order,
};
