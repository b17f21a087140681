// SPDX-License-Identifier: Apache-2.0
/* torusctl ring get|set-replication|manual-change */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "peer/ring_change.h"
#include "ringedit.h"
#include "table.h"

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

static int print_json(const struct ring_doc *ring)
{
	CLEANUP_FREE char *text = ring_doc_encode(ring);
	struct json_object *o = text ? json_tokener_parse(text) : NULL;

	if (!o)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return CTL_OK;
}

int cmd_ring_get(struct ctl *ctl, int argc, char **argv)
{
	CLEANUP_FREE struct ring_doc *ring = malloc(sizeof(*ring));
	const struct ring_spec *spec;
	int64_t revision;
	int err;

	(void)argc;
	(void)argv;
	if (!ring)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	err = ctl_ring_get(ctl, ring, &revision);
	if (err)
		return ctl_fail(err);
	if (ctl->json)
		return print_json(ring);
	spec = &ring->current;
	printf("version:      %" PRIu64 "\ntype:         %s\nreplication:  %u\nmembers:      %u\n",
	       spec->version, ring_type_name(spec->type), spec->replication,
	       spec->member_count);
	if (spec->member_count)
		print_members(spec);
	return CTL_OK;
}

static int edit_replication(struct ctl *ctl, struct ring_spec *spec, void *ctx)
{
	(void)ctl;
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

static int fill_members(struct ctl *ctl, struct ring_spec *spec)
{
	struct ctl_peer *peers;
	size_t count;
	int err = ctl_peers(ctl, &peers, &count);

	if (err)
		return err;
	if (ctl_given(ctl, OPT_UUIDS))
		err = add_named(ctl, spec, peers, count);
	for (size_t i = 0; ctl_given(ctl, OPT_ALL_PEERS) && !err && i < count; i++)
		if (peers[i].alive)
			err = ring_change_add(spec, &peers[i].doc);
	free(peers);
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

	if (type && ring_type_parse(type, &m->type))
		return error_set(-EINVAL, "--type %s: no such ring type; use ketama, zones, mod, single or empty",
				 type);
	if (r)
		return ctl_number("--replication", r, 1, RING_REPLICATION_MAX,
				  &m->replication);
	return 0;
}

static int edit_manual(struct ctl *ctl, struct ring_spec *spec, void *ctx)
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
	err = fill_members(ctl, new);
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
