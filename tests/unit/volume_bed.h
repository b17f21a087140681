/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the volume engine stand on: a simulated cluster with one
 * volume, a host that attaches it, and a model of its blocks. */
#ifndef TORUS_TESTS_VOLUME_BED_H
#define TORUS_TESTS_VOLUME_BED_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/schema.h"
#include "store/store.h"
#include "volume/volume.h"
#include "../sim/lib/env_sim.h"

#define STORES	4
#define BLOCKS	2048u
#define MIB	(1u << 20)
#define LONG	(600 * NSEC_PER_SEC)

struct bed {
	struct sim *sim;
	struct uuid cluster, ids[STORES];
	struct sim_node *node[STORES];
	struct store *store[STORES];
	unsigned int members;		/* of the ring */
	uint64_t store_size;		/* 0 = what the disk has */
	struct sim_node *host, *other;
	struct volume *volume;
	struct volume_config cfg;
	uint8_t *data;			/* MIB of it, to write from, read to */
	uint8_t model[BLOCKS];
	bool flag, failed, serving;
	bool attached;			/* the last attach is over; see err */
	int err;
	enum volume_failure why;
	unsigned int open;		/* requests */
};

struct bed_io {
	struct volume_request req;
	struct bed *bed;
	bool over;
	int err;
};

/* Encoded text into the metadata store; frees it. */
void bed_put(struct bed *w, const char *key, char *text);
/* A ring of the first @members stores; versions above 1 keep the previous. */
void bed_put_ring(struct bed *w, uint64_t version, unsigned int members);
/* The current ring. */
void bed_ring_spec(struct bed *w, struct ring_spec *spec);
void bed_get_volume(struct bed *w, struct volume_doc *doc);
void bed_wait_flag(struct bed *w);
void bed_start_store(struct bed *w, unsigned int i);
void bed_stop_store(struct bed *w, unsigned int i, bool power);
/* Of cmocka: four stores, three of them in the ring, a fresh volume. */
int bed_setup(void **state);
int bed_teardown(void **state);
/* Attach on @node with bed->cfg, of a new incarnation unless the device is a
 * surviving one; on_done sets flag and err. */
struct volume *bed_start_attach(struct bed *w, struct sim_node *node);
int bed_attach_on(struct bed *w, struct sim_node *node);
void bed_attach(struct bed *w);
int bed_detach(struct bed *w);
/* The host dies, and the other one takes over by force. */
void bed_take_over(struct bed *w);
/* Submit with bed->data as the buffer. */
void bed_io_start(struct bed *w, struct bed_io *io, enum volume_op op,
		  uint64_t offset, uint64_t length, bool fua);
/* Submit and wait; returns the error. */
int bed_io_run(struct bed *w, enum volume_op op, uint64_t offset,
	       uint64_t length, bool fua);
/* Write @value all over some blocks, and into the model if it succeeds. */
int bed_write_blocks(struct bed *w, uint32_t first, uint32_t count,
		     uint8_t value, bool fua);
int bed_flush(struct bed *w);
void bed_write_random(struct bed *w, unsigned int writes);
/* Read the whole volume and compare it with the model. */
void bed_verify(struct bed *w);
struct volume_stats bed_stats(struct bed *w);
/* The newest chunk file of a store that has a block which is all @value, and
 * where; bed_rot_block() flips a bit there. False: it has none. */
#define BED_PATH_MAX 48
bool bed_find_block(struct bed *w, unsigned int store, uint8_t value,
		    char *path, uint64_t *offset);
bool bed_rot_block(struct bed *w, unsigned int store, uint8_t value);

#endif
