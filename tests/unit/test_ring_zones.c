// SPDX-License-Identifier: Apache-2.0
/* Ring type zones: where copies stand, balance, movement, pinned answers. */
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
#include "ring/ring.h"

#define TIB (1ull << 40)

static struct ring_member *add(struct ring_spec *spec, uint64_t weight,
			       const char *zone, const char *rack,
			       const char *host)
{
	struct ring_member *m = &spec->members[spec->member_count++];
	uint32_t n = spec->member_count;

	m->peer.byte[0] = (uint8_t)(n * 37);
	m->peer.byte[7] = (uint8_t)(n >> 8);
	m->peer.byte[15] = (uint8_t)n;
	uuid_from_random(&m->peer);
	m->weight = weight;
	snprintf(m->zone, sizeof(m->zone), "%s", zone);
	snprintf(m->rack, sizeof(m->rack), "%s", rack);
	snprintf(m->host, sizeof(m->host), "%s", host);
	return m;
}

static struct ring_spec *new_spec(enum ring_type type)
{
	struct ring_spec *spec = calloc(1, sizeof(*spec));

	assert_non_null(spec);
	spec->version = 1;
	spec->type = type;
	spec->replication = 3;
	return spec;
}

/* @zones of two racks of two hosts of two peers. */
static struct ring_spec *new_grid(enum ring_type type, unsigned int zones)
{
	struct ring_spec *spec = new_spec(type);
	char zone[16], rack[16], host[16];
	unsigned int i;

	for (i = 0; i < zones * 8; i++) {
		snprintf(zone, sizeof(zone), "z%u", i / 8);
		snprintf(rack, sizeof(rack), "r%u", i / 4 % 2);
		snprintf(host, sizeof(host), "h%u", i / 2 % 2);
		add(spec, TIB, zone, rack, host);
	}
	return spec;
}

static struct ring *new_ring(const struct ring_spec *spec)
{
	struct ring *ring = NULL;

	assert_int_equal(ring_create(spec, &ring), 0);
	return ring;
}

/* Pairs among the first @copies that have everything up to @level in common. */
static unsigned int count_together(const struct ring *ring, uint64_t chunk,
				   unsigned int copies, unsigned int level)
{
	const struct ring_member *m = ring_spec(ring)->members;
	uint16_t order[RING_MEMBERS_MAX];
	unsigned int i, j, pairs = 0;

	ring_permutation(ring, 3, chunk, order);
	for (i = 0; i < copies; i++) {
		for (j = 0; j < i; j++) {
			const struct ring_member *a = &m[order[i]];
			const struct ring_member *b = &m[order[j]];

			pairs += strcmp(a->zone, b->zone) == 0 &&
				 (level < 1 || strcmp(a->rack, b->rack) == 0) &&
				 (level < 2 || strcmp(a->host, b->host) == 0);
		}
	}
	return pairs;
}

static void owners_stand_in_distinct_zones_racks_and_hosts(void **state)
{
	CLEANUP_FREE struct ring_spec *three = new_grid(RING_ZONES, 3);
	CLEANUP_FREE struct ring_spec *one = new_grid(RING_ZONES, 1);
	struct ring *ring = new_ring(three);
	uint64_t chunk;

	for (chunk = 1; chunk <= 2000; chunk++) {
		assert_int_equal(count_together(ring, chunk, 3, 0), 0);
		/* Two in each zone, and then in another rack. */
		assert_int_equal(count_together(ring, chunk, 6, 0), 3);
		assert_int_equal(count_together(ring, chunk, 6, 1), 0);
		assert_int_equal(count_together(ring, chunk, 8, 0), 7);
		assert_int_equal(count_together(ring, chunk, 8, 2), 0);
	}
	ring_free(ring);
	ring = new_ring(one);
	for (chunk = 1; chunk <= 2000; chunk++) {
		assert_int_equal(count_together(ring, chunk, 2, 1), 0);
		assert_int_equal(count_together(ring, chunk, 4, 2), 0);
	}
	ring_free(ring);
}

