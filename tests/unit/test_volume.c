// SPDX-License-Identifier: Apache-2.0
/* The volume engine in a simulated cluster: one behaviour at a time. */
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
#include "base/error.h"
#include "base/log.h"
#include "meta/schema.h"
#include "ring/ring.h"
#include "store/store.h"
#include "volume/volume.h"
#include "../sim/lib/env_sim.h"

#define STORES	4
#define BLOCKS	2048u
#define MIB	(1u << 20)
#define LONG	(600 * NSEC_PER_SEC)

struct world {
	struct sim *sim;
	struct uuid cluster, ids[STORES];
	struct sim_node *node[STORES];
	struct store *store[STORES];
	unsigned int members;		/* of the ring */
	uint64_t store_size;		/* 0 = what the disk has */
	struct sim_node *host, *other;
	struct volume *volume;
	struct volume_config cfg;
	uint8_t *data;			/* MIB of it, to write from, read to */
	uint8_t model[BLOCKS];
	bool flag, failed, serving;
	int err;
	enum volume_failure why;
	unsigned int open;		/* requests */
};

static void random_uuid(struct world *w, struct uuid *id)
{
	size_t i;

	for (i = 0; i < sizeof(id->byte); i++)
		id->byte[i] = (uint8_t)sim_random(w->sim);
	uuid_from_random(id);
}

static void put(struct world *w, const char *key, char *text)
{
	assert_non_null(text);
	sim_meta_put(w->sim, key, text);
	free(text);
}

static void put_ring(struct world *w, uint64_t version, unsigned int members)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];
	unsigned int i;

	assert_non_null(doc);
	doc->current.version = version;
	doc->current.type = RING_MOD;
	doc->current.replication = 3;
	doc->current.member_count = members;
	for (i = 0; i < members; i++) {
		doc->current.members[i].peer = w->ids[i];
		doc->current.members[i].weight = 1u << 30;
	}
	if (version > 1) {
		doc->has_previous = true;
		doc->previous = doc->current;
		doc->previous.version = version - 1;
		doc->previous.member_count = w->members;
	}
	w->members = members;
	key_ring(&w->cluster, key);
	put(w, key, ring_doc_encode(doc));
	free(doc);
}

static void put_volume(struct world *w)
{
	struct cluster_doc cluster = {
		.id = w->cluster, .replication = 3, .chunk_size = MIB,
	};
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	snprintf(doc->name, sizeof(doc->name), "vol");
	doc->id = 1;
	doc->size = (uint64_t)BLOCKS * BLOCK_SIZE;
	doc->replication = 3;
	doc->chunk_blocks = 256;
	doc->tail.first = 1;
	doc->next_chunk = 1;
	put(w, KEY_CLUSTER, cluster_doc_encode(&cluster));
	key_volume(&w->cluster, "vol", key);
	put(w, key, volume_doc_encode(doc));
	free(doc);
}

static void get_volume(struct world *w, struct volume_doc *doc)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	assert_int_equal(0, volume_doc_decode(key, sim_meta_value(w->sim, key),
					      doc));
}

static void put_peer(struct world *w, unsigned int i)
{
	struct peer_doc doc = { .id = w->ids[i], .size = 1u << 30 };
	char key[META_KEY_MAX];

	snprintf(doc.address, sizeof(doc.address), "store%u:1", i);
	key_peer(&w->cluster, &w->ids[i], key);
	put(w, key, peer_doc_encode(&doc));
	key_alive(&w->cluster, &w->ids[i], key);
	sim_meta_put(w->sim, key, "{\"version\":1}");
}

static void on_done(void *ctx, int err)
{
	struct world *w = ctx;

	w->flag = true;
	w->err = err;
}

static void wait_flag(struct world *w)
{
	assert_true(sim_run_until(w->sim, &w->flag, LONG));
}

static void start_store(struct world *w, unsigned int i)
{
	struct store_config cfg = {
		.cluster = w->cluster, .peer = w->ids[i],
		.size = w->store_size,
	};
	char address[32];

	snprintf(cfg.boot_id, sizeof(cfg.boot_id), "boot-%u",
		 sim_node_boots(w->node[i]));
	snprintf(address, sizeof(address), "store%u:1", i);
	sim_node_start(w->node[i]);
	w->flag = false;
	w->store[i] = store_open(sim_node_env(w->node[i]), &cfg, on_done, w);
	assert_non_null(w->store[i]);
	wait_flag(w);
	assert_int_equal(0, w->err);
	assert_int_equal(0, store_serve(w->store[i], address));
}

