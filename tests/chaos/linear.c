// SPDX-License-Identifier: Apache-2.0
/*
 * Each block is a register by itself, which makes the search small. For one
 * block the events are walked in the order of time, with the set of all states
 * that are possible so far. A state is the value of the block, and which of the
 * operations that are under way have taken effect already. An operation that
 * ends well must have taken effect: states in which it has not are dropped, and
 * when none is left, the history is not linearizable.
 *
 * A read takes effect as soon as it can, since it changes nothing. One of
 * unknown outcome may take effect until the next session begins, or never.
 *
 * Where unflushed writes may have been lost, every value that the block can
 * have had since then is possible again; "then" is the begin of the last flush
 * that had ended, or of the newest write that is seen afterwards in any block:
 * what is left must be a prefix.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "linear.h"

#define SLOTS 64
#define STATES_MAX (1 << 14)

struct state {
	uint64_t value;
	uint64_t done;		/* slots that have taken effect */
};

/* Something happens to one block: an operation begins or ends. */
struct point {
	uint64_t time;
	uint32_t event;
	uint8_t type;		/* enum point_type; the order at one time */
};

enum point_type { POINT_BEGIN, POINT_SINCE, POINT_LOSS, POINT_END };

struct loss {
	uint64_t time, since;
};

struct search {
	struct event *events;
	struct linear_report *report;
	void (*tell)(void *arg, const struct linear_violation *violation);
	void *arg;
	struct loss *losses;
	size_t loss_count;

	struct state *states;
	size_t count;
	bool overflow;
	const struct event *slots[SLOTS];
	uint64_t used;		/* slots that hold an operation */
	uint64_t newest;	/* begin of the newest acknowledged write */
	uint64_t newest_value;

	/* Values since the last flush; kept only up to a loss. */
	uint64_t *kept;
	size_t kept_count, kept_max;
	bool keeping;

	struct point *points;
	size_t point_max;
};

/* ---- states ---------------------------------------------------------------- */

/* Reads that are under way and see this value take effect. */
static uint64_t reads_done(const struct search *s, uint64_t value)
{
	uint64_t left = s->used, done = 0;
	int slot;

	for (; left; left &= left - 1) {
		slot = __builtin_ctzll(left);
		if (s->slots[slot]->kind == EVENT_READ &&
		    s->slots[slot]->value == value)
			done |= 1ULL << slot;
	}
	return done;
}

static void state_add(struct search *s, uint64_t value, uint64_t done)
{
	size_t i;

	done |= reads_done(s, value);
	for (i = 0; i < s->count; i++)
		if (s->states[i].value == value && s->states[i].done == done)
			return;
	if (s->count == STATES_MAX) {
		s->overflow = true;
		return;
	}
	s->states[s->count++] = (struct state){ value, done };
}

/* All that can come of the states by what is under way. */
static void states_close(struct search *s)
{
	uint64_t left;
	size_t i;
	int slot;

	for (i = 0; i < s->count; i++) {
		for (left = s->used & ~s->states[i].done; left;
		     left &= left - 1) {
			slot = __builtin_ctzll(left);
			if (s->slots[slot]->kind == EVENT_WRITE)
				state_add(s, s->slots[slot]->value,
					  s->states[i].done | 1ULL << slot);
		}
	}
}

/* Forgets a slot; states that differ in nothing else become one. */
static void slot_free(struct search *s, int slot, bool must)
{
	uint64_t bit = 1ULL << slot;
	size_t i, count = s->count;

	s->count = 0;
	s->used &= ~bit;
	for (i = 0; i < count; i++)
		if (!must || s->states[i].done & bit)
			state_add(s, s->states[i].value,
				  s->states[i].done & ~bit);
}

static int slot_of(const struct search *s, const struct event *event)
{
	uint64_t left;

	for (left = s->used; left; left &= left - 1)
		if (s->slots[__builtin_ctzll(left)] == event)
			return __builtin_ctzll(left);
	return -1;
}

/* ---- what a loss may bring back -------------------------------------------- */

