// SPDX-License-Identifier: Apache-2.0
/* The volume engine in a simulated cluster: what attaching makes of what it
 * finds. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/maintain.h"
#include "volume/recover.h"
#include "volume_bed.h"

static void assert_says(const struct bed *w, const char *part)
{
	if (strstr(error_text(w->err), part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", error_text(w->err), part);
}

/* An attach that ends with @err; what it says has to have @part in it. */
static void attach_fails(struct bed *w, int err, const char *part)
{
	assert_int_equal(err, bed_attach_on(w, w->host));
	assert_says(w, part);
	volume_free(w->volume);
	w->volume = NULL;
}

/* ---- somebody is ahead of the metadata ------------------------------------ */

static char *save_volume(struct bed *w)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	return strdup(sim_meta_value(w->sim, key));
}

static void restore_volume(struct bed *w, char *value)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, value);
}

static void put_volume(struct bed *w, const struct volume_doc *doc)
{
	restore_volume(w, volume_doc_encode(doc));
}

static void metadata_that_went_back_is_not_a_takeover(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	char *old;
	int i;

	bed_attach(w);
	bed_write_random(w, 10);
	assert_int_equal(0, bed_detach(w));
	old = save_volume(w);
	for (i = 0; i < 3; i++) {
		bed_attach(w);
		assert_int_equal(0, bed_detach(w));
	}
	restore_volume(w, old);
	attach_fails(w, -EUCLEAN, "older than the data of the peers");
	assert_says(w, "epoch 2 with this attachment");
	assert_says(w, "has seen epoch 4");
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	assert_false(doc.attachment.present);
	assert_int_equal(2, doc.epoch);
}

static void metadata_that_went_back_without_an_answer_at_first(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	uint64_t began;
	char *old;

	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	old = save_volume(w);
	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	restore_volume(w, old);
	w->volume = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		bed_get_volume(w, &doc);
	} while (!doc.attachment.present);
	sim_run(w->sim, NSEC_PER_MSEC / 10);
	sim_meta_unreachable(w->host, 10 * NSEC_PER_SEC);
	began = sim_now(w->sim);
	bed_wait_flag(w);
	assert_int_equal(-EUCLEAN, w->err);
	assert_says(w, "older than the data of the peers");
	assert_true(sim_now(w->sim) - began >= 9 * NSEC_PER_SEC);
}

static void takeover_while_attaching_names_the_new_host(void **state)
{
	struct bed *w = *state;
	struct volume *first;
	struct volume_doc doc;

	first = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		bed_get_volume(w, &doc);
	} while (!doc.attachment.present);
	sim_node_hang(w->host, 5 * NSEC_PER_SEC);
	w->cfg.force = true;
	assert_int_equal(0, bed_attach_on(w, w->other));
	w->flag = false;
	bed_wait_flag(w);
	assert_int_equal(-ESTALE, w->err);
	assert_says(w, "taken over by host other");
	volume_free(first);
	bed_write_random(w, 10);
	bed_verify(w);
	sim_node_kill(w->other);
	volume_free(w->volume);
	w->volume = NULL;
}

static bool reads_root(const struct attach *a)
{
	return a->root_known && a->root_busy;
}

static bool publishes(const struct attach *a)
{
	return a->phase == ATTACH_PUBLISH && a->meta_busy;
}

/* The front end frees the volume when it gets to it, not at once. */
static void fail_attach_when(struct bed *w,
			     bool (*now)(const struct attach *a))
{
	struct attach *a;

	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	w->volume = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		a = w->volume->attach;
	} while (!a || !now(a));
	/* What is freed from now on is no use to anybody. */
	mallopt(M_PERTURB, 0x5a);
	attach_fail(a, -EIO, "no matter why");
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	mallopt(M_PERTURB, 0);
	assert_int_equal(-EIO, w->err);
}

static void failed_attach_leaves_no_read_behind(void **state)
{
	fail_attach_when(*state, reads_root);
}

static void failed_attach_leaves_no_transaction_behind(void **state)
{
	fail_attach_when(*state, publishes);
}

/* ---- requests that do not wait for it ---------------------------------- */

