// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "env/longopt.h"
#include "meta/url.h"
#include "store/store.h"

static const char help[] =
"usage: torusd --data-dir DIR --listen ADDR:PORT [--meta URL] [OPTION]...\n"
"Keeps replicas of volumes in DIR and serves them, in the foreground, until\n"
"SIGTERM. One torusd per disk.\n"
"\n"
"  --data-dir DIR           where chunks are kept; made if its parent exists\n"
"  --listen ADDR:PORT       where to serve\n"
"  --advertise ADDR:PORT    where others reach it (as --listen)\n"
"  --meta URL               etcd://HOST:PORT[,HOST:PORT...] or local:PATH; else\n"
"                           TORUS_META, else /etc/torus/torus.conf\n"
"  --size SIZE|N%           how much it may use: 500GiB, or a part of the\n"
"                           file system (100%)\n"
"  --near-full N%           warn from there on (85%)\n"
"  --full N%                take no more user data from there on (95%)\n"
"  --zone ZONE, --rack RACK where the machine is, for placing replicas\n"
"  --auto-join              become a member of the ring by itself\n"
"  --recovery-grace TIME    how long a peer may be away before what it holds is\n"
"                           copied elsewhere (10min)\n"
"  --repair-rate SIZE       bytes per second that are copied to others while\n"
"                           clients use this peer (32MiB)\n"
"  --repair-rate-idle SIZE  the same while they do not (no limit)\n"
"  --repair-transfers N     chunks that are copied to others at a time (4)\n"
"  --walk-interval TIME     how often all chunks are looked at, besides those\n"
"                           that something has happened to (1h)\n"
"  --scrub-rate SIZE        bytes per second that are verified (8MiB)\n"
"  --scrub-interval TIME    how often all are verified (7d)\n"
"  --no-lock-memory         let its memory be swapped out\n"
"  --help, --version\n"
"\n"
"TIME is a number with ms, s, min, h or d. See torusd(8).\n";

enum {
	O_META = 1, O_DATA_DIR, O_LISTEN, O_ADVERTISE, O_SIZE, O_NEAR_FULL,
	O_FULL, O_ZONE, O_RACK, O_AUTO_JOIN, O_GRACE, O_RATE, O_RATE_IDLE,
	O_TRANSFERS, O_WALK, O_SCRUB_RATE, O_SCRUB_INTERVAL, O_NO_LOCK,
	O_HELP, O_VERSION,
};

static const struct option list[] = {
	{ "meta", required_argument, NULL, O_META },
	{ "data-dir", required_argument, NULL, O_DATA_DIR },
	{ "listen", required_argument, NULL, O_LISTEN },
	{ "advertise", required_argument, NULL, O_ADVERTISE },
	{ "size", required_argument, NULL, O_SIZE },
	{ "near-full", required_argument, NULL, O_NEAR_FULL },
	{ "full", required_argument, NULL, O_FULL },
	{ "zone", required_argument, NULL, O_ZONE },
	{ "rack", required_argument, NULL, O_RACK },
	{ "auto-join", no_argument, NULL, O_AUTO_JOIN },
	{ "recovery-grace", required_argument, NULL, O_GRACE },
	{ "repair-rate", required_argument, NULL, O_RATE },
	{ "repair-rate-idle", required_argument, NULL, O_RATE_IDLE },
	{ "repair-transfers", required_argument, NULL, O_TRANSFERS },
	{ "walk-interval", required_argument, NULL, O_WALK },
	{ "scrub-rate", required_argument, NULL, O_SCRUB_RATE },
	{ "scrub-interval", required_argument, NULL, O_SCRUB_INTERVAL },
	{ "no-lock-memory", no_argument, NULL, O_NO_LOCK },
	{ "help", no_argument, NULL, O_HELP },
	{ "version", no_argument, NULL, O_VERSION },
	{ 0 }
};

#define SIZE_MIN (64ull << 20)
#define RATE_MIN (64ull << 10)
#define TIME_MAX_NS (3650ull * 86400 * NSEC_PER_SEC)
#define TRANSFERS_MAX 64u

