// SPDX-License-Identifier: Apache-2.0
/*
 * Choosing peers, falling over to others, giving up and waiting: what becomes
 * of reads when peers are slow, damaged, empty, fenced or gone.
 */
#include "test_reader_bed.h"

/* ---- tests ------------------------------------------------------------ */

static void contiguous_blocks_are_one_message(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(3, &a, &b);
	assert_int_equal(read_blocks(reader, 3, 10, 200), 0);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(a->asked + b->asked, 1);
	assert_int_equal(reader_stats(reader)->bytes, 200 * BLOCK_SIZE);
	assert_int_equal(reader_stats(reader)->retries, 0);
	bed_free(reader);
}

static void scattered_blocks_and_holes_are_put_together(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(256);

	for (uint32_t i = 0; i < 256; i++)
		if (i % 3)
			request->entries[i] = entry_of(
				block_addr(1 + i * 7 % 11, 1 + i * 3),
				i % 5 == 0);
	assert_int_equal(read_all(reader, request), 0);
	request_free(request);
	bed_free(reader);
}

static void holes_alone_need_no_peer(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(17);

	assert_int_equal(read_all(reader, request), 0);
	assert_int_equal(asked_all(), 0);
	request_free(request);
	bed_free(reader);
}

static void many_reads_are_bounded_and_all_finish(void **state)
{
	struct reader *reader = bed_new();
	struct request *request[40];
	unsigned int in_flight, most = 0;
	struct pending_call *pending;

	for (int n = 0; n < 40; n++) {
		request[n] = request_new(256);
		for (uint32_t i = 0; i < 256; i++)
			request[n]->entries[i] = entry_of(
				block_addr(n + 1, 2 * i + 1), 0);
		submit(reader, request[n]);
	}
	while (step()) {
		in_flight = 0;
		list_for_each_entry(pending, &calls, node)
			in_flight++;
		most = MAX(most, in_flight);
	}
	assert_in_range(most, 100, 256);
	for (int n = 0; n < 40; n++) {
		assert_true(request[n]->done);
		assert_int_equal(request[n]->err, 0);
		check_data(request[n]);
		request_free(request[n]);
	}
	bed_free(reader);
}

static void damage_is_read_from_another_replica(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	a->behaviour = DAMAGED;
	for (int i = 0; i < 20; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_true(reader_stats(reader)->crc_errors > 0);
	assert_int_equal(bad_copies, reader_stats(reader)->crc_errors);
	/* It learns: b is asked from the first failure on. */
	assert_int_equal(a->asked, 1);
	bed_free(reader);
}

static void copies_damaged_in_different_places_make_a_good_one(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	set_all(NO_CHUNK);
	owners(9, &a, &b);
	a->behaviour = ODD_DAMAGED;
	b->behaviour = EVEN_DAMAGED;
	assert_int_equal(read_blocks(reader, 9, 5, 16), 0);
	bed_free(reader);
}

static void a_chunk_elsewhere_is_found_and_remembered(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b, *holder = NULL;
	uint32_t asked;

	set_all(NO_CHUNK);
	owners(12, &a, &b);
	for (unsigned int i = 0; i < PEERS; i++)
		if (&peers[i] != a && &peers[i] != b)
			holder = &peers[i];
	holder->behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	asked = asked_all();
	for (int i = 0; i < 10; i++)
		assert_int_equal(read_blocks(reader, 12, 70 * i, 16), 0);
	assert_int_equal(asked_all(), asked + 10);
	/* Wrong from now on: the hint goes. */
	holder->behaviour = NO_CHUNK;
	a->behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void a_chunk_of_the_previous_ring_is_found(void **state)
{
	struct reader *reader = bed_new();

	ring_free(ring);
	previous_ring = make_ring(4, 0, 2);
	ring = make_ring(5, 2, PEERS);
	set_all(NO_CHUNK);
	peers[1].behaviour = GOOD;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void no_good_copy_anywhere_is_an_error(void **state)
{
	struct reader *reader = bed_new();

	set_all(NO_CHUNK);
	peers[2].behaviour = DAMAGED;
	peers[3].behaviour = SHORT;
	assert_int_equal(read_blocks(reader, 12, 5, 16), -EIO);
	assert_true(now < 2 * NSEC_PER_SEC);
	bed_free(reader);
}

static void a_missing_answer_is_waited_for(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);

	set_all(NO_CHUNK);
	peers[4].behaviour = DOWN;
	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	while (now < 10 * NSEC_PER_SEC)
		assert_true(step());
	assert_false(request->done);
	/* Waiting is not spinning. */
	assert_true(asked_all() < 4 * 40);
	peers[4].behaviour = GOOD;
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, 0);
	check_data(request);
	assert_true(now < 11 * NSEC_PER_SEC);
	request_free(request);
	bed_free(reader);
}

static void replace_ring(uint64_t version, uint32_t from, uint32_t to)
{
	previous_ring = ring;
	ring = make_ring(version, from, to);
}

/* Removed from the ring for good; the previous one still names it. */
static void a_forgotten_peer_is_not_waited_for(void **state)
{
	struct reader *reader = bed_new();

	replace_ring(5, 0, PEERS - 1);
	set_all(NO_CHUNK);
	peers[2].behaviour = DAMAGED;
	peers[PEERS - 1].behaviour = DOWN;
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	peers[PEERS - 1].undocumented = true;
	assert_int_equal(read_blocks(reader, 12, 5, 16), -EIO);
	bed_free(reader);
}

/* The ring's watch may be ahead of the one of the peers. */
static void a_new_member_not_told_of_yet_is_waited_for(void **state)
{
	struct reader *reader = bed_new();

	replace_ring(5, 0, PEERS);
	set_all(NO_CHUNK);
	peers[PEERS - 1].behaviour = DOWN;
	peers[PEERS - 1].undocumented = true;
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	bed_free(reader);
}

static void peers_that_come_back_are_asked_at_once(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);
	uint64_t back;

	set_all(DOWN);
	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	while (now < 10 * NSEC_PER_SEC)
		assert_true(step());
	set_all(GOOD);
	back = now;
	reader_peers_changed(reader);
	while (!request->done)
		assert_true(step());
	assert_int_equal(request->err, 0);
	assert_true(now - back < 5 * NSEC_PER_MSEC);
	request_free(request);
	bed_free(reader);
}

