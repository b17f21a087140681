// SPDX-License-Identifier: Apache-2.0
/* Ring types: permutations, balance, movement, and pinned answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ring/ring.h"

#define TIB (1ull << 40)

/* Peers are numbered; the number is all over the uuid. */
static struct uuid peer_uuid(uint32_t n)
{
	struct uuid u = { { 0 } };

	u.byte[0] = (uint8_t)(n * 37);
	u.byte[7] = (uint8_t)(n >> 8);
	u.byte[15] = (uint8_t)n;
	uuid_from_random(&u);
	return u;
}

static struct ring_spec *new_spec(enum ring_type type, uint32_t members)
{
	struct ring_spec *spec = calloc(1, sizeof(*spec));
	uint32_t i;

	spec->version = 3;
	spec->type = type;
	spec->replication = 3;
	spec->member_count = members;
	for (i = 0; i < members && i < RING_MEMBERS_MAX; i++) {
		spec->members[i].peer = peer_uuid(i + 1);
		spec->members[i].weight = TIB;
	}
	return spec;
}

static struct ring *new_ring(const struct ring_spec *spec)
{
	struct ring *ring = NULL;

	assert_int_equal(ring_create(spec, &ring), 0);
	return ring;
}

static void names_parse_back(void **state)
{
	enum ring_type type, parsed;

	for (type = 0; type < RING_TYPE_COUNT; type++) {
		assert_int_equal(ring_type_parse(ring_type_name(type), &parsed),
				 0);
		assert_int_equal(parsed, type);
	}
	assert_int_equal(ring_type_parse("zigzag", &parsed), -EINVAL);
	assert_non_null(strstr(error_text(-EINVAL), "zigzag"));
}

static void expect_refused(const struct ring_spec *spec, const char *words)
{
	struct ring *ring = NULL;

	error_clear();
	assert_int_equal(ring_create(spec, &ring), -EINVAL);
	assert_null(ring);
	assert_non_null(strstr(error_text(-EINVAL), words));
}

static void bad_specs_are_refused_by_name(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, 4);

	spec->members[3].peer = spec->members[1].peer;
	expect_refused(spec, "member twice");
	memset(&spec->members[3].peer, 0, sizeof(struct uuid));
	expect_refused(spec, "member 3 has no uuid");
	spec->member_count = 3;
	spec->replication = 0;
	expect_refused(spec, "replication 0");
	spec->replication = RING_REPLICATION_MAX + 1;
	expect_refused(spec, "replication 9");
	spec->replication = 1;
	spec->type = RING_SINGLE;
	expect_refused(spec, "at most 1");
	spec->type = RING_EMPTY;
	expect_refused(spec, "at most 0");
	spec->type = RING_TYPE_COUNT;
	expect_refused(spec, "unknown type");
	spec->type = RING_MOD;
	spec->member_count = RING_MEMBERS_MAX + 1;
	expect_refused(spec, "at most 256");
	spec->type = RING_KETAMA;
	spec->member_count = 1;
	spec->members[0].weight = 0;
	expect_refused(spec, "weight 0");
}

static void expect_permutation(const struct ring *ring, uint64_t chunk)
{
	uint16_t order[RING_MEMBERS_MAX];
	bool seen[RING_MEMBERS_MAX] = { false };
	uint32_t count = ring_spec(ring)->member_count, i;

	assert_int_equal(ring_permutation(ring, 7, chunk, order), count);
	for (i = 0; i < count; i++) {
		assert_in_range(order[i], 0, count - 1);
		assert_false(seen[order[i]]);
		seen[order[i]] = true;
	}
}

static void every_answer_is_a_permutation(void **state)
{
	static const struct { enum ring_type type; uint32_t members; } cases[] = {
		{ RING_EMPTY, 0 }, { RING_SINGLE, 0 }, { RING_SINGLE, 1 },
		{ RING_MOD, 0 }, { RING_MOD, 1 }, { RING_MOD, 7 },
		{ RING_KETAMA, 0 }, { RING_KETAMA, 1 }, { RING_KETAMA, 2 },
		{ RING_KETAMA, 17 }, { RING_KETAMA, RING_MEMBERS_MAX },
		{ RING_ZONES, 0 }, { RING_ZONES, 1 }, { RING_ZONES, 17 },
		{ RING_ZONES, RING_MEMBERS_MAX },
	};
	uint64_t chunk;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_FREE struct ring_spec *spec =
			new_spec(cases[i].type, cases[i].members);
		struct ring *ring;

		/* One tiny and, among several, one weightless member. */
		if (spec->member_count > 2) {
			spec->members[1].weight = 1;
			spec->members[2].weight = 0;
		}
		ring = new_ring(spec);
		for (chunk = 1; chunk < 200; chunk++)
			expect_permutation(ring, chunk);
		ring_free(ring);
	}
}

