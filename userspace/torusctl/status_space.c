// SPDX-License-Identifier: Apache-2.0
/* status: peers that are full, or will be. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/size.h"
#include "status.h"

/* Who has left out a peer that was full takes it back only when there is room
 * for more than a moment, as its store says: a little below full is not. */
static bool is_given_up(const struct status *s, const struct volume_doc *v,
			const struct ctl_peer *p, const struct survey_answer *a)
{
	uint64_t room = MIN(2 * (uint64_t)s->ctl->cluster.chunk_size,
			    a->size / 32);

	return v->attachment.present && v->tail.first <= v->tail.last &&
	       volume_leaves_out(&v->tail, &p->doc.id) &&
	       a->space_left < MAX(room, (uint64_t)WIRE_APPEND_MAX);
}

/* Members that take new data of this volume. */
static uint32_t members_with_room(const struct status *s,
				  const struct volume_doc *v)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct ctl_peer *p = &s->view.peers[i];
		const struct survey_answer *a = &s->survey.answers[i];

		n += p->member && !a->err &&
		     a->space_state != WIRE_SPACE_FULL &&
		     !is_given_up(s, v, p, a);
	}
	return n;
}

/* A volume that gets ENOSPC now, or NULL. */
static const struct volume_doc *find_refused(const struct status *s)
{
	uint32_t there = members_reachable(s);

	for (size_t i = 0; i < s->view.volume_count; i++) {
		const struct volume_doc *v = &s->view.volumes[i];
		uint32_t room = members_with_room(s, v);

		if (room < there && !status_writable(room, v->replication))
			return v;
	}
	return NULL;
}

static void say_command(const struct status *s, struct finding *f)
{
	bool available = false;

	for (size_t i = 0; i < s->view.peer_count; i++)
		available |= s->view.peers[i].alive && !s->view.peers[i].member;
	finding_command(f, "%s; or discard (fstrim) or delete what is not needed: torusctl volume delete NAME",
			available ? "torusctl peer add --all-peers" :
			"start more torusd, then torusctl peer add --all-peers");
}

/* What moves lies in two places for a while: peers may be full for that long. */
static void say_move(const struct status *s, struct finding *f)
{
	char left[32];
	struct repair r;

	if (!view_moving(&s->view))
		return;
	status_repair_sum(s, &r);
	size_format(r.copy_bytes, left, sizeof(left));
	finding_doing(f, "the ring changes, and what moves takes room in two places until the store that held it has given it up: %s left to copy; it may be less full afterwards (torusctl ring get shows how far it is)",
		      left);
}

static void add_full(struct status *s, const struct ctl_peer *p,
		     const struct volume_doc *refused)
{
	struct finding *f = status_add(s, refused ? CTL_UNAVAILABLE :
						    CTL_DEGRADED,
				       "peer-full", p->doc.address);

	finding_what(f, "peer %s is full", p->doc.address);
	if (refused)
		finding_means(f, "new writes, to volume %s at least, fail: no space left on device; reads, discards and deletes go on",
			      refused->name);
	else
		finding_means(f, "new data goes to the other peers, until too few of them have room: then writes fail: no space left on device");
	say_move(s, f);
	say_command(s, f);
}

static void add_near_full(struct status *s, const struct ctl_peer *p,
			  const struct survey_answer *a)
{
	struct finding *f = status_add(s, CTL_DEGRADED, "peer-near-full",
				       p->doc.address);
	char used[32], size[32];

	size_format(a->used, used, sizeof(used));
	size_format(a->size, size, sizeof(size));
	finding_what(f, "peer %s is nearly full", p->doc.address);
	finding_means(f, "%s of %s are used; when too few peers have room, writes fail: no space left on device",
		      used, size);
	say_move(s, f);
	say_command(s, f);
}

void status_space(struct status *s)
{
	const struct volume_doc *refused = find_refused(s);

	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct ctl_peer *p = &s->view.peers[i];
		const struct survey_answer *a = &s->survey.answers[i];

		if (!p->member || a->err)
			continue;
		if (a->space_state == WIRE_SPACE_FULL)
			add_full(s, p, refused);
		else if (a->space_state == WIRE_SPACE_NEAR_FULL)
			add_near_full(s, p, a);
	}
}
