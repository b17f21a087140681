// SPDX-License-Identifier: Apache-2.0
/* The metadata are gone, and are rebuilt from simulated stores. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "recover/recover.h"
#include "volume_bed.h"

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bed_setup, bed_teardown)

static int wait_for(void *ctx, const bool *done)
{
	struct bed *w = ctx;

	return sim_run_until(w->sim, done, LONG) ? 0 : -ETIMEDOUT;
}

static struct recover *start(struct bed *w, unsigned int peers)
{
	struct recover_config cfg = {
		.env = sim_node_env(w->other), .wait = wait_for, .ctx = w,
	};
	struct recover *r;
	char address[32];

	sim_node_start(w->other);
	cfg.env = sim_node_env(w->other);
	r = recover_new(&cfg);
	assert_non_null(r);
	for (unsigned int i = 0; i < peers; i++) {
		snprintf(address, sizeof(address), "store%u:1", i);
		assert_int_equal(recover_add_peer(r, address), 0);
	}
	return r;
}

/* As torusd does it. */
static void remember(struct bed *w)
{
	struct cluster_doc doc = {
		.id = w->cluster, .replication = 3, .chunk_size = MIB,
	};
	char *cluster = cluster_doc_encode(&doc), key[META_KEY_MAX];

	key_ring(&w->cluster, key);
	for (unsigned int i = 0; i < STORES; i++)
		store_remember(w->store[i], 1, cluster,
			       sim_meta_value(w->sim, key));
	free(cluster);
}

static void host_dies(struct bed *w)
{
	sim_node_kill(w->host);
	volume_free(w->volume);
	w->volume = NULL;
}

/* All but what torusd write again by themselves. */
static void lose_metadata(struct bed *w)
{
	char key[META_KEY_MAX];

	key_volume(&w->cluster, "vol", key);
	sim_meta_put(w->sim, key, NULL);
	key_owner(&w->cluster, 1, key);
	if (sim_meta_value(w->sim, key))
		sim_meta_put(w->sim, key, NULL);
	key_ring(&w->cluster, key);
	sim_meta_put(w->sim, key, NULL);
	sim_meta_put(w->sim, KEY_CLUSTER, NULL);
}

static void rebuild(struct bed *w, struct recover *r)
{
	const struct recover_volume *volumes;

	assert_int_equal(recover_survey(r), 0);
	assert_int_equal(recover_volumes(r, &volumes), 1);
	if (volumes[0].state != RECOVER_GOOD)
		fail_msg("%s", volumes[0].problem);
	assert_int_equal(recover_compare(r, sim_node_meta(w->other), false), 0);
	assert_int_equal(recover_fence(r), 0);
	assert_int_equal(recover_write(r), 0);
	recover_free(r);
}

static void test_acknowledged_writes_are_read_after_it(void **state)
{
	struct bed *w = *state;
	struct volume_doc doc;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 60);
	host_dies(w);
	lose_metadata(w);
	rebuild(w, start(w, STORES));
	bed_get_volume(w, &doc);
	assert_string_equal(doc.name, "vol");
	assert_int_equal(doc.size, (uint64_t)BLOCKS * BLOCK_SIZE);
	bed_attach(w);
	bed_verify(w);
	bed_write_random(w, 20);
	assert_int_equal(bed_detach(w), 0);
	bed_attach(w);
	bed_verify(w);
}

/* Ensembles change, chunks are given up, hosts die: all along the log. */
static void test_troubled_logs_are_followed_to_their_end(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	remember(w);
	for (unsigned int round = 0; round < 12; round++) {
		unsigned int i = (unsigned int)sim_below(w->sim, 3);

		bed_write_random(w, 10);
		bed_stop_store(w, i, false);
		bed_write_random(w, 10);
		bed_start_store(w, i);
		sim_run(w->sim, 5 * NSEC_PER_SEC);
		if (round % 3 == 2) {
			bed_take_over(w);
		} else if (round % 3 == 1) {
			w->cfg.force = false;
			assert_int_equal(bed_detach(w), 0);
			bed_attach(w);
		}
		if (round % 4 != 3)
			continue;
		host_dies(w);
		lose_metadata(w);
		rebuild(w, start(w, STORES));
		w->cfg.force = false;
		bed_attach(w);
		remember(w);
		bed_verify(w);
	}
}

static void test_flushed_writes_survive_power_loss_too(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 40);
	assert_int_equal(bed_flush(w), 0);
	host_dies(w);
	for (unsigned int i = 0; i < STORES; i++)
		bed_stop_store(w, i, true);
	lose_metadata(w);
	for (unsigned int i = 0; i < STORES; i++)
		bed_start_store(w, i);
	rebuild(w, start(w, STORES));
	bed_attach(w);
	bed_verify(w);
}

/* Interrupted wherever it may be, the next one does it. */
static void test_it_can_be_repeated_after_each_step(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 30);
	host_dies(w);
	lose_metadata(w);
	for (unsigned int steps = 0; steps < 4; steps++) {
		struct recover *r = start(w, STORES);
		struct meta *meta = sim_node_meta(w->other);

		assert_int_equal(recover_survey(r), 0);
		if (steps > 0)
			assert_int_equal(recover_compare(r, meta, false), 0);
		if (steps > 1)
			assert_int_equal(recover_fence(r), 0);
		if (steps > 2) {
			assert_int_equal(recover_write(r), 0);
			sim_meta_put(w->sim, KEY_CLUSTER, NULL);
		}
		recover_free(r);
	}
	rebuild(w, start(w, STORES));
	bed_attach(w);
	bed_verify(w);
}

