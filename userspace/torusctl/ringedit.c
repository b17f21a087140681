// SPDX-License-Identifier: Apache-2.0
#include "ringedit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define CHANGE_TRIES 16

const struct ctl_peer *ringedit_find(const struct ctl_peer *peers, size_t count,
				     const char *what)
{
	struct uuid id;
	bool by_id = uuid_parse(what, &id) == 0;

	for (size_t i = 0; i < count; i++)
		if (by_id ? uuid_equal(&peers[i].doc.id, &id) :
			    strcmp(peers[i].doc.address, what) == 0)
			return &peers[i];
	error_set(-ENOENT, "no peer has the address or uuid '%s'; 'torusctl peer list' shows all",
		  what);
	return NULL;
}

/*
 * The store keeps two rings. A tail that names the previous one would not be
 * understood after the change.
 */
static int check_tails(struct ctl *ctl, const struct ring_spec *current)
{
	struct volume_doc *volumes;
	size_t count;
	int err = ctl_volumes(ctl, &volumes, &count);

	if (err)
		return err;
	for (size_t i = 0; !err && i < count; i++) {
		const struct tail *t = &volumes[i].tail;

		if (t->last && t->first <= t->last &&
		    t->ring_version < current->version)
			err = error_set(-EBUSY, "the log of volume '%s' may still end under ring version %" PRIu64 "; attach it (a volume that is attached moves on by itself in a moment), then repeat",
					volumes[i].name, t->ring_version);
	}
	free(volumes);
	return err;
}

static int write_ring(struct ctl *ctl, const struct ring_doc *ring,
		      int64_t revision)
{
	CLEANUP_FREE char *text = ring_doc_encode(ring);
	char key[META_KEY_MAX];
	struct meta_txn txn = {
		.compare = { { key, revision } }, .compare_count = 1,
		.put = { { key, text, 0 } }, .put_count = 1,
	};

	if (!text)
		return error_set(-ENOMEM, "out of memory");
	key_ring(&ctl->cluster.id, key);
	return ctl_txn(ctl, &txn);
}

static bool is_same(const struct ring_spec *a, const struct ring_spec *b)
{
	return a->type == b->type && a->replication == b->replication &&
	       a->member_count == b->member_count &&
	       memcmp(a->members, b->members,
		      a->member_count * sizeof(a->members[0])) == 0;
}

static int change_once(struct ctl *ctl, ringedit_fn edit, void *ctx,
		       struct ring_doc *ring)
{
	struct ring *check;
	int64_t revision;
	int err = ctl_ring_get(ctl, ring, &revision);

	if (!err)
		err = check_tails(ctl, &ring->current);
	if (err)
		return err;
	ring->previous = ring->current;
	ring->has_previous = true;
	err = edit(ctl, &ring->current, ctx);
	/* The ring before this one is worth more than a copy of this one. */
	if (err || is_same(&ring->previous, &ring->current))
		return err;
	ring->current.version = ring->previous.version + 1;
	err = ring_create(&ring->current, &check);
	if (err)
		return err;
	ring_free(check);
	return write_ring(ctl, ring, revision);
}

int ringedit_change(struct ctl *ctl, ringedit_fn edit, void *ctx)
{
	CLEANUP_FREE struct ring_doc *ring = malloc(sizeof(*ring));
	int err = -EAGAIN;

	if (!ring)
		return error_set(-ENOMEM, "out of memory");
	for (int i = 0; err == -EAGAIN && i < CHANGE_TRIES; i++)
		err = change_once(ctl, edit, ctx, ring);
	return err;
}
