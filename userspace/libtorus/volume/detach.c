// SPDX-License-Identifier: Apache-2.0
/*
 * Detaching. Each state waits for something that others do; detach_run() looks
 * whether it has come. If nothing moves for io_timeout detaching fails: what
 * was flushed is safe, the attachment stays, and the next attach recovers.
 *
 * A checkpoint that cannot be made does not stop us: the log alone is enough. Nor
 * does one for which the peers have no room, when their reserve is used up.
 */
#include "volume/detach.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "volume/internal.h"

static int release_apply(struct doc_change *change, struct volume_doc *doc);
static void release_done(struct doc_change *change, int err);
static void flushed(struct sync_wait *wait);
static void deadline_fired(struct env_timer *timer);

void detach_init(struct volume *v)
{
	v->detach.change.apply = release_apply;
	v->detach.change.done = release_done;
	v->detach.change.ctx = v;
	v->detach.wait.done = flushed;
	v->detach.wait.ctx = v;
	env_timer_init(&v->detach.deadline, deadline_fired);
}

void detach_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->detach.deadline);
}

/* Grows whenever something moves; a change of the ensemble alone does not, or
 * peers that fail each time would keep us here for ever. */
static uint64_t progress(const struct volume *v)
{
	return v->stats.records + v->durable + v->detach.state;
}

static void arm(struct volume *v, uint64_t ns)
{
	v->detach.progress = progress(v);
	env_timer_after(v->env, &v->detach.deadline, ns);
}

static void over(struct volume *v, int err)
{
	v->detach.state = DETACH_OVER;
	v->detach.err = err;
	env_timer_cancel(v->env, &v->detach.deadline);
	lease_stop(v);
	volume_kick(v);
}

void detach_start(struct volume *v, volume_done_fn done, void *ctx)
{
	v->detach.done = done;
	v->detach.ctx = ctx;
	v->detach.state = DETACH_DRAIN;
	arm(v, v->cfg.io_timeout_ns);
	volume_kick(v);
}

void detach_stop(struct volume *v, int err)
{
	if (v->detach.state != DETACH_NONE && v->detach.state != DETACH_OVER)
		over(v, err);
}

static void deadline_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, detach.deadline);

	if (v->detach.state == DETACH_SETTLE)
		over(v, 0);
	else if (progress(v) != v->detach.progress)
		arm(v, v->cfg.io_timeout_ns);
	else
		over(v, -ETIMEDOUT);
}

static int release_apply(struct doc_change *change, struct volume_doc *doc)
{
	struct volume *v = change->ctx;
	struct volume_doc before = *doc;
	int err = tail_seal(v, doc, doc->next_chunk);

	if (err) {
		*doc = before;
		return err;
	}
	memset(&doc->tail, 0, sizeof(doc->tail));
	doc->tail.first = 1;
	doc->tail.last = 0;
	memset(&doc->attachment, 0, sizeof(doc->attachment));
	return 0;
}

/* The volume is free. The SEALs, the DELETEs of what the last root freed and the
 * end of the lease are a courtesy: etcd has decided L, stores find garbage by
 * themselves in time, and a lease ends by itself. */
static void release_done(struct doc_change *change, int err)
{
	struct volume *v = change->ctx;

	if (err) {
		over(v, err);
		return;
	}
	tail_sealed(v);
	lease_stop(v);
	v->detach.state = DETACH_SETTLE;
	arm(v, 2 * v->cfg.replica_timeout_ns);
	volume_kick(v);
}

static bool drained(const struct volume *v)
{
	return writer_idle(v) && sync_idle(v) && readpath_idle(v) &&
	       unaligned_idle(v->unaligned) && list_empty(&v->finished);
}

void detach_no_room(struct volume *v)
{
	if (v->detach.state == DETACH_CHECKPOINT)
		v->detach.no_room = true;
}

static bool checkpoint_over(struct volume *v)
{
	struct detach *d = &v->detach;

	/* The change of tail has taken back what was in flight. */
	if (d->no_room && list_empty(&v->writer.flights)) {
		d->no_room = false;
		checkpoint_abandon(v);
	}
	if (v->checkpoint.failures > 0)
		return v->checkpoint.state == CHECKPOINT_IDLE;
	if (!d->checkpointed && checkpoint_needed(v) && !v->cfg.read_only) {
		d->checkpointed = true;
		checkpoint_start(v);
	}
	return !checkpoint_running(v);
}

static void flushed(struct sync_wait *wait)
{
	struct volume *v = wait->ctx;

	v->detach.waiting = false;
	volume_kick(v);
}

static void flush(struct volume *v)
{
	struct detach *d = &v->detach;

	if (v->durable >= v->end.last.sequence) {
		d->state = DETACH_RELEASE;
	} else if (!d->waiting) {
		d->waiting = true;
		d->wait.sequence = v->end.last.sequence;
		sync_wait(v, &d->wait);
	}
}

/* Everything is durable and nothing is in flight: end the log here. */
static void release(struct volume *v)
{
	if (v->tail.state != TAIL_STEADY && v->tail.state != TAIL_ENDED)
		return;
	if (v->tail.state == TAIL_STEADY) {
		if (!list_empty(&v->writer.flights) || !docwriter_idle(v))
			return;
		tail_decide(v);
		v->tail.state = TAIL_ENDED;
	}
	if (!v->detach.submitted) {
		v->detach.submitted = true;
		docwriter_submit(v, &v->detach.change);
	}
}

void detach_run(struct volume *v)
{
	struct detach *d = &v->detach;

	if (!volume_serving(v))
		return;
	if (d->state == DETACH_DRAIN && drained(v))
		d->state = DETACH_CHECKPOINT;
	if (d->state == DETACH_CHECKPOINT && checkpoint_over(v))
		d->state = DETACH_FLUSH;
	if (d->state == DETACH_FLUSH)
		flush(v);
	if (d->state == DETACH_RELEASE)
		release(v);
	if (d->state == DETACH_SETTLE && sealer_settled(v) &&
	    reclaim_idle(v) && lease_ended(v))
		over(v, 0);
}
