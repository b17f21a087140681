// SPDX-License-Identifier: Apache-2.0
/*
 * Claiming a volume: one transaction that writes our attachment and the next
 * epoch, if nobody else holds the attachment (or we may take it).
 *
 * The transaction compares mod_revision. After an ambiguous answer the value
 * is read again; it is ours if it names our epoch and our incarnation. A
 * delayed transaction that lands later can only be our own claim, since any
 * other change of the value makes its compare fail.
 *
 * An attachment of this very machine, of an earlier boot, is no obstacle: but
 * two machines that were cloned with their machine-id look just like that, and
 * one would take the volume from the other without a word. So the owner's lease
 * is looked at: one that was left by the boot before ends within its time, and
 * one that is kept alive has an owner. It only delays or refuses; it never opens
 * the door.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "volume/recover.h"

/* A lease that nobody keeps alive is over by then. */
#define ENDED_WITHIN_NS	((LEASE_TTL_S + 15) * NSEC_PER_SEC)

static void claim_won(struct attach *a, const struct volume_doc *doc)
{
	struct volume *v = a->volume;

	v->doc = *doc;
	v->epoch = doc->epoch;
	v->min_replicas = v->cfg.min_replicas ? v->cfg.min_replicas :
						doc->replication / 2 + 1;
	a->claimed = true;
	if (volume_open_reader(v)) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	attach_progress(a);
	fence_start(a);
	a->phase = ATTACH_FENCE;
}

static bool is_ours(const struct attach *a, const struct volume_doc *doc)
{
	return a->attempt_json && doc->epoch == a->attempt.epoch &&
	       doc->attachment.present &&
	       uuid_equal(&doc->attachment.incarnation,
			  &a->attempt.attachment.incarnation) &&
	       doc->attachment.pid == a->attempt.attachment.pid;
}

/* A torusd that recovers what nobody uses makes way for those who do. */
static bool makes_way(const struct volume *v, const struct attachment *held)
{
	return strcmp(held->device, ATTACHMENT_MAINTENANCE) == 0 &&
	       (strcmp(v->cfg.attachment.device, held->device) != 0 ||
		v->cfg.from_maintenance || v->cfg.force);
}

/* The machine that had it was booted since: nothing of that is left there. */
static bool ended_with_its_boot(const struct volume *v,
				const struct attachment *held)
{
	const struct attachment *ours = &v->cfg.attachment;

	return !uuid_is_null(&held->machine) && !uuid_is_null(&held->boot) &&
	       !uuid_is_null(&ours->boot) &&
	       strcmp(held->host, ours->host) == 0 &&
	       uuid_equal(&held->machine, &ours->machine) &&
	       !uuid_equal(&held->boot, &ours->boot);
}

/* Held by an earlier boot of this machine, as far as the value tells. */
static bool seems_ended(const struct volume *v, const struct volume_doc *doc)
{
	const struct attachment *held = &doc->attachment;

	return held->present && !v->cfg.force && !makes_way(v, held) &&
	       !uuid_equal(&held->incarnation,
			   &v->cfg.attachment.incarnation) &&
	       ended_with_its_boot(v, held);
}

/* 0: may be claimed; else the error, with its sentence. */
static int may_claim(const struct volume *v, const struct volume_doc *doc)
{
	const struct attachment *held = &doc->attachment;
	const struct attachment *ours = &v->cfg.attachment;
	bool same = held->present && !uuid_is_null(&ours->incarnation) &&
		    uuid_equal(&held->incarnation, &ours->incarnation);

	if (v->cfg.surviving && !same)
		return error_set(-ESTALE,
				 "volume %s has been attached elsewhere since %s was left (%s%s): the device cannot go on",
				 doc->name, ours->device,
				 held->present ? "now by host " : "now by nobody",
				 held->present ? held->host : "");
	if (v->cfg.min_replicas > doc->replication)
		return error_set(-EINVAL,
				 "volume %s has %u copies: fewer than the %u that must be there for a write",
				 doc->name, doc->replication,
				 v->cfg.min_replicas);
	if (held->present && !same && !v->cfg.force && !makes_way(v, held) &&
	    !ended_with_its_boot(v, held))
		return error_set(-EBUSY,
				 "volume %s is attached as %s on host %s (process %" PRIu64 "); detach it there, or take it over with --force (nbdkit: force=true)",
				 doc->name, held->device, held->host, held->pid);
	return 0;
}

/*
 * The attachment that a takeover by the same incarnation replaces keeps its
 * device; everything else comes from the configuration.
 */
