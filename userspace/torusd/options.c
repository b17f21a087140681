// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
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
"  --no-lock-memory         let its memory be swapped out\n"
"  --help, --version\n"
"\n"
"See torusd(8).\n";

enum {
	O_META = 1, O_DATA_DIR, O_LISTEN, O_ADVERTISE, O_SIZE,
	O_NEAR_FULL, O_FULL, O_ZONE, O_RACK,
	O_AUTO_JOIN, O_NO_LOCK, O_HELP, O_VERSION,
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
	{ "no-lock-memory", no_argument, NULL, O_NO_LOCK },
	{ "help", no_argument, NULL, O_HELP },
	{ "version", no_argument, NULL, O_VERSION },
	{ 0 }
};

#define SIZE_MIN (64ull << 20)

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
		/* getopt_long() has named the option already. */
		return error_set(-EINVAL, "see 'torusd --help'");
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
	int option, err = 0;

	memset(o, 0, sizeof(*o));
	o->size_percent = 100;
	o->near_full_percent = STORE_NEAR_FULL_PERCENT;
	o->full_percent = STORE_FULL_PERCENT;
	o->lock_memory = true;
	while (err == 0 &&
	       (option = getopt_long(argc, argv, "", list, NULL)) != -1)
		err = parse_one(o, option);
	return err != 0 ? err : check_all(o, argc, argv);
}
