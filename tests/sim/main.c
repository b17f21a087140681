// SPDX-License-Identifier: Apache-2.0
/*
 * The simulator's command line (Documentation/testing.md).
 *
 * Many seeds run in worker processes. Worker n takes the seeds n, n + jobs,
 * n + 2 * jobs ... in a child and says in shared memory which one is under
 * way; when that one crashes the child, it is a failure, and another child goes
 * on behind it. Results come through one pipe.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "shrink.h"
#include "world.h"

#define JOBS_MAX 64
#define TAIL_LINES 40
#define SKIP_BITS SHRINK_FAULTS_MAX
#define SHRINK_SECONDS 30	/* after a failure */
#define SHRINK_LONG 300		/* when asked for */
#define FAILED_KEPT 1000u
#define SOAK_FILE "build/sim-failed-seeds"
#define SOAK_BATCH 50
#define KNOWN_SEEDS "tests/sim/seeds"	/* that failed once */

struct options {
	uint64_t first, last;
	const char *file;
	struct world_limits limits;
	uint64_t skip[SKIP_BITS / 64];	/* limits.skip points here */
	unsigned int jobs;
	bool trace, verify, one, known, dump, stop_first, pauses;
	bool shrink, keep_large;
	double soak_hours;
	unsigned int limit;		/* seconds of one seed */
	unsigned int tail;
};

struct result {
	uint64_t seed, hash;
	bool failed;
	struct world_stats stats;
};

static void usage(FILE *out)
{
	fputs("usage: sim [--seed N | --seeds A-B | --count K | --file FILE]\n"
	      "           [--steps M] [--jobs J] [--verify] [--trace] [--tail L]\n"
	      "           [--peers P] [--volumes V] [--gap G] [--skip LIST]\n"
	      "\n"
	      "  --seed N     run one seed, here\n"
	      "  --seeds A-B  run the seeds from A to B\n"
	      "  --count K    run the seeds from 1 to K (default 100), after those of\n"
	      "               " KNOWN_SEEDS " if that is here\n"
	      "  --file FILE  run the seeds that FILE lists, one a line\n"
	      "  --steps M    client operations of a seed (default 320)\n"
	      "  --jobs J     in so many processes (default: one per processor)\n"
	      "  --peers P    at most so many stores, --volumes V: so many volumes\n"
	      "  --skip LIST  leave out these faults: 0-4,7,9-12\n"
	      "  --gap G      operations between two faults; 0 = no faults\n"
	      "  --shrink N   make the failure of a seed small; done after a failure,\n"
	      "               for a while, unless --no-shrink\n"
	      "  --soak H     for H hours, seeds that nobody has seen\n"
	      "  --first      stop at the first failure\n"
	      "  --limit S    seconds that one seed may take (default 120)\n"
	      "  --pauses     how long I/O stops, for each kind of fault\n"
	      "  --loose      do not ask whether each copy is where the ring says\n"
	      "  --roomy      no world has stores that are too small\n"
	      "  --verify     run each seed twice and compare the histories\n"
	      "  --trace      print everything that happens\n"
	      "  --dump       show metadata and chunk files with a failure\n"
	      "  --tail L     lines of the trace shown with a failure\n", out);
}

/* ---- one seed ----------------------------------------------------------- */

static void report(struct world *w, const struct options *opt)
{
	fprintf(stderr, "seed %" PRIu64 " failed after %" PRIu64
		" operations and %" PRIu64 " faults: %s\n", w->seed,
		w->stats.operations, w->stats.faults, w->failure);
	sim_trace_dump(w->sim, stderr, opt->tail);
	if (opt->dump)
		inspect_dump(w, stderr);
	fprintf(stderr, "replay: sim --seed %" PRIu64 " --steps %" PRIu32
		"%s --trace\n", w->seed, w->limits.target,
		w->limits.roomy ? " --roomy" : "");
}

static struct result run_once(uint64_t seed, const struct options *opt)
{
	struct world *w = world_new(seed, &opt->limits,
				    opt->trace ? stdout : NULL);
	struct result r = { .seed = seed };

