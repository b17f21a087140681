/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory as the operating system sees it. */
#ifndef TORUSD_DATADIR_H
#define TORUSD_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

struct datadir {
	int lock;			/* held while the process lives */
	uint64_t total_bytes;		/* of its file system */
	bool has_identity;		/* a store is there */
	char boot_id[64];		/* boot and mount, for the incarnation */
};

/**
 * datadir_open() - make @path where only it is missing, take its lock, and
 * learn about it.
 * Returns 0 or -errno with error text: -EBUSY (another torusd), -EXDEV (it
 * lies on a torus device), what the system said else.
 */
int datadir_open(struct datadir *dir, const char *path);
void datadir_close(struct datadir *dir);

/** datadir_check_log() - whether standard error is no file on a torus device,
 * which would be written to when memory is short. 0 or -EXDEV. */
int datadir_check_log(void);

#endif
