// SPDX-License-Identifier: Apache-2.0
/*
 * The metadata store of the world and the struct meta of each node.
 *
 * A call is a request event in the world, which applies it to the store, and
 * a reply event on the node. A request that is under way lands even when the
 * node has died. A transaction may be made to answer -ETIMEDOUT; then it has
 * landed before, lands after, or never.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sim_internal.h"
#include "sim_meta_call.h"
#include "sim_meta_store.h"

/* ---- reachability ------------------------------------------------------- */

static uint64_t cut_until(const struct sim_meta_client *c)
{
	return MAX(c->unreachable_until,
		   c->node->sim->meta->faults.down_until);
}

static bool is_cut(const struct sim_meta_client *c)
{
	return cut_until(c) > c->node->sim->now;
}

static uint64_t meta_delay(struct sim *sim)
{
	const struct sim_meta_faults *f = sim_meta_faults(sim);
	uint64_t delay = sim_between(sim, sim->delays.meta_min,
				     sim->delays.meta_max);

	if (sim->now < f->slow_until)
		delay += sim_below(sim, f->slow_extra);
	return delay;
}

/* ---- watches ------------------------------------------------------------ */

void simmeta_watch_arm(struct meta_watch *w)
{
	struct sim *sim = w->client->node->sim;
	uint64_t when = sim->now + meta_delay(sim) +
			sim_meta_faults(sim)->watch_extra;

	if (sim_event_armed(&w->event))
		return;
	if (is_cut(w->client)) {
		w->gap = true;
		when += cut_until(w->client) - sim->now;
	}
	sim_event_at(sim, &w->event, when);
}

static const struct history *watch_next(const struct meta_watch *w)
{
	struct sim_meta_store *s = w->client->node->sim->meta;
	size_t i;

	for (i = 0; i < s->history_count; i++)
		if (s->history[i].revision >= w->next &&
		    strncmp(s->history[i].key, w->prefix,
			    strlen(w->prefix)) == 0)
			return &s->history[i];
	return NULL;
}

/* All events of one revision come together. */
static void watch_deliver(struct meta_watch *w)
{
	struct sim_meta_store *s = w->client->node->sim->meta;
	const struct history *h = watch_next(w);
	int64_t revision = h ? h->revision : 0;
	struct meta_kv kv;
	size_t i;

	if (!h)
		return;
	w->next = revision + 1;
	for (i = (size_t)(h - s->history); i < s->history_count && !w->dead &&
	     s->history[i].revision == revision; i++) {
		h = &s->history[i];
		if (strncmp(h->key, w->prefix, strlen(w->prefix)))
			continue;
		kv = (struct meta_kv){ h->key, h->value ? h->value : "",
				       h->revision, h->lease };
		w->fn(w->ctx, h->value ? META_EVENT_PUT : META_EVENT_DELETE,
		      &kv);
	}
}

static void watch_free(struct meta_watch *w)
{
	list_del_init(&w->node);
	sim_event_cancel(w->client->node->sim, &w->event);
	free(w->prefix);
	free(w);
}

static void watch_event(struct sim_event *event)
{
	struct meta_watch *w = container_of(event, struct meta_watch, event);
	struct sim_meta_store *s = w->client->node->sim->meta;

	if (is_cut(w->client)) {
		simmeta_watch_arm(w);
		return;
	}
	w->busy = true;
	if (w->reset || (w->gap && sim_chance(w->client->node->sim, 1, 3))) {
		w->next = s->revision + 1;
		w->fn(w->ctx, META_EVENT_RESET, NULL);
	} else {
		watch_deliver(w);
	}
	w->gap = w->reset = false;
	w->busy = false;
	if (w->dead)
		watch_free(w);
	else if (watch_next(w))
		simmeta_watch_arm(w);
}

static void store_changed(struct sim *sim)
{
	struct meta_watch *w;
	unsigned int i;

	for (i = 0; i < sim->node_count; i++)
		list_for_each_entry(w, &sim->nodes[i]->meta->watches, node)
			if (!w->dead && watch_next(w))
				simmeta_watch_arm(w);
}

/* ---- leases ------------------------------------------------------------- */

