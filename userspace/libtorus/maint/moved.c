// SPDX-License-Identifier: Apache-2.0
/*
 * When the previous ring may be forgotten.
 *
 * Each store that has walked all it holds by the current ring, and has settled
 * what the walk found, says so under its own key. Chunks that are sealed later
 * lie where the current ring has them: waiting for those too would never end
 * while somebody writes. Whoever then sees that
 * every member of both rings has said so takes the previous ring out of the
 * document, unless the log of a volume may still end under it. A member that is
 * not in the current ring, and has no document any more, was removed for good:
 * nobody waits for it.
 *
 *	put moved/SELF -> list moved/ -> get ring -> list volumes/ -> put ring
 *
 * What does not come to its end is tried again, less and less often.
 */
#include "maint/private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "meta/schema.h"

#define AGAIN_MIN	(5 * NSEC_PER_SEC)
#define AGAIN_MAX	(600 * NSEC_PER_SEC)

/* The ring's document while it is being edited. */
struct moved_edit {
	struct maint *maint;
	int64_t revision;
	struct ring_doc ring;
};

static void later(struct maint *m)
{
	struct moved *v = &m->moved;

	v->busy = false;
	v->not_before = env_now(m->env) + v->delay;
	v->delay = MIN(2 * v->delay, AGAIN_MAX);
	maint_wake_at(m, v->not_before);
}

static const struct uuid *cluster_id(const struct maint *m)
{
	return &cluster_doc(m->cluster)->id;
}

/* ---- the previous ring goes -------------------------------------------------- */

static void forgotten(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct maint *m = ctx;

	if (err == 0 && succeeded)
		log_info("ring version %" PRIu64 ": every peer has what it should have, the ring before is forgotten",
			 m->ring_version);
	later(m);
}

/* Recovery of a volume needs the ring that its tail names. */
static bool tails_are_current(const struct moved_edit *e, const struct meta_kv *kv,
			      size_t count)
{
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	size_t i;

	if (doc == NULL)
		return false;
	for (i = 0; i < count; i++) {
		if (volume_doc_decode(kv[i].key, kv[i].value, doc) < 0)
			return false;
		if (doc->tail.last != 0 && doc->tail.first <= doc->tail.last &&
		    doc->tail.ring_version < e->ring.current.version)
			return false;
	}
	return true;
}

static void got_volumes(void *ctx, int err, int64_t revision,
			const struct meta_kv *kv, size_t count)
{
	struct moved_edit *e = ctx;
	CLEANUP_FREE char *text = NULL;
	struct maint *m = e->maint;
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };
	char key[META_KEY_MAX];

	if (err < 0 || !tails_are_current(e, kv, count)) {
		moved_release(m);
		later(m);
		return;
	}
	e->ring.has_previous = false;
	text = ring_doc_encode(&e->ring);
	key_ring(cluster_id(m), key);
	txn.compare[0] = (struct meta_compare){ .key = key,
						.mod_revision = e->revision };
	txn.put[0] = (struct meta_put){ .key = key, .value = text };
	moved_release(m);
	if (text == NULL || metacall_txn(&m->calls, &txn, forgotten, m) < 0)
		later(m);
}

static void got_ring(void *ctx, int err, int64_t revision,
		     const struct meta_kv *kv)
{
	struct maint *m = ctx;
	struct moved_edit *e = calloc(1, sizeof(*e));
	char prefix[META_KEY_MAX];

	if (e == NULL || err < 0 || kv == NULL ||
	    ring_doc_decode(kv->key, kv->value, &e->ring) < 0 ||
	    e->ring.current.version != m->ring_version ||
	    !e->ring.has_previous) {
		free(e);
		later(m);
		return;
	}
	e->maint = m;
	e->revision = kv->mod_revision;
	m->moved.edit = e;
	key_prefix(cluster_id(m), "volumes", prefix);
	if (metacall_list(&m->calls, prefix, got_volumes, e) < 0) {
		moved_release(m);
		later(m);
	}
}

