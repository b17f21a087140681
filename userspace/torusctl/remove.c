// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl peer remove: of a peer that is empty, which costs nothing; or by
 * force of one that is lost, whose chunks are then repaired from their other
 * copies. One that answers and holds chunks is never removed: it is drained
 * first, so that at no time a copy less exists.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ringedit.h"
#include "survey.h"
#include "table.h"

#define LEASE_S 30			/* as torusd asks for it */
#define LEASE_WAIT_NS ((LEASE_S + 15) * NSEC_PER_SEC)

struct removal {
	struct ringedit_args args;
	struct uuid *lost;		/* that do not answer; room for all */
	int lost_count;
};

static int refuse_full(const struct ctl_peer *p, const struct ring_spec *spec,
		       const struct survey_answer *a)
{
	const char *address = p->doc.address;
	char progress[128];

	if (p->member && !p->weight && ring_weighs(spec->type)) {
		ringedit_progress(p, a, progress, sizeof(progress));
		return error_set(-EBUSY, "peer %s is being drained and holds %" PRIu64 " %s still (%s): wait until 'torusctl peer list' calls it drained",
				 address, a->chunks, chunks_word(a->chunks),
				 progress);
	}
	return error_set(-EBUSY, "peer %s holds %" PRIu64 " %s, which would have a copy less: 'torusctl peer drain %s' moves all to the other peers first; if it must go at once, end its torusd, then repeat with --force",
			 address, a->chunks, chunks_word(a->chunks), address);
}

/* *@lost: it does not answer, and is to go all the same. */
static int check_peer(struct ctl *ctl, const struct ring_spec *spec,
		      const struct ctl_peer *p, bool *lost)
{
	struct survey survey = { 0 };
	int err = survey_run(ctl, p, 1, &survey);

	*lost = false;
	if (err)
		goto out;
	*lost = survey.answers[0].err && ctl_given(ctl, OPT_FORCE);
	if (*lost)
		goto out;
	if (survey.answers[0].err)
		err = error_set(survey.answers[0].err, "peer %s does not answer, so that it cannot be told whether it holds chunks; start it, or remove it with --force if it is lost for good",
				p->doc.address);
	else if (survey.answers[0].chunks)
		err = refuse_full(p, spec, &survey.answers[0]);
out:
	survey_release(&survey);
	return err;
}

static int remove_one(struct ctl *ctl, struct ring_spec *spec,
		      const struct ctl_peer *p, struct removal *r)
{
	bool lost;
	int err = check_peer(ctl, spec, p, &lost);

	if (err)
		return err;
	if (lost)
		r->lost[r->lost_count++] = p->doc.id;
	/* One that is out of the ring already can still be forgotten. */
	if (lost && !ring_change_has(spec, &p->doc.id))
		return 0;
	return ring_change_remove(spec, &p->doc.id);
}

/*
 * A member that has no document, as after a recovery of the metadata, has no
 * address either that could be asked. One that lives makes itself known.
 */
static int remove_unknown(struct ctl *ctl, struct ring_spec *spec,
			  const char *what, struct removal *r)
{
	struct uuid id;

	if (uuid_parse(what, &id) || !ring_change_has(spec, &id))
		return -ENOENT;		/* as ringedit_find() said */
	if (!ctl_given(ctl, OPT_FORCE))
		return error_set(-ENOENT, "member %s of the ring has not made itself known, so that it cannot be told whether it holds chunks; start it, or remove it with --force if it is lost for good",
				 what);
	r->lost[r->lost_count++] = id;
	return ring_change_remove(spec, &id);
}

static int edit_remove(struct ctl *ctl, const struct view *view,
		       struct ring_spec *spec, void *ctx)
{
	struct removal *r = ctx;
	int err = 0;

	r->lost_count = 0;
	for (int i = 0; !err && i < r->args.argc; i++) {
		const struct ctl_peer *p = ringedit_find(view->peers,
							 view->peer_count,
							 r->args.argv[i]);

		err = p ? remove_one(ctl, spec, p, r) :
			  remove_unknown(ctl, spec, r->args.argv[i], r);
	}
	return err;
}

/* 0; -EAGAIN: its lease stands. */
static int forget_now(struct ctl *ctl, const struct uuid *id)
{
	char peer[META_KEY_MAX], alive[META_KEY_MAX], moved[META_KEY_MAX];
	struct meta_txn txn = {
		.compare = { { alive, 0 } }, .compare_count = 1,
		.put = { { peer, NULL, 0 }, { moved, NULL, 0 } },
		.put_count = 2,
	};

	key_peer(&ctl->cluster.id, id, peer);
	key_alive(&ctl->cluster.id, id, alive);
	key_moved(&ctl->cluster.id, id, moved);
	return ctl_txn(ctl, &txn);
}

/* One that has just died has a lease for a while. */
static int forget_after_lease(struct ctl *ctl, const struct uuid *id,
			      const char *name)
{
	char alive[META_KEY_MAX];
	int err;

	fprintf(stderr, "Peer %s is out of the ring. Its lease stands for up to %d s yet, so that it may live: waiting for the end of that to forget it.\n",
		name, LEASE_S);
	key_alive(&ctl->cluster.id, id, alive);
	err = ctl_await_gone(ctl, alive, LEASE_WAIT_NS);
	if (!err)
		err = forget_now(ctl, id);
	return err == -ETIME ? -EAGAIN : err;
}

/*
 * As long as a peer is known, recovery after a loss of data, and a read of
 * which all copies are bad, wait for it: it might have what the others lack.
 * One that keeps its lease lives, and is known with reason.
 */
static int forget(struct ctl *ctl, const struct uuid *id)
{
	char name[UUID_TEXT_SIZE];
	int err;

	uuid_format(id, name);
	err = forget_now(ctl, id);
	if (err == -EAGAIN)
		err = forget_after_lease(ctl, id, name);
	if (err == -EAGAIN) {
		fprintf(stderr, "Peer %s is out of the ring, but keeps its lease: its torusd runs, although it does not answer here. End that; then 'torusctl peer remove --force %s' forgets it.\n",
			name, name);
		return 0;
	}
	if (!err)
		fprintf(stderr, "Peer %s is forgotten: nothing waits for what it holds. When it comes back, it makes itself known again.\n",
			name);
	return err;
}

/* What that means, for who typed --force in a hurry. */
static void say_what_is_lost(struct ctl *ctl)
{
	struct volume_doc *volumes;
	size_t count;

	fprintf(stderr, "Chunks that had a copy on it are copied from their other copies now; 'torusctl status' shows how far that is.\n");
	if (ctl_volumes(ctl, &volumes, &count))
		return;
	for (size_t i = 0; i < count; i++)
		if (volumes[i].replication == 1 && volumes[i].next_chunk > 1)
			fprintf(stderr, "Volume %s has one copy: what of it lay there is lost, and reads of that fail.\n",
				volumes[i].name);
	free(volumes);
}

int cmd_peer_remove(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP_FREE struct uuid *lost = calloc((size_t)argc, sizeof(*lost));
	struct removal r = { { argc, argv, false }, lost, 0 };
	int err;

	if (!lost)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	err = ringedit_change(ctl, edit_remove, &r);
	if (!err && r.lost_count)
		say_what_is_lost(ctl);
	for (int i = 0; !err && i < r.lost_count; i++)
		err = forget(ctl, &r.lost[i]);
	return err ? ctl_fail(err) : CTL_OK;
}