/* Fenced by the recovery, it must not acknowledge anything any more. */
static void test_a_writer_that_lives_is_fenced(void **state)
{
	struct bed *w = *state;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 30);
	lose_metadata(w);
	rebuild(w, start(w, STORES));
	memset(w->data, 1, MIB);
	assert_int_not_equal(bed_io_run(w, VOLUME_WRITE, 0, BLOCK_SIZE, false),
			     0);
	host_dies(w);
	w->failed = false;
	bed_attach(w);
	bed_verify(w);
}

static void test_absent_members_are_counted(void **state)
{
	struct bed *w = *state;
	struct recover *r;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 5);
	host_dies(w);
	r = start(w, 2);
	assert_int_equal(recover_survey(r), 0);
	assert_true(recover_ring(r)->remembered);
	assert_int_equal(recover_ring(r)->absent, 1);
	assert_true(uuid_equal(&recover_ring(r)->absent_id[0], &w->ids[2]));
	recover_free(r);
}

static void deleted(void *ctx, int err)
{
	assert_int_equal(err, 0);
}

static void test_deleted_volumes_stay_deleted(void **state)
{
	struct bed *w = *state;
	const struct recover_volume *volumes;
	struct recover *r;
	char key[META_KEY_MAX];

	bed_attach(w);
	remember(w);
	bed_write_random(w, 5);
	host_dies(w);
	store_delete_volume(w->store[1], 1, deleted, NULL);
	r = start(w, STORES);
	lose_metadata(w);
	assert_int_equal(recover_survey(r), 0);
	assert_int_equal(recover_volumes(r, &volumes), 1);
	assert_int_equal(volumes[0].state, RECOVER_DELETED);
	assert_int_equal(recover_compare(r, sim_node_meta(w->other), false), 0);
	assert_int_equal(recover_fence(r), 0);
	assert_int_equal(recover_write(r), 0);
	recover_free(r);
	key_tombstone(&w->cluster, 1, key);
	assert_non_null(sim_meta_value(w->sim, key));
	key_volume(&w->cluster, "vol", key);
	assert_null(sim_meta_value(w->sim, key));
}

static void test_a_cluster_that_is_well_is_left_alone(void **state)
{
	const struct recover_volume *volumes;
	struct bed *w = *state;
	struct recover *r;
	char key[META_KEY_MAX];
	int64_t before;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 5);
	assert_int_equal(bed_detach(w), 0);
	key_volume(&w->cluster, "vol", key);
	before = sim_meta_revision(w->sim, key);
	r = start(w, STORES);
	assert_int_equal(recover_survey(r), 0);
	assert_int_equal(recover_compare(r, sim_node_meta(w->other), false),
			 -EEXIST);
	assert_non_null(strstr(error_text(-EEXIST), "nothing to recover"));
	assert_int_equal(recover_volumes(r, &volumes), 1);
	assert_int_equal(volumes[0].action, RECOVER_KEEP);
	assert_int_equal(recover_compare(r, sim_node_meta(w->other), true), 0);
	assert_int_equal(recover_changes(r), 0);
	recover_free(r);
	assert_int_equal(sim_meta_revision(w->sim, key), before);
}

static void test_metadata_that_went_back_are_mended(void **state)
{
	struct bed *w = *state;
	struct recover *r;
	char key[META_KEY_MAX], *old;

	bed_attach(w);
	remember(w);
	bed_write_random(w, 20);
	assert_int_equal(bed_detach(w), 0);
	key_volume(&w->cluster, "vol", key);
	old = strdup(sim_meta_value(w->sim, key));
	bed_attach(w);
	bed_write_random(w, 20);
	assert_int_equal(bed_detach(w), 0);
	sim_meta_put(w->sim, key, old);
	free(old);
	assert_int_equal(bed_attach_on(w, w->host), -EUCLEAN);
	volume_free(w->volume);
	w->volume = NULL;
	r = start(w, STORES);
	assert_int_equal(recover_survey(r), 0);
	assert_int_equal(recover_compare(r, sim_node_meta(w->other), true), 0);
	assert_int_equal(recover_changes(r), 1);
	assert_int_equal(recover_fence(r), 0);
	assert_int_equal(recover_write(r), 0);
	recover_free(r);
	bed_attach(w);
	bed_verify(w);
}

static void test_choices_are_checked(void **state)
{
	struct bed *w = *state;
	struct recover *r = start(w, 2);

	assert_int_equal(recover_choose(r, "vol"), -EINVAL);
	assert_int_equal(recover_choose(r, "=x"), -EINVAL);
	assert_int_equal(recover_choose(r, "vol="), -EINVAL);
	/* Nobody has a volume yet, so this one is mistyped. */
	assert_int_equal(recover_survey(r), 0);
	assert_int_equal(recover_choose(r, "vol=12:7"), 0);
	assert_int_equal(recover_survey(r), -EINVAL);
	assert_non_null(strstr(error_text(-EINVAL), "--choose vol"));
	assert_int_equal(recover_choose(r, "vol=nobody:1"), 0);
	assert_int_equal(recover_survey(r), -EINVAL);
	recover_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_acknowledged_writes_are_read_after_it),
		TEST(test_troubled_logs_are_followed_to_their_end),
		TEST(test_flushed_writes_survive_power_loss_too),
		TEST(test_it_can_be_repeated_after_each_step),
		TEST(test_a_writer_that_lives_is_fenced),
		TEST(test_absent_members_are_counted),
		TEST(test_deleted_volumes_stay_deleted),
		TEST(test_a_cluster_that_is_well_is_left_alone),
		TEST(test_metadata_that_went_back_are_mended),
		TEST(test_choices_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