static void waiting_ends_at_the_timeout(void **state)
{
	struct reader *reader = bed_new();
	uint64_t start = now;

	set_all(SILENT);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	assert_in_range(now - start, 30 * NSEC_PER_SEC, 31 * NSEC_PER_SEC);
	start = now;
	set_all(BUSY);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ETIMEDOUT);
	assert_in_range(now - start, 30 * NSEC_PER_SEC, 31 * NSEC_PER_SEC);
	bed_free(reader);
}

static void queued_reads_time_out_too(void **state)
{
	struct reader *reader = bed_new();
	struct request *request[3];

	set_all(SILENT);
	for (int n = 0; n < 3; n++) {
		request[n] = request_new(256);
		for (uint32_t i = 0; i < 256; i++)
			request[n]->entries[i] = entry_of(
				block_addr(n + 1, 2 * i + 1), 0);
		submit(reader, request[n]);
	}
	while (step())
		;
	for (int n = 0; n < 3; n++) {
		assert_int_equal(request[n]->err, -ETIMEDOUT);
		request_free(request[n]);
	}
	assert_true(now < 40 * NSEC_PER_SEC);
	bed_free(reader);
}

/* The deadline is that of whoever asked first, not of the moment of asking. */
static void reads_end_at_their_own_deadline(void **state)
{
	struct reader *reader = bed_new();
	struct request *running = request_new(256);
	struct request *queued = request_new(16), *urgent = request_new(16);

	set_all(SILENT);
	for (uint32_t i = 0; i < 256; i++)
		running->entries[i] = entry_of(block_addr(1, 2 * i + 1), 0);
	for (uint32_t i = 0; i < 16; i++)
		queued->entries[i] = urgent->entries[i] =
			entry_of(block_addr(2, 2 * i + 1), 0);
	running->read.deadline = now + 20 * NSEC_PER_SEC;
	urgent->read.deadline = now + 4 * NSEC_PER_SEC;
	submit(reader, running);
	submit(reader, queued);
	submit(reader, urgent);
	while (!urgent->done)
		assert_true(step());
	assert_int_equal(urgent->err, -ETIMEDOUT);
	assert_in_range(now, 4 * NSEC_PER_SEC, 5 * NSEC_PER_SEC);
	while (!running->done)
		assert_true(step());
	assert_in_range(now, 20 * NSEC_PER_SEC, 21 * NSEC_PER_SEC);
	while (!queued->done)
		assert_true(step());
	assert_in_range(now, 30 * NSEC_PER_SEC, 31 * NSEC_PER_SEC);
	request_free(running);
	request_free(queued);
	request_free(urgent);
	bed_free(reader);
}

static void a_fenced_reader_stops(void **state)
{
	struct reader *reader = bed_new();

	set_all(FENCED);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ESTALE);
	assert_int_equal(fenced_calls, 1);
	assert_int_equal(fenced_epoch, 99);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(read_blocks(reader, 12, 5, 16), -ESTALE);
	assert_int_equal(asked_all(), 1);
	assert_int_equal(fenced_calls, 1);
	set_all(GOOD);
	reader_set_epoch(reader, 5);
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	bed_free(reader);
}

static void holders_are_asked_first(void **state)
{
	struct reader *reader = bed_new();

	set_all(DAMAGED);
	peers[3].behaviour = GOOD;
	holder_ids[0] = peers[3].id;
	holder_count = 1;
	assert_int_equal(read_blocks(reader, 12, 5, 16), 0);
	assert_int_equal(asked_all(), 1);
	bed_free(reader);
}