static int keep_value(struct search *s, uint64_t value)
{
	uint64_t *more;
	size_t i, max = s->kept_max ? 2 * s->kept_max : 64;

	for (i = 0; i < s->kept_count; i++)
		if (s->kept[i] == value)
			return 0;
	if (s->kept_count == s->kept_max) {
		more = realloc(s->kept, max * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->kept = more;
		s->kept_max = max;
	}
	s->kept[s->kept_count++] = value;
	return 0;
}

static int keep_states(struct search *s)
{
	size_t i;
	int err = 0;

	if (!s->keeping)
		return 0;
	states_close(s);
	for (i = 0; i < s->count && !err; i++)
		err = keep_value(s, s->states[i].value);
	return err;
}

static void lose(struct search *s)
{
	size_t i;

	s->count = 0;
	for (i = 0; i < s->kept_count; i++)
		state_add(s, s->kept[i], 0);
	s->keeping = false;
}

/* ---- one block ------------------------------------------------------------- */

static bool was_written(const struct search *s, const struct point *points,
			size_t count, const struct event *read)
{
	const struct event *event;
	size_t i;

	for (i = 0; i < count; i++) {
		event = &s->events[points[i].event];
		if (points[i].type == POINT_BEGIN &&
		    points[i].time <= read->end &&
		    event->kind == EVENT_WRITE && event->value == read->value)
			return true;
	}
	return read->value == 0;
}

/* Whether somebody sees the newest acknowledged write later on. */
static bool is_seen_later(const struct search *s, const struct point *points,
			  size_t count, const struct event *read)
{
	const struct event *event;
	size_t i;

	for (i = 0; i < count; i++) {
		event = &s->events[points[i].event];
		if (event->kind == EVENT_READ && event->end > read->end &&
		    event->value == s->newest_value)
			return true;
	}
	return false;
}

static void violated(struct search *s, const struct point *points,
		     size_t count, const struct event *event)
{
	struct linear_violation violation = { .read = *event };

	if (event->value == EVENT_TORN)
		violation.fault = LINEAR_TORN;
	else if (!was_written(s, points, count, event))
		violation.fault = LINEAR_UNWRITTEN;
	else if (is_seen_later(s, points, count, event))
		violation.fault = LINEAR_STALE;
	else
		violation.fault = LINEAR_LOST;
	s->report->faults[violation.fault]++;
	if (s->tell)
		s->tell(s->arg, &violation);
}

static void begin(struct search *s, const struct event *event)
{
	uint64_t left = ~s->used;
	size_t i;
	int slot;

	if (!left) {
		s->overflow = true;
		return;
	}
	slot = __builtin_ctzll(left);
	s->slots[slot] = event;
	s->used |= 1ULL << slot;
	if (event->kind != EVENT_READ)
		return;
	for (i = 0; i < s->count; i++)
		if (s->states[i].value == event->value)
			s->states[i].done |= 1ULL << slot;
}

/* Whether it has taken effect in any state. */
static bool can_be_done(const struct search *s, int slot)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->states[i].done & 1ULL << slot)
			return true;
	return false;
}

static void end(struct search *s, const struct point *points, size_t count,
		const struct event *event)
{
	int slot = slot_of(s, event);
	bool possible;

	if (slot < 0)
		return;
	states_close(s);
	/* A write can always be done; a read of what is not there cannot. */
	possible = can_be_done(s, slot) || s->overflow;
	slot_free(s, slot, possible && event->outcome == EVENT_OK);
	if (!possible) {
		/* One fault should be told once: both may be true from here. */
		violated(s, points, count, event);
		if (event->value != EVENT_TORN)
			state_add(s, event->value, 0);
	}
	if (event->kind == EVENT_WRITE && event->outcome == EVENT_OK &&
	    event->invoke >= s->newest) {
		s->newest = event->invoke;
		s->newest_value = event->value;
	}
}

static int block_check(struct search *s, const struct point *points,
		       size_t count)
{
	const struct event *event;
	size_t i;
	int err = 0;

	s->count = s->kept_count = 0;
	s->used = s->newest = s->newest_value = 0;
	s->overflow = s->keeping = false;
	state_add(s, 0, 0);
	for (i = 0; i < count && !s->overflow && !err; i++) {
		event = &s->events[points[i].event];
		switch (points[i].type) {
		case POINT_BEGIN:
			begin(s, event);
			break;
		case POINT_SINCE:
			s->keeping = true;
			s->kept_count = 0;
			break;
		case POINT_LOSS:
			lose(s);
			break;
		case POINT_END:
			end(s, points, count, event);
			break;
		}
		err = keep_states(s);
	}
	s->report->undecided += s->overflow;
	return err;
}

/* ---- all blocks ------------------------------------------------------------ */

static int by_time(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return x->type - y->type;
}

static int by_block(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->invoke < y->invoke ? -1 : x->invoke > y->invoke;
}

