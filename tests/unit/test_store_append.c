// SPDX-License-Identifier: Apache-2.0
/* APPEND and READ: what is accepted, what is answered, and in which order. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_append_then_read_gives_the_bytes(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 256, 0);
	uint8_t *out = malloc((size_t)m.blocks * BLOCK_SIZE);
	uint32_t length;

	assert_int_equal(append(f, &m, 0, &length), WIRE_OK);
	assert_int_equal(length, m.blocks);
	assert_int_equal(read_blocks(f, 1, 0, m.blocks, out), WIRE_OK);
	assert_memory_equal(out, m.bytes, (size_t)m.blocks * BLOCK_SIZE);
	free(out);
	made_free(&m);
}

static void test_same_record_again_is_ok(void **state)
{
	struct fixture *f = *state;
	struct made first = make_record(f, 3, 0), second;
	uint32_t length;

	assert_int_equal(append(f, &first, 0, NULL), WIRE_OK);
	second = make_record(f, 40, 0);
	assert_int_equal(append(f, &second, 0, NULL), WIRE_OK);
	assert_int_equal(append(f, &first, 0, &length), WIRE_OK);
	assert_int_equal(length, f->block);
	assert_int_equal(append(f, &second, WIRE_DURABLE, NULL), WIRE_OK);
	made_free(&first);
	made_free(&second);
}

static void test_retry_waits_for_the_first_that_is_in_flight(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 8, 0);
	struct reply a, b;

	send_append(f, &a, &m, 0);
	send_append(f, &b, &m, 0);
	assert_int_equal(wait_reply(f, &b), WIRE_OK);
	assert_true(a.done);
	assert_int_equal(a.hdr.status, WIRE_OK);
	assert_int_equal(le32_to_cpu(b.body.append.length), m.blocks);
	reply_release(&a);
	reply_release(&b);
	made_free(&m);
}

static void test_other_record_inside_is_refused_with_the_length(void **state)
{
	struct fixture *f = *state;
	struct made other;
	uint32_t length;

	append_new(f, 3);
	new_chain(f);
	other = make_record(f, 5, 0);
	assert_int_equal(append(f, &other, 0, &length), WIRE_EOFFSET);
	assert_int_equal(length, 4);
	made_free(&other);
}

static void test_record_behind_the_end_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made skipped, m;
	uint32_t length;

	append_new(f, 3);
	skipped = make_record(f, 1, 0);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, &length), WIRE_EOFFSET);
	assert_int_equal(length, 4);
	made_free(&skipped);
	made_free(&m);
}

static void test_broken_chain_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made m;

	append_new(f, 3);
	f->prev_crc ^= 1;
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ECHAIN);
	made_free(&m);
}

static void test_skipped_sequence_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made m;

	append_new(f, 3);
	f->sequence++;
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ECHAIN);
	made_free(&m);
}

static void test_nothing_follows_the_last_record(void **state)
{
	struct fixture *f = *state;
	struct made last = make_record(f, 1, RECORD_LAST), m;

	assert_int_equal(append(f, &last, 0, NULL), WIRE_OK);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ECHAIN);
	made_free(&last);
	made_free(&m);
}

static void test_damaged_payload_is_refused_and_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 70, 0);

	m.bytes[(size_t)69 * BLOCK_SIZE + 5] ^= 1;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EBADCRC);
	assert_int_equal(stat_chunk(f, CHUNK, 1, NULL), WIRE_ENOCHUNK);
	made_free(&m);
}

static void test_damaged_header_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 1, 0);

	m.bytes[100] ^= 1;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EBADCRC);
	made_free(&m);
}

static void test_header_that_differs_from_the_message_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 1, 0);

	m.chunk = CHUNK + 1;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EINVAL);
	m.chunk = CHUNK;
	m.block = 1;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EINVAL);
	made_free(&m);
}

static void test_record_of_a_later_epoch_than_its_sender_is_refused(void **state)
{
	struct fixture *f = *state;
	struct made m;

	f->epoch = 4;
	m = make_record(f, 1, 0);
	m.epoch = 3;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EINVAL);
	made_free(&m);
}

static void test_pipelined_appends_are_answered_in_order(void **state)
{
	struct fixture *f = *state;
	struct reply r[32];
	struct made m[32];
	uint32_t i, before = 0;

	sim_delays(f->sim)->disk_min = 1000;
	sim_delays(f->sim)->disk_max = 50 * NSEC_PER_MSEC;
	for (i = 0; i < 32; i++) {
		m[i] = make_record(f, 1 + i % 5, 0);
		send_append(f, &r[i], &m[i], 0);
	}
	for (i = 0; i < 32; i++) {
		uint32_t length;

		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		length = le32_to_cpu(r[i].body.append.length);
		assert_true(length >= m[i].block + m[i].blocks);
		assert_true(length >= before);
		before = length;
		reply_release(&r[i]);
		made_free(&m[i]);
	}
}

static void test_failed_write_fails_what_follows_and_can_be_repeated(void **state)
{
	struct fixture *f = *state;
	struct made m[4];
	struct reply r[4];
	uint32_t i, length;

	append_new(f, 2);
	sim_node_disk_faults(f->node)->write_eio = 1;
	for (i = 0; i < 4; i++) {
		m[i] = make_record(f, 2, 0);
		send_append(f, &r[i], &m[i], 0);
	}
	for (i = 0; i < 4; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_EIO);
		assert_int_equal(le32_to_cpu(r[i].body.append.length), 3);
		reply_release(&r[i]);
	}
	sim_node_disk_faults(f->node)->write_eio = 0;
	for (i = 0; i < 4; i++) {
		assert_int_equal(append(f, &m[i], 0, &length), WIRE_OK);
		assert_int_equal(length, m[i].block + m[i].blocks);
		made_free(&m[i]);
	}
}

static void count_move(void *ctx)
{
	(*(unsigned int *)ctx)++;
}

static void test_space_in_use_is_told_in_steps(void **state)
{
	struct fixture *f = *state;
	unsigned int moves = 0, i;

	fixture_disconnect(f);
	fixture_close(f);
	f->cfg.space_moved = count_move;
	f->cfg.ctx = &moves;
	assert_int_equal(fixture_open(f), 0);
	fixture_connect(f);
	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	assert_int_equal(moves, 0);
	for (i = 0; i < 100; i++)
		append_new(f, 1);	/* 800 KiB with the headers */
	assert_int_equal(moves, 0);
	for (i = 0; i < 8; i++)
		append_new(f, 255);	/* and 8 MiB */
	assert_in_range(moves, 7, 8);
}

