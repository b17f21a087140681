// SPDX-License-Identifier: Apache-2.0
/* The metadata store is replaced by another one: empty, or a backup. */
#include <stdlib.h>

#include "sim_meta_call.h"

struct sim_meta_backup {
	struct meta_kv *kv;
	size_t count;
	int64_t revision;
};

struct sim_meta_backup *sim_meta_backup(struct sim *sim)
{
	struct sim_meta_backup *b = sim_alloc(sizeof(*b));

	b->kv = simkv_copy(sim->meta, "", false, &b->count);
	b->revision = sim->meta->revision;
	return b;
}

void sim_meta_backup_free(struct sim_meta_backup *b)
{
	if (b)
		simkv_free(b->kv, b->count);
	free(b);
}

/* What was under way to the old one ends without an answer. */
static void calls_lose(struct sim *sim, struct list_head *calls)
{
	struct call *call, *tmp;

	list_for_each_entry_safe(call, tmp, calls, node) {
		sim_event_cancel(sim, &call->request);
		if (!call->client) {
			simmeta_call_free(call);
			continue;
		}
		call->timed_out = true;
		if (!sim_event_armed(&call->reply))
			sim_event_after(sim, &call->reply,
					sim->meta->faults.timeout_ns);
	}
}

void sim_meta_restore(struct sim *sim, const struct sim_meta_backup *b)
{
	struct sim_meta_store *s = sim->meta;
	struct meta_watch *w;
	struct lease *l, *tmp;
	unsigned int i;

	sim_trace(sim, NULL, "the metadata store is another one", 0, 0, 0, 0);
	calls_lose(sim, &s->orphans);
	for (i = 0; i < sim->node_count; i++)
		calls_lose(sim, &sim->nodes[i]->meta->calls);
	list_for_each_entry_safe(l, tmp, &s->leases, all)
		if (!l->expired)
			simmeta_lease_expire(l);
	simkv_reset(s, b ? b->kv : NULL, b ? b->count : 0,
		    b ? b->revision : 1);
	for (i = 0; i < sim->node_count; i++)
		list_for_each_entry(w, &sim->nodes[i]->meta->watches, node) {
			w->reset = true;
			simmeta_watch_arm(w);
		}
}
