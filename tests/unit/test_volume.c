// SPDX-License-Identifier: Apache-2.0
/* The volume engine in a simulated cluster: what it does when all is well. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "volume_bed.h"

/* ---- the normal case -------------------------------------------------- */

static void fresh_volume_reads_zeros_then_what_was_written(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_verify(w);
	assert_int_equal(0, bed_write_blocks(w, 3, 5, 0x11, false));
	assert_int_equal(0, bed_write_blocks(w, 5, 1, 0x22, false));
	bed_verify(w);
}

static void trim_and_zero_read_as_zeros(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 200, 0x11, false));
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM, 10 * BLOCK_SIZE,
				       20 * BLOCK_SIZE, false));
	assert_int_equal(0, bed_io_run(w, VOLUME_ZERO, 50 * BLOCK_SIZE,
				       3 * BLOCK_SIZE, true));
	memset(w->model + 10, 0, 20);
	memset(w->model + 50, 0, 3);
	bed_verify(w);
}

static void write_larger_than_a_chunk_can_hold_is_split(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 100, 256, 0x33, false));
	assert_int_equal(0, bed_write_blocks(w, 700, 256, 0x44, true));
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

static void data_survives_detach_and_attach(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_attach(w);
	bed_write_random(w, 150);
	assert_int_equal(0, bed_detach(w));
	bed_get_volume(w, &doc);
	assert_false(doc.attachment.present);
	assert_true(doc.tail.first > doc.tail.last);
	assert_true(doc.root.addr != 0);
	bed_attach(w);
	bed_verify(w);
}

/* Whoever closes the metadata store after the detach takes nothing back. */
static void detach_gives_the_owners_lease_back(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	char key[META_KEY_MAX];

	bed_get_volume(w, &doc);
	key_owner(&w->cluster, doc.id, key);
	for (int i = 0; i < 2; i++) {
		bed_attach(w);
		sim_run(w->sim, NSEC_PER_SEC);
		assert_non_null(sim_meta_value(w->sim, key));
		assert_int_equal(0, bed_detach(w));
		assert_null(sim_meta_value(w->sim, key));
		/* Then with nothing to seal that it could wait for. */
		w->cfg.read_only = true;
	}
}

static void overlay_past_its_limit_makes_a_checkpoint(void **state)
{
	struct bed *w = *state;

	w->cfg.overlay_bytes = 16 << 10;
	bed_attach(w);
	bed_write_random(w, 200);
	assert_true(bed_stats(w).checkpoints > 2);
	assert_true(bed_stats(w).map_page_bytes > 0);
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
}

static void bad_requests_are_refused(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	assert_int_equal(-EINVAL, bed_io_run(w, VOLUME_READ, 100, 512, false));
	assert_int_equal(-EINVAL, bed_io_run(w, VOLUME_READ, 0, 0, false));
	assert_int_equal(-EINVAL, bed_io_run(w, VOLUME_WRITE,
					     BLOCKS * BLOCK_SIZE - 512, 1024,
					     false));
	assert_int_equal(-EINVAL, bed_io_run(w, VOLUME_WRITE, 0, 2 * MIB, false));
	assert_int_equal(0, bed_detach(w));
	w->cfg.read_only = true;
	bed_attach(w);
	assert_int_equal(-EROFS, bed_io_run(w, VOLUME_WRITE, 0, 4096, false));
	assert_int_equal(-EROFS, bed_io_run(w, VOLUME_TRIM, 0, 4096, false));
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
}

/* Requests of one block, @depth at a time; bytes of log per byte written. */
static double amplification(struct bed *w, unsigned int depth,
			    unsigned int rounds)
{
	struct volume_stats before = bed_stats(w), after;
	struct bed_io io[32];
	unsigned int i;

	while (rounds-- > 0) {
		for (i = 0; i < depth; i++)
			bed_io_start(w, &io[i], VOLUME_WRITE,
				     sim_below(w->sim, BLOCKS) * BLOCK_SIZE,
				     BLOCK_SIZE, false);
		while (w->open > 0)
			assert_true(sim_step(w->sim));
		for (i = 0; i < depth; i++)
			assert_int_equal(0, io[i].err);
	}
	after = bed_stats(w);
	return (double)(after.record_bytes - before.record_bytes) /
	       (double)(after.written_bytes - before.written_bytes);
}

static void headers_cost_what_the_budget_says(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	memset(w->data, 1, BLOCK_SIZE);
	sim_run(w->sim, NSEC_PER_SEC);
	assert_true(amplification(w, 1, 100) <= 2.01);
	assert_true(amplification(w, 32, 50) <= 1.05);
}

/* ---- durability ------------------------------------------------------- */

static void lose_all_power(struct bed *w)
{
	unsigned int i;

	sim_node_crash(w->host);
	for (i = 0; i < STORES; i++)
		bed_stop_store(w, i, true);
	for (i = 0; i < STORES; i++)
		bed_start_store(w, i);
}

