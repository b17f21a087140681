// SPDX-License-Identifier: Apache-2.0
/*
 * A node: one host with its disk and the one process that runs on it.
 *
 *	running, powered --kill--> powered --start--> running, powered
 *	running, powered --crash--> neither --start--> running, powered
 *
 * After a kill the env still accepts calls, since freeing a store or a volume
 * makes some, and ignores them all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_internal.h"

static struct sim_node *to_node(struct env *env)
{
	return container_of(env, struct sim_node, env);
}

/* Clocks may run at rates of their own. */
static uint64_t clock_at(const struct sim_node *node, uint64_t now)
{
	int64_t drift = (int64_t)(now / 1000) * node->clock_ppm / 1000;

	return now + node->clock_offset + (uint64_t)drift;
}

/* When that clock shows @when. */
static uint64_t clock_reaches(const struct sim_node *node, uint64_t when)
{
	uint64_t now = node->sim->now, shows = clock_at(node, now), wait;

	if (when <= shows)
		return now;
	wait = when - shows;
	now += wait - (uint64_t)((int64_t)(wait / 1000) * node->clock_ppm / 1000);
	while ((shows = clock_at(node, now)) < when)
		now += when - shows;
	return now;
}

static uint64_t node_now(struct env *env)
{
	return clock_at(to_node(env), to_node(env)->sim->now);
}

static uint64_t node_realtime(struct env *env)
{
	struct sim_node *node = to_node(env);

	return node_now(env) - node->clock_offset + (uint64_t)node->wall_offset +
	       1700000000ull * NSEC_PER_SEC;
}

static void node_random(struct env *env, void *buf, size_t len)
{
	uint8_t *out = buf;
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < len; i++, bits >>= 8) {
		if (i % 8 == 0)
			bits = sim_random(to_node(env)->sim);
		out[i] = (uint8_t)bits;
	}
}

static void node_timer_set(struct env *env, struct env_timer *timer,
			   uint64_t when)
{
	struct sim_node *node = to_node(env);

	if (!node->running)
		return;
	sim_timer_set(node->sim, node, timer, clock_reaches(node, when));
	timer->when = when;
}

static void node_timer_cancel(struct env *env, struct env_timer *timer)
{
	sim_timer_cancel(to_node(env)->sim, timer);
}

static struct env_ops node_ops = {
	.now = node_now,
	.realtime = node_realtime,
	.random = node_random,
	.timer_set = node_timer_set,
	.timer_cancel = node_timer_cancel,
	.file_submit = sim_disk_submit,
};

struct sim_node *sim_node_new(struct sim *sim, const char *name)
{
	struct sim_node *node;

	if (sim->node_count == SIM_NODES_MAX)
		return NULL;
	sim_net_ops(&node_ops);
	node = sim_alloc(sizeof(*node));
	node->env.ops = &node_ops;
	node->sim = sim;
	node->id = sim->node_count;
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->clock_offset = sim_below(sim, 1000 * NSEC_PER_SEC);
	node->running = true;
	node->powered = true;
	sim_net_node_init(node);
	sim_disk_node_init(node);
	sim_meta_node_init(node);
	sim->nodes[sim->node_count++] = node;
	return node;
}

static void node_down(struct sim_node *node, bool power_loss)
{
	if (!node->running && !(power_loss && node->powered))
		return;
	node->running = false;
	sim_net_node_down(node, power_loss);
	sim_disk_node_down(node, power_loss);
	sim_meta_node_down(node);
	sim_heap_drop_node(node->sim, node);
	node->hung_until = 0;
	if (power_loss) {
		node->powered = false;
		node->boots++;
	}
}

void sim_node_kill(struct sim_node *node)
{
	sim_trace(node->sim, node, "killed", 0, 0, 0, 0);
	node_down(node, false);
}

void sim_node_crash(struct sim_node *node)
{
	sim_trace(node->sim, node, "host crashed", 0, 0, 0, 0);
	node_down(node, true);
}

void sim_node_start(struct sim_node *node)
{
	if (node->running)
		return;
	sim_trace(node->sim, node, "started", node->boots, 0, 0, 0);
	node->running = true;
	if (!node->powered)
		node->clock_offset = sim_below(node->sim, 1000 * NSEC_PER_SEC);
	node->powered = true;
	sim_net_node_up(node);
	sim_meta_node_up(node);
}

void sim_node_hang(struct sim_node *node, uint64_t ns)
{
	if (!node->running)
		return;
	sim_trace(node->sim, node, "hangs for %llu us", ns / 1000, 0, 0, 0);
	node->hung_until = node->sim->now + ns;
}

void sim_node_clock_rate(struct sim_node *node, int32_t ppm)
{
	node->clock_ppm = ppm;
}

void sim_node_clock_jump(struct sim_node *node, int64_t ns)
{
	sim_trace(node->sim, node, "wall clock moves by %lld s",
		  (uint64_t)(ns / (int64_t)NSEC_PER_SEC), 0, 0, 0);
	node->wall_offset += ns;
}

const char *sim_node_name(const struct sim_node *node)
{
	return node->name;
}

struct env *sim_node_env(struct sim_node *node)
{
	return &node->env;
}

bool sim_node_running(const struct sim_node *node)
{
	return node->running;
}

unsigned int sim_node_boots(const struct sim_node *node)
{
	return node->boots;
}

struct sim_disk_faults *sim_node_disk_faults(struct sim_node *node)
{
	return &node->disk;
}
