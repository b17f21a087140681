// SPDX-License-Identifier: Apache-2.0
/* RESTORE: what comes in, and what gives way to it. */
#include "restore_bed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "store/private.h"

static uint64_t used(struct fixture *f)
{
	struct store_stats stats;

	store_stats(f->store, &stats);
	return stats.used;
}

/* Chunks' bytes, without the journal. */
static uint64_t used_again(struct fixture *f)
{
	fixture_close(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	return used(f);
}

/* ---- a copy where there is none ---------------------------------------------- */

static void test_restored_copy_is_sealed_and_durable(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct wire_restore_reply reply;
	uint64_t bytes = used(f);

	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_true(used(f) >= bytes + (uint64_t)s.blocks * BLOCK_SIZE);
	peer_crash(f);
	assert_restored(f, &s);
	/* Its last piece again, since the answer was lost. */
	assert_int_equal(piece(f, &s, s.blocks - 1, 1, &reply), WIRE_ESEALED);
	assert_int_equal(le64_to_cpu(reply.epoch), 1);
	assert_int_equal(le16_to_cpu(reply.sealed), 1);
	free(s.bytes);
}

static void test_empty_chunk_is_sealed_without_a_file(void **state)
{
	struct fixture *f = *state;
	struct source s = { .epoch = 2 };

	assert_int_equal(restore(f, &s), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(copy_now(f).state, WIRE_COPY_SEALED);
	assert_int_equal(copy_now(f).length, 0);
	assert_int_equal(copy_now(f).epoch, 2);
}

static void test_restore_is_for_maintenance_and_well_formed(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), wrong = s;

	fixture_reconnect(f, WIRE_ROLE_VOLUME);
	assert_int_equal(restore(f, &s), WIRE_EINVAL);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(piece(f, &s, 0, 0, NULL), WIRE_EINVAL);
	wrong.epoch = 0;
	assert_int_equal(piece(f, &wrong, 0, 1, NULL), WIRE_EINVAL);
	wrong = s;
	wrong.blocks = CHUNK_BLOCKS_MAX + 1;
	assert_int_equal(piece(f, &wrong, 0, 1, NULL), WIRE_EINVAL);
	wrong.blocks = 10;
	assert_int_equal(piece(f, &wrong, 9, 2, NULL), WIRE_EINVAL);
	wrong.blocks = 0;
	assert_int_equal(piece(f, &wrong, 0, 0, NULL), WIRE_EINVAL);
	assert_int_equal(copy_now(f).state, WIRE_COPY_NONE);
	free(s.bytes);
}

static void test_pieces_come_in_order_from_one_sender(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), other = s;
	struct wire_restore_reply reply;

	memset(other.token.byte, 8, sizeof(other.token.byte));
	assert_int_equal(piece(f, &s, 10, 10, &reply), WIRE_EOFFSET);
	assert_int_equal(le32_to_cpu(reply.staged), 0);
	assert_int_equal(piece(f, &s, 0, 10, NULL), WIRE_OK);
	assert_int_equal(piece(f, &s, 20, 10, &reply), WIRE_EOFFSET);
	assert_int_equal(le32_to_cpu(reply.staged), 10);
	assert_int_equal(piece(f, &other, 10, 10, NULL), WIRE_EBUSY);
	assert_int_equal(piece(f, &other, 0, 10, NULL), WIRE_EBUSY);
	/* The sender begins anew. */
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

static void test_pieces_may_follow_each_other_closely(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct reply r[9];
	uint32_t i, refused = 0;

	send_piece(f, &r[0], &s, 0, 100);
	send_piece(f, &r[1], &s, 100, 100);
	send_piece(f, &r[2], &s, 200, 200);
	send_piece(f, &r[3], &s, 400, 57);
	for (i = 0; i < 4; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
	assert_restored(f, &s);
	free(s.bytes);
	/* Not in order, and too many; a damaged end is the end of all. */
	s = make_source(f, 2);
	s.bytes[456 * BLOCK_SIZE] ^= 1;
	send_piece(f, &r[0], &s, 0, 100);
	send_piece(f, &r[1], &s, 200, 200);
	send_piece(f, &r[2], &s, 100, 100);
	for (i = 0; i < 3; i++) {
		assert_int_equal(wait_reply(f, &r[i]), i == 1 ? WIRE_EOFFSET :
								WIRE_OK);
		reply_release(&r[i]);
	}
	for (i = 0; i < 9; i++)
		send_piece(f, &r[i], &s, i == 0 ? 200 : 400, i == 0 ? 200 : 57);
	for (i = 0; i < 9; i++) {
		wait_reply(f, &r[i]);
		refused += r[i].hdr.status == WIRE_EBUSY;
		if (i == 0)
			assert_int_equal(r[i].hdr.status, WIRE_OK);
		else if (r[i].hdr.status != WIRE_EBUSY)
			assert_int_equal(r[i].hdr.status, WIRE_EBADCRC);
		reply_release(&r[i]);
	}
	assert_true(refused >= 4 && refused < 8);
	free(s.bytes);
}

static void test_abandoned_transfer_makes_room_for_the_next(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), other = s;
	uint64_t bytes = used(f);

	memset(other.token.byte, 8, sizeof(other.token.byte));
	assert_int_equal(piece(f, &s, 0, 10, NULL), WIRE_OK);
	assert_true(used(f) >= bytes + (uint64_t)s.blocks * BLOCK_SIZE);
	sim_run(f->sim, 59 * NSEC_PER_SEC);
	assert_int_not_equal(used(f), bytes);
	sim_run(f->sim, 3 * NSEC_PER_SEC);
	assert_int_equal(used(f), bytes);
	assert_int_equal(piece(f, &s, 10, 10, NULL), WIRE_EOFFSET);
	assert_int_equal(restore(f, &other), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

/* Its sender has found its own copy bad, and who has a good one is there. */
static void test_stalled_transfer_gives_way_to_another_sender(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), other = s;

	memset(other.token.byte, 8, sizeof(other.token.byte));
	assert_int_equal(piece(f, &s, 0, 10, NULL), WIRE_OK);
	assert_int_equal(piece(f, &other, 0, 10, NULL), WIRE_EBUSY);
	sim_run(f->sim, 6 * NSEC_PER_SEC);
	assert_int_equal(piece(f, &other, 10, 10, NULL), WIRE_EBUSY);
	assert_int_equal(piece(f, &other, 0, 10, NULL), WIRE_OK);
	assert_int_equal(piece(f, &s, 10, 10, NULL), WIRE_EBUSY);
	free(s.bytes);
}

static void test_leftovers_are_removed_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	const char *path = CHUNK_FILE ".restore-0";
	uint8_t byte;

	assert_int_equal(piece(f, &s, 0, 10, NULL), WIRE_OK);
	assert_int_equal(sim_disk_peek(f->node, path, 0, &byte, 1, false), 1);
	fixture_kill(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(sim_disk_peek(f->node, path, 0, &byte, 1, false),
			 -ENOENT);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

/* The first record says that it is of another chunk. */
static void move_to_chunk(struct source *s, uint64_t chunk)
{
	struct record *r = record_new();

	assert_int_equal(record_decode(s->bytes, BLOCK_SIZE, r), 0);
	r->chunk = chunk;
	record_encode(r, s->bytes);
	record_free(r);
}

static void test_only_so_many_transfers_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct wire_restore body = {
		.volume = cpu_to_le64(VOLUME),
		.epoch = cpu_to_le64(1),
		.length = cpu_to_le32(s.blocks),
		.end_crc = cpu_to_le32(s.end_crc),
		.blocks = cpu_to_le32(1),
	};
	struct reply r;
	uint32_t i;

	for (i = 0; i < 9; i++) {
		body.chunk = cpu_to_le64(100 + i);
		move_to_chunk(&s, 100 + i);
		send_request(f, &r, WIRE_RESTORE, 0, &body, s.bytes,
			     BLOCK_SIZE);
		assert_int_equal(wait_reply(f, &r), i < 8 ? WIRE_OK :
							    WIRE_EBUSY);
		reply_release(&r);
	}
	free(s.bytes);
}

static void test_answers_tell_whether_clients_are_there(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct wire_restore_reply reply;

	append_source(f, &s, 4);
	assert_int_equal(piece(f, &s, 0, 100, &reply), WIRE_OK);
	assert_int_equal(le16_to_cpu(reply.clients), 0);
	fixture_reconnect(f, WIRE_ROLE_VOLUME);
	append_source(f, &s, 456);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(piece(f, &s, 100, 100, &reply), WIRE_OK);
	assert_int_equal(le16_to_cpu(reply.clients), 1);
	sim_run(f->sim, 3 * NSEC_PER_SEC);
	assert_int_equal(piece(f, &s, 200, 100, &reply), WIRE_OK);
	assert_int_equal(le16_to_cpu(reply.clients), 0);
	free(s.bytes);
}

/* ---- what is not the chain --------------------------------------------------- */

static void test_damaged_transfer_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint64_t bytes = used(f);

	/* A payload byte, a header byte, the end. */
	s.bytes[300 * BLOCK_SIZE + 17] ^= 1;
	assert_int_equal(restore(f, &s), WIRE_EBADCRC);
	s.bytes[300 * BLOCK_SIZE + 17] ^= 1;
	s.bytes[4 * BLOCK_SIZE + 20] ^= 1;
	assert_int_equal(restore(f, &s), WIRE_EBADCRC);
	s.bytes[4 * BLOCK_SIZE + 20] ^= 1;
	s.end_crc ^= 1;
	assert_int_equal(restore(f, &s), WIRE_EBADCRC);
	s.end_crc ^= 1;
	s.blocks--;
	assert_int_equal(restore(f, &s), WIRE_EBADCRC);
	s.blocks++;
	assert_int_equal(used(f), bytes);
	assert_int_equal(copy_now(f).state, WIRE_COPY_NONE);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

/* Not only when all of it has come, and been written. */
static void test_damaged_piece_is_refused_when_it_comes(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);

	s.bytes[150 * BLOCK_SIZE + 17] ^= 1;
	assert_int_equal(piece(f, &s, 0, 100, NULL), WIRE_OK);
	assert_int_equal(piece(f, &s, 100, 100, NULL), WIRE_EBADCRC);
	assert_int_equal(piece(f, &s, 200, 100, NULL), WIRE_EOFFSET);
	free(s.bytes);
}

/* Headers and payload are cut wherever a piece ends. */
static void test_pieces_may_have_any_size(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint32_t block, size, blocks;

	for (size = 1; size <= 8; size++) {
		s.epoch = size;
		for (block = 0; block < s.blocks; block += blocks) {
			blocks = MIN(block == 0 ? size : 2 * size + 1,
				     s.blocks - block);
			assert_int_equal(piece(f, &s, block, blocks, NULL),
					 WIRE_OK);
		}
		assert_restored(f, &s);
	}
	free(s.bytes);
}

static void test_full_store_takes_no_copy(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);

	fixture_close(f);
	f->cfg.size = 465 * BLOCK_SIZE;
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(restore(f, &s), WIRE_ENOSPC);
	free(s.bytes);
}

