// SPDX-License-Identifier: Apache-2.0
/*
 * Requests of 512 bytes and up over an engine that takes whole blocks only,
 * does each request at some moment between submit and done, and completes in
 * any order, against a plain array of bytes.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "volume/unaligned.h"

#define BLOCK		4096u
#define SECTOR		512u
#define SECTORS		512u
#define SIZE		(SECTORS * SECTOR)
#define REQUESTS	16u

struct queued {
	struct volume_request *req;
	bool done;			/* the data has moved */
	int err;
};

struct front {
	struct volume_request req;
	uint8_t buffer[40 * SECTOR];
	uint8_t want[40 * SECTOR];	/* of a read */
	bool busy;
	int err;
};

static uint8_t disk[SIZE], model[SIZE];
static struct queued queue[256];
static unsigned int queue_count, most_queued;
static struct front fronts[REQUESTS];
static struct unaligned *u;
static uint64_t seed;
static int engine_err;
static unsigned int finished_now, rmw_reads;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* ---- the engine ------------------------------------------------------- */

static uint64_t submissions;

static bool is_submitted(const struct volume_request *req)
{
	for (unsigned int i = 0; i < REQUESTS; i++) {
		uint64_t start = fronts[i].req.offset / BLOCK * BLOCK;

		if (fronts[i].busy && req->offset >= start &&
		    fronts[i].req.submitted == req->submitted)
			return true;
	}
	return false;
}

static void engine_submit(void *ctx, struct volume_request *req)
{
	(void)ctx;
	assert_int_equal(req->offset % BLOCK, 0);
	assert_int_equal(req->length % BLOCK, 0);
	assert_true(req->op == VOLUME_FLUSH || req->length > 0);
	/* A part is as old as its request: time does not begin anew. */
	assert_true(is_submitted(req));
	assert_true(req->offset + req->length <= SIZE);
	assert_true(queue_count < ARRAY_SIZE(queue));
	queue[queue_count++] = (struct queued){
		.req = req, .err = engine_err,
	};
	most_queued = MAX(most_queued, queue_count);
	if (req->op == VOLUME_READ)
		rmw_reads++;
}

static void engine_finish(void *ctx, struct volume_request *req, int err)
{
	(void)ctx;
	assert_true(queue_count < ARRAY_SIZE(queue));
	queue[queue_count++] = (struct queued){
		.req = req, .done = true, .err = err,
	};
	finished_now++;
}

static void move_data(struct queued *q)
{
	struct volume_request *req = q->req;

	q->done = true;
	if (q->err)
		return;
	if (req->op == VOLUME_READ)
		memcpy(req->buffer, disk + req->offset, req->length);
	else if (req->op == VOLUME_WRITE)
		memcpy(disk + req->offset, req->buffer, req->length);
	else if (req->op != VOLUME_FLUSH)
		memset(disk + req->offset, 0, req->length);
}

static bool engine_step(void)
{
	struct queued *q, over;

	if (!queue_count)
		return false;
	q = &queue[draw(queue_count)];
	if (!q->done) {
		move_data(q);
		return true;
	}
	over = *q;
	*q = queue[--queue_count];
	over.req->done(over.req, over.err);
	return true;
}

static void settle(void)
{
	while (engine_step())
		;
	assert_true(unaligned_idle(u));
}

/* ---- the front end ---------------------------------------------------- */

static void front_done(struct volume_request *req, int err)
{
	struct front *f = container_of(req, struct front, req);

	assert_true(f->busy);
	f->busy = false;
	f->err = err;
	if (!err && req->op == VOLUME_READ)
		assert_memory_equal(f->buffer, f->want, req->length);
}

static struct front *submit(enum volume_op op, uint32_t sector, uint32_t count)
{
	struct front *f = NULL;

