/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_SIM_SHRINK_H
#define TORUS_SIM_SHRINK_H

#include "world.h"

#define SHRINK_FAULTS_MAX 4096u

/**
 * shrink_seed() - look for a smaller world that fails in the same way, for at
 * most @seconds, and print the command that replays it.
 * Returns false, having said so, if @seed does not fail within @limits.
 */
bool shrink_seed(uint64_t seed, const struct world_limits *limits,
		 unsigned int seconds);

#endif
