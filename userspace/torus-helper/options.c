// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <linux/torus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "env/longopt.h"
#include "front/arena.h"
#include "meta/schema.h"
#include "meta/url.h"

static const char help[] =
"usage: torus-helper --volume NAME [--meta URL] [OPTION]...\n"
"       torus-helper --null [--size SIZE] [OPTION]...\n"
"Serves one volume as /dev/torusN, in the foreground, until SIGTERM detaches it.\n"
"\n"
"  --volume NAME            the volume\n"
"  --meta URL               etcd://HOST:PORT[,HOST:PORT...] or local:PATH; else\n"
"                           TORUS_META, else /etc/torus/torus.conf\n"
"  --device N               be /dev/torusN; else the first that is free\n"
"  --read-only              refuse writes\n"
"  --force                  take the volume from whoever has it\n"
"  --replace                take the device over from the helper that serves it\n"
"                           here, under load: for upgrades\n"
"  --null                   no volume: a device for measurements, which keeps\n"
"                           nothing and reads as zeros\n"
"  --size SIZE              of the --null device (1GiB)\n"
"  --no-data                the --null device neither fills nor checksums what is\n"
"                           read and written\n"
"  --block-size 512|4096    logical block (4096)\n"
"  --queues N               hardware queues (1)\n"
"  --queue-depth N          requests in flight per queue (128)\n"
"  --arena SIZE             memory for data in flight (32MiB)\n"
"  --channel FORM           how requests travel: auto, ring or messages (auto)\n"
"  --map-cache SIZE         cache of map pages (256MiB)\n"
"  --overlay SIZE           changes of the map before a checkpoint (64MiB)\n"
"  --checkpoint-log SIZE    log before a checkpoint (4GiB)\n"
"  --clean-threshold N      percent of what is stored that may be garbage before\n"
"                           it is cleaned; 100: it never is (25)\n"
"  --min-replicas N         fewer healthy copies make writes wait (a majority)\n"
"  --io-timeout TIME        a request fails after this (120s)\n"
"  --replica-timeout TIME   a peer without progress is left out (1s)\n"
"  --dead-timeout TIME      requests wait so long for a new helper (the driver's: 60s)\n"
"  --verbose, --help, --version\n"
"\n"
"TIME is a number of seconds, or with 'ms'. See torus-helper(8).\n";

enum {
	O_META = 1, O_VOLUME, O_DEVICE, O_READ_ONLY, O_FORCE, O_BLOCK_SIZE,
	O_QUEUES, O_DEPTH, O_ARENA, O_MAP_CACHE, O_OVERLAY, O_CHECKPOINT_LOG,
	O_CLEAN_THRESHOLD, O_MIN_REPLICAS, O_IO_TIMEOUT, O_REPLICA_TIMEOUT, O_DEAD_TIMEOUT,
	O_CHANNEL, O_NULL, O_SIZE, O_NO_DATA, O_REPLACE, O_VERBOSE, O_HELP, O_VERSION
};

#define NULL_SIZE_DEFAULT (1ull << 30)

static const struct option list[] = {
	{ "meta", required_argument, NULL, O_META },
	{ "volume", required_argument, NULL, O_VOLUME },
	{ "device", required_argument, NULL, O_DEVICE },
	{ "read-only", no_argument, NULL, O_READ_ONLY },
	{ "force", no_argument, NULL, O_FORCE },
	{ "block-size", required_argument, NULL, O_BLOCK_SIZE },
	{ "queues", required_argument, NULL, O_QUEUES },
	{ "queue-depth", required_argument, NULL, O_DEPTH },
	{ "arena", required_argument, NULL, O_ARENA },
	{ "map-cache", required_argument, NULL, O_MAP_CACHE },
	{ "overlay", required_argument, NULL, O_OVERLAY },
	{ "checkpoint-log", required_argument, NULL, O_CHECKPOINT_LOG },
	{ "clean-threshold", required_argument, NULL, O_CLEAN_THRESHOLD },
	{ "min-replicas", required_argument, NULL, O_MIN_REPLICAS },
	{ "io-timeout", required_argument, NULL, O_IO_TIMEOUT },
	{ "replica-timeout", required_argument, NULL, O_REPLICA_TIMEOUT },
	{ "dead-timeout", required_argument, NULL, O_DEAD_TIMEOUT },
	{ "channel", required_argument, NULL, O_CHANNEL },
	{ "null", no_argument, NULL, O_NULL },
	{ "size", required_argument, NULL, O_SIZE },
	{ "no-data", no_argument, NULL, O_NO_DATA },
	{ "replace", no_argument, NULL, O_REPLACE },
	{ "verbose", no_argument, NULL, O_VERBOSE },
	{ "help", no_argument, NULL, O_HELP },
	{ "version", no_argument, NULL, O_VERSION },
	{ 0 }
};

