// SPDX-License-Identifier: Apache-2.0
/*
 * Following the log from the root to its end, chunk by chunk, and applying
 * what it says.
 *
 * What is known of a chunk c decides where its part of the log ends:
 *
 *   in the sealed list   at L exactly; any peer's copy of at least L will do;
 *                        the log goes on in the entry's `next`
 *   declared in the tail at the end of the longest chain that a fenced member
 *                        of its ensemble holds; with LAST it goes on in c + 1,
 *                        without it this is the end of the log
 *   older than the tail  complete and durable on all its members: ends with
 *                        LAST, goes on in c + 1
 *   none of these        there is no such chunk: the log has ended before it
 *
 * For each chunk the peers are asked for their lengths (STAT_CHUNK), the
 * longest copy is scanned; when its chain breaks before its end, the next copy
 * goes on from there. Records are applied as they are verified: a walk that
 * has to wait for a peer goes on where it stopped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/recover.h"
#include "volume/sealed.h"
#include "wire/scan.h"

static void forget_stats(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++) {
		a->peers[i].stat_chunk = 0;
		a->peers[i].stat_known = false;
		a->peers[i].stat_damaged = false;
		a->peers[i].stat_scanned = false;
	}
}

static void enter_chunk(struct attach *a, uint64_t chunk, uint32_t block)
{
	struct walk *w = &a->walk;

	w->chunk = chunk;
	w->block = block;
	w->listed = false;
	w->end_crc = block ? w->last.header_crc : 0;
	w->complete = false;
	w->source = NULL;
	w->grace_until = 0;
	w->short_asked = 0;
	forget_stats(a);
}

/* w->last may be the record that the device saw acknowledged last. */
static void note_remembered(struct attach *a)
{
	struct walk *w = &a->walk;

	if (w->last.sequence == a->volume->cfg.remembered.sequence)
		w->remembered = w->last;
}

/* A record before the root is not looked for: it need not exist any more. */
static bool remembered_fits(const struct attach *a)
{
	const struct log_position *wanted = &a->volume->cfg.remembered;
	const struct log_position *found = &a->walk.remembered;

	return !found->sequence || found->header_crc == wanted->header_crc;
}

void walk_start(struct attach *a, uint64_t chunk, uint32_t block,
		const struct log_position *last)
{
	struct walk *w = &a->walk;

	w->last = *last;
	w->changed = *last;
	w->spare_chunk = 0;
	w->bytes = 0;
	/* What was seen beyond a cut still counts. */
	w->flushed = MAX(w->flushed, last->sequence);
	w->remembered = (struct log_position){ 0 };
	note_remembered(a);
	if (!w->record)
		w->record = record_new();
	if (!w->record) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	enter_chunk(a, chunk, block);
}

void walk_release(struct attach *a)
{
	record_free(a->walk.record);
}

/* Nothing is under way but what settling began. */
void walk_again(struct attach *a, uint64_t chunk, uint32_t block)
{
	settle_release(a);
	a->walk.cut_chunk = chunk;
	a->walk.cut_block = block;
	a->walk.ended = false;
	a->phase = ATTACH_ROOT;
}

/* ---- one record ---------------------------------------------------------- */

static bool continues_chain(const struct attach *a, const struct record *r)
{
	const struct walk *w = &a->walk;

	return r->volume == a->volume->doc.id && r->chunk == w->chunk &&
	       r->block == w->block && r->sequence == w->last.sequence + 1 &&
	       r->prev_crc == w->last.header_crc && !w->complete;
}

static int take_record(struct attach *a, const struct record *r)
{
	struct walk *w = &a->walk;
	int err = pages_apply(a->volume, r);

	if (err)
		return err;
	w->last.sequence = r->sequence;
	w->last.header_crc = r->crc;
	w->block += record_blocks(r);
	w->end_crc = r->crc;
	w->complete = r->flags & RECORD_LAST;
	w->flushed = w->flushed > r->flushed ? w->flushed : r->flushed;
	w->bytes += (uint64_t)record_blocks(r) * BLOCK_SIZE;
	w->scan_progress = true;
	note_remembered(a);
	if (pages_changed_by(r))
		w->changed = w->last;
	if (pages_changed_by(r) ||
	    block_addr(r->chunk, r->block) == a->volume->doc.root.addr)
		w->spare_chunk = 0;
	return 0;
}

