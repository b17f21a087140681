// SPDX-License-Identifier: Apache-2.0
/* torusctl peer list|add */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ringedit.h"
#include "survey.h"
#include "table.h"

static const struct column peer_columns[] = {
	{ "ADDRESS", COLUMN_TEXT },	{ "UUID", COLUMN_TEXT },
	{ "SIZE", COLUMN_SIZE },	{ "USED", COLUMN_SIZE },
	{ "STATE", COLUMN_TEXT },	{ "SPACE", COLUMN_TEXT },
	{ "CHUNKS", COLUMN_NUMBER },	{ "LEFT", COLUMN_SIZE },
	{ "ETA", COLUMN_TIME },		{ "ZONE", COLUMN_TEXT },
	{ "RACK", COLUMN_TEXT },	{ "HOST", COLUMN_TEXT },
};

/* As upstream's MEMBER column: where a peer stands, in one word. */
static const char *peer_word(const struct ctl_peer *p,
			     const struct ring_spec *ring,
			     const struct survey_answer *a)
{
	if (!p->member)
		return p->alive ? "available" : "gone";
	if (!p->alive)
		return "down";
	if (a->err)
		return "silent";
	if (p->weight || !ring_weighs(ring->type))
		return "ok";
	return a->chunks ? "draining" : "drained";
}

static const char *space_word(const struct survey_answer *a)
{
	static const char *const words[] = {
		[WIRE_SPACE_OK] = "ok",
		[WIRE_SPACE_NEAR_FULL] = "near-full",
		[WIRE_SPACE_FULL] = "full",
	};

	if (a->err)
		return "";
	return words[a->space_state];
}

static void add_row(struct table *t, const struct ctl_peer *p,
		    const struct ring_spec *ring, const struct survey_answer *a)
{
	const struct peer_doc *doc = &p->doc;
	char id[UUID_TEXT_SIZE];

	uuid_format(&doc->id, id);
	table_row(t);
	table_text(t, doc->address);
	table_text(t, id);
	table_number(t, a->err ? doc->size : a->size);
	table_number(t, a->err ? doc->used : a->used);
	table_text(t, peer_word(p, ring, a));
	table_text(t, space_word(a));
	/* None must not be taken for empty: it could be removed then. */
	if (a->err)
		table_unknown(t);
	else
		table_number(t, a->chunks);
	if (a->maintained)
		table_number(t, a->m.copy_bytes);
	else
		table_unknown(t);
	table_number(t, a->maintained ? a->m.eta_s : SURVEY_ETA_UNKNOWN);
	table_text(t, doc->zone);
	table_text(t, doc->rack);
	table_text(t, doc->host);
}

int cmd_peer_list(struct ctl *ctl, int argc, char **argv)
{
	struct survey survey = { 0 };
	struct view view;
	struct table *t;
	int err = view_load(ctl, &view);

	(void)argc;
	(void)argv;
	if (!err)
		err = survey_run(ctl, view.peers, view.peer_count, &survey);
	if (!err) {
		t = table_new("peers", ctl->json, peer_columns,
			      ARRAY_SIZE(peer_columns));
		for (size_t i = 0; i < view.peer_count; i++)
			add_row(t, &view.peers[i], &view.ring->current,
				&survey.answers[i]);
		table_print(t);
	}
	survey_release(&survey);
	view_release(&view);
	return err ? ctl_fail(err) : CTL_OK;
}

/* ---- add ------------------------------------------------------------------- */

static int add_peer(struct ring_spec *spec, const struct ctl_peer *p)
{
	if (!p->alive)
		return error_set(-EHOSTDOWN, "peer %s is down; start its torusd first",
				 p->doc.address);
	if (p->member && !p->weight && ring_weighs(spec->type))
		return error_set(-EEXIST, "peer %s is in the ring, but drained; 'torusctl peer undrain %s' puts data on it again",
				 p->doc.address, p->doc.address);
	return ring_change_add(spec, &p->doc);
}

static int add_all(const struct view *view, struct ring_spec *spec)
{
	bool added = false;
	int err = 0;

	for (size_t i = 0; !err && i < view->peer_count; i++) {
		if (!view->peers[i].alive || view->peers[i].member)
			continue;
		err = add_peer(spec, &view->peers[i]);
		added = true;
	}
	if (!added)
		fprintf(stderr, "torusctl: no peer is alive that is not in the ring: nothing was changed\n");
	return err;
}

static int edit_add(struct ctl *ctl, const struct view *view,
		    struct ring_spec *spec, void *ctx)
{
	struct ringedit_args *args = ctx;
	int err = 0;

	(void)ctl;
	if (args->all)
		return add_all(view, spec);
	for (int i = 0; !err && i < args->argc; i++) {
		const struct ctl_peer *p = ringedit_find(view->peers,
							 view->peer_count,
							 args->argv[i]);

		err = p ? add_peer(spec, p) : -ENOENT;
	}
	return err;
}

int cmd_peer_add(struct ctl *ctl, int argc, char **argv)
{
	struct ringedit_args args = { argc, argv,
				      ctl_given(ctl, OPT_ALL_PEERS) };
	int err;

	if (args.all ? argc > 0 : argc == 0)
		return ctl_usage(ctl, "name peers, or give --all-peers");
	err = ringedit_change(ctl, edit_add, &args);
	return err ? ctl_fail(err) : CTL_OK;
}
