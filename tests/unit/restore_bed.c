// SPDX-License-Identifier: Apache-2.0
#include "restore_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

void add_record(struct fixture *f, struct source *s, uint32_t payload)
{
	struct made m = make_record(f, payload, 0);

	s->bytes = realloc(s->bytes, (size_t)f->block * BLOCK_SIZE);
	memcpy(s->bytes + (size_t)m.block * BLOCK_SIZE, m.bytes,
	       (size_t)m.blocks * BLOCK_SIZE);
	s->blocks = f->block;
	s->end_crc = m.crc;
	made_free(&m);
}

/* 1 + 3, 1 + 200, 1 + 250, 1 + 0 blocks */
struct source make_source(struct fixture *f, uint64_t epoch)
{
	struct source s = { .epoch = epoch };

	memset(s.token.byte, 7, sizeof(s.token.byte));
	new_chain(f);
	add_record(f, &s, 3);
	add_record(f, &s, 200);
	add_record(f, &s, 250);
	add_record(f, &s, 0);
	return s;
}

void send_piece(struct fixture *f, struct reply *r, const struct source *s,
		uint32_t block, uint32_t blocks)
{
	struct wire_restore body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(s->epoch),
		.length = cpu_to_le32(s->blocks),
		.end_crc = cpu_to_le32(s->end_crc),
		.block = cpu_to_le32(block),
		.blocks = cpu_to_le32(blocks),
		.token = s->token,
	};

	send_request(f, r, WIRE_RESTORE, 0, &body,
		     blocks > 0 ? s->bytes + (size_t)block * BLOCK_SIZE : NULL,
		     blocks * BLOCK_SIZE);
}

uint32_t piece(struct fixture *f, const struct source *s, uint32_t block,
	       uint32_t blocks, struct wire_restore_reply *reply)
{
	struct reply r;

	send_piece(f, &r, s, block, blocks);
	wait_reply(f, &r);
	if (reply != NULL)
		*reply = r.body.restore;
	reply_release(&r);
	return r.hdr.status;
}

/* All of it, 100 blocks at a time; stops at the first that is refused. */
uint32_t restore(struct fixture *f, const struct source *s)
{
	uint32_t block = 0, status = WIRE_OK;
	struct wire_restore_reply reply;

	if (s->blocks == 0)
		return piece(f, s, 0, 0, NULL);
	while (status == WIRE_OK && block < s->blocks) {
		uint32_t blocks = MIN(100u, s->blocks - block);

		status = piece(f, s, block, blocks, &reply);
		block += blocks;
		if (status == WIRE_OK) {
			assert_int_equal(le32_to_cpu(reply.staged), block);
			assert_int_equal(le16_to_cpu(reply.sealed),
					 block == s->blocks);
		}
	}
	return status;
}

struct store_copy copy_now(struct fixture *f)
{
	struct store_copy copy = { .state = WIRE_COPY_NONE };

	store_copy_get(f->store, VOLUME, CHUNK, &copy);
	return copy;
}

void assert_restored(struct fixture *f, const struct source *s)
{
	struct store_copy copy = copy_now(f);
	uint8_t *bytes = malloc((size_t)s->blocks * BLOCK_SIZE);
	uint32_t at, part;

	assert_int_equal(copy.state, WIRE_COPY_SEALED);
	assert_int_equal(copy.epoch, s->epoch);
	assert_int_equal(copy.length, s->blocks);
	assert_int_equal(copy.end_crc, s->end_crc);
	for (at = 0; at < s->blocks; at += part) {
		part = MIN(200u, s->blocks - at);
		assert_int_equal(read_blocks(f, 0, at, part,
					     bytes + (size_t)at * BLOCK_SIZE),
				 WIRE_OK);
	}
	assert_memory_equal(bytes, s->bytes, (size_t)s->blocks * BLOCK_SIZE);
	free(bytes);
}

static void op_done(struct store_copy_op *copy_op, int err)
{
	struct op *op = container_of(copy_op, struct op, op);

	op->done = true;
	op->err = err;
}

int verify(struct fixture *f, struct op *op)
{
	memset(op, 0, sizeof(*op));
	op->op.volume = VOLUME;
	op->op.chunk = CHUNK;
	op->op.done = op_done;
	store_copy_verify(f->store, &op->op);
	assert_false(op->done);
	assert_true(sim_run_until(f->sim, &op->done, 100 * NSEC_PER_SEC));
	return op->err;
}

int peer_setup(void **state)
{
	int err = fixture_setup(state);

	fixture_reconnect(*state, WIRE_ROLE_PEER);
	return err;
}

struct fixture *peer_setup_again(void **state)
{
	fixture_teardown(state);
	assert_int_equal(peer_setup(state), 0);
	return *state;
}

void peer_crash(struct fixture *f)
{
	fixture_crash(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
}

/* Appends the source's records up to @blocks, as a writer does. */
void append_source(struct fixture *f, const struct source *s, uint32_t blocks)
{
	static const uint32_t ends[] = { 4, 205, 456, 457 };
	uint32_t block = 0, i;

	for (i = 0; block < blocks; i++) {
		struct made m = {
			.bytes = s->bytes + (size_t)block * BLOCK_SIZE,
			.block = block, .blocks = ends[i] - block,
			.chunk = CHUNK, .epoch = f->epoch,
		};

		assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
		block = ends[i];
	}
}