static void lease_free(struct lease *l)
{
	list_del_init(&l->node);
	list_del_init(&l->all);
	sim_event_cancel(l->store->sim, &l->tick);
	sim_event_cancel(l->store->sim, &l->lost_event);
	free(l);
}

static void lease_lost_event(struct sim_event *event)
{
	struct lease *l = container_of(event, struct lease, lost_event);
	meta_lease_lost_fn lost = l->lost;
	int64_t id = l->id;
	void *ctx = l->ctx;

	lease_free(l);
	error_set(-ESTALE, "the simulated lease has ended");
	if (lost)
		lost(ctx, id);
}

void simmeta_lease_expire(struct lease *l)
{
	struct sim *sim = l->store->sim;
	uint64_t when = sim->now + meta_delay(sim);

	l->expired = true;
	sim_event_cancel(sim, &l->tick);
	sim_trace(sim, l->client ? l->client->node : NULL,
		  "lease %llu expires", (uint64_t)l->id, 0, 0, 0);
	if (simkv_lease_drop(l->store, l->id))
		store_changed(sim);
	if (!l->client) {
		lease_free(l);
		return;
	}
	if (is_cut(l->client))
		when = cut_until(l->client) + meta_delay(sim);
	sim_event_at(sim, &l->lost_event, when);
}

static void lease_tick(struct sim_event *event)
{
	struct lease *l = container_of(event, struct lease, tick);
	struct sim *sim = l->store->sim;

	if (l->client && !is_cut(l->client) &&
	    l->client->node->hung_until <= sim->now)
		l->deadline = sim->now + l->ttl;
	if (sim->now >= l->deadline)
		simmeta_lease_expire(l);
	else
		sim_event_after(sim, &l->tick, MIN(l->ttl / 3, l->deadline -
						   sim->now));
}

static struct lease *lease_find(struct sim_meta_store *s, int64_t id)
{
	struct lease *l;

	list_for_each_entry(l, &s->leases, all)
		if (l->id == id && !l->expired)
			return l;
	return NULL;
}

/* Nobody keeps it alive before its holder has heard of it. */
static struct lease *lease_new(struct sim_meta_store *s, const struct call *call)
{
	struct lease *l = sim_alloc(sizeof(*l));

	l->store = s;
	l->id = ++s->last_lease;
	l->ttl = call->ttl * NSEC_PER_SEC;
	l->deadline = s->sim->now + l->ttl;
	l->lost = call->lost;
	l->ctx = call->ctx;
	list_init(&l->node);
	sim_event_init(&l->tick, NULL, lease_tick);
	sim_event_init(&l->lost_event, NULL, lease_lost_event);
	list_add_tail(&l->all, &s->leases);
	sim_event_after(s->sim, &l->tick, l->ttl / 3);
	return l;
}

/* The answer arrives: from now on the node keeps it alive. */
static int lease_adopt(struct sim_meta_client *c, int64_t id)
{
	struct lease *l = lease_find(c->node->sim->meta, id);

	if (!l)
		return -ETIMEDOUT;
	l->client = c;
	l->lost_event.node = c->node;
	list_add_tail(&l->node, &c->leases);
	return 0;
}

/* ---- calls -------------------------------------------------------------- */

void simmeta_call_free(struct call *call)
{
	int i;

	sim_event_cancel(call->store->sim, &call->request);
	list_del_init(&call->node);
	for (i = 0; i < call->txn.compare_count; i++)
		free((char *)call->txn.compare[i].key);
	for (i = 0; i < call->txn.put_count; i++) {
		free((char *)call->txn.put[i].key);
		free((char *)call->txn.put[i].value);
	}
	simkv_free(call->kv, call->count);
	free(call->key);
	free(call);
}

/* Nobody waits for it any more; it goes on if it has yet to land. */
static void call_orphan(struct call *call)
{
	call->client = NULL;
	list_move_tail(&call->node, &call->store->orphans);
	if (!sim_event_armed(&call->request))
		simmeta_call_free(call);
}

static int txn_leases_check(struct sim_meta_store *s, const struct meta_txn *txn)
{
	int i;

	for (i = 0; i < txn->put_count; i++)
		if (txn->put[i].lease && !lease_find(s, txn->put[i].lease))
			return -ENOENT;
	return 0;
}

