/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_HELPER_OPTIONS_H
#define TORUS_HELPER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "front/channel.h"

/* Exit statuses, also in torus-helper(8). */
enum helper_exit {
	HELPER_OK = 0,		/* detached, or asked for help */
	HELPER_FAILED = 1,	/* could not begin; trying again may help */
	HELPER_BUSY = 2,	/* another helper has the volume */
	HELPER_LOST = 3,	/* the volume was lost, and the device failed */
	HELPER_ENDED = 4,	/* the session ended; the device waits */
	HELPER_USAGE = 64,
};

struct helper_options {
	const char *meta;		/* NULL: environment, configuration */
	const char *volume;
	bool null_device;		/* no volume: null.h */
	uint64_t size;			/* of the null device, in bytes */
	bool no_data;			/* the null device leaves data alone */
	enum channel_form channel;
	int device;			/* -1: any */
	bool read_only, verbose;
	bool force;			/* from whoever has it, anywhere */
	bool replace;			/* from the helper on this machine */
	uint32_t block_size;
	uint32_t queues, queue_depth;
	uint64_t arena;			/* bytes */
	uint64_t map_cache, overlay, checkpoint_log;	/* 0: default */
	uint32_t clean_threshold;	/* percent; 0: default */
	uint32_t min_replicas;		/* 0: majority */
	uint32_t io_timeout_ms;
	int64_t dead_timeout_ms;	/* -1: as the driver is set */
	uint32_t replica_timeout_ms;	/* 0: default */
};

/**
 * options_parse() - fill @o from the command line.
 * Returns 0; -EINVAL with error text; or 1 when help or version was printed.
 */
int options_parse(struct helper_options *o, int argc, char **argv);

#endif
