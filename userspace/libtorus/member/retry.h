/* SPDX-License-Identifier: Apache-2.0 */
/* A wait that doubles with every failure. */
#ifndef TORUS_MEMBER_RETRY_H
#define TORUS_MEMBER_RETRY_H

#include "env/env.h"

#define RETRY_MIN_NS NSEC_PER_SEC
#define RETRY_MAX_NS (30 * NSEC_PER_SEC)

struct retry {
	struct env_timer timer;
	struct env *env;
	uint64_t delay_ns;
};

/** retry_init() - @fn is called when a wait is over. */
void retry_init(struct retry *retry, struct env *env,
		void (*fn)(struct env_timer *timer));

/** retry_later() - begin the next wait, of RETRY_MIN_NS to RETRY_MAX_NS. */
void retry_later(struct retry *retry);

/** retry_reset() - it worked: the next wait is short again. */
void retry_reset(struct retry *retry);

#endif