static void stop_store(struct world *w, unsigned int i, bool power)
{
	if (power)
		sim_node_crash(w->node[i]);
	else
		sim_node_kill(w->node[i]);
	store_free(w->store[i]);
	w->store[i] = NULL;
}

static void on_failed(void *ctx, enum volume_failure why)
{
	struct world *w = ctx;

	w->failed = true;
	w->why = why;
}

static const struct volume_ops ops = { .failed = on_failed };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned int i;

	assert_non_null(w);
	*state = w;
	w->sim = sim_new(7);
	w->data = aligned_alloc(BLOCK_SIZE, MIB);
	assert_non_null(w->data);
	log_set_sink(NULL);
	random_uuid(w, &w->cluster);
	for (i = 0; i < STORES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "store%u", i);
		w->node[i] = sim_node_new(w->sim, name);
		random_uuid(w, &w->ids[i]);
		put_peer(w, i);
	}
	put_ring(w, 1, 3);
	put_volume(w);
	for (i = 0; i < STORES; i++)
		start_store(w, i);
	w->host = sim_node_new(w->sim, "host");
	w->other = sim_node_new(w->sim, "other");
	w->cfg.ops = &ops;
	w->cfg.ctx = w;
	snprintf(w->cfg.name, sizeof(w->cfg.name), "vol");
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	unsigned int i;

	if (w->volume != NULL) {
		sim_node_kill(w->host);
		volume_free(w->volume);
	}
	for (i = 0; i < STORES; i++)
		if (w->store[i] != NULL)
			stop_store(w, i, false);
	sim_free(w->sim);
	free(w->data);
	free(w);
	return 0;
}

static struct volume *start_attach(struct world *w, struct sim_node *node)
{
	struct volume *volume;

	w->cfg.attachment.present = true;
	snprintf(w->cfg.attachment.host, sizeof(w->cfg.attachment.host), "%s",
		 sim_node_name(node));
	random_uuid(w, &w->cfg.attachment.incarnation);
	w->flag = false;
	volume = volume_attach(sim_node_env(node), sim_node_meta(node),
			       &w->cfg, on_done, w);
	assert_non_null(volume);
	return volume;
}

static int attach_on(struct world *w, struct sim_node *node)
{
	w->volume = start_attach(w, node);
	wait_flag(w);
	return w->err;
}

static void attach(struct world *w)
{
	assert_int_equal(0, attach_on(w, w->host));
}

static int detach(struct world *w)
{
	w->flag = false;
	volume_detach(w->volume, on_done, w);
	wait_flag(w);
	volume_free(w->volume);
	w->volume = NULL;
	return w->err;
}

/* The host dies, and another one takes over. */
static void take_over(struct world *w)
{
	struct sim_node *node = w->host;

	sim_node_kill(w->host);
	volume_free(w->volume);
	w->host = w->other;
	w->other = node;
	w->cfg.force = true;
	attach(w);
}

struct io {
	struct volume_request req;
	struct world *world;
	bool over;
	int err;
};

static void io_done(struct volume_request *req, int err)
{
	struct io *io = container_of(req, struct io, req);

	io->over = true;
	io->err = err;
	io->world->open--;
}

static void io_start(struct world *w, struct io *io, enum volume_op op,
		     uint64_t offset, uint64_t length, bool fua)
{
	*io = (struct io){
		.req = {
			.op = op, .fua = fua, .offset = offset,
			.length = length, .buffer = w->data, .done = io_done,
		},
		.world = w,
	};
	w->open++;
	volume_submit(w->volume, &io->req);
	assert_false(io->over);
}

static int io_run(struct world *w, enum volume_op op, uint64_t offset,
		  uint64_t length, bool fua)
{
	struct io io;

	io_start(w, &io, op, offset, length, fua);
	assert_true(sim_run_until(w->sim, &io.over, LONG));
	return io.err;
}

static int write_blocks(struct world *w, uint32_t first, uint32_t count,
			uint8_t value, bool fua)
{
	int err;

	memset(w->data, value, (size_t)count * BLOCK_SIZE);
	err = io_run(w, VOLUME_WRITE, (uint64_t)first * BLOCK_SIZE,
		     (uint64_t)count * BLOCK_SIZE, fua);
	if (!err)
		memset(w->model + first, value, count);
	return err;
}

