// SPDX-License-Identifier: Apache-2.0
/*
 * status: copies that were found bad and are not replaced yet. Where no peer
 * that answers has a good one, what is damaged in all of them cannot be read, and
 * none can replace another. As in status_data.c that may be garbage, and this
 * errs on the side of alarm.
 */
#include <inttypes.h>
#include <stdio.h>

#include "lookup.h"
#include "status.h"

#define VOLUMES_ASKED_FOR 16u		/* in all */

/* "volume a at offset 8192", as far as that is known. */
static void format_place(const struct status *s, const struct survey_finding *w,
			 char *text, size_t len)
{
	const struct volume_doc *v = view_volume(&s->view, w->volume);
	int used;

	if (v)
		used = snprintf(text, len, "volume %s", v->name);
	else
		used = snprintf(text, len, "a volume with the id %" PRIu64,
				w->volume);
	if (survey_has_offset(w))
		snprintf(text + used, len - (size_t)used, " at offset %" PRIu64,
			 w->volume_block * BLOCK_SIZE);
}

/* Chunks of one volume whose copy this peer knows to be bad. */
static uint32_t find_bad(const struct survey_answer *a, uint64_t volume,
			 uint64_t *chunks)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < a->finding_count; i++)
		if (!a->findings[i].healed && a->findings[i].volume == volume)
			chunks[count++] = a->findings[i].chunk;
	return count;
}

/* Of the bad copies those of which no peer that answers has a good one; @name is
 * set to a volume that has such. */
static uint32_t count_alone(struct status *s, const struct survey_answer *a,
			    unsigned int *asked, const char **name)
{
	uint64_t chunks[WIRE_FINDINGS_MAX];
	uint32_t alone = 0;

	for (size_t i = 0; i < s->view.volume_count; i++) {
		const struct volume_doc *v = &s->view.volumes[i];
		enum lookup_copy found[WIRE_FINDINGS_MAX] = { LOOKUP_NONE };
		uint32_t count = find_bad(a, v->id, chunks);

		if (!count || *asked >= VOLUMES_ASKED_FOR)
			continue;
		++*asked;
		if (!status_cluster(s) ||
		    lookup_chunks(s->ctl, s->cluster, s->view.peers,
				  &s->survey, v->id, chunks, count, found) < 0)
			continue;
		for (uint32_t c = 0; c < count; c++) {
			alone += found[c] != LOOKUP_GOOD;
			if (found[c] != LOOKUP_GOOD)
				*name = v->name;
		}
	}
	return alone;
}

static void say_healing(struct finding *f, const struct ctl_peer *p)
{
	finding_means(f, "reads use the other copies; if none of them is good either, reads of that place fail, and never return wrong data");
	finding_doing(f, "replaced from a good copy as soon as one is found");
	finding_command(f, "if it stays: torusctl scrub status; a disk that goes bad: torusctl peer drain %s",
			p->doc.address);
}

static void say_alone(const struct status *s, struct finding *f,
		      const char *volume, uint32_t alone)
{
	bool away = members_reachable(s) < s->view.ring->current.member_count;

	finding_means(f, "of %" PRIu32 " of them, in volume %s at least, no peer that answers has a good copy: a block is read from any copy in which it is not damaged; reads of one that is damaged in all of them fail, and never return wrong data. An attach that has to read the log there fails",
		      alone, volume);
	finding_doing(f, "replaced from a good copy as soon as a peer that has one answers");
	if (away)
		finding_command(f, "start the peers that are down: torusctl peer list (it names them)");
	else
		finding_command(f, "torusctl scrub status (it shows the places); copy what can be read to elsewhere as long as the volume is attached; what fails to be read is lost: write it anew from a backup, or delete the volume");
}

static void add_bad(struct status *s, const struct ctl_peer *p,
		    const struct survey_answer *a, unsigned int *asked)
{
	uint64_t bad = a->m.scrub_bad - a->m.scrub_healed;
	char place[160] = "places that are not remembered";
	const char *volume = "";
	uint32_t alone = count_alone(s, a, asked, &volume);
	struct finding *f = status_add(s, alone ? CTL_UNAVAILABLE : CTL_DEGRADED,
				       "copies-bad", p->doc.address);

	for (uint32_t i = 0; i < a->finding_count; i++) {
		if (a->findings[i].healed)
			continue;
		format_place(s, &a->findings[i], place, sizeof(place));
		break;
	}
	finding_what(f, "peer %s holds %" PRIu64 " bad %s, the newest found in %s",
		     p->doc.address, bad, bad == 1 ? "copy" : "copies", place);
	if (alone)
		say_alone(s, f, volume, alone);
	else
		say_healing(f, p);
}

void status_scrub(struct status *s)
{
	unsigned int asked = 0;

	for (size_t i = 0; i < s->survey.count; i++) {
		const struct survey_answer *a = &s->survey.answers[i];

		if (a->m.scrub_bad > a->m.scrub_healed)
			add_bad(s, &s->view.peers[i], a, &asked);
	}
}
