// SPDX-License-Identifier: Apache-2.0
/* Stores that find out by themselves which of their chunks are dead. */
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
#include "base/log.h"
#include "maint/garbage.h"
#include "volume_bed.h"

/* What is read before the beginning of an answer says: dead. */
#define ZEROS 16384u

struct collector {
	struct bed *bed;
	unsigned int store;
	struct cluster *cluster;
	struct garbage *garbage;
	uint8_t *memory;		/* zeros, and then that */
	bool opened;
	int err;
	unsigned int settled;		/* copies, as it told */
};

static void settled(void *ctx, uint64_t volume, uint64_t chunk)
{
	struct collector *c = ctx;
	struct store_copy copy;

	assert_true(store_copy_get(c->bed->store[c->store], volume, chunk,
				   &copy));
	assert_true(copy.settled > 0);
	c->settled++;
}

static void opened(void *ctx, int err)
{
	struct collector *c = ctx;

	c->err = err;
	c->opened = true;
}

static void collector_start(struct collector *c, struct bed *w, unsigned int i)
{
	const struct garbage_config garbage = {
		.grace_ns = NSEC_PER_SEC, .settled = settled, .ctx = c,
	};
	const struct cluster_config cfg = {
		.self = w->ids[i], .role = WIRE_ROLE_PEER,
	};

	*c = (struct collector){ .bed = w, .store = i };
	c->cluster = cluster_open(sim_node_env(w->node[i]),
				  sim_node_meta(w->node[i]), &cfg, opened, c);
	assert_non_null(c->cluster);
	assert_true(sim_run_until(w->sim, &c->opened, LONG));
	assert_int_equal(0, c->err);
	c->memory = calloc(1, ZEROS + sizeof(*c->garbage));
	assert_non_null(c->memory);
	c->garbage = (struct garbage *)(c->memory + ZEROS);
	assert_int_equal(0, garbage_init(c->garbage, sim_node_env(w->node[i]),
					 sim_node_meta(w->node[i]), c->cluster,
					 w->store[i], &garbage));
}

static void collector_end(struct collector *c)
{
	garbage_release(c->garbage);
	free(c->memory);
	cluster_close(c->cluster);
}

static void look(struct collector *c)
{
	garbage_look(c->garbage);
	sim_run(c->bed->sim, 20 * NSEC_PER_SEC);
	assert_true(garbage_idle(c->garbage));
}

static uint64_t copies(struct bed *w, unsigned int i)
{
	struct store_stats stats;

	store_stats(w->store[i], &stats);
	return stats.chunks;
}

/* Garbage that the writer cannot tell store 0 about: it is away meanwhile. The
 * fourth store is in the ring, so that writing goes on without it. */
static void make_garbage(struct bed *w)
{
	char key[META_KEY_MAX];

	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("vol"));
	w->cfg.clean_threshold = 25;
	w->cfg.checkpoint_log_bytes = 2 * MIB;
	w->cfg.tail_chunks = 2;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 150);
	assert_int_equal(0, bed_flush(w));
	bed_stop_store(w, 0, false);
	bed_write_random(w, 200);
	sim_run(w->sim, 10 * NSEC_PER_SEC);
	assert_true(bed_stats(w).cleaned_chunks > 5);
}

static void a_store_that_was_away_finds_its_dead_chunks(void **state)
{
	struct bed *w = *state;
	struct collector c;
	uint64_t before;

	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	before = copies(w, 0);
	collector_start(&c, w, 0);
	look(&c);
	assert_true(c.garbage->removed > 5);
	assert_int_equal(copies(w, 0), before - c.garbage->removed);
	assert_int_equal(0, c.garbage->behind);
	/* And nothing else. */
	before = c.garbage->removed;
	look(&c);
	assert_int_equal(before, c.garbage->removed);
	collector_end(&c);
	bed_attach(w);
	bed_verify(w);
}

/* Every store collects; what is left of one copy each is enough for all. */
static void what_is_live_is_not_touched(void **state)
{
	struct bed *w = *state;
	struct collector c;
	unsigned int i;

	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	for (i = 0; i < STORES; i++) {
		collector_start(&c, w, i);
		look(&c);
		collector_end(&c);
	}
	bed_attach(w);
	bed_verify(w);
}

