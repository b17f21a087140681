// SPDX-License-Identifier: Apache-2.0
/*
 * Batches of questions. The chunks of a batch are first given their numbers of
 * copies (volumes.c), then each peer that any of them concerns is sent one
 * LOOKUP with all that concern it, side by side; when the last has answered, or
 * failed, place.c decides about each chunk. A batch that another ring overtakes
 * begins anew.
 */
#include "maint/private.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define BATCHES		2u
#define LOOKUP_TIMEOUT	(15 * NSEC_PER_SEC)
#define RESOLVE_AGAIN	NSEC_PER_SEC

struct question {
	struct peer_call call;
	struct batch *batch;
	struct maint_peer *peer;
	struct wire_lookup body;
	struct iovec out, in;
	struct wire_lookup_entry *entry, *reply;
	struct answer **answer;		/* where each entry's goes */
	uint32_t count;
};

struct batch {
	struct list_head node;
	struct maint *maint;
	uint64_t ring_version;
	uint32_t resolved;		/* queries with a number of copies */
	uint32_t count;
	struct question *questions;
	uint32_t question_count, pending;
	bool asked;
	struct query query[];
};

static void batch_free(struct batch *b)
{
	uint32_t i;

	for (i = 0; i < b->question_count; i++) {
		peer_call_cancel(&b->questions[i].call);
		free(b->questions[i].entry);
		free(b->questions[i].reply);
		free(b->questions[i].answer);
	}
	free(b->questions);
	list_del_init(&b->node);
	b->maint->batch_count--;
	free(b);
}

static void batch_end(struct batch *b, bool decide)
{
	struct maint *m = b->maint;
	uint32_t i;

	for (i = 0; i < b->count; i++) {
		if (decide)
			place_decide(m, &b->query[i]);
		else
			item_again(b->query[i].item);
	}
	batch_free(b);
	maint_kick(m);
}

/* ---- answers ------------------------------------------------------------- */

static void take_answers(struct question *q)
{
	const struct wire_lookup *head = q->call.reply;
	uint32_t i;

	for (i = 0; i < q->count; i++) {
		const struct wire_lookup_entry *e = &q->reply[i];
		struct answer *a = q->answer[i];

		if (e->volume != q->entry[i].volume ||
		    e->chunk != q->entry[i].chunk)
			continue;
		a->answered = true;
		a->state = (enum wire_copy_state)le32_to_cpu(e->state);
		a->length = le32_to_cpu(e->length);
		a->end_crc = le32_to_cpu(e->end_crc);
		a->epoch = le64_to_cpu(e->epoch);
		a->ring_version = le64_to_cpu(head->ring_version);
	}
}

static void answered(struct peer_call *call)
{
	struct question *q = call->ctx;
	struct batch *b = q->batch;

	if (call->err == 0 && call->status == WIRE_OK &&
	    call->reply_len == q->count * sizeof(*q->reply))
		take_answers(q);
	if (--b->pending == 0)
		batch_end(b, b->ring_version == b->maint->ring_version);
}

/* ---- questions ------------------------------------------------------------ */

static struct question *question_of(struct batch *b, struct maint_peer *p)
{
	uint32_t i;

	for (i = 0; i < b->question_count; i++)
		if (b->questions[i].peer == p)
			return &b->questions[i];
	b->questions[i].peer = p;
	b->questions[i].batch = b;
	b->question_count++;
	return &b->questions[i];
}

/* How many each peer is asked about; peers that are away are not asked. */
static int count_questions(struct batch *b)
{
	struct maint_peer *p;
	uint32_t peers = 0, i, j;

	list_for_each_entry(p, &b->maint->peers, node)
		peers++;
	b->questions = calloc(peers + 1, sizeof(*b->questions));
	if (b->questions == NULL)
		return -1;
	for (i = 0; i < b->count; i++)
		for (j = 0; j < b->query[i].count; j++)
			if (b->query[i].answer[j].peer->up)
				question_of(b, b->query[i].answer[j].peer)
					->count++;
	return 0;
}

static int allocate_questions(struct batch *b)
{
	uint32_t i;

	for (i = 0; i < b->question_count; i++) {
		struct question *q = &b->questions[i];

		q->entry = calloc(q->count, sizeof(*q->entry));
		q->reply = calloc(q->count, sizeof(*q->reply));
		q->answer = calloc(q->count, sizeof(struct answer *));
		if (q->entry == NULL || q->reply == NULL || q->answer == NULL)
			return -1;
		q->count = 0;
	}
	return 0;
}

