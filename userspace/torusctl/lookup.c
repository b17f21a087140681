// SPDX-License-Identifier: Apache-2.0
#include "lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/env_uring.h"

struct lookup {
	struct ctl *ctl;
	struct wire_lookup body;
	struct wire_lookup_entry *entries;	/* what is asked for */
	struct wire_lookup_entry *reply;	/* room for one answer */
	struct iovec data;
	uint32_t count;
	enum lookup_copy *found;
	size_t pending;
	int unanswered;
	bool done;
};

static enum lookup_copy copy_of(uint32_t state)
{
	switch (state) {
	case WIRE_COPY_OPEN:
	case WIRE_COPY_SEALED:
		return LOOKUP_GOOD;
	case WIRE_COPY_BAD:
		return LOOKUP_BAD;
	default:
		return LOOKUP_NONE;
	}
}

/* The data came in pieces of the receiver's choice: make one of them. */
static void take(struct lookup *l, const struct peer_call *call)
{
	size_t size = l->count * sizeof(*l->reply), len = 0;

	if (call->reply_len != size) {
		l->unanswered++;
		return;
	}
	for (int i = 0; i < call->scratch_count && len < size; i++) {
		const struct iovec *v = &call->scratch[i];
		size_t n = MIN(v->iov_len, size - len);

		memcpy((char *)l->reply + len, v->iov_base, n);
		len += n;
	}
	for (uint32_t i = 0; i < l->count; i++)
		l->found[i] = MAX(l->found[i],
				  copy_of(le32_to_cpu(l->reply[i].state)));
}

static void answered(struct peer_call *call)
{
	struct lookup *l = call->ctx;

	if (!call->err && !call->status)
		take(l, call);
	else
		l->unanswered++;
	if (--l->pending)
		return;
	l->done = true;
	env_uring_stop(l->ctl->env);
}

static void ask(struct lookup *l, struct peer *peer, struct peer_call *call)
{
	call->type = WIRE_LOOKUP;
	call->body = &l->body;
	call->data = &l->data;
	call->data_count = 1;
	call->data_len = (uint32_t)l->data.iov_len;
	call->timeout_ns = SURVEY_TIMEOUT_NS;
	call->done = answered;
	call->ctx = l;
	l->pending++;
	peer_call(peer, call);
}

static int ask_all(struct lookup *l, struct cluster *cluster,
		   const struct ctl_peer *peers, const struct survey *survey)
{
	CLEANUP_FREE struct peer_call *calls = calloc(survey->count + 1,
						      sizeof(*calls));
	int err;

	if (!calls)
		return error_set(-ENOMEM, "out of memory");
	for (size_t i = 0; i < survey->count; i++) {
		struct peer *peer = peer_find(cluster_peers(cluster),
					      &peers[i].doc.id);

		if (peer && !survey->answers[i].err)
			ask(l, peer, &calls[i]);
	}
	l->done = l->pending == 0;
	err = ctl_wait(l->ctl, &l->done);
	for (size_t i = 0; i < survey->count; i++)
		peer_call_cancel(&calls[i]);
	return err;
}

int lookup_chunks(struct ctl *ctl, struct cluster *cluster,
		  const struct ctl_peer *peers, const struct survey *survey,
		  uint64_t volume, const uint64_t *chunks, uint32_t count,
		  enum lookup_copy *found)
{
	struct lookup l = { .ctl = ctl, .count = count, .found = found };
	int err;

	l.entries = calloc(count + 1, sizeof(*l.entries));
	l.reply = calloc(count + 1, sizeof(*l.reply));
	l.body.count = cpu_to_le32(count);
	l.data.iov_base = l.entries;
	l.data.iov_len = count * sizeof(*l.entries);
	if (l.entries && l.reply) {
		for (uint32_t i = 0; i < count; i++) {
			l.entries[i].volume = cpu_to_le64(volume);
			l.entries[i].chunk = cpu_to_le64(chunks[i]);
		}
		err = ask_all(&l, cluster, peers, survey);
	} else {
		err = error_set(-ENOMEM, "out of memory");
	}
	free(l.entries);
	free(l.reply);
	return err ? err : l.unanswered;
}
