/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUSD_OPTIONS_H
#define TORUSD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "maint/maint.h"
#include "meta/schema.h"

/* Exit statuses, also in torusd(8). */
enum torusd_exit {
	TORUSD_OK = 0,		/* ended by a signal, or asked for help */
	TORUSD_FAILED = 1,	/* could not begin, or go on */
	TORUSD_USAGE = 64,
};

struct torusd_options {
	const char *meta;		/* NULL: environment, configuration */
	const char *data_dir;
	const char *listen;
	const char *advertise;		/* NULL: what listen says */
	uint64_t size;			/* bytes; 0: see size_percent */
	unsigned int size_percent;	/* of the file system */
	unsigned int near_full_percent, full_percent;	/* of the size */
	char zone[RING_LABEL_MAX], rack[RING_LABEL_MAX];
	bool auto_join;
	bool lock_memory;
	struct maint_config maint;	/* 0: its own defaults */
};

/**
 * options_parse() - fill @o from the command line.
 * Returns 0; -EINVAL with error text; or 1 when help or version was printed.
 */
int options_parse(struct torusd_options *o, int argc, char **argv);

#endif
