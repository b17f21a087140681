// SPDX-License-Identifier: Apache-2.0
/* FENCE, SCAN, SEAL, LIST and DELETE. */
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/scan.h"

static uint32_t length_now(struct fixture *f, uint64_t epoch)
{
	struct wire_chunk_reply chunk;

	assert_int_equal(stat_chunk(f, CHUNK, epoch, &chunk), WIRE_OK);
	return le32_to_cpu(chunk.length);
}

/* ---- FENCE ------------------------------------------------------------------ */

static void test_lower_epochs_are_refused_after_a_fence(void **state)
{
	struct fixture *f = *state;
	struct wire_fence_reply reply;
	struct made m;
	struct reply r;

	append_new(f, 3);
	assert_int_equal(fence(f, 5, &reply), WIRE_OK);
	assert_int_equal(le64_to_cpu(reply.epoch), 5);
	assert_int_equal(le64_to_cpu(reply.chunk_max), CHUNK);
	assert_int_equal(le64_to_cpu(reply.root), block_addr(3, 7));
	assert_int_equal(le64_to_cpu(reply.root_sequence), 1);
	m = make_record(f, 1, 0);
	send_append(f, &r, &m, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_EFENCED);
	assert_int_equal(le64_to_cpu(r.body.append.epoch), 5);
	reply_release(&r);
	assert_int_equal(sync_chunk(f, 4, 4), WIRE_EFENCED);
	assert_int_equal(seal(f, CHUNK, 4, 4, f->prev_crc), WIRE_EFENCED);
	assert_int_equal(read_blocks(f, 4, 0, 1, NULL), WIRE_EFENCED);
	assert_int_equal(read_blocks(f, 0, 0, 1, NULL), WIRE_OK);
	assert_int_equal(scan(f, 4, &r), WIRE_EFENCED);
	reply_release(&r);
	assert_int_equal(fence(f, 4, &reply), WIRE_EFENCED);
	assert_int_equal(le64_to_cpu(reply.epoch), 5);
	/* An old record under the new epoch: a copy made in recovery. */
	m.epoch = 5;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	made_free(&m);
}

/* Nobody can lock a volume for good with one number. */
static void test_fence_far_ahead_is_no_epoch(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;
	struct made m;

	assert_int_equal(fence(f, UINT64_MAX >> 1, NULL), WIRE_EINVAL);
	store_stats(f->store, &stats);
	assert_int_equal(stats.volumes, 0);
	assert_int_equal(fence(f, 5, NULL), WIRE_OK);
	assert_int_equal(fence(f, 6 + (1ull << 32), NULL), WIRE_EINVAL);
	m = make_record(f, 1, 0);
	m.epoch = 6 + (1ull << 32);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EINVAL);
	m.epoch = 6;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	assert_int_equal(fence(f, 6 + (1ull << 32), NULL), WIRE_OK);
	made_free(&m);
}

static void test_fence_of_an_unknown_volume_survives_a_crash(void **state)
{
	struct fixture *f = *state;
	struct made m;

	assert_int_equal(fence(f, 9, NULL), WIRE_OK);
	assert_int_equal(fence(f, UINT64_MAX, NULL), WIRE_EINVAL);
	assert_int_equal(fence(f, 0, NULL), WIRE_EINVAL);
	fixture_crash(f);
	fixture_reopen(f);
	f->epoch = 8;
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EFENCED);
	assert_int_equal(fence(f, 9, NULL), WIRE_OK);
	made_free(&m);
}

static void test_append_in_flight_is_not_acknowledged_after_a_fence(void **state)
{
	struct fixture *f = *state;
	struct wire_fence body = { .volume = cpu_to_le64(VOLUME),
				   .epoch = cpu_to_le64(2) };
	struct made m = make_record(f, 200, 0);
	struct reply a, b;

	sim_delays(f->sim)->disk_min = 500 * NSEC_PER_MSEC;
	sim_delays(f->sim)->disk_max = 600 * NSEC_PER_MSEC;
	send_append(f, &a, &m, 0);
	send_request(f, &b, WIRE_FENCE, 0, &body, NULL, 0);
	assert_int_equal(wait_reply(f, &b), WIRE_OK);
	assert_int_equal(wait_reply(f, &a), WIRE_EFENCED);
	/* What a scan after the fence sees is all there will ever be. */
	assert_int_equal(length_now(f, 2), m.blocks);
	reply_release(&a);
	reply_release(&b);
	made_free(&m);
}