static int parse_number(const char *option, const char *text, uint64_t min,
			uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *value < min ||
	    *value > max)
		return error_set(-EINVAL, "--%s must be a number from %llu to %llu, not '%s'",
				 option, (unsigned long long)min,
				 (unsigned long long)max, text);
	return 0;
}

static int parse_u32(const char *option, const char *text, uint32_t min,
		     uint32_t max, uint32_t *value)
{
	uint64_t wide;
	int err = parse_number(option, text, min, max, &wide);

	if (!err)
		*value = (uint32_t)wide;
	return err;
}

/* "30", "30s" or "500ms" to milliseconds. */
static int parse_time(const char *option, const char *text, uint32_t min_ms,
		      uint32_t *ms)
{
	uint64_t value, unit = 1000;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (strcmp(end, "ms") == 0)
		unit = 1;
	if (*text < '0' || *text > '9' || errno ||
	    (*end && strcmp(end, "s") != 0 && unit == 1000) ||
	    value > TORUS_TIMEOUT_MS_LIMIT || value * unit < min_ms ||
	    value * unit > TORUS_TIMEOUT_MS_LIMIT)
		return error_set(-EINVAL, "--%s must be a time like 30s or 500ms, from %ums to 24 hours, not '%s'",
				 option, min_ms, text);
	*ms = (uint32_t)(value * unit);
	return 0;
}

static int parse_bytes(const char *option, const char *text, uint64_t min,
		       uint64_t *bytes)
{
	int err = size_parse(text, bytes);

	if (err)
		error_prefix("--%s", option);
	else if (*bytes < min)
		err = error_set(-EINVAL, "--%s must be at least %llu bytes, not '%s'",
				option, (unsigned long long)min, text);
	return err;
}

static int parse_block_size(const char *text, uint32_t *size)
{
	if (strcmp(text, "512") == 0)
		*size = 512;
	else if (strcmp(text, "4096") == 0)
		*size = 4096;
	else
		return error_set(-EINVAL, "--block-size must be 512 or 4096, not '%s'",
				 text);
	return 0;
}

static int parse_channel(const char *text, enum channel_form *channel)
{
	if (strcmp(text, "auto") == 0)
		*channel = CHANNEL_AUTO;
	else if (strcmp(text, "messages") == 0)
		*channel = CHANNEL_MESSAGES;
	else if (strcmp(text, "ring") == 0)
		*channel = CHANNEL_RING;
	else
		return error_set(-EINVAL, "--channel must be auto, ring or messages, not '%s'",
				 text);
	return 0;
}

static int parse_sizes(struct helper_options *o, int opt, const char *name,
		       const char *arg)
{
	switch (opt) {
	case O_ARENA:
		return parse_bytes(name, arg, 1, &o->arena);
	case O_SIZE:
		return parse_bytes(name, arg, 4096, &o->size);
	case O_MAP_CACHE:
		return parse_bytes(name, arg, 1 << 20, &o->map_cache);
	case O_OVERLAY:
		return parse_bytes(name, arg, 1 << 20, &o->overlay);
	default:
		return parse_bytes(name, arg, 1 << 20, &o->checkpoint_log);
	}
}

static int parse_numbers(struct helper_options *o, int opt, const char *name,
			 const char *arg)
{
	uint32_t device, ms;
	int err;

	switch (opt) {
	case O_DEVICE:
		err = parse_u32(name, arg, 0, TORUS_DEVICES_MAX - 1, &device);
		if (!err)
			o->device = (int)device;
		return err;
	case O_BLOCK_SIZE:
		return parse_block_size(arg, &o->block_size);
	case O_QUEUES:
		return parse_u32(name, arg, 1, TORUS_QUEUES_MAX, &o->queues);
	case O_DEPTH:
		return parse_u32(name, arg, 1, TORUS_DEPTH_MAX,
				 &o->queue_depth);
	case O_CLEAN_THRESHOLD:
		return parse_u32(name, arg, 1, CLEAN_NEVER,
				 &o->clean_threshold);
	case O_MIN_REPLICAS:
		return parse_u32(name, arg, 1, RING_REPLICATION_MAX,
				 &o->min_replicas);
	case O_IO_TIMEOUT:
		return parse_time(name, arg, 1000, &o->io_timeout_ms);
	case O_REPLICA_TIMEOUT:
		return parse_time(name, arg, 10, &o->replica_timeout_ms);
	case O_DEAD_TIMEOUT:
		err = parse_time(name, arg, 0, &ms);
		if (!err)
			o->dead_timeout_ms = ms;
		return err;
	default:
		return parse_sizes(o, opt, name, arg);
	}
}

