// SPDX-License-Identifier: Apache-2.0
/*
 * A sealed chunk of which no copy reaches L although every peer has answered:
 * what was acknowledged but not yet durable has gone from everywhere, as it
 * may when all machines lose power at once. The log then ends where the
 * longest copy ends, provided that nothing beyond was durable. What the
 * headers in later chunks say of that (their flushed watermark) is looked for
 * here; nothing of these chunks is applied. All peers have to tell: the one that
 * does not may have the header that proves a loss.
 */
#include <errno.h>
#include <inttypes.h>

#include "volume/recover.h"
#include "wire/scan.h"

/* A damaged copy may hold what the others lack: that is for a person. */
bool probe_possible(const struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (!a->peers[i].fenced || walk_stat_damaged(&a->peers[i]) ||
		    !walk_stat_current(&a->peers[i], a->walk.chunk))
			return false;
	return a->peer_count > 0;
}

/* The lowest number above @chunk that is listed or declared; 0 = none. */
static uint64_t chunk_after(const struct attach *a, uint64_t chunk)
{
	const struct volume_doc *doc = &a->volume->doc;
	uint64_t next = 0;

	for (uint32_t i = 0; i < doc->sealed_count; i++)
		if (doc->sealed[i].chunk > chunk &&
		    (!next || doc->sealed[i].chunk < next))
			next = doc->sealed[i].chunk;
	if (doc->tail.last > chunk && doc->tail.first <= doc->tail.last) {
		uint64_t declared = chunk < doc->tail.first ? doc->tail.first :
							      chunk + 1;

		if (!next || declared < next)
			next = declared;
	}
	return next;
}

static void enter_chunk(struct attach *a, uint64_t chunk)
{
	a->walk.probe_chunk = chunk;
	for (uint32_t i = 0; i < a->peer_count; i++) {
		a->peers[i].stat_known = false;
		a->peers[i].probe_block = 0;
	}
}

void probe_start(struct attach *a)
{
	a->walk.truncated = true;
	enter_chunk(a, chunk_after(a, a->walk.chunk));
}

static void note_watermarks(struct attach *a, const struct peer_call *call)
{
	struct walk *w = &a->walk;
	struct scan_iter it;
	const void *header;
	uint32_t bytes;

	if (!call->reply_len || call->scratch_count != 1)
		return;
	scan_iter_init(&it, call->scratch[0].iov_base, call->reply_len);
	while (scan_next(&it, &header, &bytes) == 1) {
		if (record_decode(header, bytes, w->record) ||
		    w->record->volume != a->volume->doc.id)
			break;
		if (w->record->flushed > w->flushed)
			w->flushed = w->record->flushed;
	}
}

static void scanned(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	const struct wire_scan_reply *reply = call->reply;
	uint32_t next;

	p->attach->walk.scanning = false;
	/* What it has of the chunk is asked anew, and then goes on from here. */
	if (attach_peer_answer(p)) {
		p->stat_known = false;
		return;
	}
	note_watermarks(p->attach, call);
	next = le32_to_cpu(reply->next_block);
	p->probe_block = le32_to_cpu(reply->more) && next > p->probe_block ?
			 next : UINT32_MAX;
}

static bool scan_some_copy(struct attach *a)
{
	struct walk *w = &a->walk;
	struct volume *v = a->volume;
	struct wire_scan body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(w->probe_chunk),
		.epoch = cpu_to_le64(v->epoch),
		.bytes_max = cpu_to_le32(SCAN_BYTES_MAX),
	};

	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p = &a->peers[i];

		if (p->busy || !walk_stat_current(p, w->probe_chunk) ||
		    p->stat_damaged || p->probe_block >= p->stat_length)
			continue;
		body.block = cpu_to_le32(p->probe_block);
		w->scanning = true;
		attach_peer_call(p, WIRE_SCAN, &body, scanned);
		return true;
	}
	return false;
}

/* Whether anybody has anything of the chunk: if not, later ones were never
 * begun. */
static bool somebody_has_it(const struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (walk_stat_current(&a->peers[i], a->walk.probe_chunk) &&
		    a->peers[i].stat_length)
			return true;
	return false;
}

static bool all_have_answered(const struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (!walk_stat_current(&a->peers[i], a->walk.probe_chunk))
			return false;
	return true;
}

bool probe_step(struct attach *a)
{
	struct walk *w = &a->walk;

	while (w->probe_chunk) {
		uint64_t next = chunk_after(a, w->probe_chunk);

		if (w->scanning || walk_ask_lengths(a, w->probe_chunk))
			return false;
		if (scan_some_copy(a))
			return false;
		if (!all_have_answered(a)) {
			attach_wait(a, -ETIMEDOUT,
				    "volume %s: not all peers say what was flushed behind the end of chunk %" PRIu64 "%s",
				    a->volume->doc.name, w->chunk,
				    attach_way_out(a, w->probe_chunk));
			return false;
		}
		if (!somebody_has_it(a) && attach_in_tail(a, w->probe_chunk))
			next = 0;
		enter_chunk(a, next);
	}
	return true;
}