static void absence_deletes_nothing(void **state)
{
	struct bed *w = *state;
	struct collector c;
	char key[META_KEY_MAX];
	uint64_t before;

	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("another"));
	/* What it was about to delete when it was stopped goes now. */
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	before = copies(w, 0);
	collector_start(&c, w, 0);
	look(&c);
	assert_int_equal(0, c.garbage->removed);
	assert_int_equal(before, copies(w, 0));
	collector_end(&c);
}

/* The metadata store is put back to what it was before the last attach. */
static void a_store_that_knows_more_than_the_metadata_collects_nothing(void **state)
{
	struct bed *w = *state;
	struct volume_doc old;
	struct collector c;
	char key[META_KEY_MAX];

	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	bed_get_volume(w, &old);
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_detach(w));
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&old));
	collector_start(&c, w, 0);
	look(&c);
	assert_int_equal(0, c.garbage->removed);
	assert_int_equal(1, c.garbage->behind);
	collector_end(&c);
}

static unsigned int warned[2];

static void count_warnings(enum log_level level, const char *line)
{
	if (!strstr(line, "it went back in time"))
		return;
	warned[0] += strstr(line, "volume vol:") != NULL;
	warned[1] += strstr(line, "volume second:") != NULL;
}

static void sealed(struct peer_call *call)
{
	bool *done = call->ctx;

	assert_int_equal(0, call->err);
	assert_int_equal(WIRE_OK, call->status);
	*done = true;
}

/* The store has a chunk of @volume, and has heard of @epoch. */
static void seal_nothing(struct collector *c, uint64_t volume, uint64_t epoch)
{
	struct wire_seal body = {
		.volume = cpu_to_le64(volume), .chunk = cpu_to_le64(1),
		.epoch = cpu_to_le64(epoch),
	};
	bool done = false;
	struct peer_call call = {
		.type = WIRE_SEAL, .body = &body, .done = sealed, .ctx = &done,
	};

	peer_call(peer_find(cluster_peers(c->cluster),
			    &c->bed->ids[c->store]), &call);
	assert_true(sim_run_until(c->bed->sim, &done, LONG));
}

static void put_second(struct bed *w, uint64_t epoch)
{
	struct volume_doc doc;
	char key[META_KEY_MAX];

	bed_get_volume(w, &doc);
	snprintf(doc.name, sizeof(doc.name), "second");
	doc.id = 2;
	doc.epoch = epoch;
	memset(&doc.root, 0, sizeof(doc.root));
	key_volume(&w->cluster, doc.name, key);
	bed_put(w, key, volume_doc_encode(&doc));
	key_volume_id(&w->cluster, doc.id, key);
	bed_put(w, key, name_encode(doc.name));
}

static void each_volume_that_went_back_is_told_of_once(void **state)
{
	struct bed *w = *state;
	struct volume_doc old, new;
	struct collector c;
	char key[META_KEY_MAX];

	memset(warned, 0, sizeof(warned));
	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	bed_get_volume(w, &old);
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_detach(w));
	bed_get_volume(w, &new);
	put_second(w, 5);
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&old));
	collector_start(&c, w, 0);
	seal_nothing(&c, 2, 5);
	log_set_sink(count_warnings);
	look(&c);
	look(&c);
	assert_int_equal(1, warned[0]);
	assert_int_equal(0, warned[1]);
	/* Another one, while the first is not mended. */
	put_second(w, 4);
	look(&c);
	look(&c);
	assert_int_equal(2, c.garbage->behind);
	assert_int_equal(1, warned[0]);
	assert_int_equal(1, warned[1]);
	/* Mended, it may go back again. */
	bed_put(w, key, volume_doc_encode(&new));
	look(&c);
	bed_put(w, key, volume_doc_encode(&old));
	look(&c);
	assert_int_equal(2, warned[0]);
	assert_int_equal(1, warned[1]);
	log_set_sink(NULL);
	collector_end(&c);
}

/* A recovery went back to an older root, and the stores have heard of later
 * ones: the document says so. */
