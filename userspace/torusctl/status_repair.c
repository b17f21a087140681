// SPDX-License-Identifier: Apache-2.0
/*
 * status: what the stores' maintenance has to do, chunks that lack copies,
 * deleted volumes, and stores that know more than the metadata store.
 */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/size.h"
#include "status.h"
#include "table.h"

static void add_one(struct repair *r, const struct survey_maintenance *m)
{
	r->maintained++;
	r->copy_chunks += m->copy_chunks;
	r->copy_bytes += m->copy_bytes;
	r->short_chunks += m->short_chunks;
	r->grace_chunks += m->grace_chunks;
	r->drop_chunks += m->drop_chunks;
	r->rate += m->rate;
	r->scrub_chunks += m->scrub_chunks;
	r->scrub_total += m->scrub_total;
	r->scrub_bytes += m->scrub_bytes;
	r->scrub_bad += m->scrub_bad;
	r->scrub_healed += m->scrub_healed;
	r->scrub_running += m->scrub_state == WIRE_SCRUB_RUNNING;
	r->scrub_paused += m->scrub_state == WIRE_SCRUB_PAUSED;
	/* The slowest decides; one that cannot tell is the slowest. */
	if (m->copy_chunks && m->eta_s > r->eta_s)
		r->eta_s = m->eta_s;
}

void status_repair_sum(const struct status *s, struct repair *r)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < s->survey.count; i++)
		if (s->survey.answers[i].maintained)
			add_one(r, &s->survey.answers[i].m);
	/* One that copies nothing at the moment waits for others that do. */
	if (r->eta_s == SURVEY_ETA_UNKNOWN && r->rate)
		r->eta_s = DIV_ROUND_UP(r->copy_bytes, r->rate);
}

static void check_short(struct status *s)
{
	char left[32], rate[32], eta[32];
	struct finding *f;
	struct repair r;

	status_repair_sum(s, &r);
	/* Those that only wait for a peer that is down are named with it. */
	if (r.short_chunks <= r.grace_chunks)
		return;
	size_format(r.copy_bytes, left, sizeof(left));
	size_format(r.rate, rate, sizeof(rate));
	duration_format(r.eta_s, eta, sizeof(eta));
	f = status_add(s, CTL_DEGRADED, "chunks-short", "");
	finding_what(f, "%" PRIu64 " %s fewer copies than %s should",
		     r.short_chunks, r.short_chunks == 1 ? "chunk has" : "chunks have",
		     r.short_chunks == 1 ? "it" : "they");
	finding_means(f, "each of them has a copy and can be read; it would take fewer failures than it should to lose it");
	finding_doing(f, "they are copied now: %s left, %s/s, time left: %s",
		      left, rate, eta);
	finding_command(f, "torusctl peer list (it shows how far each peer is)");
}

static void check_behind(struct status *s)
{
	for (size_t i = 0; i < s->survey.count; i++) {
		uint64_t behind = s->survey.answers[i].m.behind;
		struct finding *f;

		if (!behind)
			continue;
		f = status_add(s, CTL_DEGRADED, "metadata-behind",
			       s->view.peers[i].doc.address);
		finding_what(f, "peer %s has seen newer states of %" PRIu64 " %s than the metadata store shows: that went back, as when an old backup is restored",
			     s->view.peers[i].doc.address, behind,
			     behind == 1 ? "volume" : "volumes");
		finding_means(f, "nothing is deleted until that is cleared up; attaching such a volume may find an old state of it");
		finding_doing(f, "its store collects no garbage");
		finding_command(f, "torusctl recover --force (it shows what the peers know, and asks before it writes anything)");
	}
}

/* A peer that may have chunks of deleted volumes; rather one that will not
 * delete them by itself. NULL: all is gone everywhere. */
static const struct ctl_peer *find_unconfirmed(const struct status *s,
					       bool *answers)
{
	const struct ctl_peer *found = NULL;

	*answers = true;
	for (size_t i = 0; i < s->view.peer_count && *answers; i++) {
		if (!s->unconfirmed[i])
			continue;
		found = &s->view.peers[i];
		*answers = !s->survey.answers[i].err;
	}
	return found;
}

/* A tombstone that all have confirmed is of no interest: it goes in a moment. */
static void check_tombstones(struct status *s)
{
	const struct ctl_peer *p;
	struct finding *f;
	bool answers;

	p = find_unconfirmed(s, &answers);
	if (!s->tombstone_count || !p)
		return;
	f = status_add(s, CTL_OK, "volumes-deleted", "");
	finding_what(f, "of %zu deleted %s not every peer has confirmed that the chunks are gone; peer %s has not",
		     s->tombstone_count,
		     s->tombstone_count == 1 ? "volume" : "volumes",
		     p->doc.address);
	finding_means(f, "their space comes back when it has");
	finding_doing(f, answers ? "each peer deletes by itself" :
		      "each peer deletes by itself, one that is down when it comes back");
	if (!answers)
		finding_command(f, "start the torusd of peer %s on host %.100s; if it is lost, or switched off for good: torusctl peer remove --force %s",
				p->doc.address, p->doc.host, p->doc.address);
}

void status_repair(struct status *s)
{
	check_short(s);
	check_behind(s);
	check_tombstones(s);
}
