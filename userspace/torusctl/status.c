// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl status: what there is, and for each thing that is not well what is
 * wrong, what it means for the data, and what to type. The exit status says
 * the worst of it: 0 healthy, 1 degraded, 2 data unavailable.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "ctl.h"
#include "table.h"

struct finding {
	enum ctl_exit severity;
	char what[384], means[256], command[256];
};

#define FINDINGS_MAX 256
#define NEAR_FULL_PERCENT 85

struct status {
	struct ctl *ctl;
	struct ctl_peer *peers;
	size_t peer_count;
	struct volume_doc *volumes;
	size_t volume_count;
	struct ring_doc *ring;
	struct finding *findings;
	unsigned int finding_count;
	enum ctl_exit worst;
};

static struct finding *add_finding(struct status *s, enum ctl_exit severity)
{
	if (severity > s->worst)
		s->worst = severity;
	if (s->finding_count == FINDINGS_MAX)
		return NULL;
	s->findings[s->finding_count].severity = severity;
	return &s->findings[s->finding_count++];
}

static uint32_t members_alive(const struct status *s)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->peer_count; i++)
		n += s->peers[i].member && s->peers[i].alive;
	return n;
}

/* How bad a missing peer is depends on what the volumes need. */
static enum ctl_exit severity_of_missing(const struct status *s,
					 const char **means)
{
	uint32_t missing = s->ring->current.member_count - members_alive(s);

	for (size_t i = 0; i < s->volume_count; i++) {
		uint32_t r = s->volumes[i].replication;

		if (missing >= r) {
			*means = "some data may have no copy on the peers that are left: reads of it wait";
			return CTL_UNAVAILABLE;
		}
		if (members_alive(s) < r / 2 + 1) {
			*means = "too few peers are left for new writes: these wait";
			return CTL_UNAVAILABLE;
		}
	}
	*means = "every block still has a copy; new writes go to the peers that are left";
	return CTL_DEGRADED;
}

static void check_peers(struct status *s)
{
	const char *means;
	enum ctl_exit severity = severity_of_missing(s, &means);

	for (size_t i = 0; i < s->peer_count; i++) {
		const struct ctl_peer *p = &s->peers[i];
		struct finding *f;

		if (!p->member || p->alive)
			continue;
		f = add_finding(s, severity);
		if (!f)
			return;
		snprintf(f->what, sizeof(f->what), "peer %.200s is down",
			 p->doc.address);
		snprintf(f->means, sizeof(f->means), "%s", means);
		snprintf(f->command, sizeof(f->command),
			 "start its torusd on host %.100s", p->doc.host);
	}
}

/* Before writes fail: there must be time to do something about it. */
static void check_space(struct status *s)
{
	for (size_t i = 0; i < s->peer_count; i++) {
		const struct peer_doc *doc = &s->peers[i].doc;
		struct finding *f;

		if (!s->peers[i].member || !s->peers[i].alive ||
		    doc->used < doc->size / 100 * NEAR_FULL_PERCENT)
			continue;
		f = add_finding(s, CTL_DEGRADED);
		if (!f)
			return;
		snprintf(f->what, sizeof(f->what), "peer %.200s is nearly full",
			 doc->address);
		snprintf(f->means, sizeof(f->means),
			 "when too few peers have room, writes fail: no space left on device");
		snprintf(f->command, sizeof(f->command),
			 "start more torusd, then torusctl peer add --all-peers; or delete volumes");
	}
}

/* How more members come into the ring. */
static void command_for_members(const struct status *s, struct finding *f)
{
	bool available = false;

	for (size_t i = 0; i < s->peer_count; i++)
		available |= s->peers[i].alive && !s->peers[i].member;
	snprintf(f->command, sizeof(f->command), "%s", available ?
		 "torusctl peer add --all-peers" :
		 "start more torusd, then torusctl peer add --all-peers");
}

/* Writing needs a majority of a volume's copies. */
static bool writable(uint32_t members, uint32_t copies)
{
	return members >= copies / 2 + 1;
}

static bool any_volume_is_stuck(const struct status *s, uint32_t members)
{
	for (size_t i = 0; i < s->volume_count; i++)
		if (!writable(members, s->volumes[i].replication))
			return true;
	return false;
}

