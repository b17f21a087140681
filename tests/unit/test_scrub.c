// SPDX-License-Identifier: Apache-2.0
/* Scrub: damage is found, told, and healed from the other copies. */
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
#include "maint_bed.h"

#define BLOCKS	4u
#define SEC	NSEC_PER_SEC
#define MINUTE	(60 * SEC)

static struct scrub *scrub_of(struct mbed *w, unsigned int i)
{
	return &w->store[i].maint->scrub;
}

/* Three stores that own everything, and so many chunks on all of them. */
static void start_three(struct mbed *w, uint32_t chunks)
{
	unsigned int i;

	mbed_ring(w, 3, 0x7, 0);
	for (i = 0; i < 3; i++)
		mbed_start(w, i);
	mbed_put_many(w, chunks, BLOCKS, 0);
	for (i = 0; i < 3; i++)
		mbed_maintain(w, i);
	mbed_settle(w);
}

static void flip(struct mbed *w, unsigned int i, uint64_t chunk, uint32_t block)
{
	char path[64];

	snprintf(path, sizeof(path), "chunks/%016llx/%012llx", MBED_VOLUME,
		 (unsigned long long)chunk);
	assert_int_equal(0, sim_disk_flip(w->store[i].node, path,
					  block * BLOCK_SIZE + 77));
}

static void scrub_round(struct mbed *w, unsigned int i)
{
	struct scrub *s = scrub_of(w, i);

	scrub_action(s, WIRE_SCRUB_START);
	assert_true(s->now.in_round);
	while (s->now.in_round)
		assert_true(sim_step(w->sim));
}

static struct wire_maintenance_reply report(struct mbed *w, unsigned int i,
					    struct wire_finding *findings,
					    uint32_t *count)
{
	struct wire_maintenance_reply reply = { 0 };

	*count = scrub_report(scrub_of(w, i), &reply, findings,
			      WIRE_FINDINGS_MAX);
	return reply;
}

static struct wire_finding finding[WIRE_FINDINGS_MAX];

/* ---- finding and healing -------------------------------------------------- */

static void a_round_finds_damage_and_has_it_healed(void **state)
{
	struct wire_maintenance_reply reply;
	struct mbed *w = *state;
	uint32_t count;

	start_three(w, 20);
	flip(w, 1, 5, 2);
	flip(w, 1, 9, 0);
	scrub_round(w, 1);
	mbed_settle(w);
	reply = report(w, 1, finding, &count);
	assert_int_equal(2, count);
	assert_int_equal(2, le64_to_cpu(reply.scrub_bad));
	assert_int_equal(2, le64_to_cpu(reply.scrub_healed));
	assert_int_equal(20, le64_to_cpu(reply.scrub_chunks));
	assert_int_equal(WIRE_SCRUB_IDLE, le32_to_cpu(reply.scrub_state));
	assert_true(le64_to_cpu(reply.scrub_ended_ms) > 0);
	/* The newest first. */
	assert_int_equal(9, le64_to_cpu(finding[0].chunk));
	assert_int_equal(0, le32_to_cpu(finding[0].block));
	assert_int_equal(5, le64_to_cpu(finding[1].chunk));
	assert_int_equal(MBED_VOLUME, le64_to_cpu(finding[1].volume));
	assert_int_equal(2, le32_to_cpu(finding[1].block));
	assert_int_equal(EXTENT_DATA, le32_to_cpu(finding[1].kind));
	/* Its record begins with volume block 1, in its second block. */
	assert_int_equal(2, le64_to_cpu(finding[1].volume_block));
	assert_int_equal(1, le32_to_cpu(finding[0].healed));
	assert_int_equal(1, le32_to_cpu(finding[1].healed));
	/* And now there is nothing to be found. */
	scrub_round(w, 1);
	report(w, 1, finding, &count);
	assert_int_equal(2, count);
	mbed_check_places(w);
}

static void a_doubted_copy_is_verified_at_once(void **state)
{
	struct mbed *w = *state;
	uint32_t count;

	start_three(w, 20);
	scrub_check(scrub_of(w, 2), MBED_VOLUME, 7);
	sim_run(w->sim, SEC);
	report(w, 2, finding, &count);
	assert_int_equal(0, count);
	flip(w, 2, 7, 3);
	/* However often it is said. */
	for (int i = 0; i < 1000; i++)
		scrub_check(scrub_of(w, 2), MBED_VOLUME, 7);
	assert_int_equal(1, scrub_of(w, 2)->check_count);
	sim_run(w->sim, 5 * SEC);
	mbed_settle(w);
	report(w, 2, finding, &count);
	assert_int_equal(1, count);
	assert_int_equal(1, le32_to_cpu(finding[0].healed));
	assert_int_equal(7, mbed_holders(w, 7));
}

