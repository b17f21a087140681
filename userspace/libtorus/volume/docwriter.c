// SPDX-License-Identifier: Apache-2.0
/*
 * A batch of changes becomes one attempt: a whole new value. The attempt is
 * sent, unchanged, until it is known to be committed or known to be impossible:
 * an earlier copy of it may land late, and then it must be recognised as ours.
 *
 * After anything but a clear success the value is read again:
 *
 *   unchanged since our last commit      -> send the same attempt again; but
 *     make it again if it was rejected: then the ring has another revision
 *   equal to the attempt in all we own   -> it was committed
 *   equal to our last commit in all we own, but newer (somebody changed a
 *   field that is not ours)              -> make the changes again on top
 *   another epoch or attachment          -> we are fenced
 *   anything else                        -> conflict: the volume fails
 *
 * A late copy of an attempt can land only while the value is unchanged, since
 * it compares the same mod_revision; so each of these answers is final. One
 * that compares the ring is dead once the ring's key has moved on.
 *
 * A recheck is the same reading without an attempt. An attempt that is under
 * way makes it needless: it ends in a commit, or in reading as well.
 */
#include "volume/docwriter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "volume/internal.h"

#define BACKOFF_MIN (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX (5 * NSEC_PER_SEC)

static void retry_fired(struct env_timer *timer);

int docwriter_init(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;

	list_init(&dw->waiting);
	list_init(&dw->batch);
	list_init(&dw->refused);
	env_timer_init(&dw->retry, retry_fired);
	dw->attempt = calloc(1, sizeof(*dw->attempt));
	return dw->attempt == NULL ? -ENOMEM : 0;
}

void docwriter_release(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;

	env_timer_cancel(v->env, &dw->retry);
	free(dw->attempt);
	free(dw->attempt_json);
	dw->attempt = NULL;
	dw->attempt_json = NULL;
}

void docwriter_submit(struct volume *v, struct doc_change *change)
{
	change->err = 0;
	list_add_tail(&change->node, &v->docwriter.waiting);
	volume_kick(v);
}

void docwriter_recheck(struct volume *v)
{
	v->docwriter.recheck = true;
	volume_kick(v);
}

bool docwriter_rechecking(const struct volume *v)
{
	return v->docwriter.recheck;
}

bool docwriter_idle(const struct volume *v)
{
	const struct docwriter *dw = &v->docwriter;

	return list_empty(&dw->waiting) && list_empty(&dw->batch) &&
	       list_empty(&dw->refused);
}

static void retry_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, docwriter.retry));
}

static void retry_later(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;

	dw->backoff_ns = MIN(MAX(dw->backoff_ns * 2, BACKOFF_MIN), BACKOFF_MAX);
	env_timer_after(v->env, &dw->retry, dw->backoff_ns);
}

/* Ends the changes that apply() refused. */
static void refuse(struct docwriter *dw)
{
	struct doc_change *change;

	while (!list_empty(&dw->refused)) {
		change = list_first_entry(&dw->refused, struct doc_change, node);
		list_del_init(&change->node);
		change->done(change, change->err);
	}
}

static void drop_attempt(struct docwriter *dw)
{
	free(dw->attempt_json);
	dw->attempt_json = NULL;
}

static void committed(struct volume *v, const struct volume_doc *doc,
		      int64_t mod_revision)
{
	struct docwriter *dw = &v->docwriter;
	struct list_head batch;
	struct doc_change *change;

	v->doc = *doc;
	v->doc.mod_revision = mod_revision;
	dw->backoff_ns = 0;
	dw->ambiguous = false;
	dw->recheck = false;
	drop_attempt(dw);
	list_init(&batch);
	list_splice_tail_init(&dw->batch, &batch);
	while (!list_empty(&batch)) {
		change = list_first_entry(&batch, struct doc_change, node);
		list_del_init(&change->node);
		change->done(change, 0);
	}
	volume_kick(v);
}