static void weightless_members_come_last(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, 5);
	uint16_t order[RING_MEMBERS_MAX];
	struct ring *ring;
	uint64_t chunk;

	spec->members[0].weight = 0;
	spec->members[3].weight = 0;
	ring = new_ring(spec);
	for (chunk = 1; chunk < 500; chunk++) {
		ring_permutation(ring, 1, chunk, order);
		assert_true(order[3] == 0 || order[3] == 3);
		assert_true(order[4] == 0 || order[4] == 3);
	}
	ring_free(ring);
}

/* How often each member is among the first @replication of a chunk. */
static void count_owners(const struct ring *ring, uint32_t replication,
			 uint32_t chunks, uint32_t *owned)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t i, j;

	memset(owned, 0, RING_MEMBERS_MAX * sizeof(*owned));
	for (i = 1; i <= chunks; i++) {
		ring_permutation(ring, i % 13, i, order);
		for (j = 0; j < replication; j++)
			owned[order[j]]++;
	}
}

static void ketama_balances_equal_members(void **state)
{
	enum { MEMBERS = 12, CHUNKS = 60000 };
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, MEMBERS);
	struct ring *ring = new_ring(spec);
	uint32_t owned[RING_MEMBERS_MAX], i;

	count_owners(ring, 3, CHUNKS, owned);
	for (i = 0; i < MEMBERS; i++) {
		/* Within 15 % of an equal share. */
		assert_in_range(owned[i], CHUNKS * 3 / MEMBERS * 85 / 100,
				CHUNKS * 3 / MEMBERS * 115 / 100);
	}
	ring_free(ring);
}

static void ketama_follows_capacity(void **state)
{
	enum { MEMBERS = 8, CHUNKS = 60000, UNITS = 4 * 1 + 2 * 2 + 2 * 4 };
	static const uint32_t units[MEMBERS] = { 1, 1, 1, 1, 2, 2, 4, 4 };
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, MEMBERS);
	uint32_t owned[RING_MEMBERS_MAX], i;
	struct ring *ring;

	for (i = 0; i < MEMBERS; i++)
		spec->members[i].weight = units[i] * TIB;
	ring = new_ring(spec);
	count_owners(ring, 1, CHUNKS, owned);
	for (i = 0; i < MEMBERS; i++)
		assert_in_range(owned[i], CHUNKS * units[i] / UNITS * 80 / 100,
				CHUNKS * units[i] / UNITS * 120 / 100);
	ring_free(ring);
}

/* Chunks out of @chunks whose first owner differs between the rings. */
static uint32_t count_moved(const struct ring *a, const struct ring *b,
			    uint32_t chunks)
{
	struct uuid x, y;
	uint32_t i, moved = 0;

	for (i = 1; i <= chunks; i++) {
		assert_int_equal(ring_ensemble(a, 5, i, 1, NULL, 0, &x), 1);
		assert_int_equal(ring_ensemble(b, 5, i, 1, NULL, 0, &y), 1);
		moved += !uuid_equal(&x, &y);
	}
	return moved;
}

static uint32_t moved_by_adding(uint32_t members, uint64_t weight,
				uint32_t chunks)
{
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, members);
	struct ring *before = new_ring(spec), *after;
	uint32_t moved;

	spec->member_count = members + 1;
	spec->members[members].peer = peer_uuid(members + 1);
	spec->members[members].weight = weight;
	after = new_ring(spec);
	moved = count_moved(before, after, chunks);
	ring_free(before);
	ring_free(after);
	return moved;
}

static void a_new_member_moves_little(void **state)
{
	enum { CHUNKS = 40000 };
	uint32_t moved;

	/* An equal eleventh: its share is 1/11, and nothing else moves. */
	moved = moved_by_adding(10, TIB, CHUNKS);
	assert_in_range(moved, CHUNKS / 11 * 80 / 100, CHUNKS / 11 * 120 / 100);
	/* One of twice the size: its share is 2/12, at most twice that moves. */
	moved = moved_by_adding(10, 2 * TIB, CHUNKS);
	assert_in_range(moved, CHUNKS / 6 * 80 / 100, CHUNKS / 6 * 2);
}

static void answers_do_not_depend_on_the_order_of_members(void **state)
{
	static const enum ring_type types[] = { RING_MOD, RING_KETAMA,
					       RING_ZONES };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		CLEANUP_FREE struct ring_spec *spec = new_spec(types[i], 9);
		struct ring *a = new_ring(spec), *b;
		struct ring_member first = spec->members[0];

		memmove(&spec->members[0], &spec->members[1],
			8 * sizeof(first));
		spec->members[8] = first;
		b = new_ring(spec);
		assert_int_equal(count_moved(a, b, 1000), 0);
		ring_free(a);
		ring_free(b);
	}
}