/* ---- lengths -------------------------------------------------------------- */

static void stat_done(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	const struct wire_chunk_reply *reply = call->reply;
	int err = attach_peer_answer(p);

	p->stat_known = true;
	p->stat_damaged = !call->err && call->status == WIRE_EBADCOPY;
	p->stat_length = 0;
	p->stat_durable = 0;
	p->stat_sealed = false;
	if (!err) {
		p->stat_length = le32_to_cpu(reply->length);
		p->stat_durable = le32_to_cpu(reply->durable);
		p->stat_sealed = le32_to_cpu(reply->sealed);
	} else if (call->err || call->status != WIRE_ENOCHUNK) {
		p->stat_known = p->stat_damaged;
	}
	if (!call->err && call->status == WIRE_ENOCHUNK) {
		/* An answer, and there is nothing to scan. */
		p->stat_scanned = true;
		p->retry_at = 0;
		p->err = 0;
	}
}

bool walk_stat_current(const struct attach_peer *p, uint64_t chunk)
{
	return p->stat_known && p->stat_chunk == chunk;
}

static bool stat_current(const struct attach *a, const struct attach_peer *p)
{
	return walk_stat_current(p, a->walk.chunk);
}

static void ask_length(struct attach_peer *p, uint64_t chunk)
{
	struct volume *v = p->attach->volume;
	struct wire_chunk body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(chunk),
		.epoch = cpu_to_le64(v->epoch),
	};

	p->stat_chunk = chunk;
	p->stat_known = false;
	p->stat_damaged = false;
	p->stat_scanned = false;
	attach_peer_call(p, WIRE_STAT_CHUNK, &body, stat_done);
}

/*
 * Every fenced peer is asked: also those that only hold a copy by accident of
 * an older ring. A peer that failed its last call is asked, but not waited
 * for, so that one hung peer does not cost a timeout per chunk.
 */
uint32_t walk_ask_lengths(struct attach *a, uint64_t chunk)
{
	uint32_t outstanding = 0;

	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p = &a->peers[i];

		if (p->fenced && !walk_stat_current(p, chunk) &&
		    attach_peer_ready(p))
			ask_length(p, chunk);
		outstanding += p->fenced && p->busy && !p->err;
	}
	return outstanding;
}

/* ---- scanning -------------------------------------------------------------- */

/* The limit of this chunk: L if it is sealed, else what the copy has. */
static uint32_t walk_limit(const struct attach *a)
{
	const struct sealed_chunk *s = sealed_find(&a->volume->doc,
						   a->walk.chunk);

	if (a->walk.chunk == a->walk.cut_chunk)
		return a->walk.cut_block;
	return s ? s->length : CHUNK_BLOCKS_MAX;
}

/*
 * Whether a copy has something to tell: more blocks, or, where the log may
 * end, whether damage hides later records.
 */
static bool worth_scanning(const struct attach *a, const struct attach_peer *p)
{
	if (!stat_current(a, p) || p->stat_damaged || p->busy)
		return false;
	return p->stat_length > a->walk.block ||
	       (p->stat_length == a->walk.block && !p->stat_scanned &&
		attach_in_tail(a, a->walk.chunk));
}

static struct attach_peer *longest_copy(struct attach *a)
{
	struct attach_peer *best = NULL;

	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p = &a->peers[i];

		if (!worth_scanning(a, p))
			continue;
		if (!best || p->stat_length > best->stat_length)
			best = p;
	}
	return best;
}

static void copy_is_damaged(struct attach *a, const char *why)
{
	struct walk *w = &a->walk;

	log_warning("volume %s: chunk %" PRIu64 " on peer %s: %s at block %u; asking other peers",
		    a->volume->doc.name, w->chunk,
		    peer_address(w->source->peer), why, w->block);
	w->source->stat_damaged = true;
	w->source = NULL;
}