static void early_requests_are_checked_against_the_size(void **state)
{
	const uint64_t end = (uint64_t)BLOCKS * BLOCK_SIZE;
	struct bed *w = *state;
	struct bed_io good, flush, beyond, across, trim;

	memset(w->data, 0, MIB);
	w->volume = bed_start_attach(w, w->host);
	bed_io_start(w, &good, VOLUME_WRITE, end - 4096, 4096, false);
	bed_io_start(w, &flush, VOLUME_FLUSH, 0, 0, false);
	bed_io_start(w, &beyond, VOLUME_WRITE, 1ull << 62, 4096, false);
	bed_io_start(w, &across, VOLUME_READ, end - 512, 1024, false);
	bed_io_start(w, &trim, VOLUME_TRIM, end - 4096, 8192, false);
	bed_wait_flag(w);
	assert_int_equal(0, w->err);
	while (w->open > 0)
		assert_true(sim_step(w->sim));
	assert_int_equal(0, good.err);
	assert_int_equal(0, flush.err);
	assert_int_equal(-EINVAL, beyond.err);
	assert_int_equal(-EINVAL, across.err);
	assert_int_equal(-EINVAL, trim.err);
	bed_verify(w);
}

/* ---- a device that survived ------------------------------------------------ */

/* The helper's process dies; what the driver remembers stays. */
static void lose_helper(struct bed *w)
{
	w->cfg.remembered = volume_acknowledged(w->volume);
	w->cfg.surviving = true;
	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
	sim_node_start(w->host);
}

static void surviving_device_is_told_what_the_log_has(void **state)
{
	struct bed *w = *state;
	struct log_position found;

	bed_attach(w);
	found = volume_remembered(w->volume);
	assert_int_equal(0, found.sequence);
	bed_write_random(w, 20);
	lose_helper(w);
	bed_attach(w);
	found = volume_remembered(w->volume);
	assert_int_equal(w->cfg.remembered.sequence, found.sequence);
	assert_int_equal(w->cfg.remembered.header_crc, found.header_crc);
	assert_true(volume_acknowledged(w->volume).sequence >= found.sequence);
	bed_verify(w);
}

static void surviving_device_refuses_another_record_in_its_place(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_write_random(w, 20);
	lose_helper(w);
	w->cfg.remembered.header_crc ^= 1;
	attach_fails(w, -ESTALE, "another record");
}

static void surviving_device_may_be_older_than_the_root(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	w->cfg.overlay_bytes = 16 << 10;
	bed_attach(w);
	bed_write_random(w, 5);
	w->cfg.remembered = volume_acknowledged(w->volume);
	bed_write_random(w, 200);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	assert_true(doc.root.sequence > w->cfg.remembered.sequence);
	w->cfg.surviving = true;
	sim_node_kill(w->host);
	volume_free(w->volume);
	sim_node_start(w->host);
	bed_attach(w);
	assert_int_equal(0, volume_remembered(w->volume).sequence);
	bed_verify(w);
}

/* ---- damage at the end of the log ------------------------------------------ */

static void lose_host(struct bed *w)
{
	struct sim_node *node = w->host;

	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
	sim_node_start(w->host);
	w->host = w->other;
	w->other = node;
	w->cfg.force = true;
	w->open = 0;
}

/* One peer got the record, nobody acknowledged it, and then it rots. */
static void rot_in_the_only_copy_of_the_last_record_ends_the_log(void **state)
{
	struct bed *w = *state;
	struct bed_io io;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_write_blocks(w, 8, 3, 0xaa, false));
	sim_net_block(w->host, w->node[1], 10 * NSEC_PER_SEC);
	sim_net_block(w->host, w->node[2], 10 * NSEC_PER_SEC);
	memset(w->data, 0xab, BLOCK_SIZE);
	bed_io_start(w, &io, VOLUME_WRITE, 9 * BLOCK_SIZE, BLOCK_SIZE, false);
	sim_run(w->sim, 200 * NSEC_PER_MSEC);
	assert_false(io.over);
	lose_host(w);
	assert_false(bed_rot_block(w, 1, 0xab));
	assert_true(bed_rot_block(w, 0, 0xab));
	bed_attach(w);
	bed_verify(w);
	bed_write_random(w, 30);
	bed_take_over(w);
	bed_verify(w);
}

/* Acknowledged, lost by two in the dark, and once misread from the third. */
static void one_bad_read_of_the_only_copy_does_not_end_the_log(void **state)
{
	struct bed *w = *state;
	char path[BED_PATH_MAX], found[BED_PATH_MAX];
	uint64_t offset, at;
	struct attach *a;
	unsigned int i;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_write_blocks(w, 9, 1, 0xab, false));
	lose_host(w);
	for (i = 1; i < 3; i++) {
		sim_node_disk_faults(w->node[i])->lose_all = true;
		bed_stop_store(w, i, true);
		bed_start_store(w, i);
	}
	assert_true(bed_find_block(w, 0, 0xab, path, &offset));
	assert_int_equal(0, sim_disk_flip(w->node[0], path, offset));
	w->volume = bed_start_attach(w, w->host);
	do {
		assert_true(sim_step(w->sim));
		a = w->volume->attach;
	} while (!a || a->item >= a->item_count || !a->items[a->item].rotten);
	/* Bit by bit until it is as it was. */
	while (!bed_find_block(w, 0, 0xab, found, &at))
		assert_int_equal(0, sim_disk_flip(w->node[0], path, offset));
	bed_wait_flag(w);
	assert_int_equal(0, w->err);
	bed_verify(w);
}

