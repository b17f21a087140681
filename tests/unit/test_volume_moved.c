// SPDX-License-Identifier: Apache-2.0
/* Attaching, and recovering, while maintenance moves the copies that are looked
 * for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "maint/maint.h"
#include "peer/cluster.h"
#include "recover/recover.h"
#include "volume/internal.h"
#include "volume/recover.h"
#include "volume_bed.h"

#define AWAY (60 * NSEC_PER_SEC)

/* The maintenance of one store. */
struct keeper {
	struct cluster *cluster;
	struct maint *maint;
	bool opened;
	int err;
};

static void ring_changed(void *ctx)
{
	struct keeper *k = ctx;

	if (k->maint != NULL)
		maint_ring_changed(k->maint);
}

static void peer_changed(void *ctx, struct peer *peer, int err)
{
	struct keeper *k = ctx;

	if (k->maint != NULL)
		maint_peer_changed(k->maint, peer, err);
}

static const struct cluster_ops keeper_ops = {
	.ring_changed = ring_changed,
	.peer_changed = peer_changed,
};

static void opened(void *ctx, int err)
{
	struct keeper *k = ctx;

	k->err = err;
	k->opened = true;
}

static void keeper_start(struct keeper *k, struct bed *w, unsigned int i)
{
	const struct maint_config maint = { .rate_idle = 0 };
	const struct cluster_config cfg = {
		.self = w->ids[i], .role = WIRE_ROLE_PEER,
		.ops = &keeper_ops, .ctx = k,
	};

	*k = (struct keeper){ 0 };
	k->cluster = cluster_open(sim_node_env(w->node[i]),
				  sim_node_meta(w->node[i]), &cfg, opened, k);
	assert_non_null(k->cluster);
	assert_true(sim_run_until(w->sim, &k->opened, LONG));
	assert_int_equal(0, k->err);
	k->maint = maint_new(sim_node_env(w->node[i]),
			     sim_node_meta(w->node[i]), k->cluster, w->store[i],
			     &maint);
	assert_non_null(k->maint);
}

static void keeper_end(struct keeper *k)
{
	maint_free(k->maint);
	cluster_close(k->cluster);
}

/* Everything belongs to the last store now. */
static void put_ring_of_one(struct bed *w)
{
	struct ring_doc *doc = calloc(1, sizeof(*doc));
	char key[META_KEY_MAX];

	assert_non_null(doc);
	key_ring(&w->cluster, key);
	assert_int_equal(0, ring_doc_decode(key, sim_meta_value(w->sim, key),
					    doc));
	doc->has_previous = true;
	doc->previous = doc->current;
	doc->current.version++;
	doc->current.member_count = 1;
	doc->current.members[0].peer = w->ids[STORES - 1];
	bed_put(w, key, ring_doc_encode(doc));
	free(doc);
}

/* Flushed, sealed in the metadata store, and nothing was written after it. */
static void make_sealed_end(struct bed *w)
{
	struct volume_doc doc;
	char key[META_KEY_MAX];

	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("vol"));
	bed_attach(w);
	assert_int_equal(0, bed_write_blocks(w, 0, 8, 1, false));
	assert_int_equal(0, bed_flush(w));
	assert_int_equal(0, bed_write_blocks(w, 8, 8, 2, false));
	bed_stop_store(w, 2, false);
	assert_int_equal(0, bed_flush(w));
	sim_run(w->sim, 5 * NSEC_PER_SEC);
	bed_get_volume(w, &doc);
	assert_true(doc.sealed_count > 0);
	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
	bed_start_store(w, 2);
	sim_run(w->sim, NSEC_PER_SEC);
}

static void cut_off(struct bed *w, uint64_t ns)
{
	unsigned int i;

	for (i = 0; i < STORES - 1; i++) {
		sim_net_block(w->other, w->node[i], ns);
		sim_net_block(w->node[i], w->other, ns);
	}
}

static uint64_t copies(struct bed *w, unsigned int i)
{
	struct store_stats stats;

	store_stats(w->store[i], &stats);
	return stats.chunks;
}

/*
 * The last store says that it has none of the chunk, then gets it, and those
 * that had it answer when they do not have it any more.
 */
static void a_chunk_that_moves_meanwhile_is_found(void **state)
{
	struct bed *w = *state;
	struct keeper keeper[STORES];
	unsigned int i;

	make_sealed_end(w);
	w->cfg.force = true;
	w->cfg.min_replicas = 1;
	w->volume = bed_start_attach(w, w->other);
	while (w->volume->attach == NULL ||
	       w->volume->attach->phase != ATTACH_WALK)
		assert_true(sim_step(w->sim));
	cut_off(w, AWAY);
	sim_run(w->sim, NSEC_PER_SEC);
	assert_false(w->attached);
	put_ring_of_one(w);
	for (i = 0; i < STORES; i++)
		keeper_start(&keeper[i], w, i);
	bed_wait_flag(w);
	for (i = 0; i < STORES - 1; i++)
		assert_int_equal(0, copies(w, i));
	assert_int_equal(0, w->err);
	bed_verify(w);
	for (i = 0; i < STORES; i++)
		keeper_end(&keeper[i]);
}

/* Everything moves before the question with this number. */
struct survey {
	struct bed *bed;
	unsigned int calls, pause_at;
};

static int wait_for(void *ctx, const bool *done)
{
	struct survey *s = ctx;

	if (++s->calls == s->pause_at)
		sim_run(s->bed->sim, 3 * AWAY);
	return sim_run_until(s->bed->sim, done, LONG) ? 0 : -ETIMEDOUT;
}

static void a_survey_sees_what_moves_meanwhile(void **state)
{
	static const unsigned int order[STORES] = { 3, 0, 1, 2 };
	struct bed *w = *state;
	struct survey survey = { .bed = w };
	struct recover_config cfg = { .wait = wait_for, .ctx = &survey };
	const struct recover_volume *volumes;
	struct keeper keeper[STORES];
	struct recover *r;
	char address[32], key[META_KEY_MAX];
	unsigned int i;

	key_volume_id(&w->cluster, 1, key);
	bed_put(w, key, name_encode("vol"));
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(0, bed_detach(w));
	sim_node_start(w->other);
	cfg.env = sim_node_env(w->other);
	r = recover_new(&cfg);
	assert_non_null(r);
	for (i = 0; i < STORES; i++) {
		snprintf(address, sizeof(address), "store%u:1", order[i]);
		assert_int_equal(0, recover_add_peer(r, address));
	}
	put_ring_of_one(w);
	for (i = 0; i < STORES; i++)
		keeper_start(&keeper[i], w, i);
	/* The first peer's documents, volumes and chunks are known. */
	survey.pause_at = survey.calls + 4;
	assert_int_equal(0, recover_survey(r));
	for (i = 0; i < STORES - 1; i++)
		assert_int_equal(0, copies(w, i));
	assert_int_equal(1, recover_volumes(r, &volumes));
	assert_int_equal(RECOVER_GOOD, volumes[0].state);
	recover_free(r);
	for (i = 0; i < STORES; i++)
		keeper_end(&keeper[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
		TEST(a_chunk_that_moves_meanwhile_is_found),
		TEST(a_survey_sees_what_moves_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
