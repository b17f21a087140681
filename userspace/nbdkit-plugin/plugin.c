// SPDX-License-Identifier: Apache-2.0
/*
 * nbdkit torus volume=NAME: a volume for every NBD client, without a module.
 *
 * nbdkit forks into the background between get_ready and after_fork; threads do
 * not survive that, so the volume is attached after it. All connections share
 * one engine, and a flush of any covers what all have written: multi-conn.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/error.h"
#include "base/log.h"
#include "base/size.h"
#include "env/env.h"
#include "engine.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define SECTOR 512
#define TIMEOUT_MAX 86400u

static struct engine_config config;
static const char *meta_url;
static struct engine *engine;

static void sink(enum log_level level, const char *line)
{
	if (level <= LOG_LEVEL_WARNING)
		nbdkit_error("%s", line);
	else
		nbdkit_debug("%s", line);
}

static void torus_load(void)
{
	log_set_sink(sink);
	log_set_level(LOG_LEVEL_DEBUG);
}

static void torus_dump_plugin(void)
{
	printf("torus_version=%s\n", TORUS_VERSION);
}

static int fail(int err)
{
	nbdkit_error("%s", error_text(err));
	return -1;
}

static int parse_flag(const char *value, bool *flag)
{
	int yes = nbdkit_parse_bool(value);

	if (yes < 0)
		return -1;
	*flag = yes;
	return 0;
}

static int parse_bytes(const char *key, const char *value, uint64_t *bytes)
{
	int err = size_parse(value, bytes);

	if (!err)
		return 0;
	error_prefix("%s", key);
	return fail(err);
}

static int parse_timeout(const char *key, const char *value, uint64_t *ns)
{
	unsigned int seconds;

	if (nbdkit_parse_unsigned(key, value, &seconds))
		return -1;
	if (seconds < 1 || seconds > TIMEOUT_MAX) {
		nbdkit_error("%s must be a number of seconds from 1 to %u, not '%s'",
			     key, TIMEOUT_MAX, value);
		return -1;
	}
	*ns = seconds * NSEC_PER_SEC;
	return 0;
}

static int torus_config(const char *key, const char *value)
{
	int err;

	if (strcmp(key, "volume") == 0) {
		err = volume_name_check(value);
		if (err)
			return fail(err);
		snprintf(config.volume, sizeof(config.volume), "%s", value);
		return 0;
	}
	if (strcmp(key, "meta") == 0) {
		meta_url = value;	/* nbdkit keeps the string */
		return 0;
	}
	if (strcmp(key, "force") == 0)
		return parse_flag(value, &config.force);
	if (strcmp(key, "read-only") == 0)
		return parse_flag(value, &config.read_only);
	if (strcmp(key, "map-cache") == 0)
		return parse_bytes(key, value, &config.map_cache);
	if (strcmp(key, "overlay") == 0)
		return parse_bytes(key, value, &config.overlay);
	if (strcmp(key, "io-timeout") == 0)
		return parse_timeout(key, value, &config.io_timeout_ns);
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static int torus_config_complete(void)
{
	int err;

	if (!config.volume[0]) {
		nbdkit_error("volume=NAME is missing");
		return -1;
	}
	err = meta_settings_resolve(&config.meta, meta_url);
	return err ? fail(err) : 0;
}

#define torus_config_help \
	"volume=NAME      (required) The volume to serve.\n" \
	"meta=URL         etcd://HOST:PORT[,...] or local:PATH; else TORUS_META,\n" \
	"                 else /etc/torus/torus.conf.\n" \
	"force=true       Take the volume from whoever has it attached.\n" \
	"read-only=true   Attach for reading only.\n" \
	"map-cache=SIZE   Cache of map pages (256MiB).\n" \
	"overlay=SIZE     Changes of the map before a checkpoint (64MiB).\n" \
	"io-timeout=S     A request, or attaching, fails after so many seconds\n" \
	"                 without progress (120)."

static int torus_after_fork(void)
{
	int err;

	/*
	 * The client may be the kernel of this machine, whose writes must not
	 * wait for memory that only these writes can free.
	 */
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		nbdkit_debug("PR_SET_IO_FLUSHER: %s: a client on this machine may wait for ever when memory runs out",
			     strerror(errno));
	err = engine_start(&config, &engine);
	return err ? fail(err) : 0;
}

