// SPDX-License-Identifier: Apache-2.0
/*
 * One run: ask a peer, verify, ask another.
 *
 *   asking --reply, every block good--------------------------> done(0)
 *     |  ^
 *     |  +-- reply, some blocks good: ask for the others, with no peer
 *     |      excluded: two copies may be damaged in different places
 *     |
 *     +--bad copy / no answer, another peer is left--> asking
 *     +--every peer has a bad copy, twice in a row---> done(-EIO)
 *     +--some have not answered----------------------> waiting
 *     +--fenced--------------------------------------> done(-ESTALE)
 *
 *   waiting --back-off over, or peers changed--> asking
 *           --deadline of the read-------------> done(-ETIMEDOUT)
 *
 * "Bad" is an answer that speaks of the copy: no such chunk, damaged, shorter
 * than what the map names, or blocks that do not match the map's CRC. "No
 * answer" is everything else: connection refused or lost, timeout, busy.
 *
 * While asking, a second peer may be asked too (reader_hedge.c).
 */
#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "volume/reader_private.h"

#define TRY_TIMEOUT_NS	 (3 * NSEC_PER_SEC)
#define BACKOFF_FIRST_NS (20 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS	 (500 * NSEC_PER_MSEC)

static void run_ask(struct read_run *run);

static const struct map_entry *run_entry(const struct read_run *run, uint32_t i)
{
	return &run->read->entries[run->first + i];
}

uint64_t run_chunk(const struct read_run *run)
{
	return block_addr_chunk(run_entry(run, 0)->addr);
}

uint32_t run_block(const struct read_run *run)
{
	return block_addr_block(run_entry(run, run->span)->addr);
}

static bool is_good(const struct read_run *run, uint32_t i)
{
	return run->good[i / 64] >> i % 64 & 1;
}

static uint32_t good_count(const struct read_run *run)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(run->good); i++)
		n += __builtin_popcountll(run->good[i]);
	return n;
}

/* Find the first blocks that are still wanted; false: there are none. */
static bool next_span(struct read_run *run)
{
	uint32_t from = 0, to;

	while (from < run->count && is_good(run, from))
		from++;
	for (to = from; to < run->count && !is_good(run, to); to++)
		;
	run->span = from;
	run->span_count = to - from;
	run->bad = (struct peer_bits){ 0 };
	run->tried = (struct peer_bits){ 0 };
	run->bad_passes = 0;
	return to > from;
}

static void run_wait(struct read_run *run)
{
	run->backoff = run->backoff ? MIN(2 * run->backoff, BACKOFF_MAX_NS) :
		       BACKOFF_FIRST_NS;
	run->wake = env_now(run->reader->env) + run->backoff;
	run->tried = (struct peer_bits){ 0 };
	list_add_tail(&run->node, &run->reader->waiting);
}

/* Nobody is left to be asked in this round. */
static void run_exhausted(struct read_run *run)
{
	if (reader_all_bad(run->reader, &run->bad)) {
		if (++run->bad_passes >= 2) {
			log_error("volume %" PRIx64 ": no peer has a good copy of chunk %" PRIu64 " block %u",
				  run->volume, run_chunk(run), run_block(run));
			reader_run_done(run, -EIO);
			return;
		}
		run->bad = (struct peer_bits){ 0 };
	} else {
		run->bad_passes = 0;
	}
	run_wait(run);
}

void run_retry(struct read_run *run)
{
	list_del_init(&run->node);
	if (env_now(run->reader->env) >= run->read->expires)
		reader_run_done(run, -ETIMEDOUT);
	else
		run_ask(run);
}

static bool matches(const struct read_run *run, uint32_t i)
{
	const uint8_t *block = run->read->buffer +
			       (size_t)(run->first + i) * BLOCK_SIZE;

	return crc32c(0, block, BLOCK_SIZE) == run_entry(run, i)->crc;
}

bool run_span_matches(const struct read_run *run)
{
	for (uint32_t i = run->span; i < run->span + run->span_count; i++)
		if (!matches(run, i))
			return false;
	return true;
}

/* Check the blocks of the span; returns whether all are good. */
static bool verify(struct read_run *run)
{
	bool all = true;

	for (uint32_t i = run->span; i < run->span + run->span_count; i++) {
		if (matches(run, i))
			run->good[i / 64] |= 1ull << i % 64;
		else
			all = false;
	}
	return all;
}