static void reads_spread_over_the_owners(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	for (int i = 0; i < 200; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_int_equal(a->asked + b->asked, 200);
	assert_in_range(a->asked, 50, 150);
	bed_free(reader);
}

static void a_slow_owner_is_avoided(void **state)
{
	struct reader *reader = bed_new();
	struct peer *a, *b;

	owners(9, &a, &b);
	a->latency_ns = 100 * NSEC_PER_MSEC;
	for (int i = 0; i < 200; i++)
		assert_int_equal(read_blocks(reader, 9, 64 * i, 8), 0);
	assert_int_equal(a->asked + b->asked,
			 200 + reader_stats(reader)->hedges);
	assert_in_range(a->asked, 1, 20);
	bed_free(reader);
}

static void an_unknown_ancestor_is_refused(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(2);

	request->entries[0] = entry_of(block_addr(12, 3), 0);
	request->entries[1] = entry_of(block_addr(12, 4), 9);
	assert_int_equal(read_all(reader, request), -EUCLEAN);
	request_free(request);
	bed_free(reader);
}

static void freeing_cancels_what_is_in_flight(void **state)
{
	struct reader *reader = bed_new();
	struct request *request = request_new(1);

	request->entries[0] = entry_of(block_addr(12, 3), 0);
	submit(reader, request);
	assert_true(step());
	assert_false(list_empty(&calls));
	bed_free(reader);
	assert_false(request->done);
	request_free(request);
}

static struct reader *to_free;

static void free_reader(struct block_read *read, int err)
{
	request_done(read, err);
	reader_free(to_free);
}

static void the_reader_may_be_freed_in_done(void **state)
{
	struct reader *reader = bed_new();
	struct request *a = request_new(1), *b = request_new(1);

	to_free = reader;
	submit(reader, a);
	submit(reader, b);
	a->read.done = free_reader;
	while (step())
		;
	assert_true(a->done);
	assert_false(b->done);
	request_free(a);
	request_free(b);
	ring_free(ring);
}

static enum behaviour random_behaviour(uint64_t *seed)
{
	static const enum behaviour kinds[] = {
		GOOD, GOOD, GOOD, DAMAGED, NO_CHUNK, ODD_DAMAGED,
		EVEN_DAMAGED, FAILING, SILENT, BUSY, DOWN, SHORT,
	};

	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return kinds[(*seed >> 33) % ARRAY_SIZE(kinds)];
}

/* Whatever the peers do, data is right, or the read fails as it must. */
static void any_mix_of_faults_gives_right_data_or_an_error(void **state)
{
	uint64_t seed = 77;
	unsigned int good = 0;

	for (int round = 0; round < 300; round++) {
		struct reader *reader = bed_new();
		struct request *request = request_new(64);

		for (uint32_t i = 0; i < 64; i++)
			request->entries[i] = entry_of(
				block_addr(1 + i / 20, i + i / 7 * 5), 0);
		submit(reader, request);
		for (int i = 0; !request->done; i++) {
			if (i % 10 == 0)
				for (unsigned int p = 0; p < PEERS; p++)
					peers[p].behaviour =
						random_behaviour(&seed);
			assert_true(step());
			assert_true(i < 100000);
		}
		if (!request->err) {
			check_data(request);
			good++;
		} else {
			assert_true(request->err == -EIO ||
				    request->err == -ETIMEDOUT);
		}
		request_free(request);
		bed_free(reader);
	}
	assert_true(good > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contiguous_blocks_are_one_message),
		cmocka_unit_test(scattered_blocks_and_holes_are_put_together),
		cmocka_unit_test(holes_alone_need_no_peer),
		cmocka_unit_test(many_reads_are_bounded_and_all_finish),
		cmocka_unit_test(damage_is_read_from_another_replica),
		cmocka_unit_test(
			copies_damaged_in_different_places_make_a_good_one),
		cmocka_unit_test(a_chunk_elsewhere_is_found_and_remembered),
		cmocka_unit_test(a_chunk_of_the_previous_ring_is_found),
		cmocka_unit_test(no_good_copy_anywhere_is_an_error),
		cmocka_unit_test(a_missing_answer_is_waited_for),
		cmocka_unit_test(a_forgotten_peer_is_not_waited_for),
		cmocka_unit_test(a_new_member_not_told_of_yet_is_waited_for),
		cmocka_unit_test(peers_that_come_back_are_asked_at_once),
		cmocka_unit_test(waiting_ends_at_the_timeout),
		cmocka_unit_test(queued_reads_time_out_too),
		cmocka_unit_test(reads_end_at_their_own_deadline),
		cmocka_unit_test(a_fenced_reader_stops),
		cmocka_unit_test(holders_are_asked_first),
		cmocka_unit_test(reads_spread_over_the_owners),
		cmocka_unit_test(a_slow_owner_is_avoided),
		cmocka_unit_test(an_unknown_ancestor_is_refused),
		cmocka_unit_test(freeing_cancels_what_is_in_flight),
		cmocka_unit_test(the_reader_may_be_freed_in_done),
		cmocka_unit_test(
			any_mix_of_faults_gives_right_data_or_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
