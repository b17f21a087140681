// SPDX-License-Identifier: Apache-2.0
/*
 * Ends of connections, the frames on their way to them, and what happens to
 * them when machines and processes come and go. sim_net.c has the rules.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sim_net.h"

static void sent_event(struct sim_event *event);

/* ---- pieces ------------------------------------------------------------- */

void sim_payload_put(struct payload *p)
{
	if (p && --p->refs == 0)
		free(p);
}

struct payload *sim_payload_new(const struct iovec *iov, int count,
				size_t len)
{
	struct payload *p;
	size_t at = 0, n;
	int i;

	p = malloc(sizeof(*p) + len);
	if (!p)
		abort();
	p->refs = 1;
	p->len = len;
	for (i = 0; i < count && at < len; i++, at += n) {
		n = MIN(iov[i].iov_len, len - at);
		memcpy(p->bytes + at, iov[i].iov_base, n);
	}
	return at == len ? p : (free(p), NULL);
}

void sim_frame_free(struct frame *f)
{
	list_del_init(&f->node);
	sim_payload_put(f->data);
	free(f);
}

struct env_conn *sim_conn_new(struct sim_node *owner, struct sim_node *remote)
{
	struct env_conn *c = sim_alloc(sizeof(*c));

	c->owner = owner;
	c->remote = remote;
	list_init(&c->in);
	list_init(&c->unsent);
	sim_event_init(&c->deliver, owner, sim_deliver_event);
	sim_event_init(&c->sent_event, owner, sent_event);
	list_add_tail(&c->node, &owner->conns);
	return c;
}

void sim_frames_drop(struct env_conn *c, unsigned int keep)
{
	struct frame *f, *tmp;

	list_for_each_entry_safe(f, tmp, &c->in, node) {
		if (keep)
			keep--;
		else
			sim_frame_free(f);
	}
}

void sim_unsent_free(struct unsent *u)
{
	list_del_init(&u->node);
	sim_payload_put(u->copy);
	free(u->iov);
	free(u);
}

void sim_conn_free(struct env_conn *c)
{
	struct unsent *u, *tmp;
	struct sim *sim = c->owner->sim;

	sim_frames_drop(c, 0);
	list_for_each_entry_safe(u, tmp, &c->unsent, node)
		sim_unsent_free(u);
	sim_event_cancel(sim, &c->deliver);
	sim_event_cancel(sim, &c->sent_event);
	list_del_init(&c->node);
	free(c);
}

uint64_t sim_net_delay(struct sim *sim)
{
	const struct sim_delays *d = &sim->delays;

	if (d->net_slow && sim_chance(sim, 1, d->net_slow))
		return sim_between(sim, d->net_max, d->net_slow_max);
	return sim_between(sim, d->net_min, d->net_max);
}

static uint64_t slow_extra(struct sim_node *node)
{
	struct sim *sim = node->sim;

	return sim->now < node->slow_until ? sim_below(sim, node->slow_extra) : 0;
}

void sim_deliver_arm(struct env_conn *c)
{
	struct frame *f;

	if (c->dead || c->paused || list_empty(&c->in))
		return;
	f = list_first_entry(&c->in, struct frame, node);
	sim_event_at(c->owner->sim, &c->deliver, f->due);
}

/* Put a frame on its way to @to; a reset overtakes nothing that is kept. */
struct frame *sim_frame_push(struct env_conn *to, enum frame_kind kind,
			     uint64_t delay)
{
	struct frame *f = malloc(sizeof(*f));
	struct sim *sim = to->owner->sim;

	if (!f)
		abort();
	f->kind = kind;
	f->err = 0;
	f->data = NULL;
	delay += slow_extra(to->owner);
	if (to->remote)
		delay += slow_extra(to->remote);
	f->due = MAX(sim->now + delay, to->last_due);
	to->last_due = f->due;
	list_add_tail(&f->node, &to->in);
	if (!sim_event_armed(&to->deliver))
		sim_deliver_arm(to);
	return f;
}

/* Break the way between @c and its other end; @c will hear of @err. */
void sim_conn_reset(struct env_conn *c, int err, bool lossy)
{
	unsigned int count = 0;
	struct frame *f;

	if (c->dead)
		return;
	list_for_each_entry(f, &c->in, node)
		count++;
	if (lossy)
		sim_frames_drop(c, (unsigned int)sim_below(c->owner->sim, count + 1));
	if (list_empty(&c->in)) {
		sim_event_cancel(c->owner->sim, &c->deliver);
		c->paused = false;
		c->last_due = 0;
	}
	if (c->other)
		c->other->other = NULL;
	c->other = NULL;
	c->half_open = false;
	sim_frame_push(c, FRAME_END, sim_net_delay(c->owner->sim))->err = err;
}

/* ---- sent() ------------------------------------------------------------- */

static void unsent_check(struct sim *sim, const struct unsent *u)
{
	size_t at = 0, n;
	int i;

	for (i = 0; i < u->iov_count && at < u->copy->len; i++, at += n) {
		n = MIN(u->iov[i].iov_len, u->copy->len - at);
		if (memcmp(u->copy->bytes + at, u->iov[i].iov_base, n))
			sim_failed(sim, "data of a frame changed before sent()");
	}
}

void sim_unsent_call(struct unsent *u, int err)
{
	env_sent_fn fn = u->fn;
	void *arg = u->arg;

	sim_unsent_free(u);
	fn(arg, err);
}