static bool same_tail(const struct tail *a, const struct tail *b)
{
	return a->first == b->first && a->last == b->last &&
	       a->ring_version == b->ring_version &&
	       a->excluded_count == b->excluded_count &&
	       memcmp(a->excluded, b->excluded,
		      a->excluded_count * sizeof(a->excluded[0])) == 0;
}

static bool same_sealed(const struct volume_doc *a, const struct volume_doc *b)
{
	uint32_t i;

	if (a->sealed_count != b->sealed_count)
		return false;
	for (i = 0; i < a->sealed_count; i++)
		if (a->sealed[i].chunk != b->sealed[i].chunk ||
		    a->sealed[i].length != b->sealed[i].length ||
		    a->sealed[i].end_crc != b->sealed[i].end_crc ||
		    a->sealed[i].next != b->sealed[i].next)
			return false;
	return true;
}

/* Equal in everything that only the attached writer may change. */
static bool same_log(const struct volume_doc *a, const struct volume_doc *b)
{
	return a->id == b->id && a->epoch == b->epoch &&
	       a->attachment.present == b->attachment.present &&
	       uuid_equal(&a->attachment.incarnation,
			  &b->attachment.incarnation) &&
	       a->next_chunk == b->next_chunk &&
	       a->root.addr == b->root.addr && a->root.crc == b->root.crc &&
	       a->root.sequence == b->root.sequence &&
	       same_tail(&a->tail, &b->tail) && same_sealed(a, b);
}

static bool ours(const struct volume *v, const struct volume_doc *doc)
{
	return doc->id == v->doc.id && doc->epoch == v->epoch &&
	       doc->attachment.present &&
	       uuid_equal(&doc->attachment.incarnation,
			  &v->doc.attachment.incarnation);
}

static void say_fenced(struct volume *v, const struct volume_doc *doc)
{
	if (doc->attachment.present)
		volume_fail(v, VOLUME_FENCED,
			    "volume %s was taken over by %s (epoch %llu, ours was %llu)",
			    v->doc.name, doc->attachment.host,
			    (unsigned long long)doc->epoch,
			    (unsigned long long)v->epoch);
	else
		volume_fail(v, VOLUME_FENCED,
			    "the attachment of volume %s was removed by somebody else",
			    v->doc.name);
}

/* The attempt can never be committed: its changes are made again. */
static void start_over(struct docwriter *dw)
{
	drop_attempt(dw);
	list_splice_tail_init(&dw->waiting, &dw->batch);
	list_splice_tail_init(&dw->batch, &dw->waiting);
}

/* The value is as it was, and the attempt is not in it. */
static void not_applied(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;

	if (list_empty(&dw->batch) || !dw->rejected ||
	    dw->ring_revision == 0) {
		volume_kick(v);
		return;
	}
	log_info("volume %s: the ring has changed: declaring the tail again",
		 v->doc.name);
	start_over(dw);
	cluster_reload_ring(v->cluster);
	retry_later(v);
}

/* What the value in the store, read after a doubt, means. */
static void judge(struct volume *v, const struct volume_doc *doc)
{
	struct docwriter *dw = &v->docwriter;

	if (!list_empty(&dw->batch) && same_log(doc, dw->attempt)) {
		committed(v, doc, doc->mod_revision);
	} else if (!ours(v, doc)) {
		say_fenced(v, doc);
	} else if (same_log(doc, &v->doc)) {
		v->doc = *doc;
		start_over(dw);
		volume_kick(v);
	} else {
		volume_fail(v, VOLUME_META_CONFLICT,
			    "the value of volume %s in the metadata store was changed by somebody else",
			    v->doc.name);
	}
}

