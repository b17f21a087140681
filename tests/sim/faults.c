// SPDX-License-Identifier: Apache-2.0
/*
 * What is done to the cluster. Every fault ends by itself; `last_fault` is
 * when the last one's effect does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/maintain.h"
#include "world.h"

#define MSEC NSEC_PER_MSEC
#define MIN_REPLICAS 2		/* a majority of 2 and of 3 */

static struct store_node *any_store(struct world *w)
{
	return &w->stores[sim_below(w->sim, w->store_count)];
}

static struct client *any_client(struct world *w)
{
	struct tenant *t = world_any_tenant(w);

	if (t->current && sim_chance(w->sim, 3, 4))
		return t->current;
	return &t->clients[sim_below(w->sim, CLIENTS)];
}

/* Mostly short, sometimes long enough for every timeout. */
static uint64_t duration(struct world *w)
{
	static const uint64_t most[] = { 20, 100, 500, 1500, 4000 };
	uint64_t ns = sim_between(w->sim, 1, most[sim_below(w->sim,
				  ARRAY_SIZE(most))]) * MSEC;

	w->last_fault = MAX(w->last_fault, sim_now(w->sim) + ns);
	return ns;
}

static void fault_break(struct world *w)
{
	struct client *c = any_client(w);

	sim_net_break(c->node, sim_chance(w->sim, 1, 4) ? NULL :
		      any_store(w)->node);
}

static void fault_block(struct world *w)
{
	struct store_node *s = any_store(w);
	struct client *c = any_client(w);
	uint64_t ns = duration(w), ways = 1 + sim_below(w->sim, 3);

	if (ways & 1)
		sim_net_block(c->node, s->node, ns);
	if (ways & 2)
		sim_net_block(s->node, c->node, ns);
}

/* Cut a client off from some stores, or all, one way or both. */
static void partition(struct world *w, struct client *c)
{
	uint64_t ns = duration(w), ways = 1 + sim_below(w->sim, 3);
	bool all = sim_chance(w->sim, 1, 2);
	unsigned int i;

	for (i = 0; i < w->store_count; i++) {
		if (!all && sim_chance(w->sim, 1, 2))
			continue;
		if (ways & 1)
			sim_net_block(c->node, w->stores[i].node, ns);
		if (ways & 2)
			sim_net_block(w->stores[i].node, c->node, ns);
	}
}

static void fault_partition(struct world *w)
{
	partition(w, any_client(w));
}

static void fault_store_kill(struct world *w)
{
	store_node_kill(any_store(w), duration(w));
}

static void fault_store_crash(struct world *w)
{
	store_node_crash(any_store(w), duration(w));
}

static void fault_store_hang(struct world *w)
{
	sim_node_hang(any_store(w)->node, duration(w));
}

static void fault_store_incarnation(struct world *w)
{
	struct store_node *s = any_store(w);

	store_node_kill(s, duration(w));
	s->force_incarnation = true;
}

static void fault_all_stores(struct world *w)
{
	bool power = sim_chance(w->sim, 1, 2);
	unsigned int i;

	for (i = 0; i < w->store_count; i++) {
		if (power)
			store_node_crash(&w->stores[i], duration(w));
		else
			store_node_kill(&w->stores[i], duration(w));
	}
}

/*
 * The writer dies, and of the stores just enough for the next one are there:
 * some have lost what was not synced, the others come back late. What was
 * flushed must be found all the same.
 */
static void dark(struct tenant *t)
{
	struct world *w = t->world;
	uint64_t late = sim_between(w->sim, 500, 20000) * MSEC;
	unsigned int i, first = (unsigned int)sim_below(w->sim, w->store_count);
	unsigned int keep = (unsigned int)sim_between(w->sim, MIN_REPLICAS,
						      w->store_count);
	uint64_t crash = sim_below(w->sim, 3);	/* none, some, all */
	bool worst = sim_chance(w->sim, 1, 2);
	struct store_node *s;

	if (sim_chance(w->sim, 1, 2))
		keep = MIN_REPLICAS;
	if (t->current)
		client_kill(t->current, sim_chance(w->sim, 1, 2));
	for (i = 0; i < w->store_count; i++) {
		s = &w->stores[(first + i) % w->store_count];
		sim_node_disk_faults(s->node)->lose_all = worst;
		if (sim_below(w->sim, 2) < crash)
			store_node_crash(s, i < keep ? MSEC : late);
		else if (i >= keep)
			store_node_kill(s, late);
		sim_node_disk_faults(s->node)->lose_all = false;
	}
	w->last_fault = MAX(w->last_fault, sim_now(w->sim) + late);
}