/* 0, -EINVAL, or 1: all is said. */
static int parse_one(struct helper_options *o, int opt, const char *name,
		     const char *arg)
{
	switch (opt) {
	case O_META:
		o->meta = arg;
		return meta_url_check(arg);
	case O_VOLUME:
		o->volume = arg;
		return 0;
	case O_READ_ONLY:
		o->read_only = true;
		return 0;
	case O_FORCE:
		o->force = true;
		return 0;
	case O_NO_DATA:
		o->no_data = true;
		return 0;
	case O_REPLACE:
		o->replace = true;
		return 0;
	case O_NULL:
		o->null_device = true;
		return 0;
	case O_CHANNEL:
		return parse_channel(arg, &o->channel);
	case O_VERBOSE:
		o->verbose = true;
		return 0;
	case O_HELP:
		fputs(help, stdout);
		return 1;
	case O_VERSION:
		puts("torus-helper " TORUS_VERSION);
		return 1;
	default:
		return parse_numbers(o, opt, name, arg);
	}
}

/* The null device has a size, and nothing of what a volume has. */
static int check_null(struct helper_options *o)
{
	if (o->volume || o->meta || o->map_cache || o->overlay ||
	    o->checkpoint_log || o->clean_threshold || o->min_replicas ||
	    o->replica_timeout_ms)
		return error_set(-EINVAL, "--null serves no volume: --volume, --meta and the options of a volume's engine do not go with it");
	if (o->force)
		return error_set(-EINVAL, "--force takes a volume from whoever has it, and --null has none: --replace --device N takes over another helper's null device");
	if (o->replace && o->device < 0)
		return error_set(-EINVAL, "--null --replace needs --device N: which null device is taken over");
	if (o->replace && o->size)
		return error_set(-EINVAL, "--size does not go with --replace: the device has the size that it was made with");
	if (!o->size)
		o->size = NULL_SIZE_DEFAULT;
	if (o->size % o->block_size)
		return error_set(-EINVAL, "--size must be a multiple of the block size, %u",
				 o->block_size);
	return 0;
}

static int check_volume(const struct helper_options *o)
{
	if (!o->volume)
		return error_set(-EINVAL, "--volume NAME is missing");
	if (o->no_data)
		return error_set(-EINVAL, "--no-data is for --null");
	if (o->size)
		return error_set(-EINVAL, "--size is for --null; a volume has the size that it was created with");
	return volume_name_check(o->volume);
}

static int check(struct helper_options *o, int argc, char **argv)
{
	int err;

	if (optind < argc)
		return error_set(-EINVAL, "unexpected argument '%s'",
				 argv[optind]);
	if (o->force && o->replace)
		return error_set(-EINVAL, "--replace takes over from the helper on this machine, --force from anyone: give one of them");
	err = o->null_device ? check_null(o) : check_volume(o);
	if (!err) {
		err = arena_check_size(o->arena, TORUS_IO_SIZE_DEFAULT);
		if (err)
			error_prefix("--arena");
	}
	return err;
}

int options_parse(struct helper_options *o, int argc, char **argv)
{
	int opt, err = 0, index = 0;

	*o = (struct helper_options){
		.device = -1, .block_size = 4096, .queues = 1,
		.queue_depth = TORUS_DEPTH_DEFAULT,
		.arena = ARENA_SIZE_DEFAULT,
		.io_timeout_ms = TORUS_IO_TIMEOUT_MS_DEFAULT,
		.dead_timeout_ms = -1,
	};
	opterr = 0;
	while (!err && (opt = getopt_long(argc, argv, ":", list, &index)) != -1) {
		if (opt == '?')
			return error_set(-EINVAL, "unknown option '%s'",
					 argv[optind - 1]);
		if (opt == ':')
			return error_set(-EINVAL, "option '%s' needs a value",
					 argv[optind - 1]);
		err = longopt_check(&list[index], argv);
		if (!err)
			err = parse_one(o, opt, list[opt - 1].name, optarg);
	}
	return err ? err : check(o, argc, argv);
}
