/* SPDX-License-Identifier: Apache-2.0 */
/* Whether some peer that answers has a copy of a chunk. */
#ifndef TORUSCTL_LOOKUP_H
#define TORUSCTL_LOOKUP_H

#include "ctl.h"
#include "survey.h"

/* The best copy that was found; in order. */
enum lookup_copy { LOOKUP_NONE, LOOKUP_BAD, LOOKUP_GOOD };

/**
 * lookup_chunks() - ask the peers that answered @survey, all at once, for at
 * most WIRE_LOOKUP_MAX chunks of one volume.
 * @found: the best copy of each, as far as who has it knows; never gets worse.
 * Returns how many peers did not answer, or -errno with error text.
 */
int lookup_chunks(struct ctl *ctl, struct cluster *cluster,
		  const struct ctl_peer *peers, const struct survey *survey,
		  uint64_t volume, const uint64_t *chunks, uint32_t count,
		  enum lookup_copy *found);

#endif
