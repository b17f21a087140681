// SPDX-License-Identifier: Apache-2.0
/* The volume engine in a simulated cluster: what it does about failures. */
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
#include "peer/peer.h"
#include "volume/pages.h"
#include "volume_bed.h"

/* ---- memory that is not there ----------------------------------------- */

/* Linked instead of pages_reserve() (tests/build.mk). */
int __real_pages_reserve(struct volume *v, const struct record *r);
int __wrap_pages_reserve(struct volume *v, const struct record *r);
static unsigned int refusals;

int __wrap_pages_reserve(struct volume *v, const struct record *r)
{
	if (!refusals)
		return __real_pages_reserve(v, r);
	refusals--;
	return -ENOMEM;
}

static void write_waits_for_memory(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	refusals = 5;
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	assert_int_equal(0, refusals);
	bed_verify(w);
}

/* So may map_lookup(). */
int __real_map_lookup(struct map *map, struct map_lookup *lookup);
int __wrap_map_lookup(struct map *map, struct map_lookup *lookup);

int __wrap_map_lookup(struct map *map, struct map_lookup *lookup)
{
	if (!refusals)
		return __real_map_lookup(map, lookup);
	refusals--;
	return -ENOMEM;
}

static void read_waits_for_memory(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	refusals = 5;
	bed_verify(w);
	assert_int_equal(0, refusals);
}

/* ---- peers that are asked for ------------------------------------------ */

void __real_peer_connect(struct peer *peer);
void __wrap_peer_connect(struct peer *peer);
static unsigned int connects;

void __wrap_peer_connect(struct peer *peer)
{
	connects++;
	__real_peer_connect(peer);
}

static void peers_that_refuse_connections_are_asked_once_a_second(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	for (i = 0; i < 3; i++)
		bed_stop_store(w, i, false);
	connects = 0;
	assert_int_equal(-ETIMEDOUT, bed_write_blocks(w, 9, 1, 0x66, false));
	/* Each once a second, and now and then as a suspect. */
	assert_in_range(connects, 3, 3 * 30);
}

/* ---- replicas that fail ----------------------------------------------- */

static uint64_t timed_write(struct bed *w)
{
	uint64_t began = sim_now(w->sim);

	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	return sim_now(w->sim) - began;
}

static void killed_replica_costs_less_than_100_ms(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	bed_write_random(w, 10);
	bed_stop_store(w, 1, false);
	assert_true(timed_write(w) < 100 * NSEC_PER_MSEC);
	assert_int_equal(1, bed_stats(w).ensemble_changes);
	assert_int_equal(0, bed_flush(w));
	bed_write_random(w, 30);
	bed_verify(w);
}

static void hung_replica_costs_one_timeout_once(void **state)
{
	struct bed *w = *state;

	w->cfg.replica_timeout_ns = NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 10);
	sim_node_hang(w->node[1], 60 * NSEC_PER_SEC);
	assert_true(timed_write(w) < 1200 * NSEC_PER_MSEC);
	assert_true(timed_write(w) < 100 * NSEC_PER_MSEC);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(1, bed_stats(w).ensemble_changes);
}

static void replica_that_returns_is_a_member_again(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_attach(w);
	bed_write_random(w, 10);
	bed_stop_store(w, 1, false);
	bed_write_random(w, 10);
	bed_get_volume(w, &doc);
	assert_int_equal(1, doc.tail.excluded_count);
	bed_start_store(w, 1);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	bed_write_random(w, 10);
	bed_get_volume(w, &doc);
	assert_int_equal(0, doc.tail.excluded_count);
	bed_verify(w);
}

/* Others stand in for it, so that nothing is short; and each checkpoint extends
 * the tail before half of it is used. */