static void apply_txn(struct sim_meta_store *s, struct call *call)
{
	call->err = txn_leases_check(s, &call->txn);
	if (call->err)
		return;
	call->succeeded = simkv_txn(s, &call->txn);
	call->revision = s->revision;
	sim_trace(s->sim, call->client ? call->client->node : NULL,
		  "metadata transaction %llu at revision %llu",
		  call->succeeded, (uint64_t)s->revision, 0, 0);
	if (call->succeeded)
		store_changed(s->sim);
}

static void apply_revoke(struct sim_meta_store *s, struct call *call)
{
	struct lease *l = lease_find(s, call->lease);

	if (!l) {
		call->err = -ENOENT;
		return;
	}
	if (simkv_lease_drop(s, l->id))
		store_changed(s->sim);
	lease_free(l);
}

static void call_apply(struct sim_meta_store *s, struct call *call)
{
	call->revision = s->revision;
	switch (call->type) {
	case CALL_GET:
		call->kv = simkv_copy(s, call->key, true, &call->count);
		break;
	case CALL_LIST:
		call->kv = simkv_copy(s, call->key, false, &call->count);
		break;
	case CALL_TXN:
		apply_txn(s, call);
		break;
	case CALL_GRANT:
		call->lease = lease_new(s, call)->id;
		break;
	case CALL_REVOKE:
		apply_revoke(s, call);
		break;
	}
}

/* The store has the request. */
static void call_request(struct sim_event *event)
{
	struct call *call = container_of(event, struct call, request);
	struct sim *sim = call->store->sim;

	call_apply(call->store, call);
	if (!call->client) {
		simmeta_call_free(call);
		return;
	}
	if (call->timed_out)
		return;
	if (is_cut(call->client)) {
		call->timed_out = true;
		sim_event_after(sim, &call->reply,
				call->store->faults.timeout_ns);
		return;
	}
	sim_event_after(sim, &call->reply, meta_delay(sim));
}

static void call_answer(struct call *call)
{
	error_clear();
	if (call->err)
		error_set(call->err, "metadata store: %s",
			  call->err == -ETIMEDOUT ? "no answer in time"
						  : "cannot be reached");
	switch (call->type) {
	case CALL_GET:
		call->done.get(call->ctx, call->err, call->revision,
			       call->err ? NULL : call->kv);
		break;
	case CALL_LIST:
		call->done.list(call->ctx, call->err, call->revision,
				call->err ? NULL : call->kv,
				call->err ? 0 : call->count);
		break;
	case CALL_TXN:
		call->done.txn(call->ctx, call->err,
			       !call->err && call->succeeded, call->revision);
		break;
	case CALL_GRANT:
	case CALL_REVOKE:
		if (call->done.lease)
			call->done.lease(call->ctx, call->err, call->lease);
		break;
	}
}

static void call_reply(struct sim_event *event)
{
	struct call *call = container_of(event, struct call, reply);
	struct sim *sim = call->store->sim;

	if (call->timed_out)
		call->err = -ETIMEDOUT;
	if (call->type == CALL_GRANT && !call->err)
		call->err = lease_adopt(call->client, call->lease);
	sim_trace(sim, call->client->node, "metadata call %llu answers %lld",
		  call->type, (uint64_t)call->err, 0, 0);
	list_del_init(&call->node);
	call_answer(call);
	call_orphan(call);
}

/* Decide what becomes of a transaction that will not be answered in time. */
static void call_time_out(struct call *call)
{
	struct sim *sim = call->store->sim;
	const struct sim_meta_faults *f = &call->store->faults;
	uint64_t fate = sim_below(sim, 3);

	call->timed_out = true;
	sim_event_after(sim, &call->reply, f->timeout_ns);
	if (call->type != CALL_TXN || fate == 0)
		return;
	sim_event_after(sim, &call->request, fate == 1 ? meta_delay(sim) :
			f->timeout_ns + sim_below(sim, f->late_max_ns));
}

