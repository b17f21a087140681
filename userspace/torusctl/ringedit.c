// SPDX-License-Identifier: Apache-2.0
#include "ringedit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "table.h"

#define CHANGE_TRIES 16

const struct ctl_peer *ringedit_find(const struct ctl_peer *peers, size_t count,
				     const char *what)
{
	struct uuid id;
	bool by_id = uuid_parse(what, &id) == 0;

	for (size_t i = 0; i < count; i++)
		if (by_id ? uuid_equal(&peers[i].doc.id, &id) :
			    strcmp(peers[i].doc.address, what) == 0)
			return &peers[i];
	error_set(-ENOENT, "no peer has the address or uuid '%s'; 'torusctl peer list' shows all",
		  what);
	return NULL;
}

/*
 * The store keeps two rings. A tail that names the previous one would not be
 * understood after the change.
 */
static int check_tails(const struct view *view)
{
	uint64_t version = view->ring->current.version;

	for (size_t i = 0; i < view->volume_count; i++) {
		const struct tail *t = &view->volumes[i].tail;

		if (t->last && t->first <= t->last && t->ring_version < version)
			return error_set(-EBUSY, "the log of volume '%s' may still end under ring version %" PRIu64 "; attach it (a volume that is attached moves on by itself in a moment), or, if its helper is gone and nobody needs its device, torusctl detach %s --force, then repeat",
					 view->volumes[i].name, t->ring_version,
					 view->volumes[i].name);
	}
	return 0;
}

/* ---- a change that is under way ------------------------------------------------ */

void ringedit_progress(const struct ctl_peer *peer,
		       const struct survey_answer *a, char *text, size_t len)
{
	char bytes[32], eta[32];

	size_format(a->m.copy_bytes, bytes, sizeof(bytes));
	duration_format(a->m.eta_s, eta, sizeof(eta));
	if (a->err)
		snprintf(text, len, "%s", peer->alive ? "does not answer" :
			 "down");
	else if (!a->maintained)
		snprintf(text, len, "its torusd moves no chunks: it is too old");
	else if (a->m.copy_chunks)
		snprintf(text, len, "%" PRIu64 " %s, %s to copy, %s",
			 a->m.copy_chunks, chunks_word(a->m.copy_chunks),
			 bytes, eta);
	else if (a->m.drop_chunks)
		snprintf(text, len, "%" PRIu64 " %s to give up",
			 a->m.drop_chunks, chunks_word(a->m.drop_chunks));
	else
		snprintf(text, len, "nothing to copy now: it confirms when all members answer and have settled");
}

/* "127.0.0.1:7000 (down), ...", as far as there is room. */
static void name_awaited(const struct view *view, const struct survey *survey,
			 char *text, size_t len)
{
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < view->peer_count && used < len; i++) {
		char progress[128];

		if (!view_awaits(view, &view->peers[i]))
			continue;
		ringedit_progress(&view->peers[i], &survey->answers[i],
				  progress, sizeof(progress));
		used += (size_t)snprintf(text + used, len - used, "%s%.200s (%s)",
					 used ? ", " : "",
					 view->peers[i].doc.address, progress);
	}
}

static int check_moved(struct ctl *ctl, const struct view *view)
{
	struct survey survey = { 0 };
	char names[600];
	int err;

	if (ctl_given(ctl, OPT_FORCE) || !view_moving(view))
		return 0;
	err = survey_run(ctl, view->peers, view->peer_count, &survey);
	if (!err) {
		name_awaited(view, &survey, names, sizeof(names));
		err = error_set(-EBUSY, "the change to ring version %" PRIu64 " is still under way: not yet confirmed by %s; wait ('torusctl ring get' shows it), or repeat with --force",
				view->ring->current.version, names);
	}
	survey_release(&survey);
	return err;
}

/* ---- what may be changed ------------------------------------------------------- */

static int refuse_few(uint32_t members, const char *who, uint32_t copies)
{
	return error_set(-EINVAL, "the ring would have %u %s for data, and %s %u copies; put more in with 'torusctl peer add', or repeat with --force",
			 members, members == 1 ? "member" : "members", who,
			 copies);
}

/* Only what gets worse is refused: a ring that is being built is short too. */
static int check_members(struct ctl *ctl, const struct view *view,
			 const struct ring_spec *new)
{
	const struct ring_spec *old = &view->ring->current;
	uint32_t had = ring_members_of_weight(old);
	uint32_t has = ring_members_of_weight(new);

	if (ctl_given(ctl, OPT_FORCE))
		return 0;
	if (has < new->replication &&
	    (has < had || new->replication > old->replication))
		return refuse_few(has, "new volumes want", new->replication);
	for (size_t i = 0; has < had && i < view->volume_count; i++) {
		char who[VOLUME_NAME_MAX + 32];

		snprintf(who, sizeof(who), "volume %s has",
			 view->volumes[i].name);
		if (has < view->volumes[i].replication)
			return refuse_few(has, who,
					  view->volumes[i].replication);
	}
	return 0;
}

static int write_ring(struct ctl *ctl, const struct view *view)
{
	CLEANUP_FREE char *text = ring_doc_encode(view->ring);
	char key[META_KEY_MAX];
	struct meta_txn txn = {
		.compare = { { key, view->ring_revision } }, .compare_count = 1,
		.put = { { key, text, 0 } }, .put_count = 1,
	};

	if (!text)
		return error_set(-ENOMEM, "out of memory");
	key_ring(&ctl->cluster.id, key);
	return ctl_txn(ctl, &txn);
}

static bool is_same(const struct ring_spec *a, const struct ring_spec *b)
{
	return a->type == b->type && a->replication == b->replication &&
	       a->member_count == b->member_count &&
	       memcmp(a->members, b->members,
		      a->member_count * sizeof(a->members[0])) == 0;
}

static int check_ring(const struct ring_spec *spec)
{
	struct ring *check;
	int err = ring_create(spec, &check);

	if (!err)
		ring_free(check);
	return err;
}

static int change_view(struct ctl *ctl, struct view *view, ringedit_fn edit,
		       void *ctx, struct ring_spec *new)
{
	struct ring_doc *ring = view->ring;
	int err;

	*new = ring->current;
	err = edit(ctl, view, new, ctx);
	/* The ring before this one is worth more than a copy of this one. */
	if (err || is_same(&ring->current, new))
		return err;
	new->version = ring->current.version + 1;
	err = check_ring(new);
	if (!err)
		err = check_tails(view);
	if (!err)
		err = check_members(ctl, view, new);
	if (!err)
		err = check_moved(ctl, view);
	if (err)
		return err;
	ring->previous = ring->current;
	ring->has_previous = true;
	ring->current = *new;
	return write_ring(ctl, view);
}

static int change_once(struct ctl *ctl, ringedit_fn edit, void *ctx)
{
	CLEANUP_FREE struct ring_spec *new = malloc(sizeof(*new));
	struct view view;
	int err;

	if (!new)
		return error_set(-ENOMEM, "out of memory");
	err = view_load(ctl, &view);
	if (!err)
		err = change_view(ctl, &view, edit, ctx, new);
	view_release(&view);
	return err;
}

int ringedit_change(struct ctl *ctl, ringedit_fn edit, void *ctx)
{
	int err = -EAGAIN;

	for (int i = 0; err == -EAGAIN && i < CHANGE_TRIES; i++)
		err = change_once(ctl, edit, ctx);
	return err;
}
