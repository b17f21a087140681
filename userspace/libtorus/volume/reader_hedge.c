// SPDX-License-Identifier: Apache-2.0
/*
 * Hedged reads: a run whose peer takes longer than nearly all of its recent
 * answers took is asked of a second one too, and the first good answer counts.
 *
 *	asked -- p99 of the peer is over, a token is there ----> hedged
 *	      -- replica_timeout is over ----------------------> hedged
 *
 *	hedged -- the peer's answer is good -----> the hedge is cancelled
 *	       -- the hedge's answer is good ----> copied; the peer's call is
 *	       |                                   abandoned, unless its answer
 *	       |                                   is arriving: that will do then
 *	       -- one answer is no good ---------> the other is waited for
 *	       -- neither is --------------------> the run goes on (reader_run.c)
 *
 * Who owns the memory: the peer's answer comes into the run's buffer, the
 * hedge's into memory of the env's, from where it is copied when it is there
 * as a whole, and only while nobody writes into the buffer. So both calls may
 * be cancelled at any time without cost, and a late answer finds no buffer.
 *
 * A token is a twentieth of a read: hedges are a twentieth of all reads at
 * most, but for a handful at once. When a cluster as a whole is slow, everybody
 * exceeds what was usual, and reading all twice would make it slower. Past
 * replica_timeout no token is needed: that is all that one peer may cost.
 */
#include <string.h>

#include "base/cleanup.h"
#include "volume/reader_private.h"

#define FLOOR_NS	(2 * NSEC_PER_MSEC)
#define UNKNOWN_NS	(100 * NSEC_PER_MSEC)	/* a peer never measured */
#define HEDGE_TOKENS	20u			/* for one hedge */
#define TOKENS_MAX	(16u * HEDGE_TOKENS)

static struct reader_peer *peer_of(struct reader *reader, uint32_t index)
{
	return &reader->peers.peer[index];
}

/* How long a peer may take before somebody else is asked. */
static uint64_t patience(struct reader *reader, uint32_t index)
{
	uint64_t p99 = peer_stats(peer_of(reader, index)->peer)->reads.p99;
	uint64_t ns = p99 != 0 ? MAX(p99, FLOOR_NS) : UNKNOWN_NS;

	return MIN(ns, reader->cfg.replica_timeout_ns);
}

void run_hedge_plan(struct read_run *run)
{
	struct reader *reader = run->reader;

	if (reader->hedge_tokens < TOKENS_MAX)
		reader->hedge_tokens++;
	run->hedge_at = run->asked_at + patience(reader, run->asked);
	env_timer_set_by(reader->env, &reader->hedge_timer, run->hedge_at);
}

/* The hedge's call has ended. */
static void hedge_over(struct read_run *run, uint64_t latency)
{
	struct reader *reader = run->reader;

	run->hedge.active = false;
	reader_peer_answered(reader, run->hedge.asked, latency);
	if (run->active)
		peer_of(reader, run->asked)->overdue--;
}

void run_hedge_drop(struct read_run *run)
{
	if (!run->hedge.active)
		return;
	peer_call_cancel(&run->hedge.call);
	hedge_over(run, 0);
}

static void copy_answer(const struct read_run *run)
{
	const struct peer_call *call = &run->hedge.call;
	uint8_t *to = run->iov.iov_base;

	for (int i = 0; i < call->scratch_count; i++) {
		memcpy(to, call->scratch[i].iov_base, call->scratch[i].iov_len);
		to += call->scratch[i].iov_len;
	}
}

/* The peer that was asked first is not waited for any more. */
static void abandon_first(struct read_run *run)
{
	struct reader *reader = run->reader;
	uint64_t took = env_now(reader->env) - run->asked_at;

	if (!run->active)
		return;
	peer_call_abandon(&run->call);
	run->active = false;
	reader_peer_answered(reader, run->asked, took);
}