static void fault_dark(struct world *w)
{
	struct tenant *t = world_any_tenant(w);

	if (!t->current)
		return;
	if (sim_chance(w->sim, 2, 3) &&
	    client_submit_last(t->current, sim_chance(w->sim, 1, 2)))
		sim_run_until(w->sim, &t->current->last_done,
			      sim_below(w->sim, 50 * MSEC));
	dark(t);
	t->dark_again = sim_chance(w->sim, 1, 2);
}

void faults_recovered(struct tenant *t)
{
	struct world *w = t->world;

	if (!t->dark_again || w->quiet)
		return;
	t->dark_again = false;
	w->stats.faults++;
	sim_trace(w->sim, NULL, "fault again", 0, 0, 0, 0);
	dark(t);
}

/* The first chunk of the declared tail. */
static uint64_t tail_first(struct tenant *t)
{
	struct volume_doc *doc = calloc(1, sizeof(*doc));
	uint64_t first;

	if (!doc)
		abort();
	world_volume_doc(t, doc);
	first = doc->tail.first;
	free(doc);
	return first;
}

/*
 * Bits that rot on one disk, and only there: others have good copies. Chunks
 * of the tail are spared, since their last records may have one copy only.
 */
static void fault_rot(struct world *w)
{
	struct tenant *t = world_any_tenant(w);
	uint64_t first = tail_first(t);
	char path[64];
	int tries;

	if (!w->rotten)
		w->rotten = any_store(w);
	for (tries = 0; tries < 20 && first > 1; tries++) {
		snprintf(path, sizeof(path), "chunks/%016llx/%012llx",
			 (unsigned long long)t->id,
			 (unsigned long long)sim_between(w->sim, 1, first - 1));
		if (!sim_disk_flip(w->rotten->node, path,
				   sim_below(w->sim, 256 * BLOCK_SIZE)))
			break;
	}
}

/* Syncs, writes or reads fail for a while; then somebody restarts it. */
static void fault_disk_errors(struct world *w)
{
	struct store_node *s = any_store(w);
	struct sim_disk_faults *f = sim_node_disk_faults(s->node);
	uint32_t one_in = (uint32_t)sim_between(w->sim, 1, 4);

	if (w->one_gone)		/* one at a time */
		return;
	switch (sim_below(w->sim, 3)) {
	case 0:
		f->sync_eio = one_in;
		break;
	case 1:
		f->write_eio = one_in;
		break;
	default:
		f->read_eio = one_in;
		break;
	}
	w->disk_errors = true;
	w->bad_disks |= 1u << (s - w->stores);
	store_node_suspect(s);
	sim_task_after(&s->heal, duration(w));
}

/* One disk, or all, have no more room for a while: user data first gets less
 * than is reserved, then nothing at all can be written. */
static void fill_disk(struct store_node *s, uint64_t ns, uint64_t room)
{
	sim_disk_fill(s->node, room);
	sim_task_after(&s->empty, ns);
}

static void fault_full_disk(struct world *w)
{
	uint64_t ns = duration(w), room = sim_below(w->sim, 1u << 20);
	bool all = sim_chance(w->sim, 1, 4);
	struct store_node *s, *one = any_store(w);

	w->full_until = MAX(w->full_until, sim_now(w->sim) + ns);
	for_each_store(s, w)
		if (all || s == one)
			fill_disk(s, ns, room);
}

static void fault_slow_disk(struct world *w)
{
	struct sim_disk_faults *f = sim_node_disk_faults(any_store(w)->node);

	f->slow_until = sim_now(w->sim) + duration(w);
	f->slow_extra = sim_between(w->sim, 1, 100) * MSEC;
}

static void fault_client_kill(struct world *w)
{
	client_kill(any_client(w), false);
}

static void fault_client_crash(struct world *w)
{
	client_kill(any_client(w), true);
}

static void fault_client_hang(struct world *w)
{
	sim_node_hang(any_client(w)->node, duration(w));
}

/* What is being written now is so for long; what comes later overtakes it. */
static void stall_writes(struct world *w)
{
	uint64_t end = sim_now(w->sim) + sim_between(w->sim, 1, 5) * MSEC;
	struct sim_disk_faults *f;
	struct store_node *s;

	for_each_store(s, w) {
		f = sim_node_disk_faults(s->node);
		f->stall_until = end;
		f->stall_extra = sim_between(w->sim, 20 * MSEC,
					     w->replica_timeout);
	}
	w->last_fault = MAX(w->last_fault, end + w->replica_timeout);
}

