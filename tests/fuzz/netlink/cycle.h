/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_CYCLE_H
#define FUZZ_CYCLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A thread that, every few seconds, leads the life of a device as it should be:
 * add, bind, start, write, read, delete. Each must succeed, whatever the
 * fuzzer does to other devices meanwhile.
 */
struct cycle {
	pthread_t thread;
	bool with_rings;
	unsigned int done;
	unsigned int failed;
	uint64_t longest_ms;
	uint64_t busy_since;	/* 0: between two */
	bool ended;
	bool stop;
	pthread_mutex_t lock;
	pthread_cond_t woken;
};

/* 0 or -errno. */
int cycle_start(struct cycle *c);

/* Asks it to end after the cycle that it is in. */
void cycle_stop(struct cycle *c);
void cycle_join(struct cycle *c);

#endif
