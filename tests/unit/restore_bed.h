/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk of another store, and its way into the store of store_fixture.h. */
#ifndef TORUS_TESTS_RESTORE_BED_H
#define TORUS_TESTS_RESTORE_BED_H

#include "store/maintain.h"
#include "store_fixture.h"

#define CHUNK_FILE "chunks/0000000000000011/000000000005"

/* A chunk as another store has it. */
struct source {
	uint8_t *bytes;			/* from malloc */
	uint32_t blocks, end_crc;
	uint64_t epoch;
	struct uuid token;
};

/** peer_setup() - as fixture_setup(), in the role of a peer. */
int peer_setup(void **state);

/** peer_setup_again() - in the place of the one there is, which goes. */
struct fixture *peer_setup_again(void **state);

/** peer_crash() - power loss; the store is open and connected again. */
void peer_crash(struct fixture *f);

/** make_source() - records that end at blocks 4, 205, 456 and 457. */
struct source make_source(struct fixture *f, uint64_t epoch);

/** add_record() - one more. */
void add_record(struct fixture *f, struct source *s, uint32_t payload);

/** append_source() - its records up to @blocks, as a writer appends them. */
void append_source(struct fixture *f, const struct source *s, uint32_t blocks);

void send_piece(struct fixture *f, struct reply *r, const struct source *s,
		uint32_t block, uint32_t blocks);
uint32_t piece(struct fixture *f, const struct source *s, uint32_t block,
	       uint32_t blocks, struct wire_restore_reply *reply);

/** restore() - all of it, 100 blocks at a time; stops at the first piece that
 * is refused. */
uint32_t restore(struct fixture *f, const struct source *s);

struct store_copy copy_now(struct fixture *f);

/** assert_restored() - the store has it, sealed, byte for byte. */
void assert_restored(struct fixture *f, const struct source *s);

struct op {
	struct store_copy_op op;
	bool done;
	int err;
};

/** verify() - store_copy_verify() of the chunk; its error. */
int verify(struct fixture *f, struct op *op);

#endif