static void sent_arm(struct env_conn *c)
{
	struct unsent *u;

	if (c->dead || list_empty(&c->unsent) || sim_event_armed(&c->sent_event))
		return;
	u = list_first_entry(&c->unsent, struct unsent, node);
	sim_event_at(c->owner->sim, &c->sent_event, u->due);
}

void sim_conn_unbusy(struct env_conn *c)
{
	if (--c->busy == 0 && c->dead)
		sim_conn_free(c);
}

static void sent_event(struct sim_event *event)
{
	struct env_conn *c = container_of(event, struct env_conn, sent_event);
	struct unsent *u = list_first_entry(&c->unsent, struct unsent, node);

	c->busy++;
	unsent_check(c->owner->sim, u);
	sim_unsent_call(u, 0);
	sent_arm(c);
	sim_conn_unbusy(c);
}

static void orphan_event(struct sim_event *event)
{
	struct sim_node *node = container_of(event, struct sim_node,
					     orphan_event);

	while (!list_empty(&node->orphans))
		sim_unsent_call(list_first_entry(&node->orphans, struct unsent,
						 node), -ECANCELED);
}

void sim_unsent_add(struct env_conn *c, struct payload *copy,
		    const struct iovec *data, int count, uint64_t until,
		    env_sent_fn fn, void *arg)
{
	struct sim *sim = c->owner->sim;
	struct unsent *u = sim_alloc(sizeof(*u)), *last;

	u->fn = fn;
	u->arg = arg;
	u->due = sim_between(sim, sim->now, until);
	if (!list_empty(&c->unsent)) {
		last = list_last_entry(&c->unsent, struct unsent, node);
		u->due = MAX(u->due, last->due);
	}
	if (copy) {
		u->copy = copy;
		copy->refs++;
		u->iov = malloc(sizeof(*u->iov) * (size_t)count);
		if (!u->iov)
			abort();
		memcpy(u->iov, data, sizeof(*u->iov) * (size_t)count);
		u->iov_count = count;
	}
	list_add_tail(&u->node, &c->unsent);
	sent_arm(c);
}

/* ---- nodes and faults --------------------------------------------------- */

void sim_net_node_init(struct sim_node *node)
{
	list_init(&node->conns);
	list_init(&node->orphans);
	sim_event_init(&node->orphan_event, node, orphan_event);
}

/* The machine is gone: of what it sent, a part may still arrive. */
static void conn_orphan(struct env_conn *c)
{
	unsigned int count = 0;
	struct frame *f;

	list_for_each_entry(f, &c->in, node)
		count++;
	sim_frames_drop(c, (unsigned int)sim_below(c->owner->sim, count + 1));
	if (list_empty(&c->in))
		sim_event_cancel(c->owner->sim, &c->deliver);
	c->other = NULL;
	c->half_open = true;
}

void sim_net_node_down(struct sim_node *node, bool silent)
{
	struct env_conn *c, *other;
	struct listener *l;

	list_for_each_entry(l, &node->sim->listeners, node)
		if (l->owner == node)
			l->owner = NULL;
	list_for_each_entry(c, &node->conns, node) {
		other = c->other;
		c->other = NULL;
		c->dead = true;
		sim_event_cancel(node->sim, &c->deliver);
		sim_event_cancel(node->sim, &c->sent_event);
		if (!other)
			continue;
		other->other = NULL;
		if (silent)
			conn_orphan(other);
		else
			sim_conn_reset(other, -ECONNRESET,
				       sim_chance(node->sim, 1, 2));
	}
}

static void node_conns_free(struct sim_node *node)
{
	while (!list_empty(&node->conns))
		sim_conn_free(list_first_entry(&node->conns, struct env_conn, node));
	while (!list_empty(&node->orphans))
		sim_unsent_free(list_first_entry(&node->orphans, struct unsent,
						 node));
}

void sim_net_node_up(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct env_conn *c;
	unsigned int i;

	node_conns_free(node);
	for (i = 0; i < sim->node_count; i++)
		list_for_each_entry(c, &sim->nodes[i]->conns, node)
			if (c->half_open && c->unanswered && c->remote == node)
				sim_conn_reset(c, -ECONNRESET, false);
}

void sim_net_node_free(struct sim_node *node)
{
	node_conns_free(node);
}

void sim_net_free(struct sim *sim)
{
	struct listener *l, *tmp;

	list_for_each_entry_safe(l, tmp, &sim->listeners, node) {
		list_del_init(&l->node);
		free(l);
	}
}

void sim_net_block(struct sim_node *from, struct sim_node *to, uint64_t ns)
{
	struct sim *sim = from->sim;
	uint64_t *until = &sim->blocked[from->id][to->id];

	sim_trace(sim, from, "cannot reach node %llu for %llu us", to->id,
		  ns / 1000, 0, 0);
	*until = MAX(*until, sim->now + ns);
}

void sim_net_slow(struct sim_node *node, uint64_t ns, uint64_t extra)
{
	sim_trace(node->sim, node, "slow network for %llu us", ns / 1000, 0, 0, 0);
	node->slow_until = node->sim->now + ns;
	node->slow_extra = extra;
}

void sim_net_break(struct sim_node *a, struct sim_node *b)
{
	struct env_conn *c, *other;

	sim_trace(a->sim, a, "connections reset", b ? b->id : ~0ull, 0, 0, 0);
	list_for_each_entry(c, &a->conns, node) {
		if (c->dead || (b && c->remote != b) || c->half_open)
			continue;
		other = c->other;
		sim_conn_reset(c, -ECONNRESET, true);
		if (other)
			sim_conn_reset(other, -ECONNRESET, true);
	}
}
