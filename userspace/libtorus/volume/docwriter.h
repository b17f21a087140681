/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one writer of the volume's value in the metadata store. Changes queue;
 * one transaction is in flight; each compares the value's mod_revision. After
 * an ambiguous answer the value is read again before anything else is sent.
 */
#ifndef TORUS_VOLUME_DOCWRITER_H
#define TORUS_VOLUME_DOCWRITER_H

#include <stdbool.h>

#include "base/list.h"
#include "env/env.h"
#include "meta/meta.h"
#include "meta/schema.h"

struct volume;

/* Memory is the caller's until done(), or until docwriter_cancel(). */
struct doc_change {
	/*
	 * Make the change to @doc, a copy of the newest committed value that
	 * may hold earlier changes of the same batch. Called again if the
	 * value turns out to be newer: it must not have other effects than
	 * ones that may be overwritten. An error leaves @doc as it was and
	 * ends the change with done(err).
	 */
	int (*apply)(struct doc_change *change, struct volume_doc *doc);
	/* 0: committed, v->doc has it. Does not come when the volume fails. */
	void (*done)(struct doc_change *change, int err);
	void *ctx;
	/* What apply() does depends on the current ring: it is committed only
	 * if the metadata store still has that one, else made again. */
	bool ring;
	struct list_head node;		/* private */
	int err;			/* private */
};

struct docwriter {
	struct list_head waiting, batch, refused;
	struct volume_doc *attempt;	/* what the transaction holds */
	char *attempt_json;
	bool in_flight;
	bool ambiguous;			/* read before the next attempt */
	bool rejected;			/* the last answer was: not applied */
	bool recheck;			/* asked for by docwriter_recheck() */
	int64_t ring_revision;		/* that the attempt compares; 0 = none */
	uint64_t backoff_ns;
	struct env_timer retry;
	char key[META_KEY_MAX];
};

int docwriter_init(struct volume *v);
void docwriter_release(struct volume *v);

/** docwriter_submit() - queue a change; done() comes from the loop. It is
 * retried until it is committed or the volume fails. */
void docwriter_submit(struct volume *v, struct doc_change *change);

/** docwriter_run() - from the turn: send what waits. */
void docwriter_run(struct volume *v);

/** docwriter_recheck() - somebody's transaction that compared v->doc was
 * rejected: find out what the value is now, and whether we are fenced. */
void docwriter_recheck(struct volume *v);

/** docwriter_rechecking() - v->doc is not known to be newer since then. */
bool docwriter_rechecking(const struct volume *v);

/** docwriter_idle() - nothing queued or in flight. */
bool docwriter_idle(const struct volume *v);

#endif
