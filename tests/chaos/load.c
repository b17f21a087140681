// SPDX-License-Identifier: Apache-2.0
/*
 * chaos-load: many requests at once to few blocks, and a history of them.
 *
 * Each thread has a connection of its own and one request under way. A session
 * is the time in which one server serves: `open PATH` on stdin begins one, and
 * ends that before. A thread that loses its server keeps the request whose
 * outcome it does not know, waits for the next session, and notes it with the
 * begin of that as its end: a server that died or was fenced can do nothing
 * afterwards.
 *
 * stdin:  open PATH   a session begins; the server before can do nothing more
 *         loss        unflushed writes may be lost (now, before the next open)
 *         stop        finish, read everything, and end
 * stdout: opened N       session N has begun, the one before is given up
 *         lost N ERRNO   session N has gone
 *         error OP OFFSET BYTES ERRNO NS
 *         total KEY=N ...   at the end
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "record.h"
#include "stamp.h"
#include "target.h"

#define BLOCKS_MAX 16
#define SWEEP_BLOCKS 64
#define THREADS_MAX 64

struct worker {
	pthread_t thread;
	struct target target;
	uint64_t rng;
	uint16_t number;
	unsigned int session;
	void *data;
};

/* One request, chosen and then done. */
struct request {
	enum target_op op;
	bool fua;
	uint32_t block, count;
	uint64_t value;		/* of its first block; the others follow */
	uint64_t invoke;
};