	for (unsigned int i = 0; i < REQUESTS && !f; i++)
		if (!fronts[i].busy)
			f = &fronts[i];
	assert_non_null(f);
	f->busy = true;
	f->req = (struct volume_request){
		.op = op, .offset = (uint64_t)sector * SECTOR,
		.length = (uint64_t)count * SECTOR,
		.buffer = op == VOLUME_READ || op == VOLUME_WRITE ?
			  f->buffer : NULL,
		.submitted = ++submissions, .done = front_done,
	};
	if (op == VOLUME_WRITE) {
		for (uint32_t i = 0; i < count * SECTOR; i++)
			f->buffer[i] = draw(256);
		memcpy(model + f->req.offset, f->buffer, f->req.length);
	} else if (op == VOLUME_ZERO) {
		memset(model + f->req.offset, 0, f->req.length);
	} else if (op == VOLUME_READ) {
		memcpy(f->want, model + f->req.offset, f->req.length);
	}
	unaligned_submit(u, &f->req);
	return f;
}

/* Requests that are under way may share blocks, not sectors. */
static bool is_free(uint32_t sector, uint32_t count)
{
	for (unsigned int i = 0; i < REQUESTS; i++) {
		const struct front *f = &fronts[i];
		uint64_t first = f->req.offset / SECTOR;
		uint64_t end = first + f->req.length / SECTOR;

		if (f->busy && sector < end && first < sector + count)
			return false;
	}
	return true;
}

static unsigned int busy_count(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < REQUESTS; i++)
		n += fronts[i].busy;
	return n;
}

static void submit_random(void)
{
	static const enum volume_op ops[] = {
		VOLUME_READ, VOLUME_WRITE, VOLUME_WRITE, VOLUME_ZERO,
	};
	uint32_t sector = draw(SECTORS), count = 1 + draw(draw(3) ? 6 : 39);

	if (draw(3) == 0) {
		sector &= ~7u;
		count = 8 * (1 + draw(4));
	}
	/* Crowd into few blocks, so that they meet. */
	if (draw(2))
		sector %= 40;
	if (sector + count > SECTORS || busy_count() == REQUESTS ||
	    !is_free(sector, count))
		return;
	submit(ops[draw(ARRAY_SIZE(ops))], sector, count);
}

static int setup(void **state)
{
	const struct unaligned_config cfg = {
		.submit = engine_submit, .finish = engine_finish,
	};

	(void)state;
	memset(fronts, 0, sizeof(fronts));
	queue_count = most_queued = finished_now = rmw_reads = 0;
	engine_err = 0;
	seed = 99;
	for (uint32_t i = 0; i < SIZE; i++)
		disk[i] = model[i] = draw(256);
	u = unaligned_new(&cfg);
	return u ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unaligned_free(u);
	return 0;
}

/* ---- tests ------------------------------------------------------------ */

static void agrees_with_an_array_of_bytes(void **state)
{
	(void)state;
	for (int i = 0; i < 60000; i++) {
		if (draw(3) == 0)
			submit_random();
		else
			engine_step();
	}
	settle();
	assert_memory_equal(disk, model, SIZE);
}

static void aligned_requests_pass_straight_through(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		submit(VOLUME_WRITE, 8 * i, 8);
	submit(VOLUME_FLUSH, 0, 0);
	assert_int_equal(queue_count, 6);
	settle();
	assert_int_equal(rmw_reads, 0);
	assert_memory_equal(disk, model, SIZE);
}

static void a_partial_write_waits_for_a_whole_one_of_its_block(void **state)
{
	(void)state;
	submit(VOLUME_WRITE, 0, 16);
	assert_int_equal(queue_count, 1);
	/* Other sectors of block 1 on purpose overwritten: later wins. */
	submit(VOLUME_WRITE, 9, 1);
	assert_int_equal(queue_count, 1);
	submit(VOLUME_WRITE, 8, 8);		/* whole again: after both */
	assert_int_equal(queue_count, 1);
	submit(VOLUME_WRITE, 100 * 4, 8);	/* elsewhere: at once */
	assert_int_equal(queue_count, 2);
	settle();
	assert_memory_equal(disk, model, SIZE);
}

