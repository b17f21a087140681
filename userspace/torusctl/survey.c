// SPDX-License-Identifier: Apache-2.0
/*
 * Two calls to each peer, STAT and MAINTENANCE, all of them under way at once.
 * A peer without a lease is asked too: etcd may be out of its reach only.
 */
#include "survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/env_uring.h"

struct surveyor {
	struct ctl *ctl;
	enum wire_maintenance_action action;
	size_t pending;			/* calls */
	bool done;
	int err;
};

struct question {
	struct surveyor *surveyor;
	struct survey_answer *answer;
	struct peer_call stat, maintenance;
	struct wire_maintenance body;
};

static void one_less(struct surveyor *s)
{
	if (--s->pending)
		return;
	s->done = true;
	env_uring_stop(s->ctl->env);
}

static int call_result(const struct peer_call *call)
{
	return call->err ? call->err : wire_status_errno(call->status);
}

static void stat_done(struct peer_call *call)
{
	struct question *q = call->ctx;
	const struct wire_stat_reply *reply = call->reply;

	q->answer->err = call_result(call);
	if (!q->answer->err) {
		q->answer->size = le64_to_cpu(reply->size);
		q->answer->used = le64_to_cpu(reply->used);
		q->answer->chunks = le64_to_cpu(reply->chunks);
		q->answer->volumes = le64_to_cpu(reply->volumes);
		q->answer->space_left = le64_to_cpu(reply->space_left);
		q->answer->space_state =
			MIN(le32_to_cpu(reply->space_state),
			    (uint32_t)WIRE_SPACE_FULL);
	}
	one_less(q->surveyor);
}

static void take_reply(struct survey_maintenance *m,
		       const struct wire_maintenance_reply *reply)
{
	m->ring_version = le64_to_cpu(reply->ring_version);
	m->copy_chunks = le64_to_cpu(reply->copy_chunks);
	m->copy_bytes = le64_to_cpu(reply->copy_bytes);
	m->short_chunks = le64_to_cpu(reply->short_chunks);
	m->grace_chunks = le64_to_cpu(reply->grace_chunks);
	m->drop_chunks = le64_to_cpu(reply->drop_chunks);
	m->drop_bytes = le64_to_cpu(reply->drop_bytes);
	m->copied_chunks = le64_to_cpu(reply->copied_chunks);
	m->copied_bytes = le64_to_cpu(reply->copied_bytes);
	m->dropped_chunks = le64_to_cpu(reply->dropped_chunks);
	m->garbage_chunks = le64_to_cpu(reply->garbage_chunks);
	m->rate = le64_to_cpu(reply->rate);
	m->eta_s = le64_to_cpu(reply->eta_s);
	m->scrub_chunks = le64_to_cpu(reply->scrub_chunks);
	m->scrub_total = le64_to_cpu(reply->scrub_total);
	m->scrub_bytes = le64_to_cpu(reply->scrub_bytes);
	m->scrub_bad = le64_to_cpu(reply->scrub_bad);
	m->scrub_healed = le64_to_cpu(reply->scrub_healed);
	m->scrub_ended_ms = le64_to_cpu(reply->scrub_ended_ms);
	m->behind = le64_to_cpu(reply->behind);
	m->scrub_state = le32_to_cpu(reply->scrub_state);
}

static void take_finding(struct survey_finding *f, const struct wire_finding *w)
{
	f->volume = le64_to_cpu(w->volume);
	f->chunk = le64_to_cpu(w->chunk);
	f->volume_block = le64_to_cpu(w->volume_block);
	f->when_ms = le64_to_cpu(w->when_ms);
	f->block = le32_to_cpu(w->block);
	f->kind = le32_to_cpu(w->kind);
	f->healed = le32_to_cpu(w->healed);
}

