// SPDX-License-Identifier: Apache-2.0
/*
 * The set of peers and what may be asked of one. The connection's life is in
 * peer_conn.c, that of calls in peer_call.c, the back-off in peer_backoff.c.
 */
#include "peer/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer/peer_priv.h"

#define REPLICA_TIMEOUT_DEFAULT NSEC_PER_SEC
#define CONNECT_TIMEOUT_DEFAULT (3 * NSEC_PER_SEC)

struct peer_set *peer_set_new(struct env *env,
			      const struct peer_set_config *cfg)
{
	struct peer_set *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return NULL;
	if (hash_init(&set->by_id, 16) < 0) {
		free(set);
		return NULL;
	}
	set->env = env;
	set->cfg = *cfg;
	if (set->cfg.replica_timeout_ns == 0)
		set->cfg.replica_timeout_ns = REPLICA_TIMEOUT_DEFAULT;
	if (set->cfg.connect_timeout_ns == 0)
		set->cfg.connect_timeout_ns = CONNECT_TIMEOUT_DEFAULT;
	list_init(&set->peers);
	peer_calls_init(set);
	return set;
}

static void peer_free(struct peer *peer)
{
	assert(list_empty(&peer->queued) && list_empty(&peer->in_flight));
	peer_conn_release(peer);
	list_del_init(&peer->node);
	free(peer->address);
	free(peer);
}

void peer_set_free(struct peer_set *set)
{
	struct peer *peer, *tmp;

	if (set == NULL)
		return;
	list_for_each_entry_safe(peer, tmp, &set->peers, node)
		peer_free(peer);
	peer_calls_release(set);
	hash_release(&set->by_id);
	free(set);
}

static uint64_t id_hash(const struct uuid *id)
{
	uint64_t half[2];

	memcpy(half, id->byte, sizeof(half));
	return hash_u64_pair(half[0], half[1]);
}

struct peer *peer_find(struct peer_set *set, const struct uuid *id)
{
	struct hash_node *n;

	for (n = hash_first(&set->by_id, id_hash(id)); n != NULL;
	     n = hash_next(n)) {
		struct peer *peer = container_of(n, struct peer, by_id);

		if (uuid_equal(&peer->id, id))
			return peer;
	}
	return NULL;
}

static struct peer *peer_new(struct peer_set *set, const struct uuid *id,
			     char *address)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL)
		return NULL;
	peer->set = set;
	peer->id = *id;
	peer->address = address;
	uuid_format(id, peer->name);
	list_init(&peer->queued);
	list_init(&peer->in_flight);
	peer_conn_init(peer);
	list_add_tail(&peer->node, &set->peers);
	hash_insert(&set->by_id, &peer->by_id, id_hash(id));
	return peer;
}

/* The address is new: failures of the old one say nothing about it. */
static void peer_moved(struct peer *peer)
{
	if (peer->state == PEER_UP) {
		peer_conn_restart(peer);
	} else if (peer->state == PEER_CONNECTING) {
		peer_conn_release(peer);
		peer->state = PEER_DOWN;
		peer_conn_start(peer);
	} else if (peer_backoff_running(peer)) {
		peer_backoff_reset(peer);
		peer_conn_start(peer);
	}
}

struct peer *peer_set_update(struct peer_set *set, const struct uuid *id,
			     const char *address)
{
	struct peer *peer = peer_find(set, id);
	char *copy;

	if (peer != NULL && strcmp(peer->address, address) == 0)
		return peer;
	copy = strdup(address);
	if (copy == NULL)
		return NULL;
	if (peer == NULL) {
		peer = peer_new(set, id, copy);
		if (peer == NULL)
			free(copy);
		return peer;
	}
	free(peer->address);
	peer->address = copy;
	peer_moved(peer);
	return peer;
}

const struct uuid *peer_id(const struct peer *peer)
{
	return &peer->id;
}

const char *peer_address(const struct peer *peer)
{
	return peer->address;
}

enum peer_state peer_state(const struct peer *peer)
{
	return peer->state;
}

bool peer_usable(struct peer *peer)
{
	switch (peer->state) {
	case PEER_UP:
		return true;
	case PEER_CONNECTING:
		return peer->failures == 0;
	default:
		return !peer_backoff_running(peer);
	}
}

const struct uuid *peer_incarnation(const struct peer *peer)
{
	return &peer->incarnation;
}

void peer_connect(struct peer *peer)
{
	if (peer->state == PEER_DOWN)
		peer_conn_start(peer);
}

void peer_fail(struct peer *peer, int err)
{
	peer_conn_fail(peer, err);
}

void peer_disconnect(struct peer *peer)
{
	bool was_up = peer->state != PEER_DOWN;

	peer_conn_release(peer);
	peer->state = PEER_DOWN;
	peer->resending = false;
	peer_backoff_reset(peer);
	peer_calls_fail(peer, -ECANCELED);
	if (was_up) {
		peer->changed = true;
		peer->changed_err = -ECANCELED;
		peer_set_kick(peer->set);
	}
}

const struct peer_stats *peer_stats(const struct peer *peer)
{
	return &peer->stats;
}
