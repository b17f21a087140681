// SPDX-License-Identifier: Apache-2.0
/*
 * When to try a peer again. The delay doubles with every failure in a row, and
 * is cut by up to a quarter at random, so that the volumes that lost a peer at
 * one moment do not all come back to it at another.
 *
 * A connection alone ends no row of failures: a peer whose disk hangs accepts
 * connections and answers HELLO. An answered call does, and so does a
 * connection that stood for longer than the longest delay.
 */
#include "peer/peer_priv.h"

#include "base/cleanup.h"

#define BACKOFF_MIN NSEC_PER_SEC
#define BACKOFF_MAX (60 * NSEC_PER_SEC)

static void retry_fired(struct env_timer *timer)
{
	peer_conn_start(container_of(timer, struct peer, retry));
}

void peer_backoff_init(struct peer *peer)
{
	env_timer_init(&peer->retry, retry_fired);
}

void peer_backoff_begin(struct peer *peer)
{
	struct env *env = peer->set->env;
	uint64_t now = env_now(env), delay = BACKOFF_MIN, chance;
	unsigned int i;

	if (peer->state == PEER_UP && now - peer->up_since >= BACKOFF_MAX)
		peer->failures = 0;
	for (i = 0; i < peer->failures && delay < BACKOFF_MAX; i++)
		delay *= 2;
	delay = MIN(delay, BACKOFF_MAX);
	env_random(env, &chance, sizeof(chance));
	delay -= chance % (delay / 4);
	peer->failures++;
	env_timer_set(env, &peer->retry, now + delay);
}

void peer_backoff_reset(struct peer *peer)
{
	peer->failures = 0;
	env_timer_cancel(peer->set->env, &peer->retry);
}

bool peer_backoff_running(const struct peer *peer)
{
	return env_timer_armed(&peer->retry);
}