static void test_fences_that_wait_together_share_syncs(void **state)
{
	struct fixture *f = *state;
	struct wire_fence body = { .epoch = cpu_to_le64(2) };
	struct reply r[64];
	uint64_t start;
	int i;

	sim_delays(f->sim)->sync_min = 20 * NSEC_PER_MSEC;
	sim_delays(f->sim)->sync_max = 20 * NSEC_PER_MSEC;
	start = sim_now(f->sim);
	for (i = 0; i < 64; i++) {
		body.volume = cpu_to_le64(100 + i);
		send_request(f, &r[i], WIRE_FENCE, 0, &body, NULL, 0);
	}
	for (i = 0; i < 64; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
	/* One by one they would take 1280 ms. */
	assert_true(sim_now(f->sim) - start < 200 * NSEC_PER_MSEC);
}

static void test_fence_that_cannot_be_made_durable_is_not_granted(void **state)
{
	struct fixture *f = *state;

	sim_node_disk_faults(f->node)->sync_eio = 1;
	assert_int_equal(fence(f, 3, NULL), WIRE_EIO);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	assert_int_equal(fence(f, 3, NULL), WIRE_EIO);
}

/* ---- SCAN ------------------------------------------------------------------- */

static uint32_t check_scan(struct fixture *f, const struct reply *r,
			   uint64_t sequence)
{
	struct record *rec = record_new();
	struct scan_iter it;
	const void *header;
	uint32_t bytes, count = 0;

	scan_iter_init(&it, r->data, r->hdr.data_len);
	while (scan_next(&it, &header, &bytes) == 1) {
		assert_int_equal(record_decode(header, bytes, rec), 0);
		assert_int_equal(rec->sequence, sequence + count);
		count++;
	}
	record_free(rec);
	assert_int_equal(count, le32_to_cpu(r->body.scan.count));
	return count;
}

static void test_scan_gives_every_header(void **state)
{
	struct fixture *f = *state;
	struct reply r;
	uint32_t i;

	for (i = 0; i < 100; i++)
		append_new(f, i % 40);
	assert_int_equal(scan(f, 1, &r), WIRE_OK);
	assert_int_equal(check_scan(f, &r, 1), 100);
	assert_int_equal(le32_to_cpu(r.body.scan.length), f->block);
	assert_int_equal(le32_to_cpu(r.body.scan.next_block), f->block);
	assert_int_equal(le32_to_cpu(r.body.scan.end_crc), f->prev_crc);
	assert_int_equal(le32_to_cpu(r.body.scan.more), 0);
	assert_int_equal(le32_to_cpu(r.body.scan.damaged_block), UINT32_MAX);
	reply_release(&r);
}

static void test_scan_goes_on_where_its_buffer_ended(void **state)
{
	struct fixture *f = *state;
	struct wire_scan body = {
		.volume = cpu_to_le64(VOLUME), .chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(1), .bytes_max = cpu_to_le32(16384),
	};
	uint32_t total = 0, rounds = 0;
	struct reply r;
	bool more;

	while (f->block < 4000)
		append_new(f, 12);
	do {
		send_request(f, &r, WIRE_SCAN, 0, &body, NULL, 0);
		assert_int_equal(wait_reply(f, &r), WIRE_OK);
		total += check_scan(f, &r, 1 + total);
		body.block = r.body.scan.next_block;
		more = le32_to_cpu(r.body.scan.more) != 0;
		reply_release(&r);
		rounds++;
	} while (more);
	assert_int_equal(total, f->sequence);
	assert_true(rounds > 2);
}

static void test_scan_names_damage_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct reply r;
	uint32_t i, damaged = 0;

	for (i = 0; i < 20; i++) {
		if (i == 11)
			damaged = f->block;
		append_new(f, 2);
	}
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	assert_int_equal(sim_disk_flip(f->node,
				       "chunks/0000000000000011/000000000005",
				       (uint64_t)damaged * BLOCK_SIZE + 50), 0);
	assert_int_equal(scan(f, 1, &r), WIRE_OK);
	assert_int_equal(check_scan(f, &r, 1), 11);
	assert_int_equal(le32_to_cpu(r.body.scan.damaged_block), damaged);
	assert_int_equal(le32_to_cpu(r.body.scan.length), f->block);
	reply_release(&r);
	/* And after a restart, which believes what was known durable. */
	fixture_close(f);
	fixture_reopen(f);
	assert_int_equal(scan(f, 1, &r), WIRE_OK);
	assert_int_equal(check_scan(f, &r, 1), 11);
	assert_int_equal(le32_to_cpu(r.body.scan.damaged_block), damaged);
	assert_int_equal(le32_to_cpu(r.body.scan.length), damaged);
	reply_release(&r);
	assert_int_equal(sync_chunk(f, 1, damaged), WIRE_EBADCOPY);
}