	scenario_run(w);
	r.hash = sim_hash(w->sim);
	r.failed = w->failed;
	r.stats = w->stats;
	if (w->failed)
		report(w, opt);
	world_free(w);
	return r;
}

static struct result run_seed(uint64_t seed, const struct options *opt)
{
	struct result r = run_once(seed, opt), again;

	if (!opt->verify || r.failed)
		return r;
	again = run_once(seed, opt);
	if (again.hash != r.hash) {
		fprintf(stderr, "seed %" PRIu64 " has two histories: %016"
			PRIx64 " and %016" PRIx64 "\n", seed, r.hash,
			again.hash);
		r.failed = true;
	}
	return r;
}

/* ---- many seeds --------------------------------------------------------- */

struct totals {
	uint64_t passed, failed;
	uint64_t failed_seeds[FAILED_KEPT];	/* the first ones */
	struct world_stats sum;
};

static void add(struct totals *t, const struct result *r)
{
	const uint64_t *from = (const uint64_t *)&r->stats;
	uint64_t *to = (uint64_t *)&t->sum;
	size_t i;

	if (r->failed && t->failed < FAILED_KEPT)
		t->failed_seeds[t->failed] = r->seed;
	if (r->failed)
		t->failed++;
	else
		t->passed++;
	for (i = 0; i < sizeof(r->stats) / sizeof(*from); i++)
		to[i] += from[i];
}

struct seed {
	uint64_t number;
	bool roomy;			/* as with --roomy */
};

struct seeds {
	struct seed *seed;
	size_t count;
};

static void seeds_add(struct seeds *list, uint64_t number, bool roomy)
{
	list->seed = realloc(list->seed,
			     (list->count + 1) * sizeof(*list->seed));
	if (!list->seed)
		abort();
	list->seed[list->count++] = (struct seed){ number, roomy };
}

/* A number at the beginning of a line is a seed, "roomy" may follow; the rest is
 * a comment. */
static int seeds_read(struct seeds *list, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512], *end;
	uint64_t seed;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		seed = strtoull(line, &end, 10);
		if (end != line)
			seeds_add(list, seed,
				  strncmp(end, " roomy", 6) == 0);
	}
	fclose(f);
	return 0;
}

static void seeds_list(struct seeds *list, const struct options *opt)
{
	uint64_t seed;
	int err;

	if (opt->file) {
		err = seeds_read(list, opt->file);
		if (err) {
			fprintf(stderr, "sim: %s: %s\n", opt->file,
				strerror(-err));
			exit(2);
		}
		return;
	}
	if (opt->known)
		seeds_read(list, KNOWN_SEEDS);
	for (seed = opt->first; seed <= opt->last; seed++)
		seeds_add(list, seed, false);
}

/* What workers and their children share. */
struct shared {
	volatile bool stop;
	volatile size_t at[JOBS_MAX];	/* the seed under way, per worker */
};

static bool goes_on(const struct seeds *list, const struct shared *shared,
		    unsigned int job)
{
	return shared->at[job] < list->count && !shared->stop;
}

/* In the child, from the worker's seed on. */
static void run_some(const struct seeds *list, struct shared *shared,
		     unsigned int job, const struct options *opt, int out)
{
	struct options one = *opt;
	const struct seed *seed;
	struct result r;

	for (; goes_on(list, shared, job); shared->at[job] += opt->jobs) {
		alarm(opt->limit);
		seed = &list->seed[shared->at[job]];
		one.limits.roomy = opt->limits.roomy || seed->roomy;
		r = run_seed(seed->number, &one);
		if (write(out, &r, sizeof(r)) != sizeof(r))
			_exit(1);
		shared->stop |= r.failed && opt->stop_first;
	}
	fflush(NULL);
	_exit(0);
}

static void work(const struct seeds *list, struct shared *shared,
		 unsigned int job, const struct options *opt, int out)
{
	struct result r = { .failed = true };
	int status = 0;
	pid_t pid;

	while (goes_on(list, shared, job)) {
		pid = fork();
		if (pid == 0)
			run_some(list, shared, job, opt, out);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return;
		if (WIFEXITED(status))
			return;
		r.seed = list->seed[shared->at[job]].number;
		fprintf(stderr, "seed %" PRIu64 " died of signal %d%s\n", r.seed,
			WTERMSIG(status), WTERMSIG(status) == SIGALRM ?
			" (it took too long)" : "");
		if (write(out, &r, sizeof(r)) != sizeof(r))
			return;
		shared->stop |= opt->stop_first;
		shared->at[job] += opt->jobs;
	}
}