/* ---- over another copy ------------------------------------------------------- */

static void test_bad_copy_is_replaced_for_good(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint64_t bytes, before;
	struct op op;

	assert_int_equal(restore(f, &s), WIRE_OK);
	bytes = used_again(f);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE,
				       300 * BLOCK_SIZE + 9), 0);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	peer_crash(f);
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	before = used(f);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_in_range(used(f), before, before + 64 * 1024); /* journal */
	assert_int_equal(verify(f, &op), 0);
	peer_crash(f);
	assert_restored(f, &s);
	assert_int_equal(verify(f, &op), 0);
	assert_in_range(used_again(f), bytes, bytes + 64 * 1024);
	free(s.bytes);
}

/* Two copies for a moment, of which one gives its space back: no new data. */
static void test_bad_copy_is_replaced_in_a_full_store(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct op op;

	assert_int_equal(restore(f, &s), WIRE_OK);
	f->cfg.size = used_again(f) + (uint64_t)(s.blocks + 32) * BLOCK_SIZE;
	fixture_close(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_false(store_space_check(f->store, (uint64_t)s.blocks * BLOCK_SIZE,
				       STORE_SPACE_USER));
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE, 9), 0);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

/* The writer's SEAL and a recoverer's, of the same bytes. */
static void test_bad_copy_is_replaced_by_what_an_earlier_epoch_sealed(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), later = s;
	struct op op;

	later.epoch = s.epoch + 3;
	assert_int_equal(restore(f, &later), WIRE_OK);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE, 9), 0);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_int_equal(verify(f, &op), 0);
	assert_int_equal(copy_now(f).epoch, later.epoch);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(copy_now(f).state, WIRE_COPY_SEALED);
	assert_int_equal(copy_now(f).epoch, later.epoch);
	free(s.bytes);
}

