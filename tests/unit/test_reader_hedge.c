// SPDX-License-Identifier: Apache-2.0
/*
 * Hedged reads: what a slow or hung peer costs those who read from it, and
 * where late answers go.
 */
#include "test_reader_bed.h"

/* Blocks that have the same first choice, read one after the other. */
#define CHUNK 9u

/* One that knows how fast the chunk's owners are; of these it asks @a first. */
static struct reader *warm_reader(struct peer **a, struct peer **b)
{
	struct reader *reader = bed_new();

	owners(CHUNK, a, b);
	for (int i = 0; i < 200; i++)
		assert_int_equal(read_blocks(reader, CHUNK, 64 * i, 8), 0);
	return reader;
}

/* The longest of @count reads all over the chunk. */
static uint64_t longest(struct reader *reader, int count)
{
	uint64_t most = 0, began;

	for (int i = 0; i < count; i++) {
		began = now;
		assert_int_equal(read_blocks(reader, CHUNK, 64 * i, 8), 0);
		most = MAX(most, now - began);
	}
	return most;
}

static void a_hung_peer_costs_a_few_milliseconds(void **state)
{
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	assert_int_equal(reader_stats(reader)->hedges, 0);
	a->behaviour = SILENT;
	assert_true(longest(reader, 1000) < 5 * NSEC_PER_MSEC);
	assert_true(reader_stats(reader)->hedge_wins > 0);
	assert_int_equal(reader_stats(reader)->hedges,
			 reader_stats(reader)->hedge_wins);
	assert_int_equal(reader_stats(reader)->retries, 0);
	assert_int_equal(a->abandoned, reader_stats(reader)->hedge_wins);
	/* It is avoided, and not hedged for ever. */
	assert_in_range(a->asked, 100, 250);
	bed_free(reader);
}

/* A store that answers late, but for whom it may be late: nobody else is up. */
static void there_is_no_hedge_without_another_owner(void **state)
{
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	b->behaviour = DOWN;
	a->latency_ns = 50 * NSEC_PER_MSEC;
	assert_true(longest(reader, 10) < 60 * NSEC_PER_MSEC);
	assert_int_equal(reader_stats(reader)->hedges, 0);
	bed_free(reader);
}

/* Everybody is slow at once: that is no reason to read all twice. */
static void hedges_are_a_twentieth_of_the_reads(void **state)
{
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);
	uint32_t asked;

	asked = asked_all();
	for (int i = 0; i < 1000; i++) {
		/* Always slower than all that was known. */
		a->latency_ns = (5 + i) * NSEC_PER_MSEC / 4;
		b->latency_ns = a->latency_ns;
		assert_int_equal(read_blocks(reader, CHUNK, 64 * i, 8), 0);
	}
	assert_true(reader_stats(reader)->hedges > 10);
	assert_true(asked_all() - asked <= 1000 + 16 + 1000 / 20 + 1);
	bed_free(reader);
}

/* Past replica_timeout it is asked of another, tokens or not. */
static void without_tokens_a_hung_peer_costs_its_timeout(void **state)
{
	struct request *request[64];
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);
	uint64_t began;

	reader->hedge_tokens = 0;
	a->behaviour = SILENT;
	began = now;
	for (int n = 0; n < 64; n++) {
		request[n] = request_new(8);
		for (uint32_t i = 0; i < 8; i++)
			request[n]->entries[i] = entry_of(
				block_addr(CHUNK, 64 * n + i), 0);
		submit(reader, request[n]);
	}
	while (step())
		;
	for (int n = 0; n < 64; n++) {
		assert_int_equal(request[n]->err, 0);
		check_data(request[n]);
		request_free(request[n]);
	}
	assert_true(reader_stats(reader)->hedge_wins > 10);
	assert_in_range(now - began, 500 * NSEC_PER_MSEC,
			1200 * NSEC_PER_MSEC);
	bed_free(reader);
}

/* Read with @a being so slow until both peers are asked. */
static struct request *start_hedged(struct reader *reader, struct peer *a,
				    uint64_t latency_ns)
{
	struct request *request;
	uint32_t hedges = (uint32_t)reader_stats(reader)->hedges;

	a->latency_ns = latency_ns;
	for (uint32_t at = 0;; at += 64) {
		uint32_t asked = a->asked;

		request = request_new(8);
		for (uint32_t i = 0; i < 8; i++)
			request->entries[i] = entry_of(
				block_addr(CHUNK, at + i), 0);
		submit(reader, request);
		while (!request->done &&
		       reader_stats(reader)->hedges == hedges)
			assert_true(step());
		if (!request->done) {
			assert_int_equal(a->asked, asked + 1);
			return request;
		}
		request_free(request);
	}
}

