// SPDX-License-Identifier: Apache-2.0
/*
 * Makes a failure small: fewer volumes, fewer operations, fewer faults, fewer
 * stores, as long as the world still fails in the same way. Faults and
 * operations are drawn from generators of their own (world_draw()), so that
 * leaving some out does not change the others; all that follows in time may
 * change, so a smaller world is only tried, in a process of its own.
 *
 * Faults are left out by delta debugging: halves, quarters ... down to one by
 * one. It ends when a whole round has made nothing smaller, or with the time.
 */
#include "shrink.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define TRY_SECONDS 20

struct outcome {
	bool failed;
	char how[64];			/* how the sentence begins, without numbers */
	uint32_t operations, faults, stores, volumes;
};

struct shrink {
	uint64_t seed;
	struct world_limits limits;
	uint64_t skip[SHRINK_FAULTS_MAX / 64];
	struct outcome best;
	unsigned int tries;
	time_t end;
};

/* So that "record 17" and "record 4" are the same failure. */
static void describe(const char *text, struct outcome *out)
{
	size_t n = 0;

	for (; *text && n < sizeof(out->how) - 1; text++)
		if (!isdigit((unsigned char)*text))
			out->how[n++] = *text;
	out->how[n] = '\0';
}

static void run_child(const struct shrink *s, int fd)
{
	struct outcome out = { 0 };
	struct world *w;

	alarm(TRY_SECONDS);
	w = world_new(s->seed, &s->limits, NULL);
	scenario_run(w);
	out.failed = w->failed;
	describe(w->failure, &out);
	out.operations = (uint32_t)w->stats.operations;
	out.faults = w->fault_count;
	out.stores = w->store_count;
	out.volumes = w->tenant_count;
	_exit(write(fd, &out, sizeof(out)) != sizeof(out));
}

/* A crash is a failure, too; one that takes too long is not the same one. */
static struct outcome attempt(struct shrink *s)
{
	struct outcome out = { 0 };
	int fds[2], status = 0;
	pid_t pid;

	s->tries++;
	fflush(NULL);
	if (pipe(fds))
		abort();
	pid = fork();
	if (pid == 0)
		run_child(s, fds[1]);
	close(fds[1]);
	if (pid < 0)
		abort();
	if (read(fds[0], &out, sizeof(out)) != sizeof(out))
		memset(&out, 0, sizeof(out));
	close(fds[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM) {
		out = s->best;
		out.failed = true;
		snprintf(out.how, sizeof(out.how), "%s",
			 strsignal(WTERMSIG(status)));
	}
	return out;
}

static bool time_is_up(const struct shrink *s)
{
	return time(NULL) >= s->end;
}

/* Does it still fail like that? Then that is the best one so far. */
static bool still_fails(struct shrink *s)
{
	struct outcome out;

	if (time_is_up(s))
		return false;
	out = attempt(s);
	if (!out.failed || strcmp(out.how, s->best.how))
		return false;
	s->best = out;
	return true;
}

/* Try a smaller value of one limit; it stays if that fails as well. */
static bool try_limit(struct shrink *s, uint32_t *limit, uint32_t value)
{
	uint32_t before = *limit;

	*limit = value;
	if (still_fails(s))
		return true;
	*limit = before;
	return false;
}

static bool shrink_limit(struct shrink *s, uint32_t *limit, uint32_t now,
			 uint32_t least)
{
	uint32_t value;

	for (value = least; value < now && !time_is_up(s); value++)
		if (try_limit(s, limit, value))
			return true;
	return false;
}

static bool shrink_steps(struct shrink *s)
{
	uint32_t n = MIN(s->limits.target, s->best.operations), part;
	bool any = false;

	for (part = 8; part >= 1 && !time_is_up(s); part--)
		if (try_limit(s, &s->limits.target, n * (8 - part) / 8)) {
			any = s->limits.target < n;
			break;
		}
	return any;
}

static bool is_skipped(const struct shrink *s, uint32_t i)
{
	return s->skip[i / 64] >> i % 64 & 1;
}

static uint32_t faults_left(const struct shrink *s)
{
	uint32_t i, n = 0;

	for (i = 0; i < MIN(s->best.faults, SHRINK_FAULTS_MAX); i++)
		n += !is_skipped(s, i);
	return n;
}

/* Leave out the faults from the @from-th to before the @to-th that is left. */
static bool skip_some(struct shrink *s, uint32_t from, uint32_t to)
{
	uint64_t before[ARRAY_SIZE(s->skip)];
	uint32_t i, n = 0;

	memcpy(before, s->skip, sizeof(before));
	for (i = 0; i < MIN(s->best.faults, SHRINK_FAULTS_MAX); i++) {
		if (is_skipped(s, i))
			continue;
		if (n >= from && n < to)
			s->skip[i / 64] |= 1ull << i % 64;
		n++;
	}
	if (still_fails(s))
		return true;
	memcpy(s->skip, before, sizeof(before));
	return false;
}

static bool shrink_faults(struct shrink *s)
{
	uint32_t size = faults_left(s), from;
	bool any = false;

	for (; size >= 1 && !time_is_up(s); size /= 2)
		for (from = 0; from < faults_left(s) && !time_is_up(s);)
			if (skip_some(s, from, from + size))
				any = true;
			else
				from += size;
	return any;
}

static void print_skip(const struct shrink *s)
{
	uint32_t i, last, count = MIN(s->best.faults, SHRINK_FAULTS_MAX);
	const char *before = " --skip ";

	for (i = 0; i < count; i++) {
		if (!is_skipped(s, i))
			continue;
		for (last = i; last + 1 < count && is_skipped(s, last + 1);)
			last++;
		if (last > i)
			printf("%s%u-%u", before, i, last);
		else
			printf("%s%u", before, i);
		before = ",";
		i = last;
	}
}

static void print_result(const struct shrink *s)
{
	printf("seed %" PRIu64 " shrunk in %u tries: %u volumes, %u stores, %u operations, %u faults: %s\n",
	       s->seed, s->tries, s->best.volumes, s->best.stores,
	       s->best.operations, faults_left(s), s->best.how);
	printf("replay: sim --seed %" PRIu64 " --steps %u", s->seed,
	       s->limits.target);
	if (s->limits.volumes)
		printf(" --volumes %u", s->limits.volumes);
	if (s->limits.stores)
		printf(" --peers %u", s->limits.stores);
	if (s->limits.loose)
		printf(" --loose");
	if (s->limits.roomy)
		printf(" --roomy");
	print_skip(s);
	printf(" --trace\n");
}

bool shrink_seed(uint64_t seed, const struct world_limits *limits,
		 unsigned int seconds)
{
	struct shrink s = { .seed = seed, .limits = *limits };
	bool smaller;

	s.limits.skip = s.skip;
	s.limits.skip_bits = SHRINK_FAULTS_MAX;
	if (limits->skip)
		memcpy(s.skip, limits->skip,
		       MIN(limits->skip_bits, SHRINK_FAULTS_MAX) / 8);
	s.end = time(NULL) + seconds;
	s.best = attempt(&s);
	if (!s.best.failed) {
		printf("seed %" PRIu64 " does not fail, or not within %d s\n",
		       seed, TRY_SECONDS);
		return false;
	}
	do {
		smaller = shrink_limit(&s, &s.limits.volumes, s.best.volumes, 1);
		smaller |= shrink_steps(&s);
		smaller |= shrink_faults(&s);
		smaller |= shrink_limit(&s, &s.limits.stores, s.best.stores, 3);
	} while (smaller && !time_is_up(&s));
	print_result(&s);
	return true;
}
