// SPDX-License-Identifier: Apache-2.0
/*
 * How long does I/O stop? One fault of one kind hits a quiet cluster that
 * works under load, and the longest time that any request takes is measured,
 * in simulated time. What a request waits for is counted from when it was
 * first asked, also if its helper died and it was sent again.
 *
 * Everything is as in production, but for the disks, which sync in 1 ms: a
 * bound that holds here says what the protocol costs, not what a disk does.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "world.h"

#define MSEC NSEC_PER_MSEC
#define SEEDS 5
#define WARM_UP (1 * NSEC_PER_SEC)
#define MEASURED (5 * NSEC_PER_SEC)
#define LASTS (3 * NSEC_PER_SEC)
#define REPLICA_TIMEOUT (1 * NSEC_PER_SEC)
#define GRAIN (10 * MSEC)
#define DEPTH 8
/* Chunks are small here; what is declared ahead is still far less than the 1 GiB
 * of the default. */
#define TAIL_CHUNKS 128

static struct store_node *a_member(struct world *w)
{
	return &w->stores[sim_below(w->sim, 3)];
}

static void nothing(struct world *w)
{
}

static void peer_killed(struct world *w)
{
	store_node_kill(a_member(w), LASTS);
}

static void peer_off(struct world *w)
{
	store_node_crash(a_member(w), LASTS);
}

static void peer_hung(struct world *w)
{
	sim_node_hang(a_member(w)->node, LASTS);
}

static void cut(struct world *w, bool there, bool back)
{
	struct sim_node *a = w->tenants[0].current->node;
	struct sim_node *b = a_member(w)->node;

	if (there)
		sim_net_block(a, b, LASTS);
	if (back)
		sim_net_block(b, a, LASTS);
}

static void peer_cut_off(struct world *w)
{
	cut(w, true, true);
}

static void peer_cut_one_way(struct world *w)
{
	cut(w, false, true);
}

static void connections_reset(struct world *w)
{
	sim_net_break(w->tenants[0].current->node, NULL);
}

static void disk_slow(struct world *w)
{
	struct sim_disk_faults *f = sim_node_disk_faults(a_member(w)->node);

	f->slow_until = sim_now(w->sim) + LASTS;
	f->slow_extra = 50 * MSEC;
}

static void disk_fails(struct world *w)
{
	struct store_node *s = a_member(w);

	sim_node_disk_faults(s->node)->write_eio = 1;
	w->disk_errors = true;
	sim_task_after(&s->heal, LASTS);
}

static void helper_killed(struct world *w)
{
	client_kill(w->tenants[0].current, false);
}

static void helper_hung(struct world *w)
{
	sim_node_hang(w->tenants[0].current->node, 500 * MSEC);
}

/* An election: nobody answers for a while. */
static void etcd_leader_lost(struct world *w)
{
	sim_meta_faults(w->sim)->down_until = sim_now(w->sim) + LASTS;
}

static void etcd_slow(struct world *w)
{
	struct sim_meta_faults *f = sim_meta_faults(w->sim);

	f->slow_until = sim_now(w->sim) + LASTS;
	f->slow_extra = NSEC_PER_SEC;
}

static void lease_lost(struct world *w)
{
	sim_meta_lose_leases(w->tenants[0].current->node);
}