/* The peer has no good copy. */
static void note_bad(struct read_run *run, uint32_t peer)
{
	peer_bit_set(&run->bad, peer);
	reader_hint_drop(run->reader, run->volume, run_chunk(run), peer);
}

static void tell_bad_copy(struct read_run *run, uint32_t index)
{
	struct reader *reader = run->reader;

	if (reader->cfg.bad_copy)
		reader->cfg.bad_copy(reader->cfg.ctx,
				     peer_id(reader->peers.peer[index].peer),
				     run->volume, run_chunk(run));
}

/* It has one, and should not have it like this. */
void run_note_damage(struct read_run *run, uint32_t index, const char *why)
{
	struct peer *peer = run->reader->peers.peer[index].peer;

	log_warning("volume %" PRIx64 ": chunk %" PRIu64 " on peer %s: %s",
		    run->volume, run_chunk(run), peer_address(peer), why);
	note_bad(run, index);
	tell_bad_copy(run, index);
}

/* It has none. That is as it should be for those who are no owners. */
static void note_missing(struct read_run *run, uint32_t index)
{
	note_bad(run, index);
	if (reader_owns(run->reader, run->volume, run_chunk(run), index))
		tell_bad_copy(run, index);
}

void run_try_another(struct read_run *run)
{
	run->reader->stats.retries++;
	run_ask(run);
}

static bool any_bit(const struct peer_bits *bits)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(bits->word); i++)
		if (bits->word[i])
			return true;
	return false;
}

/* All blocks of the span are good, from the peer that was asked. */
static void span_done(struct read_run *run)
{
	struct reader *reader = run->reader;

	if (any_bit(&run->bad))
		reader_hint_had(reader, run->volume, run_chunk(run),
				run->asked);
	reader->stats.bytes += (uint64_t)run->span_count * BLOCK_SIZE;
	if (next_span(run))
		run_ask(run);
	else
		reader_run_done(run, 0);
}

void run_span_good(struct read_run *run)
{
	for (uint32_t i = run->span; i < run->span + run->span_count; i++)
		run->good[i / 64] |= 1ull << i % 64;
	span_done(run);
}

/* Data came. Returns false: from others, then. */
static bool run_data(struct read_run *run)
{
	uint32_t good = good_count(run), asked = run->asked;

	if (run->call.reply_len != (size_t)run->span_count * BLOCK_SIZE) {
		run_note_damage(run, asked, "shorter than the map says");
		return false;
	}
	if (verify(run)) {
		run_hedge_drop(run);
		span_done(run);
		return true;
	}
	run->reader->stats.crc_errors++;
	run_note_damage(run, asked, "data does not match its checksum");
	/* Only the damaged blocks from others. */
	if (good_count(run) > good) {
		run_hedge_drop(run);
		next_span(run);
		peer_bit_set(&run->bad, asked);
	}
	return false;
}

static const char *bad_status(uint32_t status)
{
	switch (status) {
	case WIRE_EOFFSET:
		return "shorter than the map says";
	case WIRE_EBADCOPY:
		return "known to be damaged";
	case WIRE_EBADCRC:
		return "damaged";
	case WIRE_EIO:
		return "cannot be read";
	case WIRE_EINVAL:
		return "read refused as out of range";
	default:
		return NULL;
	}
}

/* Nothing is under way. */
void run_fenced(struct read_run *run, const struct peer_call *call)
{
	struct reader *reader = run->reader;
	const struct wire_read_reply *reply = call->reply;

	if (!reader->fenced) {
		reader->fenced_due = true;
		reader->fenced_epoch = reply ? le64_to_cpu(reply->epoch) : 0;
	}
	reader->fenced = true;
	reader_run_done(run, -ESTALE);
}

bool run_note_answer(struct read_run *run, const struct peer_call *call,
		     uint32_t peer)
{
	const char *bad;

	if (call->err) {
		peer_bit_set(&run->tried, peer);
		return true;
	}
	if (call->status == WIRE_EFENCED)
		return false;
	bad = bad_status(call->status);
	if (bad)
		run_note_damage(run, peer, bad);
	else if (call->status == WIRE_ENOCHUNK)
		note_missing(run, peer);
	else
		peer_bit_set(&run->tried, peer);
	return true;
}