static void fill_attempt(struct attach *a, const struct volume_doc *doc)
{
	a->attempt = *doc;
	a->attempt.epoch = doc->epoch + 1;
	a->attempt.attachment = a->volume->cfg.attachment;
	a->attempt.attachment.present = true;
	a->attempt.attachment.read_only = a->volume->cfg.read_only;
	if (!a->attempt.attachment.since_ms)
		a->attempt.attachment.since_ms =
			env_realtime(a->volume->env) / NSEC_PER_MSEC;
}

static void claim_answered(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct attach *a = ctx;

	a->meta_busy = false;
	if (!err && succeeded) {
		a->attempt.mod_revision = revision;
		claim_won(a, &a->attempt);
		attach_kick(a);
		return;
	}
	a->must_read = true;
	if (err)
		attach_wait(a, err, "volume %s: cannot attach: %s",
			    a->volume->cfg.name, error_text(err));
	else
		attach_kick(a);		/* changed under us: read again */
}

static void send_claim(struct attach *a, const struct volume_doc *doc)
{
	struct volume *v = a->volume;
	char key[META_KEY_MAX];
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };

	fill_attempt(a, doc);
	free(a->attempt_json);
	a->attempt_json = volume_doc_encode(&a->attempt);
	key_volume(&cluster_doc(v->cluster)->id, v->cfg.name, key);
	txn.compare[0] = (struct meta_compare){ key, doc->mod_revision };
	txn.put[0] = (struct meta_put){ key, a->attempt_json, 0 };
	if (!a->attempt_json ||
	    metacall_txn(&v->metacalls, &txn, claim_answered, a)) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	a->meta_busy = true;
}

/* ---- an earlier boot --------------------------------------------------------- */

static void owner_stands(struct attach *a)
{
	struct volume *v = a->volume;
	uint64_t now = env_now(v->env);

	if (!a->ended_until)
		a->ended_until = now + ENDED_WITHIN_NS;
	/* This has an end of its own, which a short I/O timeout does not cut. */
	attach_progress(a);
	if (now < a->ended_until)
		attach_wait(a, -EBUSY, "volume %s: the lease of the last owner, of an earlier boot of this machine, has not ended yet",
			    v->cfg.name);
	else
		attach_fail(a, -EBUSY, "volume %s is attached by another machine that has the name %s and the machine-id of this one, and is alive: one of them is a clone of the other, and has to get a machine-id of its own; detach the volume there, or take it over with --force (nbdkit: force=true)",
			    v->cfg.name, v->cfg.attachment.host);
}

static void owner_looked(void *ctx, int err, int64_t revision,
			 const struct meta_kv *kv)
{
	struct attach *a = ctx;

	(void)revision;
	a->meta_busy = false;
	a->must_read = true;
	if (err) {
		attach_wait(a, err, "volume %s: cannot read the metadata: %s",
			    a->volume->cfg.name, error_text(err));
	} else if (kv) {
		owner_stands(a);
	} else {
		a->ended_revision = a->looked_revision;
		attach_kick(a);
	}
}

static void look_for_owner(struct attach *a, const struct volume_doc *doc)
{
	struct volume *v = a->volume;
	char key[META_KEY_MAX];

	key_owner(&cluster_doc(v->cluster)->id, doc->id, key);
	a->looked_revision = doc->mod_revision;
	if (metacall_get(&v->metacalls, key, owner_looked, a))
		attach_fail(a, -ENOMEM, "out of memory");
	else
		a->meta_busy = true;
}

static void consider(struct attach *a, struct volume_doc *doc)
{
	int err;

	if (is_ours(a, doc)) {
		claim_won(a, doc);
		attach_kick(a);
		return;
	}
	err = may_claim(a->volume, doc);
	if (err)
		attach_fail(a, err, "%s", error_text(err));
	else if (seems_ended(a->volume, doc) &&
		 a->ended_revision != doc->mod_revision)
		look_for_owner(a, doc);
	else
		send_claim(a, doc);
}

static void value_read(void *ctx, int err, int64_t revision,
		       const struct meta_kv *kv)
{
	struct attach *a = ctx;
	struct volume_doc doc;

	(void)revision;
	a->meta_busy = false;
	if (err) {
		attach_wait(a, err, "volume %s: cannot read the metadata: %s",
			    a->volume->cfg.name, error_text(err));
		return;
	}
	if (!kv) {
		attach_fail(a, -ENOENT,
			    "there is no volume '%s'; 'torusctl volume list' shows those that exist",
			    a->volume->cfg.name);
		return;
	}
	err = volume_doc_decode(kv->key, kv->value, &doc);
	if (err) {
		attach_fail(a, err, "%s", error_text(err));
		return;
	}
	doc.mod_revision = kv->mod_revision;
	a->must_read = false;
	consider(a, &doc);
}