/* ---- SEAL -------------------------------------------------------------------- */

static void test_seal_at_the_end_is_idempotent_and_final(void **state)
{
	struct fixture *f = *state;
	struct wire_chunk_reply chunk;
	struct made m;
	uint32_t crc, length;

	append_new(f, 3);
	crc = append_new(f, 3);
	length = f->block;
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ESEALED);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ESEALED);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.sealed), 1);
	assert_int_equal(le32_to_cpu(chunk.length), length);
	assert_int_equal(le32_to_cpu(chunk.durable), length);
	assert_int_equal(le32_to_cpu(chunk.end_crc), crc);
	assert_int_equal(le64_to_cpu(chunk.chunk_epoch), 1);
	assert_int_equal(read_blocks(f, 1, 0, length, NULL), WIRE_OK);
	made_free(&m);
}

static void test_seal_cuts_a_longer_copy_for_ever(void **state)
{
	struct fixture *f = *state;
	struct wire_chunk_reply chunk;
	uint32_t crc, length, i;

	for (i = 0; i < 10; i++)
		crc = append_new(f, 4);
	length = f->block;
	for (i = 0; i < 10; i++)
		append_new(f, 4);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	assert_int_equal(length_now(f, 1), length);
	assert_int_equal(read_blocks(f, 1, length, 1, NULL), WIRE_EOFFSET);
	fixture_kill(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f, 1), length);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.length), length);
	assert_int_equal(le32_to_cpu(chunk.sealed), 1);
}

/* At every instant of a sealing that a crash could choose. */
static void test_crash_during_a_cut_leaves_all_or_the_cut(void **state)
{
	struct fixture *f = *state;
	uint32_t steps;

	for (steps = 1; steps < 60; steps++) {
		struct wire_seal body = {
			.volume = cpu_to_le64(VOLUME),
			.chunk = cpu_to_le64(CHUNK), .epoch = cpu_to_le64(1),
		};
		struct wire_chunk_reply chunk;
		uint32_t crc, cut, all, i;
		bool answered;
		struct reply r;

		fixture_release(f);
		fixture_init(f);
		assert_int_equal(fixture_open(f), 0);
		fixture_reconnect(f, WIRE_ROLE_VOLUME);
		crc = append_new(f, 4);
		cut = f->block;
		append_new(f, 4);
		all = f->block;
		assert_int_equal(sync_chunk(f, 1, all), WIRE_OK);
		body.length = cpu_to_le32(cut);
		body.end_crc = cpu_to_le32(crc);
		send_request(f, &r, WIRE_SEAL, 0, &body, NULL, 0);
		for (i = 0; i < steps && sim_step(f->sim); i++)
			;
		answered = r.done && !r.lost;
		reply_release(&r);
		fixture_crash(f);
		fixture_reopen(f);
		assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
		if (chunk.sealed) {
			assert_int_equal(le32_to_cpu(chunk.length), cut);
		} else {
			assert_false(answered);
			assert_int_equal(le32_to_cpu(chunk.length), all);
		}
	}
}

