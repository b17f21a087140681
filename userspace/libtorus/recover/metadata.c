// SPDX-License-Identifier: Apache-2.0
/*
 * What the metadata store has, and what it gets.
 *
 * An empty one gets everything. One that holds this cluster in an older state
 * gets what the stores know better: a volume of which a store has seen a higher
 * epoch, chunk or root than its document says. All others stay as they are, so
 * that a cluster which is well comes out unchanged.
 *
 * Each key is put only if it is as it was read. The cluster's own key comes
 * last: without it nobody uses the others, and the command can be repeated.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "recover/internal.h"

void recover_forget_metadata(struct recover *r)
{
	for (size_t i = 0; i < r->entry_count; i++) {
		free(r->entries[i].key);
		free(r->entries[i].value);
	}
	free(r->entries);
	r->entries = NULL;
	r->entry_count = 0;
}

/* ---- calls ------------------------------------------------------------------------ */

struct answer {
	struct recover *r;
	bool done;
	int err;
	bool succeeded;
	char text[RECOVER_TEXT_MAX];
};

static void answered(struct answer *a, int err)
{
	a->err = err;
	if (err)
		snprintf(a->text, sizeof(a->text), "%s", error_text(err));
	recover_wake(a->r, &a->done);
}

static int finish(struct answer *a)
{
	int err = a->r->cfg.wait(a->r->cfg.ctx, &a->done);

	if (!err && a->err)
		err = error_set(a->err, "%s", a->text);
	return err;
}

static int keep_entries(struct recover *r, const struct meta_kv *kv,
			size_t count)
{
	struct meta_entry *entries = calloc(count + 1, sizeof(*entries));

	r->entries = entries;
	for (size_t i = 0; entries && i < count; i++) {
		entries[i].key = strdup(kv[i].key);
		entries[i].value = strdup(kv[i].value);
		entries[i].revision = kv[i].mod_revision;
		r->entry_count = i + 1;
		if (!entries[i].key || !entries[i].value)
			entries = NULL;
	}
	return entries ? 0 : error_set(-ENOMEM, "out of memory");
}

static void listed(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv, size_t count)
{
	struct answer *a = ctx;

	answered(a, err ? err : keep_entries(a->r, kv, count));
}

static int read_all(struct recover *r)
{
	struct answer a = { .r = r };

	recover_forget_metadata(r);
	r->meta->ops->list(r->meta, "torus/", listed, &a);
	return finish(&a);
}

static void committed(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct answer *a = ctx;

	a->succeeded = succeeded;
	answered(a, err);
}

static int commit(struct recover *r, const struct meta_txn *txn)
{
	struct answer a = { .r = r };
	int err;

	r->meta->ops->txn(r->meta, txn, committed, &a);
	err = finish(&a);
	if (!err && !a.succeeded)
		return error_set(-EAGAIN, "somebody else writes into the metadata store, too; repeat the command");
	return err;
}

static const struct meta_entry *entry_of(const struct recover *r,
					 const char *key)
{
	for (size_t i = 0; i < r->entry_count; i++)
		if (strcmp(r->entries[i].key, key) == 0)
			return &r->entries[i];
	return NULL;
}

static int64_t revision_of(const struct recover *r, const char *key)
{
	const struct meta_entry *e = entry_of(r, key);

	return e ? e->revision : 0;
}

/* ---- comparing ------------------------------------------------------------------------ */

static int check_cluster(struct recover *r)
{
	const struct meta_entry *e = entry_of(r, KEY_CLUSTER);
	struct cluster_doc doc;
	char id[UUID_TEXT_SIZE], ours[UUID_TEXT_SIZE];
	int err;

	r->has_cluster = e != NULL;
	if (!e)
		return 0;
	err = cluster_doc_decode(e->key, e->value, &doc);
	if (err)
		return err;
	uuid_format(&doc.id, id);
	uuid_format(&r->cluster, ours);
	if (!uuid_equal(&doc.id, &r->cluster))
		return error_set(-EPERM, "the metadata store holds cluster %s, and the peers belong to %s: name another metadata store with --meta",
				 id, ours);
	return 0;
}

static int refuse_same(const struct recover *r)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&r->cluster, id);
	if (!recover_changes(r) && !recover_refused(r))
		return error_set(-EEXIST, "the metadata store holds this very cluster (%s), and knows all that these peers know: there is nothing to recover",
				 id);
	return error_set(-EEXIST, "the metadata store holds this very cluster (%s), in an older state than the peers know: --force brings what they know better into it, and leaves the rest as it is",
			 id);
}

static bool find_doc(const struct recover *r, uint64_t id,
		     struct volume_doc *doc)
{
	char prefix[META_KEY_MAX];

