// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl scrub start|status|pause|resume: what the peers say of their own
 * copies, and what they found in them.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ctl.h"
#include "ringedit.h"
#include "survey.h"
#include "table.h"
#include "view.h"

struct report {
	struct ctl *ctl;
	struct view view;
	struct ctl_peer *peers;		/* those asked, in the view's order */
	size_t count;
	struct survey survey;
};

/* ---- words ------------------------------------------------------------------- */

static const char *state_word(const struct survey_answer *a)
{
	static const char *const words[] = {
		[WIRE_SCRUB_IDLE] = "idle",
		[WIRE_SCRUB_RUNNING] = "running",
		[WIRE_SCRUB_PAUSED] = "paused",
	};

	if (a->err)
		return "silent";
	if (!a->maintained || a->m.scrub_state >= ARRAY_SIZE(words))
		return "none";
	return words[a->m.scrub_state];
}

static uint64_t unhealed(const struct survey_answer *a)
{
	return a->m.scrub_bad > a->m.scrub_healed ?
	       a->m.scrub_bad - a->m.scrub_healed : 0;
}

static void time_text(uint64_t ms, char *text, size_t len)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (ms == 0 || localtime_r(&seconds, &tm) == NULL ||
	    strftime(text, len, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(text, len, "never");
}

/* The name of the volume, or its number when it has no document. */
static void volume_text(const struct view *view, uint64_t id, char *text,
			size_t len)
{
	const struct volume_doc *v = view_volume(view, id);

	if (v)
		snprintf(text, len, "%s", v->name);
	else
		snprintf(text, len, "%" PRIu64, id);
}

/* What the damaged block is to the volume. */
static const char *what_word(const struct survey_finding *f)
{
	switch (f->kind) {
	case EXTENT_DATA:
	case EXTENT_RELOCATION:
		return "data";
	case EXTENT_MAP_PAGE:
		return "map page";
	case EXTENT_CHUNK_PAGE:
		return "chunk table page";
	case EXTENT_ROOT:
		return "root";
	default:
		return f->block == UINT32_MAX ? "unknown" : "record header";
	}
}

/* ---- for people ----------------------------------------------------------------- */

static const struct column peer_columns[] = {
	{ "PEER", COLUMN_TEXT },	{ "STATE", COLUMN_TEXT },
	{ "CHUNKS", COLUMN_NUMBER },	{ "TOTAL", COLUMN_NUMBER },
	{ "VERIFIED", COLUMN_SIZE },	{ "BAD", COLUMN_NUMBER },
	{ "HEALED", COLUMN_NUMBER },	{ "LAST_ROUND", COLUMN_TEXT },
};

static void print_peers(const struct report *r)
{
	struct table *t = table_new("peers", false, peer_columns,
				    ARRAY_SIZE(peer_columns));
	char ended[32];

	for (size_t i = 0; i < r->count; i++) {
		const struct survey_answer *a = &r->survey.answers[i];

		time_text(a->m.scrub_ended_ms, ended, sizeof(ended));
		table_row(t);
		table_text(t, r->peers[i].doc.address);
		table_text(t, state_word(a));
		table_number(t, a->m.scrub_chunks);
		table_number(t, a->m.scrub_total);
		table_number(t, a->m.scrub_bytes);
		table_number(t, a->m.scrub_bad);
		table_number(t, a->m.scrub_healed);
		table_text(t, a->maintained ? ended : "");
	}
	table_print(t);
}

static const struct column finding_columns[] = {
	{ "FOUND", COLUMN_TEXT },	{ "PEER", COLUMN_TEXT },
	{ "VOLUME", COLUMN_TEXT },	{ "WHAT", COLUMN_TEXT },
	{ "OFFSET", COLUMN_TEXT },	{ "CHUNK", COLUMN_NUMBER },
	{ "BLOCK", COLUMN_TEXT },	{ "STATE", COLUMN_TEXT },
};

static void add_finding(struct table *t, const struct report *r,
			const struct ctl_peer *peer,
			const struct survey_finding *f)
{
	char when[32], volume[VOLUME_NAME_MAX], offset[32] = "", block[16] = "";

	time_text(f->when_ms, when, sizeof(when));
	volume_text(&r->view, f->volume, volume, sizeof(volume));
	if (survey_has_offset(f))
		snprintf(offset, sizeof(offset), "%" PRIu64,
			 f->volume_block * BLOCK_SIZE);
	if (f->block != UINT32_MAX)
		snprintf(block, sizeof(block), "%u", f->block);
	table_row(t);
	table_text(t, when);
	table_text(t, peer->doc.address);
	table_text(t, volume);
	table_text(t, what_word(f));
	table_text(t, offset);
	table_number(t, f->chunk);
	table_text(t, block);
	table_text(t, f->healed ? "healed" : "bad");
}

static size_t finding_count(const struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += r->survey.answers[i].finding_count;
	return n;
}

static void print_findings(const struct report *r)
{
	struct table *t;

	if (finding_count(r) == 0)
		return;
	t = table_new("findings", false, finding_columns,
		      ARRAY_SIZE(finding_columns));
	for (size_t i = 0; i < r->count; i++)
		for (uint32_t n = 0; n < r->survey.answers[i].finding_count; n++)
			add_finding(t, r, &r->peers[i],
				    &r->survey.answers[i].findings[n]);
	putchar('\n');
	table_print(t);
}

/* ---- for programs ------------------------------------------------------------------ */

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *peer_json(const struct ctl_peer *peer,
				     const struct survey_answer *a)
{
	struct json_object *o = json_object_new_object();
	char id[UUID_TEXT_SIZE];

	uuid_format(&peer->doc.id, id);
	add_text(o, "peer", peer->doc.address);
	add_text(o, "uuid", id);
	add_text(o, "state", state_word(a));
	add_number(o, "chunks", a->m.scrub_chunks);
	add_number(o, "total", a->m.scrub_total);
	add_number(o, "verified", a->m.scrub_bytes);
	add_number(o, "bad", a->m.scrub_bad);
	add_number(o, "healed", a->m.scrub_healed);
	json_object_object_add(o, "last_round_ms", a->m.scrub_ended_ms ?
		json_object_new_uint64(a->m.scrub_ended_ms) : NULL);
	return o;
}

static struct json_object *finding_json(const struct report *r,
					const struct ctl_peer *peer,
					const struct survey_finding *f)
{
	struct json_object *o = json_object_new_object();
	char volume[VOLUME_NAME_MAX];

	volume_text(&r->view, f->volume, volume, sizeof(volume));
	add_number(o, "found_ms", f->when_ms);
	add_text(o, "peer", peer->doc.address);
	add_text(o, "volume", volume);
	add_text(o, "what", what_word(f));
	json_object_object_add(o, "offset", survey_has_offset(f) ?
		json_object_new_uint64(f->volume_block * BLOCK_SIZE) : NULL);
	add_number(o, "chunk", f->chunk);
	json_object_object_add(o, "block", f->block == UINT32_MAX ? NULL :
		json_object_new_uint64(f->block));
	json_object_object_add(o, "healed",
			       json_object_new_boolean(f->healed));
	return o;
}

static void print_json(const struct report *r)
{
	struct json_object *o = json_object_new_object();
	struct json_object *peers = json_object_new_array();
	struct json_object *all = json_object_new_array();

	for (size_t i = 0; i < r->count; i++) {
		const struct survey_answer *a = &r->survey.answers[i];

		json_object_array_add(peers, peer_json(&r->peers[i], a));
		for (uint32_t n = 0; n < a->finding_count; n++)
			json_object_array_add(all, finding_json(r, &r->peers[i],
								&a->findings[n]));
	}
	json_object_object_add(o, "peers", peers);
	json_object_object_add(o, "findings", all);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					       JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* ---- the commands -------------------------------------------------------------------- */

static int choose_peers(struct report *r, int argc, char **argv)
{
	size_t room = MAX((size_t)argc, r->view.peer_count);

	r->peers = calloc(room + 1, sizeof(*r->peers));
	if (!r->peers)
		return error_set(-ENOMEM, "out of memory");
	for (int i = 0; i < argc; i++) {
		const struct ctl_peer *p = ringedit_find(r->view.peers,
							 r->view.peer_count,
							 argv[i]);

		if (!p)
			return -ENOENT;
		r->peers[r->count++] = *p;
	}
	if (argc)
		return 0;
	for (size_t i = 0; i < r->view.peer_count; i++)
		r->peers[r->count++] = r->view.peers[i];
	if (!r->count)
		return error_set(-ENOENT, "there are no peers");
	return 0;
}

static int ask(struct report *r, int argc, char **argv,
	       enum wire_maintenance_action action)
{
	int err = view_load(r->ctl, &r->view);

	if (!err)
		err = choose_peers(r, argc, argv);
	if (!err)
		err = survey_act(r->ctl, r->peers, r->count, action,
				 &r->survey);
	return err;
}

static void report_release(struct report *r)
{
	survey_release(&r->survey);
	free(r->peers);
	view_release(&r->view);
}

/* Peers that did not answer have not done it either. Returns how many. */
static size_t complain(const struct report *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++) {
		const struct survey_answer *a = &r->survey.answers[i];

		if (a->maintained)
			continue;
		n++;
		if (a->err)
			fprintf(stderr, "torusctl: peer %s does not answer (%s): it was not told\n",
				r->peers[i].doc.address, strerror(-a->err));
		else
			fprintf(stderr, "torusctl: peer %s was not told: its torusd does not scrub, it is too old\n",
				r->peers[i].doc.address);
	}
	if (n && n < r->count)
		fprintf(stderr, "torusctl: the other %zu %s told; repeat this when these answer\n",
			r->count - n, r->count - n == 1 ? "peer was" :
							  "peers were");
	return n;
}

static int act(struct ctl *ctl, int argc, char **argv,
	       enum wire_maintenance_action action)
{
	struct report r = { .ctl = ctl };
	int err = ask(&r, argc, argv, action);
	size_t failed = 0;

	if (!err) {
		failed = complain(&r);
		if (ctl->json)
			print_json(&r);
	}
	report_release(&r);
	if (err)
		return ctl_fail(err);
	return failed ? CTL_FAILED : CTL_OK;
}

int cmd_scrub_start(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, WIRE_SCRUB_START);
}

int cmd_scrub_pause(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, WIRE_SCRUB_PAUSE);
}

int cmd_scrub_resume(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, WIRE_SCRUB_RESUME);
}

int cmd_scrub_status(struct ctl *ctl, int argc, char **argv)
{
	struct report r = { .ctl = ctl };
	int err = ask(&r, argc, argv, WIRE_MAINTENANCE_SHOW);
	uint64_t bad = 0;

	if (!err && ctl->json) {
		print_json(&r);
	} else if (!err) {
		print_peers(&r);
		print_findings(&r);
	}
	for (size_t i = 0; !err && i < r.count; i++)
		bad += unhealed(&r.survey.answers[i]);
	if (bad && !ctl->json)
		fprintf(stderr, "torusctl: %" PRIu64 " bad copies are not healed: 'torusctl status' says what that means for the data\n",
			bad);
	report_release(&r);
	if (err)
		return ctl_fail(err);
	return bad ? CTL_DEGRADED : CTL_OK;
}