/* Another host takes the volume while the old one goes on, seeing little; what
 * that one has in flight may come to its end much later. */
static void fault_takeover(struct world *w)
{
	struct tenant *t = world_any_tenant(w);
	struct client *old = t->current;

	if (sim_chance(w->sim, 1, 4))
		stall_writes(w);
	supervisor_takeover(t);
	if (!old || old == t->current)
		return;
	if (sim_chance(w->sim, 1, 2))
		partition(w, old);
	if (sim_chance(w->sim, 1, 2))
		sim_meta_unreachable(old->node, duration(w));
	if (sim_chance(w->sim, 1, 4))
		sim_node_hang(old->node, duration(w));
}

static void fault_handover(struct world *w)
{
	supervisor_handover(world_any_tenant(w));
}

static void fault_meta_down(struct world *w)
{
	sim_meta_faults(w->sim)->down_until = sim_now(w->sim) + duration(w);
}

static void fault_meta_unreachable(struct world *w)
{
	sim_meta_unreachable(any_client(w)->node, duration(w));
}

/* The next transactions may time out, and land or not. */
static void fault_meta_timeouts(struct world *w)
{
	struct sim_meta_faults *f = sim_meta_faults(w->sim);

	f->txn_timeout = f->txn_timeout ? 0 :
		(uint32_t)sim_between(w->sim, 1, 4);
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
}

/* From now on, or no longer, some frames arrive with a wrong bit. */
static void fault_flips(struct world *w)
{
	struct sim_delays *d = sim_delays(w->sim);

	d->net_flip = d->net_flip ? 0 : (uint32_t)sim_between(w->sim, 20, 400);
}

static void fault_leases(struct world *w)
{
	if (sim_chance(w->sim, 1, 2))
		sim_meta_lose_leases(any_client(w)->node);
	else
		sim_meta_lose_leases(any_store(w)->node);
}

/* A store that is away for long comes back with what it had. */
static void fault_store_away(struct world *w)
{
	uint64_t ns = sim_between(w->sim, 30, 600) * NSEC_PER_SEC;

	if (sim_chance(w->sim, 1, 2))
		store_node_crash(any_store(w), ns);
	else
		store_node_kill(any_store(w), ns);
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
}

/* All that goes to one node or comes from it takes long. */
static void fault_slow_node(struct world *w)
{
	struct sim_node *node = sim_chance(w->sim, 1, 3) ?
		any_client(w)->node : any_store(w)->node;

	sim_net_slow(node, duration(w), sim_between(w->sim, 1, 300) * MSEC);
}

/* A whole zone: off, dead, or alone. */
static void fault_zone(struct world *w)
{
	uint64_t zone = sim_below(w->sim, w->zone_count), ns = duration(w);
	uint64_t kind = sim_below(w->sim, 3);
	struct store_node *s, *other;

	for_each_store(s, w) {
		if (s->zone != zone)
			continue;
		if (kind == 0)
			store_node_kill(s, ns);
		else if (kind == 1)
			store_node_crash(s, ns);
		for_each_store(other, w)
			if (kind == 2 && other->zone != zone) {
				sim_net_block(s->node, other->node, ns);
				sim_net_block(other->node, s->node, ns);
			}
	}
}

/* What people see as time jumps, and nobody may decide anything by it. */
static void fault_clock_jump(struct world *w)
{
	struct sim_node *node = sim_chance(w->sim, 1, 2) ?
		any_client(w)->node : any_store(w)->node;

	sim_node_clock_jump(node, (int64_t)sim_below(w->sim, 7200 *
			    NSEC_PER_SEC) - 3600 * (int64_t)NSEC_PER_SEC);
}

static void fault_meta_slow(struct world *w)
{
	struct sim_meta_faults *f = sim_meta_faults(w->sim);

	f->slow_until = sim_now(w->sim) + duration(w);
	f->slow_extra = sim_between(w->sim, 10, 1000) * MSEC;
}