static void call_submit(struct call *call)
{
	struct sim *sim = call->store->sim;
	uint32_t one_in = call->store->faults.txn_timeout;

	if (is_cut(call->client) && sim_chance(sim, 1, 2)) {
		call->err = -EHOSTUNREACH;
		sim_event_after(sim, &call->reply, meta_delay(sim));
	} else if (is_cut(call->client) ||
		   (call->type == CALL_TXN && one_in &&
		    sim_chance(sim, 1, one_in))) {
		call_time_out(call);
	} else {
		sim_event_after(sim, &call->request, meta_delay(sim));
	}
}

static struct call *call_new(struct meta *m, enum call_type type,
			     const char *key, void *ctx)
{
	struct sim_meta_client *c = container_of(m, struct sim_meta_client,
						 meta);
	struct call *call = sim_alloc(sizeof(*call));

	call->client = c;
	call->store = c->node->sim->meta;
	call->type = type;
	call->ctx = ctx;
	if (key)
		call->key = strdup(key);
	sim_event_init(&call->request, NULL, call_request);
	sim_event_init(&call->reply, c->node, call_reply);
	list_add_tail(&call->node, &c->calls);
	return call;
}

/* ---- meta_ops ----------------------------------------------------------- */

static bool is_running(struct meta *m)
{
	return container_of(m, struct sim_meta_client, meta)->node->running;
}

static void meta_get(struct meta *m, const char *key, meta_get_fn done,
		     void *ctx)
{
	struct call *call;

	if (!is_running(m))
		return;
	call = call_new(m, CALL_GET, key, ctx);
	call->done.get = done;
	call_submit(call);
}

static void meta_list(struct meta *m, const char *prefix, meta_list_fn done,
		      void *ctx)
{
	struct call *call;

	if (!is_running(m))
		return;
	call = call_new(m, CALL_LIST, prefix, ctx);
	call->done.list = done;
	call_submit(call);
}

static void txn_copy(struct meta_txn *to, const struct meta_txn *from)
{
	int i;

	*to = *from;
	for (i = 0; i < to->compare_count; i++)
		to->compare[i].key = strdup(from->compare[i].key);
	for (i = 0; i < to->put_count; i++) {
		to->put[i].key = strdup(from->put[i].key);
		if (from->put[i].value)
			to->put[i].value = strdup(from->put[i].value);
	}
}

static void meta_txn(struct meta *m, const struct meta_txn *txn,
		     meta_txn_fn done, void *ctx)
{
	struct call *call;

	if (!is_running(m))
		return;
	call = call_new(m, CALL_TXN, NULL, ctx);
	txn_copy(&call->txn, txn);
	call->done.txn = done;
	call_submit(call);
}

static struct meta_watch *meta_watch(struct meta *m, const char *prefix,
				     int64_t from, meta_watch_fn event,
				     void *ctx)
{
	struct sim_meta_client *c = container_of(m, struct sim_meta_client,
						 meta);
	struct meta_watch *w = sim_alloc(sizeof(*w));

	w->client = c;
	w->prefix = strdup(prefix);
	w->next = from > 0 ? from : c->node->sim->meta->revision + 1;
	w->fn = event;
	w->ctx = ctx;
	sim_event_init(&w->event, c->node, watch_event);
	list_add_tail(&w->node, &c->watches);
	if (c->node->running && watch_next(w))
		simmeta_watch_arm(w);
	return w;
}

static void meta_unwatch(struct meta *m, struct meta_watch *w)
{
	if (!is_running(m))
		return;
	w->dead = true;
	if (!w->busy)
		watch_free(w);
}

static void meta_lease_grant(struct meta *m, unsigned int ttl_s,
			     meta_lease_fn done, meta_lease_lost_fn lost,
			     void *ctx)
{
	struct call *call;

	if (!is_running(m))
		return;
	call = call_new(m, CALL_GRANT, NULL, ctx);
	call->ttl = ttl_s;
	call->done.lease = done;
	call->lost = lost;
	call_submit(call);
}

static void meta_lease_revoke(struct meta *m, int64_t lease, meta_lease_fn done,
			      void *ctx)
{
	struct call *call;

	if (!is_running(m))
		return;
	call = call_new(m, CALL_REVOKE, NULL, ctx);
	call->lease = lease;
	call->done.lease = done;
	call_submit(call);
}