static void replica_that_returns_is_not_left_out_for_ever(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	uint32_t i;

	bed_put_ring(w, 2, STORES);
	w->cfg.checkpoint_log_bytes = 256 * BLOCK_SIZE;
	bed_attach(w);
	bed_stop_store(w, 1, false);
	for (i = 0; i < 8; i++)
		assert_int_equal(0, bed_write_blocks(w, 0, 200, 1, false));
	bed_get_volume(w, &doc);
	assert_int_equal(1, doc.tail.excluded_count);
	bed_start_store(w, 1);
	for (i = 0; i < 80; i++) {
		sim_run(w->sim, NSEC_PER_SEC);
		assert_int_equal(0, bed_write_blocks(w, 0, 200, 1, false));
	}
	bed_get_volume(w, &doc);
	assert_int_equal(0, doc.tail.excluded_count);
	bed_verify(w);
}

static void too_few_peers_end_in_a_timeout_and_then_it_goes_on(void **state)
{
	struct bed *w = *state;
	uint64_t began;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	bed_stop_store(w, 1, false);
	bed_stop_store(w, 2, false);
	began = sim_now(w->sim);
	assert_int_equal(-ETIMEDOUT, bed_write_blocks(w, 9, 1, 0x66, false));
	assert_in_range(sim_now(w->sim) - began, 20 * NSEC_PER_SEC,
			22 * NSEC_PER_SEC);
	bed_verify(w);
	bed_start_store(w, 2);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

/* They answer, and fail whatever they are asked to write. */
static void peers_that_fail_each_time_are_tried_less_and_less_often(void **state)
{
	struct bed *w = *state;
	uint64_t before, changes;
	struct bed_io io;
	unsigned int i;

	bed_attach(w);
	bed_write_random(w, 20);
	for (i = 1; i < 3; i++)
		sim_node_disk_faults(w->node[i])->write_eio = 1;
	memset(w->data, 0x5a, BLOCK_SIZE);
	bed_io_start(w, &io, VOLUME_WRITE, 0, BLOCK_SIZE, false);
	sim_run(w->sim, 20 * NSEC_PER_SEC);
	before = bed_stats(w).ensemble_changes;
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	changes = bed_stats(w).ensemble_changes - before;
	assert_false(io.over);
	assert_in_range(changes, 1, 2 * 9);	/* two peers, each 8 s */
	for (i = 1; i < 3; i++)
		sim_node_disk_faults(w->node[i])->write_eio = 0;
	sim_run(w->sim, 10 * NSEC_PER_SEC);
	assert_true(io.over);
	assert_int_equal(0, io.err);
	w->model[0] = 0x5a;
	bed_verify(w);
}

/* More than the engine reads at a time, and parts of one block that queue. */
static void nothing_takes_longer_than_io_timeout(void **state)
{
	static struct bed_io reads[200], writes[8];
	struct bed *w = *state;
	unsigned int i;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_write_blocks(w, 0, 1, 0x11, false));
	for (i = 0; i < STORES; i++)
		bed_stop_store(w, i, false);
	for (i = 0; i < ARRAY_SIZE(writes); i++)
		bed_io_start(w, &writes[i], VOLUME_WRITE, i * 512, 512, false);
	for (i = 0; i < ARRAY_SIZE(reads); i++)
		bed_io_start(w, &reads[i], VOLUME_READ, 0, BLOCK_SIZE, false);
	sim_run(w->sim, 21 * NSEC_PER_SEC);
	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		assert_true(writes[i].over);
		assert_int_equal(-ETIMEDOUT, writes[i].err);
	}
	for (i = 0; i < ARRAY_SIZE(reads); i++) {
		assert_true(reads[i].over);
		assert_int_equal(-ETIMEDOUT, reads[i].err);
	}
	for (i = 0; i < STORES; i++)
		bed_start_store(w, i);
	bed_verify(w);
}