/* @limit: beyond the longest request without a fault; 0 stands for none. */
static const struct pause {
	const char *name;
	void (*hit)(struct world *w);
	uint64_t limit;
} pauses[] = {
	{ "none", nothing, 100 * MSEC },
	{ "peer SIGKILL", peer_killed, 100 * MSEC },
	{ "peer power loss", peer_off, REPLICA_TIMEOUT + 200 * MSEC },
	{ "peer hung", peer_hung, REPLICA_TIMEOUT + 200 * MSEC },
	{ "peer cut off", peer_cut_off, REPLICA_TIMEOUT + 200 * MSEC },
	{ "peer cut off one way", peer_cut_one_way, REPLICA_TIMEOUT + 200 * MSEC },
	{ "connections reset", connections_reset, REPLICA_TIMEOUT + 200 * MSEC },
	{ "disk slow by 50 ms", disk_slow, 600 * MSEC },
	{ "disk fails", disk_fails, 100 * MSEC },
	{ "helper SIGKILL", helper_killed, NSEC_PER_SEC },
	{ "helper hung 500 ms", helper_hung, 600 * MSEC },
	{ "etcd leader lost", etcd_leader_lost, 0 },
	{ "etcd slow", etcd_slow, 0 },
	{ "lease lost", lease_lost, 0 },
};

/* The world that the seed draws, made quiet. */
static void make_quiet(struct world *w)
{
	struct sim_delays *d = sim_delays(w->sim);
	struct tenant *t = &w->tenants[0];

	d->net_max = 200000;
	d->disk_max = 200000;
	d->sync_max = MSEC;
	d->net_slow = 0;
	d->disk_slow = 0;
	t->config.replica_timeout_ns = REPLICA_TIMEOUT;
	t->config.tail_chunks = TAIL_CHUNKS;
	t->config.overlay_bytes = 0;
	t->config.checkpoint_log_bytes = 0;
	t->config.map_cache_bytes = 0;
	t->depth = DEPTH;
}

static void load(struct world *w, uint64_t ns)
{
	uint64_t end = sim_now(w->sim) + ns;

	while (sim_now(w->sim) < end && !w->failed) {
		supervisor_turn(w);
		if (w->tenants[0].current)
			while (client_submit_random(w->tenants[0].current))
				;
		sim_run(w->sim, GRAIN);
	}
}

static bool serves(const struct world *w)
{
	return w->tenants[0].current &&
	       w->tenants[0].current->state == CLIENT_SERVING;
}

/* The longest wait of one seed; -1: something is wrong, and was said. */
static int64_t measure(const struct pause *p, uint64_t seed)
{
	struct world_limits limits = {
		.volumes = 1, .stores = 5, .gap = 0, .roomy = true,
	};
	struct world *w = world_new(seed, &limits, NULL);
	int64_t longest;

	make_quiet(w);
	while (!serves(w) && !w->failed)
		load(w, NSEC_PER_SEC / 10);
	load(w, WARM_UP);
	w->tenants[0].longest_wait = 0;
	w->last_fault = sim_now(w->sim) + LASTS;
	p->hit(w);
	load(w, MEASURED);
	longest = (int64_t)w->tenants[0].longest_wait;
	if (w->failed) {
		fprintf(stderr, "%s, seed %" PRIu64 ": %s\n", p->name, seed,
			w->failure);
		longest = -1;
	}
	world_free(w);
	return longest;
}

unsigned int pauses_run(uint64_t first_seed, unsigned int *passed)
{
	unsigned int i, seed, failed = 0;
	uint64_t usual = 0, most, limit;
	int64_t longest;
	bool good;

	printf("%-22s %12s %12s\n", "fault", "longest, ms", "at most, ms");
	for (i = 0; i < ARRAY_SIZE(pauses); i++) {
		good = true;
		most = 0;
		for (seed = 0; seed < SEEDS; seed++) {
			longest = measure(&pauses[i], first_seed + seed);
			good &= longest >= 0;
			if (longest > (int64_t)most)
				most = (uint64_t)longest;
		}
		/* What takes no time at all takes as long as usual. */
		usual = i ? usual : most;
		limit = pauses[i].limit ? pauses[i].limit : usual + 20 * MSEC;
		good &= most <= limit;
		printf("%-22s %12.1f %12.1f%s\n", pauses[i].name,
		       (double)most / 1e6, (double)limit / 1e6,
		       good ? "" : "  TOO LONG");
		failed += !good;
	}
	*passed = ARRAY_SIZE(pauses) - failed;
	return failed;
}
