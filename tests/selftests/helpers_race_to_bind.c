// SPDX-License-Identifier: Apache-2.0
/*
 * Two helpers bind at the same moment, again and again: without takeover one
 * has the device and the other is told EBUSY; with it both may be told yes, and
 * the later one has the device. Whoever lost can do nothing with it.
 */
#include <pthread.h>

#include "test.h"

#define SIZE (1ull << 20)
#define ARENA (64 << 10)

struct racer {
	pthread_t thread;
	pthread_barrier_t *barrier;
	struct helper h;
	bool takeover;
	bool fresh;
	unsigned int spin;
	int result;
	unsigned int won;
};

static void spin(unsigned int n)
{
	for (volatile unsigned int i = 0; i < n; i++)
		;
}

static void *run(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->barrier);
	spin(r->spin);
	r->result = helper_bind(&r->h, r->takeover);
	return NULL;
}

/* An arena that was in a session is used up; one that was refused is not. */
static void prepare(struct racer *r, struct world *world, uint32_t id)
{
	if (r->fresh)
		return;
	CHECK_INT(helper_open(&r->h, world, id, ARENA), 0);
	r->fresh = true;
}

static void race(struct racer *racers, uint64_t *seed)
{
	pthread_barrier_t barrier;
	int i;

	CHECK(!pthread_barrier_init(&barrier, NULL, 2));
	for (i = 0; i < 2; i++) {
		racers[i].barrier = &barrier;
		racers[i].spin = next_random(seed) % 3000;
		CHECK(!pthread_create(&racers[i].thread, NULL, run,
				      &racers[i]));
	}
	for (i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
}

/* The one that the device belongs to now; the other may do nothing. */
static struct racer *check_owner(struct racer *racers, uint32_t id)
{
	uint64_t session = device_counter(id, TORUS_A_DEV_SESSION_ID);
	struct racer *owner = NULL, *loser;

	for (int i = 0; i < 2; i++)
		if (!racers[i].result && racers[i].h.session_id == session)
			owner = &racers[i];
	if (!owner)
		FAIL("session %llu belongs to neither: %d and %d",
		     (unsigned long long)session, racers[0].result,
		     racers[1].result);
	loser = owner == &racers[0] ? &racers[1] : &racers[0];
	if (loser->result) {
		CHECK_INT(loser->result, -EBUSY);
		CHECK(strstr(loser->h.control.error, "another helper"));
	} else {
		CHECK_INT(helper_queues(&loser->h, &loser->h.data, 1), -ESTALE);
		CHECK_INT(helper_start(&loser->h), -ESTALE);
		helper_close(&loser->h);
		loser->fresh = false;
	}
	CHECK_INT(helper_queues(&owner->h, &owner->h.data, 1), 0);
	owner->won++;
	return owner;
}

static void check_results(const struct racer *a, const struct racer *b)
{
	if (!a->takeover && !b->takeover && a->result != -EBUSY)
		CHECK_INT(b->result, -EBUSY);
	if (a->takeover)
		CHECK_INT(a->result, 0);
	if (b->takeover)
		CHECK_INT(b->result, 0);
}

static void try(struct world *world, uint32_t id, bool first, bool second)
{
	unsigned int i, both = 0, rounds = test_size(30, 80, 3000);
	struct racer racers[2] = {
		{ .takeover = first }, { .takeover = second },
	};
	uint64_t seed = 3 + first + 2 * second;
	struct racer *owner;

	for (i = 0; i < rounds; i++) {
		prepare(&racers[0], world, id);
		prepare(&racers[1], world, id);
		race(racers, &seed);
		check_results(&racers[0], &racers[1]);
		both += !racers[0].result && !racers[1].result;
		owner = check_owner(racers, id);
		/* Who only can take over has it in the end. */
		if (first != second)
			CHECK(owner->takeover);
		helper_close(&owner->h);
		owner->fresh = false;
		CHECK_INT(device_counter(id, TORUS_A_DEV_SESSION_ID), 0);
	}
	printf("# takeover %d and %d: won %u and %u, both bound %u times\n",
	       first, second, racers[0].won, racers[1].won, both);
	for (i = 0; i < 2; i++)
		if (racers[i].fresh)
			helper_close(&racers[i].h);
	/* A race that one side always wins is none. */
	if (first == second)
		CHECK(racers[0].won && racers[1].won);
}

int main(void)
{
	struct device_config config = {
		.size = SIZE, .depth = 8, .io_size_max = 16 << 10,
	};
	struct world *world;
	uint32_t id;

	test_begin();
	id = device_add(&config);
	world = world_new(SIZE);
	try(world, id, false, false);
	try(world, id, true, true);
	try(world, id, true, false);
	CHECK_INT(device_state(id), TORUS_STATE_NEW);
	CHECK_INT(device_delete(id, false), 0);
	CHECK(device_wait_gone(id, 5000));
	return 0;
}