/* A drained zone offers nobody, however much it would spread the copies. */
static void weightless_members_come_last(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_grid(RING_ZONES, 3);
	uint16_t order[RING_MEMBERS_MAX];
	struct ring *ring;
	uint64_t chunk;
	uint32_t i;

	for (i = 0; i < 8; i++)
		spec->members[i].weight = 0;
	spec->members[23].weight = 0;
	ring = new_ring(spec);
	for (chunk = 1; chunk <= 500; chunk++) {
		assert_int_equal(ring_permutation(ring, 1, chunk, order), 24);
		for (i = 0; i < 15; i++)
			assert_in_range(order[i], 8, 22);
		for (i = 15; i < 24; i++)
			assert_true(order[i] < 8 || order[i] == 23);
	}
	ring_free(ring);
}

static void shorter_answers_begin_longer_ones(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_grid(RING_ZONES, 4);
	struct ring *ring = new_ring(spec);
	uint16_t order[RING_MEMBERS_MAX];
	struct uuid owners[RING_REPLICATION_MAX];
	uint32_t want, i;
	uint64_t chunk;

	for (chunk = 1; chunk <= 300; chunk++) {
		bool seen[RING_MEMBERS_MAX] = { false };

		assert_int_equal(ring_permutation(ring, 2, chunk, order), 32);
		for (i = 0; i < 32; i++) {
			assert_false(seen[order[i]]);
			seen[order[i]] = true;
		}
		for (want = 1; want <= RING_REPLICATION_MAX; want++) {
			assert_int_equal(ring_ensemble(ring, 2, chunk, want,
						       NULL, 0, owners), want);
			for (i = 0; i < want; i++)
				assert_memory_equal(&owners[i],
						    &spec->members[order[i]].peer,
						    sizeof(struct uuid));
		}
	}
	ring_free(ring);
}

/* Without a topology there is nothing to spread over. */
static void without_labels_it_is_ketama(void **state)
{
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_ZONES);
	uint16_t a[RING_MEMBERS_MAX], b[RING_MEMBERS_MAX];
	struct ring *zones, *ketama;
	uint64_t chunk;
	uint32_t i;

	for (i = 0; i < 20; i++)
		add(spec, i % 5 ? i * TIB : 0, "", "", "");
	zones = new_ring(spec);
	spec->type = RING_KETAMA;
	ketama = new_ring(spec);
	for (chunk = 1; chunk <= 500; chunk++) {
		ring_permutation(zones, 9, chunk, a);
		ring_permutation(ketama, 9, chunk, b);
		assert_memory_equal(a, b, 20 * sizeof(*a));
	}
	ring_free(zones);
	ring_free(ketama);
}

static void equal_zones_balance(void **state)
{
	enum { CHUNKS = 40000, MEMBERS = 24, SHARE = CHUNKS * 3 / MEMBERS };
	CLEANUP_FREE struct ring_spec *spec = new_grid(RING_ZONES, 3);
	struct ring *ring = new_ring(spec);
	uint32_t owned[MEMBERS] = { 0 }, i, j;
	uint16_t order[RING_MEMBERS_MAX];

	for (i = 1; i <= CHUNKS; i++) {
		ring_permutation(ring, i % 7, i, order);
		for (j = 0; j < 3; j++)
			owned[order[j]]++;
	}
	for (i = 0; i < MEMBERS; i++)
		assert_in_range(owned[i], SHARE * 80 / 100, SHARE * 120 / 100);
	ring_free(ring);
}

/* Copies that owners of the one ring have and those of the other lack. */
static void count_moved(const struct ring_spec *before,
			const struct ring_spec *after, uint32_t chunks,
			uint32_t *moved, uint32_t *to_the_last)
{
	struct ring *a = new_ring(before), *b = new_ring(after);
	struct uuid x[3], y[3];
	uint32_t i, j;

	*moved = *to_the_last = 0;
	for (i = 1; i <= chunks; i++) {
		assert_int_equal(ring_ensemble(a, 5, i, 3, NULL, 0, x), 3);
		assert_int_equal(ring_ensemble(b, 5, i, 3, NULL, 0, y), 3);
		for (j = 0; j < 3; j++) {
			if (uuid_equal(&y[j], &x[0]) ||
			    uuid_equal(&y[j], &x[1]) ||
			    uuid_equal(&y[j], &x[2]))
				continue;
			++*moved;
			*to_the_last += uuid_equal(&y[j],
				&after->members[after->member_count - 1].peer);
		}
	}
	ring_free(a);
	ring_free(b);
}

