// SPDX-License-Identifier: Apache-2.0
/* status: the output, for people and as JSON; the worst comes first. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/size.h"
#include "status.h"
#include "table.h"

/* Of the members that answer: what others hold, nobody can use now. */
static void sum_space(const struct status *s, uint64_t *used, uint64_t *size)
{
	*used = *size = 0;
	for (size_t i = 0; i < s->view.peer_count; i++) {
		const struct survey_answer *a = &s->survey.answers[i];

		if (!s->view.peers[i].member || a->err)
			continue;
		*used += a->used;
		*size += a->size;
	}
}

/* Known, but not in the ring: to be added, drained and removed, or gone. */
static size_t others_known(const struct status *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->view.peer_count; i++)
		n += !s->view.peers[i].member;
	return n;
}

/* ---- for people ------------------------------------------------------------------ */

static void print_repair(const struct status *s)
{
	char left[32], rate[32], eta[32], verified[32];
	struct repair r;

	status_repair_sum(s, &r);
	size_format(r.scrub_bytes, verified, sizeof(verified));
	size_format(r.copy_bytes, left, sizeof(left));
	size_format(r.rate, rate, sizeof(rate));
	duration_format(r.eta_s, eta, sizeof(eta));
	if (r.copy_chunks)
		printf("repair:   %" PRIu64 " %s, %s left to copy, %s/s, time left: %s\n",
		       r.copy_chunks, chunks_word(r.copy_chunks), left, rate, eta);
	if (r.scrub_running)
		printf("scrub:    %" PRIu64 " of %" PRIu64 " chunks, %s, verified in this round\n",
		       r.scrub_chunks, r.scrub_total, verified);
	else if (r.scrub_paused)
		printf("scrub:    paused\n");
}

static void print_peers(const struct status *s)
{
	const struct ring_spec *ring = &s->view.ring->current;
	size_t others = others_known(s);

	printf("peers:    %u of %u %s answer", members_reachable(s),
	       ring->member_count,
	       ring->member_count == 1 ? "member" : "members");
	if (others)
		printf("; %zu known that %s not in the ring", others,
		       others == 1 ? "is" : "are");
	putchar('\n');
}

static void print_summary(const struct status *s)
{
	const struct ring_spec *ring = &s->view.ring->current;
	char id[UUID_TEXT_SIZE], used[32], size[32];
	uint64_t total_used, total_size;

	sum_space(s, &total_used, &total_size);
	uuid_format(&s->ctl->cluster.id, id);
	size_format(total_used, used, sizeof(used));
	size_format(total_size, size, sizeof(size));
	printf("cluster:  %s, %s\n", id, severity_word[s->worst]);
	printf("ring:     version %" PRIu64 ", %s, %u %s, %u %s\n",
	       ring->version, ring_type_name(ring->type), ring->member_count,
	       ring->member_count == 1 ? "member" : "members",
	       ring->replication, ring->replication == 1 ? "copy" : "copies");
	print_peers(s);
	printf("space:    %s of %s used\n", used, size);
	printf("volumes:  %zu\n", s->view.volume_count);
	print_repair(s);
}

static const struct column device_columns[] = {
	{ "DEVICE", COLUMN_TEXT },	{ "VOLUME", COLUMN_TEXT },
	{ "STATE", COLUMN_TEXT },	{ "HELPER", COLUMN_NUMBER },
};

static void print_devices(const struct status *s)
{
	struct table *t = table_new("devices", false, device_columns,
				    ARRAY_SIZE(device_columns));
	char path[48];

	for (size_t i = 0; i < s->device_count; i++) {
		const struct ctl_device *d = &s->devices[i];

		snprintf(path, sizeof(path), "/dev/%s", d->name);
		table_row(t);
		table_text(t, path);
		table_text(t, d->volume);
		table_text(t, d->state);
		table_number(t, (uint64_t)d->helper_pid);
	}
	table_print(t);
}

static void print_finding(const struct finding *f)
{
	printf("\n%s: %s\n  it means: %s\n",
	       f->severity == CTL_OK ? "note" : severity_word[f->severity],
	       f->what, f->means);
	if (*f->doing)
		printf("  is done:  %s\n", f->doing);
	if (*f->command)
		printf("  to do:    %s\n", f->command);
}