static struct {
	uint64_t blocks, rate, seed;
	unsigned int threads;
} options = { .blocks = 4096, .rate = 500, .seed = 1, .threads = 16 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int session;	/* number; 0 before the first */
static unsigned int session_lost;	/* newest that was told as lost */
static uint64_t session_begin;
static char session_path[4200];
static bool stopping;

static _Atomic uint64_t next_value = 1;
static _Atomic uint64_t done[5], errors, unknown;

/* ---- events ---------------------------------------------------------------- */

static void note(const struct worker *worker, const struct request *request,
		 uint64_t end, enum event_outcome outcome)
{
	struct event event = {
		.invoke = request->invoke, .end = end, .outcome = outcome,
		.thread = worker->number,
	};
	bool zeros = request->op == TARGET_TRIM || request->op == TARGET_ZERO;
	uint32_t i;

	for (i = 0; i < request->count; i++) {
		event.block = request->block + i;
		event.kind = request->op == TARGET_READ ? EVENT_READ :
							  EVENT_WRITE;
		event.value = zeros ? 0 : request->value + i;
		if (request->op == TARGET_READ)
			event.value = stamp_value((char *)worker->data +
						  (size_t)i * STAMP_BLOCK,
						  event.block);
		record_event(&event);
	}
	if (outcome == EVENT_OK &&
	    (request->op == TARGET_FLUSH || request->fua)) {
		event.block = EVENT_NO_BLOCK;
		event.kind = EVENT_FLUSH;
		event.value = 0;
		record_event(&event);
	}
}

static void note_mark(enum event_kind kind, uint64_t time)
{
	struct event event = { .invoke = time, .end = time, .kind = kind,
			       .block = EVENT_NO_BLOCK, .outcome = EVENT_OK };

	record_event(&event);
}

static bool changes(const struct request *request)
{
	return request->op != TARGET_READ && request->op != TARGET_FLUSH;
}

/* ---- sessions -------------------------------------------------------------- */

/* With the mutex held. */
static void tell_lost(unsigned int number, int err)
{
	if (session_lost >= number || stopping)
		return;
	session_lost = number;
	printf("lost %u %d\n", number, -err);
	fflush(stdout);
}

/* Waits for a session newer than the worker's, and opens it; false: stop. */
static bool next_session(struct worker *worker)
{
	char path[sizeof(session_path)];
	int err = -ENOTCONN;

	pthread_mutex_lock(&mutex);
	while (err) {
		while (session == worker->session && !stopping)
			pthread_cond_wait(&changed, &mutex);
		if (session == worker->session)
			break;
		worker->session = session;
		/* From here on, begin_session() may abort it. */
		worker->target.aborted = false;
		memcpy(path, session_path, sizeof(path));
		pthread_mutex_unlock(&mutex);
		err = target_open(&worker->target, path);
		pthread_mutex_lock(&mutex);
		if (err && session == worker->session)
			tell_lost(session, err);
	}
	pthread_mutex_unlock(&mutex);
	return !err;
}

/* The server is gone: the outcome becomes known to be unknown. */
static bool lose_session(struct worker *worker, const struct request *request,
			 int err)
{
	enum event_outcome outcome = EVENT_UNKNOWN;
	unsigned int number = worker->session;
	uint64_t end;
	bool again;

	pthread_mutex_lock(&mutex);
	if (session == number)
		tell_lost(number, err);
	pthread_mutex_unlock(&mutex);
	target_close(&worker->target);
	again = next_session(worker);
	if (!changes(request))
		return again;
	unknown++;
	pthread_mutex_lock(&mutex);
	/* If more than one has begun, the last: that allows more, not less. */
	end = session_begin;
	if (session == number)
		outcome = EVENT_FAILED;
	pthread_mutex_unlock(&mutex);
	note(worker, request, outcome == EVENT_FAILED ? EVENT_NEVER : end,
	     outcome);
	return again;
}

/* ---- requests -------------------------------------------------------------- */

static uint64_t pick(struct worker *worker, uint64_t below)
{
	worker->rng ^= worker->rng << 13;
	worker->rng ^= worker->rng >> 7;
	worker->rng ^= worker->rng << 17;
	return (worker->rng >> 11) % below;
}

static enum target_op pick_op(struct worker *worker)
{
	uint64_t dice = pick(worker, 100);

	if (dice < 48)
		return TARGET_WRITE;
	if (dice < 90)
		return TARGET_READ;
	if (dice < 93)
		return TARGET_TRIM;
	return dice < 96 ? TARGET_ZERO : TARGET_FLUSH;
}

static struct request choose(struct worker *worker)
{
	static const uint32_t counts[] = { 1, 1, 1, 1, 2, 2, 3, 4, 8, 16 };
	struct request request = { .op = pick_op(worker) };
	uint64_t blocks = options.blocks;

	if (request.op == TARGET_FLUSH)
		return request;
	request.count = counts[pick(worker, 10)];
	/* Half of them meet in a few places. */
	if (pick(worker, 2) && blocks / 16 > 2 * BLOCKS_MAX)
		blocks /= 16;
	request.block = (uint32_t)pick(worker, blocks - request.count + 1);
	request.fua = changes(&request) && request.op != TARGET_TRIM &&
		      pick(worker, 20) == 0;
	return request;
}

static void fill(struct worker *worker, struct request *request)
{
	uint32_t i;

	if (request->op != TARGET_WRITE)
		return;
	request->value = atomic_fetch_add(&next_value, request->count);
	for (i = 0; i < request->count; i++)
		stamp_fill((char *)worker->data + (size_t)i * STAMP_BLOCK,
			   request->value + i, request->block + i);
}

static void tell_error(const struct request *request, int err)
{
	errors++;
	printf("error %s %" PRIu64 " %u %d %" PRIu64 "\n",
	       target_op_name(request->op),
	       (uint64_t)request->block * STAMP_BLOCK,
	       request->count * STAMP_BLOCK, -err, request->invoke);
	fflush(stdout);
}

/* A device whose requests fail is one that has failed. */
static bool session_has_gone(const struct worker *worker, int err)
{
	return err == -ENOTCONN ||
	       (!worker->target.is_nbd && err && err != -ENOSPC);
}

/* Does one; false: it is time to end. */
static bool perform(struct worker *worker, struct request *request)
{
	uint64_t offset = (uint64_t)request->block * STAMP_BLOCK;
	int err;

	request->invoke = monotonic_ns();
	err = target_io(&worker->target, request->op, request->fua, offset,
			request->count * STAMP_BLOCK, worker->data);
	if (session_has_gone(worker, err))
		return lose_session(worker, request, err);
	if (err) {
		tell_error(request, err);
		if (changes(request))
			note(worker, request, EVENT_NEVER, EVENT_FAILED);
		/* Without an answer, the connection is of no use. */
		return err != -ETIMEDOUT && err != -EPROTO;
	}
	note(worker, request, monotonic_ns(), EVENT_OK);
	done[request->op]++;
	return true;
}

static bool is_stopping(void)
{
	bool is;

	pthread_mutex_lock(&mutex);
	is = stopping;
	pthread_mutex_unlock(&mutex);
	return is;
}

static void pace(uint64_t *next)
{
	uint64_t step = 1000000000ULL * options.threads / options.rate;
	uint64_t now = monotonic_ns();
	struct timespec until;

	*next += step;
	if (*next < now)
		*next = now;
	until.tv_sec = (time_t)(*next / 1000000000);
	until.tv_nsec = (long)(*next % 1000000000);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct request request;
	uint64_t next = monotonic_ns();

	if (!next_session(worker))
		return NULL;
	while (!is_stopping()) {
		request = choose(worker);
		fill(worker, &request);
		if (!perform(worker, &request))
			break;
		pace(&next);
	}
	target_close(&worker->target);
	return NULL;
}

/* ---- the whole ------------------------------------------------------------- */

static struct worker *worker_new(unsigned int number)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker || posix_memalign(&worker->data, STAMP_BLOCK,
				      SWEEP_BLOCKS * STAMP_BLOCK)) {
		fprintf(stderr, "chaos-load: no memory\n");
		exit(1);
	}
	worker->target.fd = -1;
	worker->number = (uint16_t)number;
	worker->rng = (options.seed * 2654435761u + number + 1) *
		      0x9e3779b97f4a7c15ULL | 1;
	return worker;
}

