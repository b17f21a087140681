/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, watches and leases of the nodes at the simulated metadata store. */
#ifndef TORUS_SIM_META_CALL_H
#define TORUS_SIM_META_CALL_H

#include "sim_internal.h"
#include "sim_meta_store.h"

enum call_type { CALL_GET, CALL_LIST, CALL_TXN, CALL_GRANT, CALL_REVOKE };

struct call {
	struct list_head node;		/* on client->calls or store->orphans */
	struct sim_meta_store *store;
	struct sim_meta_client *client;	/* NULL: nobody waits any more */
	enum call_type type;
	struct sim_event request, reply;
	bool timed_out;			/* the reply is decided */
	char *key;
	struct meta_txn txn;
	union {
		meta_get_fn get;
		meta_list_fn list;
		meta_txn_fn txn;
		meta_lease_fn lease;
	} done;
	meta_lease_lost_fn lost;
	void *ctx;
	unsigned int ttl;
	/* the answer */
	int err;
	bool succeeded;
	int64_t revision, lease;
	struct meta_kv *kv;
	size_t count;
};

struct meta_watch {
	struct list_head node;
	struct sim_meta_client *client;
	struct sim_event event;
	char *prefix;
	int64_t next;
	meta_watch_fn fn;
	void *ctx;
	bool gap;			/* was cut off for a while */
	bool reset;			/* the store is another one */
	bool busy, dead;
};

struct lease {
	struct list_head node;		/* on client->leases, or alone */
	struct sim_meta_client *client;
	struct sim_event tick;		/* the store's */
	struct sim_event lost_event;	/* the client's */
	struct sim_meta_store *store;
	struct list_head all;
	int64_t id;
	uint64_t ttl, deadline;
	bool expired;
	meta_lease_lost_fn lost;
	void *ctx;
};

struct sim_meta_client {
	struct meta meta;
	struct sim_node *node;
	struct list_head calls, watches, leases;
	uint64_t unreachable_until;
};

void simmeta_call_free(struct call *call);
void simmeta_watch_arm(struct meta_watch *w);
void simmeta_lease_expire(struct lease *l);

#endif
