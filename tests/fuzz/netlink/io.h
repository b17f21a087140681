/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_IO_H
#define FUZZ_IO_H

#include <pthread.h>

#include "chance.h"

/*
 * A thread that opens block devices and reads, writes, flushes and discards,
 * as anybody could. Errors are to be expected. An answer is not, but an end is:
 * the watch deletes by force what keeps a thread for too long.
 */
struct io {
	pthread_t thread;
	unsigned int index;
	struct chance chance;
	uint64_t done_ok;
	uint64_t done_error;
	uint64_t opened;
	/* what it is at: since when, on which device; 0: nothing */
	uint64_t since;
	uint32_t dev_id;
};

/* 0 or -errno. */
int io_start(struct io *io, uint64_t seed);

/* Waits for its end; after devices_end(). */
void io_join(struct io *io);

#endif