static void ensembles_pass_over_the_excluded(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_KETAMA, 6);
	struct ring *ring = new_ring(spec);
	struct uuid out[RING_REPLICATION_MAX], excluded[6];
	uint16_t order[RING_MEMBERS_MAX];
	uint64_t chunk;
	uint32_t i;

	for (chunk = 1; chunk < 100; chunk++) {
		ring_permutation(ring, 9, chunk, order);
		excluded[0] = spec->members[order[0]].peer;
		excluded[1] = spec->members[order[2]].peer;
		assert_int_equal(ring_ensemble(ring, 9, chunk, 3, excluded, 2,
					       out), 3);
		assert_true(uuid_equal(&out[0], &spec->members[order[1]].peer));
		assert_true(uuid_equal(&out[1], &spec->members[order[3]].peer));
		assert_true(uuid_equal(&out[2], &spec->members[order[4]].peer));
	}
	for (i = 0; i < 6; i++)
		excluded[i] = spec->members[i].peer;
	assert_int_equal(ring_ensemble(ring, 9, 1, 3, excluded, 4, out), 2);
	assert_int_equal(ring_ensemble(ring, 9, 1, 3, excluded, 6, out), 0);
	/* Strangers on the list do no harm. */
	excluded[0] = peer_uuid(200);
	assert_int_equal(ring_ensemble(ring, 9, 1, 8, excluded, 1, out), 6);
	ring_free(ring);
}

/*
 * Clusters have data where these answers say: they may never change. They were
 * computed a second time by a program of its own, in another language.
 */
static void answers_are_pinned(void **state)
{
	static const struct {
		enum ring_type type;
		uint64_t volume, chunk;
		uint16_t order[5];
	} cases[] = {
		{ RING_MOD, 0x1, 0x1, { 1, 2, 3, 4, 0 } },
		{ RING_MOD, 0x1, 0x2, { 2, 3, 4, 0, 1 } },
		{ RING_MOD, 0x1, 0x3, { 3, 4, 0, 1, 2 } },
		{ RING_MOD, 0x2, 0x1, { 1, 2, 3, 4, 0 } },
		{ RING_MOD, 0xdeadbeef, 0xf4240, { 2, 3, 4, 0, 1 } },
		{ RING_MOD, 0xffffffffffffffff, 0xffffffffffff, { 1, 2, 3, 4, 0 } },
		{ RING_MOD, 0x4d, 0x1092, { 4, 0, 1, 2, 3 } },
		{ RING_MOD, 0x4e, 0x1092, { 3, 4, 0, 1, 2 } },
		{ RING_KETAMA, 0x1, 0x1, { 4, 3, 1, 2, 0 } },
		{ RING_KETAMA, 0x1, 0x2, { 3, 2, 4, 1, 0 } },
		{ RING_KETAMA, 0x1, 0x3, { 4, 3, 1, 0, 2 } },
		{ RING_KETAMA, 0x2, 0x1, { 2, 3, 1, 4, 0 } },
		{ RING_KETAMA, 0xdeadbeef, 0xf4240, { 2, 3, 4, 0, 1 } },
		{ RING_KETAMA, 0xffffffffffffffff, 0xffffffffffff, { 3, 1, 4, 2, 0 } },
		{ RING_KETAMA, 0x4d, 0x1092, { 3, 1, 0, 4, 2 } },
		{ RING_KETAMA, 0x4e, 0x1092, { 3, 4, 1, 2, 0 } },
	};
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_MOD, 5);
	uint16_t order[RING_MEMBERS_MAX];
	size_t i;

	for (i = 0; i < 5; i++)
		spec->members[i].weight = (i + 1) * TIB;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ring *ring;

		spec->type = cases[i].type;
		ring = new_ring(spec);
		assert_int_equal(ring_permutation(ring, cases[i].volume,
						  cases[i].chunk, order), 5);
		assert_memory_equal(order, cases[i].order,
				    sizeof(cases[i].order));
		ring_free(ring);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_parse_back),
		cmocka_unit_test(bad_specs_are_refused_by_name),
		cmocka_unit_test(every_answer_is_a_permutation),
		cmocka_unit_test(weightless_members_come_last),
		cmocka_unit_test(ketama_balances_equal_members),
		cmocka_unit_test(ketama_follows_capacity),
		cmocka_unit_test(a_new_member_moves_little),
		cmocka_unit_test(answers_do_not_depend_on_the_order_of_members),
		cmocka_unit_test(ensembles_pass_over_the_excluded),
		cmocka_unit_test(answers_are_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