static void flushed_data_survives_loss_of_all_power(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_write_random(w, 60);
	assert_int_equal(0, bed_flush(w));
	lose_all_power(w);
	bed_take_over(w);
	bed_verify(w);
}

static void fua_write_takes_what_came_before_with_it(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_write_random(w, 60);
	assert_int_equal(0, bed_write_blocks(w, 1, 1, 0x77, true));
	lose_all_power(w);
	bed_take_over(w);
	bed_verify(w);
}

static void expect_newest_record(struct bed *w, uint64_t offset, uint64_t length)
{
	struct log_position at;
	struct bed_io io;

	bed_io_start(w, &io, VOLUME_WRITE, offset, length, true);
	assert_true(sim_run_until(w->sim, &io.over, LONG));
	assert_int_equal(0, io.err);
	at = volume_acknowledged(w->volume);
	assert_true(at.sequence > 0);
	assert_int_equal(at.sequence, io.req.sequence);
	assert_int_equal(at.header_crc, io.req.header_crc);
}

/* In whole blocks or not: the simulator asks the disks for that record. */
static void write_says_which_record_ends_it(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	expect_newest_record(w, BLOCK_SIZE, 4 * BLOCK_SIZE);
	expect_newest_record(w, 512, 2 * BLOCK_SIZE);
	expect_newest_record(w, BLOCK_SIZE + 512, 1024);
}

static void unflushed_data_is_synced_in_the_background(void **state)
{
	struct bed *w = *state;

	w->cfg.sync_interval_ns = NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	sim_run(w->sim, 3 * NSEC_PER_SEC);
	lose_all_power(w);
	bed_take_over(w);
	bed_verify(w);
}

static void failed_sync_costs_a_replica_and_no_error(void **state)
{
	struct bed *w = *state;

	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 10);
	sim_node_disk_faults(w->node[0])->sync_eio = 1;
	bed_write_random(w, 100);
	assert_int_equal(0, bed_flush(w));
	assert_true(bed_stats(w).ensemble_changes > 0);
	sim_node_disk_faults(w->node[0])->sync_eio = 0;
	lose_all_power(w);
	bed_take_over(w);
	bed_verify(w);
}

/* ---- the end at any moment -------------------------------------------- */

static void crash_after(struct bed *w, unsigned int events)
{
	struct bed_io io[8];
	unsigned int i;

	w->volume = bed_start_attach(w, w->host);
	for (i = 0; i < 8; i++)
		bed_io_start(w, &io[i], i == 3 ? VOLUME_FLUSH :
			     i % 2 ? VOLUME_READ : VOLUME_WRITE,
			     (uint64_t)i * BLOCK_SIZE, i == 3 ? 0 : BLOCK_SIZE,
			     i == 2);
	for (i = 0; i < events; i++)
		sim_step(w->sim);
	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
	w->open = 0;
	sim_node_start(w->host);
	sim_run(w->sim, 10 * NSEC_PER_MSEC);
}

static void volume_may_be_freed_at_any_moment(void **state)
{
	struct bed *w = *state;
	unsigned int events;

	w->cfg.force = true;
	memset(w->data, 0, MIB);
	for (events = 0; events < 400; events += 3)
		crash_after(w, events);
	bed_attach(w);
	bed_verify(w);
}

static void free_in_done(struct volume_request *req, int err)
{
	struct bed_io *io = container_of(req, struct bed_io, req);

	volume_free(io->bed->volume);
	io->bed->volume = NULL;
	io->over = true;
}

static void volume_may_be_freed_by_a_completion(void **state)
{
	struct bed *w = *state;
	struct bed_io io[4];
	unsigned int i;

	bed_attach(w);
	for (i = 0; i < 4; i++) {
		bed_io_start(w, &io[i], VOLUME_WRITE, i * BLOCK_SIZE, BLOCK_SIZE,
			     false);
		io[i].req.done = free_in_done;
	}
	assert_true(sim_run_until(w->sim, &io[0].over, LONG));
	sim_run(w->sim, NSEC_PER_SEC);
	assert_false(io[1].over);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fresh_volume_reads_zeros_then_what_was_written),
		TEST(trim_and_zero_read_as_zeros),
		TEST(write_larger_than_a_chunk_can_hold_is_split),
		TEST(data_survives_detach_and_attach),
		TEST(detach_gives_the_owners_lease_back),
		TEST(overlay_past_its_limit_makes_a_checkpoint),
		TEST(bad_requests_are_refused),
		TEST(headers_cost_what_the_budget_says),
		TEST(flushed_data_survives_loss_of_all_power),
		TEST(fua_write_takes_what_came_before_with_it),
		TEST(write_says_which_record_ends_it),
		TEST(unflushed_data_is_synced_in_the_background),
		TEST(failed_sync_costs_a_replica_and_no_error),
		TEST(volume_may_be_freed_at_any_moment),
		TEST(volume_may_be_freed_by_a_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
