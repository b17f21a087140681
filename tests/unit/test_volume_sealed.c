// SPDX-License-Identifier: Apache-2.0
/* The sealed list of a volume: it never gets full, whatever fails and however
 * often, and it is short again once a checkpoint has ended. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "volume/internal.h"
#include "peer/ring_change.h"
#include "volume/sealed.h"
#include "volume_bed.h"

#define STEP 100000u			/* ns */
#define CYCLES 150u

/* ---- the list itself --------------------------------------------------- */

static void entries_are_found_replaced_and_dropped(void **state)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	struct sealed_chunk entry = { .length = 7 };
	uint64_t i;

	assert_non_null(doc);
	for (i = 0; i < SEALED_MAX; i++) {
		entry.chunk = 2 * i + 1;
		entry.next = 2 * i + 3;
		assert_int_equal(0, sealed_put(doc, &entry));
	}
	entry.chunk = 2;
	assert_int_equal(-ENOBUFS, sealed_put(doc, &entry));
	entry.chunk = 5;
	entry.length = 9;
	entry.next = 200;
	assert_int_equal(0, sealed_put(doc, &entry));
	assert_int_equal(SEALED_MAX, doc->sealed_count);
	assert_int_equal(9, sealed_find(doc, 5)->length);
	assert_ptr_equal(sealed_find(doc, 5), sealed_leading_to(doc, 200));
	assert_null(sealed_find(doc, 4));
	assert_null(sealed_leading_to(doc, 7));
	sealed_keep(doc, 3, 9);
	assert_int_equal(3, doc->sealed_count);
	assert_null(sealed_find(doc, 1));
	assert_null(sealed_find(doc, 9));
	free(doc);
}

/* ---- a volume whose list is long ---------------------------------------- */

static uint32_t sealed_count(struct bed *w)
{
	struct volume_doc doc;

	bed_get_volume(w, &doc);
	return doc.sealed_count;
}

static void wait_for_record(struct bed *w, uint64_t more_than)
{
	unsigned int i;

	for (i = 0; i < LONG / STEP && bed_stats(w).records <= more_than; i++)
		sim_run(w->sim, STEP);
	assert_true(bed_stats(w).records > more_than);
}

/* Everything is written again, and soon the list is short. */
static void expect_recovery(struct bed *w)
{
	uint32_t block;

	for (block = 0; block < CYCLES; block += 10)
		assert_int_equal(0, bed_write_blocks(w, block, 10, 0x77, false));
	assert_int_equal(0, bed_flush(w));
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	assert_true(sealed_count(w) <= 3);
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
}

/* So that what is acknowledged is not durable for a while. */
static void slow_syncs(struct bed *w, uint64_t ns)
{
	sim_delays(w->sim)->sync_min = ns;
	sim_delays(w->sim)->sync_max = ns;
}

/*
 * A helper that dies again and again, each time with something acknowledged
 * and before the checkpoint that it began was durable.
 */
static void crashes_do_not_fill_the_list(void **state)
{
	static struct bed_io io[CYCLES];
	struct bed *w = *state;
	uint32_t longest = 0;
	unsigned int i;

	slow_syncs(w, 60 * NSEC_PER_MSEC);
	bed_attach(w);
	for (i = 0; i < CYCLES; i++) {
		memset(w->data, (int)i, BLOCK_SIZE);
		bed_io_start(w, &io[i], VOLUME_WRITE, i * BLOCK_SIZE,
			     BLOCK_SIZE, false);
		wait_for_record(w, 0);
		sim_run(w->sim, 20 * NSEC_PER_MSEC);
		bed_take_over(w);
		longest = MAX(longest, sealed_count(w));
		if (io[i].over && !io[i].err)
			assert_int_equal(0, bed_io_run(w, VOLUME_READ,
						       i * BLOCK_SIZE,
						       BLOCK_SIZE, false));
		if (io[i].over && !io[i].err)
			assert_int_equal((uint8_t)i, w->data[0]);
	}
	assert_int_equal(CHECKPOINT_SEALED_MAX + 1, longest);
	assert_int_equal(longest, sealed_count(w));
	expect_recovery(w);
}

/* Entries that nothing leads to, behind the volume's back, up to the limit. */
static void fill_list(struct bed *w)
{
	struct volume_doc *doc = &w->volume->doc;
	struct sealed_chunk entry = { .chunk = 2, .next = 3 };
	char key[META_KEY_MAX];

	for (; doc->sealed_count < SEALED_MAX; entry.chunk++, entry.next++)
		assert_int_equal(0, sealed_put(doc, &entry));
	assert_true(entry.next < doc->tail.first);
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(doc));
	doc->mod_revision = sim_meta_revision(w->sim, key);
}

/*
 * The list is full, and the checkpoint that would make it short loses a replica
 * each time that something of it was written, before that was durable.
 */