static struct pending_call *pending_of(const struct peer *peer)
{
	struct pending_call *pending;

	list_for_each_entry(pending, &calls, node)
		if (pending->peer == peer)
			return pending;
	return NULL;
}

static void finish_request(struct request *request)
{
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, 0);
	check_data(request);
	request_free(request);
}

static void the_first_peer_may_win(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
	pending_of(b)->due = now + NSEC_PER_SEC;
	finish_request(request);
	assert_int_equal(b->cancelled, 1);
	assert_int_equal(b->abandoned, 0);
	assert_int_equal(reader_stats(reader)->hedge_wins, 0);
	bed_free(reader);
}

/* Nobody writes into a buffer that another one is writing into. */
static void an_answer_that_arrives_is_waited_for(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 100 * NSEC_PER_MSEC);
	pending_of(a)->call->receiving = true;
	pending_of(b)->due = now + 1;
	while (pending_of(b))
		assert_true(step());
	assert_false(request->done);
	assert_int_equal(request->buffer[0], 0xee);
	finish_request(request);
	assert_int_equal(a->abandoned + a->cancelled, 0);
	assert_int_equal(reader_stats(reader)->hedge_wins, 0);
	bed_free(reader);
}

static void a_hedge_that_finds_damage_leaves_the_first_alone(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
	b->behaviour = DAMAGED;
	finish_request(request);
	assert_int_equal(bad_copies, 1);
	assert_int_equal(reader_stats(reader)->hedge_wins, 0);
	bed_free(reader);
}

/* Whatever the first says that is no data: the hedge is there already. */
static void a_failed_first_peer_leaves_the_hedge(void **state)
{
	static const enum behaviour kinds[] = { NO_CHUNK, DAMAGED, FAILING,
						BUSY, SHORT, ODD_DAMAGED };

	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct request *request;
		struct peer *a, *b;
		struct reader *reader = warm_reader(&a, &b);

		request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
		a->behaviour = kinds[k];
		pending_of(b)->due = now + 30 * NSEC_PER_MSEC;
		b->latency_ns = NSEC_PER_MSEC;
		finish_request(request);
		assert_int_equal(reader->peers.peer[0].outstanding, 0);
		assert_int_equal(reader->peers.peer[0].overdue, 0);
		bed_free(reader);
	}
}

static void when_both_fail_others_are_asked(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
	set_all(GOOD);
	a->behaviour = FAILING;
	b->behaviour = NO_CHUNK;
	finish_request(request);
	assert_true(asked_all() > a->asked + b->asked);
	for (uint32_t i = 0; i < reader->peers.count; i++) {
		assert_int_equal(reader->peers.peer[i].outstanding, 0);
		assert_int_equal(reader->peers.peer[i].overdue, 0);
	}
	bed_free(reader);
}

static void a_hedge_that_is_fenced_ends_the_read(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
	b->behaviour = FENCED;
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, -ESTALE);
	assert_int_equal(fenced_calls, 1);
	assert_true(list_empty(&calls));
	request_free(request);
	bed_free(reader);
}

static void freeing_cancels_the_hedge_too(void **state)
{
	struct request *request;
	struct peer *a, *b;
	struct reader *reader = warm_reader(&a, &b);

	request = start_hedged(reader, a, 10 * NSEC_PER_MSEC);
	bed_free(reader);
	assert_false(request->done);
	request_free(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hung_peer_costs_a_few_milliseconds),
		cmocka_unit_test(there_is_no_hedge_without_another_owner),
		cmocka_unit_test(hedges_are_a_twentieth_of_the_reads),
		cmocka_unit_test(without_tokens_a_hung_peer_costs_its_timeout),
		cmocka_unit_test(the_first_peer_may_win),
		cmocka_unit_test(an_answer_that_arrives_is_waited_for),
		cmocka_unit_test(
			a_hedge_that_finds_damage_leaves_the_first_alone),
		cmocka_unit_test(a_failed_first_peer_leaves_the_hedge),
		cmocka_unit_test(when_both_fail_others_are_asked),
		cmocka_unit_test(a_hedge_that_is_fenced_ends_the_read),
		cmocka_unit_test(freeing_cancels_the_hedge_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