/* Nobody waits for anything any more; what is under way still lands. */
static void client_drop(struct sim_meta_client *c)
{
	struct sim *sim = c->node->sim;
	struct call *call;
	struct lease *l;

	while (!list_empty(&c->calls)) {
		call = list_first_entry(&c->calls, struct call, node);
		sim_event_cancel(sim, &call->reply);
		call_orphan(call);
	}
	while (!list_empty(&c->watches))
		watch_free(list_first_entry(&c->watches, struct meta_watch,
					    node));
	while (!list_empty(&c->leases)) {
		l = list_first_entry(&c->leases, struct lease, node);
		list_del_init(&l->node);
		l->client = NULL;
		if (l->expired)
			lease_free(l);
	}
}

static void meta_close(struct meta *m)
{
	if (is_running(m))
		client_drop(container_of(m, struct sim_meta_client, meta));
}

static const struct meta_ops sim_meta_ops = {
	.get = meta_get,
	.list = meta_list,
	.txn = meta_txn,
	.watch = meta_watch,
	.unwatch = meta_unwatch,
	.lease_grant = meta_lease_grant,
	.lease_revoke = meta_lease_revoke,
	.close = meta_close,
};

/* ---- life --------------------------------------------------------------- */

int sim_meta_init(struct sim *sim)
{
	sim->meta = sim_alloc(sizeof(*sim->meta));
	sim->meta->sim = sim;
	sim->meta->revision = 1;
	sim->meta->faults.timeout_ns = 2 * NSEC_PER_SEC;
	sim->meta->faults.late_max_ns = 3 * NSEC_PER_SEC;
	list_init(&sim->meta->leases);
	list_init(&sim->meta->orphans);
	return 0;
}

void sim_meta_free(struct sim *sim)
{
	struct sim_meta_store *s = sim->meta;

	while (!list_empty(&s->orphans))
		simmeta_call_free(list_first_entry(&s->orphans, struct call, node));
	while (!list_empty(&s->leases))
		lease_free(list_first_entry(&s->leases, struct lease, all));
	simkv_clear(s);
	free(s);
}

void sim_meta_node_init(struct sim_node *node)
{
	struct sim_meta_client *c = sim_alloc(sizeof(*c));

	c->meta.ops = &sim_meta_ops;
	c->node = node;
	list_init(&c->calls);
	list_init(&c->watches);
	list_init(&c->leases);
	node->meta = c;
}

void sim_meta_node_down(struct sim_node *node)
{
	client_drop(node->meta);
}

void sim_meta_node_up(struct sim_node *node)
{
	node->meta->unreachable_until = 0;
}

void sim_meta_node_free(struct sim_node *node)
{
	free(node->meta);
}

struct meta *sim_node_meta(struct sim_node *node)
{
	return &node->meta->meta;
}

/* ---- the test's side ---------------------------------------------------- */

struct sim_meta_faults *sim_meta_faults(struct sim *sim)
{
	return &sim->meta->faults;
}

void sim_meta_unreachable(struct sim_node *node, uint64_t ns)
{
	sim_trace(node->sim, node, "metadata unreachable for %llu us",
		  ns / 1000, 0, 0, 0);
	node->meta->unreachable_until = node->sim->now + ns;
}

void sim_meta_lose_leases(struct sim_node *node)
{
	struct lease *l, *tmp;

	list_for_each_entry_safe(l, tmp, &node->meta->leases, node)
		if (!l->expired)
			simmeta_lease_expire(l);
}

void sim_meta_put(struct sim *sim, const char *key, const char *value)
{
	struct meta_txn txn = { .put_count = 1, .put[0] = { key, value, 0 } };

	sim_meta_txn(sim, &txn);
}

bool sim_meta_txn(struct sim *sim, const struct meta_txn *txn)
{
	bool done = simkv_txn(sim->meta, txn);

	if (done)
		store_changed(sim);
	return done;
}

const char *sim_meta_value(struct sim *sim, const char *key)
{
	const struct stored *kv = simkv_find(sim->meta, key);

	return kv ? kv->value : NULL;
}

int64_t sim_meta_revision(struct sim *sim, const char *key)
{
	const struct stored *kv = simkv_find(sim->meta, key);

	return kv ? kv->mod_revision : 0;
}