void status_print(const struct status *s)
{
	print_summary(s);
	if (s->device_count)
		print_devices(s);
	for (int severity = CTL_UNAVAILABLE; severity >= CTL_OK; severity--)
		for (unsigned int i = 0; i < s->finding_count; i++)
			if ((int)s->findings[i].severity == severity)
				print_finding(&s->findings[i]);
	if (s->hidden)
		printf("\n... and %u more\n", s->hidden);
}

/* ---- JSON ---------------------------------------------------------------------- */

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *finding_json(const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "name", f->name);
	add_text(o, "severity", severity_word[f->severity]);
	add_text(o, "subject", f->subject);
	add_text(o, "what", f->what);
	add_text(o, "means", f->means);
	add_text(o, "doing", f->doing);
	add_text(o, "command", f->command);
	return o;
}

static void add_findings(struct json_object *o, const struct status *s)
{
	struct json_object *findings = json_object_new_array();
	struct json_object *notes = json_object_new_array();

	for (int severity = CTL_UNAVAILABLE; severity >= CTL_OK; severity--)
		for (unsigned int i = 0; i < s->finding_count; i++)
			if ((int)s->findings[i].severity == severity)
				json_object_array_add(severity ? findings : notes,
						      finding_json(&s->findings[i]));
	json_object_object_add(o, "findings", findings);
	json_object_object_add(o, "notes", notes);
	add_number(o, "hidden", s->hidden);
}

static struct json_object *device_json(const struct ctl_device *d)
{
	struct json_object *o = json_object_new_object();
	char path[48];

	snprintf(path, sizeof(path), "/dev/%s", d->name);
	add_text(o, "device", path);
	add_text(o, "volume", d->volume);
	add_text(o, "state", d->state);
	json_object_object_add(o, "helper_pid",
			       json_object_new_int(d->helper_pid));
	return o;
}

static void add_devices(struct json_object *o, const struct status *s)
{
	struct json_object *devices = json_object_new_array();

	for (size_t i = 0; i < s->device_count; i++)
		json_object_array_add(devices, device_json(&s->devices[i]));
	json_object_object_add(o, "devices", devices);
}

static void add_repair(struct json_object *o, const struct status *s)
{
	struct json_object *repair = json_object_new_object();
	struct json_object *scrub = json_object_new_object();
	struct repair r;

	status_repair_sum(s, &r);
	add_number(repair, "copy_chunks", r.copy_chunks);
	add_number(repair, "copy_bytes", r.copy_bytes);
	add_number(repair, "short_chunks", r.short_chunks);
	add_number(repair, "grace_chunks", r.grace_chunks);
	add_number(repair, "drop_chunks", r.drop_chunks);
	add_number(repair, "rate", r.rate);
	json_object_object_add(repair, "eta", r.eta_s == SURVEY_ETA_UNKNOWN ?
			       NULL : json_object_new_uint64(r.eta_s));
	add_number(scrub, "running", r.scrub_running);
	add_number(scrub, "paused", r.scrub_paused);
	add_number(scrub, "chunks", r.scrub_chunks);
	add_number(scrub, "total", r.scrub_total);
	add_number(scrub, "verified", r.scrub_bytes);
	add_number(scrub, "bad", r.scrub_bad);
	add_number(scrub, "healed", r.scrub_healed);
	json_object_object_add(o, "repair", repair);
	json_object_object_add(o, "scrub", scrub);
}

void status_print_json(const struct status *s)
{
	const struct ring_spec *ring = &s->view.ring->current;
	struct json_object *o = json_object_new_object();
	char id[UUID_TEXT_SIZE];
	uint64_t used, size;

	sum_space(s, &used, &size);
	uuid_format(&s->ctl->cluster.id, id);
	add_text(o, "cluster", id);
	add_text(o, "health", severity_word[s->worst]);
	add_number(o, "ring_version", ring->version);
	json_object_object_add(o, "ring_moving",
			       json_object_new_boolean(view_moving(&s->view)));
	add_number(o, "members", ring->member_count);
	add_number(o, "members_answering", members_reachable(s));
	add_number(o, "peers", s->view.peer_count);
	add_number(o, "size", size);
	add_number(o, "used", used);
	add_number(o, "volumes", s->view.volume_count);
	add_number(o, "tombstones", s->tombstone_count);
	add_repair(o, s);
	add_devices(o, s);
	add_findings(o, s);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