/* Take the records of one answer; returns whether the copy is still good. */
static bool take_records(struct attach *a, const struct peer_call *call)
{
	struct walk *w = &a->walk;
	struct scan_iter it;
	const void *header;
	uint32_t bytes;
	int more = 0;

	if (call->reply_len && call->scratch_count != 1)
		return false;
	scan_iter_init(&it, call->reply_len ? call->scratch[0].iov_base : NULL,
		       call->reply_len);
	while (w->block < walk_limit(a) &&
	       (more = scan_next(&it, &header, &bytes)) == 1) {
		if (record_decode(header, bytes, w->record) ||
		    !continues_chain(a, w->record) ||
		    w->block + record_blocks(w->record) > walk_limit(a))
			return false;
		if (take_record(a, w->record)) {
			attach_fail(a, -ENOMEM, "out of memory");
			return true;
		}
	}
	return more >= 0;
}

static void scan_done(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	struct attach *a = p->attach;
	struct walk *w = &a->walk;
	const struct wire_scan_reply *reply = call->reply;

	w->scanning = false;
	if (attach_peer_answer(p)) {
		p->stat_known = false;	/* ask again when it answers again */
		w->source = NULL;
		return;
	}
	w->scan_progress = false;
	p->stat_scanned = true;
	if (!take_records(a, call)) {
		copy_is_damaged(a, "the chain of records breaks");
		return;
	}
	if (attach_is_over(a))
		return;
	if (w->scan_progress)
		attach_progress(a);
	else if (w->block < p->stat_length && w->block < walk_limit(a))
		copy_is_damaged(a, "records are missing");
	if (w->source && !le32_to_cpu(reply->more) && !w->complete &&
	    le32_to_cpu(reply->damaged_block) != UINT32_MAX &&
	    w->block < walk_limit(a))
		copy_is_damaged(a, "a damaged record hides later ones");
	if (w->source && !le32_to_cpu(reply->more))
		w->source = NULL;
}

static void scan_from(struct attach *a, struct attach_peer *p)
{
	struct volume *v = a->volume;
	struct walk *w = &a->walk;
	struct wire_scan body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(w->chunk),
		.epoch = cpu_to_le64(v->epoch),
		.block = cpu_to_le32(w->block),
		.bytes_max = cpu_to_le32(SCAN_BYTES_MAX),
	};

	w->source = p;
	w->scanning = true;
	attach_peer_call(p, WIRE_SCAN, &body, scan_done);
}

/* ---- the end of a chunk ----------------------------------------------------- */

struct answers {
	uint32_t members, answered, undamaged;
	uint32_t lost;			/* had more than this, durably */
};

static struct answers count_answers(struct attach *a)
{
	struct uuid members[RING_REPLICATION_MAX];
	struct answers n = { 0 };

	n.members = tail_ensemble(a->volume, &a->volume->doc, a->walk.chunk,
				  members);
	for (uint32_t i = 0; i < n.members; i++) {
		struct attach_peer *p = attach_peer_find(a, &members[i]);

		if (!p || !stat_current(a, p))
			continue;
		n.answered++;
		n.undamaged += !walk_stat_damaged(p);
		n.lost += p->stat_durable > a->walk.block;
	}
	return n;
}

/*
 * A damaged record with good ones behind it: rot, or the writes of a last
 * moment that reached the disk out of order. Another member can tell.
 */
static void wait_for_members(struct attach *a, uint32_t answered)
{
	struct walk *w = &a->walk;
	const char *name = a->volume->doc.name;

	if (answered)
		attach_wait(a, -EUCLEAN,
			    "volume %s: chunk %" PRIu64 ", where its log may end, is damaged at block %u on every member that answers%s",
			    name, w->chunk, w->block,
			    attach_way_out(a, w->chunk));
	else
		attach_wait(a, -ETIMEDOUT,
			    "volume %s: no member of chunk %" PRIu64 ", where its log may end, answers%s",
			    name, w->chunk, attach_way_out(a, w->chunk));
}

