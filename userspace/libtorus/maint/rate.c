// SPDX-License-Identifier: Apache-2.0
/*
 * How fast copies are made: a bucket of tokens, filled at one rate while clients
 * use this store or that of the peer which gets the copy, and at another (or
 * none: no limit) while they do not. Which of the two it is the stores know, from
 * what moves through them; a peer says so with each piece that it takes.
 *
 * While clients are there, pieces are small and come one by one, evenly: a store
 * has one loop, and what a client asks for waits while a piece is looked at.
 */
#include "maint/private.h"

#include "base/cleanup.h"

#define WINDOW_NS	NSEC_PER_SEC
#define BURST_PIECES	2u

bool rate_busy(struct maint *m, const struct maint_peer *p)
{
	return store_has_clients(m->store) ||
	       (p != NULL && p->clients_until > env_now(m->env));
}

uint32_t rate_piece(struct maint *m, const struct maint_peer *p)
{
	return rate_busy(m, p) ? MAINT_PIECE_BUSY : MAINT_PIECE_BLOCKS;
}

uint64_t rate_wait(struct maint *m, const struct maint_peer *p, uint32_t bytes)
{
	struct rate *r = &m->rate;
	uint64_t limit = rate_busy(m, p) ? m->cfg.rate_busy : m->cfg.rate_idle;
	uint64_t most = (uint64_t)BURST_PIECES * rate_piece(m, p) * BLOCK_SIZE;
	uint64_t now = env_now(m->env), elapsed, missing;

	if (limit == 0)
		return 0;
	elapsed = MIN(now - r->filled, NSEC_PER_SEC);
	r->tokens += limit * (elapsed / 1000) / (NSEC_PER_SEC / 1000);
	r->tokens = MIN(r->tokens, most);
	r->filled = now;
	if (r->tokens >= bytes) {
		r->tokens -= bytes;
		return 0;
	}
	missing = bytes - r->tokens;
	return MAX(missing * NSEC_PER_SEC / limit, NSEC_PER_MSEC);
}

static void roll(struct rate *r, uint64_t now)
{
	uint64_t elapsed = now - r->window_start, speed;

	if (elapsed < WINDOW_NS)
		return;
	speed = r->window_bytes * 1000 / (elapsed / NSEC_PER_MSEC);
	/* What happened before a long silence says nothing. */
	r->speed = elapsed > 10 * WINDOW_NS || r->speed == 0 ? speed :
		   (3 * r->speed + speed) / 4;
	r->window_start = now;
	r->window_bytes = 0;
}

void rate_done(struct maint *m, uint32_t bytes)
{
	roll(&m->rate, env_now(m->env));
	m->rate.window_bytes += bytes;
}

uint64_t rate_speed(struct maint *m)
{
	struct rate *r = &m->rate;

	roll(r, env_now(m->env));
	/* Between two copies it is the same speed, for what is left of them. */
	return m->push_count > 0 ? r->speed : 0;
}
