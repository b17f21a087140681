// SPDX-License-Identifier: Apache-2.0
/* status: rings that are too small, rings that change, members that drain. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "status.h"
#include "table.h"

static bool any_volume_is_stuck(const struct status *s, uint32_t members)
{
	for (size_t i = 0; i < s->view.volume_count; i++)
		if (!status_writable(members, s->view.volumes[i].replication))
			return true;
	return false;
}

static void check_size(struct status *s)
{
	uint32_t members = s->view.ring->current.member_count;
	uint32_t copies = s->view.ring->current.replication;
	struct finding *f;

	if (members >= copies)
		return;
	f = status_add(s, any_volume_is_stuck(s, members) ? CTL_UNAVAILABLE :
							    CTL_DEGRADED,
		       "ring-small", "");
	finding_what(f, "the ring has %u %s for %u copies", members,
		     members == 1 ? "member" : "members", copies);
	if (status_writable(members, copies))
		finding_means(f, "new data has fewer copies than wanted");
	else if (members)
		finding_means(f, "a volume of %u or more copies cannot be written",
			      2 * members);
	else
		finding_means(f, "nothing can be written");
	status_command_for_members(s, f);
}

/* Volumes that want more copies than the ring's default. */
static void check_copies(struct status *s)
{
	uint32_t members = s->view.ring->current.member_count;

	for (size_t i = 0; i < s->view.volume_count; i++) {
		const struct volume_doc *v = &s->view.volumes[i];
		bool can_write = status_writable(members, v->replication);
		struct finding *f;

		if (v->replication <= members ||
		    v->replication <= s->view.ring->current.replication)
			continue;
		f = status_add(s, can_write ? CTL_DEGRADED : CTL_UNAVAILABLE,
			       "volume-copies", v->name);
		finding_what(f, "volume %s wants %u copies, the ring has %u members",
			     v->name, v->replication, members);
		finding_means(f, "%s", can_write ?
			      "its data have fewer copies than wanted" :
			      "it cannot be written");
		status_command_for_members(s, f);
	}
}

/* ---- changes --------------------------------------------------------------------- */

struct move {
	unsigned int stores, moved;
	const struct ctl_peer *stuck;	/* that nothing can be awaited from */
};

static void follow_move(const struct status *s, struct move *m)
{
	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct ctl_peer *p = &s->view.peers[i];
		struct ctl_peer unmoved = *p;

		unmoved.moved = 0;
		if (!view_awaits(&s->view, &unmoved))
			continue;
		m->stores++;
		m->moved += !view_awaits(&s->view, p);
		if (view_awaits(&s->view, p) && s->survey.answers[i].err)
			m->stuck = p;
	}
}

/* The log of a volume that may end under the ring before; rather one that stays
 * there until a person decides. */
static const struct volume_doc *held_by(const struct status *s,
					bool *abandoned)
{
	const struct volume_doc *found = NULL;

	*abandoned = false;
	for (size_t i = 0; i < s->view.volume_count && !*abandoned; i++) {
		const struct volume_doc *v = &s->view.volumes[i];

		if (v->tail.first > v->tail.last || !v->tail.last ||
		    v->tail.ring_version >= s->view.ring->current.version)
			continue;
		found = v;
		*abandoned = v->attachment.present &&
			     !status_owner_alive(s, v) &&
			     strcmp(v->attachment.device,
				    ATTACHMENT_MAINTENANCE) != 0;
	}
	return found;
}

/* What moves that log on. */
static void say_held(struct finding *f, const struct volume_doc *v,
		     bool abandoned)
{
	if (abandoned) {
		finding_doing(f, "nothing, before the log of volume %s is closed, whose helper is gone",
			      v->name);
		finding_command(f, "torusctl attach %s (with --force on another host than %.100s); if nobody needs its device any more: torusctl detach %s --force, and the peers close it",
				v->name, v->attachment.host, v->name);
	} else {
		finding_doing(f, "the log of volume %s has to move on: %s",
			      v->name, v->attachment.present ?
			      "its helper does that by itself" :
			      "the peers close it when nobody has written for their recovery grace");
	}
}

