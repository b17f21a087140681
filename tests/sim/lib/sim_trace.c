// SPDX-License-Identifier: Apache-2.0
/*
 * The trace: a ring of the last lines, kept as numbers and formatted only
 * when somebody wants to read them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sim_internal.h"

static struct sim *log_sim;

static void entry_print(const struct sim *sim, const struct trace_entry *e,
			FILE *out)
{
	fprintf(out, "%llu.%06llu %-8s ", e->when / NSEC_PER_SEC,
		e->when % NSEC_PER_SEC / 1000,
		e->node < 0 ? "-" : sim->nodes[(int)e->node]->name);
	if (!e->fmt) {
		fprintf(out, "%s\n", e->text);
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	fprintf(out, e->fmt, (unsigned long long)e->arg[0],
		(unsigned long long)e->arg[1], (unsigned long long)e->arg[2],
		(unsigned long long)e->arg[3]);
#pragma GCC diagnostic pop
	fputc('\n', out);
}

static struct trace_entry *entry_next(struct sim *sim,
				      const struct sim_node *node)
{
	struct trace_entry *e;

	e = &sim->trace[sim->trace_count++ & (TRACE_RING - 1)];
	e->when = sim->now;
	e->node = node ? (int8_t)node->id : -1;
	return e;
}

void sim_trace(struct sim *sim, const struct sim_node *node, const char *fmt,
	       uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct trace_entry *e = entry_next(sim, node);

	e->fmt = fmt;
	e->arg[0] = a;
	e->arg[1] = b;
	e->arg[2] = c;
	e->arg[3] = d;
	sim_mix(sim, a);
	sim_mix(sim, b);
	sim_mix(sim, c ^ d << 32 ^ d >> 32);
	if (sim->live)
		entry_print(sim, e, sim->live);
}

void sim_trace_live(struct sim *sim, FILE *out)
{
	sim->live = out;
}

void sim_trace_dump(struct sim *sim, FILE *out, unsigned int lines)
{
	uint64_t n = sim_least(lines, sim->trace_count, TRACE_RING);
	uint64_t i;

	for (i = sim->trace_count - n; i < sim->trace_count; i++)
		entry_print(sim, &sim->trace[i & (TRACE_RING - 1)], out);
}

static void log_sink(enum log_level level, const char *line)
{
	static const char *const names[] = { "error", "warning", "info",
					     "debug" };
	struct trace_entry *e;

	if (!log_sim)
		return;
	e = entry_next(log_sim, log_sim->current);
	e->fmt = NULL;
	snprintf(e->text, sizeof(e->text), "%s: %.100s",
		 level < ARRAY_SIZE(names) ? names[level] : "?", line);
	if (log_sim->live)
		entry_print(log_sim, e, log_sim->live);
}

void sim_log_attach(struct sim *sim)
{
	log_sim = sim;
	log_set_sink(sim ? log_sink : NULL);
}

void sim_fail_hook(struct sim *sim, void (*fn)(void *ctx, const char *what),
		   void *ctx)
{
	sim->fail = fn;
	sim->fail_ctx = ctx;
}

void sim_failed(struct sim *sim, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (sim->fail) {
		sim->fail(sim->fail_ctx, what);
		return;
	}
	sim_trace_dump(sim, stderr, 60);
	fprintf(stderr, "simulator: %s\n", what);
	abort();
}
