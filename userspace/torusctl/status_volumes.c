// SPDX-License-Identifier: Apache-2.0
/*
 * status: volumes whose server is gone, whose log was left open, or that are
 * written with fewer copies than they should have.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "status.h"

#define ATTACH_MS 10000ll

bool status_owner_alive(const struct status *s, const struct volume_doc *v)
{
	for (size_t i = 0; i < s->owner_count; i++)
		if (s->owners[i] == v->id)
			return true;
	return false;
}

/* Who attaches has a moment without a lease, which is written after the claim. */
static bool is_attached_just_now(const struct volume_doc *v)
{
	int64_t age_ms = (int64_t)time(NULL) * 1000 -
			 (int64_t)v->attachment.since_ms;

	return -ATTACH_MS < age_ms && age_ms < ATTACH_MS;
}

static void check_owner(struct status *s, const struct volume_doc *v)
{
	struct finding *f;

	if (!v->attachment.present || status_owner_alive(s, v) ||
	    is_attached_just_now(v))
		return;
	f = status_add(s, CTL_DEGRADED, "volume-abandoned", v->name);
	finding_what(f, "volume %s: its helper on host %.100s (process %" PRIu64 ") is unreachable",
		     v->name, v->attachment.host, v->attachment.pid);
	finding_means(f, "nothing that was acknowledged is lost; the volume stays with that host until someone takes it");
	if (strcmp(v->attachment.device, "nbdkit") == 0)
		finding_command(f, "start nbdkit with force=true; or as a device: torusctl attach %s --force; if nobody needs it now: torusctl detach %s --force",
				v->name, v->name);
	else
		finding_command(f, "on that host: torusctl attach %s; elsewhere: torusctl attach %s --force; if nobody needs it now: torusctl detach %s --force",
				v->name, v->name, v->name);
}

static bool tail_is_open(const struct volume_doc *v)
{
	return v->tail.last && v->tail.first <= v->tail.last;
}

static void check_log(struct status *s, const struct volume_doc *v)
{
	struct finding *f;

	if (v->attachment.present || !tail_is_open(v))
		return;
	f = status_add(s, CTL_OK, "volume-open", v->name);
	finding_what(f, "volume %s was not detached in order: the end of its log is open",
		     v->name);
	finding_means(f, "nothing that was acknowledged is lost; what is in its last chunks is not repaired before they are closed");
	finding_doing(f, "the peers close it when nobody has written for their recovery grace");
	finding_command(f, "torusctl attach %s (it closes it at once, as nbdkit does)", v->name);
}

bool volume_leaves_out(const struct tail *t, const struct uuid *id)
{
	for (uint32_t i = 0; i < t->excluded_count; i++)
		if (uuid_equal(&t->excluded[i], id))
			return true;
	return false;
}

/* Members that this volume's log may be written to now, and one of those that
 * it leaves out: rather one that does not answer, since that is the trouble. */
static uint32_t members_of_tail(const struct status *s, const struct tail *t,
				const struct ctl_peer **left_out)
{
	const struct ring_spec *ring = &s->view.ring->current;
	bool silent = false;
	uint32_t n = 0;

	for (uint32_t i = 0; i < ring->member_count; i++) {
		const struct uuid *id = &ring->members[i].peer;
		bool answers = status_reachable(s, id);

		if (!volume_leaves_out(t, id)) {
			n += answers;
		} else if (!silent) {
			*left_out = view_peer(&s->view, id);
			silent = !answers;
		}
	}
	return n;
}

/* One that answers again is taken back by the next write: nothing is to do
 * about it, but about whoever else is missing. */
static void say_left_out(const struct status *s, struct finding *f,
			 const struct ctl_peer *left_out)
{
	const char *address = left_out->doc.address;
	enum wire_space_state space = WIRE_SPACE_OK;

	for (size_t i = 0; i < s->view.peer_count; i++)
		if (&s->view.peers[i] == left_out)
			space = s->survey.answers[i].space_state;
	if (!status_reachable(s, &left_out->doc.id)) {
		finding_doing(f, "a new chunk is begun with all copies when the peer answers again");
		finding_command(f, "see that peer %s is well; or start another torusd, then torusctl peer add --all-peers",
				address);
	} else if (space == WIRE_SPACE_FULL) {
		finding_doing(f, "a new chunk is begun with all copies when the peer has room again");
		finding_command(f, "make room on peer %s: delete or discard what is not needed; or start another torusd, then torusctl peer add --all-peers",
				address);
	} else {
		finding_doing(f, "peer %s answers again: a new chunk is begun with all copies when something is written",
			      address);
		finding_command(f, "nothing for this peer; see to the others that do not answer");
	}
}

static void check_ensemble(struct status *s, const struct volume_doc *v)
{
	const struct ctl_peer *left_out = NULL;
	struct finding *f;
	uint32_t copies;

	if (!v->attachment.present || !tail_is_open(v))
		return;
	copies = members_of_tail(s, &v->tail, &left_out);
	if (!left_out || copies >= v->replication)
		return;
	f = status_add(s, CTL_DEGRADED, "volume-short", v->name);
	finding_what(f, "volume %s leaves out peer %s, which failed it, and is written with %u of %u copies",
		     v->name, left_out->doc.address, copies, v->replication);
	finding_means(f, "what is written now has fewer copies than it should, until it is repaired");
	say_left_out(s, f, left_out);
}

void status_volumes(struct status *s)
{
	for (size_t i = 0; i < s->view.volume_count; i++) {
		check_owner(s, &s->view.volumes[i]);
		check_log(s, &s->view.volumes[i]);
		check_ensemble(s, &s->view.volumes[i]);
	}
}
