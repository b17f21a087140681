// SPDX-License-Identifier: Apache-2.0
/*
 * Rounds. A round marks how far each active chunk is acknowledged and sends
 * SYNC for that to every member that lacks some of it; whoever asks for a flush
 * meanwhile waits for the next round, together with all others. v->durable is
 * raised to the end of the log if everything is durable, else to the newest
 * mark below which everything is.
 *
 * A member that cannot sync has failed as a replica. Its chunk becomes CLOSING,
 * which is never durable, and SEALED once the transaction has committed, which
 * is durable with min_replicas copies (invariant 1). So a flush that waits is
 * answered by what happens to the chunk, and needs no state of its own.
 */
#include "volume/sync.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/internal.h"

static void background_fired(struct env_timer *timer);
static void deadline_fired(struct env_timer *timer);

void sync_init(struct volume *v)
{
	struct sync *s = &v->sync;

	list_init(&s->flushes);
	list_init(&s->ordered);
	list_init(&s->waits);
	env_timer_init(&s->timer, background_fired);
	env_timer_init(&s->deadline, deadline_fired);
}

void sync_release(struct volume *v)
{
	env_timer_cancel(v->env, &v->sync.timer);
	env_timer_cancel(v->env, &v->sync.deadline);
}

bool sync_idle(const struct volume *v)
{
	return list_empty(&v->sync.flushes) && list_empty(&v->sync.ordered);
}

void sync_kick(struct volume *v)
{
	v->sync.wanted = true;
	volume_kick(v);
}

/* ---- who waits -------------------------------------------------------- */

/* Parts of unaligned requests may be older than what they stand behind. */
static void arm_deadline(struct volume *v, const struct volume_request *req)
{
	env_timer_set_by(v->env, &v->sync.deadline, volume_deadline(v, req));
}

static void finish(struct volume *v, struct volume_request *req, int err)
{
	list_del_init(&req->node);
	volume_finish(v, req, err);
}

void sync_flush(struct volume *v, struct volume_request *req)
{
	if (req->sequence <= v->durable) {
		volume_finish(v, req, 0);
		return;
	}
	list_add_tail(&req->node, &v->sync.flushes);
	arm_deadline(v, req);
	sync_kick(v);
}

static bool held_up(const struct volume *v, const struct volume_request *req)
{
	return req->fua && req->sequence > v->durable;
}

void sync_complete(struct volume *v, struct volume_request *req)
{
	if (list_empty(&v->sync.ordered) && !held_up(v, req)) {
		volume_finish(v, req, 0);
		return;
	}
	list_add_tail(&req->node, &v->sync.ordered);
	arm_deadline(v, req);
	if (req->fua)
		sync_kick(v);
}

void sync_wait(struct volume *v, struct sync_wait *wait)
{
	list_add_tail(&wait->node, &v->sync.waits);
	sync_kick(v);
}

void sync_wait_cancel(struct sync_wait *wait)
{
	list_del_init(&wait->node);
}

/* Writes whose turn has come. */
static void release_ordered(struct volume *v)
{
	struct volume_request *req, *next;

	list_for_each_entry_safe(req, next, &v->sync.ordered, node) {
		if (held_up(v, req))
			return;
		finish(v, req, 0);
	}
}

static void expire(struct volume *v, struct list_head *requests)
{
	struct volume_request *req, *next;

	list_for_each_entry_safe(req, next, requests, node) {
		if (volume_deadline(v, req) > env_now(v->env))
			arm_deadline(v, req);
		else
			finish(v, req, -ETIMEDOUT);
	}
}

static void deadline_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, sync.deadline);

	expire(v, &v->sync.flushes);
	release_ordered(v);
	expire(v, &v->sync.ordered);
	release_ordered(v);
}

static void fail_all(struct volume *v, struct list_head *requests, int err)
{
	struct volume_request *req, *next;

	list_for_each_entry_safe(req, next, requests, node)
		finish(v, req, err);
}

void sync_stop(struct volume *v, int err)
{
	fail_all(v, &v->sync.flushes, err);
	fail_all(v, &v->sync.ordered, err);
	sync_release(v);
}

static void wake_waiters(struct volume *v)
{
	struct volume_request *req, *next_req;
	struct sync_wait *wait, *next;

	release_ordered(v);
	list_for_each_entry_safe(req, next_req, &v->sync.flushes, node)
		if (req->sequence <= v->durable)
			finish(v, req, 0);
	list_for_each_entry_safe(wait, next, &v->sync.waits, node) {
		if (wait->sequence > v->durable)
			continue;
		list_del_init(&wait->node);
		volume_kick(v);
		wait->done(wait);
	}
}

static bool anybody_waits(const struct volume *v)
{
	return !sync_idle(v) || !list_empty(&v->sync.waits);
}

/* ---- background ------------------------------------------------------- */

void sync_acknowledged(struct volume *v)
{
	if (!env_timer_armed(&v->sync.timer))
		env_timer_after(v->env, &v->sync.timer,
				v->cfg.sync_interval_ns);
}