/* All members had it, so it may have been flushed: nobody may drop it. */
static void rot_in_the_only_copy_left_waits_for_the_other_peers(void **state)
{
	bool member[STORES];
	struct bed *w = *state;
	unsigned int i, kept = STORES;
	char path[BED_PATH_MAX];
	uint64_t offset;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_write_blocks(w, 9, 1, 0xab, false));
	lose_host(w);
	for (i = 0; i < STORES; i++) {
		member[i] = bed_find_block(w, i, 0xab, path, &offset);
		if (member[i] && kept == STORES)
			kept = i;
		else if (member[i])
			bed_stop_store(w, i, false);
	}
	assert_true(bed_rot_block(w, kept, 0xab));
	attach_fails(w, -EUCLEAN, "is damaged at block");
	assert_says(w, "start the peers that do not answer: store");
	for (i = 0; i < STORES; i++)
		if (member[i] && i != kept)
			bed_start_store(w, i);
	bed_attach(w);
	bed_verify(w);
}

/* Whoever cannot attach is told whom to start; or that nobody known has it. */
static void a_root_that_is_away_is_said_with_the_way_out(void **state)
{
	struct bed *w = *state;
	struct store_copy copy;
	struct volume_doc doc;
	bool stopped[STORES];
	unsigned int i;

	w->cfg.io_timeout_ns = 10 * NSEC_PER_SEC;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_detach(w));
	bed_get_volume(w, &doc);
	for (i = 0; i < STORES; i++) {
		stopped[i] = store_copy_get(w->store[i], doc.id,
					    block_addr_chunk(doc.root.addr),
					    &copy);
		if (stopped[i])
			bed_stop_store(w, i, false);
	}
	attach_fails(w, -EIO, "no peer that answers has its root");
	assert_says(w, "; start the peers that do not answer: store");
	/* Peers that are known, and have lost it. */
	bed_get_volume(w, &doc);
	doc.attachment.present = false;
	doc.root.addr = block_addr(block_addr_chunk(doc.root.addr) + 1000, 0);
	doc.next_chunk = MAX(doc.next_chunk,
			     block_addr_chunk(doc.root.addr) + 1);
	put_volume(w, &doc);
	for (i = 0; i < STORES; i++)
		if (stopped[i])
			bed_start_store(w, i);
	attach_fails(w, -EIO, "no peer that answers has its root");
	assert_says(w, "all peers have answered: only one that was removed");
}

/* The writes of the last moment, of which the first did not reach the disk. */
static void torn_end_on_the_only_peer_left_is_not_a_timeout(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_write_blocks(w, 9, 1, 0xab, false));
	bed_write_random(w, 3);
	lose_host(w);
	for (i = 0; i < 3; i++)
		bed_stop_store(w, i, false);
	assert_true(bed_rot_block(w, 0, 0xab));
	bed_start_store(w, 0);
	attach_fails(w, -EUCLEAN, "where its log may end, is damaged at block");
	assert_says(w, "start the peers that do not answer: store");
	bed_start_store(w, 1);
	bed_attach(w);
	bed_verify(w);
	bed_start_store(w, 2);
}

/*
 * Three records of one chunk, a flush, and time for the journals to note it;
 * then the host is lost. @member: the three that have it, of the four stores.
 */
static void flush_three_records(struct bed *w, unsigned int *member)
{
	char path[BED_PATH_MAX];
	unsigned int i, n = 0;
	uint64_t offset;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	for (i = 0; i < 3; i++)
		assert_int_equal(0, bed_write_blocks(w, 9 + i, 1,
						     (uint8_t)(0xab + i),
						     false));
	assert_int_equal(0, bed_flush(w));
	sim_run(w->sim, 12 * NSEC_PER_SEC);
	lose_host(w);
	for (i = 0; i < STORES; i++)
		if (bed_find_block(w, i, 0xab, path, &offset))
			member[n++] = i;
	assert_int_equal(3, n);
}