static void roots_that_were_given_up_are_no_obstacle(void **state)
{
	struct bed *w = *state;
	struct volume_doc old, new;
	struct collector c;
	char key[META_KEY_MAX];
	int i;

	make_garbage(w);
	assert_int_equal(0, bed_detach(w));
	bed_start_store(w, 0);
	bed_get_volume(w, &old);
	for (i = 0; i < 2; i++) {
		bed_attach(w);
		bed_write_random(w, 20);
		assert_int_equal(0, bed_detach(w));
	}
	bed_get_volume(w, &new);
	old.epoch = new.epoch;
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&old));
	collector_start(&c, w, 0);
	look(&c);
	assert_int_equal(1, c.garbage->behind);
	old.root_floor = new.root.addr;
	bed_put(w, key, volume_doc_encode(&old));
	/* As long as that is so it looks by itself, and soon. */
	sim_run(w->sim, 60 * NSEC_PER_SEC);
	assert_true(garbage_idle(c.garbage));
	assert_int_equal(0, c.garbage->behind);
	collector_end(&c);
}

/* Chunks beyond those of two leaves of the table. */
static void make_distant_chunks(struct bed *w)
{
	char key[META_KEY_MAX];
	struct volume_doc doc;
	int i;

	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("vol"));
	bed_attach(w);
	bed_write_random(w, 5);
	assert_int_equal(0, bed_detach(w));
	bed_get_volume(w, &doc);
	assert_true(doc.sealed_count > 0);
	assert_int_equal(doc.next_chunk, doc.sealed[doc.sealed_count - 1].next);
	doc.next_chunk += 2 * MAP_FANOUT;
	doc.sealed[doc.sealed_count - 1].next = doc.next_chunk;
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&doc));
	for (i = 0; i < 2; i++) {	/* the second root lies behind them */
		bed_attach(w);
		bed_write_random(w, 5);
		assert_int_equal(0, bed_detach(w));
	}
}

/*
 * A copy comes from another store while the table is asked about higher chunks:
 * the cursor is before it, and the answer says nothing of it.
 */
static void a_copy_that_comes_during_a_lookup_is_not_judged(void **state)
{
	struct bed *w = *state;
	struct store_copy copy;
	struct collector c;
	unsigned int i;

	make_distant_chunks(w);
	assert_true(store_copy_get(w->store[0], 1, 1, &copy));
	collector_start(&c, w, 0);
	garbage_look(c.garbage);
	for (i = 0; i < 2000000 && c.garbage->lookup.first < 2 * MAP_FANOUT; i++)
		sim_run(w->sim, 10000);
	assert_int_equal(GARBAGE_TABLE, c.garbage->state);
	assert_true(c.garbage->busy);
	assert_int_equal(2 * MAP_FANOUT, c.garbage->lookup.first);
	c.garbage->chunk = 0;
	sim_run(w->sim, 20 * NSEC_PER_SEC);
	assert_true(garbage_idle(c.garbage));
	assert_true(store_copy_get(w->store[0], 1, 1, &copy));
	collector_end(&c);
}

/* ---- unsealed copies ---------------------------------------------------- */

/* The highest chunk of which store 0 has an unsealed copy. */
static struct store_copy open_copy(struct bed *w)
{
	struct store_copy copy = { 0 }, open = { 0 };

	while (store_copy_next(w->store[0], copy.volume, copy.chunk, &copy))
		if (copy.state == WIRE_COPY_OPEN)
			open = copy;
	return open;
}

/* Store 0 misses the SEAL of what it has open, and roots go beyond that. */
static void miss_a_seal(struct bed *w)
{
	char key[META_KEY_MAX];

	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("vol"));
	w->cfg.checkpoint_log_bytes = 2 * MIB;
	w->cfg.tail_chunks = 2;
	bed_put_ring(w, 2, 4);
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_flush(w));
	bed_stop_store(w, 0, false);
	bed_write_random(w, 100);
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_detach(w));
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_detach(w));
}

