// SPDX-License-Identifier: Apache-2.0
/* The ring of a cluster that has no peers yet: it answers with nobody. */
#include "ring/ring_priv.h"

const struct ring_ops ring_empty_ops = {
	.name = "empty",
	.members_max = 0,
};