/* The header, one block before what the record carries. */
static void rot_and_restart(struct bed *w, unsigned int store, uint8_t value)
{
	char path[BED_PATH_MAX];
	uint64_t offset;

	bed_stop_store(w, store, false);
	assert_true(bed_find_block(w, store, value, path, &offset));
	assert_int_equal(0, sim_disk_flip(w->node[store], path,
					  offset - BLOCK_SIZE + 100));
	bed_start_store(w, store);
}

/* The last copy of what was flushed is on a peer that is away. */
static void damage_waits_for(struct bed *w, unsigned int store,
			     const char *says)
{
	attach_fails(w, -EUCLEAN, says);
	assert_says(w, "start the peers that do not answer: store");
	bed_start_store(w, store);
	bed_attach(w);
	bed_verify(w);
}

/* A copy's end was durable and has rotted: it is no end of the log. */
static void rot_at_the_end_of_flushed_copies_is_no_end_of_the_log(void **state)
{
	unsigned int member[STORES];
	struct bed *w = *state;

	flush_three_records(w, member);
	bed_stop_store(w, member[2], false);
	rot_and_restart(w, member[0], 0xac);
	rot_and_restart(w, member[1], 0xab);
	damage_waits_for(w, member[2], "where its log may end, is damaged");
}

/* A member whose copy was damaged does not say that it never had a record. */
static void rot_in_flushed_copies_does_not_end_the_log(void **state)
{
	unsigned int member[STORES];
	struct bed *w = *state;

	flush_three_records(w, member);
	bed_stop_store(w, member[2], false);
	assert_true(bed_rot_block(w, member[0], 0xac));
	rot_and_restart(w, member[1], 0xab);
	damage_waits_for(w, member[2], "is damaged at block");
}

/* The first chunk of the log is said to be longer than any copy of it. */
static void lengthen_first_chunk(struct bed *w)
{
	struct store_copy copy;
	struct volume_doc doc;
	unsigned int i = 0;

	bed_get_volume(w, &doc);
	while (!store_copy_get(w->store[i], doc.id, 1, &copy))
		i++;
	assert_true(doc.tail.last >= 2);
	doc.tail.first = 2;
	doc.sealed_count = 1;
	doc.sealed[0] = (struct sealed_chunk){ 1, copy.length + 1, 1, 2 };
	put_volume(w, &doc);
}

/*
 * That much was flushed stands in headers of the second chunk alone, and nobody
 * answers when these are asked for: they are asked again.
 */
static void headers_that_prove_a_loss_are_asked_for_again(void **state)
{
	struct bed *w = *state;
	const struct attach *a;
	unsigned int i;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	for (i = 0; i < 20; i++)
		assert_int_equal(0, bed_write_blocks(w, 20 * i, 20, 0x11,
						     false));
	assert_int_equal(0, bed_flush(w));
	bed_write_random(w, 5);
	lose_host(w);
	lengthen_first_chunk(w);
	w->volume = bed_start_attach(w, w->host);
	do {
		assert_true(!w->attached && sim_step(w->sim));
		a = w->volume->attach;
	} while (!a || !a->walk.truncated || !a->walk.scanning);
	for (i = 0; i < STORES; i++) {
		sim_net_block(w->host, w->node[i], 3 * NSEC_PER_SEC);
		sim_net_break(w->host, w->node[i]);
	}
	bed_wait_flag(w);
	assert_int_equal(-EUCLEAN, w->err);
	assert_says(w, "as durable");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(metadata_that_went_back_is_not_a_takeover),
		TEST(metadata_that_went_back_without_an_answer_at_first),
		TEST(takeover_while_attaching_names_the_new_host),
		TEST(failed_attach_leaves_no_read_behind),
		TEST(failed_attach_leaves_no_transaction_behind),
		TEST(early_requests_are_checked_against_the_size),
		TEST(surviving_device_is_told_what_the_log_has),
		TEST(surviving_device_refuses_another_record_in_its_place),
		TEST(surviving_device_may_be_older_than_the_root),
		TEST(rot_in_the_only_copy_of_the_last_record_ends_the_log),
		TEST(one_bad_read_of_the_only_copy_does_not_end_the_log),
		TEST(rot_in_the_only_copy_left_waits_for_the_other_peers),
		TEST(a_root_that_is_away_is_said_with_the_way_out),
		TEST(torn_end_on_the_only_peer_left_is_not_a_timeout),
		TEST(rot_at_the_end_of_flushed_copies_is_no_end_of_the_log),
		TEST(rot_in_flushed_copies_does_not_end_the_log),
		TEST(headers_that_prove_a_loss_are_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