static void test_seal_where_no_record_ends_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	uint32_t crc = append_new(f, 4);

	append_new(f, 4);
	assert_int_equal(seal(f, CHUNK, 1, 3, crc), WIRE_ECONFLICT);
	assert_int_equal(seal(f, CHUNK, 1, 5, crc ^ 1), WIRE_ECONFLICT);
	assert_int_equal(seal(f, CHUNK, 1, 10, crc), WIRE_ECONFLICT);
	assert_int_equal(seal(f, CHUNK, 1, 11, crc), WIRE_EOFFSET);
	assert_int_equal(length_now(f, 1), 10);
	append_new(f, 1);
}

static void test_seal_at_zero_of_an_absent_chunk_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct made m;
	struct wire_fence_reply reply;

	assert_int_equal(seal(f, CHUNK, 1, 4, 77), WIRE_ENOCHUNK);
	assert_int_equal(seal(f, CHUNK, 1, 0, 0), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ESEALED);
	assert_int_equal(seal(f, CHUNK, 1, 0, 0), WIRE_OK);
	assert_int_equal(fence(f, 1, &reply), WIRE_OK);
	assert_int_equal(le64_to_cpu(reply.chunk_max), CHUNK);
	made_free(&m);
}

static void test_seal_at_zero_empties_a_chunk(void **state)
{
	struct fixture *f = *state;

	append_new(f, 9);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, 0, 0), WIRE_OK);
	assert_int_equal(read_blocks(f, 1, 0, 1, NULL), WIRE_EOFFSET);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f, 1), 0);
}

static void test_higher_epoch_decides_the_length(void **state)
{
	struct fixture *f = *state;
	uint32_t first = append_new(f, 4), second, cut = f->block;

	second = append_new(f, 4);
	assert_int_equal(seal(f, CHUNK, 1, f->block, second), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, cut, first), WIRE_ESEALED);
	assert_int_equal(fence(f, 2, NULL), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 2, cut, first), WIRE_OK);
	assert_int_equal(length_now(f, 2), cut);
	assert_int_equal(seal(f, CHUNK, 2, f->block, second), WIRE_ESEALED);
	assert_int_equal(seal(f, CHUNK, 3, f->block, second), WIRE_EOFFSET);
}

static void test_seal_waits_for_appends_in_flight(void **state)
{
	struct fixture *f = *state;
	struct made m = make_record(f, 50, 0);
	struct reply r;

	sim_delays(f->sim)->disk_min = 50 * NSEC_PER_MSEC;
	sim_delays(f->sim)->disk_max = 60 * NSEC_PER_MSEC;
	send_append(f, &r, &m, 0);
	assert_int_equal(seal(f, CHUNK, 1, m.blocks, m.crc), WIRE_OK);
	assert_true(r.done);
	assert_int_equal(r.hdr.status, WIRE_OK);
	reply_release(&r);
	made_free(&m);
}

static void test_many_seals_of_one_chunk_agree(void **state)
{
	struct fixture *f = *state;
	struct wire_seal body = {
		.volume = cpu_to_le64(VOLUME), .chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(1),
	};
	struct reply r[8];
	uint32_t crc = append_new(f, 4);
	int i;

	body.length = cpu_to_le32(f->block);
	body.end_crc = cpu_to_le32(crc);
	append_new(f, 4);
	for (i = 0; i < 8; i++)
		send_request(f, &r[i], WIRE_SEAL, 0, &body, NULL, 0);
	for (i = 0; i < 8; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
}

static void send_sync(struct fixture *f, struct reply *r,
		      struct wire_range *range, uint32_t length)
{
	struct wire_sync body = {
		.volume = cpu_to_le64(VOLUME), .epoch = cpu_to_le64(1),
		.count = cpu_to_le32(1),
	};

	*range = (struct wire_range){ cpu_to_le64(CHUNK), cpu_to_le32(length),
				      0 };
	send_request(f, r, WIRE_SYNC, 0, &body, range, sizeof(*range));
}

/*
 * Two who wait for more than the seal leaves: one for the sync under way, one
 * for the next, which begins with less to do than he waits for.
 */
static void test_seal_below_what_is_being_synced_ends_the_waits(void **state)
{
	struct fixture *f = *state;
	struct sim_delays *delays = sim_delays(f->sim);
	struct wire_range range;
	struct reply sync, durable;
	struct made m;
	uint32_t crc, length;

	crc = append_new(f, 3);
	length = f->block;
	assert_int_equal(sync_chunk(f, 1, length), WIRE_OK);
	append_new(f, 3);
	delays->sync_min = delays->sync_max = NSEC_PER_SEC;
	send_sync(f, &sync, &range, f->block);
	sim_run(f->sim, 100 * NSEC_PER_MSEC);
	m = make_record(f, 3, 0);
	send_append(f, &durable, &m, WIRE_DURABLE);
	sim_run(f->sim, 100 * NSEC_PER_MSEC);
	delays->sync_min = delays->sync_max = NSEC_PER_MSEC;
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	assert_false(sync.done || durable.done);
	assert_int_equal(wait_reply(f, &sync), WIRE_OK);
	memcpy(&range, sync.data, sizeof(range));
	assert_int_equal(le32_to_cpu(range.status), WIRE_EOFFSET);
	assert_int_equal(wait_reply(f, &durable), WIRE_ESEALED);
	reply_release(&sync);
	reply_release(&durable);
	made_free(&m);
	fixture_close(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f, 1), length);
}