/* The data came in pieces of the receiver's choice: make one of them. */
static int take_findings(struct survey_answer *a, const struct peer_call *call,
			 uint32_t count)
{
	CLEANUP_FREE struct wire_finding *wire = NULL;
	size_t len = 0;

	if (count > WIRE_FINDINGS_MAX ||
	    count * sizeof(*wire) != call->reply_len)
		return -EBADMSG;
	if (!count)
		return 0;
	wire = calloc(count, sizeof(*wire));
	a->findings = calloc(count, sizeof(*a->findings));
	if (!wire || !a->findings)
		return -ENOMEM;
	for (int i = 0; i < call->scratch_count && len < call->reply_len; i++) {
		const struct iovec *v = &call->scratch[i];
		size_t n = MIN(v->iov_len, call->reply_len - len);

		memcpy((char *)wire + len, v->iov_base, n);
		len += n;
	}
	for (uint32_t i = 0; i < count; i++)
		take_finding(&a->findings[i], &wire[i]);
	a->finding_count = count;
	return 0;
}

static void maintenance_done(struct peer_call *call)
{
	struct question *q = call->ctx;
	const struct wire_maintenance_reply *reply = call->reply;
	int err = call_result(call);

	if (!err)
		err = take_findings(q->answer, call, le32_to_cpu(reply->count));
	if (!err)
		take_reply(&q->answer->m, reply);
	q->answer->maintained = !err;
	if (err == -ENOMEM)
		q->surveyor->err = err;
	one_less(q->surveyor);
}

static void submit(struct question *q, struct peer *peer,
		   struct peer_call *call, void (*done)(struct peer_call *call))
{
	call->timeout_ns = SURVEY_TIMEOUT_NS;
	call->done = done;
	call->ctx = q;
	q->surveyor->pending++;
	peer_call(peer, call);
}

static void ask(struct question *q, struct peer *peer)
{
	q->body.action = cpu_to_le32(q->surveyor->action);
	q->stat.type = WIRE_STAT;
	q->maintenance.type = WIRE_MAINTENANCE;
	q->maintenance.body = &q->body;
	submit(q, peer, &q->stat, stat_done);
	submit(q, peer, &q->maintenance, maintenance_done);
}

static int ask_all(struct surveyor *s, struct cluster *cluster,
		   struct question *questions, const struct ctl_peer *peers,
		   struct survey *survey)
{
	int err;

	for (size_t i = 0; i < survey->count; i++) {
		struct peer *peer = peer_find(cluster_peers(cluster),
					      &peers[i].doc.id);

		questions[i].surveyor = s;
		questions[i].answer = &survey->answers[i];
		survey->answers[i].err = -EHOSTUNREACH;
		if (peer)
			ask(&questions[i], peer);
	}
	s->done = s->pending == 0;
	err = ctl_wait(s->ctl, &s->done);
	for (size_t i = 0; i < survey->count; i++) {
		peer_call_cancel(&questions[i].stat);
		peer_call_cancel(&questions[i].maintenance);
	}
	if (!err && s->err)
		err = error_set(s->err, "out of memory");
	return err;
}

bool survey_has_offset(const struct survey_finding *f)
{
	return (f->kind == EXTENT_DATA || f->kind == EXTENT_RELOCATION) &&
	       f->volume_block <= UINT64_MAX / BLOCK_SIZE;
}

int survey_run(struct ctl *ctl, const struct ctl_peer *peers, size_t count,
	       struct survey *survey)
{
	return survey_act(ctl, peers, count, WIRE_MAINTENANCE_SHOW, survey);
}

int survey_act(struct ctl *ctl, const struct ctl_peer *peers, size_t count,
	       enum wire_maintenance_action action, struct survey *survey)
{
	CLEANUP_FREE struct question *questions =
		calloc(count + 1, sizeof(*questions));
	struct surveyor s = { .ctl = ctl, .action = action };
	struct cluster *cluster;
	int err;

	survey->count = count;
	survey->answers = calloc(count + 1, sizeof(*survey->answers));
	if (!questions || !survey->answers) {
		survey->count = 0;
		return error_set(-ENOMEM, "out of memory");
	}
	cluster = ctl_cluster_open(ctl);
	if (!cluster)
		return -EIO;
	err = ask_all(&s, cluster, questions, peers, survey);
	cluster_close(cluster);
	return err;
}

void survey_release(struct survey *survey)
{
	for (size_t i = 0; i < survey->count; i++)
		free(survey->answers[i].findings);
	free(survey->answers);
	memset(survey, 0, sizeof(*survey));
}