static void an_unsealed_copy_below_the_horizon_is_settled(void **state)
{
	struct store_copy open, sealed = { 0 };
	struct bed *w = *state;
	struct collector c;
	unsigned int i;

	miss_a_seal(w);
	bed_start_store(w, 0);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	open = open_copy(w);
	assert_true(open.chunk > 0);
	assert_int_equal(0, open.settled);
	for (i = 1; i < STORES && sealed.state != WIRE_COPY_SEALED; i++)
		store_copy_get(w->store[i], open.volume, open.chunk, &sealed);
	assert_int_equal(WIRE_COPY_SEALED, sealed.state);
	collector_start(&c, w, 0);
	look(&c);
	assert_true(store_copy_get(w->store[0], open.volume, open.chunk, &open));
	assert_int_equal(sealed.length, open.settled);
	assert_true(c.settled > 0);
	/* It is told once. */
	c.settled = 0;
	look(&c);
	assert_int_equal(0, c.settled);
	collector_end(&c);
}

/* Above the horizon the list of sealed chunks says where one ends. */
static void an_unsealed_copy_on_the_sealed_list_is_settled(void **state)
{
	struct store_copy open;
	struct bed *w = *state;
	struct volume_doc doc;
	struct collector c;
	char key[META_KEY_MAX];

	miss_a_seal(w);
	bed_start_store(w, 0);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	open = open_copy(w);
	bed_get_volume(w, &doc);
	/* As it was before any root was published. */
	doc.root_floor = doc.root.addr;
	memset(&doc.root, 0, sizeof(doc.root));
	doc.sealed_count = 1;
	doc.sealed[0].chunk = open.chunk;
	doc.sealed[0].length = 7;
	doc.sealed[0].next = open.chunk + 1;
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&doc));
	collector_start(&c, w, 0);
	look(&c);
	assert_true(store_copy_get(w->store[0], open.volume, open.chunk, &open));
	assert_int_equal(7, open.settled);
	assert_int_equal(1, c.settled);
	collector_end(&c);
}

static void a_metadata_store_that_went_back_settles_nothing(void **state)
{
	struct bed *w = *state;
	struct volume_doc old;
	struct collector c;
	char key[META_KEY_MAX];

	miss_a_seal(w);
	bed_start_store(w, 0);
	bed_get_volume(w, &old);
	bed_attach(w);
	assert_int_equal(0, bed_detach(w));
	key_volume(&w->cluster, "vol", key);
	bed_put(w, key, volume_doc_encode(&old));
	collector_start(&c, w, 0);
	look(&c);
	assert_int_equal(1, c.garbage->behind);
	assert_int_equal(0, c.settled);
	collector_end(&c);
}

/* Wanted looks come soon, and the less often the longer they find nothing. */
static void wanted_looks_are_soon_and_get_rare(void **state)
{
	struct bed *w = *state;
	unsigned int i, looks = 0;
	struct collector c;
	uint64_t ended;

	miss_a_seal(w);
	bed_start_store(w, 0);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	collector_start(&c, w, 0);
	garbage_want(c.garbage);
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	assert_true(c.settled > 0);
	ended = c.garbage->not_before;
	for (i = 0; i < 600; i++) {
		garbage_want(c.garbage);
		sim_run(w->sim, NSEC_PER_SEC);
		looks += c.garbage->not_before != ended;
		ended = c.garbage->not_before;
	}
	/* After 10, 20, 40, ... s. */
	assert_in_range(looks, 4, 6);
	collector_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
		TEST(a_store_that_was_away_finds_its_dead_chunks),
		TEST(what_is_live_is_not_touched),
		TEST(absence_deletes_nothing),
		TEST(a_store_that_knows_more_than_the_metadata_collects_nothing),
		TEST(each_volume_that_went_back_is_told_of_once),
		TEST(roots_that_were_given_up_are_no_obstacle),
		TEST(a_copy_that_comes_during_a_lookup_is_not_judged),
		TEST(an_unsealed_copy_below_the_horizon_is_settled),
		TEST(an_unsealed_copy_on_the_sealed_list_is_settled),
		TEST(a_metadata_store_that_went_back_settles_nothing),
		TEST(wanted_looks_are_soon_and_get_rare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