static void check_ring(struct status *s)
{
	uint32_t members = s->ring->current.member_count;
	uint32_t copies = s->ring->current.replication;
	struct finding *f;

	if (members >= copies)
		return;
	f = add_finding(s, any_volume_is_stuck(s, members) ? CTL_UNAVAILABLE :
							     CTL_DEGRADED);
	if (!f)
		return;
	snprintf(f->what, sizeof(f->what), "the ring has %u %s for %u copies",
		 members, members == 1 ? "member" : "members", copies);
	if (writable(members, copies))
		snprintf(f->means, sizeof(f->means),
			 "new data has fewer copies than wanted");
	else if (members)
		snprintf(f->means, sizeof(f->means),
			 "a volume of %u or more copies cannot be written",
			 2 * members);
	else
		snprintf(f->means, sizeof(f->means), "nothing can be written");
	command_for_members(s, f);
}

/* Volumes that want more copies than the ring's default. */
static void check_copies(struct status *s)
{
	uint32_t members = s->ring->current.member_count;

	for (size_t i = 0; i < s->volume_count; i++) {
		const struct volume_doc *v = &s->volumes[i];
		bool can_write = writable(members, v->replication);
		struct finding *f;

		if (v->replication <= members ||
		    v->replication <= s->ring->current.replication)
			continue;
		f = add_finding(s, can_write ? CTL_DEGRADED : CTL_UNAVAILABLE);
		if (!f)
			return;
		snprintf(f->what, sizeof(f->what),
			 "volume %s wants %u copies, the ring has %u members",
			 v->name, v->replication, members);
		snprintf(f->means, sizeof(f->means), "%s", can_write ?
			 "its data have fewer copies than wanted" :
			 "it cannot be written");
		command_for_members(s, f);
	}
}

static bool owner_alive(const struct status *s, const struct volume_doc *v)
{
	struct ctl_value value;
	char key[META_KEY_MAX];
	bool alive;

	key_owner(&s->ctl->cluster.id, v->id, key);
	if (ctl_get(s->ctl, key, &value))
		return true;		/* not known: no accusation */
	alive = value.text;
	ctl_value_release(&value);
	return alive;
}

static void check_volumes(struct status *s)
{
	for (size_t i = 0; i < s->volume_count; i++) {
		const struct volume_doc *v = &s->volumes[i];
		struct finding *f;

		if (!v->attachment.present || owner_alive(s, v))
			continue;
		f = add_finding(s, CTL_DEGRADED);
		if (!f)
			return;
		snprintf(f->what, sizeof(f->what),
			 "volume %s: its helper on host %.100s (process %" PRIu64 ") is unreachable",
			 v->name, v->attachment.host, v->attachment.pid);
		snprintf(f->means, sizeof(f->means),
			 "nothing that was acknowledged is lost; the volume stays with that host until someone takes it");
		snprintf(f->command, sizeof(f->command),
			 "on that host: torusctl attach %s; elsewhere: torusctl attach %s --force",
			 v->name, v->name);
	}
}

static void check_devices(struct status *s, const struct ctl_device *d,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct finding *f;

		if (strcmp(d[i].state, "live") == 0)
			continue;
		f = add_finding(s, CTL_DEGRADED);
		if (!f)
			return;
		snprintf(f->what, sizeof(f->what), "device /dev/%s (volume %s) is %s",
			 d[i].name, d[i].volume, d[i].state);
		snprintf(f->means, sizeof(f->means), "%s",
			 strcmp(d[i].state, "recovering") == 0 ?
			 "its helper is gone; I/O waits for the next one" :
			 "it serves no I/O");
		snprintf(f->command, sizeof(f->command),
			 strcmp(d[i].state, "failed") == 0 ?
			 "torusctl detach --force /dev/%s, then torusctl attach %s" :
			 "torusctl detach --force /dev/%s, or torusctl attach %s",
			 d[i].name, d[i].volume);
	}
}

/* ---- output ------------------------------------------------------------------ */

static const char *const severity_word[] = { "healthy", "degraded",
					     "unavailable" };

static void sum_space(const struct status *s, uint64_t *used, uint64_t *size)
{
	*used = *size = 0;
	for (size_t i = 0; i < s->peer_count; i++) {
		*used += s->peers[i].doc.used;
		*size += s->peers[i].doc.size;
	}
}

static void print_summary(const struct status *s)
{
	char id[UUID_TEXT_SIZE], used[32], size[32];
	uint64_t total_used, total_size;
	uint32_t members = s->ring->current.member_count;
	uint32_t copies = s->ring->current.replication;

	sum_space(s, &total_used, &total_size);
	uuid_format(&s->ctl->cluster.id, id);
	size_format(total_used, used, sizeof(used));
	size_format(total_size, size, sizeof(size));
	printf("cluster:  %s, %s\n", id, severity_word[s->worst]);
	printf("ring:     version %" PRIu64 ", %s, %u %s, %u %s\n",
	       s->ring->current.version, ring_type_name(s->ring->current.type),
	       members, members == 1 ? "member" : "members",
	       copies, copies == 1 ? "copy" : "copies");
	printf("peers:    %zu known, %u of the ring's alive\n", s->peer_count,
	       members_alive(s));
	printf("space:    %s of %s used\n", used, size);
	printf("volumes:  %zu\n", s->volume_count);
}