	key_prefix(&r->cluster, "volumes", prefix);
	for (size_t i = 0; i < r->entry_count; i++) {
		const struct meta_entry *e = &r->entries[i];

		if (strncmp(e->key, prefix, strlen(prefix)) == 0 &&
		    !volume_doc_decode(e->key, e->value, doc) &&
		    doc->id == id)
			return true;
	}
	return false;
}

static bool stores_are_ahead(const struct recover *r,
			     const struct recover_volume *v,
			     const struct volume_doc *doc)
{
	const struct recover_seen *seen = &r->seen[v - r->volumes];

	return seen->epoch > doc->epoch || seen->chunk_max >= doc->next_chunk ||
	       seen->root > MAX(doc->root.addr, doc->root_floor) ||
	       (v->state == RECOVER_GOOD &&
		v->doc.root.sequence > doc->root.sequence &&
		!doc->attachment.present);
}

/*
 * A key that a helper alive keeps there, unless it comes from the same old
 * backup: then the stores have seen a later epoch than its owner's.
 */
static bool is_owned(const struct recover *r, const struct recover_volume *v)
{
	const struct meta_entry *e;
	char key[META_KEY_MAX];
	const char *epoch;

	key_owner(&r->cluster, v->id, key);
	e = entry_of(r, key);
	epoch = e ? strstr(e->value, "\"epoch\":") : NULL;
	return e && (!epoch || strtoull(epoch + strlen("\"epoch\":"), NULL,
					10) >= r->seen[v - r->volumes].epoch);
}

static int decide(struct recover *r, struct recover_volume *v)
{
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	char key[META_KEY_MAX];
	bool found;

	if (!doc)
		return error_set(-ENOMEM, "out of memory");
	if (r->only && r->only != v->id)
		return 0;
	key_tombstone(&r->cluster, v->id, key);
	found = find_doc(r, v->id, doc);
	if (entry_of(r, key)) {
		v->action = RECOVER_NONE;
		v->state = RECOVER_DELETED;
	} else if (v->state == RECOVER_DELETED) {
		v->action = RECOVER_BURY;
	} else if (v->state == RECOVER_NOTHING) {
		v->action = found ? RECOVER_KEEP : RECOVER_NONE;
	} else if (found && !r->only && !stores_are_ahead(r, v, doc)) {
		v->action = RECOVER_KEEP;
	} else {
		v->action = RECOVER_WRITE;
		if (found)
			v->epoch = MAX(v->epoch, doc->epoch);
		if (is_owned(r, v))
			return error_set(-EBUSY, "volume %s is in use by a helper or nbdkit that is alive; end it, wait 30 s, and repeat",
					 v->doc.name);
	}
	return 0;
}

static int decide_ring(struct recover *r)
{
	CLEANUP_FREE struct ring_doc *ring = malloc(sizeof(*ring));
	const struct meta_entry *e;
	char key[META_KEY_MAX];
	int err = 0;

	if (!ring)
		return error_set(-ENOMEM, "out of memory");
	key_ring(&r->cluster, key);
	e = entry_of(r, key);
	r->write_ring = !e;
	if (e) {
		err = ring_doc_decode(e->key, e->value, ring);
		if (!err && r->ring.remembered)
			r->write_ring = r->ring.doc.current.version >
					ring->current.version;
	}
	return err;
}

static int decide_next(struct recover *r)
{
	const struct meta_entry *e;
	char key[META_KEY_MAX];
	int err = 0;

	key_next_volume(&r->cluster, key);
	e = entry_of(r, key);
	r->next_volume = 1;
	if (e)
		err = counter_decode(e->key, e->value, &r->next_volume);
	for (uint32_t i = 0; i < r->volume_count; i++)
		r->next_volume = MAX(r->next_volume, r->volumes[i].id + 1);
	return err;
}

int recover_compare(struct recover *r, struct meta *meta, bool same)
{
	int err;

	r->meta = meta;
	err = read_all(r);
	if (!err)
		err = check_cluster(r);
	for (uint32_t i = 0; i < r->volume_count && !err; i++)
		err = decide(r, &r->volumes[i]);
	if (!err && !r->only)
		err = decide_ring(r);
	if (!err)
		err = decide_next(r);
	/* Only now, so that it can be shown what would be done. */
	if (r->has_cluster && !same && (!err || err == -EBUSY))
		err = refuse_same(r);
	r->compared = !err;
	return err;
}

uint32_t recover_changes(const struct recover *r)
{
	uint32_t count = r->write_ring + !r->has_cluster;

	for (uint32_t i = 0; i < r->volume_count; i++)
		count += r->volumes[i].action == RECOVER_WRITE ||
			 r->volumes[i].action == RECOVER_BURY;
	return count;
}

/* ---- writing -------------------------------------------------------------------------- */