/*
 * An unsealed chunk: one answer of its ensemble is enough to be safe; others
 * get a little time, since more answers may hold more. A copy with damage
 * before later records does not say where the log ends; only when every member
 * says so is there nothing better to be had. What all members had made durable
 * may have been flushed: the log never ends before that by itself.
 */
static bool tail_chunk_decided(struct attach *a)
{
	struct answers n = count_answers(a);
	struct walk *w = &a->walk;
	struct volume *v = a->volume;

	if (!n.members || (!n.undamaged && n.answered < n.members) ||
	    n.lost == n.members) {
		wait_for_members(a, n.answered);
		return false;
	}
	if (n.answered == n.members || w->complete)
		return true;
	if (!w->grace_until)
		w->grace_until = env_now(v->env) + v->cfg.replica_timeout_ns;
	if (env_now(v->env) >= w->grace_until)
		return true;
	attach_wait(a, -ETIMEDOUT, "volume %s: waiting for more peers",
		    v->doc.name);
	return false;
}

/*
 * What an interrupted checkpoint wrote is of no use: the log ends before the
 * tail that holds nothing else, so that crashes in checkpoints, however many,
 * add nothing to the sealed list.
 */
static void drop_spare(struct attach *a)
{
	const struct volume_config *cfg = &a->volume->cfg;
	struct walk *w = &a->walk;

	if (!w->spare_chunk ||
	    (cfg->surviving &&
	     cfg->remembered.sequence > w->spare_last.sequence))
		return;
	settle_drop(a, w->spare_chunk);
	w->chunk = w->spare_chunk;
	w->block = 0;
	w->end_crc = 0;
	w->listed = true;
	w->last = w->spare_last;
}

/* The log ends here, if it is as long as it has to be. */
static void end_of_log(struct attach *a)
{
	struct walk *w = &a->walk;
	const struct log_position *remembered = &a->volume->cfg.remembered;
	uint64_t needed = w->flushed > a->volume->doc.root.sequence ?
			  w->flushed : a->volume->doc.root.sequence;
	bool surviving = a->volume->cfg.surviving;

	if (surviving && remembered->sequence > needed)
		needed = remembered->sequence;
	if (w->last.sequence < needed) {
		w->grace_until = 0;
		attach_wait(a, -EUCLEAN,
			    "volume %s: its log ends at record %" PRIu64 " on the peers that answer, but record %" PRIu64 " was acknowledged%s%s",
			    a->volume->doc.name, w->last.sequence, needed,
			    needed > w->flushed ? "" : " as durable",
			    attach_way_out(a, w->truncated ? 0 : w->chunk));
		return;
	}
	if (surviving && !remembered_fits(a)) {
		attach_fail(a, -ESTALE,
			    "volume %s: its log has another record %" PRIu64 " than the one that the device saw: the device cannot go on",
			    a->volume->doc.name, remembered->sequence);
		return;
	}
	drop_spare(a);
	a->volume->end.last = w->last;
	a->volume->changed = w->changed;
	a->volume->remembered = w->remembered;
	a->volume->durable = w->last.sequence;
	a->volume->log_since_root = w->bytes;
	w->ended = true;
	a->phase = ATTACH_SETTLE;
}

static bool declared_or_listed(const struct attach *a, uint64_t chunk)
{
	return sealed_find(&a->volume->doc, chunk) || attach_in_tail(a, chunk);
}

/*
 * Whether the log may go on in @chunk: it is listed or declared, or older than
 * what is declared, and then complete and durable on all its members.
 */
static bool chunk_exists(const struct attach *a, uint64_t chunk)
{
	const struct volume_doc *doc = &a->volume->doc;
	bool declared = doc->tail.last && doc->tail.first <= doc->tail.last;

	return declared_or_listed(a, chunk) ||
	       chunk < (declared ? doc->tail.first : doc->next_chunk);
}