static int flush(struct world *w)
{
	return io_run(w, VOLUME_FLUSH, 0, 0, false);
}

static void write_random(struct world *w, unsigned int writes)
{
	while (writes-- > 0)
		assert_int_equal(0, write_blocks(w,
			(uint32_t)sim_below(w->sim, BLOCKS - 64),
			(uint32_t)sim_between(w->sim, 1, 64),
			(uint8_t)sim_random(w->sim), false));
}

static void verify(struct world *w)
{
	uint32_t first, i;

	for (first = 0; first < BLOCKS; first += 256) {
		memset(w->data, 0xee, MIB);
		assert_int_equal(0, io_run(w, VOLUME_READ,
					   (uint64_t)first * BLOCK_SIZE, MIB,
					   false));
		for (i = 0; i < MIB; i += 512)
			assert_int_equal(w->model[first + i / BLOCK_SIZE],
					 w->data[i]);
	}
}

static struct volume_stats stats(struct world *w)
{
	struct volume_stats s;

	volume_stats(w->volume, &s);
	return s;
}

/* ---- the normal case -------------------------------------------------- */

static void fresh_volume_reads_zeros_then_what_was_written(void **state)
{
	struct world *w = *state;

	attach(w);
	verify(w);
	assert_int_equal(0, write_blocks(w, 3, 5, 0x11, false));
	assert_int_equal(0, write_blocks(w, 5, 1, 0x22, false));
	verify(w);
}

static void trim_and_zero_read_as_zeros(void **state)
{
	struct world *w = *state;

	attach(w);
	assert_int_equal(0, write_blocks(w, 0, 200, 0x11, false));
	assert_int_equal(0, io_run(w, VOLUME_TRIM, 10 * BLOCK_SIZE,
				   20 * BLOCK_SIZE, false));
	assert_int_equal(0, io_run(w, VOLUME_ZERO, 50 * BLOCK_SIZE,
				   3 * BLOCK_SIZE, true));
	memset(w->model + 10, 0, 20);
	memset(w->model + 50, 0, 3);
	verify(w);
}

static void write_larger_than_a_chunk_can_hold_is_split(void **state)
{
	struct world *w = *state;

	attach(w);
	assert_int_equal(0, write_blocks(w, 100, 256, 0x33, false));
	assert_int_equal(0, write_blocks(w, 700, 256, 0x44, true));
	verify(w);
	assert_int_equal(0, detach(w));
	attach(w);
	verify(w);
}

static void data_survives_detach_and_attach(void **state)
{
	struct world *w = *state;
	struct volume_doc doc;

	attach(w);
	write_random(w, 150);
	assert_int_equal(0, detach(w));
	get_volume(w, &doc);
	assert_false(doc.attachment.present);
	assert_true(doc.tail.first > doc.tail.last);
	assert_true(doc.root.addr != 0);
	attach(w);
	verify(w);
}

static void overlay_past_its_limit_makes_a_checkpoint(void **state)
{
	struct world *w = *state;

	w->cfg.overlay_bytes = 16 << 10;
	attach(w);
	write_random(w, 200);
	assert_true(stats(w).checkpoints > 2);
	assert_true(stats(w).map_page_bytes > 0);
	verify(w);
	take_over(w);
	verify(w);
}

static void bad_requests_are_refused(void **state)
{
	struct world *w = *state;

	attach(w);
	assert_int_equal(-EINVAL, io_run(w, VOLUME_READ, 100, 512, false));
	assert_int_equal(-EINVAL, io_run(w, VOLUME_READ, 0, 0, false));
	assert_int_equal(-EINVAL, io_run(w, VOLUME_WRITE,
					 BLOCKS * BLOCK_SIZE - 512, 1024,
					 false));
	assert_int_equal(-EINVAL, io_run(w, VOLUME_WRITE, 0, 2 * MIB, false));
	assert_int_equal(0, detach(w));
	w->cfg.read_only = true;
	attach(w);
	assert_int_equal(-EROFS, io_run(w, VOLUME_WRITE, 0, 4096, false));
	assert_int_equal(-EROFS, io_run(w, VOLUME_TRIM, 0, 4096, false));
	verify(w);
	assert_int_equal(0, detach(w));
}