static struct shared *shared_new(unsigned int jobs)
{
	struct shared *shared = mmap(NULL, sizeof(*shared),
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	if (shared == MAP_FAILED)
		exit(2);
	for (i = 0; i < jobs; i++)
		shared->at[i] = i;
	return shared;
}

/* Adds what came of them to @t. */
static void run_many(const struct seeds *list, const struct options *opt,
		     struct totals *t)
{
	struct shared *shared = shared_new(opt->jobs);
	uint64_t before = t->passed + t->failed;
	struct result r;
	unsigned int i;
	int fds[2];

	if (pipe(fds))
		exit(2);
	for (i = 0; i < opt->jobs; i++) {
		if (fork() == 0) {
			close(fds[0]);
			work(list, shared, i, opt, fds[1]);
			_exit(0);
		}
	}
	close(fds[1]);
	while (read(fds[0], &r, sizeof(r)) == sizeof(r))
		add(t, &r);
	close(fds[0]);
	while (wait(NULL) > 0)
		;
	if (!shared->stop)	/* what was never reported failed as well */
		t->failed += list->count - (t->passed + t->failed - before);
	munmap(shared, sizeof(*shared));
}

/* What is counted, in the order of the printed line. */
static const struct {
	size_t at;
	const char *name;
} figures[] = {
	{ offsetof(struct world_stats, operations), "operations" },
	{ offsetof(struct world_stats, faults), "faults" },
	{ offsetof(struct world_stats, ring_changes), "ring changes" },
	{ offsetof(struct world_stats, chunks), "chunks" },
	{ offsetof(struct world_stats, ensemble_changes), "ensemble changes" },
	{ offsetof(struct world_stats, checkpoints), "checkpoints" },
	{ offsetof(struct world_stats, cleaned), "cleaned chunks" },
	{ offsetof(struct world_stats, deleted), "deleted volumes" },
	{ offsetof(struct world_stats, rebuilt), "rebuilt metadata" },
	{ offsetof(struct world_stats, full), "full clusters" },
	{ offsetof(struct world_stats, removed), "removed peers" },
	{ offsetof(struct world_stats, returned), "of them returned" },
	{ offsetof(struct world_stats, recoveries), "recoveries" },
	{ offsetof(struct world_stats, resends), "requests sent again" },
	{ offsetof(struct world_stats, takeovers), "takeovers" },
	{ offsetof(struct world_stats, detaches), "detaches" },
	{ offsetof(struct world_stats, errors), "failed operations" },
	{ offsetof(struct world_stats, lost_devices), "lost devices" },
	{ offsetof(struct world_stats, stuck), "stuck" },
	{ offsetof(struct world_stats, audited), "audited blocks" },
	{ offsetof(struct world_stats, events), "events" },
};

static void summary(const struct totals *t, double seconds)
{
	double n = (double)MAX(t->passed + t->failed, 1ull);
	double simulated = (double)t->sum.virtual_ns / 1e9;
	size_t i;

	printf("per seed:");
	for (i = 0; i < ARRAY_SIZE(figures); i++)
		printf(" %.2f %s,", (double)*(const uint64_t *)((const char *)
		       &t->sum + figures[i].at) / n, figures[i].name);
	printf(" %.0f s simulated\n", simulated / n);
	printf("%.1f simulated hours in %.0f s: %.0f simulated hours per hour\n",
	       simulated / 3600, seconds, simulated / MAX(seconds, 0.001));
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", t->passed,
	       t->failed);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- command line ------------------------------------------------------- */

static uint64_t number(const char *name, const char *text, char **rest)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (end == text || errno || *text == '-' || (!rest && *end)) {
		fprintf(stderr, "sim: --%s: '%s' is not a number\n", name,
			text);
		exit(2);
	}
	if (rest)
		*rest = end;
	return n;
}

