// SPDX-License-Identifier: Apache-2.0
/*
 * The end of recovery: one transaction that says where the old log ends and
 * declares a fresh tail, by a ring that it compares as well, and then SEAL to
 * the stores. From the transaction on
 * the metadata decide the lengths; SEAL only tells those who are there, so its
 * failures are of no consequence here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "volume/recover.h"
#include "volume/sealed.h"

/*
 * The log goes on in chunk @next. Where it ended inside a listed chunk, or
 * before the first block of one that an entry leads to, that entry is turned
 * to @next; otherwise the last chunk gets an entry.
 */
static int end_log_at(struct attach *a, struct volume_doc *doc, uint64_t next)
{
	const struct walk *w = &a->walk;
	struct sealed_chunk last = { w->chunk, w->block, w->end_crc, next };
	struct sealed_chunk *s;

	/* What was sealed at and after the end of a log that lost its end, or
	 * whose end was no use, is not part of it any more. */
	if (w->truncated || (w->block == 0 && w->listed))
		sealed_keep(doc, 0, w->chunk);
	s = sealed_find(doc, w->chunk);
	if (!s && w->block == 0 && w->listed)
		s = sealed_leading_to(doc, w->chunk);
	if (s) {
		s->next = next;
		return 0;
	}
	if (w->chunk == next)
		return 0;		/* an empty log begins here */
	if (sealed_put(doc, &last))
		return error_set(-EUCLEAN,
				 "volume %s: its list of sealed chunks is full (%u)",
				 doc->name, SEALED_MAX);
	return 0;
}

/* Returns whether an attempt was made up. */
static bool make_attempt(struct attach *a)
{
	struct volume *v = a->volume;
	uint32_t members;
	int err;

	a->attempt = v->doc;
	members = tail_declare(v, &a->attempt);
	if (members < v->min_replicas) {
		attach_wait(a, -ETIMEDOUT,
			    "volume %s: only %u of the peers in the ring are healthy, and %u copies are needed",
			    v->doc.name, members, v->min_replicas);
		return false;
	}
	err = end_log_at(a, &a->attempt, a->attempt.tail.first);
	if (err) {
		attach_fail(a, err, "%s", error_text(err));
		return false;
	}
	free(a->attempt_json);
	a->attempt_json = volume_doc_encode(&a->attempt);
	a->ring_revision = cluster_ring_revision(v->cluster);
	if (!a->attempt_json)
		attach_fail(a, -ENOMEM, "out of memory");
	return a->attempt_json;
}

static void published(struct attach *a, const struct volume_doc *doc,
		      int64_t revision)
{
	struct volume *v = a->volume;

	v->doc = *doc;
	v->doc.mod_revision = revision;
	tail_begin_end(v);
	a->item = 0;
	a->phase = ATTACH_SEAL;
	attach_progress(a);
	attach_kick(a);
}

/*
 * The value is as it was. If the transaction was answered, it is the ring that
 * has moved on: read it, and declare the tail again.
 */
static void not_applied(struct attach *a)
{
	struct volume *v = a->volume;

	if (!a->rejected) {
		attach_kick(a);
		return;
	}
	cluster_reload_ring(v->cluster);
	attach_wait(a, -ETIMEDOUT,
		    "volume %s: the ring changes again and again", v->doc.name);
}

/*
 * Attempts differ in who is excluded, and an earlier one may have landed: what
 * counts is what is there.
 */
static void value_reread(void *ctx, int err, int64_t revision,
			 const struct meta_kv *kv)
{
	struct attach *a = ctx;
	struct volume *v = a->volume;
	struct volume_doc now;

	(void)revision;
	a->meta_busy = false;
	if (err) {
		attach_wait(a, err, "volume %s: cannot read the metadata: %s",
			    v->doc.name, error_text(err));
		return;
	}
	a->must_read = false;
	if (kv && kv->mod_revision == v->doc.mod_revision) {
		not_applied(a);
		return;
	}
	if (kv && !volume_doc_decode(kv->key, kv->value, &now) &&
	    now.epoch == v->epoch && now.tail.first == a->attempt.tail.first) {
		published(a, &now, kv->mod_revision);
		return;
	}
	attach_fail(a, -ESTALE, "volume %s: somebody else has attached it in the meantime",
		    v->doc.name);
}

static void publish_answered(void *ctx, int err, bool succeeded,
			     int64_t revision)
{
	struct attach *a = ctx;

	a->meta_busy = false;
	if (!err && succeeded) {
		published(a, &a->attempt, revision);
		return;
	}
	a->must_read = true;
	a->rejected = !err;
	if (err)
		attach_wait(a, err, "volume %s: cannot write the metadata: %s",
			    a->volume->doc.name, error_text(err));
	else
		attach_kick(a);
}

void publish_step(struct attach *a)
{
	struct volume *v = a->volume;
	struct meta_txn txn = { .compare_count = 2, .put_count = 1 };
	char key[META_KEY_MAX], ring[META_KEY_MAX];
	int err;

	if (a->meta_busy || (!a->must_read && !make_attempt(a)))
		return;
	key_volume(&cluster_doc(v->cluster)->id, v->doc.name, key);
	key_ring(&cluster_doc(v->cluster)->id, ring);
	txn.compare[0] = (struct meta_compare){ key, v->doc.mod_revision };
	txn.compare[1] = (struct meta_compare){ ring, a->ring_revision };
	txn.put[0] = (struct meta_put){ key, a->attempt_json, 0 };
	if (a->must_read)
		err = metacall_get(&v->metacalls, key, value_reread, a);
	else
		err = metacall_txn(&v->metacalls, &txn, publish_answered, a);
	a->meta_busy = !err;
	if (err)
		attach_fail(a, err, "out of memory");
}

/* ---- SEAL -------------------------------------------------------------------- */

static void seal_answered(struct peer_call *call)
{
	struct attach_peer *p = call->ctx;
	struct attach *a = p->attach;
	const struct settle_item *item = &a->items[a->item];

	a->seals_pending--;
	if (attach_peer_answer(p) && !attach_is_over(a))
		log_info("volume %s: peer %s has not sealed chunk %" PRIu64 " (%s); repair will",
			 a->volume->doc.name, peer_address(p->peer),
			 item->chunk, call->err ? strerror(-call->err) :
			 wire_status_text(call->status));
}

static void send_seals(struct attach *a, const struct settle_item *item)
{
	struct volume *v = a->volume;
	struct wire_seal body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(item->chunk),
		.epoch = cpu_to_le64(v->epoch),
		.length = cpu_to_le32(item->length),
		.end_crc = cpu_to_le32(item->end_crc),
	};

	for (uint32_t i = 0; i < a->peer_count; i++) {
		struct attach_peer *p = &a->peers[i];

		if (!item->holder[i] || !attach_peer_ready(p))
			continue;
		a->seals_pending++;
		attach_peer_call(p, WIRE_SEAL, &body, seal_answered);
	}
}

/* One chunk after the other; every call ends by its own timeout. */
void seal_step(struct attach *a)
{
	while (!a->seals_pending && a->item < a->item_count) {
		if (a->item_begun) {
			a->item++;
			a->item_begun = false;
			continue;
		}
		a->item_begun = true;
		send_seals(a, &a->items[a->item]);
	}
	if (!a->seals_pending) {
		a->phase = ATTACH_OVER;
		env_timer_cancel(a->volume->env, &a->step);
		env_timer_cancel(a->volume->env, &a->retry);
		attach_done(a->volume, 0);
	}
}