/* The others learn sooner than by themselves that there is something to do. */
static void a_missing_copy_is_asked_for(void **state)
{
	struct mbed *w = *state;
	uint64_t chunk;

	mbed_ring(w, 3, 0x7, 0);
	mbed_start_all(w, 0x7);
	mbed_settle(w);
	chunk = mbed_put(w, 1, BLOCKS);
	scrub_check(scrub_of(w, 1), MBED_VOLUME, chunk);
	sim_run(w->sim, SEC);
	assert_true(mbed_has(w, 1, chunk));
	/* One that nobody has is not asked for for ever. */
	scrub_check(scrub_of(w, 1), MBED_VOLUME, 999);
	assert_false(scrub_idle(scrub_of(w, 1)));
	sim_run(w->sim, 2 * MINUTE);
	assert_true(scrub_idle(scrub_of(w, 1)));
}

static bool all_healed(struct mbed *w)
{
	for (unsigned int i = 0; i < 3; i++)
		if (scrub_of(w, i)->bad > scrub_of(w, i)->healed)
			return false;
	return true;
}

/* One good copy of three. */
static void two_bad_copies_of_a_chunk_are_healed_soon(void **state)
{
	struct mbed *w = *state;
	uint64_t began;

	start_three(w, 20);
	for (unsigned int good = 0; good < 3; good++) {
		for (uint64_t chunk = 1 + good; chunk <= 20; chunk += 3) {
			flip(w, (good + 1) % 3, chunk, 1);
			flip(w, (good + 2) % 3, chunk, 2);
		}
		began = sim_now(w->sim);
		for (unsigned int i = 0; i < 3; i++)
			scrub_action(scrub_of(w, i), WIRE_SCRUB_START);
		sim_run(w->sim, SEC);
		while (!all_healed(w))
			assert_true(sim_step(w->sim));
		assert_true(sim_now(w->sim) - began < 10 * SEC);
		mbed_settle(w);
	}
	for (uint64_t chunk = 1; chunk <= 20; chunk++)
		assert_int_equal(7, mbed_holders(w, chunk));
}

/* Of chunk 3; the other peers are away. */
static void find_a_bad_copy_alone(struct mbed *w)
{
	start_three(w, 20);
	flip(w, 0, 3, 1);
	mbed_stop(w, 1);
	mbed_stop(w, 2);
	scrub_round(w, 0);
}

/* Nobody there who could help: it is tried until somebody is. */
static void a_bad_copy_waits_for_the_others(void **state)
{
	struct mbed *w = *state;
	uint32_t count;

	find_a_bad_copy_alone(w);
	sim_run(w->sim, 10 * MINUTE);
	report(w, 0, finding, &count);
	assert_int_equal(1, count);
	assert_int_equal(0, le32_to_cpu(finding[0].healed));
	assert_false(scrub_idle(scrub_of(w, 0)));
	mbed_start_all(w, 0x6);
	mbed_settle(w);
	report(w, 0, finding, &count);
	assert_int_equal(1, le32_to_cpu(finding[0].healed));
	assert_int_equal(7, mbed_holders(w, 3));
}

static void what_was_bad_before_a_restart_is_healed_after_it(void **state)
{
	struct mbed *w = *state;
	uint32_t count;

	find_a_bad_copy_alone(w);
	mbed_stop(w, 0);
	mbed_start_all(w, 0x7);
	mbed_settle(w);
	report(w, 0, finding, &count);
	assert_int_equal(1, count);
	assert_int_equal(3, le64_to_cpu(finding[0].chunk));
	assert_int_equal(1, le32_to_cpu(finding[0].healed));
	assert_int_equal(7, mbed_holders(w, 3));
}

static void more_bad_copies_than_are_looked_after_at_a_time(void **state)
{
	struct wire_maintenance_reply reply;
	uint32_t chunks = 2 * SCRUB_HEALS + 30, count;
	struct mbed *w = *state;

	start_three(w, chunks);
	for (uint64_t chunk = 1; chunk <= chunks; chunk++)
		flip(w, 1, chunk, chunk % BLOCKS);
	/* Found while there is nobody to heal them. */
	mbed_stop(w, 0);
	mbed_stop(w, 2);
	scrub_round(w, 1);
	sim_run(w->sim, 10 * MINUTE);
	reply = report(w, 1, finding, &count);
	assert_int_equal(chunks, le64_to_cpu(reply.scrub_bad));
	assert_int_equal(0, le64_to_cpu(reply.scrub_healed));
	mbed_start_all(w, 0x5);
	mbed_settle(w);
	reply = report(w, 1, finding, &count);
	assert_int_equal(chunks, le64_to_cpu(reply.scrub_bad));
	assert_int_equal(chunks, le64_to_cpu(reply.scrub_healed));
	scrub_round(w, 1);
	mbed_check_places(w);
	reply = report(w, 1, finding, &count);
	assert_int_equal(chunks, le64_to_cpu(reply.scrub_bad));
}

