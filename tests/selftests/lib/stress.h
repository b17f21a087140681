/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_STRESS_H
#define SELFTEST_STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Threads that each write, read and verify a region of their own with direct
 * I/O of 4 to 256 KiB, and remember what every block must hold.
 */
struct stress_thread {
	pthread_t thread;
	struct stress *stress;
	unsigned int index;
	uint64_t ios;
	int error;
	char what[96];
};

struct stress {
	int fd;
	uint64_t region;
	unsigned int nr_threads;
	unsigned int io_max;
	/* I/Os of each thread; 0: until told */
	uint64_t limit;
	bool stop;
	unsigned int flushing;		/* threads in a flush now */
	/* Somebody waits for so many I/Os; told when they have ended. */
	uint64_t awaited;
	pthread_mutex_t lock;
	pthread_cond_t reached;
	struct stress_thread threads[32];
};

/* Starts nr_threads on fd; each owns size / nr_threads bytes. */
void stress_start(struct stress *s, int fd, uint64_t size,
		  unsigned int nr_threads, unsigned int io_max);

/* The same; each thread ends by itself after limit I/Os. */
void stress_start_some(struct stress *s, int fd, uint64_t size,
		       unsigned int nr_threads, unsigned int io_max,
		       uint64_t limit);

/* How many I/Os have ended so far. */
uint64_t stress_ios(struct stress *s);

/* Waits until n I/Os have ended since the start. */
void stress_wait_total(struct stress *s, uint64_t n, int timeout_ms);

/* Waits until n more I/Os have ended; fails the test if they do not. */
void stress_wait_ios(struct stress *s, uint64_t n, int timeout_ms);

/* Tells the threads to stop, without waiting for them. */
void stress_halt(struct stress *s);

/* Stops and fails the test upon an error or wrong data. I/Os done. */
uint64_t stress_stop(struct stress *s);

/* The same, but errors are no failure; returns the first error or 0. */
int stress_stop_error(struct stress *s);

#endif