static void slow_syncs_cost_no_replica(void **state)
{
	struct bed *w = *state;
	struct sim_delays *delays = sim_delays(w->sim);
	uint64_t changes, began;

	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_write_blocks(w, 5, 1, 0x77, false));
	changes = bed_stats(w).ensemble_changes;
	delays->sync_min = delays->sync_max = 6 * NSEC_PER_SEC;
	began = sim_now(w->sim);
	assert_int_equal(0, bed_flush(w));
	assert_true(sim_now(w->sim) - began >= 6 * NSEC_PER_SEC);
	/* An append that ends with a sync may take as long. */
	began = sim_now(w->sim);
	assert_int_equal(0, bed_write_blocks(w, 6, 1, 0x78, true));
	assert_true(sim_now(w->sim) - began >= 6 * NSEC_PER_SEC);
	assert_int_equal(changes, bed_stats(w).ensemble_changes);
	bed_verify(w);
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x79, false));
	bed_take_over(w);
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
}

static void peers_that_fail_by_turns_do_not_fill_the_sealed_list(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	unsigned int i;

	bed_attach(w);
	for (i = 0; i < 60; i++) {
		bed_stop_store(w, i % 3, false);
		bed_write_random(w, 2);
		bed_start_store(w, i % 3);
		sim_run(w->sim, 500 * NSEC_PER_MSEC);
	}
	bed_get_volume(w, &doc);
	assert_true(doc.sealed_count <= 40);
	assert_true(bed_stats(w).ensemble_changes > 20);
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
}

/* The stores that @chunk of the tail is written to, as indices. */
static void members_of(struct bed *w, uint64_t chunk, bool *member)
{
	struct uuid ids[RING_REPLICATION_MAX];
	struct volume_doc doc;
	struct ring_spec *spec = calloc(1, sizeof(*spec));
	struct ring *ring;
	uint32_t count, i, j;

	assert_non_null(spec);
	bed_get_volume(w, &doc);
	bed_ring_spec(w, spec);
	assert_int_equal(0, ring_create(spec, &ring));
	count = ring_ensemble(ring, doc.id, chunk, doc.replication,
			      doc.tail.excluded, doc.tail.excluded_count, ids);
	for (i = 0; i < STORES; i++)
		for (j = 0, member[i] = false; j < count; j++)
			member[i] |= uuid_equal(&w->ids[i], &ids[j]);
	ring_free(ring);
	free(spec);
}

/*
 * Two of three members can never have a good copy again, and one other peer is
 * there: that makes two copies, however often it is asked.
 */
static void copy_beyond_the_members_counts_once(void **state)
{
	struct bed *w = *state;
	struct sim_disk_faults *faults[2];
	struct volume_doc doc;
	bool member[STORES];
	unsigned int i, n = 0;

	bed_put_ring(w, 2, 4);
	w->cfg.min_replicas = 3;
	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	w->cfg.sync_interval_ns = LONG;
	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 8, 0x41, true));
	sim_run(w->sim, NSEC_PER_SEC);
	assert_int_equal(0, bed_write_blocks(w, 4, 8, 0x42, false));
	bed_get_volume(w, &doc);
	members_of(w, doc.tail.first, member);
	for (i = 0; i < STORES && n < 2; i++)
		if (member[i])
			faults[n++] = sim_node_disk_faults(w->node[i]);
	assert_int_equal(2, n);
	faults[0]->sync_eio = faults[1]->sync_eio = 1;
	sim_run(w->sim, NSEC_PER_SEC);
	assert_int_equal(-ETIMEDOUT, bed_flush(w));
	faults[0]->sync_eio = faults[1]->sync_eio = 0;
	assert_true(bed_stats(w).ensemble_changes > 0);
	bed_verify(w);
}

static void new_ring_version_gets_a_new_tail(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_attach(w);
	bed_write_random(w, 20);
	bed_put_ring(w, 2, 4);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	assert_int_equal(2, doc.tail.ring_version);
	bed_write_random(w, 60);
	assert_int_equal(0, bed_flush(w));
	bed_verify(w);
	bed_take_over(w);
	bed_verify(w);
}

