// SPDX-License-Identifier: Apache-2.0
/* status: copies that were found bad and are not replaced yet. */
#include <inttypes.h>
#include <stdio.h>

#include "status.h"

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
	if (w->volume_block != UINT64_MAX)
		snprintf(text + used, len - (size_t)used, " at offset %" PRIu64,
			 w->volume_block * BLOCK_SIZE);
}

static void add_bad(struct status *s, const struct ctl_peer *p,
		    const struct survey_answer *a, uint64_t bad)
{
	struct finding *f = status_add(s, CTL_DEGRADED, "copies-bad",
				       p->doc.address);
	char place[160] = "places that are not remembered";

	for (uint32_t i = 0; i < a->finding_count; i++) {
		if (a->findings[i].healed)
			continue;
		format_place(s, &a->findings[i], place, sizeof(place));
		break;
	}
	finding_what(f, "peer %s holds %" PRIu64 " bad %s, the newest found in %s",
		     p->doc.address, bad, bad == 1 ? "copy" : "copies", place);
	finding_means(f, "reads use the other copies; if none of them is good either, reads of that place fail, and never return wrong data");
	finding_doing(f, "replaced from a good copy as soon as one is found");
	finding_command(f, "if it stays: torusctl scrub status; a disk that goes bad: torusctl peer drain %s",
			p->doc.address);
}

void status_scrub(struct status *s)
{
	for (size_t i = 0; i < s->survey.count; i++) {
		const struct survey_answer *a = &s->survey.answers[i];
		uint64_t bad = a->m.scrub_bad - a->m.scrub_healed;

		if (a->m.scrub_bad > a->m.scrub_healed)
			add_bad(s, &s->view.peers[i], a, bad);
	}
}
