// SPDX-License-Identifier: Apache-2.0
/*
 * How fast copies are made: a bucket of tokens, filled at one rate while clients
 * use this store, and at another (or none: no limit) while they do not. Clients
 * are seen by the bytes that the store counts for them, looked at whenever there
 * is something to send: while there is nothing, nothing runs.
 */
#include "maint/private.h"

#include "base/cleanup.h"

#define LOOK_NS		(100 * NSEC_PER_MSEC)
#define BUSY_NS		(2 * NSEC_PER_SEC)
#define BUSY_BYTES	(64u << 10)	/* less than that is no use of it */
#define WINDOW_NS	NSEC_PER_SEC
#define BURST_BYTES	(2u * MAINT_PIECE_BYTES)

bool rate_busy(struct maint *m)
{
	struct rate *r = &m->rate;
	uint64_t now = env_now(m->env), bytes;
	struct store_stats stats;

	if (r->looked != 0 && now - r->looked < LOOK_NS)
		return now < r->busy_until;
	store_stats(m->store, &stats);
	bytes = stats.append_bytes + stats.read_bytes;
	/* After a longer pause nobody knows when they were moved. */
	if (r->looked != 0 && now - r->looked < BUSY_NS &&
	    bytes - r->client_bytes >= BUSY_BYTES)
		r->busy_until = now + BUSY_NS;
	r->looked = now;
	r->client_bytes = bytes;
	return now < r->busy_until;
}

uint64_t rate_wait(struct maint *m, uint32_t bytes)
{
	struct rate *r = &m->rate;
	uint64_t limit = rate_busy(m) ? m->cfg.rate_busy : m->cfg.rate_idle;
	uint64_t now = env_now(m->env), elapsed, missing;

	if (limit == 0)
		return 0;
	elapsed = MIN(now - r->filled, NSEC_PER_SEC);
	r->tokens += limit * (elapsed / 1000) / (NSEC_PER_SEC / 1000);
	r->tokens = MIN(r->tokens, (uint64_t)BURST_BYTES);
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
	return m->pushing_count > 0 ? r->speed : 0;
}
