// SPDX-License-Identifier: Apache-2.0
/*
 * torusctl status: what there is, and for each thing that is not well what is
 * wrong, what it means for the data, what is being done, and what to type. The
 * exit status says the worst of it:
 *
 *   0  all data can be read and written, with all its copies
 *   1  all data can be read and written, but it is less safe than it should
 *      be, or will be soon, or a person has something to do
 *   2  some data of a volume cannot be read, or a volume cannot be written
 *
 * The metadata store and each peer are asked once, all peers at the same time,
 * so that it ends within seconds whoever hangs.
 */
#include "status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

const char *const severity_word[] = { "healthy", "degraded", "unavailable" };

struct finding *status_add(struct status *s, enum ctl_exit severity,
			   const char *name, const char *subject)
{
	struct finding *f = &s->spill;

	if (severity > s->worst)
		s->worst = severity;
	if (s->finding_count < FINDINGS_MAX)
		f = &s->findings[s->finding_count++];
	else
		s->hidden++;
	memset(f, 0, sizeof(*f));
	f->severity = severity;
	f->name = name;
	snprintf(f->subject, sizeof(f->subject), "%s", subject);
	return f;
}

#define DEFINE_FINDING_TEXT(field)					\
	void finding_##field(struct finding *f, const char *fmt, ...)	\
	{								\
		va_list ap;						\
									\
		va_start(ap, fmt);					\
		vsnprintf(f->field, sizeof(f->field), fmt, ap);		\
		va_end(ap);						\
	}

DEFINE_FINDING_TEXT(what)
DEFINE_FINDING_TEXT(means)
DEFINE_FINDING_TEXT(doing)
DEFINE_FINDING_TEXT(command)

struct cluster *status_cluster(struct status *s)
{
	if (!s->cluster)
		s->cluster = ctl_cluster_open(s->ctl);
	return s->cluster;
}

bool status_reachable(const struct status *s, const struct uuid *id)
{
	for (size_t i = 0; i < s->view.peer_count; i++)
		if (uuid_equal(&s->view.peers[i].doc.id, id))
			return !s->survey.answers[i].err;
	return false;
}

uint32_t members_reachable(const struct status *s)
{
	const struct ring_spec *ring = &s->view.ring->current;
	uint32_t n = 0;

	for (uint32_t i = 0; i < ring->member_count; i++)
		n += status_reachable(s, &ring->members[i].peer);
	return n;
}

bool status_writable(uint32_t members, uint32_t copies)
{
	return members >= copies / 2 + 1;
}

void status_command_for_members(const struct status *s, struct finding *f)
{
	bool available = false;

	for (size_t i = 0; i < s->view.peer_count; i++)
		available |= s->view.peers[i].alive && !s->view.peers[i].member;
	finding_command(f, "%s", available ? "torusctl peer add --all-peers" :
			"start more torusd, then torusctl peer add --all-peers");
}

/* ---- collecting ----------------------------------------------------------------- */

static int collect_owners(struct status *s)
{
	char prefix[META_KEY_MAX];
	struct ctl_value *values;
	size_t count;
	int err;

	key_prefix(&s->ctl->cluster.id, "owners", prefix);
	err = ctl_list(s->ctl, prefix, &values, &count);
	if (err)
		return err;
	s->owners = calloc(count + 1, sizeof(*s->owners));
	if (!s->owners)
		err = error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; !err && i < count; i++)
		s->owners[s->owner_count++] =
			strtoull(values[i].key + strlen(prefix), NULL, 16);
	ctl_values_free(values, count);
	return err;
}

static bool has_confirmed(const struct tombstone_doc *doc,
			  const struct uuid *peer)
{
	for (uint32_t i = 0; i < doc->confirmed_count; i++)
		if (uuid_equal(&doc->confirmed[i], peer))
			return true;
	return false;
}

static int count_unconfirmed(struct status *s, const struct ctl_value *values,
			     size_t count)
{
	CLEANUP_FREE struct tombstone_doc *doc = malloc(sizeof(*doc));

	s->unconfirmed = calloc(s->view.peer_count + 1,
				sizeof(*s->unconfirmed));
	if (!doc || !s->unconfirmed)
		return error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		/* One that is not understood is no reason to say nothing. */
		if (tombstone_doc_decode(values[i].key, values[i].text, doc))
			continue;
		for (size_t p = 0; p < s->view.peer_count; p++)
			s->unconfirmed[p] +=
				!has_confirmed(doc, &s->view.peers[p].doc.id);
	}
	return 0;
}

static int collect_tombstones(struct status *s)
{
	char prefix[META_KEY_MAX];
	struct ctl_value *values;
	int err;

	key_prefix(&s->ctl->cluster.id, "tombstones", prefix);
	err = ctl_list(s->ctl, prefix, &values, &s->tombstone_count);
	if (err)
		return err;
	err = count_unconfirmed(s, values, s->tombstone_count);
	ctl_values_free(values, s->tombstone_count);
	return err;
}

static int collect(struct status *s)
{
	int err;

	s->findings = calloc(FINDINGS_MAX, sizeof(*s->findings));
	if (!s->findings)
		return error_set(-ENOMEM, "out of memory");
	err = view_load(s->ctl, &s->view);
	if (!err)
		err = collect_owners(s);
	if (!err)
		err = collect_tombstones(s);
	if (!err)
		err = survey_run(s->ctl, s->view.peers, s->view.peer_count,
				 &s->survey);
	if (ctl_devices(&s->devices, &s->device_count))
		s->device_count = 0;
	return err;
}

static void report(struct status *s)
{
	status_data(s);
	status_lost(s);
	status_ring(s);
	status_peers(s);
	status_space(s);
	status_repair(s);
	status_scrub(s);
	status_volumes(s);
	status_devices(s);
	if (s->ctl->json)
		status_print_json(s);
	else
		status_print(s);
}

static void release(struct status *s)
{
	if (s->cluster)
		cluster_close(s->cluster);
	view_release(&s->view);
	survey_release(&s->survey);
	free(s->owners);
	free(s->unconfirmed);
	free(s->devices);
	free(s->findings);
	free(s);
}

int cmd_status(struct ctl *ctl, int argc, char **argv)
{
	struct status *s = calloc(1, sizeof(*s));
	int err, worst;

	(void)argc;
	(void)argv;
	if (!s)
		return ctl_fail(error_set(-ENOMEM, "out of memory"));
	s->ctl = ctl;
	err = collect(s);
	if (!err)
		report(s);
	worst = (int)s->worst;
	release(s);
	return err ? ctl_fail(err) : worst;
}
