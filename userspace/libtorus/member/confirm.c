// SPDX-License-Identifier: Apache-2.0
/*
 * A tombstone lists the peers that have nothing of the volume any more. Each
 * adds itself, comparing the key's revision; when the list holds every peer
 * that is registered now, the tombstone is removed instead. Peers that were
 * removed from the cluster are not waited for; one that comes later has never
 * had anything of the volume.
 *
 *   get the tombstone -> list the peers -> put the longer list, or delete
 *    ^                                          |
 *    +---- somebody else was faster ------------+
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "member/private.h"

struct confirm {
	struct list_head node;		/* confirming.waiting */
	struct member *member;
	uint64_t volume;
	char key[META_KEY_MAX];
	struct tombstone_doc doc;
	int64_t revision;
	bool all;			/* the transaction removes it */
};

static void next(struct member *m);

bool confirmed_by(const struct tombstone_doc *doc, const struct uuid *peer)
{
	uint32_t i;

	for (i = 0; i < doc->confirmed_count; i++)
		if (uuid_equal(&doc->confirmed[i], peer))
			return true;
	return false;
}

static void finish(struct confirm *c)
{
	struct member *m = c->member;

	list_del_init(&c->node);
	free(c);
	m->confirming.busy = false;
	retry_reset(&m->confirming.retry);
	next(m);
}

/* The metadata store is away: later, after the others. */
static void later(struct confirm *c)
{
	struct member *m = c->member;

	list_move_tail(&c->node, &m->confirming.waiting);
	m->confirming.busy = false;
	retry_later(&m->confirming.retry);
}

static void written(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct confirm *c = ctx;
	struct member *m = c->member;

	if (m->stopping)
		return;
	if (err < 0) {
		later(c);
	} else if (!succeeded) {
		m->confirming.busy = false;
		next(m);
	} else {
		if (c->all)
			log_info("volume %016" PRIx64 ": every peer has confirmed that it is gone",
				 c->volume);
		finish(c);
	}
}

static void write_back(struct confirm *c)
{
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };
	struct meta *meta = c->member->meta;
	CLEANUP_FREE char *text = c->all ? NULL : tombstone_doc_encode(&c->doc);

	if (!c->all && text == NULL) {
		later(c);
		return;
	}
	txn.compare[0] = (struct meta_compare){ c->key, c->revision };
	txn.put[0] = (struct meta_put){ c->key, text, 0 };
	meta->ops->txn(meta, &txn, written, c);
}

static bool everybody(const struct tombstone_doc *doc,
		      const struct meta_kv *kv, size_t count)
{
	const char *name;
	struct uuid peer;
	size_t i;

	for (i = 0; i < count; i++) {
		name = strrchr(kv[i].key, '/');
		if (name == NULL || uuid_parse(name + 1, &peer) < 0 ||
		    !confirmed_by(doc, &peer))
			return false;
	}
	return count > 0;
}

static void peers_listed(void *ctx, int err, int64_t revision,
			 const struct meta_kv *kv, size_t count)
{
	struct confirm *c = ctx;
	struct tombstone_doc *doc = &c->doc;
	const struct uuid *self;
	bool ours;

	if (c->member->stopping)
		return;
	if (err < 0) {
		later(c);
		return;
	}
	self = store_peer(c->member->store);
	ours = confirmed_by(doc, self);
	if (!ours && doc->confirmed_count < RING_MEMBERS_MAX)
		doc->confirmed[doc->confirmed_count++] = *self;
	c->all = everybody(doc, kv, count);
	if (ours && !c->all)
		finish(c);
	else
		write_back(c);
}

static void got(void *ctx, int err, int64_t revision, const struct meta_kv *kv)
{
	struct confirm *c = ctx;
	struct member *m = c->member;
	char prefix[META_KEY_MAX];

	if (m->stopping)
		return;
	if (err < 0) {
		later(c);
		return;
	}
	if (kv == NULL) {
		finish(c);
		return;
	}
	if (tombstone_doc_decode(kv->key, kv->value, &c->doc) < 0) {
		log_warning("%s", error_text(-EBADMSG));
		finish(c);
		return;
	}
	c->revision = kv->mod_revision;
	key_prefix(&m->cfg.cluster.id, "peers", prefix);
	m->meta->ops->list(m->meta, prefix, peers_listed, c);
}

static void next(struct member *m)
{
	struct confirm *c;

	if (m->stopping || m->confirming.busy ||
	    list_empty(&m->confirming.waiting))
		return;
	c = list_first_entry(&m->confirming.waiting, struct confirm, node);
	m->confirming.busy = true;
	m->meta->ops->get(m->meta, c->key, got, c);
}

static void try_again(struct env_timer *timer)
{
	struct retry *retry = container_of(timer, struct retry, timer);
	struct confirming *c = container_of(retry, struct confirming, retry);

	next(container_of(c, struct member, confirming));
}

void confirming_add(struct member *m, uint64_t volume)
{
	struct confirm *c;

	list_for_each_entry(c, &m->confirming.waiting, node)
		if (c->volume == volume)
			return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return;		/* the next look brings it again */
	c->member = m;
	c->volume = volume;
	key_tombstone(&m->cfg.cluster.id, volume, c->key);
	list_add_tail(&c->node, &m->confirming.waiting);
	next(m);
}

void confirming_start(struct member *m)
{
	retry_init(&m->confirming.retry, m->env, try_again);
	list_init(&m->confirming.waiting);
}

void confirming_release(struct member *m)
{
	struct confirm *c, *tmp;

	list_for_each_entry_safe(c, tmp, &m->confirming.waiting, node)
		free(c);
	list_init(&m->confirming.waiting);
}