/* ---- when and how fast ------------------------------------------------------ */

static void rounds_come_by_themselves_and_not_all_at_once(void **state)
{
	struct mbed *w = *state;
	uint64_t began[3], ended[3];

	w->cfg.scrub_interval_ns = 1000 * MINUTE;
	start_three(w, 5);
	sim_run(w->sim, 1001 * MINUTE);
	for (unsigned int i = 0; i < 3; i++) {
		began[i] = scrub_of(w, i)->now.began_ms;
		ended[i] = scrub_of(w, i)->now.ended_ms;
		assert_true(ended[i] >= began[i] && began[i] > 0);
	}
	assert_true(began[0] != began[1] && began[1] != began[2]);
	sim_run(w->sim, 1001 * MINUTE);
	for (unsigned int i = 0; i < 3; i++)
		assert_in_range(scrub_of(w, i)->now.began_ms,
				began[i] + 1000 * 60000,
				began[i] + 1000 * 60000 + 2000);
}

static void a_round_keeps_to_its_rate(void **state)
{
	struct mbed *w = *state;
	uint64_t began;

	w->cfg.scrub_rate = 64u << 10;
	start_three(w, 30);
	began = sim_now(w->sim);
	scrub_round(w, 0);
	assert_true(sim_now(w->sim) - began >=
		    30 * BLOCKS * BLOCK_SIZE * SEC / w->cfg.scrub_rate);
	/* And is not idle in between. */
	assert_true(sim_now(w->sim) - began < 5 * MINUTE);
}

/* A copy of a whole chunk is not read all at once. */
static void a_large_copy_is_read_at_the_rate(void **state)
{
	struct mbed *w = *state;
	uint64_t began, bytes;
	uint32_t count;

	w->cfg.scrub_rate = 1u << 20;
	mbed_ring(w, 3, 0x1, 0);
	mbed_start(w, 0);
	mbed_put(w, 1, 3000);
	mbed_maintain(w, 0);
	mbed_settle(w);
	began = sim_now(w->sim);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, SEC);
	assert_true(scrub_of(w, 0)->verifying);
	/* Meanwhile it can be seen that it gets on. */
	bytes = le64_to_cpu(report(w, 0, finding, &count).scrub_bytes);
	sim_run(w->sim, 5 * SEC);
	assert_true(scrub_of(w, 0)->verifying);
	assert_in_range(le64_to_cpu(report(w, 0, finding, &count).scrub_bytes),
			bytes + w->cfg.scrub_rate / 2,
			3000 * BLOCK_SIZE);
	while (scrub_of(w, 0)->verifying)
		assert_true(sim_step(w->sim));
	assert_in_range(sim_now(w->sim) - began, 10 * SEC, 50 * SEC);
	assert_in_range(le64_to_cpu(report(w, 0, finding, &count).scrub_bytes),
			3000 * BLOCK_SIZE, 3100 * BLOCK_SIZE);
}

static void a_restart_goes_on_where_it_was(void **state)
{
	struct mbed *w = *state;
	uint64_t before, began;

	w->cfg.scrub_rate = 8u << 10;
	start_three(w, 60);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, 5 * MINUTE);
	before = scrub_of(w, 0)->now.chunks;
	began = scrub_of(w, 0)->now.began_ms;
	assert_in_range(before, 20, 55);
	mbed_stop(w, 0);
	mbed_start_all(w, 1);
	sim_run(w->sim, SEC);
	assert_true(scrub_of(w, 0)->now.in_round);
	assert_int_equal(began, scrub_of(w, 0)->now.began_ms);
	/* It is saved once a minute. */
	assert_in_range(scrub_of(w, 0)->now.chunks, before - 15, before + 1);
	while (scrub_of(w, 0)->now.in_round)
		assert_true(sim_step(w->sim));
	assert_int_equal(60, scrub_of(w, 0)->now.chunks);
}

