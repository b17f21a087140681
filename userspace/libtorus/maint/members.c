// SPDX-License-Identifier: Apache-2.0
/*
 * The peers that are in the ring, or were in the one before, as this store sees
 * them: a connection to each of them is kept up, so that its end is noticed.
 *
 *	         connected                  HELLO
 *	 up <------------------ down <------------------ lost
 *	  |---------------------> |----------------------> |
 *	     connection lost          recovery_grace
 *
 * What is said of the ring's members in a lease is a hint to have a look. A
 * peer that comes up, or is lost, has all chunks looked at that it owns. A
 * peer's time begins when it was seen to go, but not before this process began.
 */
#include "maint/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "peer/ring_change.h"

#define ADDRESS_AGAIN	(10 * NSEC_PER_SEC)
#define PROBE_TIMEOUT	(10 * NSEC_PER_SEC)
#define FULL_FOR	(600 * NSEC_PER_SEC)

const struct uuid *members_self(const struct maint *m)
{
	return store_peer(m->store);
}

void members_full(struct maint_peer *p, uint32_t blocks)
{
	uint64_t now = env_now(p->maint->env);

	p->full_blocks = p->full_until > now ? MIN(p->full_blocks, blocks) :
					       blocks;
	p->full_until = now + FULL_FOR;
}

struct maint_peer *members_find(struct maint *m, const struct uuid *id)
{
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node)
		if (uuid_equal(&p->id, id))
			return p;
	return NULL;
}

bool members_all_up(const struct maint *m)
{
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node)
		if (p->current && !p->up)
			return false;
	return true;
}

static void peer_lost(struct maint_peer *p)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&p->id, id);
	log_warning("peer %s was away for %llu s: what it holds is copied to others",
		    id, p->maint->cfg.recovery_grace_ns / NSEC_PER_SEC);
	p->lost = true;
	p->waiting = 0;
	p->walk = true;
}

/* Those that the ring names, but that placement passes over. */
static void collect_lost(struct maint *m)
{
	struct maint_peer *p;

	m->lost_count = 0;
	list_for_each_entry(p, &m->peers, node)
		if (p->current && p->lost && m->lost_count < MAINT_LOST_MAX)
			m->lost[m->lost_count++] = p->id;
}

static void peer_up(struct maint_peer *p)
{
	if (p->up)
		return;
	p->up = true;
	p->lost = false;
	p->waiting = 0;
	p->busy_until = 0;
	p->busy_delay = 0;
	p->full_until = 0;
	p->walk = true;
	collect_lost(p->maint);
	maint_kick(p->maint);
}

static void peer_down(struct maint_peer *p)
{
	if (!p->up)
		return;
	p->up = false;
	p->down_since = env_now(p->maint->env);
	maint_kick(p->maint);
}

static void connect_peer(struct maint_peer *p)
{
	if (p->peer == NULL)
		p->peer = peer_find(cluster_peers(p->maint->cluster), &p->id);
	if (p->peer == NULL)
		return;
	if (peer_state(p->peer) == PEER_UP)
		peer_up(p);
	else if (peer_state(p->peer) == PEER_DOWN && peer_usable(p->peer))
		peer_connect(p->peer);
}

static void probed(struct peer_call *call)
{
	struct maint_peer *p = call->ctx;

	/* No answer took the connection down, which is told by itself. */
	p->probing = false;
	if (call->err < 0)
		peer_down(p);
}

static void probe(struct maint_peer *p)
{
	if (p->probing || !p->up)
		return;
	memset(&p->probe, 0, sizeof(p->probe));
	p->probe.type = WIRE_PING;
	p->probe.timeout_ns = PROBE_TIMEOUT;
	p->probe.done = probed;
	p->probe.ctx = p;
	p->probing = true;
	peer_call(p->peer, &p->probe);
}

void members_alive(struct maint *m, const struct uuid *id, bool alive)
{
	struct maint_peer *p = members_find(m, id);

	if (p == NULL)
		return;
	if (alive)
		connect_peer(p);
	else
		probe(p);
}

void members_changed(struct maint *m, struct peer *peer, int err)
{
	struct maint_peer *p = members_find(m, peer_id(peer));

	if (p == NULL)
		return;
	p->peer = peer;
	if (err == 0)
		peer_up(p);
	else
		peer_down(p);
}

static struct maint_peer *member_get(struct maint *m, const struct uuid *id)
{
	struct maint_peer *p = members_find(m, id);

	if (p != NULL || uuid_equal(id, members_self(m)))
		return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->maint = m;
	p->id = *id;
	p->down_since = env_now(m->env);
	list_add_tail(&p->node, &m->peers);
	return p;
}

/* It has left both rings: nobody waits for it. */
static void leave(struct maint_peer *p)
{
	if (p->probing)
		peer_call_cancel(&p->probe);
	p->probing = false;
	if (p->peer != NULL)
		peer_disconnect(p->peer);
	p->up = false;
}

static bool in_ring(const struct ring *ring, const struct uuid *id)
{
	return ring != NULL && ring_change_has(ring_spec(ring), id);
}

static void sync_ring(struct maint *m, const struct ring *ring, bool current)
{
	const struct ring_spec *spec;
	struct maint_peer *p;
	uint32_t i;

	if (ring == NULL)
		return;
	spec = ring_spec(ring);
	for (i = 0; i < spec->member_count; i++) {
		p = member_get(m, &spec->members[i].peer);
		if (p == NULL)
			continue;
		p->current |= current;
		connect_peer(p);
	}
}

void members_sync(struct maint *m)
{
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node) {
		p->current = false;
		if (!in_ring(m->ring, &p->id) && !in_ring(m->previous, &p->id))
			leave(p);
	}
	sync_ring(m, m->ring, true);
	sync_ring(m, m->previous, false);
	collect_lost(m);
}

void members_turn(struct maint *m)
{
	uint64_t now = env_now(m->env), grace = m->cfg.recovery_grace_ns;
	struct maint_peer *p;

	list_for_each_entry(p, &m->peers, node) {
		if (p->current && p->peer == NULL) {
			connect_peer(p);
			maint_wake_at(m, now + ADDRESS_AGAIN);
		}
		if (p->up || p->lost)
			continue;
		if (now - p->down_since >= grace)
			peer_lost(p);
		else
			maint_wake_at(m, p->down_since + grace);
	}
	collect_lost(m);
}

void members_init(struct maint *m)
{
	list_init(&m->peers);
}

void members_release(struct maint *m)
{
	struct maint_peer *p, *next;

	list_for_each_entry_safe(p, next, &m->peers, node) {
		if (p->probing)
			peer_call_cancel(&p->probe);
		free(p);
	}
	list_init(&m->peers);
}