static void test_journal_compaction_keeps_what_restore_said(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct op op;

	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE, 9), 0);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	assert_int_equal(restore(f, &s), WIRE_OK);
	/* Bad once more, after it was restored: the last word counts. */
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE, 9), 0);
	assert_int_equal(verify(f, &op), -EUCLEAN);
	peer_crash(f);
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	free(s.bytes);
}

static void test_open_copy_is_completed(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct made late;
	uint64_t before;

	append_source(f, &s, 205);
	before = used(f);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	assert_in_range(used(f), before + (457 - 205) * BLOCK_SIZE,
			before + (457 - 205) * BLOCK_SIZE + 64 * 1024);
	/* The writer that still appends to it is refused. */
	late = make_record(f, 1, 0);
	assert_int_equal(append(f, &late, 0, NULL), WIRE_ESEALED);
	fixture_crash(f);
	fixture_reopen(f);
	assert_restored(f, &s);
	made_free(&late);
	free(s.bytes);
}

static void test_appends_in_flight_are_waited_for(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct made m = { .bytes = s.bytes, .blocks = 4, .chunk = CHUNK,
			  .epoch = 1 };
	struct reply a, b;

	assert_int_equal(piece(f, &s, 0, 250, NULL), WIRE_OK);
	sim_delays(f->sim)->disk_min = 100 * NSEC_PER_MSEC;
	sim_delays(f->sim)->disk_max = 900 * NSEC_PER_MSEC;
	send_piece(f, &b, &s, 250, 207);
	sim_run(f->sim, 2 * NSEC_PER_SEC);
	send_append(f, &a, &m, 0);
	wait_reply(f, &a);
	/* Before, while, or after the copy was put in its place. */
	assert_true(a.hdr.status == WIRE_OK || a.hdr.status == WIRE_EBUSY ||
		    a.hdr.status == WIRE_ESEALED);
	assert_int_equal(wait_reply(f, &b), WIRE_OK);
	reply_release(&a);
	reply_release(&b);
	assert_restored(f, &s);
	free(s.bytes);
}