/* ---- LIST and DELETE ----------------------------------------------------------- */

static uint32_t delete_chunk(struct fixture *f, uint64_t chunk)
{
	struct wire_chunk body = { .volume = cpu_to_le64(VOLUME),
				   .chunk = cpu_to_le64(chunk) };
	struct reply r;

	send_request(f, &r, WIRE_DELETE, 0, &body, NULL, 0);
	wait_reply(f, &r);
	reply_release(&r);
	return r.hdr.status;
}

static void test_list_goes_page_by_page_in_order(void **state)
{
	struct fixture *f = *state;
	struct wire_list body = { .max = cpu_to_le32(7) };
	uint64_t chunk, seen = 0, last = 0;
	bool more = true;

	for (chunk = 30; chunk > 0; chunk--)
		assert_int_equal(seal(f, chunk, 1, 0, 0), WIRE_OK);
	while (more) {
		const struct wire_list_entry *entry;
		struct reply r;
		uint32_t i;

		send_request(f, &r, WIRE_LIST, 0, &body, NULL, 0);
		assert_int_equal(wait_reply(f, &r), WIRE_OK);
		entry = (const void *)r.data;
		for (i = 0; i < le32_to_cpu(r.body.list.count); i++) {
			assert_int_equal(le64_to_cpu(entry[i].volume), VOLUME);
			assert_int_equal(le64_to_cpu(entry[i].chunk), last + 1);
			assert_int_equal(le32_to_cpu(entry[i].sealed), 1);
			last = le64_to_cpu(entry[i].chunk);
			seen++;
		}
		body.after_volume = cpu_to_le64(VOLUME);
		body.after_chunk = cpu_to_le64(last);
		more = le32_to_cpu(r.body.list.more) != 0;
		reply_release(&r);
	}
	assert_int_equal(seen, 30);
}

static void test_delete_is_for_maintenance_only(void **state)
{
	struct fixture *f = *state;

	append_new(f, 3);
	assert_int_equal(delete_chunk(f, CHUNK), WIRE_EINVAL);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_int_equal(delete_chunk(f, 0), WIRE_EINVAL);
	assert_int_equal(delete_chunk(f, CHUNK + 1), WIRE_ENOCHUNK);
	assert_int_equal(length_now(f, 1), 4);
}