static double hours(const char *text)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n > 0)) {
		fprintf(stderr, "sim: --soak: '%s' is no number of hours\n", text);
		exit(2);
	}
	return n;
}

static void parse_range(const char *text, struct options *opt)
{
	char *rest;

	opt->first = number("seeds", text, &rest);
	if (*rest != '-') {
		fprintf(stderr, "sim: --seeds: '%s' is not A-B\n", text);
		exit(2);
	}
	opt->last = number("seeds", rest + 1, NULL);
	if (opt->last < opt->first) {
		fprintf(stderr, "sim: --seeds: %s is empty\n", text);
		exit(2);
	}
}

/* Faults are counted from 0; @text: 0-4,7,9-12. */
static void parse_skip(const char *text, struct options *opt)
{
	uint64_t first, last;
	char *rest;

	for (;;) {
		first = last = number("skip", text, &rest);
		if (*rest == '-')
			last = number("skip", rest + 1, &rest);
		if (last >= SKIP_BITS || last < first || (*rest && *rest != ',')) {
			fprintf(stderr, "sim: --skip: '%s' is no list of faults\n",
				text);
			exit(2);
		}
		for (; first <= last; first++)
			opt->skip[first / 64] |= 1ull << first % 64;
		if (!*rest)
			break;
		text = rest + 1;
	}
	opt->limits.skip = opt->skip;
	opt->limits.skip_bits = SKIP_BITS;
}

/* What makes the world smaller. Returns whether @c was that. */
static bool parse_limit(int c, const char *arg, struct world_limits *limits)
{
	switch (c) {
	case 'm':
		limits->target = (uint32_t)number("steps", arg, NULL);
		return true;
	case 'p':
		limits->stores = (uint32_t)number("peers", arg, NULL);
		return true;
	case 'V':
		limits->volumes = (uint32_t)number("volumes", arg, NULL);
		return true;
	case 'g':
		limits->gap = (int64_t)(number("gap", arg, NULL) & 0xffffff);
		return true;
	case 'S':
		limits->loose = true;
		return true;
	case 'F':
		limits->roomy = true;
		return true;
	default:
		return false;
	}
}

/* Options without a value. */
static bool parse_flag(int c, struct options *opt)
{
	switch (c) {
	case 't':
		opt->trace = true;
		return true;
	case '1':
		opt->stop_first = true;
		return true;
	case 'd':
		opt->dump = true;
		return true;
	case 'Z':
		opt->keep_large = true;
		return true;
	case 'P':
		opt->pauses = true;
		return true;
	case 'v':
		opt->verify = true;
		return true;
	default:
		return false;
	}
}

static void parse_option(int c, const char *arg, struct options *opt)
{
	if (parse_limit(c, arg, &opt->limits) || parse_flag(c, opt))
		return;
	switch (c) {
	case 's':
		opt->first = opt->last = number("seed", arg, NULL);
		opt->one = true;
		break;
	case 'r':
		parse_range(arg, opt);
		opt->known = false;
		break;
	case 'c':
		opt->first = 1;
		opt->last = MAX(number("count", arg, NULL), 1ull);
		break;
	case 'f':
		opt->file = arg;
		break;
	case 'k':
		parse_skip(arg, opt);
		break;
	case 'j':
		opt->jobs = (unsigned int)number("jobs", arg, NULL);
		break;
	case 'l':
		opt->tail = (unsigned int)number("tail", arg, NULL);
		break;
	case 'x':
		opt->limit = (unsigned int)number("limit", arg, NULL);
		break;
	case 'z':
		opt->first = number("shrink", arg, NULL);
		opt->shrink = true;
		break;
	case 'o':
		opt->soak_hours = hours(arg);
		break;
	case 'h':
		usage(stdout);
		exit(0);
	default:
		usage(stderr);
		exit(2);
	}
}

