// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "member/retry.h"

void retry_init(struct retry *retry, struct env *env,
		void (*fn)(struct env_timer *timer))
{
	retry->env = env;
	retry->delay_ns = RETRY_MIN_NS;
	env_timer_init(&retry->timer, fn);
}

void retry_later(struct retry *retry)
{
	env_timer_after(retry->env, &retry->timer, retry->delay_ns);
	retry->delay_ns = MIN(2 * retry->delay_ns, RETRY_MAX_NS);
}

void retry_reset(struct retry *retry)
{
	retry->delay_ns = RETRY_MIN_NS;
}
