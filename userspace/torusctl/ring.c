// SPDX-License-Identifier: Apache-2.0
/* torusctl ring set-replication|manual-change; ring_show.c has ring get */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ringedit.h"

static int edit_replication(struct ctl *ctl, const struct view *view,
			    struct ring_spec *spec, void *ctx)
{
	(void)ctl;
	(void)view;
	spec->replication = *(uint32_t *)ctx;
	return 0;
}

int cmd_ring_set_replication(struct ctl *ctl, int argc, char **argv)
{
	uint64_t number;
	uint32_t replication;
	int err = ctl_number("the number of copies", argv[0], 1,
			     RING_REPLICATION_MAX, &number);

	(void)argc;
	if (err)
		return ctl_bad_value(err);
	replication = (uint32_t)number;
	err = ringedit_change(ctl, edit_replication, &replication);
	if (err)
		return ctl_fail(err);
	fprintf(stderr, "New volumes get %u %s; volumes that exist keep theirs.\n",
		replication, replication == 1 ? "copy" : "copies");
	return CTL_OK;
}

/* ---- manual-change ----------------------------------------------------------- */

/* Members that the change leaves out must hold nothing: chunks do not move. */
static int refuse_lost_members(const struct ring_spec *old,
			       const struct ring_spec *new)
{
	char id[UUID_TEXT_SIZE];

	for (uint32_t i = 0; i < old->member_count; i++) {
		bool kept = false;

		for (uint32_t j = 0; j < new->member_count; j++)
			kept |= uuid_equal(&old->members[i].peer,
					   &new->members[j].peer);
		if (kept)
			continue;
		uuid_format(&old->members[i].peer, id);
		return error_set(-EBUSY, "the change leaves out peer %s, which may hold chunks; take it out with 'torusctl peer remove', or repeat with --force",
				 id);
	}
	return 0;
}

static int add_named(struct ctl *ctl, struct ring_spec *spec,
		     const struct ctl_peer *peers, size_t count)
{
	CLEANUP_FREE char *list = strdup(ctl->option[OPT_UUIDS]);
	char *save, *word;
	int err = list ? 0 : error_set(-ENOMEM, "out of memory");

	for (word = list ? strtok_r(list, ",", &save) : NULL; word && !err;
	     word = strtok_r(NULL, ",", &save)) {
		const struct ctl_peer *p = ringedit_find(peers, count, word);

		err = p ? ring_change_add(spec, &p->doc) : -ENOENT;
	}
	return err;
}

/* Who types a new ring does not mean to end a drain with it. */
static void keep_drained(const struct ring_spec *old, struct ring_member *m)
{
	for (uint32_t i = 0; i < old->member_count; i++)
		if (uuid_equal(&old->members[i].peer, &m->peer) &&
		    !old->members[i].weight)
			m->weight = 0;
}

static int fill_members(struct ctl *ctl, const struct view *view,
			struct ring_spec *spec)
{
	bool all = ctl_given(ctl, OPT_ALL_PEERS);
	int err = 0;

	if (ctl_given(ctl, OPT_UUIDS))
		err = add_named(ctl, spec, view->peers, view->peer_count);
	for (size_t i = 0; all && !err && i < view->peer_count; i++)
		if (view->peers[i].alive)
			err = ring_change_add(spec, &view->peers[i].doc);
	for (uint32_t i = 0; !err && i < spec->member_count; i++)
		keep_drained(&view->ring->current, &spec->members[i]);
	return err;
}

struct manual {
	enum ring_type type;
	uint64_t replication;
};

/* What is not given is what it was. */
static int parse_manual(struct ctl *ctl, struct manual *m)
{
	const char *type = ctl->option[OPT_TYPE];
	const char *r = ctl->option[OPT_REPLICATION];

	if (type && strcmp(type, "union") == 0)
		return error_set(-EINVAL, "--type union: that is what a ring is while it changes from one to the other; use ketama, zones, mod, single or empty");
	if (type && ring_type_parse(type, &m->type))
		return error_set(-EINVAL, "--type %s: no such ring type; use ketama, zones, mod, single or empty",
				 type);
	if (r)
		return ctl_number("--replication", r, 1, RING_REPLICATION_MAX,
				  &m->replication);
	return 0;
}

static int edit_manual(struct ctl *ctl, const struct view *view,
		       struct ring_spec *spec, void *ctx)
{
	CLEANUP_FREE struct ring_spec *new = calloc(1, sizeof(*new));
	const struct manual *m = ctx;
	int err;

	if (!new)
		return error_set(-ENOMEM, "out of memory");
	new->version = spec->version;
	new->type = ctl_given(ctl, OPT_TYPE) ? m->type : spec->type;
	new->replication = ctl_given(ctl, OPT_REPLICATION) ?
			   (uint32_t)m->replication : spec->replication;
	err = fill_members(ctl, view, new);
	if (!err && !ctl_given(ctl, OPT_FORCE))
		err = refuse_lost_members(spec, new);
	if (!err)
		*spec = *new;
	return err;
}

int cmd_ring_manual_change(struct ctl *ctl, int argc, char **argv)
{
	bool empty = ctl_given(ctl, OPT_TYPE) &&
		     strcmp(ctl->option[OPT_TYPE], "empty") == 0;
	struct manual manual = { 0 };
	int err = parse_manual(ctl, &manual);

	(void)argc;
	(void)argv;
	if (err)
		return ctl_bad_value(err);
	if (!empty &&
	    ctl_given(ctl, OPT_UUIDS) == ctl_given(ctl, OPT_ALL_PEERS))
		return ctl_usage(ctl, "give either --uuids or --all-peers");
	err = ringedit_change(ctl, edit_manual, &manual);
	return err ? ctl_fail(err) : CTL_OK;
}