/* The ring is kept with one predecessor only. */
static void tail_is_declared_by_the_newest_ring_though_the_watch_lags(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_attach(w);
	bed_write_random(w, 20);
	sim_meta_faults(w->sim)->watch_extra = LONG;
	bed_put_ring(w, 2, 4);
	bed_put_ring(w, 3, 4);
	bed_stop_store(w, 1, false);
	bed_write_random(w, 20);
	bed_get_volume(w, &doc);
	assert_int_equal(3, doc.tail.ring_version);
	bed_take_over(w);
	bed_verify(w);
}

static void first_tail_is_declared_by_the_newest_ring_though_the_watch_lags(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_stop_store(w, 0, false);
	bed_stop_store(w, 1, false);
	sim_meta_faults(w->sim)->watch_extra = LONG;
	w->volume = bed_start_attach(w, w->host);
	sim_run(w->sim, 2 * NSEC_PER_SEC);
	assert_false(w->flag);
	bed_put_ring(w, 2, 4);
	bed_put_ring(w, 3, 4);
	bed_start_store(w, 0);
	w->flag = false;
	bed_wait_flag(w);
	assert_int_equal(0, w->err);
	bed_get_volume(w, &doc);
	assert_int_equal(3, doc.tail.ring_version);
	bed_write_random(w, 20);
	bed_take_over(w);
	bed_verify(w);
}

static void full_peers_refuse_writes_and_nothing_else(void **state)
{
	struct bed *w = *state;
	unsigned int i;
	int err = 0;

	w->store_size = 24 * MIB;
	for (i = 0; i < STORES; i++) {
		bed_stop_store(w, i, false);
		bed_start_store(w, i);
	}
	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 64, 0x12, false));
	for (i = 0; i < 400 && err == 0; i++)
		err = bed_write_blocks(w, 64, 64, 0x34, false);
	assert_int_equal(-ENOSPC, err);
	assert_int_equal(0, bed_io_run(w, VOLUME_TRIM, 0, 64 * BLOCK_SIZE, false));
	memset(w->model, 0, 64);
	assert_int_equal(0, bed_flush(w));
	bed_verify(w);
	assert_int_equal(0, bed_detach(w));
}

/*
 * One of four is full, and two are away for a moment: that is no full cluster.
 * On the way there all active chunks wait for one round of syncs, which must
 * not make the engine turn round and round.
 */
static void full_peer_does_not_stand_for_peers_that_are_away(void **state)
{
	struct bed *w = *state;
	struct bed_io io;
	unsigned int i;

	w->store_size = 24 * MIB;
	bed_stop_store(w, 0, false);
	bed_start_store(w, 0);
	w->store_size = 0;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	for (i = 0; i < 60; i++)
		assert_int_equal(0, bed_write_blocks(w, 64, 256, 0x34, false));
	bed_stop_store(w, 1, false);
	bed_stop_store(w, 2, false);
	memset(w->model + 64, 0x35, 256);
	memset(w->data, 0x35, MIB);
	bed_io_start(w, &io, VOLUME_WRITE, 64 * BLOCK_SIZE, MIB, false);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	assert_false(io.over);
	bed_start_store(w, 1);
	bed_start_store(w, 2);
	sim_run(w->sim, 10 * NSEC_PER_SEC);
	assert_true(io.over);
	assert_int_equal(0, io.err);
	bed_verify(w);
}

/* ---- metadata --------------------------------------------------------- */

static void io_goes_on_without_metadata(void **state)
{
	struct bed *w = *state;
	struct volume_doc before, after;

	w->cfg.tail_chunks = 16;
	bed_attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &before);
	sim_meta_unreachable(w->host, 30 * NSEC_PER_SEC);
	bed_write_random(w, 30);
	assert_int_equal(0, bed_flush(w));
	bed_verify(w);
	sim_run(w->sim, 25 * NSEC_PER_SEC);
	bed_write_random(w, 10);
	bed_get_volume(w, &after);
	assert_int_equal(before.next_chunk, after.next_chunk);
	sim_run(w->sim, 20 * NSEC_PER_SEC);
	bed_write_random(w, 400);
	bed_verify(w);
}