/* Requests of one block, @depth at a time; bytes of log per byte written. */
static double amplification(struct world *w, unsigned int depth,
			    unsigned int rounds)
{
	struct volume_stats before = stats(w), after;
	struct io io[32];
	unsigned int i;

	while (rounds-- > 0) {
		for (i = 0; i < depth; i++)
			io_start(w, &io[i], VOLUME_WRITE, sim_below(w->sim,
				 BLOCKS) * BLOCK_SIZE, BLOCK_SIZE, false);
		while (w->open > 0)
			assert_true(sim_step(w->sim));
		for (i = 0; i < depth; i++)
			assert_int_equal(0, io[i].err);
	}
	after = stats(w);
	return (double)(after.record_bytes - before.record_bytes) /
	       (double)(after.written_bytes - before.written_bytes);
}

static void headers_cost_what_the_budget_says(void **state)
{
	struct world *w = *state;

	attach(w);
	memset(w->data, 1, BLOCK_SIZE);
	sim_run(w->sim, NSEC_PER_SEC);
	assert_true(amplification(w, 1, 100) <= 2.01);
	assert_true(amplification(w, 32, 50) <= 1.05);
}

/* ---- durability ------------------------------------------------------- */

static void lose_all_power(struct world *w)
{
	unsigned int i;

	sim_node_crash(w->host);
	for (i = 0; i < STORES; i++)
		stop_store(w, i, true);
	for (i = 0; i < STORES; i++)
		start_store(w, i);
}

static void flushed_data_survives_loss_of_all_power(void **state)
{
	struct world *w = *state;

	attach(w);
	write_random(w, 60);
	assert_int_equal(0, flush(w));
	lose_all_power(w);
	take_over(w);
	verify(w);
}

static void fua_write_takes_what_came_before_with_it(void **state)
{
	struct world *w = *state;

	attach(w);
	write_random(w, 60);
	assert_int_equal(0, write_blocks(w, 1, 1, 0x77, true));
	lose_all_power(w);
	take_over(w);
	verify(w);
}

static void unflushed_data_is_synced_in_the_background(void **state)
{
	struct world *w = *state;

	w->cfg.sync_interval_ns = NSEC_PER_SEC;
	attach(w);
	write_random(w, 20);
	sim_run(w->sim, 3 * NSEC_PER_SEC);
	lose_all_power(w);
	take_over(w);
	verify(w);
}

static void failed_sync_costs_a_replica_and_no_error(void **state)
{
	struct world *w = *state;

	put_ring(w, 2, 4);
	attach(w);
	write_random(w, 10);
	sim_node_disk_faults(w->node[0])->sync_eio = 1;
	write_random(w, 100);
	assert_int_equal(0, flush(w));
	assert_true(stats(w).ensemble_changes > 0);
	sim_node_disk_faults(w->node[0])->sync_eio = 0;
	lose_all_power(w);
	take_over(w);
	verify(w);
}

/* ---- replicas that fail ----------------------------------------------- */

static uint64_t timed_write(struct world *w)
{
	uint64_t began = sim_now(w->sim);

	assert_int_equal(0, write_blocks(w, 7, 1, 0x55, false));
	return sim_now(w->sim) - began;
}

static void killed_replica_costs_less_than_100_ms(void **state)
{
	struct world *w = *state;

	attach(w);
	write_random(w, 10);
	stop_store(w, 1, false);
	assert_true(timed_write(w) < 100 * NSEC_PER_MSEC);
	assert_int_equal(1, stats(w).ensemble_changes);
	assert_int_equal(0, flush(w));
	write_random(w, 30);
	verify(w);
}

static void hung_replica_costs_one_timeout_once(void **state)
{
	struct world *w = *state;

	w->cfg.replica_timeout_ns = NSEC_PER_SEC;
	attach(w);
	write_random(w, 10);
	sim_node_hang(w->node[1], 60 * NSEC_PER_SEC);
	assert_true(timed_write(w) < 1200 * NSEC_PER_MSEC);
	assert_true(timed_write(w) < 100 * NSEC_PER_MSEC);
	assert_int_equal(0, flush(w));
	assert_int_equal(1, stats(w).ensemble_changes);
}

static void replica_that_returns_is_a_member_again(void **state)
{
	struct world *w = *state;
	struct volume_doc doc;

	attach(w);
	write_random(w, 10);
	stop_store(w, 1, false);
	write_random(w, 10);
	get_volume(w, &doc);
	assert_int_equal(1, doc.tail.excluded_count);
	start_store(w, 1);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	write_random(w, 10);
	get_volume(w, &doc);
	assert_int_equal(0, doc.tail.excluded_count);
	verify(w);
}