static void parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seeds", required_argument, NULL, 'r' },
		{ "count", required_argument, NULL, 'c' },
		{ "file", required_argument, NULL, 'f' },
		{ "steps", required_argument, NULL, 'm' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "gap", required_argument, NULL, 'g' },
		{ "peers", required_argument, NULL, 'p' },
		{ "volumes", required_argument, NULL, 'V' },
		{ "skip", required_argument, NULL, 'k' },
		{ "tail", required_argument, NULL, 'l' },
		{ "first", no_argument, NULL, '1' },
		{ "limit", required_argument, NULL, 'x' },
		{ "dump", no_argument, NULL, 'd' },
		{ "trace", no_argument, NULL, 't' },
		{ "pauses", no_argument, NULL, 'P' },
		{ "shrink", required_argument, NULL, 'z' },
		{ "no-shrink", no_argument, NULL, 'Z' },
		{ "soak", required_argument, NULL, 'o' },
		{ "loose", no_argument, NULL, 'S' },
		{ "roomy", no_argument, NULL, 'F' },
		{ "verify", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		parse_option(c, optarg, opt);
	if (optind < argc) {
		fprintf(stderr, "sim: what is '%s'?\n", argv[optind]);
		exit(2);
	}
	if (!opt->jobs || opt->jobs > JOBS_MAX) {
		fprintf(stderr, "sim: --jobs: 1 to %d\n", JOBS_MAX);
		exit(2);
	}
}

static int pauses_main(const struct options *opt)
{
	unsigned int passed, failed = pauses_run(opt->first, &passed);

	printf("%u passed, %u failed\n", passed, failed);
	return failed ? 1 : 0;
}

/* ---- for ever ------------------------------------------------------------ */

static void soak_keep(const struct totals *t, uint64_t from)
{
	FILE *f = fopen(SOAK_FILE, "a");

	if (!f) {
		fprintf(stderr, "sim: %s: %s\n", SOAK_FILE, strerror(errno));
		return;
	}
	for (; from < MIN(t->failed, FAILED_KEPT); from++)
		fprintf(f, "%" PRIu64 "\n", t->failed_seeds[from]);
	fclose(f);
}

/* Seeds that nobody has seen, batch after batch, until the time is up. */
static void soak(const struct options *opt, struct totals *t, double began)
{
	uint64_t seed = (uint64_t)time(NULL) << 20, i, failed;
	struct seeds list;

	printf("seeds from %" PRIu64 " on; those that fail go to %s\n", seed,
	       SOAK_FILE);
	while (seconds_now() - began < opt->soak_hours * 3600) {
		list = (struct seeds){ 0 };
		failed = t->failed;
		for (i = 0; i < SOAK_BATCH; i++)
			seeds_add(&list, seed++, false);
		fflush(stdout);
		run_many(&list, opt, t);
		free(list.seed);
		if (t->failed > failed)
			soak_keep(t, failed);
	}
}

/* The whole list, then the first failure once more, made small. */
static void run_list(const struct options *opt, struct totals *t)
{
	struct world_limits limits = opt->limits;
	struct seeds list = { 0 };
	size_t i;

	seeds_list(&list, opt);
	run_many(&list, opt, t);
	for (i = 0; i < list.count; i++)
		limits.roomy |= list.seed[i].roomy &&
				list.seed[i].number == t->failed_seeds[0];
	free(list.seed);
	if (t->failed && !opt->keep_large)
		shrink_seed(t->failed_seeds[0], &limits, SHRINK_SECONDS);
}

int main(int argc, char **argv)
{
	struct options opt = {
		.first = 1, .last = 100, .tail = TAIL_LINES,
		.limits = { .target = 320, .gap = -1 },
		.jobs = (unsigned int)MIN(sysconf(_SC_NPROCESSORS_ONLN), JOBS_MAX),
		.known = true, .limit = 120,
	};
	static struct totals t;
	struct result r;
	double began = seconds_now();

	parse(argc, argv, &opt);
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	log_set_level(opt.trace ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (opt.pauses)
		return pauses_main(&opt);
	if (opt.shrink)
		return shrink_seed(opt.first, &opt.limits, SHRINK_LONG) ? 0 : 1;
	if (opt.one) {
		r = run_seed(opt.first, &opt);
		add(&t, &r);
		printf("history %016" PRIx64 "\n", r.hash);
	} else if (opt.soak_hours > 0) {
		soak(&opt, &t, began);
	} else {
		run_list(&opt, &t);
	}
	summary(&t, seconds_now() - began);
	return t.failed ? 1 : 0;
}
