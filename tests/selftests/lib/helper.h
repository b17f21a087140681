/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_HELPER_H
#define SELFTEST_HELPER_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <linux/torus.h>
#include <linux/torus_io.h>

#include "nl.h"
#include "ring.h"

/* What survives a helper: shared by all of a test's processes. */
struct world {
	uint64_t size;
	/* the log: how many records, each with a CRC made from its number */
	uint64_t sequence;
	/* counts by operation, and writes with FUA */
	uint64_t ops[TORUS_OP_WRITE_ZEROES + 1];
	uint64_t fua;
	/* what tests tell their helpers, and their hooks the test */
	uint32_t order;
	uint64_t notes[16];
	/* what helpers and tests wait for from each other */
	sem_t asked;
	sem_t told;
	_Alignas(4096) uint8_t data[];
};

struct helper;

/*
 * Decides what becomes of a descriptor that has just been carried out: true
 * lets the completion go, changed or not; false keeps it back.
 */
typedef bool helper_hook(struct helper *h, const struct torus_desc *desc,
			 struct torus_completion *completion);

struct helper {
	struct nl control;
	struct nl data;
	struct world *world;
	helper_hook *hook;
	uint32_t dev_id;
	uint64_t session_id;
	uint32_t rcvbuf_min;
	uint32_t queues;
	uint32_t depth;
	/* TORUS_CHANNEL of the environment, unless changed before bind */
	enum torus_channel form;
	uint32_t ring_entries, ring_stride;
	uint32_t desc_head[TORUS_QUEUES_MAX];
	uint32_t ticket;
	uint64_t mask;		/* queues that came to the data socket */
	uint64_t remembered;
	uint32_t remembered_crc;
	int arena_fd;
	size_t arena_size;
	uint8_t *arena;
	struct torus_completion ready[TORUS_COMPLETION_BATCH];
	unsigned int nr_ready;
};

struct world *world_new(uint64_t size);
void world_free(struct world *world);
uint32_t world_crc(uint64_t sequence);

/* Makes a sealed, locked memfd. The descriptor, or -errno. */
int arena_new(size_t size, void **map);

/* This test is about the message form, whatever the environment says. */
void use_messages(void);

/* What the environment says, ring unless TORUS_CHANNEL is "messages". */
enum torus_channel helper_form(void);

/* The steps of a helper's start; each is 0 or -errno. */
int helper_open(struct helper *h, struct world *world, uint32_t dev_id,
		size_t arena_size);
int helper_bind(struct helper *h, bool takeover);
int helper_queues(struct helper *h, struct nl *nl, uint64_t mask);
int helper_start(struct helper *h);
void helper_close(struct helper *h);

/*
 * Another data socket of a bound helper, for some of its queues. It shares the
 * rest with h, and may be served by another thread; h is closed after it.
 */
int helper_lane(struct helper *lane, const struct helper *h, uint64_t mask);
void helper_lane_close(struct helper *lane);

/* Takes and carries out what has come; -EAGAIN after the time, or -errno. */
int helper_serve_once(struct helper *h, int timeout_ms);

#define HELPER_MANY_MAX 64

/*
 * The same for several helpers of this thread, of which those that find their
 * session ended are closed. Returns 0 also when other_fd (or -1) has something;
 * -EAGAIN after the time, or -errno.
 */
int helper_serve_many(struct helper *helpers, unsigned int nr, int other_fd,
		      int timeout_ms);

/* Carries out one descriptor on the world's data. */
void helper_do(struct helper *h, const struct torus_desc *desc,
	       struct torus_completion *completion);

/* Sends completions as they are; with ack, returns what the driver said. */
int helper_complete(struct helper *h, struct nl *nl,
		    const struct torus_completion *completions,
		    unsigned int nr, bool ack);

#endif