static void too_few_peers_end_in_a_timeout_and_then_it_goes_on(void **state)
{
	struct world *w = *state;
	uint64_t began;

	w->cfg.io_timeout_ns = 20 * NSEC_PER_SEC;
	attach(w);
	write_random(w, 20);
	assert_int_equal(0, flush(w));
	stop_store(w, 1, false);
	stop_store(w, 2, false);
	began = sim_now(w->sim);
	assert_int_equal(-ETIMEDOUT, write_blocks(w, 9, 1, 0x66, false));
	assert_in_range(sim_now(w->sim) - began, 20 * NSEC_PER_SEC,
			22 * NSEC_PER_SEC);
	verify(w);
	start_store(w, 2);
	write_random(w, 20);
	assert_int_equal(0, flush(w));
	verify(w);
	assert_int_equal(0, detach(w));
	attach(w);
	verify(w);
}

static void peers_that_fail_by_turns_do_not_fill_the_sealed_list(void **state)
{
	struct world *w = *state;
	struct volume_doc doc;
	unsigned int i;

	attach(w);
	for (i = 0; i < 60; i++) {
		stop_store(w, i % 3, false);
		write_random(w, 2);
		start_store(w, i % 3);
		sim_run(w->sim, 500 * NSEC_PER_MSEC);
	}
	get_volume(w, &doc);
	assert_true(doc.sealed_count <= 40);
	assert_true(stats(w).ensemble_changes > 20);
	verify(w);
	take_over(w);
	verify(w);
}

static void new_ring_version_gets_a_new_tail(void **state)
{
	struct world *w = *state;
	struct volume_doc doc;

	attach(w);
	write_random(w, 20);
	put_ring(w, 2, 4);
	sim_run(w->sim, NSEC_PER_SEC);
	get_volume(w, &doc);
	assert_int_equal(2, doc.tail.ring_version);
	write_random(w, 60);
	assert_int_equal(0, flush(w));
	verify(w);
	take_over(w);
	verify(w);
}

static void full_peers_refuse_writes_and_nothing_else(void **state)
{
	struct world *w = *state;
	unsigned int i;
	int err = 0;

	w->store_size = 24 * MIB;
	for (i = 0; i < STORES; i++) {
		stop_store(w, i, false);
		start_store(w, i);
	}
	attach(w);
	assert_int_equal(0, write_blocks(w, 0, 64, 0x12, false));
	for (i = 0; i < 400 && err == 0; i++)
		err = write_blocks(w, 64, 64, 0x34, false);
	assert_int_equal(-ENOSPC, err);
	assert_int_equal(0, io_run(w, VOLUME_TRIM, 0, 64 * BLOCK_SIZE, false));
	memset(w->model, 0, 64);
	assert_int_equal(0, flush(w));
	verify(w);
	assert_int_equal(0, detach(w));
}

/* ---- metadata --------------------------------------------------------- */

static void io_goes_on_without_metadata(void **state)
{
	struct world *w = *state;
	struct volume_doc before, after;

	w->cfg.tail_chunks = 16;
	attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	get_volume(w, &before);
	sim_meta_unreachable(w->host, 30 * NSEC_PER_SEC);
	write_random(w, 30);
	assert_int_equal(0, flush(w));
	verify(w);
	sim_run(w->sim, 25 * NSEC_PER_SEC);
	write_random(w, 10);
	get_volume(w, &after);
	assert_int_equal(before.next_chunk, after.next_chunk);
	sim_run(w->sim, 20 * NSEC_PER_SEC);
	write_random(w, 400);
	verify(w);
}

static void transactions_without_an_answer_are_found_out(void **state)
{
	struct world *w = *state;
	unsigned int i;

	attach(w);
	sim_meta_faults(w->sim)->txn_timeout = 2;
	sim_meta_faults(w->sim)->timeout_ns = 200 * NSEC_PER_MSEC;
	sim_meta_faults(w->sim)->late_max_ns = NSEC_PER_SEC;
	for (i = 0; i < 10; i++) {
		stop_store(w, i % 3, false);
		write_random(w, 20);
		start_store(w, i % 3);
		sim_run(w->sim, 3 * NSEC_PER_SEC);
	}
	assert_false(w->failed);
	verify(w);
	sim_meta_faults(w->sim)->txn_timeout = 0;
	assert_int_equal(0, detach(w));
	attach(w);
	verify(w);
}