static void test_deleted_chunk_is_gone_and_can_come_again(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;

	append_new(f, 3);
	assert_int_equal(seal(f, CHUNK, 1, 4, f->prev_crc), WIRE_OK);
	fixture_reconnect(f, WIRE_ROLE_PEER);
	assert_int_equal(delete_chunk(f, CHUNK), WIRE_OK);
	assert_int_equal(stat_chunk(f, CHUNK, 1, NULL), WIRE_ENOCHUNK);
	store_stats(f->store, &stats);
	assert_int_equal(stats.chunks, 0);
	new_chain(f);
	append_new(f, 7);
	assert_int_equal(sync_chunk(f, 1, 8), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(length_now(f, 1), 8);
}

/* The seal is the last user of the chunk, and ends while DELETE is journaled. */
static void test_delete_outlives_the_last_user_of_the_chunk(void **state)
{
	struct fixture *f = *state;
	struct wire_seal end = { .volume = cpu_to_le64(VOLUME),
				 .chunk = cpu_to_le64(7),
				 .epoch = cpu_to_le64(1) };
	struct wire_chunk body = { .volume = cpu_to_le64(VOLUME),
				   .chunk = cpu_to_le64(7) };
	struct reply sealed, deleted;

	fixture_reconnect(f, WIRE_ROLE_PEER);
	send_request(f, &sealed, WIRE_SEAL, 0, &end, NULL, 0);
	send_request(f, &deleted, WIRE_DELETE, 0, &body, NULL, 0);
	assert_int_equal(wait_reply(f, &sealed), WIRE_OK);
	assert_false(deleted.done);
	assert_int_equal(wait_reply(f, &deleted), WIRE_OK);
	reply_release(&sealed);
	reply_release(&deleted);
	assert_int_equal(stat_chunk(f, 7, 1, NULL), WIRE_ENOCHUNK);
}

static void test_delete_cut_short_by_a_crash_is_finished_at_start(void **state)
{
	struct fixture *f = *state;
	uint32_t steps;

	for (steps = 1; steps < 40; steps++) {
		struct wire_chunk body = { .volume = cpu_to_le64(VOLUME),
					   .chunk = cpu_to_le64(CHUNK) };
		struct reply r;
		uint32_t i, status;
		bool answered;

		fixture_release(f);
		fixture_init(f);
		assert_int_equal(fixture_open(f), 0);
		fixture_reconnect(f, WIRE_ROLE_PEER);
		append_new(f, 4);
		assert_int_equal(seal(f, CHUNK, 1, 5, f->prev_crc), WIRE_OK);
		send_request(f, &r, WIRE_DELETE, 0, &body, NULL, 0);
		for (i = 0; i < steps && sim_step(f->sim); i++)
			;
		answered = r.done && !r.lost;
		reply_release(&r);
		fixture_crash(f);
		fixture_reopen(f);
		sim_run(f->sim, NSEC_PER_SEC);
		status = stat_chunk(f, CHUNK, 1, NULL);
		assert_true(status == WIRE_ENOCHUNK ||
			    (!answered && status == WIRE_OK));
	}
}

static void volume_gone(void *ctx, int err)
{
	assert_int_equal(err, 0);
	*(bool *)ctx = true;
}

static void test_tombstone_removes_all_and_refuses_for_ever(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;
	struct made m;
	bool done = false;
	uint64_t chunk;

	append_new(f, 60);
	for (chunk = 10; chunk < 20; chunk++)
		assert_int_equal(seal(f, chunk, 1, 0, 0), WIRE_OK);
	store_delete_volume(f->store, VOLUME, volume_gone, &done);
	assert_true(sim_run_until(f->sim, &done, NSEC_PER_SEC));
	store_stats(f->store, &stats);
	assert_int_equal(stats.chunks, 0);
	assert_int_equal(sim_disk_peek(f->node, "chunks/0000000000000011", 0,
				       NULL, 0, true), -ENOENT);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EFENCED);
	assert_int_equal(fence(f, 1000, NULL), WIRE_EFENCED);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EFENCED);
	store_stats(f->store, &stats);
	assert_int_equal(stats.chunks, 0);
	done = false;
	store_delete_volume(f->store, VOLUME, volume_gone, &done);
	assert_true(done);
	made_free(&m);
}

/* A store that never had the volume pays nothing but refuses it. */
static void test_tombstones_of_unknown_volumes_cost_no_journal(void **state)
{
	struct fixture *f = *state;
	struct store_stats before, after;
	struct made m = make_record(f, 3, 0);
	bool done;
	uint64_t id;

	store_stats(f->store, &before);
	for (id = 5000; id >= VOLUME; id--) {
		done = false;
		store_delete_volume(f->store, id, volume_gone, &done);
		assert_true(done);
	}
	store_delete_volume(f->store, VOLUME, volume_gone, &done);
	store_stats(f->store, &after);
	assert_int_equal(after.volumes, 0);
	assert_int_equal(after.used, before.used);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EFENCED);
	assert_int_equal(fence(f, 1000, NULL), WIRE_EFENCED);
	assert_int_equal(seal(f, CHUNK, 1000, 0, 0), WIRE_EFENCED);
	store_stats(f->store, &after);
	assert_int_equal(after.volumes, 1);
	assert_int_equal(after.chunks, 0);
	made_free(&m);
}

