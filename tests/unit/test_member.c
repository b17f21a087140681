// SPDX-License-Identifier: Apache-2.0
/* What a store does for its cluster: volumes that were deleted. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "member/member.h"

static struct member member;

static void changed(void *ctx)
{
}

static void failed(void *ctx, int err)
{
	fail_msg("the member gave up: %d", err);
}

static const struct member_ops ops = { .changed = changed, .failed = failed };

static void start_member(struct fixture *f)
{
	struct member_config cfg = {
		.env = sim_node_env(f->node), .meta = sim_node_meta(f->node),
		.store = f->store, .address = "store:1", .ops = &ops,
		.cluster = { .id = f->cfg.cluster },
	};

	memset(&member, 0, sizeof(member));
	member_start(&member, &cfg);
	sim_run(f->sim, NSEC_PER_SEC);
}

static void delete_volume(struct fixture *f, char key[META_KEY_MAX])
{
	char *name = name_encode("vol");

	key_tombstone(&member.cfg.cluster.id, VOLUME, key);
	sim_meta_put(f->sim, key, name);
	free(name);
}

static uint64_t chunks_left(struct fixture *f)
{
	struct store_stats stats;

	store_stats(f->store, &stats);
	return stats.chunks;
}

static void test_deleted_volume_goes_and_is_confirmed(void **state)
{
	struct fixture *f = *state;
	char key[META_KEY_MAX];

	append_new(f, 5);
	start_member(f);
	delete_volume(f, key);
	sim_run(f->sim, 5 * NSEC_PER_SEC);
	assert_int_equal(chunks_left(f), 0);
	assert_null(sim_meta_value(f->sim, key));
	member_release(&member);
}

/* Not even the tombstone fits in the journal; then there is room again. */
static void test_deletion_that_failed_is_tried_again(void **state)
{
	struct fixture *f = *state;
	char key[META_KEY_MAX];

	append_new(f, 5);
	start_member(f);
	sim_disk_fill(f->node, 0);
	delete_volume(f, key);
	sim_run(f->sim, 100 * NSEC_PER_SEC);
	assert_int_equal(chunks_left(f), 1);
	assert_non_null(sim_meta_value(f->sim, key));
	sim_disk_fill(f->node, UINT64_MAX);
	sim_run(f->sim, 60 * NSEC_PER_SEC);
	assert_int_equal(chunks_left(f), 0);
	assert_null(sim_meta_value(f->sim, key));
	member_release(&member);
}

/* Somebody deleted the keys, and the lease lives on. */
static void test_keys_that_others_deleted_are_written_again(void **state)
{
	struct fixture *f = *state;
	char peer[META_KEY_MAX], alive[META_KEY_MAX];
	struct meta_txn txn = {
		.put = { { peer, NULL, 0 }, { alive, NULL, 0 } },
		.put_count = 2,
	};

	start_member(f);
	key_peer(&member.cfg.cluster.id, store_peer(f->store), peer);
	key_alive(&member.cfg.cluster.id, store_peer(f->store), alive);
	assert_non_null(sim_meta_value(f->sim, alive));
	assert_true(sim_meta_txn(f->sim, &txn));
	assert_null(sim_meta_value(f->sim, peer));
	member_seen_dead(&member);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_non_null(sim_meta_value(f->sim, peer));
	assert_non_null(sim_meta_value(f->sim, alive));
	sim_meta_lose_leases(f->node);
	sim_run(f->sim, 60 * NSEC_PER_SEC);
	assert_non_null(sim_meta_value(f->sim, alive));
	member_release(&member);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_deleted_volume_goes_and_is_confirmed),
		TEST(test_deletion_that_failed_is_tried_again),
		TEST(test_keys_that_others_deleted_are_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