static int points_reserve(struct search *s, size_t count)
{
	struct point *more;

	if (count <= s->point_max)
		return 0;
	more = realloc(s->points, count * sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->points = more;
	s->point_max = count;
	return 0;
}

/* One block has the events [first, end). */
static int events_check(struct search *s, size_t first, size_t last)
{
	size_t i, count = 0;
	int err = points_reserve(s, 2 * (last - first + s->loss_count));

	if (err)
		return err;
	for (i = first; i < last; i++) {
		s->points[count++] = (struct point){ s->events[i].invoke,
			(uint32_t)i, POINT_BEGIN };
		if (s->events[i].outcome != EVENT_FAILED)
			s->points[count++] = (struct point){ s->events[i].end,
				(uint32_t)i, POINT_END };
	}
	for (i = 0; i < s->loss_count; i++) {
		s->points[count++] = (struct point){ s->losses[i].since,
			(uint32_t)first, POINT_SINCE };
		s->points[count++] = (struct point){ s->losses[i].time,
			(uint32_t)first, POINT_LOSS };
	}
	qsort(s->points, count, sizeof(*s->points), by_time);
	s->report->blocks++;
	return block_check(s, s->points, count);
}

static void count_event(struct linear_report *report, const struct event *event)
{
	switch (event->kind) {
	case EVENT_READ:
		report->reads++;
		break;
	case EVENT_WRITE:
		report->writes++;
		report->unknown += event->outcome == EVENT_UNKNOWN;
		report->failed += event->outcome == EVENT_FAILED;
		break;
	case EVENT_FLUSH:
		report->flushes++;
		break;
	case EVENT_SESSION:
		report->sessions++;
		break;
	case EVENT_LOSS:
		report->losses++;
		break;
	}
}

/* When the write began whose value this is; 0 if there is none. */
static uint64_t begin_of(const struct event *events, size_t first, size_t last,
			 uint64_t value)
{
	size_t i;

	for (i = first; i < last; i++)
		if (events[i].kind == EVENT_WRITE && events[i].value == value)
			return events[i].invoke;
	return 0;
}

/* What reads of the block after the loss show to have survived it. */
static void survivors(struct search *s, size_t first, size_t last,
		      struct loss *loss)
{
	uint64_t began;
	size_t i;

	for (i = first; i < last; i++) {
		if (s->events[i].kind != EVENT_READ || !s->events[i].value ||
		    s->events[i].invoke <= loss->time)
			continue;
		began = begin_of(s->events, first, last, s->events[i].value);
		if (began < loss->time && began > loss->since)
			loss->since = began;
	}
}

static size_t block_end(const struct event *events, size_t first, size_t count)
{
	size_t last = first;

	while (last < count && events[last].block == events[first].block)
		last++;
	return last;
}

static int losses_find(struct search *s, size_t count)
{
	size_t i, j, last;
	struct loss *loss;

	s->losses = calloc(s->report->losses + 1, sizeof(*s->losses));
	if (!s->losses)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		if (s->events[i].kind == EVENT_LOSS)
			s->losses[s->loss_count++].time = s->events[i].invoke;
	for (loss = s->losses; loss < s->losses + s->loss_count; loss++) {
		/* What one recovery has found, it has made durable. */
		if (loss > s->losses)
			loss->since = loss[-1].time + 1;
		for (j = 0; j < count; j++)
			if (s->events[j].kind == EVENT_FLUSH &&
			    s->events[j].end < loss->time &&
			    s->events[j].invoke > loss->since)
				loss->since = s->events[j].invoke;
		for (j = 0; j < count; j = last) {
			last = block_end(s->events, j, count);
			if (s->events[j].block != EVENT_NO_BLOCK)
				survivors(s, j, last, loss);
		}
	}
	return 0;
}

int linear_check(struct event *events, size_t count,
		 struct linear_report *report,
		 void (*tell)(void *arg, const struct linear_violation *),
		 void *arg)
{
	struct search s = { .events = events, .report = report, .tell = tell,
			    .arg = arg };
	size_t i, last;
	int err = -ENOMEM;

	memset(report, 0, sizeof(*report));
	for (i = 0; i < count; i++)
		count_event(report, &events[i]);
	qsort(events, count, sizeof(*events), by_block);
	s.states = calloc(STATES_MAX, sizeof(*s.states));
	if (s.states)
		err = losses_find(&s, count);
	for (i = 0; i < count && !err; i = last) {
		last = block_end(events, i, count);
		if (events[i].block != EVENT_NO_BLOCK)
			err = events_check(&s, i, last);
	}
	free(s.states);
	free(s.losses);
	free(s.points);
	free(s.kept);
	return err;
}

const char *linear_fault_name(enum linear_fault fault)
{
	static const char *const names[] = {
		[LINEAR_TORN] = "torn or misplaced",
		[LINEAR_UNWRITTEN] = "never written",
		[LINEAR_LOST] = "lost or resurrected",
		[LINEAR_STALE] = "stale",
	};

	return names[fault];
}
