// SPDX-License-Identifier: Apache-2.0
/*
 * FENCE to every peer that is known. A peer counts in recovery only after it
 * has answered: from then on its copies cannot grow under the old epoch.
 *
 * Everybody gets a grace of one replica timeout; those whose answer is needed
 * for a chunk are waited for in the walk, where it is known who they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/recover.h"

/*
 * A store that knows of something newer than the metadata store means that the
 * metadata store went back in time. Going on would reuse chunk numbers.
 */
static void check_reply(struct attach_peer *p,
			const struct wire_fence_reply *reply)
{
	struct volume *v = p->attach->volume;
	uint64_t chunk_max = le64_to_cpu(reply->chunk_max);
	uint64_t root = le64_to_cpu(reply->root);
	const char *what = NULL;

	if (chunk_max >= v->doc.next_chunk)
		what = "a chunk that was never declared";
	else if (root > MAX(v->doc.root.addr, v->doc.root_floor))
		what = "a newer root";
	if (what)
		attach_fail(p->attach, -EUCLEAN,
			    "volume %s: peer %s has seen %s (chunk %" PRIu64 ", root %" PRIx64 ") than the metadata store, which must have been set back; 'torusctl recover --force' brings what the peers know into it",
			    v->doc.name, peer_address(p->peer), what, chunk_max,
			    root);
}

static void fence_done(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;

	if (attach_peer_answer(p))
		return;
	p->fenced = true;
	attach_progress(p->attach);
	check_reply(p, call->reply);
}

static void fence_send(struct attach_peer *p)
{
	struct volume *v = p->attach->volume;
	struct wire_fence body = {
		.volume = cpu_to_le64(v->doc.id),
		.epoch = cpu_to_le64(v->epoch),
	};

	attach_peer_call(p, WIRE_FENCE, &body, fence_done);
}

struct gather {
	struct attach *attach;
	uint32_t room;
};

static void count_peer(void *ctx, const struct peer_doc *doc, bool alive)
{
	struct gather *g = ctx;

	(void)doc;
	(void)alive;
	g->room++;
}

static void add_peer(void *ctx, const struct peer_doc *doc, bool alive)
{
	struct gather *g = ctx;
	struct attach *a = g->attach;
	struct peer *peer = peer_find(cluster_peers(a->volume->cluster),
				      &doc->id);
	struct attach_peer *p;

	(void)alive;
	if (!peer || a->peer_count == g->room)
		return;
	p = &a->peers[a->peer_count++];
	p->attach = a;
	p->peer = peer;
	p->id = doc->id;
}

/*
 * A volume that was never written has nothing to fence, and no peer has to
 * exist for the claim to stand; yet its first epoch is fenced like any other.
 */
void fence_start(struct attach *a)
{
	struct volume *v = a->volume;
	struct gather g = { a, 0 };

	cluster_for_each_peer(v->cluster, count_peer, &g);
	a->peers = calloc(g.room + 1, sizeof(*a->peers));
	if (!a->peers) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	cluster_for_each_peer(v->cluster, add_peer, &g);
	a->grace_until = env_now(v->env) + v->cfg.replica_timeout_ns;
	fence_retry(a);
}

void fence_retry(struct attach *a)
{
	for (uint32_t i = 0; i < a->peer_count; i++)
		if (!a->peers[i].fenced && attach_peer_ready(&a->peers[i]))
			fence_send(&a->peers[i]);
}

void fence_step(struct attach *a)
{
	uint32_t fenced = 0, undecided = 0;

	if (attach_is_over(a))
		return;
	for (uint32_t i = 0; i < a->peer_count; i++) {
		fenced += a->peers[i].fenced;
		undecided += a->peers[i].busy && !a->peers[i].fenced;
	}
	if (undecided && env_now(a->volume->env) < a->grace_until) {
		attach_wait(a, -ETIMEDOUT, "volume %s: peers do not answer",
			    a->volume->doc.name);
		return;
	}
	if (fenced || !a->peer_count) {
		a->phase = ATTACH_ROOT;
		return;
	}
	attach_wait(a, -ETIMEDOUT,
		    "volume %s: none of the %u peers answers; 'torusctl peer list' shows where they should be",
		    a->volume->doc.name, a->peer_count);
}