static int parse_percent(const char *option, const char *text,
			 unsigned int *percent)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)text[0]) || *end != '%' ||
	    end[1] != '\0' || value < 1 || value > 100)
		return error_set(-EINVAL, "--%s: a percentage is from 1%% to 100%%, not '%s'",
				 option, text);
	*percent = (unsigned int)value;
	return 0;
}

static int parse_size(struct torusd_options *o, const char *text)
{
	size_t len = strlen(text);
	int err;

	if (len > 0 && text[len - 1] == '%') {
		o->size = 0;
		return parse_percent("size", text, &o->size_percent);
	}
	err = size_parse(text, &o->size);
	if (err < 0) {
		error_prefix("--size");
		return err;
	}
	if (o->size < SIZE_MIN)
		return error_set(-EINVAL, "--size: at least 64MiB, not '%s'",
				 text);
	return 0;
}

static int parse_label(const char *option, const char *text, char *label)
{
	size_t i, len = strlen(text);

	if (len == 0 || len >= RING_LABEL_MAX)
		return error_set(-EINVAL, "--%s: 1 to %u characters, not '%s'",
				 option, RING_LABEL_MAX - 1, text);
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) &&
		    strchr("._-", text[i]) == NULL)
			return error_set(-EINVAL, "--%s: letters, digits, '.', '_' and '-' only, not '%s'",
					 option, text);
	memcpy(label, text, len + 1);
	return 0;
}

/* "500ms", "30s", "10min", "1h", "7d" to nanoseconds; more than nothing. */
static int parse_time(const char *option, const char *text, uint64_t *ns)
{
	static const struct { const char *name; uint64_t ns; } units[] = {
		{ "ms", NSEC_PER_MSEC }, { "s", NSEC_PER_SEC },
		{ "min", 60 * NSEC_PER_SEC }, { "h", 3600 * NSEC_PER_SEC },
		{ "d", 86400 * NSEC_PER_SEC },
	};
	unsigned long long n;
	char *end;
	size_t i;

	errno = 0;
	n = strtoull(text, &end, 10);
	for (i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(end, units[i].name) == 0)
			break;
	if (!isdigit((unsigned char)text[0]) || errno != 0 || n == 0 ||
	    i == ARRAY_SIZE(units) || n > TIME_MAX_NS / units[i].ns)
		return error_set(-EINVAL, "--%s: a time like 30s, 10min, 1h or 7d, up to 10 years, not '%s'",
				 option, text);
	*ns = n * units[i].ns;
	return 0;
}

/* Bytes per second. */
static int parse_rate(const char *option, const char *text, uint64_t *rate)
{
	int err = size_parse(text, rate);

	if (err < 0) {
		error_prefix("--%s", option);
		return err;
	}
	if (*rate < RATE_MIN)
		return error_set(-EINVAL, "--%s: at least 64KiB, not '%s'",
				 option, text);
	return 0;
}

static int parse_transfers(struct torusd_options *o, const char *text)
{
	unsigned long n;
	char *end;

	n = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || n < 1 ||
	    n > TRANSFERS_MAX)
		return error_set(-EINVAL, "--repair-transfers: a number from 1 to %u, not '%s'",
				 TRANSFERS_MAX, text);
	o->maint.transfers = (uint32_t)n;
	return 0;
}

/* Those about what the peer does by itself. */
static int parse_maintenance(struct torusd_options *o, int option)
{
	struct maint_config *m = &o->maint;

	switch (option) {
	case O_GRACE:
		return parse_time("recovery-grace", optarg,
				  &m->recovery_grace_ns);
	case O_RATE:
		return parse_rate("repair-rate", optarg, &m->rate_busy);
	case O_RATE_IDLE:
		return parse_rate("repair-rate-idle", optarg, &m->rate_idle);
	case O_TRANSFERS:
		return parse_transfers(o, optarg);
	case O_WALK:
		return parse_time("walk-interval", optarg,
				  &m->walk_interval_ns);
	case O_SCRUB_RATE:
		return parse_rate("scrub-rate", optarg, &m->scrub_rate);
	case O_SCRUB_INTERVAL:
		return parse_time("scrub-interval", optarg,
				  &m->scrub_interval_ns);
	default:
		/* getopt_long() has named the option already. */
		return error_set(-EINVAL, "see 'torusd --help'");
	}
}

