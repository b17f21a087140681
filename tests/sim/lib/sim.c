// SPDX-License-Identifier: Apache-2.0
/*
 * The world: seed, clock, event heap, trace.
 *
 * One heap holds everything that will happen: timers of the core and events
 * of the network, the disks and the metadata store, ordered by (time, order
 * of arming). The clock jumps from event to event. An event of a hung node is
 * put back to the end of the hang, with its old order, so that nothing
 * overtakes it; one of a dead node has been removed.
 *
 * Every random decision comes from one generator, and every event is mixed
 * into a hash: equal hashes mean equal histories.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sim_internal.h"

/* More events than this without the clock moving is a loop. */
#define SAME_TIME_MAX 1000000

void *sim_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p) {
		fprintf(stderr, "simulator: out of memory\n");
		abort();
	}
	return p;
}

/* ---- random (xoshiro256**, seeded by splitmix64) ------------------------ */

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t sim_random(struct sim *sim)
{
	uint64_t *s = sim->prng;
	uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

static void seed_prng(struct sim *sim, uint64_t seed)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		sim->prng[i] = splitmix(&seed);
}

void sim_random_push(struct sim *sim, uint64_t seed)
{
	if (sim->pushed)
		abort();
	sim->pushed = true;
	memcpy(sim->saved_prng, sim->prng, sizeof(sim->prng));
	seed_prng(sim, seed);
}

void sim_random_pop(struct sim *sim)
{
	sim->pushed = false;
	memcpy(sim->prng, sim->saved_prng, sizeof(sim->prng));
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
	return n ? sim_random(sim) % n : 0;
}

uint64_t sim_between(struct sim *sim, uint64_t lo, uint64_t hi)
{
	return hi > lo ? lo + sim_below(sim, hi - lo + 1) : lo;
}

bool sim_chance(struct sim *sim, uint32_t num, uint32_t den)
{
	return den && sim_below(sim, den) < num;
}

/* ---- heap --------------------------------------------------------------- */

static bool heap_before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void heap_place(struct sim *sim, size_t i, struct heap_entry entry)
{
	sim->heap[i] = entry;
	entry.timer->heap_index = i;
}

static void heap_up(struct sim *sim, size_t i)
{
	struct heap_entry entry = sim->heap[i];

	for (; i > 1 && heap_before(&entry, &sim->heap[i / 2]); i /= 2)
		heap_place(sim, i, sim->heap[i / 2]);
	heap_place(sim, i, entry);
}