void claim_step(struct attach *a)
{
	struct volume *v = a->volume;
	char key[META_KEY_MAX];

	if (a->meta_busy || !a->must_read)
		return;
	key_volume(&cluster_doc(v->cluster)->id, v->cfg.name, key);
	if (metacall_get(&v->metacalls, key, value_read, a)) {
		attach_fail(a, -ENOMEM, "out of memory");
		return;
	}
	a->meta_busy = true;
}

/* ---- fenced -------------------------------------------------------------- */

/*
 * The value names us and our epoch, and yet a peer has seen a higher one: the
 * value comes from an older backup. To go on would be to write chunks anew
 * that exist.
 */
static void went_back(struct attach *a)
{
	struct volume *v = a->volume;
	char seen[64] = "it as deleted";

	if (a->fenced_epoch != UINT64_MAX)
		snprintf(seen, sizeof(seen), "epoch %" PRIu64,
			 a->fenced_epoch);
	attach_fail(a, -EUCLEAN,
		    "volume %s: the metadata store is older than the data of the peers: it came to epoch %" PRIu64 " with this attachment, but %s has seen %s; 'torusctl recover --force' brings what the peers know into it",
		    v->doc.name, v->epoch, a->fenced_by, seen);
}

static void owner_read(void *ctx, int err, int64_t revision,
		       const struct meta_kv *kv)
{
	struct attach *a = ctx;
	struct volume *v = a->volume;
	struct volume_doc doc;

	(void)revision;
	a->meta_busy = false;
	if (err) {
		attach_wait(a, err, "volume %s: %s has seen a higher epoch than %" PRIu64 ", and the metadata store does not say whose: %s",
			    v->doc.name, a->fenced_by, v->epoch,
			    error_text(err));
		return;
	}
	if (!kv)
		attach_fail(a, -ESTALE, "volume %s has been deleted meanwhile",
			    v->doc.name);
	else if (volume_doc_decode(kv->key, kv->value, &doc))
		attach_fail(a, -ESTALE, "%s", error_text(-ESTALE));
	else if (is_ours(a, &doc))
		went_back(a);
	else
		attach_fail(a, -ESTALE, "volume %s was taken over by %s%s while it was being attached (epoch %" PRIu64 ")",
			    v->doc.name,
			    doc.attachment.present ? "host " : "somebody",
			    doc.attachment.present ? doc.attachment.host : "",
			    doc.epoch);
}

/* The next step comes with the answer, or after a failure with the retry. */
void claim_recheck(struct attach *a)
{
	struct volume *v = a->volume;
	char key[META_KEY_MAX];

	if (a->meta_busy)
		return;
	key_volume(&cluster_doc(v->cluster)->id, v->doc.name, key);
	if (metacall_get(&v->metacalls, key, owner_read, a))
		attach_fail(a, -ENOMEM, "out of memory");
	else
		a->meta_busy = true;
}

/* ---- undo ---------------------------------------------------------------- */

static void release_ignored(void *ctx, int err, bool succeeded,
			    int64_t revision)
{
	(void)ctx;
	(void)revision;
	if (err || !succeeded)
		log_warning("the attachment of a failed attempt remains in the metadata; 'torusctl detach VOLUME --force' clears it");
}

/*
 * Nothing was served under this claim, so the attachment may go at once. The
 * call belongs to nobody: the volume may be freed before its answer.
 */
void claim_release(struct attach *a)
{
	struct volume *v = a->volume;
	char key[META_KEY_MAX];
	struct meta_txn txn = { .compare_count = 1, .put_count = 1 };
	struct volume_doc doc = v->doc;
	char *json;

	memset(&doc.attachment, 0, sizeof(doc.attachment));
	json = volume_doc_encode(&doc);
	if (!json)
		return;
	key_volume(&cluster_doc(v->cluster)->id, doc.name, key);
	txn.compare[0] = (struct meta_compare){ key, doc.mod_revision };
	txn.put[0] = (struct meta_put){ key, json, 0 };
	v->meta->ops->txn(v->meta, &txn, release_ignored, NULL);
	free(json);
}
