// SPDX-License-Identifier: Apache-2.0
#include "volume/readrepair.h"

#include <string.h>

#include "base/hash.h"

#define AGAIN_NS	(600 * NSEC_PER_SEC)
#define PAUSE_NS	(100 * NSEC_PER_MSEC)
#define CALL_TIMEOUT_NS	(3 * NSEC_PER_SEC)

static void check_answered(struct peer_call *call)
{
	struct readrepair_call *c = call->ctx;

	c->active = false;
	/* It does not know yet: the next read that finds it tells it again. */
	if (call->err || call->status == WIRE_EBUSY)
		c->repair->told[c->told].when = 0;
}

void readrepair_init(struct readrepair *repair, struct env *env)
{
	memset(repair, 0, sizeof(*repair));
	repair->env = env;
	for (uint32_t i = 0; i < READREPAIR_CALLS; i++)
		repair->call[i].repair = repair;
}

void readrepair_release(struct readrepair *repair)
{
	for (uint32_t i = 0; i < READREPAIR_CALLS; i++) {
		if (repair->call[i].active)
			peer_call_cancel(&repair->call[i].call);
		repair->call[i].active = false;
	}
}

/* The place of (peer, chunk) among those told; others may share it. */
static uint32_t told_index(const struct uuid *peer, uint64_t volume,
			   uint64_t chunk)
{
	uint64_t half[2];

	memcpy(half, peer->byte, sizeof(half));
	return (uint32_t)(hash_u64_pair(hash_u64_pair(half[0], volume), chunk) %
			  READREPAIR_TOLD);
}

static bool knows(const struct readrepair_told *told, const struct uuid *peer,
		  uint64_t volume, uint64_t chunk, uint64_t now)
{
	return told->when != 0 && told->volume == volume &&
	       told->chunk == chunk && uuid_equal(&told->peer, peer) &&
	       now < told->when + AGAIN_NS;
}

static struct readrepair_call *free_call(struct readrepair *repair)
{
	for (uint32_t i = 0; i < READREPAIR_CALLS; i++)
		if (!repair->call[i].active)
			return &repair->call[i];
	return NULL;
}

static void tell(struct readrepair_call *c, struct peer *peer, uint64_t volume,
		 uint64_t chunk)
{
	const struct wire_check body = {
		.volume = cpu_to_le64(volume), .chunk = cpu_to_le64(chunk),
		.flags = cpu_to_le32(WIRE_CHECK_VERIFY),
	};

	c->active = true;
	c->repair->sent++;
	c->call = (struct peer_call){
		.type = WIRE_CHECK, .body = &body,
		.timeout_ns = CALL_TIMEOUT_NS, .done = check_answered, .ctx = c,
	};
	peer_call(peer, &c->call);
}

void readrepair_note(struct readrepair *repair, struct cluster *cluster,
		     const struct uuid *id, uint64_t volume, uint64_t chunk)
{
	uint32_t index = told_index(id, volume, chunk);
	struct readrepair_call *call = free_call(repair);
	struct peer *peer = peer_find(cluster_peers(cluster), id);
	uint64_t now = env_now(repair->env);

	if (knows(&repair->told[index], id, volume, chunk, now) ||
	    now < repair->next_at || call == NULL || peer == NULL ||
	    peer_state(peer) != PEER_UP)
		return;
	repair->next_at = now + PAUSE_NS;
	repair->told[index] = (struct readrepair_told){
		.peer = *id, .volume = volume, .chunk = chunk, .when = now,
	};
	call->told = index;
	tell(call, peer, volume, chunk);
}
