/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_PROCESS_H
#define SELFTEST_PROCESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "device.h"
#include "helper.h"

/* How a process serves; all zero is the usual way. */
struct helper_config {
	helper_hook *hook;
	size_t arena_size;	/* 0: enough for any request */
	bool takeover;
	bool lane_per_queue;	/* a socket and a thread for each queue */
};

/*
 * Starts a process that serves a device until it is killed, and waits until its
 * session has started. Fails the test if it does not.
 */
pid_t helper_spawn(struct world *world, uint32_t dev_id, helper_hook *hook);
pid_t helper_spawn_with(struct world *world, uint32_t dev_id, helper_hook *hook,
			bool takeover, size_t arena_size);
pid_t helper_spawn_config(struct world *world, uint32_t dev_id,
			  const struct helper_config *how);

/* One process for many devices, each with a session and an arena of its own. */
pid_t helper_spawn_many(struct world **worlds, const uint32_t *dev_ids,
			unsigned int nr, const struct helper_config *how);

/* Kills it and waits for its end. */
void helper_kill(pid_t pid);

/* Stops one by SIGSTOP; it does nothing more when this returns. */
void helper_suspend(pid_t pid);

/* Ends all helpers of this test. */
void helper_cleanup(void);

/* A device that is live and served; the usual beginning. */
uint32_t device_serve(const struct device_config *config, struct world **world,
		      pid_t *helper);

/* The same, with what tests want otherwise, and open for direct I/O. */
struct setup {
	struct device_config config;
	struct helper_config how;
	uint64_t world_size;	/* 0: that of the device */
	struct world *world;
	pid_t helper;
	uint32_t id;
	int fd;
};

void setup_begin(struct setup *s);

/* Closes and deletes it, while the helper serves, and ends the helper. */
void setup_end(struct setup *s);

/* A thread that serves a helper of this process until it is stopped. */
struct server {
	pthread_t thread;
	struct helper *helper;
	bool stop;
};

void server_start(struct server *server, struct helper *helper);
void server_stop(struct server *server);

/* A thread that writes a block of 4096 bytes of zeroes, and waits for it. */
struct writer {
	pthread_t thread;
	int fd;
	uint64_t offset;
	int error;		/* -1: has not ended */
};

void writer_start(struct writer *writer, int fd, uint64_t offset);

/* Waits for its end. 0 or the errno of the write. */
int writer_end(struct writer *writer);

#endif