/* A later writer may count on what is here; its SEAL has not come yet. */
static void test_open_copy_of_a_later_epoch_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), shorter = s;
	struct made m;
	struct reply r;

	append_source(f, &s, 457);
	m = make_record(f, 2, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(scan(f, 2, &r), WIRE_OK);
	reply_release(&r);
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	assert_int_equal(copy_now(f).length, 460);
	/* Who asked before the start is not known. */
	fixture_kill(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	/* What has all of it may come, and what the later writer has sealed. */
	add_record(f, &s, 1);
	s.bytes = realloc(s.bytes, 462 * BLOCK_SIZE);
	memcpy(s.bytes + 457 * BLOCK_SIZE, m.bytes, 3 * BLOCK_SIZE);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	shorter.bytes = s.bytes;
	shorter.epoch = 2;
	assert_int_equal(restore(f, &shorter), WIRE_OK);
	assert_restored(f, &shorter);
	assert_int_equal(restore(f, &s), WIRE_ESEALED);
	made_free(&m);
	free(s.bytes);
}

static void count_unsettled(void *ctx, uint64_t volume, uint64_t chunk)
{
	assert_int_equal(volume, VOLUME);
	assert_int_equal(chunk, CHUNK);
	++*(unsigned int *)ctx;
}

static bool settle(struct fixture *f, uint32_t blocks)
{
	return store_copy_settle(f->store, VOLUME, CHUNK, blocks, 0, 2);
}

/* It missed the SEAL, and epoch 2 has asked for it; then 457 of its blocks are
 * all that a published root counts on. */
static void test_open_copy_that_is_settled_gives_way(void **state)
{
	static const struct store_events events = {
		.unsettled = count_unsettled,
	};
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	unsigned int told = 0;
	struct made m;
	struct reply r;

	append_source(f, &s, 457);
	m = make_record(f, 2, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(scan(f, 2, &r), WIRE_OK);
	reply_release(&r);
	store_set_events(f->store, &events, &told);
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	assert_int_equal(told, 1);
	/* Not to a copy that has less than what counts. */
	assert_true(settle(f, 458));
	assert_int_equal(copy_now(f).settled, 458);
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	/* To be learned again after a start. */
	store_set_events(f->store, NULL, NULL);
	fixture_kill(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(copy_now(f).settled, 0);
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	assert_true(settle(f, 457));
	assert_false(settle(f, 457));
	/* And when a later epoch comes. */
	assert_int_equal(fence(f, 3, NULL), WIRE_OK);
	assert_int_equal(copy_now(f).settled, 0);
	assert_false(settle(f, 457));
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	assert_true(store_copy_settle(f->store, VOLUME, CHUNK, 457, 0, 3));
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	assert_false(settle(f, 500));
	assert_false(store_copy_settle(f->store, VOLUME, CHUNK + 1, 1, 0, 2));
	assert_false(store_copy_settle(f->store, VOLUME + 1, CHUNK, 1, 0, 2));
	made_free(&m);
	free(s.bytes);
}

/* Epoch 2 has fenced the volume, but does not care for this old chunk. */
static void test_open_copy_that_nobody_counts_on_gives_way(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	struct made m;

	append_source(f, &s, 457);
	m = make_record(f, 2, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(restore(f, &s), WIRE_OK);
	assert_restored(f, &s);
	made_free(&m);
	free(s.bytes);
}

static void test_another_chain_does_not_replace_a_later_open_copy(void **state)
{
	struct fixture *f = *state;
	struct source s, mine = make_source(f, 1);

	append_source(f, &mine, 205);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(sync_chunk(f, 2, 205), WIRE_OK);
	s = make_source(f, 1);		/* its sequences are others */
	assert_int_equal(restore(f, &s), WIRE_ECONFLICT);
	assert_int_equal(copy_now(f).length, 205);
	assert_int_equal(restore(f, &mine), WIRE_OK);
	assert_restored(f, &mine);
	free(s.bytes);
	free(mine.bytes);
}

static void deleted_volume(void *ctx, int err)
{
	assert_int_equal(err, 0);
	*(bool *)ctx = true;
}

static void test_deleted_volumes_are_not_restored(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	bool done = false;
	uint64_t bytes = used(f);

	assert_int_equal(piece(f, &s, 0, 10, NULL), WIRE_OK);
	store_delete_volume(f->store, VOLUME, deleted_volume, &done);
	assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
	assert_in_range(used(f), bytes, bytes + 64 * 1024);
	assert_int_equal(piece(f, &s, 10, 10, NULL), WIRE_EFENCED);
	assert_int_equal(restore(f, &s), WIRE_EFENCED);
	assert_int_equal(copy_now(f).state, WIRE_COPY_NONE);
	free(s.bytes);
}

static void test_volume_deleted_while_a_copy_takes_its_place(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	bool done = false;
	struct reply r;
	uint32_t i;

	for (i = 0; i < 40; i++) {
		f = peer_setup_again(state);
		done = false;
		assert_int_equal(piece(f, &s, 0, 250, NULL), WIRE_OK);
		send_piece(f, &r, &s, 250, 207);
		sim_run(f->sim, i * NSEC_PER_MSEC);
		store_delete_volume(f->store, VOLUME, deleted_volume, &done);
		assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
		wait_reply(f, &r);
		reply_release(&r);
		assert_true(r.hdr.status == WIRE_OK ||
			    r.hdr.status == WIRE_EFENCED);
		assert_int_equal(copy_now(f).state, WIRE_COPY_NONE);
	}
	free(s.bytes);
}

int main(void)
{
#define RESTORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, peer_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		RESTORE_TEST(test_restored_copy_is_sealed_and_durable),
		RESTORE_TEST(test_empty_chunk_is_sealed_without_a_file),
		RESTORE_TEST(test_restore_is_for_maintenance_and_well_formed),
		RESTORE_TEST(test_pieces_come_in_order_from_one_sender),
		RESTORE_TEST(test_abandoned_transfer_makes_room_for_the_next),
		RESTORE_TEST(test_stalled_transfer_gives_way_to_another_sender),
		RESTORE_TEST(test_leftovers_are_removed_at_the_next_start),
		RESTORE_TEST(test_only_so_many_transfers_at_a_time),
		RESTORE_TEST(test_answers_tell_whether_clients_are_there),
		RESTORE_TEST(test_damaged_transfer_leaves_nothing),
		RESTORE_TEST(test_damaged_piece_is_refused_when_it_comes),
		RESTORE_TEST(test_pieces_may_have_any_size),
		RESTORE_TEST(test_full_store_takes_no_copy),
		RESTORE_TEST(test_bad_copy_is_replaced_for_good),
		RESTORE_TEST(test_bad_copy_is_replaced_in_a_full_store),
		RESTORE_TEST(test_bad_copy_is_replaced_by_what_an_earlier_epoch_sealed),
		RESTORE_TEST(test_journal_compaction_keeps_what_restore_said),
		RESTORE_TEST(test_open_copy_is_completed),
		RESTORE_TEST(test_appends_in_flight_are_waited_for),
		RESTORE_TEST(test_open_copy_of_a_later_epoch_is_not_lost),
		RESTORE_TEST(test_open_copy_that_nobody_counts_on_gives_way),
		RESTORE_TEST(test_open_copy_that_is_settled_gives_way),
		RESTORE_TEST(test_pieces_may_follow_each_other_closely),
		RESTORE_TEST(test_another_chain_does_not_replace_a_later_open_copy),
		RESTORE_TEST(test_deleted_volumes_are_not_restored),
		RESTORE_TEST(test_volume_deleted_while_a_copy_takes_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