static void fill_questions(struct batch *b)
{
	uint32_t i, j;

	for (i = 0; i < b->count; i++) {
		struct query *query = &b->query[i];

		for (j = 0; j < query->count; j++) {
			struct answer *a = &query->answer[j];
			struct question *q;

			if (!a->peer->up)
				continue;
			q = question_of(b, a->peer);
			q->entry[q->count].volume =
				cpu_to_le64(query->mine.volume);
			q->entry[q->count].chunk =
				cpu_to_le64(query->mine.chunk);
			q->answer[q->count++] = a;
		}
	}
}

static void ask(struct question *q)
{
	q->body.ring_version = cpu_to_le64(q->batch->ring_version);
	q->body.count = cpu_to_le32(q->count);
	q->out.iov_base = q->entry;
	q->out.iov_len = q->count * sizeof(*q->entry);
	q->in.iov_base = q->reply;
	q->in.iov_len = q->out.iov_len;
	q->call.type = WIRE_LOOKUP;
	q->call.body = &q->body;
	q->call.data = &q->out;
	q->call.data_count = 1;
	q->call.data_len = (uint32_t)q->out.iov_len;
	q->call.reply_data = &q->in;
	q->call.reply_data_count = 1;
	q->call.timeout_ns = LOOKUP_TIMEOUT;
	q->call.done = answered;
	q->call.ctx = q;
	peer_call(q->peer->peer, &q->call);
}

static void batch_ask(struct batch *b)
{
	struct maint *m = b->maint;
	uint32_t i;

	b->asked = true;
	b->ring_version = m->ring_version;
	for (i = 0; i < b->count; i++)
		place_plan(m, &b->query[i]);
	/* Out of memory: nobody has answered. */
	if (count_questions(b) < 0 || allocate_questions(b) < 0) {
		batch_end(b, true);
		return;
	}
	fill_questions(b);
	b->pending = b->question_count;
	if (b->pending == 0) {
		batch_end(b, true);
		return;
	}
	for (i = 0; i < b->question_count; i++)
		ask(&b->questions[i]);
}

/* ---- batches ---------------------------------------------------------------- */

static void batch_resolve(struct batch *b)
{
	struct maint *m = b->maint;
	struct query *q;

	while (b->resolved < b->count) {
		q = &b->query[b->resolved];
		if (!volumes_get(m, q->mine.volume, &q->replication,
				 &q->known)) {
			maint_wake_at(m, env_now(m->env) + RESOLVE_AGAIN);
			return;
		}
		b->resolved++;
	}
	batch_ask(b);
}

static uint32_t count_ready(const struct maint *m)
{
	const struct item *item;
	uint32_t n = 0;

	list_for_each_entry(item, &m->ready, node)
		if (++n == MAINT_BATCH_MAX)
			break;
	return n;
}

static struct batch *batch_new(struct maint *m)
{
	uint32_t want = count_ready(m);
	struct batch *b = calloc(1, sizeof(*b) + want * sizeof(b->query[0]));

	if (b == NULL)
		return NULL;
	b->maint = m;
	list_add_tail(&b->node, &m->batches);
	m->batch_count++;
	while (want-- > 0) {
		struct item *item = list_first_entry(&m->ready, struct item,
						     node);
		struct query *q = &b->query[b->count];

		item_begin(item, ITEM_ASKED);
		if (store_copy_get(m->store, item->volume, item->chunk,
				   &q->mine)) {
			q->item = item;
			b->count++;
		} else {
			item_settled(item);
		}
	}
	return b;
}

void lookup_turn(struct maint *m)
{
	struct batch *b, *next;

	while (!list_empty(&m->ready) && m->batch_count < BATCHES)
		if (batch_new(m) == NULL) {
			maint_wake_at(m, env_now(m->env) + RESOLVE_AGAIN);
			break;
		}
	list_for_each_entry_safe(b, next, &m->batches, node)
		if (!b->asked)
			batch_resolve(b);
}

void lookup_release(struct maint *m)
{
	struct batch *b, *next;

	list_for_each_entry_safe(b, next, &m->batches, node)
		batch_free(b);
}
