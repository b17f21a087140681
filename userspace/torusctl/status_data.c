// SPDX-License-Identifier: Apache-2.0
/*
 * Data that cannot be reached: chunks of which no owner answers, neither by
 * the current ring nor by the one before. A chunk may also lie elsewhere, as
 * after a change of its ensemble, so the peers that do answer are asked. What
 * none of them has is on those that do not, or it is garbage that is gone for
 * good: only the volume's table of chunks knows, which is not read here. So
 * this errs on the side of alarm.
 *
 * Of a volume of very many chunks some are looked at, evenly spread.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "lookup.h"
#include "status.h"

#define CHUNKS_LOOKED_AT 200000u	/* of one volume */
#define VOLUMES_ASKED_FOR 16u

struct search {
	struct status *s;
	struct ring *current, *previous;	/* NULL: there is none */
	unsigned int asked;
};

static bool any_reachable(const struct status *s, const struct uuid *owners,
			  uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (status_reachable(s, &owners[i]))
			return true;
	return false;
}

static bool ring_reaches(const struct search *search, const struct ring *ring,
			 const struct volume_doc *v, uint64_t chunk)
{
	const struct tail *t = &v->tail;
	bool open = t->first <= chunk && chunk <= t->last &&
		    ring && ring_spec(ring)->version == t->ring_version;
	struct uuid owners[RING_REPLICATION_MAX];
	uint32_t count;

	if (!ring)
		return false;
	count = ring_ensemble(ring, v->id, chunk, v->replication, t->excluded,
			      open ? t->excluded_count : 0, owners);
	return any_reachable(search->s, owners, count);
}

static bool is_reachable(const struct search *search,
			 const struct volume_doc *v, uint64_t chunk)
{
	return ring_reaches(search, search->current, v, chunk) ||
	       ring_reaches(search, search->previous, v, chunk);
}

/* Chunks that no owner answers for; at most @max. */
static uint32_t find_candidates(const struct search *search,
				const struct volume_doc *v, uint64_t *chunks,
				uint32_t max)
{
	uint64_t step = v->next_chunk / CHUNKS_LOOKED_AT + 1;
	uint32_t count = 0;

	for (uint64_t c = 1; c < v->next_chunk && count < max; c += step)
		if (!is_reachable(search, v, c))
			chunks[count++] = c;
	return count;
}

static uint32_t count_missing(struct search *search, const struct volume_doc *v,
			      const uint64_t *chunks, uint32_t count)
{
	struct status *s = search->s;
	enum lookup_copy found[WIRE_LOOKUP_MAX] = { LOOKUP_NONE };
	uint32_t missing = 0;

	if (count && search->asked < VOLUMES_ASKED_FOR && status_cluster(s)) {
		search->asked++;
		/* Not to know is no reason to be calm. */
		if (lookup_chunks(s->ctl, s->cluster, s->view.peers,
				  &s->survey, v->id, chunks, count, found) < 0)
			memset(found, 0, sizeof(found));
	}
	for (uint32_t i = 0; i < count; i++)
		missing += found[i] != LOOKUP_GOOD;
	return missing;
}

static void add_unreadable(struct status *s, const struct volume_doc *v,
			   uint32_t missing)
{
	struct finding *f = status_add(s, CTL_UNAVAILABLE, "volume-unreadable",
				       v->name);

	finding_what(f, "volume %s: no peer that answers has a copy of %u%s of its chunks",
		     v->name, missing,
		     missing == WIRE_LOOKUP_MAX ? " or more" : "");
	finding_means(f, "reads of what lies there wait, and fail after the volume's I/O timeout; nothing is lost as long as one of the peers that hold it comes back");
	finding_command(f, "start the peers that are down: torusctl peer list (it names them)");
	s->unreadable = v->name;
}

static void check_readable(struct search *search, const struct volume_doc *v)
{
	CLEANUP_FREE uint64_t *chunks = calloc(WIRE_LOOKUP_MAX,
					       sizeof(*chunks));
	uint32_t missing;

	if (!chunks)
		return;
	missing = count_missing(search, v, chunks,
				find_candidates(search, v, chunks,
						WIRE_LOOKUP_MAX));
	if (missing)
		add_unreadable(search->s, v, missing);
}

static void check_writable(struct status *s, const struct volume_doc *v)
{
	uint32_t there = members_reachable(s);
	uint32_t members = s->view.ring->current.member_count;

	/* Too small a ring is status_ring()'s to tell. */
	if (status_writable(there, v->replication) ||
	    !status_writable(members, v->replication))
		return;
	s->unwritable = v->name;
}

void status_data(struct status *s)
{
	struct ring_doc *ring = s->view.ring;
	struct search search = { .s = s };

	if (ring_create(&ring->current, &search.current))
		search.current = NULL;
	if (!ring->has_previous ||
	    ring_create(&ring->previous, &search.previous))
		search.previous = NULL;
	for (size_t i = 0; i < s->view.volume_count; i++) {
		check_readable(&search, &s->view.volumes[i]);
		check_writable(s, &s->view.volumes[i]);
	}
	ring_free(search.current);
	ring_free(search.previous);
}
