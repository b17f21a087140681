// SPDX-License-Identifier: Apache-2.0
/* One peer that has everything: for trying things out on one machine. */
#include "ring/ring_priv.h"

static void single_order(const struct ring *ring, uint64_t volume,
			 uint64_t chunk, uint32_t want, uint16_t *order)
{
	order[0] = 0;
}

const struct ring_ops ring_single_ops = {
	.name = "single",
	.members_max = 1,
	.order = single_order,
};
