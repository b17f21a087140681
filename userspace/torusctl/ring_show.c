// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl ring get. While a change is under way two rings count, the old one
 * and the new one, until every store of either has confirmed that it moved:
 * that is shown as one ring of type "union", with how far each store is.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "ringedit.h"
#include "survey.h"
#include "table.h"
#include "view.h"

static const struct column ring_columns[] = {
	{ "UUID", COLUMN_TEXT },	{ "WEIGHT", COLUMN_SIZE },
	{ "ZONE", COLUMN_TEXT },	{ "RACK", COLUMN_TEXT },
	{ "HOST", COLUMN_TEXT },
};

static void print_members(const struct ring_spec *spec)
{
	struct table *t = table_new("members", false, ring_columns,
				    ARRAY_SIZE(ring_columns));
	char id[UUID_TEXT_SIZE];

	for (uint32_t i = 0; i < spec->member_count; i++) {
		const struct ring_member *m = &spec->members[i];

		uuid_format(&m->peer, id);
		table_row(t);
		table_text(t, id);
		table_number(t, m->weight);
		table_text(t, m->zone);
		table_text(t, m->rack);
		table_text(t, m->host);
	}
	table_print(t);
}

static void print_ring(const char *title, const struct ring_spec *spec)
{
	printf("%s version %" PRIu64 ", %s, replication %u, %u %s\n", title,
	       spec->version, ring_type_name(spec->type), spec->replication,
	       spec->member_count, spec->member_count == 1 ? "member" :
	       "members");
	if (spec->member_count)
		print_members(spec);
}

static const struct column move_columns[] = {
	{ "ADDRESS", COLUMN_TEXT },	{ "MOVED", COLUMN_FLAG },
	{ "LEFT", COLUMN_SIZE },	{ "ETA", COLUMN_TIME },
	{ "PROGRESS", COLUMN_TEXT },
};

static bool concerned(const struct view *view, const struct ctl_peer *p)
{
	struct ctl_peer unconfirmed = *p;

	unconfirmed.moved = 0;
	return view_awaits(view, &unconfirmed);
}

static void print_progress(const struct view *view, const struct survey *survey)
{
	struct table *t = table_new("stores", false, move_columns,
				    ARRAY_SIZE(move_columns));

	for (size_t i = 0; i < view->peer_count; i++) {
		const struct ctl_peer *p = &view->peers[i];
		const struct survey_answer *a = &survey->answers[i];
		bool waiting = view_awaits(view, p);
		char progress[128] = "done";

		if (!concerned(view, p))
			continue;
		if (waiting)
			ringedit_progress(p, a, progress, sizeof(progress));
		table_row(t);
		table_text(t, p->doc.address);
		table_number(t, !waiting);
		table_number(t, a->m.copy_bytes);
		table_number(t, a->maintained ? a->m.eta_s :
						SURVEY_ETA_UNKNOWN);
		table_text(t, progress);
	}
	table_print(t);
}

static void print_union(const struct view *view, const struct survey *survey)
{
	const struct ring_doc *ring = view->ring;

	printf("version:      %" PRIu64 "\ntype:         union (of the two rings below, until every store has moved)\nreplication:  %u\nmembers:      %u\n\n",
	       ring->current.version, ring->current.replication,
	       ring->current.member_count);
	print_progress(view, survey);
	print_ring("\nto:", &ring->current);
	print_ring("\nfrom:", &ring->previous);
}

static void print_plain(const struct ring_spec *spec)
{
	printf("version:      %" PRIu64 "\ntype:         %s\nreplication:  %u\nmembers:      %u\n",
	       spec->version, ring_type_name(spec->type), spec->replication,
	       spec->member_count);
	if (spec->member_count)
		print_members(spec);
}

/* ---- JSON ---------------------------------------------------------------------- */

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *store_json(const struct view *view,
				      const struct ctl_peer *p,
				      const struct survey_answer *a)
{
	struct json_object *o = json_object_new_object();
	char id[UUID_TEXT_SIZE];

	uuid_format(&p->doc.id, id);
	json_object_object_add(o, "peer", json_object_new_string(id));
	json_object_object_add(o, "address",
			       json_object_new_string(p->doc.address));
	json_object_object_add(o, "moved",
			       json_object_new_boolean(!view_awaits(view, p)));
	json_object_object_add(o, "answers", json_object_new_boolean(!a->err));
	add_number(o, "copy_chunks", a->m.copy_chunks);
	add_number(o, "copy_bytes", a->m.copy_bytes);
	add_number(o, "drop_chunks", a->m.drop_chunks);
	if (a->maintained && a->m.eta_s != SURVEY_ETA_UNKNOWN)
		add_number(o, "eta", a->m.eta_s);
	else
		json_object_object_add(o, "eta", NULL);
	return o;
}

static int print_json(const struct view *view, const struct survey *survey)
{
	CLEANUP_FREE char *text = ring_doc_encode(view->ring);
	struct json_object *o = text ? json_tokener_parse(text) : NULL;
	struct json_object *stores = json_object_new_array();
	const char *type = ring_type_name(view->ring->current.type);

	if (!o || !stores)
		return error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; i < view->peer_count; i++) {
		const struct ctl_peer *p = &view->peers[i];
		const struct survey_answer *a = &survey->answers[i];

		if (concerned(view, p))
			json_object_array_add(stores, store_json(view, p, a));
	}
	type = view_moving(view) ? "union" : type;
	json_object_object_add(o, "type", json_object_new_string(type));
	json_object_object_add(o, "stores", stores);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return 0;
}

/* The peers are asked only if there is something that they could tell. */
static int show(struct ctl *ctl, const struct view *view)
{
	struct survey survey = { 0 };
	int err = 0;

	if (view_moving(view) || ctl->json)
		err = survey_run(ctl, view->peers, view->peer_count, &survey);
	if (!err && ctl->json)
		err = print_json(view, &survey);
	else if (!err && view_moving(view))
		print_union(view, &survey);
	else if (!err)
		print_plain(&view->ring->current);
	survey_release(&survey);
	return err;
}

int cmd_ring_get(struct ctl *ctl, int argc, char **argv)
{
	struct view view;
	int err = view_load(ctl, &view);

	(void)argc;
	(void)argv;
	if (!err)
		err = show(ctl, &view);
	view_release(&view);
	return err ? ctl_fail(err) : CTL_OK;
}