static void test_full_store_refuses_user_data_but_takes_a_trim(void **state)
{
	struct fixture *f = *state;
	struct made m;
	uint32_t status = WIRE_OK, rounds = 0;
	struct store_stats stats;

	/* The file system of the host has 1 GiB, the store may use 64 MiB. */
	fixture_disconnect(f);
	fixture_close(f);
	f->cfg.size = 64 << 20;
	assert_int_equal(fixture_open(f), 0);
	fixture_connect(f);
	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	while (status == WIRE_OK && rounds++ < 100) {
		m = make_record(f, 256, 0);
		status = append(f, &m, 0, NULL);
		made_free(&m);
		if (status != WIRE_OK)
			break;
	}
	assert_int_equal(status, WIRE_ENOSPC);
	store_stats(f->store, &stats);
	/* Two chunks of 1 MiB are more than 2 % of it. */
	assert_true(stats.used + (2 << 20) <= stats.size);
	assert_true(stats.used + (4 << 20) > stats.size);
	/* The refused record was never part of the chain: go back before it. */
	f->sequence--;
	f->block = m.block;
	new_chain(f);
	f->block = m.block;
	{
		struct wire_chunk_reply chunk;

		assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
		f->prev_crc = le32_to_cpu(chunk.end_crc);
		assert_int_equal(le32_to_cpu(chunk.length), m.block);
	}
	m = make_record(f, 0, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	made_free(&m);
}

static void test_full_disk_is_said_before_the_record_counts(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 256, 0);
	struct wire_chunk_reply chunk;

	sim_node_disk_faults(f->node)->capacity = 1 << 16;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ENOSPC);
	assert_true(stat_chunk(f, CHUNK, 1, &chunk) == WIRE_ENOCHUNK ||
		    chunk.length == 0);
	made_free(&m);
}