static void second_attach_is_refused_and_force_fences_the_first(void **state)
{
	struct world *w = *state;
	struct volume *first;

	attach(w);
	write_random(w, 10);
	first = w->volume;
	assert_int_equal(-EBUSY, attach_on(w, w->other));
	volume_free(w->volume);
	w->cfg.force = true;
	assert_int_equal(0, attach_on(w, w->other));
	verify(w);
	assert_false(w->failed);
	sim_node_kill(w->other);
	volume_free(w->volume);
	w->volume = first;
	memset(w->data, 0xff, BLOCK_SIZE);
	assert_int_equal(-ESTALE, io_run(w, VOLUME_WRITE, 0, BLOCK_SIZE,
					 false));
	assert_true(w->failed);
	assert_int_equal(VOLUME_FENCED, w->why);
	assert_int_equal(-ESTALE, io_run(w, VOLUME_READ, 0, 512, false));
	assert_int_equal(-ESTALE, detach(w));
}

static void removed_attachment_ends_the_device(void **state)
{
	struct world *w = *state;
	struct volume_doc doc;
	char key[META_KEY_MAX];

	attach(w);
	sim_run(w->sim, NSEC_PER_SEC);
	get_volume(w, &doc);
	memset(&doc.attachment, 0, sizeof(doc.attachment));
	key_volume(&w->cluster, "vol", key);
	put(w, key, volume_doc_encode(&doc));
	stop_store(w, 0, false);
	assert_int_equal(-ESTALE, write_blocks(w, 0, 1, 1, false));
	assert_int_equal(VOLUME_FENCED, w->why);
}

/* ---- the end at any moment -------------------------------------------- */

static void crash_after(struct world *w, unsigned int events)
{
	struct io io[8];
	unsigned int i;

	w->volume = start_attach(w, w->host);
	for (i = 0; i < 8; i++)
		io_start(w, &io[i], i == 3 ? VOLUME_FLUSH :
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
	struct world *w = *state;
	unsigned int events;

	w->cfg.force = true;
	memset(w->data, 0, MIB);
	for (events = 0; events < 400; events += 3)
		crash_after(w, events);
	attach(w);
	verify(w);
}

static void free_in_done(struct volume_request *req, int err)
{
	struct io *io = container_of(req, struct io, req);

	volume_free(io->world->volume);
	io->world->volume = NULL;
	io->over = true;
}

static void volume_may_be_freed_by_a_completion(void **state)
{
	struct world *w = *state;
	struct io io[4];
	unsigned int i;

	attach(w);
	for (i = 0; i < 4; i++) {
		io_start(w, &io[i], VOLUME_WRITE, i * BLOCK_SIZE, BLOCK_SIZE,
			 false);
		io[i].req.done = free_in_done;
	}
	assert_true(sim_run_until(w->sim, &io[0].over, LONG));
	sim_run(w->sim, NSEC_PER_SEC);
	assert_false(io[1].over);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fresh_volume_reads_zeros_then_what_was_written),
		TEST(trim_and_zero_read_as_zeros),
		TEST(write_larger_than_a_chunk_can_hold_is_split),
		TEST(data_survives_detach_and_attach),
		TEST(overlay_past_its_limit_makes_a_checkpoint),
		TEST(bad_requests_are_refused),
		TEST(headers_cost_what_the_budget_says),
		TEST(flushed_data_survives_loss_of_all_power),
		TEST(fua_write_takes_what_came_before_with_it),
		TEST(unflushed_data_is_synced_in_the_background),
		TEST(failed_sync_costs_a_replica_and_no_error),
		TEST(killed_replica_costs_less_than_100_ms),
		TEST(hung_replica_costs_one_timeout_once),
		TEST(replica_that_returns_is_a_member_again),
		TEST(too_few_peers_end_in_a_timeout_and_then_it_goes_on),
		TEST(peers_that_fail_by_turns_do_not_fill_the_sealed_list),
		TEST(new_ring_version_gets_a_new_tail),
		TEST(full_peers_refuse_writes_and_nothing_else),
		TEST(io_goes_on_without_metadata),
		TEST(transactions_without_an_answer_are_found_out),
		TEST(second_attach_is_refused_and_force_fences_the_first),
		TEST(removed_attachment_ends_the_device),
		TEST(volume_may_be_freed_at_any_moment),
		TEST(volume_may_be_freed_by_a_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
