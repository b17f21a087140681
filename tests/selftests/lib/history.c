// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mount.h>

#include "history.h"
#include "test.h"

#define TRACING "/sys/kernel/tracing/"
#define EVENTS TRACING "events/torus/"
#define TAGS_MAX 1024

static const char * const events[] = {
	"torus_queued", "torus_completed", "torus_requeued", "torus_failed",
};

static void set(const char *name, const char *text)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), TRACING "%s", name);
	ret = write_text(path, text);
	if (ret)
		FAIL("cannot write %s to %s: %s", text, path, strerror(-ret));
}

static void enable(const char *value)
{
	char name[64];

	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		snprintf(name, sizeof(name), "events/torus/%s/enable",
			 events[i]);
		set(name, value);
	}
}

void history_begin(void)
{
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	if (access(EVENTS, F_OK))
		SKIP("no tracing of the driver here");
	set("tracing_on", "0");
	/* Events of all CPUs in the order in which they happened. */
	set("trace_clock", "counter");
	set("buffer_size_kb", "16384");
	set("trace", "\n");
	enable("1");
	set("tracing_on", "1");
}

/* Whether the driver has the request of a slot, and how each event changes it. */
static void apply(struct history *history, const char *event, bool *held,
		  const char *line)
{
	bool queued = !strcmp(event, "torus_queued");

	if (queued == *held)
		FAIL("%s although the driver %s it: %s", event,
		     *held ? "has" : "does not have", line);
	*held = queued;
	if (queued)
		history->queued++;
	else if (!strcmp(event, "torus_completed"))
		history->completed++;
	else if (!strcmp(event, "torus_requeued"))
		history->requeued++;
	else
		history->failed++;
}

static void take_line(struct history *history, uint32_t dev_id, bool *held,
		      const char *line)
{
	unsigned int dev, queue, tag;
	char event[32];
	const char *at = strstr(line, ": torus_");

	if (!at || *line == '#')
		return;
	if (sscanf(at, ": %31[a-z_]: torus%u queue=%u tag=%u", event, &dev,
		   &queue, &tag) != 4)
		FAIL("not an event of a request: %s", line);
	CHECK(queue < TORUS_QUEUES_MAX && tag < TAGS_MAX);
	if (dev == dev_id)
		apply(history, event, &held[queue * TAGS_MAX + tag], line);
}

/* What was overwritten would be missed. */
static void check_complete(void)
{
	char path[128], line[128];
	long long overrun;
	FILE *f;

	for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_CONF); cpu++) {
		snprintf(path, sizeof(path), TRACING "per_cpu/cpu%ld/stats",
			 cpu);
		f = fopen(path, "r");
		CHECK(f);
		while (fgets(line, sizeof(line), f))
			if (sscanf(line, "overrun: %lld", &overrun) == 1)
				CHECK_INT(overrun, 0);
		fclose(f);
	}
}

void history_check(uint32_t dev_id, struct history *history)
{
	bool *held = calloc(TORUS_QUEUES_MAX * TAGS_MAX, sizeof(*held));
	char line[512];
	FILE *f;

	CHECK(held);
	memset(history, 0, sizeof(*history));
	set("tracing_on", "0");
	enable("0");
	check_complete();
	f = fopen(TRACING "trace", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		take_line(history, dev_id, held, line);
	fclose(f);
	set("trace", "\n");
	set("buffer_size_kb", "1024");
	for (unsigned int i = 0; i < TORUS_QUEUES_MAX * TAGS_MAX; i++)
		if (held[i])
			FAIL("queue %u, tag %u: the driver has kept a request",
			     i / TAGS_MAX, i % TAGS_MAX);
	free(held);
	CHECK(history->queued > 0);
	CHECK_INT(history->completed + history->requeued + history->failed,
		  history->queued);
}