/* ---- who has moved ------------------------------------------------------------- */

static bool has_moved(const struct maint *m, const struct uuid *id,
		      const struct meta_kv *kv, size_t count)
{
	char key[META_KEY_MAX];
	uint64_t ring;
	size_t i;

	if (uuid_equal(id, members_self(m)))
		return true;
	key_moved(cluster_id(m), id, key);
	for (i = 0; i < count; i++)
		if (strcmp(kv[i].key, key) == 0)
			return moved_decode(key, kv[i].value, &ring) == 0 &&
			       ring >= m->ring_version;
	return false;
}

struct search {
	const struct uuid *id;
	bool found;
};

static void see_peer(void *ctx, const struct peer_doc *doc, bool alive)
{
	struct search *s = ctx;

	s->found |= uuid_equal(&doc->id, s->id);
}

static bool is_gone(const struct maint *m, const struct uuid *id)
{
	struct search s = { .id = id };

	cluster_for_each_peer(m->cluster, see_peer, &s);
	return !s.found;
}

static bool all_moved(const struct maint *m, const struct meta_kv *kv,
		      size_t count)
{
	const struct ring_spec *spec = ring_spec(m->ring);
	uint32_t i;

	for (i = 0; i < spec->member_count; i++)
		if (!has_moved(m, &spec->members[i].peer, kv, count))
			return false;
	spec = ring_spec(m->previous);
	for (i = 0; i < spec->member_count; i++)
		if (!has_moved(m, &spec->members[i].peer, kv, count) &&
		    !is_gone(m, &spec->members[i].peer))
			return false;
	return true;
}

static void got_moved(void *ctx, int err, int64_t revision,
		      const struct meta_kv *kv, size_t count)
{
	struct maint *m = ctx;
	char key[META_KEY_MAX];

	if (err < 0 || m->previous == NULL ||
	    m->moved.told != m->ring_version || !all_moved(m, kv, count)) {
		later(m);
		return;
	}
	key_ring(cluster_id(m), key);
	if (metacall_get(&m->calls, key, got_ring, m) < 0)
		later(m);
}

static void look_around(struct maint *m)
{
	char prefix[META_KEY_MAX];

	key_prefix(cluster_id(m), "moved", prefix);
	if (metacall_list(&m->calls, prefix, got_moved, m) < 0)
		later(m);
}

/* ---- so have we ---------------------------------------------------------------- */

static void told(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct maint *m = ctx;

	if (err < 0 || m->moved.telling != m->ring_version) {
		later(m);
		return;
	}
	m->moved.told = m->moved.telling;
	look_around(m);
}

static void tell(struct maint *m)
{
	CLEANUP_FREE char *text = moved_encode(m->ring_version);
	struct meta_txn txn = { .put_count = 1 };
	char key[META_KEY_MAX];

	key_moved(cluster_id(m), members_self(m), key);
	txn.put[0] = (struct meta_put){ .key = key, .value = text };
	m->moved.telling = m->ring_version;
	if (text == NULL || metacall_txn(&m->calls, &txn, told, m) < 0)
		later(m);
}

static bool have_moved(const struct maint *m)
{
	return m->walk.done_version == m->ring_version && !walk_pending(m) &&
	       m->walked == 0 && members_all_up(m);
}

void moved_turn(struct maint *m)
{
	struct moved *v = &m->moved;

	if (m->previous == NULL || v->busy)
		return;
	if (v->told != m->ring_version && !have_moved(m))
		return;
	if (env_now(m->env) < v->not_before) {
		maint_wake_at(m, v->not_before);
		return;
	}
	v->busy = true;
	if (v->told == m->ring_version)
		look_around(m);
	else
		tell(m);
}

/* Another ring: nobody has moved yet. */
void moved_reset(struct maint *m)
{
	m->moved.delay = AGAIN_MIN;
	m->moved.not_before = 0;
}

/* A list of volumes that is under way takes the edit with it. */
void moved_release(struct maint *m)
{
	free(m->moved.edit);
	m->moved.edit = NULL;
}
