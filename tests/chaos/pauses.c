// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pauses.h"

#define SETTLE_NS 2000000000ULL
#define KIND_MAX 32
#define WINDOWS_MAX 65536

struct window {
	char kind[KIND_MAX];
	uint64_t begin, end;	/* the end with the time to settle */
	uint64_t gap, slowest;
	bool told;
};

static int windows_read(FILE *file, struct window *windows, size_t *count)
{
	struct window *window;

	for (*count = 0; *count < WINDOWS_MAX; (*count)++) {
		window = &windows[*count];
		memset(window, 0, sizeof(*window));
		switch (fscanf(file, "%31s %" SCNu64 " %" SCNu64, window->kind,
			       &window->begin, &window->end)) {
		case 3:
			window->end += SETTLE_NS;
			break;
		case EOF:
			return 0;
		default:
			return -EINVAL;
		}
	}
	return -EINVAL;
}

static bool is_alone(const struct window *windows, size_t count,
		     const struct window *one)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(windows[i].kind, one->kind) &&
		    windows[i].begin < one->end && one->begin < windows[i].end)
			return false;
	return true;
}

static int by_end(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return x->end < y->end ? -1 : x->end > y->end;
}

/* The place of the first event that ended after that time. */
static size_t first_after(const struct event *events, size_t count,
			  uint64_t time)
{
	size_t low = 0, high = count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (events[middle].end <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The events are in order of their ends. */
static void measure(struct window *window, const struct event *events,
		    size_t count)
{
	uint64_t last = window->begin, begin;
	size_t i;

	for (i = first_after(events, count, last); i < count; i++) {
		if (events[i].outcome != EVENT_OK)
			continue;
		if (last >= window->end)
			break;
		begin = events[i].invoke > window->begin ? events[i].invoke :
							   window->begin;
		if (begin < window->end &&
		    events[i].end - begin > window->slowest)
			window->slowest = events[i].end - begin;
		if (events[i].kind != EVENT_WRITE)
			continue;
		if (events[i].end - last > window->gap)
			window->gap = events[i].end - last;
		last = events[i].end;
	}
}

struct longest {
	unsigned int faults;
	uint64_t gap, slowest;
};

static void count_in(struct longest *longest, const struct window *window)
{
	longest->faults++;
	if (window->gap > longest->gap)
		longest->gap = window->gap;
	if (window->slowest > longest->slowest)
		longest->slowest = window->slowest;
}

/* Of a kind that was never alone, what it and others cost together. */
static void tell(struct window *windows, size_t count, const struct window *one)
{
	struct longest alone = { 0 }, any = { 0 };
	const struct longest *longest;
	size_t i;

	for (i = 0; i < count; i++) {
		if (strcmp(windows[i].kind, one->kind))
			continue;
		windows[i].told = true;
		count_in(&any, &windows[i]);
		if (is_alone(windows, count, &windows[i]))
			count_in(&alone, &windows[i]);
	}
	longest = alone.faults ? &alone : &any;
	printf("pause %s %u gap %" PRIu64 " slowest %" PRIu64 "%s\n", one->kind,
	       longest->faults, longest->gap / 1000000,
	       longest->slowest / 1000000,
	       alone.faults ? "" : " never alone");
}

int pauses_print(const char *path, const struct event *events, size_t count)
{
	struct window *windows = calloc(WINDOWS_MAX, sizeof(*windows));
	struct event *sorted = calloc(count + 1, sizeof(*sorted));
	FILE *file = fopen(path, "re");
	size_t i, faults = 0;
	int err = file ? -ENOMEM : -errno;

	if (file && windows && sorted)
		err = windows_read(file, windows, &faults);
	if (!err) {
		memcpy(sorted, events, count * sizeof(*sorted));
		qsort(sorted, count, sizeof(*sorted), by_end);
		for (i = 0; i < faults; i++)
			measure(&windows[i], sorted, count);
		for (i = 0; i < faults; i++)
			if (!windows[i].told)
				tell(windows, faults, &windows[i]);
	}
	if (file)
		fclose(file);
	free(windows);
	free(sorted);
	return err;
}
