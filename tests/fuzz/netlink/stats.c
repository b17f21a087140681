// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "stats.h"

#define LLU(x) ((unsigned long long)(x))

/* All of it is counters. */
void stats_add(struct stats *to, const struct stats *from)
{
	const uint64_t *source = (const uint64_t *)from;
	uint64_t *target = (uint64_t *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		target[i] += source[i];
}

static uint64_t refusals(const struct stats_op *op)
{
	uint64_t n = 0;

	for (int i = 1; i < STATS_ERRORS; i++)
		n += op->refused[i];
	return n;
}

static void count_attrs(struct stats_op *op, const struct message *m,
			bool accepted)
{
	for (unsigned int i = 0; i < m->nr_fields; i++) {
		uint16_t number = m->fields[i].attr->number;

		op->valid[number]++;
		op->valid_accepted[number] += accepted;
	}
}

void stats_count(struct stats *s, const struct message *m, int mutation,
		 const struct answer *answer)
{
	struct stats_op *op = &s->ops[spec_index(m->op)];
	bool heard = answer->answered && !m->unheard;
	bool accepted = heard && !answer->error;
	bool refused = heard && answer->error;

	s->messages++;
	op->sent++;
	op->accepted += accepted;
	op->unanswered += !heard;
	if (refused && -answer->error < STATS_ERRORS)
		op->refused[-answer->error]++;
	if (!m->mutation)
		count_attrs(op, m, accepted);
	if (m->spoilt) {
		op->spoilt[m->spoilt->number]++;
		op->spoilt_refused[m->spoilt->number] += refused;
	}
	if (mutation < 0)
		return;
	s->mutations[mutation].sent++;
	s->mutations[mutation].accepted += accepted;
	s->mutations[mutation].refused += refused;
}

static void print_ops(const struct stats *s)
{
	printf("# %-14s %9s %9s %9s %9s  refused with\n", "operation", "sent",
	       "accepted", "refused", "no answer");
	for (unsigned int i = 0; i < spec_nr_ops; i++) {
		const struct stats_op *op = &s->ops[i];

		if (!spec_ops[i].nr_uses)
			continue;
		printf("# %-14s %9llu %9llu %9llu %9llu ", spec_ops[i].name,
		       LLU(op->sent), LLU(op->accepted), LLU(refusals(op)),
		       LLU(op->unanswered));
		for (int e = 1; e < STATS_ERRORS; e++)
			if (op->refused[e])
				printf(" %s %llu", strerrorname_np(e),
				       LLU(op->refused[e]));
		printf("\n");
	}
}

static void print_attrs(const struct stats *s)
{
	printf("# %-14s %-16s %9s %9s %9s %9s\n", "operation", "attribute",
	       "valid", "accepted", "mutated", "refused");
	for (unsigned int i = 0; i < spec_nr_ops; i++) {
		const struct stats_op *op = &s->ops[i];

		for (unsigned int j = 0; j < spec_ops[i].nr_uses; j++) {
			const struct spec_attr *attr = spec_ops[i].uses[j].attr;

			printf("# %-14s %-16s %9llu %9llu %9llu %9llu\n",
			       spec_ops[i].name, attr->name,
			       LLU(op->valid[attr->number]),
			       LLU(op->valid_accepted[attr->number]),
			       LLU(op->spoilt[attr->number]),
			       LLU(op->spoilt_refused[attr->number]));
		}
	}
}

static void print_mutations(const struct stats *s)
{
	printf("# %-28s %9s %9s %9s\n", "mutation", "sent", "accepted",
	       "refused");
	for (unsigned int i = 0; i < mutate_count(); i++)
		printf("# %-28s %9llu %9llu %9llu\n", mutate_number(i)->name,
		       LLU(s->mutations[i].sent), LLU(s->mutations[i].accepted),
		       LLU(s->mutations[i].refused));
}

void stats_print(const struct stats *s)
{
	print_ops(s);
	print_attrs(s);
	print_mutations(s);
	printf("# %llu messages; devices added %llu; sessions started %llu (messages) %llu (ring), closed in the middle %llu\n",
	       LLU(s->messages), LLU(s->added), LLU(s->started[1]),
	       LLU(s->started[2]), LLU(s->closed));
	printf("# requests served %llu (messages) %llu (ring); rings spoilt %llu times\n",
	       LLU(s->served[1]), LLU(s->served[2]), LLU(s->ring_mutations));
}

static unsigned int gap(const char *op, const char *attr, const char *what)
{
	printf("# %s%s%s %s\n", op, attr ? ", " : "", attr ? attr : "", what);
	return 1;
}

static unsigned int attr_gaps(const struct spec_op *op,
			      const struct stats_op *counted)
{
	unsigned int gaps = 0;

	for (unsigned int i = 0; i < op->nr_uses; i++) {
		const struct spec_attr *attr = op->uses[i].attr;

		if (!counted->valid_accepted[attr->number])
			gaps += gap(op->name, attr->name,
				    "was never accepted");
		if (!counted->spoilt_refused[attr->number])
			gaps += gap(op->name, attr->name,
				    "was never refused, mutated");
	}
	return gaps;
}

unsigned int stats_gaps(const struct stats *s)
{
	unsigned int gaps = 0;

	for (unsigned int i = 0; i < spec_nr_ops; i++) {
		const struct spec_op *op = &spec_ops[i];

		if (!op->nr_uses)
			continue;
		if (!s->ops[i].accepted)
			gaps += gap(op->name, NULL, "was never accepted");
		if (!refusals(&s->ops[i]))
			gaps += gap(op->name, NULL, "was never refused");
		gaps += attr_gaps(op, &s->ops[i]);
	}
	return gaps;
}