static void transactions_without_an_answer_are_found_out(void **state)
{
	struct bed *w = *state;
	unsigned int i;

	bed_attach(w);
	sim_meta_faults(w->sim)->txn_timeout = 2;
	sim_meta_faults(w->sim)->timeout_ns = 200 * NSEC_PER_MSEC;
	sim_meta_faults(w->sim)->late_max_ns = NSEC_PER_SEC;
	for (i = 0; i < 10; i++) {
		bed_stop_store(w, i % 3, false);
		bed_write_random(w, 20);
		bed_start_store(w, i % 3);
		sim_run(w->sim, 3 * NSEC_PER_SEC);
	}
	assert_false(w->failed);
	bed_verify(w);
	sim_meta_faults(w->sim)->txn_timeout = 0;
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_verify(w);
}

/*
 * The transaction that ends recovery may be applied long after it timed out,
 * when another one that excludes other peers has been tried: whichever was
 * applied, the volume goes by it.
 */
static void recovery_goes_by_the_transaction_that_was_applied(void **state)
{
	struct bed *w = *state;
	struct sim_meta_faults *faults = sim_meta_faults(w->sim);
	const struct volume_doc *ours;
	struct volume_doc doc;
	unsigned int i, compared = 0;

	for (i = 0; i < 30; i++) {
		bed_stop_store(w, 1, false);
		bed_stop_store(w, 2, false);
		w->volume = bed_start_attach(w, w->host);
		sim_run(w->sim, 3 * NSEC_PER_SEC);
		assert_false(w->attached);
		faults->txn_timeout = 1;
		faults->timeout_ns = 200 * NSEC_PER_MSEC;
		faults->late_max_ns = 2 * NSEC_PER_SEC;
		bed_start_store(w, 1);
		sim_run(w->sim, (900 + 40 * i) * NSEC_PER_MSEC);
		bed_start_store(w, 2);
		assert_true(sim_run_until(w->sim, &w->attached, LONG));
		assert_int_equal(0, w->err);
		faults->txn_timeout = 0;
		ours = volume_doc(w->volume);
		bed_get_volume(w, &doc);
		if (doc.tail.first == ours->tail.first) {
			compared++;
			assert_memory_equal(&doc.tail, &ours->tail,
					    sizeof(doc.tail));
		}
		bed_write_random(w, 3);
		assert_int_equal(0, bed_detach(w));
	}
	assert_true(compared > 20);
	bed_attach(w);
	bed_verify(w);
}

static void second_attach_is_refused_and_force_fences_the_first(void **state)
{
	struct bed *w = *state;
	struct volume *first;

	bed_attach(w);
	bed_write_random(w, 10);
	first = w->volume;
	assert_int_equal(-EBUSY, bed_attach_on(w, w->other));
	volume_free(w->volume);
	w->cfg.force = true;
	assert_int_equal(0, bed_attach_on(w, w->other));
	bed_verify(w);
	assert_false(w->failed);
	sim_node_kill(w->other);
	volume_free(w->volume);
	w->volume = first;
	memset(w->data, 0xff, BLOCK_SIZE);
	assert_int_equal(-ESTALE, bed_io_run(w, VOLUME_WRITE, 0, BLOCK_SIZE,
					     false));
	assert_true(w->failed);
	assert_int_equal(VOLUME_FENCED, w->why);
	assert_int_equal(-ESTALE, bed_io_run(w, VOLUME_READ, 0, 512, false));
	assert_int_equal(-ESTALE, bed_detach(w));
}

