// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl peer drain|undrain: a member of weight 0 owns nothing as long as
 * others can, so that its chunks move to these. Its weight need not be
 * remembered: it is its size.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/size.h"
#include "ctl.h"
#include "ringedit.h"
#include "table.h"

struct draining {
	struct ringedit_args args;
	bool drain;
	int changed;
};

static struct ring_member *find_member(struct ring_spec *spec,
				       const struct uuid *id)
{
	for (uint32_t i = 0; i < spec->member_count; i++)
		if (uuid_equal(&spec->members[i].peer, id))
			return &spec->members[i];
	return NULL;
}

static int set_weight(struct ring_spec *spec, const struct ctl_peer *p,
		      struct draining *d)
{
	struct ring_member *m = find_member(spec, &p->doc.id);
	uint64_t weight = d->drain ? 0 : p->doc.size;

	if (!m)
		return error_set(-ENOENT, "peer %s is not in the ring%s",
				 p->doc.address, d->drain ? "" :
				 "; 'torusctl peer add' puts it in");
	if (!d->drain && !weight)
		return error_set(-EINVAL, "peer %s says that it has no space; see its torusd",
				 p->doc.address);
	if (m->weight == weight || (!d->drain && m->weight)) {
		fprintf(stderr, "Peer %s is %s already.\n", p->doc.address,
			d->drain ? "drained" : "in use");
		return 0;
	}
	m->weight = weight;
	d->changed++;
	return 0;
}

static int edit_weights(struct ctl *ctl, const struct view *view,
			struct ring_spec *spec, void *ctx)
{
	struct draining *d = ctx;
	int err = 0;

	(void)ctl;
	d->changed = 0;
	if (!ring_weighs(spec->type))
		return error_set(-EINVAL, "a ring of type %s knows no weights, so that nothing would move; 'torusctl ring manual-change --type ketama --all-peers' makes it one that does",
				 ring_type_name(spec->type));
	for (int i = 0; !err && i < d->args.argc; i++) {
		const struct ctl_peer *p = ringedit_find(view->peers,
							 view->peer_count,
							 d->args.argv[i]);

		err = p ? set_weight(spec, p, d) : -ENOENT;
	}
	return err;
}

/* It is drained whether or not it answers, but then it moves nothing itself.
 * Returns whether it answers, as far as that can be told. */
static bool say_what_it_holds(struct ctl *ctl, const char *who)
{
	struct survey survey = { 0 };
	const struct ctl_peer *p = NULL;
	struct view view;
	bool answers = true;
	char bytes[32];

	if (view_load(ctl, &view) == 0)
		p = ringedit_find(view.peers, view.peer_count, who);
	if (p && survey_run(ctl, p, 1, &survey) == 0)
		answers = !survey.answers[0].err;
	if (answers && survey.count) {
		size_format(survey.answers[0].used, bytes, sizeof(bytes));
		printf("Peer %s holds %" PRIu64 " %s (%s). ", who,
		       survey.answers[0].chunks,
		       chunks_word(survey.answers[0].chunks), bytes);
	}
	survey_release(&survey);
	view_release(&view);
	return answers;
}

static void say_that_it_is_silent(const char *who)
{
	printf("Peer %s does not answer. New data goes to other peers, and what %s holds is copied from the other copies; the change of the ring ends only when it answers again, or is removed.\n"
	       "  if it is lost for good:  torusctl peer remove --force %s\n",
	       who, who, who);
}

static void say_what_happens(struct ctl *ctl, const char *who)
{
	if (!say_what_it_holds(ctl, who)) {
		say_that_it_is_silent(who);
		return;
	}
	printf("New data goes to other peers; what %s holds is copied to them now, and it serves reads until then.\n",
	       who);
	printf("  how far it is:   torusctl peer list\n"
	       "  when it says 'drained':  torusctl peer remove %s\n"
	       "  to undo it:      torusctl peer undrain %s (--force while the ring still changes)\n",
	       who, who);
}

int cmd_peer_drain(struct ctl *ctl, int argc, char **argv)
{
	struct draining d = { { argc, argv, false }, true, 0 };
	int err = ringedit_change(ctl, edit_weights, &d);

	if (err)
		return ctl_fail(err);
	for (int i = 0; d.changed && i < argc; i++)
		say_what_happens(ctl, argv[i]);
	return CTL_OK;
}

int cmd_peer_undrain(struct ctl *ctl, int argc, char **argv)
{
	struct draining d = { { argc, argv, false }, false, 0 };
	int err = ringedit_change(ctl, edit_weights, &d);

	if (err)
		return ctl_fail(err);
	if (d.changed)
		printf("New data goes to %s again, and the share of the stored data that belongs there is copied back; 'torusctl peer list' shows how far it is.\n",
		       argc == 1 ? argv[0] : "these peers");
	return CTL_OK;
}