static const struct fault {
	void (*run)(struct world *w);
	uint32_t weight;
	const char *name;
} faults[] = {
	{ fault_break, 10, "fault %llu: connections reset" },
	{ fault_block, 8, "fault %llu: one way blocked" },
	{ fault_partition, 6, "fault %llu: partition" },
	{ fault_store_kill, 14, "fault %llu: store killed" },
	{ fault_store_crash, 8, "fault %llu: store loses power" },
	{ fault_store_hang, 8, "fault %llu: store hangs" },
	{ fault_store_incarnation, 2, "fault %llu: store forgets its mount" },
	{ fault_all_stores, 2, "fault %llu: all stores end" },
	{ fault_full_disk, 4, "fault %llu: full disk" },
	{ fault_slow_disk, 4, "fault %llu: slow disk" },
	{ fault_dark, 16, "fault %llu: dark" },
	{ fault_rot, 3, "fault %llu: bits rot" },
	{ fault_disk_errors, 4, "fault %llu: disk errors" },
	{ fault_client_kill, 8, "fault %llu: helper killed" },
	{ fault_client_crash, 6, "fault %llu: host loses power" },
	{ fault_client_hang, 4, "fault %llu: helper hangs" },
	{ fault_takeover, 8, "fault %llu: takeover" },
	{ fault_handover, 6, "fault %llu: handover" },
	{ fault_meta_down, 4, "fault %llu: metadata down" },
	{ fault_meta_unreachable, 4, "fault %llu: metadata unreachable" },
	{ fault_meta_timeouts, 8, "fault %llu: metadata times out" },
	{ fault_leases, 3, "fault %llu: leases lost" },
	{ fault_flips, 4, "fault %llu: wrong bits" },
	{ fault_store_away, 4, "fault %llu: store away" },
	{ fault_slow_node, 4, "fault %llu: slow node" },
	{ fault_zone, 3, "fault %llu: zone" },
	{ fault_clock_jump, 2, "fault %llu: clock jumps" },
	{ fault_meta_slow, 3, "fault %llu: metadata slow" },
	{ ring_change_random, 8, "fault %llu: ring changes" },
};

static bool is_skipped(const struct world *w, uint32_t n)
{
	return n < w->limits.skip_bits &&
	       (w->limits.skip[n / 64] >> (n % 64) & 1);
}

bool fault_begin(struct world *w, const char *name)
{
	uint32_t number = w->fault_count++;

	if (is_skipped(w, number))
		return false;
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
	w->stats.faults++;
	sim_trace(w->sim, NULL, name, number, 0, 0, 0);
	return true;
}

/* What it does is the same whatever was skipped before. */
void fault_random(struct world *w)
{
	uint32_t total = 0, n, number = w->fault_count++;
	size_t i;

	if (is_skipped(w, number))
		return;
	world_draw(w, DRAW_FAULT, number);
	for (i = 0; i < ARRAY_SIZE(faults); i++)
		total += faults[i].weight;
	n = (uint32_t)sim_below(w->sim, total);
	for (i = 0; n >= faults[i].weight; i++)
		n -= faults[i].weight;
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
	w->stats.faults++;
	sim_trace(w->sim, NULL, faults[i].name, number, 0, 0, 0);
	faults[i].run(w);
	world_draw_end(w);
}

bool faults_active(const struct world *w)
{
	uint64_t past = sim_now(w->sim) - w->io_timeout - NSEC_PER_SEC;

	return sim_delays(w->sim)->net_flip ||
	       sim_meta_faults(w->sim)->txn_timeout ||
	       sim_now(w->sim) < w->io_timeout + NSEC_PER_SEC ||
	       w->last_fault > past;
}

static bool disk_was_bad(const struct store_node *s)
{
	const struct world *w = s->world;

	return w->bad_disks & 1u << (s - w->stores) || w->rotten == s;
}

bool faults_few_good_disks(const struct world *w)
{
	unsigned int i, good = 0;

	for (i = 0; i < w->store_count; i++)
		good += !disk_was_bad(&w->stores[i]) && !w->stores[i].gone;
	return good < MIN_REPLICAS;
}

bool faults_spoilt_chunk(const struct tenant *t, uint64_t chunk)
{
	unsigned int i, bad = 0;
	struct store_copy copy;

	for (i = 0; i < t->world->store_count; i++) {
		const struct store_node *s = &t->world->stores[i];

		if (s->gone)
			continue;
		if (!s->serving)
			return false;
		if (!store_copy_get(s->store, t->id, chunk, &copy))
			continue;
		if (copy.state != WIRE_COPY_BAD || !disk_was_bad(s))
			return false;
		bad++;
	}
	return bad >= MIN_REPLICAS;
}

void faults_end(struct world *w)
{
	struct store_node *s;
	struct tenant *t;

	sim_meta_faults(w->sim)->txn_timeout = 0;
	sim_delays(w->sim)->net_flip = 0;
	w->last_fault = MAX(w->last_fault, sim_now(w->sim));
	for_each_tenant(t, w)
		t->dark_again = false;
	for_each_store(s, w) {
		sim_disk_fill(s->node, UINT64_MAX);
		store_node_heal(s);
	}
	for_each_store(s, w)
		store_node_start(s);
}