/* It has nothing to do that would tell it. */
static void fenced_idle_owner_leaves_the_new_owners_key_alone(void **state)
{
	struct bed *w = *state;
	struct volume *first;
	struct volume_doc doc;
	char key[META_KEY_MAX];
	int64_t revision;

	bed_attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	key_owner(&w->cluster, doc.id, key);
	first = w->volume;
	w->cfg.force = true;
	assert_int_equal(0, bed_attach_on(w, w->other));
	sim_run(w->sim, NSEC_PER_SEC);
	revision = sim_meta_revision(w->sim, key);
	assert_false(w->failed);
	sim_meta_lose_leases(w->host);
	sim_run(w->sim, 10 * NSEC_PER_SEC);
	assert_true(w->failed);
	assert_int_equal(VOLUME_FENCED, w->why);
	sim_node_kill(w->host);
	volume_free(first);
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	assert_non_null(sim_meta_value(w->sim, key));
	assert_int_equal(revision, sim_meta_revision(w->sim, key));
	sim_node_kill(w->other);
	volume_free(w->volume);
	w->volume = NULL;
}

/* Others may change what does not belong to the log. */
static void owner_of_a_changed_value_gets_its_key_back(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	char key[META_KEY_MAX], volume[META_KEY_MAX];

	bed_attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	key_owner(&w->cluster, doc.id, key);
	key_volume(&w->cluster, "vol", volume);
	bed_put(w, volume, volume_doc_encode(&doc));
	sim_meta_lose_leases(w->host);
	assert_null(sim_meta_value(w->sim, key));
	sim_run(w->sim, 6 * NSEC_PER_SEC);
	assert_non_null(sim_meta_value(w->sim, key));
	assert_int_equal(0, bed_write_blocks(w, 7, 1, 0x55, false));
	assert_int_equal(0, bed_detach(w));
	assert_null(sim_meta_value(w->sim, key));
}

static void removed_attachment_ends_the_device(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;
	char key[META_KEY_MAX];

	bed_attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	memset(&doc.attachment, 0, sizeof(doc.attachment));
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&doc));
	bed_stop_store(w, 0, false);
	assert_int_equal(-ESTALE, bed_write_blocks(w, 0, 1, 1, false));
	assert_int_equal(VOLUME_FENCED, w->why);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bed_setup, bed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(write_waits_for_memory),
		TEST(read_waits_for_memory),
		TEST(killed_replica_costs_less_than_100_ms),
		TEST(hung_replica_costs_one_timeout_once),
		TEST(replica_that_returns_is_a_member_again),
		TEST(replica_that_returns_is_not_left_out_for_ever),
		TEST(peers_that_refuse_connections_are_asked_once_a_second),
		TEST(too_few_peers_end_in_a_timeout_and_then_it_goes_on),
		TEST(peers_that_fail_each_time_are_tried_less_and_less_often),
		TEST(nothing_takes_longer_than_io_timeout),
		TEST(slow_syncs_cost_no_replica),
		TEST(peers_that_fail_by_turns_do_not_fill_the_sealed_list),
		TEST(copy_beyond_the_members_counts_once),
		TEST(new_ring_version_gets_a_new_tail),
		TEST(tail_is_declared_by_the_newest_ring_though_the_watch_lags),
		TEST(first_tail_is_declared_by_the_newest_ring_though_the_watch_lags),
		TEST(full_peers_refuse_writes_and_nothing_else),
		TEST(full_peer_does_not_stand_for_peers_that_are_away),
		TEST(io_goes_on_without_metadata),
		TEST(transactions_without_an_answer_are_found_out),
		TEST(recovery_goes_by_the_transaction_that_was_applied),
		TEST(second_attach_is_refused_and_force_fences_the_first),
		TEST(fenced_idle_owner_leaves_the_new_owners_key_alone),
		TEST(owner_of_a_changed_value_gets_its_key_back),
		TEST(removed_attachment_ends_the_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
