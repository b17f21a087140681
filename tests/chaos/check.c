// SPDX-License-Identifier: Apache-2.0
/*
 * chaos-check HISTORY [FAULTS]: judges what chaos-load has noted.
 *
 * Prints a line "wrong ..." for each violation (the first hundred), the pauses
 * of the FAULTS, a line "judged KEY=N ...", and ends with 0 if nothing is
 * wrong, with 1 if a block is, with 2 if it cannot tell.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "linear.h"
#include "pauses.h"

#define TOLD_MAX 100

struct told {
	const struct event *events;
	size_t count, violations;
};

static int read_history(const char *path, struct event **events, size_t *count)
{
	FILE *file = fopen(path, "re");
	struct stat status;
	int err = -EIO;

	if (!file)
		return -errno;
	if (fstat(fileno(file), &status) == 0 && status.st_size &&
	    status.st_size % (off_t)sizeof(**events) == 0) {
		*count = (size_t)status.st_size / sizeof(**events);
		*events = malloc(*count * sizeof(**events));
		err = *events ? 0 : -ENOMEM;
		if (!err && fread(*events, sizeof(**events), *count, file) !=
			    *count)
			err = -EIO;
	}
	fclose(file);
	return err;
}

/* What happened to the block in the time before, the newest last. */
static void tell_past(const struct told *told, const struct event *read)
{
	static const char *const kinds[] = { "?", "read", "write" };
	static const char *const outcomes[] = { "?", "ok", "unknown", "failed" };
	const struct event *event;
	size_t i, from = told->count, shown = 0;

	for (i = told->count; i > 0 && shown < 12; i--) {
		event = &told->events[i - 1];
		if (event->block == read->block && event->invoke <= read->end) {
			from = i - 1;
			shown++;
		}
	}
	for (i = from; i < told->count; i++) {
		event = &told->events[i];
		if (event->block == read->block && event->invoke <= read->end)
			printf("  %" PRIu64 " %" PRId64 " us thread %u %s %" PRIu64 " %s\n",
			       event->invoke,
			       event->end == EVENT_NEVER ? -1 :
			       (int64_t)((event->end - event->invoke) / 1000),
			       event->thread, kinds[event->kind], event->value,
			       outcomes[event->outcome]);
	}
}

static void tell(void *arg, const struct linear_violation *violation)
{
	struct told *told = arg;

	if (told->violations++ >= TOLD_MAX)
		return;
	printf("wrong: block %u is %s: a read at %" PRIu64 " saw %" PRIu64 "; before:\n",
	       violation->read.block, linear_fault_name(violation->fault),
	       violation->read.invoke, violation->read.value);
	tell_past(told, &violation->read);
}

int main(int argc, char **argv)
{
	struct linear_report report;
	struct told told = { 0 };
	struct event *events = NULL;
	size_t count = 0;
	int err;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: chaos-check HISTORY [FAULTS]\n");
		return 2;
	}
	err = read_history(argv[1], &events, &count);
	if (!err && argc == 3)
		err = pauses_print(argv[2], events, count);
	told.events = events;
	told.count = count;
	if (!err)
		err = linear_check(events, count, &report, tell, &told);
	free(events);
	if (err) {
		fprintf(stderr, "chaos-check: %s: %s\n", argv[1],
			strerror(-err));
		return 2;
	}
	printf("judged blocks=%zu reads=%zu writes=%zu flushes=%zu unknown=%zu failed=%zu sessions=%zu losses=%zu torn=%zu unwritten=%zu lost=%zu stale=%zu undecided=%zu\n",
	       report.blocks, report.reads, report.writes, report.flushes,
	       report.unknown, report.failed, report.sessions, report.losses,
	       report.faults[LINEAR_TORN], report.faults[LINEAR_UNWRITTEN],
	       report.faults[LINEAR_LOST], report.faults[LINEAR_STALE],
	       report.undecided);
	if (report.undecided)
		return 2;
	return told.violations ? 1 : 0;
}