static void begin_session(struct worker *const *workers, const char *path)
{
	unsigned int i;

	pthread_mutex_lock(&mutex);
	session++;
	session_begin = monotonic_ns();
	note_mark(EVENT_SESSION, session_begin);
	snprintf(session_path, sizeof(session_path), "%s", path);
	for (i = 0; i < options.threads; i++)
		target_abort(&workers[i]->target);
	pthread_cond_broadcast(&changed);
	printf("opened %u\n", session);
	fflush(stdout);
	pthread_mutex_unlock(&mutex);
}

static void stop(void)
{
	pthread_mutex_lock(&mutex);
	stopping = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
}

/* Follows stdin until it says stop, or ends. */
static void obey(struct worker *const *workers)
{
	char line[4200];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "open ", 5) == 0)
			begin_session(workers, line + 5);
		else if (strcmp(line, "loss") == 0)
			note_mark(EVENT_LOSS, monotonic_ns());
		else if (strcmp(line, "stop"))
			fprintf(stderr, "chaos-load: what is '%s'?\n", line);
		else
			break;
	}
	stop();
}

/* Reads every block once more. */
static int sweep(struct worker *worker)
{
	struct request request = { .op = TARGET_READ };
	int err = target_open(&worker->target, session_path);

	if (err) {
		fprintf(stderr, "chaos-load: %s: %s\n", session_path,
			strerror(-err));
		return err;
	}
	for (; request.block < options.blocks && !err;
	     request.block += request.count) {
		request.count = SWEEP_BLOCKS;
		if (request.count > options.blocks - request.block)
			request.count = (uint32_t)options.blocks -
					request.block;
		request.invoke = monotonic_ns();
		err = target_io(&worker->target, TARGET_READ, false,
				(uint64_t)request.block * STAMP_BLOCK,
				request.count * STAMP_BLOCK, worker->data);
		if (err)
			tell_error(&request, err);
		else
			note(worker, &request, monotonic_ns(), EVENT_OK);
	}
	target_close(&worker->target);
	return err;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: chaos-load --history FILE [--seed N] [--blocks N]\n"
		"                  [--threads N] [--rate N] [--values-from N]\n");
	exit(2);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (!*text || *end || value < least || value > most) {
		fprintf(stderr, "chaos-load: '%s' is not from %" PRIu64 " to %"
			PRIu64 "\n", text, least, most);
		exit(2);
	}
	return value;
}

static const char *parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "history", required_argument, NULL, 'h' },
		{ "seed", required_argument, NULL, 's' },
		{ "blocks", required_argument, NULL, 'b' },
		{ "threads", required_argument, NULL, 't' },
		{ "rate", required_argument, NULL, 'r' },
		{ "values-from", required_argument, NULL, 'v' },
		{ 0 }
	};
	const char *history = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (option == 'h')
			history = optarg;
		else if (option == 's')
			options.seed = number(optarg, 0, UINT64_MAX);
		else if (option == 'b')
			options.blocks = number(optarg, BLOCKS_MAX, 1 << 24);
		else if (option == 't')
			options.threads = (unsigned int)number(optarg, 0,
							       THREADS_MAX);
		else if (option == 'r')
			options.rate = number(optarg, 1, 1000000);
		else if (option == 'v')
			next_value = number(optarg, 1, UINT64_MAX / 2);
		else
			usage();
	}
	if (!history || optind != argc)
		usage();
	return history;
}

static void tell_total(void)
{
	printf("total read=%" PRIu64 " write=%" PRIu64 " trim=%" PRIu64
	       " zero=%" PRIu64 " flush=%" PRIu64 " unknown=%" PRIu64
	       " error=%" PRIu64 " session=%u next=%" PRIu64 "\n",
	       done[TARGET_READ], done[TARGET_WRITE], done[TARGET_TRIM],
	       done[TARGET_ZERO], done[TARGET_FLUSH], unknown, errors, session,
	       next_value);
}

int main(int argc, char **argv)
{
	struct worker *workers[THREADS_MAX], *sweeper;
	const char *history = parse(argc, argv);
	unsigned int i;
	int err = record_open(history);

	if (err) {
		fprintf(stderr, "chaos-load: %s: %s\n", history, strerror(-err));
		return 1;
	}
	for (i = 0; i < options.threads; i++) {
		workers[i] = worker_new(i);
		if (pthread_create(&workers[i]->thread, NULL, work,
				   workers[i])) {
			fprintf(stderr, "chaos-load: no more threads\n");
			return 1;
		}
	}
	obey(workers);
	for (i = 0; i < options.threads; i++) {
		pthread_join(workers[i]->thread, NULL);
		free(workers[i]->data);
		free(workers[i]);
	}
	sweeper = worker_new(options.threads);
	err = sweep(sweeper);
	free(sweeper->data);
	free(sweeper);
	tell_total();
	if (record_close()) {
		fprintf(stderr, "chaos-load: %s: cannot be written\n", history);
		return 1;
	}
	return err ? 1 : 0;
}