/* Whole and right; in the buffer then. */
static bool take_answer(struct read_run *run)
{
	const struct peer_call *call = &run->hedge.call;

	if (call->reply_len != run->iov.iov_len) {
		run_note_damage(run, run->hedge.asked,
				"shorter than the map says");
		return false;
	}
	copy_answer(run);
	if (run_span_matches(run))
		return true;
	run->reader->stats.crc_errors++;
	run_note_damage(run, run->hedge.asked,
			"data does not match its checksum");
	return false;
}

/* The run is on the asking list, or its own call is over. */
static void hedge_failed(struct read_run *run)
{
	if (run->active)
		return;
	list_del_init(&run->node);
	run_try_another(run);
}

static void hedge_answered(struct read_run *run)
{
	struct peer_call *call = &run->hedge.call;

	if (call->err || call->status != WIRE_OK) {
		if (run_note_answer(run, call, run->hedge.asked)) {
			hedge_failed(run);
			return;
		}
		abandon_first(run);
		list_del_init(&run->node);
		run_fenced(run, call);
		return;
	}
	/* The buffer is being written to. */
	if (run->active && peer_call_receiving(&run->call))
		return;
	if (!take_answer(run)) {
		hedge_failed(run);
		return;
	}
	abandon_first(run);
	list_del_init(&run->node);
	run->asked = run->hedge.asked;
	run->reader->stats.hedge_wins++;
	run_span_good(run);
}

static void hedge_done(struct peer_call *call)
{
	struct read_run *run = call->ctx;
	struct reader *reader = run->reader;
	uint64_t latency = env_now(reader->env) - run->hedge.asked_at;

	hedge_over(run, call->err ? 0 : MAX(latency, (uint64_t)1));
	hedge_answered(run);
	reader_turn(reader);
}

static void hedge_send(struct read_run *run, uint32_t second)
{
	struct reader *reader = run->reader;
	struct read_hedge *hedge = &run->hedge;
	struct wire_read body;

	hedge->active = true;
	hedge->asked = second;
	hedge->asked_at = env_now(reader->env);
	run->hedge_at = 0;
	reader->stats.hedges++;
	peer_of(reader, run->asked)->overdue++;
	peer_of(reader, second)->outstanding++;
	run_fill_call(run, &hedge->call, &body, hedge_done);
	peer_call(peer_of(reader, second)->peer, &hedge->call);
}

/* Its time has come. Sets hedge_at anew when nothing can be done now. */
static void hedge(struct read_run *run)
{
	struct reader *reader = run->reader;
	uint64_t now = env_now(reader->env);
	uint64_t last = run->asked_at + reader->cfg.replica_timeout_ns;
	struct peer_bits tried = run->tried;
	uint32_t second;

	run->hedge_at = now < last ? last : now + reader->cfg.replica_timeout_ns;
	if (reader->fenced || run->read->expires <= now)
		return;
	if (now < last && reader->hedge_tokens < HEDGE_TOKENS)
		return;
	peer_bit_set(&tried, run->asked);
	second = reader_choose_second(reader, run->volume, run_chunk(run),
				      run_block(run), &run->bad, &tried);
	if (second == PEER_NONE)
		return;
	if (now < last)
		reader->hedge_tokens -= HEDGE_TOKENS;
	hedge_send(run, second);
}

static void hedge_fired(struct env_timer *timer)
{
	struct reader *reader = container_of(timer, struct reader, hedge_timer);
	uint64_t now = env_now(reader->env), next = UINT64_MAX;
	struct read_run *run;

	/* Nothing in here ends a run: calls end from the loop. */
	list_for_each_entry(run, &reader->asking, node) {
		if (run->active && run->hedge_at != 0 && run->hedge_at <= now)
			hedge(run);
		if (run->active && run->hedge_at != 0)
			next = MIN(next, run->hedge_at);
	}
	if (next != UINT64_MAX)
		env_timer_set(reader->env, timer, next);
}

void reader_hedge_init(struct reader *reader)
{
	reader->hedge_tokens = TOKENS_MAX;
	env_timer_init(&reader->hedge_timer, hedge_fired);
}

void reader_hedge_release(struct reader *reader)
{
	env_timer_cancel(reader->env, &reader->hedge_timer);
}