static void read_done(void *ctx, int err, int64_t revision,
		      const struct meta_kv *kv)
{
	struct volume *v = ctx;
	struct docwriter *dw = &v->docwriter;
	struct volume_doc *doc;

	dw->in_flight = false;
	if (v->failing)
		return;
	if (err) {
		retry_later(v);
		return;
	}
	if (kv == NULL) {
		volume_fail(v, VOLUME_META_CONFLICT,
			    "volume %s does not exist in the metadata store any more",
			    v->doc.name);
		return;
	}
	doc = calloc(1, sizeof(*doc));
	if (doc == NULL) {
		retry_later(v);
		return;
	}
	err = volume_doc_decode(dw->key, kv->value, doc);
	doc->mod_revision = kv->mod_revision;
	dw->ambiguous = false;
	dw->recheck = false;
	if (err)
		volume_fail(v, VOLUME_META_CONFLICT, "%s", error_text(err));
	else if (kv->mod_revision == v->doc.mod_revision)
		not_applied(v);
	else
		judge(v, doc);
	free(doc);
}

static void txn_done(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct volume *v = ctx;
	struct docwriter *dw = &v->docwriter;

	dw->in_flight = false;
	if (v->failing)
		return;
	if (!err && succeeded) {
		committed(v, dw->attempt, revision);
		return;
	}
	dw->ambiguous = true;
	dw->rejected = !err;
	if (err) {
		log_warning("volume %s: metadata: %s", v->doc.name,
			    error_text(err));
		retry_later(v);
	} else {
		volume_kick(v);
	}
}

/* Makes one attempt of all that waits. */
static int prepare(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;
	struct doc_change *change;

	*dw->attempt = v->doc;
	dw->ring_revision = 0;
	while (!list_empty(&dw->waiting)) {
		change = list_first_entry(&dw->waiting, struct doc_change, node);
		change->err = change->apply(change, dw->attempt);
		list_move_tail(&change->node,
			       change->err ? &dw->refused : &dw->batch);
		if (!change->err && change->ring)
			dw->ring_revision = cluster_ring_revision(v->cluster);
	}
	if (list_empty(&dw->batch))
		return 0;
	dw->attempt_json = volume_doc_encode(dw->attempt);
	return dw->attempt_json == NULL ? -ENOMEM : 0;
}

static int send_attempt(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;
	char ring[META_KEY_MAX];
	struct meta_txn txn;

	memset(&txn, 0, sizeof(txn));
	txn.compare[0].key = dw->key;
	txn.compare[0].mod_revision = v->doc.mod_revision;
	txn.compare_count = 1;
	if (dw->ring_revision != 0) {
		key_ring(&cluster_doc(v->cluster)->id, ring);
		txn.compare[1].key = ring;
		txn.compare[1].mod_revision = dw->ring_revision;
		txn.compare_count = 2;
	}
	txn.put[0].key = dw->key;
	txn.put[0].value = dw->attempt_json;
	txn.put_count = 1;
	return metacall_txn(&v->metacalls, &txn, txn_done, v);
}

static int send(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;

	if (dw->ambiguous || list_empty(&dw->batch))
		return metacall_get(&v->metacalls, dw->key, read_done, v);
	return dw->attempt_json == NULL ? -ENOMEM : send_attempt(v);
}

void docwriter_run(struct volume *v)
{
	struct docwriter *dw = &v->docwriter;
	int err = 0;

	refuse(dw);
	if (!volume_serving(v) || dw->in_flight ||
	    env_timer_armed(&dw->retry))
		return;
	if (dw->key[0] == '\0')
		key_volume(&cluster_doc(v->cluster)->id, v->doc.name, dw->key);
	if (list_empty(&dw->batch) && !dw->recheck)
		err = prepare(v);
	else if (!list_empty(&dw->batch) && dw->attempt_json == NULL)
		dw->attempt_json = volume_doc_encode(dw->attempt);
	refuse(dw);
	if (list_empty(&dw->batch) && !dw->recheck)
		return;
	if (!err)
		err = send(v);
	if (err)
		retry_later(v);
	else
		dw->in_flight = true;
}