static void a_pause_lasts_until_it_is_ended(void **state)
{
	struct wire_maintenance_reply reply;
	struct mbed *w = *state;
	uint64_t chunks;
	uint32_t count;

	w->cfg.scrub_rate = 8u << 10;
	start_three(w, 60);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, MINUTE);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_PAUSE);
	sim_run(w->sim, MINUTE);
	chunks = scrub_of(w, 0)->now.chunks;
	mbed_stop(w, 0);
	mbed_start_all(w, 1);
	sim_run(w->sim, 60 * MINUTE);
	reply = report(w, 0, finding, &count);
	assert_int_equal(WIRE_SCRUB_PAUSED, le32_to_cpu(reply.scrub_state));
	assert_int_equal(chunks, le64_to_cpu(reply.scrub_chunks));
	/* What is doubted does not wait. */
	flip(w, 0, 50, 2);
	scrub_check(scrub_of(w, 0), MBED_VOLUME, 50);
	sim_run(w->sim, 5 * SEC);
	mbed_settle(w);
	report(w, 0, finding, &count);
	assert_int_equal(1, le32_to_cpu(finding[0].healed));
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_RESUME);
	while (scrub_of(w, 0)->now.in_round)
		assert_true(sim_step(w->sim));
	assert_int_equal(60, scrub_of(w, 0)->now.chunks);
}

/* What is written while it runs is no reason to begin anew or to stop. */
static void start_begins_anew(void **state)
{
	struct mbed *w = *state;

	w->cfg.scrub_rate = 8u << 10;
	start_three(w, 60);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, 5 * MINUTE);
	assert_true(scrub_of(w, 0)->now.chunks > 10);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, MINUTE);
	assert_true(scrub_of(w, 0)->now.chunks < 10);
	while (scrub_of(w, 0)->now.in_round)
		assert_true(sim_step(w->sim));
	assert_int_equal(60, scrub_of(w, 0)->now.chunks);
}

/* ---- the file ------------------------------------------------------------------ */

static void what_is_saved_is_read_again(void **state)
{
	struct scrub_saved saved = {
		.in_round = true, .paused = true,
		.cursor = { UINT64_MAX, 0xffffffffffffull },
		.next_ms = UINT64_MAX, .began_ms = UINT64_MAX,
		.ended_ms = UINT64_MAX, .chunks = UINT64_MAX,
		.bytes = UINT64_MAX,
	}, again;
	char text[SCRUB_TEXT_MAX], text_again[SCRUB_TEXT_MAX];
	size_t len = scrub_saved_format(&saved, text, sizeof(text));

	assert_true(len < sizeof(text));
	assert_int_equal(0, scrub_saved_parse(text, len, &again));
	scrub_saved_format(&again, text_again, sizeof(text_again));
	assert_string_equal(text, text_again);
	/* Whatever is cut off or comes after it. */
	for (size_t cut = 0; cut + 2 < len; cut++)
		assert_int_equal(-EINVAL, scrub_saved_parse(text, cut, &again));
	text[len] = 'x';
	assert_int_equal(-EINVAL, scrub_saved_parse(text, len + 1, &again));
	memset(text + len, '\n', sizeof(text) - len);
	assert_int_equal(0, scrub_saved_parse(text, sizeof(text), &again));
	text[12] = '2';
	assert_int_equal(-EINVAL, scrub_saved_parse(text, len, &again));
}

static void a_file_that_makes_no_sense_is_no_reason_to_stop(void **state)
{
	struct mbed *w = *state;

	w->cfg.scrub_rate = 8u << 10;
	start_three(w, 60);
	scrub_action(scrub_of(w, 0), WIRE_SCRUB_START);
	sim_run(w->sim, 3 * MINUTE);
	mbed_stop(w, 0);
	assert_int_equal(0, sim_disk_flip(w->store[0].node, "scrub", 1));
	mbed_start_all(w, 1);
	sim_run(w->sim, SEC);
	assert_true(scrub_of(w, 0)->loaded);
	assert_int_equal(0, scrub_of(w, 0)->now.chunks);
	scrub_round(w, 0);
	assert_int_equal(60, scrub_of(w, 0)->now.chunks);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, mbed_setup, mbed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_round_finds_damage_and_has_it_healed),
		TEST(a_doubted_copy_is_verified_at_once),
		TEST(a_missing_copy_is_asked_for),
		TEST(two_bad_copies_of_a_chunk_are_healed_soon),
		TEST(a_bad_copy_waits_for_the_others),
		TEST(what_was_bad_before_a_restart_is_healed_after_it),
		TEST(more_bad_copies_than_are_looked_after_at_a_time),
		TEST(rounds_come_by_themselves_and_not_all_at_once),
		TEST(a_round_keeps_to_its_rate),
		TEST(a_large_copy_is_read_at_the_rate),
		TEST(a_restart_goes_on_where_it_was),
		TEST(a_pause_lasts_until_it_is_ended),
		TEST(start_begins_anew),
		cmocka_unit_test(what_is_saved_is_read_again),
		TEST(a_file_that_makes_no_sense_is_no_reason_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
