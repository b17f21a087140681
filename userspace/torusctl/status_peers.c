// SPDX-License-Identifier: Apache-2.0
/*
 * status: members that are missing. A peer has a lease in the metadata store,
 * and it answers: one without the other is told apart, since what to do about
 * it is not the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "status.h"
#include "table.h"

/* What it means depends on what the volumes need. */
static void say_meaning(const struct status *s, struct finding *f)
{
	if (s->unreadable)
		finding_means(f, "some data, of volume %s at least, has no copy on the peers that are left: reads of it wait",
			      s->unreadable);
	else if (s->unwritable)
		finding_means(f, "too few peers are left for new writes, to volume %s at least: these wait",
			      s->unwritable);
	else
		finding_means(f, "every block still has a copy; new writes go to the peers that are left");
}

static enum ctl_exit severity_of_missing(const struct status *s)
{
	return s->unreadable || s->unwritable ? CTL_UNAVAILABLE : CTL_DEGRADED;
}

/* What the others do about it. */
static void say_repair(const struct status *s, struct finding *f)
{
	char left[32], eta[32];
	struct repair r;

	status_repair_sum(s, &r);
	size_format(r.copy_bytes, left, sizeof(left));
	duration_format(r.eta_s, eta, sizeof(eta));
	if (!r.maintained)
		finding_doing(f, "nothing: no torusd that answers looks after its chunks");
	else if (r.short_chunks > r.grace_chunks && r.copy_chunks)
		finding_doing(f, "what it held is copied from the other copies: %" PRIu64 " %s, %s left, time left: %s",
			      r.copy_chunks, chunks_word(r.copy_chunks), left,
			      eta);
	else if (r.grace_chunks)
		finding_doing(f, "nothing yet: it may come back, and then lacks little; after its recovery grace %" PRIu64 " %s copied elsewhere",
			      r.grace_chunks, r.grace_chunks == 1 ?
			      "chunk is" : "chunks are");
	else
		finding_doing(f, "nothing is left to copy, as far as the other peers have noticed by now");
}

static void add_down(struct status *s, const struct ctl_peer *p)
{
	const char *address = p->doc.address;
	struct finding *f = status_add(s, severity_of_missing(s), "peer-down",
				       address);

	finding_what(f, "peer %s is down", address);
	say_meaning(s, f);
	say_repair(s, f);
	finding_command(f, "start its torusd on host %.100s; if it is lost for good: torusctl peer remove --force %s",
			p->doc.host, address);
}

static void add_silent(struct status *s, const struct ctl_peer *p,
		       const struct survey_answer *a)
{
	const char *address = p->doc.address;
	struct finding *f = status_add(s, severity_of_missing(s), "peer-silent",
				       address);

	finding_what(f, "peer %s does not answer (%s), although its lease stands",
		     address, strerror(-a->err));
	say_meaning(s, f);
	say_repair(s, f);
	finding_command(f, "restart its torusd on host %.100s; if the host is gone, its lease ends within 30 s",
			p->doc.host);
}

static void add_leaseless(struct status *s, const struct ctl_peer *p)
{
	const char *address = p->doc.address;
	struct finding *f = status_add(s, CTL_DEGRADED, "peer-leaseless",
				       address);

	finding_what(f, "peer %s answers, but has no lease: it does not reach the metadata store",
		     address);
	finding_means(f, "it serves data, but takes no part in repair, and others take it for down");
	finding_doing(f, "it tries again by itself");
	finding_command(f, "see the log of its torusd on host %.100s",
			p->doc.host);
}

static void check_peer(struct status *s, const struct ctl_peer *p,
		       const struct survey_answer *a)
{
	if (!p->alive && a->err)
		add_down(s, p);
	else if (a->err)
		add_silent(s, p, a);
	else if (!p->alive)
		add_leaseless(s, p);
}

/* A ring that names a peer of which the store knows nothing. */
static void check_members(struct status *s)
{
	const struct ring_spec *ring = &s->view.ring->current;
	char id[UUID_TEXT_SIZE];
	struct finding *f;

	for (uint32_t i = 0; i < ring->member_count; i++) {
		if (view_peer(&s->view, &ring->members[i].peer))
			continue;
		uuid_format(&ring->members[i].peer, id);
		f = status_add(s, severity_of_missing(s), "peer-unknown",
			       id);
		finding_what(f, "the ring has a member %s that has not made itself known",
			     id);
		say_meaning(s, f);
		say_repair(s, f);
		finding_command(f, "start its torusd on host %.64s, which makes it known; one that runs does so within 30 s; if it is lost for good: torusctl peer remove --force %s",
				ring->members[i].host, id);
	}
}

static void check_maintenance(struct status *s)
{
	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct ctl_peer *p = &s->view.peers[i];
		struct finding *f;

		if (!p->member || s->survey.answers[i].err ||
		    s->survey.answers[i].maintained)
			continue;
		f = status_add(s, CTL_OK, "peer-unmaintained", p->doc.address);
		finding_what(f, "the torusd of peer %s does not look after its chunks",
			     p->doc.address);
		finding_means(f, "it serves data, but repairs, moves and verifies none");
		finding_command(f, "install the newer torusd on host %.100s and restart it",
				p->doc.host);
	}
}

void status_peers(struct status *s)
{
	for (size_t i = 0; i < s->view.peer_count; i++)
		if (s->view.peers[i].member)
			check_peer(s, &s->view.peers[i], &s->survey.answers[i]);
	check_members(s);
	check_maintenance(s);
}
