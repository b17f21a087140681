/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of maintenance stand on: a simulated cluster of stores, each
 * with its view of the cluster and its maintenance, and a client that puts
 * sealed chunks where it likes.
 */
#ifndef TORUS_TESTS_MAINT_BED_H
#define TORUS_TESTS_MAINT_BED_H

#include <stdbool.h>
#include <stdint.h>

#include "../sim/lib/env_sim.h"
#include "maint/private.h"
#include "meta/schema.h"
#include "peer/peer.h"
#include "store/store.h"

#define MBED_STORES	6u
#define MBED_VOLUME	7ull
#define MBED_ALL		((1u << MBED_STORES) - 1)
#define MBED_LONG	(3600 * NSEC_PER_SEC)

struct mbed_store {
	struct mbed *bed;
	struct sim_node *node;
	struct uuid id;
	struct store *store;		/* NULL: not running */
	struct cluster *cluster;
	struct maint *maint;
	uint64_t size;			/* bytes; 0: what its disk has */
	uint64_t copied_bytes, dropped;	/* of earlier lives */
};

struct mbed {
	uint64_t tail_first;		/* of the volume; 0: none is declared */
	struct sim *sim;
	struct uuid cluster;
	struct mbed_store store[MBED_STORES];
	struct ring_doc ring;
	struct ring *function;		/* of ring.current */
	struct maint_config cfg;
	struct sim_node *client;
	struct peer_set *peers;
	uint64_t sequence, chunks;	/* chunks 1 to this were put */
	uint32_t blocks[4096];		/* of each */
	bool done;
	int err;
};

/* Of cmocka: no store runs, there is no ring; a volume with R = 3. */
int mbed_setup(void **state);
int mbed_teardown(void **state);

/* The volume's document says so many copies. */
void mbed_volume(struct mbed *w, uint32_t replication);
void mbed_forget_volume(struct mbed *w);
/* The next version of a ketama ring of the stores in @mask; those in @drained
 * have weight 0. */
void mbed_ring(struct mbed *w, uint32_t replication, uint32_t mask,
	       uint32_t drained);
/* The document as it is in the metadata store. */
void mbed_read_ring(struct mbed *w, struct ring_doc *doc);
/* A store without maintenance; with mbed_maintain() it has one. */
void mbed_start(struct mbed *w, unsigned int i);
void mbed_maintain(struct mbed *w, unsigned int i);
void mbed_start_all(struct mbed *w, uint32_t mask);
void mbed_stop(struct mbed *w, unsigned int i);

/* Another chunk of so many blocks: appended to the stores in @mask, and sealed
 * there. Returns its number. */
uint64_t mbed_put(struct mbed *w, uint32_t mask, uint32_t blocks);
/* The same, but left open on the stores in @open. */
uint64_t mbed_put_open(struct mbed *w, uint32_t mask, uint32_t open,
		       uint32_t blocks);
/* Sealed at its first record on the stores in @mask; @left has a second one, and
 * is left open. */
uint64_t mbed_put_shorter(struct mbed *w, uint32_t mask, unsigned int left);
/* Somebody with that epoch asks the store for the volume. */
void mbed_fence(struct mbed *w, unsigned int i, uint64_t epoch);
/* So many, each on its owners by the current ring, without @except. */
void mbed_put_many(struct mbed *w, uint32_t count, uint32_t blocks,
		   uint32_t except);

/* The owners of a chunk by the current ring; and who has a sealed copy. */
uint32_t mbed_owners(struct mbed *w, uint64_t chunk, uint32_t except);
uint32_t mbed_holders(struct mbed *w, uint64_t chunk);
bool mbed_has(struct mbed *w, unsigned int i, uint64_t chunk);
uint32_t mbed_copies(struct mbed *w, unsigned int i);
/* Until every maintenance is idle. */
void mbed_settle(struct mbed *w);
bool mbed_is_idle(struct mbed *w);
/* All chunks are on their owners and nowhere else. */
void mbed_check_places(struct mbed *w);
uint64_t mbed_copied_bytes(struct mbed *w);
uint64_t mbed_dropped(struct mbed *w);

#endif