static void background_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, sync.timer);

	if (v->durable < v->end.last.sequence)
		sync_kick(v);
}

/* ---- durability ------------------------------------------------------- */

void sync_update(struct volume *v)
{
	struct active_chunk *chunk;
	uint64_t durable = v->durable;

	list_for_each_entry(chunk, &v->active.chunks, node) {
		if (!active_durable(chunk, chunk->length)) {
			if (active_durable(chunk, chunk->mark_length))
				durable = MAX(durable, chunk->mark_sequence);
			goto out;
		}
		durable = MAX(durable, chunk->last_sequence);
	}
	durable = v->end.last.sequence;
out:
	v->durable = durable;
	wake_waiters(v);
}

void sync_taken_back(struct volume *v)
{
	uint64_t end = v->end.last.sequence;
	struct volume_request *req;
	struct sync_wait *wait;

	v->durable = MIN(v->durable, end);
	list_for_each_entry(req, &v->sync.flushes, node)
		req->sequence = MIN(req->sequence, end);
	list_for_each_entry(wait, &v->sync.waits, node)
		wait->sequence = MIN(wait->sequence, end);
	sync_kick(v);
}

/* ---- rounds ----------------------------------------------------------- */

/* What a member's answer to SYNC says: its result for the one range. */
static int sync_result(struct active_member *m, const struct peer_call *call)
{
	const struct wire_sync_reply *reply = call->reply;
	struct wire_range range;
	int err;

	err = active_answered(m, &reply->incarnation);
	if (err)
		return err;
	if (call->reply_len != sizeof(range) || call->scratch_count < 1 ||
	    call->scratch[0].iov_len < sizeof(range))
		return -EPROTO;
	memcpy(&range, call->scratch[0].iov_base, sizeof(range));
	m->range.status = range.status;
	return wire_status_errno(le32_to_cpu(range.status));
}

static void sync_failed(struct volume *v, struct active_member *m, int err)
{
	struct active_chunk *chunk = m->chunk;

	/*
	 * What the store says of this chunk is about the copy; a request that
	 * it refused as a whole says nothing about it.
	 */
	switch (le32_to_cpu(m->range.status)) {
	case WIRE_ENOCHUNK:
	case WIRE_EOFFSET:
		m->lacks = true;
		/* fallthrough */
	case WIRE_EBADCOPY:
	case WIRE_EIO:
		m->gone = true;
		m->durable = 0;
	}
	m->failed = true;
	if (chunk->state == ACTIVE_OPEN)
		tail_replica_failed(v, &m->id, err);
	else
		health_failed(v, &m->id, err);
}

static void sync_done(struct peer_call *call)
{
	struct active_member *m = container_of(call, struct active_member, call);
	struct volume *v = m->chunk->volume;
	int err = volume_answer(v, call);

	m->busy = false;
	m->in_round = false;
	v->sync.busy--;
	if (v->failing)
		return;
	if (!err)
		err = sync_result(m, call);
	if (err)
		sync_failed(v, m, err);
	else
		m->durable = MAX(m->durable, m->asked);
	if (v->sync.busy == 0)
		sync_update(v);
	volume_kick(v);
}

static void send_sync(struct volume *v, struct active_member *m)
{
	struct wire_sync body;

	memset(&body, 0, sizeof(body));
	body.volume = cpu_to_le64(v->doc.id);
	body.epoch = cpu_to_le64(v->epoch);
	body.count = cpu_to_le32(1);
	m->range.chunk = cpu_to_le64(m->chunk->number);
	m->range.length = cpu_to_le32(m->chunk->length);
	m->range.status = cpu_to_le32(0);
	m->iov.iov_base = &m->range;
	m->iov.iov_len = sizeof(m->range);
	m->asked = m->chunk->length;
	m->busy = true;
	m->in_round = true;
	v->sync.busy++;
	memset(&m->call, 0, sizeof(m->call));
	m->call.type = WIRE_SYNC;
	m->call.body = &body;
	m->call.data = &m->iov;
	m->call.data_count = 1;
	m->call.data_len = sizeof(m->range);
	m->call.timeout_ns = volume_sync_timeout(v);
	m->call.done = sync_done;
	peer_call(m->peer, &m->call);
}

static void begin_round(struct volume *v)
{
	struct active_chunk *chunk;
	struct active_member *m;
	uint32_t i;

	v->sync.wanted = false;
	list_for_each_entry(chunk, &v->active.chunks, node) {
		chunk->mark_length = chunk->length;
		chunk->mark_sequence = chunk->last_sequence;
		if (chunk->state == ACTIVE_SEALED)
			continue;
		for (i = 0; i < chunk->member_count; i++) {
			m = &chunk->members[i];
			if (!m->failed && !m->busy &&
			    m->durable < chunk->length)
				send_sync(v, m);
		}
	}
	if (v->sync.busy == 0)
		sync_update(v);
}

void sync_run(struct volume *v)
{
	if (!volume_serving(v))
		return;
	if (v->sync.busy == 0 && (v->sync.wanted || anybody_waits(v)))
		begin_round(v);
}