/* Memory may be what the write is to make free. */
static void whole_blocks_are_written_without_memory(void **state)
{
	size_t before = mallinfo2().uordblks;
	unsigned int i;

	for (i = 0; i < REQUESTS; i++)
		submit(VOLUME_WRITE, i * 8, 8);
	assert_int_equal(mallinfo2().uordblks, before);
	settle();
}

static void trims_round_inwards(void **state)
{
	uint8_t before[SIZE];

	(void)state;
	memcpy(before, disk, SIZE);
	submit(VOLUME_TRIM, 1, 7);
	submit(VOLUME_TRIM, 4, 9);
	assert_int_equal(finished_now, 2);
	settle();
	assert_memory_equal(disk, before, SIZE);
	submit(VOLUME_TRIM, 3, 30);		/* blocks 1 to 3 */
	settle();
	memset(before + BLOCK, 0, 3 * BLOCK);
	assert_memory_equal(disk, before, SIZE);
}

static void zeroes_are_exact(void **state)
{
	(void)state;
	submit(VOLUME_ZERO, 3, 30);
	settle();
	assert_memory_equal(disk, model, SIZE);
	submit(VOLUME_ZERO, 50, 2);
	settle();
	assert_memory_equal(disk, model, SIZE);
}

static void errors_reach_the_front_end_once(void **state)
{
	struct front *f;

	(void)state;
	engine_err = -EIO;
	f = submit(VOLUME_WRITE, 3, 30);
	settle();
	assert_int_equal(f->err, -EIO);
	f = submit(VOLUME_READ, 3, 30);
	settle();
	assert_int_equal(f->err, -EIO);
	/* What waited behind goes on. */
	engine_err = -EIO;
	f = submit(VOLUME_WRITE, 3, 2);
	engine_err = 0;
	submit(VOLUME_WRITE, 1, 1);
	settle();
	assert_int_equal(f->err, -EIO);
	assert_memory_equal(disk + SECTOR, model + SECTOR, SECTOR);
}

static void fua_reaches_every_part(void **state)
{
	struct front *f = &fronts[0];

	(void)state;
	f->busy = true;
	f->req = (struct volume_request){
		.op = VOLUME_WRITE, .fua = true, .offset = 3 * SECTOR,
		.length = 30 * SECTOR, .buffer = f->buffer,
		.submitted = ++submissions, .done = front_done,
	};
	unaligned_submit(u, &f->req);
	while (queue_count && queue[0].req->op == VOLUME_READ)
		engine_step();
	assert_int_equal(queue_count, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_true(queue[i].req->fua);
	settle();
}

static void it_may_be_freed_with_requests_under_way(void **state)
{
	(void)state;
	submit(VOLUME_WRITE, 0, 16);
	submit(VOLUME_WRITE, 9, 1);
	submit(VOLUME_READ, 30, 1);
	engine_step();
	assert_false(unaligned_idle(u));
	unaligned_free(u);
	u = NULL;
}

static void free_all(struct volume_request *req, int err)
{
	front_done(req, err);
	unaligned_free(u);
	u = NULL;
}

static void it_may_be_freed_in_done(void **state)
{
	struct front *f;

	(void)state;
	f = submit(VOLUME_WRITE, 3, 1);
	f->req.done = free_all;
	submit(VOLUME_WRITE, 2, 1);
	while (u)
		assert_true(engine_step());
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(agrees_with_an_array_of_bytes),
		TEST(aligned_requests_pass_straight_through),
		TEST(a_partial_write_waits_for_a_whole_one_of_its_block),
		TEST(whole_blocks_are_written_without_memory),
		TEST(trims_round_inwards),
		TEST(zeroes_are_exact),
		TEST(errors_reach_the_front_end_once),
		TEST(fua_reaches_every_part),
		TEST(it_may_be_freed_with_requests_under_way),
		TEST(it_may_be_freed_in_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