/* What a newcomer gets must move; between the others next to nothing does. */
static void a_new_member_moves_little(void **state)
{
	enum { CHUNKS = 30000 };
	static const struct { unsigned int zones; const char *zone, *rack; }
	cases[] = {
		{ 3, "z0", "r0" }, { 3, "z1", "r9" }, { 4, "z0", "r1" },
		{ 2, "z1", "r0" }, { 1, "z0", "r0" }, { 1, "z0", "r9" },
		/* a zone of its own, where there were three: as much as it gets */
		{ 3, "z9", "r0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_FREE struct ring_spec *before =
			new_grid(RING_ZONES, cases[i].zones);
		CLEANUP_FREE struct ring_spec *after =
			new_grid(RING_ZONES, cases[i].zones);
		uint32_t moved, own;

		add(after, TIB, cases[i].zone, cases[i].rack, "new");
		count_moved(before, after, CHUNKS, &moved, &own);
		assert_true(own > 0);
		if (moved * 100 > own * 120)
			fail_msg("case %zu: %u copies moved, %u of them to the new member",
				 i, moved, own);
	}
}

static void a_member_that_leaves_moves_little(void **state)
{
	enum { CHUNKS = 30000 };
	CLEANUP_FREE struct ring_spec *before = new_grid(RING_ZONES, 3);
	CLEANUP_FREE struct ring_spec *after = new_grid(RING_ZONES, 3);
	uint32_t moved, lost;

	/* The other way round, to see what the last one of the ring loses. */
	after->member_count--;
	count_moved(after, before, CHUNKS, &moved, &lost);
	count_moved(before, after, CHUNKS, &moved, &(uint32_t){ 0 });
	assert_true(lost > 0);
	assert_in_range(moved, lost, lost * 120 / 100);
}

/*
 * Clusters have data where these answers say: they may never change. They were
 * computed a second time by a program of its own, in another language.
 */
static void answers_are_pinned(void **state)
{
	static const struct {
		uint64_t volume, chunk;
		uint16_t order[9];
	} cases[] = {
		{ 0x1, 0x1, { 7, 5, 3, 6, 2, 8, 1, 0, 4 } },
		{ 0x1, 0x2, { 7, 8, 6, 3, 2, 5, 1, 0, 4 } },
		{ 0x1, 0x3, { 5, 6, 3, 7, 2, 8, 1, 0, 4 } },
		{ 0x2, 0x1, { 7, 5, 3, 6, 2, 8, 1, 0, 4 } },
		{ 0xdeadbeef, 0xf4240, { 2, 3, 8, 6, 7, 5, 0, 1, 4 } },
		{ 0xffffffffffffffff, 0xffffffffffff,
		  { 7, 6, 3, 5, 2, 8, 1, 0, 4 } },
		{ 0x4d, 0x1092, { 3, 6, 8, 7, 2, 5, 1, 0, 4 } },
		{ 0x4e, 0x1092, { 8, 3, 7, 6, 2, 5, 1, 0, 4 } },
	};
	static const char *const places[9][3] = {
		{ "a", "1", "h1" }, { "a", "1", "h1" }, { "a", "2", "h2" },
		{ "b", "1", "h3" }, { "b", "1", "h4" }, { "c", "", "h5" },
		{ "", "", "" }, { "a", "1", "h6" }, { "c", "", "h5" },
	};
	CLEANUP_FREE struct ring_spec *spec = new_spec(RING_ZONES);
	uint16_t order[RING_MEMBERS_MAX];
	struct ring *ring;
	size_t i;

	for (i = 0; i < 9; i++)
		add(spec, i == 4 ? 0 : (i + 1) * TIB, places[i][0],
		    places[i][1], places[i][2]);
	ring = new_ring(spec);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ring_permutation(ring, cases[i].volume,
						  cases[i].chunk, order), 9);
		assert_memory_equal(order, cases[i].order,
				    sizeof(cases[i].order));
	}
	ring_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owners_stand_in_distinct_zones_racks_and_hosts),
		cmocka_unit_test(weightless_members_come_last),
		cmocka_unit_test(shorter_answers_begin_longer_ones),
		cmocka_unit_test(without_labels_it_is_ketama),
		cmocka_unit_test(equal_zones_balance),
		cmocka_unit_test(a_new_member_moves_little),
		cmocka_unit_test(a_member_that_leaves_moves_little),
		cmocka_unit_test(answers_are_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