/* No connection is left. */
static void torus_cleanup(void)
{
	int err;

	if (!engine)
		return;
	err = engine_stop(engine);
	engine = NULL;
	if (err) {
		error_prefix("volume %s was not detached in order",
			     config.volume);
		fail(err);
	}
}

static void *torus_open(int readonly)
{
	(void)readonly;
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t torus_get_size(void *handle)
{
	(void)handle;
	return (int64_t)engine_size(engine);
}

static int torus_block_size(void *handle, uint32_t *minimum,
			    uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = SECTOR;
	*preferred = BLOCK_SIZE;
	*maximum = UINT32_MAX;
	return 0;
}

static int torus_can_write(void *handle)
{
	(void)handle;
	return !config.read_only;
}

static int torus_yes(void *handle)
{
	(void)handle;
	return 1;
}

static int torus_no(void *handle)
{
	(void)handle;
	return 0;
}

static int torus_can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

/* What NBD has a word for; all else is an I/O error to the client. */
static int nbd_errno(int err)
{
	switch (err) {
	case -ESTALE:
		return ESHUTDOWN;
	case -ENOSPC:
	case -ENOMEM:
	case -EINVAL:
	case -EROFS:
		return -err;
	default:
		return EIO;
	}
}

static int io(const char *what, enum volume_op op, uint32_t flags,
	      uint64_t offset, uint64_t length, void *buffer)
{
	int err;

	if ((offset | length) % SECTOR) {
		nbdkit_error("%s of %llu bytes at %llu: not in multiples of %u",
			     what, (unsigned long long)length,
			     (unsigned long long)offset, SECTOR);
		nbdkit_set_error(EINVAL);
		return -1;
	}
	err = engine_io(engine, op, flags & NBDKIT_FLAG_FUA, offset, length,
			buffer);
	if (!err)
		return 0;
	nbdkit_error("volume %s: %s of %llu bytes at %llu: %s", config.volume,
		     what, (unsigned long long)length,
		     (unsigned long long)offset, strerror(-err));
	nbdkit_set_error(nbd_errno(err));
	return -1;
}

static int torus_pread(void *handle, void *buf, uint32_t count,
		       uint64_t offset, uint32_t flags)
{
	(void)handle;
	return io("read", VOLUME_READ, flags, offset, count, buf);
}

static int torus_pwrite(void *handle, const void *buf, uint32_t count,
			uint64_t offset, uint32_t flags)
{
	(void)handle;
	/* The engine does not write to a write's buffer. */
	return io("write", VOLUME_WRITE, flags, offset, count, (void *)buf);
}

static int torus_flush(void *handle, uint32_t flags)
{
	(void)handle;
	return io("flush", VOLUME_FLUSH, flags, 0, 0, NULL);
}

/* A trim has no durability of its own: FUA makes a flush of it. */
static int torus_trim(void *handle, uint32_t count, uint64_t offset,
		      uint32_t flags)
{
	int err = io("trim", VOLUME_TRIM, 0, offset, count, NULL);

	if (!err && flags & NBDKIT_FLAG_FUA)
		err = torus_flush(handle, 0);
	return err;
}

static int torus_zero(void *handle, uint32_t count, uint64_t offset,
		      uint32_t flags)
{
	(void)handle;
	return io("zero", VOLUME_ZERO, flags, offset, count, NULL);
}

static struct nbdkit_plugin plugin = {
	.name = "torus",
	.longname = "Torus replicated volumes",
	.version = TORUS_VERSION,
	.description = "Serves a volume of a Torus cluster.",
	.magic_config_key = "volume",
	.config_help = torus_config_help,
	.load = torus_load,
	.dump_plugin = torus_dump_plugin,
	.config = torus_config,
	.config_complete = torus_config_complete,
	.after_fork = torus_after_fork,
	.cleanup = torus_cleanup,
	.open = torus_open,
	.get_size = torus_get_size,
	.block_size = torus_block_size,
	.can_write = torus_can_write,
	.can_flush = torus_yes,
	.can_trim = torus_yes,
	.can_zero = torus_yes,
	.can_fast_zero = torus_yes,
	.can_fua = torus_can_fua,
	.can_multi_conn = torus_yes,
	.is_rotational = torus_no,
	.pread = torus_pread,
	.pwrite = torus_pwrite,
	.flush = torus_flush,
	.trim = torus_trim,
	.zero = torus_zero,
};

NBDKIT_REGISTER_PLUGIN(plugin)