static void run_answered(struct read_run *run)
{
	struct peer_call *call = &run->call;

	if (!call->err && call->status == WIRE_OK) {
		if (run_data(run))
			return;
	} else if (!run_note_answer(run, call, run->asked)) {
		run_hedge_drop(run);
		run_fenced(run, call);
		return;
	}
	/* Another has been asked already. */
	if (run->hedge.active)
		list_add_tail(&run->node, &run->reader->asking);
	else
		run_try_another(run);
}

static void run_call_done(struct peer_call *call)
{
	struct read_run *run = call->ctx;
	struct reader *reader = run->reader;
	uint64_t latency = env_now(reader->env) - run->asked_at;

	list_del_init(&run->node);
	run->active = false;
	reader_peer_answered(reader, run->asked,
			     call->err ? 0 : MAX(latency, (uint64_t)1));
	if (run->hedge.active)
		reader->peers.peer[run->asked].overdue--;
	run_answered(run);
	reader_turn(reader);
}

void run_fill_call(struct read_run *run, struct peer_call *call,
		   struct wire_read *body, void (*done)(struct peer_call *call))
{
	const struct reader *reader = run->reader;
	uint64_t left = run->read->expires - env_now(reader->env);

	*body = (struct wire_read){
		.volume = cpu_to_le64(run->volume),
		.chunk = cpu_to_le64(run_chunk(run)),
		.attached = cpu_to_le64(reader->cfg.volume),
		.epoch = cpu_to_le64(reader->epoch),
		.block = cpu_to_le32(run_block(run)),
		.blocks = cpu_to_le32(run->span_count),
	};
	*call = (struct peer_call){
		.type = WIRE_READ, .body = body,
		.timeout_ns = MIN(TRY_TIMEOUT_NS, left),
		.done = done, .ctx = run,
	};
}

static void run_send(struct read_run *run)
{
	struct reader *reader = run->reader;
	struct reader_peer *p = &reader->peers.peer[run->asked];
	struct wire_read body;

	run->iov = (struct iovec){
		.iov_base = run->read->buffer +
			    (size_t)(run->first + run->span) * BLOCK_SIZE,
		.iov_len = (size_t)run->span_count * BLOCK_SIZE,
	};
	run->asked_at = env_now(reader->env);
	run_fill_call(run, &run->call, &body, run_call_done);
	run->call.reply_data = &run->iov;
	run->call.reply_data_count = 1;
	run->active = true;
	p->outstanding++;
	list_add_tail(&run->node, &reader->asking);
	run_hedge_plan(run);
	peer_call(p->peer, &run->call);
}

static void run_ask(struct read_run *run)
{
	struct reader *reader = run->reader;

	if (reader->fenced) {
		reader_run_done(run, -ESTALE);
		return;
	}
	if (env_now(reader->env) >= run->read->expires) {
		reader_run_done(run, -ETIMEDOUT);
		return;
	}
	run->asked = reader_choose(reader, run->volume, run_chunk(run),
				   run_block(run), &run->bad, &run->tried);
	if (run->asked == PEER_NONE)
		run_exhausted(run);
	else
		run_send(run);
}

/* The volume that owns the chunk; 0: not known. */
static uint64_t chunk_volume(const struct reader *reader, uint16_t lineage)
{
	if (!lineage)
		return reader->cfg.volume;
	if (!reader->cfg.ancestor)
		return 0;
	return reader->cfg.ancestor(reader->cfg.ctx, lineage);
}

void run_start(struct reader *reader, struct read_run *run,
	       struct block_read *read, uint32_t first, uint32_t count)
{
	list_init(&run->node);
	run->reader = reader;
	run->read = read;
	run->first = first;
	run->count = count;
	run->active = false;
	run->hedge.active = false;
	run->backoff = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(run->good); i++)
		run->good[i] = 0;
	next_span(run);
	run->volume = chunk_volume(reader, run_entry(run, 0)->lineage);
	if (run->volume)
		run_ask(run);
	else
		reader_run_done(run, -EUCLEAN);
}
