/* SPDX-License-Identifier: Apache-2.0 */
/* Whether some peer that answers has a copy of a chunk. */
#ifndef TORUSCTL_LOOKUP_H
#define TORUSCTL_LOOKUP_H

#include "ctl.h"
#include "survey.h"

/**
 * lookup_chunks() - ask the peers that answered @survey, all at once, for at
 * most WIRE_LOOKUP_MAX chunks of one volume.
 * @found: set for those of which one has a copy, good as far as it knows; the
 * others are left as they are.
 * Returns 0, also when nobody answers, or -errno with error text.
 */
int lookup_chunks(struct ctl *ctl, const struct ctl_peer *peers,
		  const struct survey *survey, uint64_t volume,
		  const uint64_t *chunks, uint32_t count, bool *found);

#endif