static void failures_in_a_checkpoint_do_not_stop_the_volume(void **state)
{
	struct bed *w = *state;
	struct bed_io io;
	uint64_t changes, records = 0;
	unsigned int i, n;

	w->cfg.tail_chunks = 100;
	bed_attach(w);
	bed_write_random(w, 5);
	assert_int_equal(0, bed_flush(w));
	sim_run(w->sim, NSEC_PER_SEC);
	bed_take_over(w);
	assert_int_equal(0, bed_stats(w).records);
	fill_list(w);
	slow_syncs(w, 300 * NSEC_PER_MSEC);
	bed_io_start(w, &io, VOLUME_WRITE, 0, BLOCK_SIZE, false);
	for (i = 0; i < 5; i++) {
		wait_for_record(w, records);
		assert_int_equal(SEALED_MAX, sealed_count(w));
		changes = bed_stats(w).ensemble_changes;
		sim_net_break(w->host, w->node[i % 3]);
		for (n = 0; n < LONG / STEP &&
		     bed_stats(w).ensemble_changes == changes; n++)
			sim_run(w->sim, STEP);
		assert_true(bed_stats(w).ensemble_changes > changes);
		records = bed_stats(w).records;
	}
	assert_int_equal(0, bed_stats(w).checkpoints);
	assert_false(io.over);
	assert_true(sim_run_until(w->sim, &io.over, LONG));
	slow_syncs(w, NSEC_PER_MSEC);
	expect_recovery(w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

/* As torusctl peer remove --force leaves it. */
static void remove_store(struct bed *w, unsigned int i)
{
	char ring[META_KEY_MAX], peer[META_KEY_MAX];
	struct meta_txn txn = {
		.put = { { peer, NULL, 0 } }, .put_count = 1,
	};
	struct ring_doc *doc = calloc(1, sizeof(*doc));

	assert_non_null(doc);
	bed_ring_spec(w, &doc->current);
	doc->current.version++;
	assert_int_equal(0, ring_change_remove(&doc->current, &w->ids[i]));
	key_ring(&w->cluster, ring);
	bed_put(w, ring, ring_doc_encode(doc));
	free(doc);
	key_peer(&w->cluster, &w->ids[i], peer);
	assert_true(sim_meta_txn(w->sim, &txn));
}

/*
 * Two of three members lose what was not flushed, and nobody knows what the
 * third has: its requests wait. When it is removed by force all know: the device
 * fails for good, and no request waits for ever.
 */
static void removed_member_is_not_waited_for(void **state)
{
	struct bed *w = *state;
	struct bed_io flush;
	unsigned int i;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	bed_put_ring(w, 2, 4);
	for (i = 0; i < 3; i++)
		bed_stop_store(w, i, true);
	bed_start_store(w, 0);
	bed_start_store(w, 1);
	bed_io_start(w, &flush, VOLUME_FLUSH, 0, 0, false);
	sim_run(w->sim, 40 * NSEC_PER_SEC);
	assert_false(w->failed);
	assert_false(flush.over);
	remove_store(w, 2);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	assert_true(w->failed);
	assert_int_equal(VOLUME_LOST_DATA, w->why);
	assert_true(flush.over);
	assert_int_not_equal(0, flush.err);
}

static void restored(struct peer_call *call)
{
	assert_int_equal(0, call->err);
	assert_int_equal(WIRE_OK, call->status);
	*(bool *)call->ctx = true;
}

/* As its maintenance pushes what a peer has that is drained. */
static void give_to(struct bed *w, unsigned int i, void *bytes)
{
	const struct peer_set_config cfg = {
		.cluster = w->cluster, .self = w->ids[0],
		.role = WIRE_ROLE_PEER,
	};
	struct peer_set *set = peer_set_new(sim_node_env(w->node[0]), &cfg);
	const struct sealed_chunk *s;
	struct wire_restore body = { .token.byte[0] = 1 };
	char address[32];
	struct volume_doc doc;
	struct iovec data = { .iov_base = bytes };
	bool done = false;
	struct peer_call call = {
		.type = WIRE_RESTORE, .body = &body, .data = &data,
		.data_count = 1, .done = restored, .ctx = &done,
		.timeout_ns = 10 * NSEC_PER_SEC,
	};

	assert_non_null(set);
	bed_get_volume(w, &doc);
	assert_int_equal(1, doc.sealed_count);
	s = &doc.sealed[0];
	body.volume = cpu_to_le64(doc.id);
	body.chunk = cpu_to_le64(s->chunk);
	body.epoch = cpu_to_le64(doc.epoch);
	body.length = body.blocks = cpu_to_le32(s->length);
	body.end_crc = cpu_to_le32(s->end_crc);
	data.iov_len = call.data_len = s->length * BLOCK_SIZE;
	snprintf(address, sizeof(address), "store%u:1", i);
	peer_call(peer_set_update(set, &w->ids[i], address), &call);
	assert_true(sim_run_until(w->sim, &done, LONG));
	peer_set_free(set);
}

/*
 * As above, but what the third has was given to a peer that is no member before
 * it went, as by a drain: it is found there.
 */
static void what_a_drained_member_had_is_found(void **state)
{
	struct bed *w = *state;
	char path[BED_PATH_MAX];
	struct bed_io flush;
	uint64_t offset;
	unsigned int i;
	uint8_t *bytes;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	bed_put_ring(w, 2, 4);
	bytes = calloc(256, BLOCK_SIZE);
	assert_non_null(bytes);
	assert_true(bed_find_block(w, 2, 0x55, path, &offset));
	assert_true(sim_disk_peek(w->node[2], path, 0, bytes,
				  256 * BLOCK_SIZE, false) > 0);
	for (i = 0; i < 3; i++)
		bed_stop_store(w, i, true);
	bed_start_store(w, 0);
	bed_start_store(w, 1);
	bed_io_start(w, &flush, VOLUME_FLUSH, 0, 0, false);
	sim_run(w->sim, 40 * NSEC_PER_SEC);
	assert_false(w->failed);
	assert_false(flush.over);
	give_to(w, 3, bytes);
	remove_store(w, 2);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	assert_false(w->failed);
	assert_true(flush.over);
	assert_int_equal(0, flush.err);
	bed_verify(w);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_found_replaced_and_dropped),
		TEST(crashes_do_not_fill_the_list),
		TEST(removed_member_is_not_waited_for),
		TEST(what_a_drained_member_had_is_found),
		TEST(failures_in_a_checkpoint_do_not_stop_the_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
