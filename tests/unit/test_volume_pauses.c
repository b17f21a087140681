// SPDX-License-Identifier: Apache-2.0
/*
 * How long a request may take when a replica is slow, hung or gone, under load
 * that goes on: readers and writers that each think for a while between two
 * requests, so that there is always something new to ask the bad peer for.
 */
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

#define WORKERS		16u
#define THINK_NS	(200 * NSEC_PER_MSEC)

struct worker {
	struct sim_task task;
	struct volume_request req;
	struct load *load;
	bool reader;
	uint64_t began;
	void *buffer;
};

struct load {
	struct bed *bed;
	struct worker worker[WORKERS];
	uint64_t longest_read, longest_write, errors, done;
	bool stop;
	unsigned int busy;
};

static void think(struct worker *w)
{
	sim_task_after(&w->task, sim_below(w->load->bed->sim, THINK_NS));
}

static void request_over(struct volume_request *req, int err)
{
	struct worker *w = container_of(req, struct worker, req);
	struct load *load = w->load;
	uint64_t took = sim_now(load->bed->sim) - w->began;

	load->busy--;
	load->done++;
	load->errors += err != 0;
	if (w->reader)
		load->longest_read = MAX(load->longest_read, took);
	else
		load->longest_write = MAX(load->longest_write, took);
	if (!load->stop)
		think(w);
}

static void request_begin(struct sim_task *task)
{
	struct worker *w = container_of(task, struct worker, task);
	struct load *load = w->load;

	if (load->stop)
		return;
	w->req = (struct volume_request){
		.op = w->reader ? VOLUME_READ : VOLUME_WRITE,
		.offset = sim_below(load->bed->sim, BLOCKS) * BLOCK_SIZE,
		.length = BLOCK_SIZE, .buffer = w->buffer,
		.done = request_over,
	};
	w->began = sim_now(load->bed->sim);
	load->busy++;
	volume_submit(load->bed->volume, &w->req);
}

static struct load *load_start(struct bed *bed, unsigned int readers)
{
	struct load *load = calloc(1, sizeof(*load));

	assert_non_null(load);
	load->bed = bed;
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker *w = &load->worker[i];

		w->load = load;
		w->reader = i < readers;
		w->buffer = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
		assert_non_null(w->buffer);
		memset(w->buffer, 0x5c, BLOCK_SIZE);
		sim_task_init(bed->sim, &w->task, request_begin);
		think(w);
	}
	return load;
}

static void load_forget(struct load *load)
{
	load->longest_read = 0;
	load->longest_write = 0;
}

static void load_end(struct load *load)
{
	load->stop = true;
	while (load->busy > 0)
		assert_true(sim_step(load->bed->sim));
	assert_int_equal(load->errors, 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		sim_task_cancel(&load->worker[i].task);
		free(load->worker[i].buffer);
	}
	free(load);
}

/* All blocks written, by a volume whose chunks are sealed for the most part. */
static void prepare(struct bed *w)
{
	w->cfg.replica_timeout_ns = NSEC_PER_SEC;
	bed_attach(w);
	for (uint32_t i = 0; i < BLOCKS; i += 64)
		assert_int_equal(0, bed_write_blocks(w, i, 64, 0x5c, false));
	assert_int_equal(0, bed_flush(w));
}

/* A load that has run for so long. */
static struct load *start_and_run(struct bed *w, unsigned int readers,
				  uint64_t ns)
{
	struct load *load;

	prepare(w);
	load = load_start(w, readers);
	sim_run(w->sim, ns);
	return load;
}

static void expect_shorter(const struct load *load, uint64_t ns)
{
	assert_true(load->longest_read < ns);
	assert_true(load->longest_write < ns);
}

static void check_hung(struct bed *w, unsigned int readers)
{
	struct load *load = start_and_run(w, readers, 10 * NSEC_PER_SEC);

	expect_shorter(load, 100 * NSEC_PER_MSEC);
	sim_node_hang(w->node[1], 120 * NSEC_PER_SEC);
	sim_run(w->sim, 2 * NSEC_PER_SEC);
	expect_shorter(load, 1200 * NSEC_PER_MSEC);
	/* That was all that it may cost. */
	load_forget(load);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	expect_shorter(load, 100 * NSEC_PER_MSEC);
	load_end(load);
	bed_verify(w);
}

static void hung_peer_costs_one_timeout_under_mixed_load(void **state)
{
	check_hung(*state, WORKERS / 2);
}

static void hung_peer_costs_one_timeout_when_all_write(void **state)
{
	check_hung(*state, 0);
}

static void hung_peer_costs_one_timeout_when_all_read(void **state)
{
	struct bed *w = *state;
	struct volume_stats before, after;

	check_hung(w, WORKERS);
	before = bed_stats(w);
	bed_verify(w);
	after = bed_stats(w);
	assert_true(after.hedged_reads - before.hedged_reads <= 2);
}

/* Hedges hide it from readers. */
static void hung_peer_hardly_delays_reads(void **state)
{
	struct bed *w = *state;
	struct load *load = start_and_run(w, WORKERS, 10 * NSEC_PER_SEC);

	load_forget(load);
	sim_node_hang(w->node[1], 120 * NSEC_PER_SEC);
	sim_run(w->sim, 10 * NSEC_PER_SEC);
	assert_true(load->longest_read < 100 * NSEC_PER_MSEC);
	assert_true(bed_stats(w).hedge_wins > 0);
	assert_true(bed_stats(w).hedged_reads >= bed_stats(w).hedge_wins);
	load_end(load);
}

static void killed_peer_costs_less_than_100_ms_under_load(void **state)
{
	struct bed *w = *state;
	struct load *load = start_and_run(w, WORKERS / 2, 5 * NSEC_PER_SEC);

	load_forget(load);
	bed_stop_store(w, 1, false);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	expect_shorter(load, 100 * NSEC_PER_MSEC);
	load_end(load);
	bed_verify(w);
}

/* A machine that loses power says nothing at all. */
static void crashed_peer_costs_one_timeout(void **state)
{
	struct bed *w = *state;
	struct load *load = start_and_run(w, WORKERS / 2, 5 * NSEC_PER_SEC);

	load_forget(load);
	bed_stop_store(w, 1, true);
	sim_run(w->sim, 2 * NSEC_PER_SEC);
	expect_shorter(load, 1200 * NSEC_PER_MSEC);
	load_forget(load);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	expect_shorter(load, 100 * NSEC_PER_MSEC);
	load_end(load);
	bed_verify(w);
}

/* It comes back, and hangs again: once more one timeout, no more. */
static void peer_that_hangs_again_costs_one_timeout_each_time(void **state)
{
	struct bed *w = *state;
	struct load *load;

	prepare(w);
	load = load_start(w, WORKERS / 2);
	for (int i = 0; i < 5; i++) {
		sim_node_hang(w->node[1], 20 * NSEC_PER_SEC);
		sim_run(w->sim, 60 * NSEC_PER_SEC);
	}
	expect_shorter(load, 1200 * NSEC_PER_MSEC);
	load_end(load);
	bed_verify(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hung_peer_costs_one_timeout_under_mixed_load),
		TEST(hung_peer_costs_one_timeout_when_all_write),
		TEST(hung_peer_costs_one_timeout_when_all_read),
		TEST(hung_peer_hardly_delays_reads),
		TEST(killed_peer_costs_less_than_100_ms_under_load),
		TEST(crashed_peer_costs_one_timeout),
		TEST(peer_that_hangs_again_costs_one_timeout_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
