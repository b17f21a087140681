/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_WORKER_H
#define FUZZ_WORKER_H

#include <pthread.h>

#include "stats.h"

#define WORKER_SESSIONS 3

/* A thread that sends. */
struct worker {
	pthread_t thread;
	unsigned int index;
	uint64_t seed;
	struct chance chance;
	/* 0: until worker_stop() */
	uint64_t messages;
	bool with_rings;
	struct port port;
	struct session sessions[WORKER_SESSIONS];
	/* steps until a session is left, by its place */
	unsigned int patience[WORKER_SESSIONS];
	struct stats stats;
	/* when it began what it is at; read by the watch */
	uint64_t busy_since;
	bool done;
};

/* The first message that the driver took although it must not, and so on. */
int worker_start(struct worker *w);

/* Asks all of them to end soon. */
void worker_stop_all(void);

/* Waits for it; its sockets are closed then. */
void worker_join(struct worker *w);

#endif