/* The walked chunk is at its end; go on in the next, or end. */
static void leave_chunk(struct attach *a)
{
	const struct sealed_chunk *s = sealed_find(&a->volume->doc,
						   a->walk.chunk);
	struct walk *w = &a->walk;

	if ((s || attach_in_tail(a, w->chunk)) &&
	    settle_add(a, w->chunk, w->block, w->end_crc)) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	if (s && chunk_exists(a, s->next)) {
		enter_chunk(a, s->next, 0);
		w->listed = true;
		if (!w->spare_chunk) {
			w->spare_chunk = s->next;
			w->spare_last = w->last;
		}
		return;
	}
	if (!s && w->complete && chunk_exists(a, w->chunk + 1))
		enter_chunk(a, w->chunk + 1, 0);
	else
		end_of_log(a);
}

static void wait_for_copies(struct attach *a, uint32_t length)
{
	attach_wait(a, -EUCLEAN,
		    "volume %s: no peer that answers has all of chunk %" PRIu64 " (%u of %u blocks found)%s",
		    a->volume->doc.name, a->walk.chunk, a->walk.block, length,
		    attach_way_out(a, a->walk.chunk));
}

/*
 * All have answered, but not at one moment: a copy may have moved from one that
 * answered late to one that had answered before. So all are asked once more,
 * when the last has answered; what moved in between is found then.
 */
static bool asked_twice(struct attach *a)
{
	struct walk *w = &a->walk;

	if (w->short_asked++ > 0)
		return true;
	forget_stats(a);
	attach_kick(a);
	return false;
}

/*
 * No copy reaches L. While peers are missing they may have it; when all have
 * answered, it is gone.
 */
static void sealed_short(struct attach *a, uint32_t length)
{
	struct walk *w = &a->walk;

	if (probe_possible(a)) {
		if (!asked_twice(a))
			return;
		log_warning("volume %s: chunk %" PRIu64 " was sealed at %u blocks, and no peer has more than %u",
			    a->volume->doc.name, w->chunk, length, w->block);
		if (settle_add(a, w->chunk, w->block, w->end_crc))
			attach_fail(a, -ENOMEM, "out of memory");
		else
			probe_start(a);
		return;
	}
	wait_for_copies(a, length);
}

/* Nobody has more of this chunk at the moment: is it at its end? */
static void chunk_exhausted(struct attach *a)
{
	const struct sealed_chunk *s = sealed_find(&a->volume->doc,
						   a->walk.chunk);
	struct walk *w = &a->walk;

	if (s && w->block == s->length && w->end_crc != s->end_crc)
		attach_fail(a, -EUCLEAN,
			    "volume %s: chunk %" PRIu64 " ends in another record than the metadata store says",
			    a->volume->doc.name, w->chunk);
	else if (s && w->block < s->length)
		sealed_short(a, s->length);
	else if (!s && !w->complete && !attach_in_tail(a, w->chunk))
		wait_for_copies(a, CHUNK_BLOCKS_MAX);
	else if (s || !attach_in_tail(a, w->chunk) || tail_chunk_decided(a))
		leave_chunk(a);
}

/*
 * A chunk that was never begun and is not declared: only a log without a tail
 * begins there.
 */
static bool nothing_there(const struct attach *a)
{
	uint64_t chunk = a->walk.chunk;

	return !chunk_exists(a, chunk) && a->walk.block == 0 &&
	       !a->volume->doc.root.addr;
}

void walk_step(struct attach *a)
{
	struct walk *w = &a->walk;
	struct attach_peer *p;

	while (a->phase == ATTACH_WALK && !w->scanning) {
		uint64_t chunk = w->chunk;
		uint32_t outstanding;

		if (w->truncated) {
			if (probe_step(a))
				end_of_log(a);
			return;
		}
		if (nothing_there(a)) {
			end_of_log(a);
			return;
		}
		outstanding = walk_ask_lengths(a, w->chunk);
		p = w->source;
		if (!p && w->block < walk_limit(a) && !w->complete &&
		    !outstanding)
			p = longest_copy(a);
		if (p) {
			scan_from(a, p);
			return;
		}
		if (outstanding && w->block < walk_limit(a) && !w->complete)
			return;
		chunk_exhausted(a);
		if (w->chunk == chunk && !w->truncated)
			return;
	}
}
