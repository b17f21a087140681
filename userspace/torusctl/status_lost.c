// SPDX-License-Identifier: Apache-2.0
/*
 * status: data that is gone, as after a peer was removed by force that had the
 * only copies. Nobody else would notice before it is read: all owners answer,
 * and none of them knows that it lacks a chunk which nobody has. So the chunks
 * that each volume needs are read from its table, and the peers are asked for
 * them. Where some peer does not answer, what is missing may be there.
 *
 * A chunk may be on its way from one peer to another, and is asked for twice. One
 * may have been given up by a newer root: what is missing counts only if the root
 * is still the volume's afterwards.
 *
 * Many volumes are not all looked at: there is a time limit, and chance decides
 * where to begin.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "live.h"
#include "lookup.h"
#include "status.h"

#define TIME_LIMIT_NS (3 * NSEC_PER_SEC)
#define CHUNKS_MAX 200000u		/* of one volume */

struct loss {
	struct status *s;
	const struct volume_doc *v;
	uint64_t deadline;
	uint64_t missing[WIRE_LOOKUP_MAX];
	uint32_t count;
	bool rootless;			/* which chunks it needs is not known */
	bool silent;			/* a peer did not answer */
};

static bool everybody_answers(const struct status *s)
{
	for (size_t i = 0; i < s->survey.count; i++)
		if (s->survey.answers[i].err)
			return false;
	/* A member without a document cannot be asked. */
	return members_reachable(s) == s->view.ring->current.member_count;
}

static bool is_reported(const struct status *s, const struct volume_doc *v)
{
	for (unsigned int i = 0; i < s->finding_count; i++)
		if (strcmp(s->findings[i].name, "volume-unreadable") == 0 &&
		    strcmp(s->findings[i].subject, v->name) == 0)
			return true;
	return false;
}

/* Those of @chunks that nobody has become loss->missing. 0 or -EAGAIN. */
static int ask(struct loss *l, const uint64_t *chunks, uint32_t count)
{
	CLEANUP_FREE enum lookup_copy *found = calloc(count, sizeof(*found));
	struct status *s = l->s;
	int unanswered;

	if (!found)
		return -EAGAIN;
	unanswered = lookup_chunks(s->ctl, s->cluster, s->view.peers,
				   &s->survey, l->v->id, chunks, count, found);
	if (unanswered < 0)
		return -EAGAIN;
	l->silent |= unanswered > 0;
	for (uint32_t i = 0; i < count && l->count < WIRE_LOOKUP_MAX; i++)
		if (found[i] == LOOKUP_NONE)
			l->missing[l->count++] = chunks[i];
	return 0;
}

static int ask_for_all(struct loss *l, const struct live_chunks *live)
{
	int err = 0;

	for (size_t at = 0; !err && at < live->count;
	     at += WIRE_LOOKUP_MAX) {
		if (l->count == WIRE_LOOKUP_MAX)
			break;
		if (env_now(l->s->ctl->env) > l->deadline)
			return -EAGAIN;
		err = ask(l, live->chunks + at,
			  (uint32_t)MIN(live->count - at,
					(size_t)WIRE_LOOKUP_MAX));
	}
	return err;
}

static int ask_again(struct loss *l)
{
	CLEANUP_FREE uint64_t *chunks = calloc(l->count, sizeof(*chunks));
	uint32_t count = l->count;

	if (!chunks)
		return -EAGAIN;
	memcpy(chunks, l->missing, count * sizeof(*chunks));
	l->count = 0;
	l->silent = false;
	return ask(l, chunks, count);
}

static int look(struct loss *l)
{
	struct live_chunks live = { .max = CHUNKS_MAX };
	struct status *s = l->s;
	int err;

	err = live_chunks_read(s->ctl, s->cluster, &s->view, &s->survey, l->v,
			       &live);
	if (!err)
		err = ask_for_all(l, &live);
	if (!err && l->count)
		err = ask_again(l);
	live_chunks_release(&live);
	l->rootless = err == -ENODATA;
	return l->rootless ? 0 : err;
}

/* Nobody has published, attached or deleted meanwhile. */
static bool is_still(const struct status *s, const struct volume_doc *v)
{
	CLEANUP_FREE struct volume_doc *now = malloc(sizeof(*now));

	return now && !ctl_volume_get(s->ctl, v->name, now) &&
	       now->id == v->id && now->epoch == v->epoch &&
	       now->root.addr == v->root.addr;
}

static void say_missing(const struct loss *l, struct finding *f)
{
	const char *name = l->v->name;

	if (l->rootless) {
		finding_what(f, "volume %s: no peer that answers has a good copy of its root, or of its table of chunks",
			     name);
		return;
	}
	finding_what(f, "volume %s: no peer that answers has a copy of %u%s of its chunks",
		     name, l->count,
		     l->count == WIRE_LOOKUP_MAX ? " or more" : "");
}

static void add_unreadable(const struct loss *l)
{
	struct status *s = l->s;
	struct finding *f = status_add(s, CTL_UNAVAILABLE, "volume-unreadable",
				       l->v->name);

	say_missing(l, f);
	finding_means(f, "%s; nothing is lost as long as one of the peers that hold it comes back",
		      l->rootless ? "the volume cannot be attached" :
		      "reads of what lies there wait, and fail after the volume's I/O timeout");
	finding_command(f, "start the peers that are down: torusctl peer list (it names them)");
	s->unreadable = l->v->name;
}

static void add_lost(const struct loss *l)
{
	struct finding *f = status_add(l->s, CTL_UNAVAILABLE, "volume-lost",
				       l->v->name);

	say_missing(l, f);
	finding_means(f, "all peers that are known answer, so that it is lost, unless a peer that was removed has it still; %s",
		      l->rootless ? "the volume cannot be attached" :
		      "reads of what lies there fail, and never return wrong data");
	finding_doing(f, "nothing: there is no copy to repair from");
	finding_command(f, "if the directory of a removed peer exists still, start its torusd on it: the others take over what they lack, see torusctl peer list (it shows how far that is); else write what lay there anew from a backup, or torusctl volume delete %s",
			l->v->name);
}

static void check_volume(struct loss *l, const struct volume_doc *v)
{
	l->v = v;
	l->count = 0;
	l->rootless = l->silent = false;
	if (look(l) || (!l->count && !l->rootless) || !is_still(l->s, v))
		return;
	if (everybody_answers(l->s) && !l->silent)
		add_lost(l);
	else
		add_unreadable(l);
}

void status_lost(struct status *s)
{
	size_t count = s->view.volume_count;
	CLEANUP_FREE struct loss *l = calloc(1, sizeof(*l));
	uint64_t now = env_now(s->ctl->env);

	if (!count || !l || !status_cluster(s))
		return;
	l->s = s;
	l->deadline = now + TIME_LIMIT_NS;
	for (size_t i = 0; i < count; i++) {
		const struct volume_doc *v =
			&s->view.volumes[(now + i) % count];

		if (env_now(s->ctl->env) > l->deadline)
			break;
		if (v->root.addr && !is_reported(s, v))
			check_volume(l, v);
	}
}