/* Every store has moved, but the ring before stays. */
static void check_held(struct status *s)
{
	bool abandoned;
	const struct volume_doc *v = held_by(s, &abandoned);
	struct finding *f;

	if (!s->view.ring->has_previous || !v)
		return;
	f = status_add(s, CTL_OK, "ring-held", v->name);
	finding_what(f, "the log of volume %s may still end under ring version %" PRIu64,
		     v->name, v->tail.ring_version);
	finding_means(f, "all data can be read; that ring is kept, no other change of the ring begins, and what the log ends in stays where it is, also on drained peers");
	say_held(f, v, abandoned);
}

static void check_move(struct status *s)
{
	const struct ring_doc *ring = s->view.ring;
	char left[32], eta[32];
	struct move m = { 0 };
	struct finding *f;
	struct repair r;

	if (!view_moving(&s->view))
		return;
	follow_move(s, &m);
	status_repair_sum(s, &r);
	size_format(r.copy_bytes, left, sizeof(left));
	duration_format(r.eta_s, eta, sizeof(eta));
	f = status_add(s, m.stuck ? CTL_DEGRADED : CTL_OK,
		       m.stuck ? "ring-stuck" : "ring-moving", "");
	finding_what(f, "the ring changes from version %" PRIu64 " to %" PRIu64 ": %u of %u stores have moved",
		     ring->previous.version, ring->current.version, m.moved,
		     m.stores);
	finding_means(f, "all data can be read meanwhile: a store gives up a chunk only when all of its new owners have it; no other change of the ring begins");
	finding_doing(f, "%s left to copy, time left: %s", left, eta);
	if (m.stuck)
		finding_command(f, "start the torusd of peer %s, which it waits for; if that is lost for good: torusctl peer remove --force %s",
				m.stuck->doc.address, m.stuck->doc.address);
	else
		finding_command(f, "torusctl ring get (it shows how far each store is)");
}

/* What lies in the declared end of a log stays until that has moved on. */
static void say_drain(struct finding *f, const struct survey_answer *a)
{
	char eta[32];

	duration_format(a->m.eta_s, eta, sizeof(eta));
	if (!a->maintained)
		finding_doing(f, "nothing: its torusd moves no chunks, it is too old");
	else if (a->m.copy_chunks)
		finding_doing(f, "they are copied to the other peers, time left: %s",
			      eta);
	else
		finding_doing(f, "it has none to copy now; it gives up what the others have, at the end of a volume's log only when that has moved on or the volume was detached, which it notices within a minute");
}

static void check_drains(struct status *s)
{
	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct ctl_peer *p = &s->view.peers[i];
		const struct survey_answer *a = &s->survey.answers[i];
		struct finding *f;

		if (!p->member || p->weight || a->err ||
		    !ring_weighs(s->view.ring->current.type))
			continue;
		f = status_add(s, CTL_OK, "peer-drained", p->doc.address);
		finding_what(f, "peer %s is %s and holds %" PRIu64 " %s",
			     p->doc.address, a->chunks ? "being drained" :
			     "drained", a->chunks, chunks_word(a->chunks));
		if (!a->chunks) {
			finding_means(f, "it gets no new data, and has none that others lack");
			finding_command(f, "torusctl peer remove %s",
					p->doc.address);
			continue;
		}
		finding_means(f, "it gets no new data, and serves what it holds until others have it");
		say_drain(f, a);
		finding_command(f, "nothing, until it holds none; to take it back: torusctl peer undrain %s",
				p->doc.address);
	}
}

void status_ring(struct status *s)
{
	check_size(s);
	check_copies(s);
	check_move(s);
	check_held(s);
	check_drains(s);
}
