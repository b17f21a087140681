// SPDX-License-Identifier: Apache-2.0
/*
 * A submitter that goes on submitting has not noticed yet that its requests are
 * done, and loses nothing when it learns of several together. One that waits
 * submits nothing more. So completions are kept for as long as requests keep
 * coming about as quickly as they usually do in such a time, and never long.
 *
 * When nothing comes the time was wasted. Then it is not tried again for a
 * while, and whoever has one request at a time loses next to nothing.
 */
#include "base/cleanup.h"
#include "front/moderation.h"

#define REST 64
#define SHARE 8		/* of a new gap in the average */

/* So long after an arrival the next one is not to be expected any more. */
static uint64_t patience(const struct moderation *m)
{
	if (!m->gap)
		return MODERATION_NS_MAX;
	return MAX(2 * m->gap, (uint64_t)MODERATION_NS_MAX / 4);
}

static bool end(struct moderation *m)
{
	if (!m->fruitful)
		m->rest = REST;
	m->fruitful = false;
	m->since = 0;
	return false;
}

static void note_arrivals(struct moderation *m, uint64_t now,
			  unsigned int arrived)
{
	uint64_t gap = (now - m->arrival) / arrived;

	if (!m->gap)
		m->gap = gap;
	m->gap += (int64_t)(gap - m->gap) / SHARE;
	m->arrival = now;
	m->fruitful = true;
}

static bool begin(struct moderation *m, uint64_t now)
{
	if (m->rest) {
		m->rest--;
		return false;
	}
	m->since = m->arrival = now;
	return true;
}

bool moderation_keeps(struct moderation *m, uint64_t now, unsigned int ready,
		      unsigned int arrived)
{
	if (ready >= MODERATION_COUNT_MAX)
		return m->since ? end(m) : false;
	if (!m->since)
		return begin(m, now);
	if (arrived)
		note_arrivals(m, now, arrived);
	if (now - m->since >= MODERATION_NS_MAX ||
	    now - m->arrival >= patience(m))
		return end(m);
	return true;
}
