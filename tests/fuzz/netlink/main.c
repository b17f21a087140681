// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzzes the netlink family of the driver, of which it knows the spec.
 *
 * Workers send messages, I/O threads use the block devices, one thread leads
 * clean lives of devices between all that. This thread is the watch: it follows
 * the devices by their events, deletes by force what somebody waits for too
 * long, and gives the verdict.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "cycle.h"
#include "devices.h"
#include "io.h"
#include "worker.h"

#define THREADS_MAX 16
#define TICK_MS 250
/* When a device is deleted under I/O that does not end, and when that failed. */
#define IO_MS 4000
#define HANG_MS 150000

struct options {
	uint64_t seed;
	uint64_t seconds;
	uint64_t messages;
	unsigned int threads;
	unsigned int io_threads;
	bool no_rings;
	bool no_cycles;
	bool no_coverage;
};

struct fuzz {
	struct options options;
	struct port events;
	struct port port;
	struct worker *workers;
	struct io io[THREADS_MAX];
	struct cycle cycle;
	unsigned int forced;
	bool leftovers;
};

static unsigned int nr_passed, nr_failed;

static void verdict(bool ok, const char *what)
{
	printf("%s %s\n", ok ? "PASS" : "FAIL", what);
	nr_passed += ok;
	nr_failed += !ok;
}

/* ---- the watch -------------------------------------------------------------------- */

static void take_event(void *ctx, const struct nlmsghdr *hdr)
{
	uint32_t id = port_u32(hdr, TORUS_A_DEV_ID);
	uint32_t state = port_u32(hdr, TORUS_A_DEV_STATE);

	if (state == TORUS_STATE_DELETED)
		devices_forget(id);
	else
		devices_set_live(id, state == TORUS_STATE_LIVE ||
				 state == TORUS_STATE_RECOVERING);
}

/* Some were lost: ask. */
static void look_at_all(struct fuzz *f)
{
	struct answer answer;

	if (control_dump(&f->port, &answer))
		return;
	for (unsigned int i = 0; i < answer.nr_ids; i++)
		devices_note(answer.ids[i]);
}

/* Says what everybody waits for, in the kernel's log, and ends at once. */
static void give_up(const char *who, unsigned int index)
{
	control_show_blocked();
	printf("# %s %u does not come to an end\n", who, index);
	printf("FAIL nobody waits for ever\n");
	fflush(stdout);
	_exit(1);
}

static void watch_io(struct fuzz *f, struct io *io, uint64_t now)
{
	uint64_t since = __atomic_load_n(&io->since, __ATOMIC_ACQUIRE);

	if (!since || since > now || now - since < IO_MS)
		return;
	if (now - since > HANG_MS)
		give_up("I/O thread", io->index);
	if (!control_delete(&f->port, __atomic_load_n(&io->dev_id,
						      __ATOMIC_RELAXED), true))
		f->forced++;
}

static void watch_since(const uint64_t *where, uint64_t now, const char *who,
			unsigned int index)
{
	uint64_t since = __atomic_load_n(where, __ATOMIC_ACQUIRE);

	if (since && since < now && now - since > HANG_MS)
		give_up(who, index);
}

static void watch(struct fuzz *f)
{
	struct pollfd pfd = { .fd = f->events.fd, .events = POLLIN };
	uint64_t now;

	poll(&pfd, 1, TICK_MS);
	if (port_take(&f->events, 0, NULL, take_event, NULL))
		look_at_all(f);
	now = clock_ms();
	for (unsigned int i = 0; i < f->options.io_threads; i++)
		watch_io(f, &f->io[i], now);
	for (unsigned int i = 0; i < f->options.threads; i++)
		if (!__atomic_load_n(&f->workers[i].done, __ATOMIC_ACQUIRE))
			watch_since(&f->workers[i].busy_since, now, "worker",
				    i);
	watch_since(&f->cycle.busy_since, now, "clean cycle", f->cycle.done);
}

static bool all_done(const struct fuzz *f)
{
	for (unsigned int i = 0; i < f->options.threads; i++)
		if (!__atomic_load_n(&f->workers[i].done, __ATOMIC_ACQUIRE))
			return false;
	return true;
}

/* ---- beginning and end -------------------------------------------------------------- */

static int start_all(struct fuzz *f)
{
	const struct options *o = &f->options;
	int ret = 0;

	for (unsigned int i = 0; i < o->threads && !ret; i++) {
		f->workers[i].index = i;
		f->workers[i].seed = o->seed;
		f->workers[i].messages = o->messages;
		f->workers[i].with_rings = !o->no_rings;
		ret = worker_start(&f->workers[i]);
	}
	for (unsigned int i = 0; i < o->io_threads && !ret; i++) {
		f->io[i].index = i;
		ret = io_start(&f->io[i], o->seed);
	}
	f->cycle.with_rings = !o->no_rings;
	if (!ret && !o->no_cycles)
		ret = cycle_start(&f->cycle);
	return ret;
}

static void delete_all(struct fuzz *f)
{
	uint64_t deadline = clock_ms() + HANG_MS;
	struct answer answer;

	do {
		answer.nr_ids = 0;
		if (control_dump(&f->port, &answer))
			break;
		for (unsigned int i = 0; i < answer.nr_ids; i++)
			control_delete(&f->port, answer.ids[i], true);
		if (!answer.nr_ids)
			return;
		watch(f);
	} while (clock_ms() < deadline);
	f->leftovers = true;
}