/* The next start lists tombstones again: what slipped in goes then. */
static void test_condemned_volume_that_slipped_in_is_removed(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;
	bool done = false;

	store_delete_volume(f->store, VOLUME, volume_gone, &done);
	assert_true(done);
	fixture_crash(f);
	fixture_reopen(f);
	append_new(f, 3);
	done = false;
	store_delete_volume(f->store, VOLUME, volume_gone, &done);
	assert_true(sim_run_until(f->sim, &done, NSEC_PER_SEC));
	store_stats(f->store, &stats);
	assert_int_equal(stats.chunks, 0);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(fence(f, 1000, NULL), WIRE_EFENCED);
}

static void ignore_end(void *ctx, int err)
{
}

static void test_tombstone_cut_short_by_a_crash_is_obeyed_at_start(void **state)
{
	struct fixture *f = *state;
	uint32_t steps;

	for (steps = 1; steps < 50; steps++) {
		struct store_stats stats;
		uint32_t i;

		fixture_release(f);
		fixture_init(f);
		assert_int_equal(fixture_open(f), 0);
		fixture_reconnect(f, WIRE_ROLE_VOLUME);
		append_new(f, 4);
		assert_int_equal(seal(f, CHUNK + 1, 1, 0, 0), WIRE_OK);
		assert_int_equal(sync_chunk(f, 1, 5), WIRE_OK);
		store_delete_volume(f->store, VOLUME, ignore_end, NULL);
		for (i = 0; i < steps && sim_step(f->sim); i++)
			;
		fixture_crash(f);
		fixture_reopen(f);
		sim_run(f->sim, NSEC_PER_SEC);
		store_stats(f->store, &stats);
		if (stats.chunks != 0) {
			assert_int_equal(stats.chunks, 2);
			assert_int_equal(read_blocks(f, 1, 0, 5, NULL),
					 WIRE_OK);
			continue;
		}
		assert_int_equal(fence(f, 7, NULL), WIRE_EFENCED);
		assert_int_equal(sim_disk_peek(f->node,
					       "chunks/0000000000000011", 0,
					       NULL, 0, true), -ENOENT);
	}
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_lower_epochs_are_refused_after_a_fence),
		TEST(test_fence_far_ahead_is_no_epoch),
		TEST(test_fence_of_an_unknown_volume_survives_a_crash),
		TEST(test_append_in_flight_is_not_acknowledged_after_a_fence),
		TEST(test_fences_that_wait_together_share_syncs),
		TEST(test_fence_that_cannot_be_made_durable_is_not_granted),
		TEST(test_scan_gives_every_header),
		TEST(test_scan_goes_on_where_its_buffer_ended),
		TEST(test_scan_names_damage_in_the_middle),
		TEST(test_seal_at_the_end_is_idempotent_and_final),
		TEST(test_seal_below_what_is_being_synced_ends_the_waits),
		TEST(test_seal_cuts_a_longer_copy_for_ever),
		TEST(test_crash_during_a_cut_leaves_all_or_the_cut),
		TEST(test_seal_where_no_record_ends_is_a_conflict),
		TEST(test_seal_at_zero_of_an_absent_chunk_is_remembered),
		TEST(test_seal_at_zero_empties_a_chunk),
		TEST(test_higher_epoch_decides_the_length),
		TEST(test_seal_waits_for_appends_in_flight),
		TEST(test_many_seals_of_one_chunk_agree),
		TEST(test_list_goes_page_by_page_in_order),
		TEST(test_delete_is_for_maintenance_only),
		TEST(test_deleted_chunk_is_gone_and_can_come_again),
		TEST(test_delete_outlives_the_last_user_of_the_chunk),
		TEST(test_delete_cut_short_by_a_crash_is_finished_at_start),
		TEST(test_tombstone_removes_all_and_refuses_for_ever),
		TEST(test_tombstones_of_unknown_volumes_cost_no_journal),
		TEST(test_condemned_volume_that_slipped_in_is_removed),
		TEST(test_tombstone_cut_short_by_a_crash_is_obeyed_at_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