static void heap_down(struct sim *sim, size_t i)
{
	struct heap_entry entry = sim->heap[i];
	size_t child;

	for (; (child = i * 2) <= sim->heap_count; i = child) {
		if (child < sim->heap_count &&
		    heap_before(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!heap_before(&sim->heap[child], &entry))
			break;
		heap_place(sim, i, sim->heap[child]);
	}
	heap_place(sim, i, entry);
}

static void heap_remove(struct sim *sim, size_t i)
{
	struct heap_entry last = sim->heap[sim->heap_count--];

	sim->heap[i].timer->heap_index = 0;
	if (i > sim->heap_count)
		return;
	heap_place(sim, i, last);
	heap_up(sim, i);
	heap_down(sim, last.timer->heap_index);
}

static void heap_insert(struct sim *sim, struct heap_entry entry)
{
	if (sim->heap_count + 1 >= sim->heap_room) {
		sim->heap_room = sim->heap_room ? sim->heap_room * 2 : 1024;
		sim->heap = realloc(sim->heap, sim->heap_room *
				    sizeof(*sim->heap));
		if (!sim->heap)
			abort();
	}
	heap_place(sim, ++sim->heap_count, entry);
	heap_up(sim, sim->heap_count);
}

void sim_timer_set(struct sim *sim, struct sim_node *node,
		   struct env_timer *timer, uint64_t when)
{
	struct heap_entry entry = {
		.when = MAX(when, sim->now), .order = sim->order++,
		.timer = timer, .node = node,
	};

	sim_timer_cancel(sim, timer);
	timer->when = entry.when;
	timer->order = entry.order;
	heap_insert(sim, entry);
}

void sim_timer_cancel(struct sim *sim, struct env_timer *timer)
{
	if (timer->heap_index)
		heap_remove(sim, timer->heap_index);
}

void sim_heap_drop_node(struct sim *sim, struct sim_node *node)
{
	size_t i, kept = 0, count = sim->heap_count;

	for (i = 1; i <= count; i++) {
		if (sim->heap[i].node == node)
			sim->heap[i].timer->heap_index = 0;
		else
			heap_place(sim, ++kept, sim->heap[i]);
	}
	sim->heap_count = kept;
	for (i = kept / 2; i >= 1; i--)
		heap_down(sim, i);
}

/* ---- events and tasks --------------------------------------------------- */

static void event_fire(struct env_timer *slot)
{
	struct sim_event *event = container_of(slot, struct sim_event, slot);

	event->fn(event);
}

void sim_event_init(struct sim_event *event, struct sim_node *node,
		    void (*fn)(struct sim_event *event))
{
	event->fn = fn;
	event->node = node;
	env_timer_init(&event->slot, event_fire);
}

void sim_event_at(struct sim *sim, struct sim_event *event, uint64_t when)
{
	sim_timer_set(sim, event->node, &event->slot, when);
}

void sim_event_after(struct sim *sim, struct sim_event *event, uint64_t ns)
{
	sim_event_at(sim, event, sim->now + ns);
}

void sim_event_cancel(struct sim *sim, struct sim_event *event)
{
	sim_timer_cancel(sim, &event->slot);
}

bool sim_event_armed(const struct sim_event *event)
{
	return env_timer_armed(&event->slot);
}

static void task_fire(struct env_timer *timer)
{
	struct sim_task *task = container_of(timer, struct sim_task, timer);

	task->fn(task);
}

void sim_task_init(struct sim *sim, struct sim_task *task,
		   void (*fn)(struct sim_task *task))
{
	task->sim = sim;
	task->fn = fn;
	env_timer_init(&task->timer, task_fire);
}

void sim_task_after(struct sim_task *task, uint64_t ns)
{
	sim_timer_set(task->sim, NULL, &task->timer, task->sim->now + ns);
}

void sim_task_cancel(struct sim_task *task)
{
	sim_timer_cancel(task->sim, &task->timer);
}

/* ---- running ------------------------------------------------------------ */

void sim_mix(struct sim *sim, uint64_t value)
{
	sim->hash = (rotl(sim->hash, 23) ^ value) * 0x9fb21c651e98df25ull;
}

static void loop_check(struct sim *sim, uint64_t when)
{
	sim->same_time = when == sim->now ? sim->same_time + 1 : 0;
	if (sim->same_time > SAME_TIME_MAX)
		sim_failed(sim, "events go round and round at %" PRIu64 " ns",
			   sim->now);
}

/* The next event, after putting off those of hung nodes; NULL: none. */
static const struct heap_entry *heap_top(struct sim *sim)
{
	struct heap_entry *top = &sim->heap[1];

	if (!sim->heap_count)
		return NULL;
	while (top->node && top->node->hung_until > top->when) {
		top->when = top->node->hung_until;
		heap_down(sim, 1);
	}
	return top;
}

bool sim_step(struct sim *sim)
{
	const struct heap_entry *next = heap_top(sim);
	struct heap_entry top;

	if (!next)
		return false;
	top = *next;
	heap_remove(sim, 1);
	loop_check(sim, top.when);
	sim->now = top.when;
	sim->events++;
	sim_mix(sim, top.when ^ (top.node ? top.node->id + 1ull : 0) << 56);
	sim->current = top.node;
	top.timer->fn(top.timer);
	sim->current = NULL;
	return true;
}

void sim_run(struct sim *sim, uint64_t ns)
{
	bool never = false;

	sim_run_until(sim, &never, ns);
}

bool sim_run_until(struct sim *sim, const bool *flag, uint64_t ns)
{
	uint64_t end = sim->now + ns;
	const struct heap_entry *next;

	while (!*flag) {
		next = heap_top(sim);
		if (!next || next->when > end) {
			sim->now = end;
			break;
		}
		sim_step(sim);
	}
	return *flag;
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now;
}

uint64_t sim_events(const struct sim *sim)
{
	return sim->events;
}

uint64_t sim_hash(const struct sim *sim)
{
	return sim->hash;
}

struct sim_delays *sim_delays(struct sim *sim)
{
	return &sim->delays;
}

/* ---- life --------------------------------------------------------------- */

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return NULL;
	sim->trace = malloc(TRACE_RING * sizeof(*sim->trace));
	if (!sim->trace || sim_meta_init(sim)) {
		free(sim->trace);
		free(sim);
		return NULL;
	}
	seed_prng(sim, seed);
	sim->now = NSEC_PER_SEC;
	list_init(&sim->listeners);
	sim->delays = (struct sim_delays){
		.net_min = 20000, .net_max = 200000,
		.disk_min = 10000, .disk_max = 200000,
		.sync_min = 100000, .sync_max = 5 * NSEC_PER_MSEC,
		.meta_min = 300000, .meta_max = 3 * NSEC_PER_MSEC,
	};
	return sim;
}

void sim_free(struct sim *sim)
{
	unsigned int i;

	for (i = 0; i < sim->node_count; i++)
		sim_node_kill(sim->nodes[i]);
	for (i = 0; i < sim->node_count; i++) {
		sim_net_node_free(sim->nodes[i]);
		sim_disk_node_free(sim->nodes[i]);
		sim_meta_node_free(sim->nodes[i]);
		free(sim->nodes[i]);
	}
	sim_meta_free(sim);
	sim_net_free(sim);
	sim_log_attach(NULL);
	free(sim->heap);
	free(sim->trace);
	free(sim);
}