static void end_all(struct fuzz *f)
{
	worker_stop_all();
	while (!all_done(f))
		watch(f);
	for (unsigned int i = 0; i < f->options.threads; i++)
		worker_join(&f->workers[i]);
	if (!f->options.no_cycles) {
		cycle_stop(&f->cycle);
		while (!__atomic_load_n(&f->cycle.ended, __ATOMIC_ACQUIRE))
			watch(f);
		cycle_join(&f->cycle);
	}
	devices_end();
	delete_all(f);
	for (unsigned int i = 0; i < f->options.io_threads; i++) {
		while (__atomic_load_n(&f->io[i].since, __ATOMIC_ACQUIRE))
			watch(f);
		io_join(&f->io[i]);
	}
}

static void judge(struct fuzz *f)
{
	uint64_t ok = 0, errors = 0, opened = 0;
	static struct stats sum;
	char text[120];

	for (unsigned int i = 0; i < f->options.threads; i++)
		stats_add(&sum, &f->workers[i].stats);
	for (unsigned int i = 0; i < f->options.io_threads; i++) {
		ok += f->io[i].done_ok;
		errors += f->io[i].done_error;
		opened += f->io[i].opened;
	}
	stats_print(&sum);
	printf("# block devices: opened %llu times, %llu I/Os ended well, %llu in an error, %u deletes by force under I/O\n",
	       (unsigned long long)opened, (unsigned long long)ok,
	       (unsigned long long)errors, f->forced);
	verdict(!sum.faults, "what must be refused was, what is right was not");
	if (!f->options.no_coverage) {
		verdict(!stats_gaps(&sum),
			"every operation and attribute was accepted, and refused");
		verdict(sum.served[TORUS_CHANNEL_MESSAGES] &&
			sum.served[TORUS_CHANNEL_RING] && sum.ring_mutations &&
			(!f->options.io_threads || ok),
			"requests were served in both forms, and rings spoilt");
	}
	if (!f->options.no_cycles) {
		snprintf(text, sizeof(text),
			 "clean cycles: %u, %u failed, the longest %llu ms",
			 f->cycle.done, f->cycle.failed,
			 (unsigned long long)f->cycle.longest_ms);
		verdict(f->cycle.done && !f->cycle.failed, text);
	}
	verdict(true, "nobody waits for ever");
	verdict(!f->leftovers, "all devices could be deleted");
}

static uint64_t number(const char *text, const char *option)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "fuzz-netlink: --%s: '%s' is not a number\n",
			option, text);
		exit(2);
	}
	return value;
}

static void usage(FILE *to)
{
	fprintf(to,
		"usage: fuzz-netlink [OPTION]...   (as root, with the module loaded)\n"
		"  --seed N          what is left to chance comes from it (1)\n"
		"  --seconds N       so long (60)\n"
		"  --messages N      so many of each thread, instead\n"
		"  --threads N       that send (2)\n"
		"  --io-threads N    that use the block devices (2)\n"
		"  --no-rings        only the message form of the channel\n"
		"  --no-cycles       without clean lives of devices in between\n"
		"  --no-coverage     do not ask whether everything was tried\n");
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "seed", 1, NULL, 's' }, { "seconds", 1, NULL, 't' },
		{ "messages", 1, NULL, 'm' }, { "threads", 1, NULL, 'n' },
		{ "io-threads", 1, NULL, 'i' }, { "no-rings", 0, NULL, 'r' },
		{ "no-cycles", 0, NULL, 'c' }, { "no-coverage", 0, NULL, 'v' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int c, which = 0;

	while ((c = getopt_long(argc, argv, "h", table, &which)) >= 0) {
		switch (c) {
		case 's':
			o->seed = number(optarg, table[which].name);
			break;
		case 't':
			o->seconds = number(optarg, table[which].name);
			break;
		case 'm':
			o->messages = number(optarg, table[which].name);
			break;
		case 'n':
			o->threads = number(optarg, table[which].name);
			break;
		case 'i':
			o->io_threads = number(optarg, table[which].name);
			break;
		case 'r':
			o->no_rings = true;
			break;
		case 'c':
			o->no_cycles = true;
			break;
		case 'v':
			o->no_coverage = true;
			break;
		default:
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind == argc && o->threads && o->threads <= THREADS_MAX &&
	    o->io_threads <= THREADS_MAX)
		return;
	usage(stderr);
	exit(2);
}

static int die(const char *what, int error)
{
	fprintf(stderr, "fuzz-netlink: %s: %s\n", what, strerror(-error));
	return 1;
}

int main(int argc, char **argv)
{
	static struct fuzz f = {
		.options = {
			.seed = 1, .seconds = 60, .threads = 2, .io_threads = 2,
		},
	};
	uint64_t end;
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(&f.options, argc, argv);
	ret = port_init();
	if (ret)
		return die("no family torus here: is the module loaded?", ret);
	ret = wrong_arenas_init();
	if (ret)
		return die("files that are no arenas", ret);
	f.workers = calloc(f.options.threads, sizeof(*f.workers));
	if (!f.workers)
		return die("workers", -ENOMEM);
	ret = port_open(&f.events);
	if (!ret)
		ret = port_join(&f.events);
	if (!ret)
		ret = port_open(&f.port);
	if (ret)
		return die("sockets", ret);
	printf("# seed %llu, %u threads\n", (unsigned long long)f.options.seed,
	       f.options.threads);
	ret = start_all(&f);
	if (ret)
		return die("threads", ret);
	end = clock_ms() + f.options.seconds * 1000;
	while (!all_done(&f) && (f.options.messages || clock_ms() < end))
		watch(&f);
	end_all(&f);
	judge(&f);
	return nr_failed ? 1 : 0;
}