static void test_read_beyond_the_length_is_refused(void **state)
{
	struct fixture *f = *state;

	append_new(f, 3);
	assert_int_equal(read_blocks(f, 1, 3, 2, NULL), WIRE_EOFFSET);
	assert_int_equal(read_blocks(f, 1, 4, 1, NULL), WIRE_EOFFSET);
	assert_int_equal(read_blocks(f, 1, 0, 0, NULL), WIRE_EINVAL);
	assert_int_equal(read_blocks(f, 1, 0, 261, NULL), WIRE_EINVAL);
	assert_int_equal(read_blocks(f, 1, ~0u, 2, NULL), WIRE_EINVAL);
}

static void test_many_reads_share_a_small_pool(void **state)
{
	struct fixture *f = *state;
	struct wire_read body = {
		.volume = cpu_to_le64(VOLUME), .chunk = cpu_to_le64(CHUNK),
		.attached = cpu_to_le64(VOLUME), .epoch = cpu_to_le64(1),
		.blocks = cpu_to_le32(257),
	};
	struct reply r[20];
	int i;

	append_new(f, 256);
	for (i = 0; i < 20; i++)
		send_request(f, &r[i], WIRE_READ, 0, &body, NULL, 0);
	for (i = 0; i < 20; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
}

static void test_many_appends_share_a_small_pool(void **state)
{
	struct fixture *f = *state;
	struct reply r[20];
	int i;

	for (i = 0; i < 20; i++) {
		struct made m = make_record(f, 256, 0);

		send_append(f, &r[i], &m, 0);
		made_free(&m);
	}
	for (i = 0; i < 20; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
}

static void test_lost_connection_does_not_stop_the_write(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 100, 0);
	struct reply r;
	uint32_t length;

	send_append(f, &r, &m, 0);
	sim_run(f->sim, 300000);
	fixture_connect(f);
	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	assert_int_equal(append(f, &m, 0, &length), WIRE_OK);
	assert_int_equal(length, m.blocks);
	made_free(&m);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_append_then_read_gives_the_bytes),
		TEST(test_same_record_again_is_ok),
		TEST(test_retry_waits_for_the_first_that_is_in_flight),
		TEST(test_other_record_inside_is_refused_with_the_length),
		TEST(test_record_behind_the_end_is_refused),
		TEST(test_broken_chain_is_refused),
		TEST(test_skipped_sequence_is_refused),
		TEST(test_nothing_follows_the_last_record),
		TEST(test_damaged_payload_is_refused_and_leaves_no_trace),
		TEST(test_damaged_header_is_refused),
		TEST(test_space_in_use_is_told_in_steps),
		TEST(test_header_that_differs_from_the_message_is_refused),
		TEST(test_record_of_a_later_epoch_than_its_sender_is_refused),
		TEST(test_pipelined_appends_are_answered_in_order),
		TEST(test_failed_write_fails_what_follows_and_can_be_repeated),
		TEST(test_full_store_refuses_user_data_but_takes_a_trim),
		TEST(test_full_disk_is_said_before_the_record_counts),
		TEST(test_read_beyond_the_length_is_refused),
		TEST(test_many_reads_share_a_small_pool),
		TEST(test_many_appends_share_a_small_pool),
		TEST(test_lost_connection_does_not_stop_the_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
