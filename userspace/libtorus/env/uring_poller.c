// SPDX-License-Identifier: Apache-2.0
/*
 * Sources that are looked at, and how long.
 *
 *	working --nothing happened--> looking --too long--> asleep
 *	   ^                             |                     |
 *	   +------- something ----------+------- woken --------+
 *
 * Looking without sleeping pays when the next work comes sooner than a sleep
 * and a wake-up would cost. What is to come is guessed from what was: an average
 * of the lately seen times without work, in which the newest counts an eighth.
 */
#include "base/cleanup.h"
#include "env/uring_internal.h"

#define SHARE 8

void env_uring_add_poller(struct env *env, struct env_poller *poller)
{
	list_add_tail(&poller->node, &to_uring(env)->pollers);
}

void env_uring_remove_poller(struct env *env, struct env_poller *poller)
{
	(void)env;
	list_del_init(&poller->node);
}

/* A poller may remove itself. */
bool uring_pollers_run(struct uring *u)
{
	struct env_poller *poller, *next;
	bool any = false;

	list_for_each_entry_safe(poller, next, &u->pollers, node)
		any |= poller->poll(poller);
	return any;
}

void uring_pollers_worked(struct uring *u)
{
	struct uring_idle *idle = &u->idle;
	uint64_t gap;

	if (!idle->since)
		return;
	gap = MIN(u->env.ops->now(&u->env) - idle->since,
		  SHARE * u->busy_wait_ns);
	idle->usual += (int64_t)(gap - idle->usual) / SHARE;
	idle->since = 0;
}

void uring_pollers_wake(struct uring *u)
{
	struct env_poller *poller;

	if (!u->idle.asleep)
		return;
	u->idle.asleep = false;
	list_for_each_entry(poller, &u->pollers, node)
		poller->wake(poller);
}

static bool goes_on_looking(struct uring *u)
{
	struct uring_idle *idle = &u->idle;
	uint64_t now;

	if (!u->busy_wait_ns)
		return false;
	now = u->env.ops->now(&u->env);
	if (!idle->since)
		idle->since = now;
	return idle->usual < u->busy_wait_ns &&
	       now - idle->since < u->busy_wait_ns;
}

bool uring_pollers_sleep(struct uring *u)
{
	struct env_poller *poller;

	if (list_empty(&u->pollers))
		return true;
	if (goes_on_looking(u))
		return false;
	u->idle.asleep = true;
	list_for_each_entry(poller, &u->pollers, node) {
		if (!poller->sleep(poller)) {
			uring_pollers_wake(u);
			return false;
		}
	}
	return true;
}