/* HOST:PORT, the host perhaps in brackets. */
static int check_address(const char *option, const char *text)
{
	const char *colon = strrchr(text, ':');
	unsigned long port;
	char *end;

	if (colon == NULL || colon == text || strlen(text) >= ADDRESS_MAX ||
	    !isdigit((unsigned char)colon[1]))
		return error_set(-EINVAL, "--%s: ADDR:PORT is wanted, not '%s'",
				 option, text);
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port > 65535 ||
	    (port == 0 && strcmp(option, "listen") != 0))
		return error_set(-EINVAL, "--%s: '%s' is no port", option,
				 colon + 1);
	return 0;
}

static int parse_one(struct torusd_options *o, int option)
{
	switch (option) {
	case O_META:
		o->meta = optarg;
		return meta_url_check(optarg);
	case O_DATA_DIR:
		o->data_dir = optarg;
		return 0;
	case O_LISTEN:
		o->listen = optarg;
		return check_address("listen", optarg);
	case O_ADVERTISE:
		o->advertise = optarg;
		return check_address("advertise", optarg);
	case O_SIZE:
		return parse_size(o, optarg);
	case O_NEAR_FULL:
		return parse_percent("near-full", optarg,
				     &o->near_full_percent);
	case O_FULL:
		return parse_percent("full", optarg, &o->full_percent);
	case O_ZONE:
		return parse_label("zone", optarg, o->zone);
	case O_RACK:
		return parse_label("rack", optarg, o->rack);
	case O_AUTO_JOIN:
		o->auto_join = true;
		return 0;
	case O_NO_LOCK:
		o->lock_memory = false;
		return 0;
	case O_HELP:
		fputs(help, stdout);
		return 1;
	case O_VERSION:
		puts("torusd " TORUS_VERSION);
		return 1;
	default:
		return parse_maintenance(o, option);
	}
}

static bool is_wildcard(const char *listen)
{
	return strncmp(listen, "0.0.0.0:", 8) == 0 ||
	       strncmp(listen, "[::]:", 5) == 0 ||
	       strncmp(listen, "*:", 2) == 0;
}

static int check_all(const struct torusd_options *o, int argc, char **argv)
{
	if (optind < argc)
		return error_set(-EINVAL, "unexpected argument '%s'; see 'torusd --help'",
				 argv[optind]);
	if (o->data_dir == NULL || o->data_dir[0] == '\0')
		return error_set(-EINVAL, "--data-dir is missing; see 'torusd --help'");
	if (o->listen == NULL)
		return error_set(-EINVAL, "--listen is missing; see 'torusd --help'");
	if (o->near_full_percent > o->full_percent)
		return error_set(-EINVAL, "--near-full %u%% is above --full %u%%: the warning would come too late",
				 o->near_full_percent, o->full_percent);
	if (o->advertise == NULL && is_wildcard(o->listen))
		return error_set(-EINVAL, "--listen %s is every address of this machine: say with --advertise at which one others reach it",
				 o->listen);
	return 0;
}

int options_parse(struct torusd_options *o, int argc, char **argv)
{
	int option, which = 0, err = 0;

	memset(o, 0, sizeof(*o));
	o->size_percent = 100;
	o->near_full_percent = STORE_NEAR_FULL_PERCENT;
	o->full_percent = STORE_FULL_PERCENT;
	o->lock_memory = true;
	while (err == 0 &&
	       (option = getopt_long(argc, argv, "", list, &which)) != -1) {
		/* getopt_long() has named an unknown one already. */
		if (option != '?')
			err = longopt_check(&list[which], argv);
		if (err == 0)
			err = parse_one(o, option);
	}
	return err != 0 ? err : check_all(o, argc, argv);
}