static const struct column device_columns[] = {
	{ "DEVICE", COLUMN_TEXT },	{ "VOLUME", COLUMN_TEXT },
	{ "STATE", COLUMN_TEXT },	{ "HELPER", COLUMN_NUMBER },
};

static void print_devices(const struct ctl_device *d, size_t count)
{
	struct table *t = table_new("devices", false, device_columns,
				    ARRAY_SIZE(device_columns));
	char path[48];

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/dev/%s", d[i].name);
		table_row(t);
		table_text(t, path);
		table_text(t, d[i].volume);
		table_text(t, d[i].state);
		table_number(t, (uint64_t)d[i].helper_pid);
	}
	table_print(t);
}

static void print_findings(const struct status *s)
{
	for (unsigned int i = 0; i < s->finding_count; i++) {
		const struct finding *f = &s->findings[i];

		printf("\n%s: %s\n  it means: %s\n  to do:    %s\n",
		       severity_word[f->severity], f->what, f->means,
		       f->command);
	}
}

static struct json_object *text_json(const char *text)
{
	return json_object_new_string(text);
}

static struct json_object *finding_json(const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "severity",
			       text_json(severity_word[f->severity]));
	json_object_object_add(o, "what", text_json(f->what));
	json_object_object_add(o, "means", text_json(f->means));
	json_object_object_add(o, "command", text_json(f->command));
	return o;
}

static struct json_object *device_json(const struct ctl_device *d)
{
	struct json_object *o = json_object_new_object();
	char path[48];

	snprintf(path, sizeof(path), "/dev/%s", d->name);
	json_object_object_add(o, "device", text_json(path));
	json_object_object_add(o, "volume", text_json(d->volume));
	json_object_object_add(o, "state", text_json(d->state));
	json_object_object_add(o, "helper_pid",
			       json_object_new_int(d->helper_pid));
	return o;
}

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void print_json(const struct status *s, const struct ctl_device *d,
		       size_t count)
{
	struct json_object *o = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	struct json_object *findings = json_object_new_array();
	char id[UUID_TEXT_SIZE];
	uint64_t used, size;

	sum_space(s, &used, &size);
	uuid_format(&s->ctl->cluster.id, id);
	json_object_object_add(o, "cluster", text_json(id));
	json_object_object_add(o, "health", text_json(severity_word[s->worst]));
	add_number(o, "ring_version", s->ring->current.version);
	add_number(o, "members", s->ring->current.member_count);
	add_number(o, "members_alive", members_alive(s));
	add_number(o, "peers", s->peer_count);
	add_number(o, "size", size);
	add_number(o, "used", used);
	add_number(o, "volumes", s->volume_count);
	for (size_t i = 0; i < count; i++)
		json_object_array_add(devices, device_json(&d[i]));
	for (unsigned int i = 0; i < s->finding_count; i++)
		json_object_array_add(findings, finding_json(&s->findings[i]));
	json_object_object_add(o, "devices", devices);
	json_object_object_add(o, "findings", findings);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

static int collect(struct status *s)
{
	int64_t revision;
	int err;

	s->ring = malloc(sizeof(*s->ring));
	s->findings = calloc(FINDINGS_MAX, sizeof(*s->findings));
	if (!s->ring || !s->findings)
		return error_set(-ENOMEM, "out of memory");
	err = ctl_ring_get(s->ctl, s->ring, &revision);
	if (!err)
		err = ctl_peers(s->ctl, &s->peers, &s->peer_count);
	if (!err)
		err = ctl_volumes(s->ctl, &s->volumes, &s->volume_count);
	return err;
}

static void report(struct status *s)
{
	struct ctl_device *devices = NULL;
	size_t count = 0;

	if (ctl_devices(&devices, &count))
		count = 0;
	check_ring(s);
	check_copies(s);
	check_peers(s);
	check_space(s);
	check_volumes(s);
	check_devices(s, devices, count);
	if (s->ctl->json) {
		print_json(s, devices, count);
	} else {
		print_summary(s);
		if (count)
			print_devices(devices, count);
		print_findings(s);
	}
	free(devices);
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
	struct status s = { .ctl = ctl };
	int err = collect(&s);

	(void)argc;
	(void)argv;
	if (!err)
		report(&s);
	free(s.ring);
	free(s.findings);
	free(s.peers);
	free(s.volumes);
	return err ? ctl_fail(err) : (int)s.worst;
}