struct writing {
	struct recover *r;
	struct meta_txn txn;
	char key[META_TXN_MAX][META_KEY_MAX];
	char *value[META_TXN_MAX];
	int err;
};

/* @value: from malloc, or NULL to delete. The next key's buffer is filled. */
static void put(struct writing *w, char *value, bool remove)
{
	int i = w->txn.put_count;

	if (!value && !remove)
		w->err = error_set(-ENOMEM, "out of memory");
	w->value[i] = value;
	w->txn.compare[i] = (struct meta_compare){
		w->key[i], revision_of(w->r, w->key[i]) };
	w->txn.put[i] = (struct meta_put){ w->key[i], value, 0 };
	w->txn.put_count++;
	w->txn.compare_count++;
}

static char *next_key(struct writing *w)
{
	return w->key[w->txn.put_count];
}

/* A key that is deleted now is not in anybody's way any more. */
static void forget_entry(struct recover *r, const char *key)
{
	for (size_t i = 0; i < r->entry_count; i++)
		if (strcmp(r->entries[i].key, key) == 0)
			r->entries[i].key[0] = '\0';
}

static int flush(struct writing *w)
{
	int err = w->err;

	if (!err && w->txn.put_count)
		err = commit(w->r, &w->txn);
	for (int i = 0; i < w->txn.put_count; i++) {
		if (!err && !w->value[i])
			forget_entry(w->r, w->key[i]);
		free(w->value[i]);
	}
	memset(&w->txn, 0, sizeof(w->txn));
	w->err = 0;
	return err;
}

/* Another volume has the name by now, and keeps it. */
static void settle_name(struct recover *r, struct recover_volume *v,
			struct volume_doc *other)
{
	const struct meta_entry *e;
	char key[META_KEY_MAX];

	key_volume(&r->cluster, v->doc.name, key);
	e = entry_of(r, key);
	if (!e || volume_doc_decode(e->key, e->value, other) ||
	    other->id == v->id)
		return;
	snprintf(v->note, sizeof(v->note), "its name was %s, which another volume has",
		 v->doc.name);
	snprintf(v->doc.name, sizeof(v->doc.name), "recovered-%016" PRIx64,
		 v->id);
}

static void put_volume(struct writing *w, struct recover_volume *v)
{
	v->doc.epoch = MAX(v->doc.epoch, v->epoch);
	key_volume(&w->r->cluster, v->doc.name, next_key(w));
	put(w, volume_doc_encode(&v->doc), false);
	key_volume_id(&w->r->cluster, v->id, next_key(w));
	put(w, name_encode(v->doc.name), false);
}

static void bury(struct writing *w, struct recover_volume *v,
		 struct volume_doc *doc)
{
	bool found = find_doc(w->r, v->id, doc);

	key_tombstone(&w->r->cluster, v->id, next_key(w));
	put(w, name_encode(found ? doc->name : "deleted"), false);
	if (!found)
		return;
	key_volume(&w->r->cluster, doc->name, next_key(w));
	put(w, NULL, true);
	key_volume_id(&w->r->cluster, v->id, next_key(w));
	put(w, NULL, true);
}

static int write_volumes(struct writing *w)
{
	CLEANUP_FREE struct volume_doc *doc = malloc(sizeof(*doc));
	struct recover *r = w->r;
	int err = doc ? 0 : error_set(-ENOMEM, "out of memory");

	for (uint32_t i = 0; i < r->volume_count && !err; i++) {
		struct recover_volume *v = &r->volumes[i];

		if (v->action == RECOVER_WRITE && v->state == RECOVER_GOOD)
			settle_name(r, v, doc);
		if (v->action == RECOVER_WRITE && v->state == RECOVER_GOOD)
			put_volume(w, v);
		else if (v->action == RECOVER_BURY)
			bury(w, v, doc);
		err = flush(w);
	}
	return err;
}

/* Versions that were seen are not used again. */
static void put_ring(struct writing *w)
{
	struct ring_doc *ring = &w->r->ring.doc;

	if (w->r->ring.remembered)
		ring->current.version++;
	key_ring(&w->r->cluster, next_key(w));
	put(w, ring_doc_encode(ring), false);
}

int recover_write(struct recover *r)
{
	CLEANUP_FREE struct writing *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return error_set(-ENOMEM, "out of memory");
	w->r = r;
	err = write_volumes(w);
	if (err)
		return err;
	if (r->write_ring)
		put_ring(w);
	key_next_volume(&r->cluster, next_key(w));
	put(w, counter_encode(r->next_volume), false);
	if (!r->has_cluster) {
		snprintf(next_key(w), META_KEY_MAX, "%s", KEY_CLUSTER);
		put(w, cluster_doc_encode(&r->cluster_doc), false);
	}
	return flush(w);
}
