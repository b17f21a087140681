// SPDX-License-Identifier: Apache-2.0
/*
 * Copying a prefix of a chunk, see copy.h.
 *
 *   STAT target -> { READ from a source -> check records -> APPEND each }* ->
 *   SYNC target -> done
 *
 * A read begins at a record boundary and is as large as the largest record, so
 * that it always holds at least one whole record. The chain of header CRCs is
 * followed from record to record and must end in end_crc; a source whose bytes
 * do not check, or that fails, is left for the next one. A record that no
 * source has good bytes of ends the copy: failures are counted per record, so
 * that a source which failed once is asked again for later ones.
 */
#include "volume/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/internal.h"
#include "wire/proto.h"

#define COPY_BLOCKS (WIRE_APPEND_MAX / BLOCK_SIZE)
#define COPY_APPENDS_MAX COPY_BLOCKS

struct copy_append {
	struct peer_call call;
	struct iovec iov;
	struct copy *copy;
	bool busy;
};

struct copy {
	struct volume *volume;
	struct copy_job job;
	struct uuid source[RING_REPLICATION_MAX];
	uint32_t source_index;
	uint32_t source_failures;	/* since `at` moved on */
	uint32_t source_unasked;	/* of those: no answer, so no verdict */
	bool source_failed;		/* the next one's turn, after appends */
	struct peer *target;
	struct env_timer finish;
	int err;
	uint32_t at;			/* blocks that the target has */
	uint32_t read_end;		/* of the bytes in the buffer */
	uint32_t prev_crc;		/* of the record that ends at `at` */
	uint64_t prev_sequence;
	bool sequence_known;		/* false before the first record copied */
	struct peer_call call;		/* STAT, READ, SYNC */
	bool busy;
	struct iovec iov;
	struct wire_range range;
	uint8_t *buffer;
	struct record *record;
	uint32_t appends, append_failures;
	struct copy_append append[COPY_APPENDS_MAX];
};

static void copy_next(struct copy *c);
static void next_source(struct copy *c);

static void copy_free(struct copy *c)
{
	env_timer_cancel(c->volume->env, &c->finish);
	record_free(c->record);
	free(c->buffer);
	free(c);
}

static void cancel_calls(struct copy *c)
{
	if (c->busy)
		peer_call_cancel(&c->call);
	for (uint32_t i = 0; i < COPY_APPENDS_MAX; i++)
		if (c->append[i].busy)
			peer_call_cancel(&c->append[i].call);
}

/* A copy that failed early may still have appends under way. */
static void copy_finished(struct env_timer *timer)
{
	struct copy *c = container_of(timer, struct copy, finish);
	struct copy_job job = c->job;
	int err = c->err;

	cancel_calls(c);
	copy_free(c);
	job.done(job.ctx, err);
}

/* done() comes from a timer, so that no caller is re-entered. */
static void copy_end(struct copy *c, int err)
{
	if (env_timer_armed(&c->finish))
		return;
	c->err = err;
	env_timer_after(c->volume->env, &c->finish, 0);
}

static void send(struct copy *c, struct peer *peer, struct peer_call *call,
		 void (*done)(struct peer_call *call))
{
	call->timeout_ns = volume_sync_timeout(c->volume);
	call->done = done;
	call->ctx = c;
	c->busy = true;
	peer_call(peer, call);
}

/* ---- the end: durable ------------------------------------------------------ */

static void synced(struct peer_call *call)
{
	struct copy *c = call->ctx;
	int err;

	c->busy = false;
	err = volume_answer(c->volume, call);
	if (!err)
		err = wire_status_errno(le32_to_cpu(c->range.status));
	copy_end(c, err);
}

static void send_sync(struct copy *c)
{
	struct wire_sync body = {
		.volume = cpu_to_le64(c->volume->doc.id),
		.epoch = cpu_to_le64(c->volume->epoch),
		.count = cpu_to_le32(1),
	};

	c->range = (struct wire_range){ cpu_to_le64(c->job.chunk),
					cpu_to_le32(c->job.length), 0 };
	c->iov = (struct iovec){ &c->range, sizeof(c->range) };
	c->call = (struct peer_call){
		.type = WIRE_SYNC, .body = &body, .data = &c->iov,
		.data_count = 1, .data_len = sizeof(c->range),
		.reply_data = &c->iov, .reply_data_count = 1,
	};
	send(c, c->target, &c->call, synced);
}

/* ---- appending --------------------------------------------------------------- */

static void appended(struct peer_call *call)
{
	struct copy_append *a = call->ctx;
	struct copy *c = a->copy;
	int err = volume_answer(c->volume, call);

	a->busy = false;
	c->appends--;
	if (err && !c->append_failures++)
		copy_end(c, err);
	if (c->appends || c->append_failures)
		return;
	if (c->source_failed)
		next_source(c);
	else
		copy_next(c);
}

static void send_append(struct copy *c, const uint8_t *bytes)
{
	struct copy_append *a = &c->append[c->appends++];
	const struct record *r = c->record;
	struct wire_append body = {
		.volume = cpu_to_le64(c->volume->doc.id),
		.chunk = cpu_to_le64(c->job.chunk),
		.epoch = cpu_to_le64(c->volume->epoch),
		.block = cpu_to_le32(r->block),
		.blocks = cpu_to_le32(record_blocks(r)),
	};

	a->copy = c;
	a->busy = true;
	a->iov = (struct iovec){ (void *)bytes,
				 (size_t)record_blocks(r) * BLOCK_SIZE };
	a->call = (struct peer_call){
		.type = WIRE_APPEND, .flags = WIRE_COPY, .body = &body,
		.data = &a->iov,
		.data_count = 1, .data_len = (uint32_t)a->iov.iov_len,
		.timeout_ns = c->volume->cfg.io_timeout_ns,
		.done = appended, .ctx = a,
	};
	peer_call(c->target, &a->call);
}

/* ---- reading and checking ------------------------------------------------------ */

static void next_source(struct copy *c)
{
	c->source_failed = false;
	c->source_index = (c->source_index + 1) % c->job.source_count;
	if (++c->source_failures < c->job.source_count) {
		copy_next(c);
		return;
	}
	if (!c->source_unasked && c->job.bad_block)
		*c->job.bad_block = c->at;
	copy_end(c, c->source_unasked ? -EIO : -EBADMSG);
}

/*
 * One record at @bytes, of which @len are there: 0, -EAGAIN (it goes on beyond
 * them), -EBADMSG.
 */
static int check_record(struct copy *c, const uint8_t *bytes, size_t len)
{
	struct record *r = c->record;
	int err = record_decode(bytes, len, r);

	if (err)
		return err == -EAGAIN ? err : -EBADMSG;
	if ((size_t)record_blocks(r) * BLOCK_SIZE > len)
		return -EAGAIN;
	if (r->volume != c->volume->doc.id || r->chunk != c->job.chunk ||
	    r->block != c->at)
		return -EBADMSG;
	if (c->at && r->prev_crc != c->prev_crc)
		return -EBADMSG;
	if (c->sequence_known && r->sequence != c->prev_sequence + 1)
		return -EBADMSG;
	if (c->at + record_blocks(r) == c->job.length &&
	    r->crc != c->job.end_crc)
		return -EBADMSG;
	return record_check_payload(r, bytes +
				    (size_t)r->header_blocks * BLOCK_SIZE);
}

static int take_records(struct copy *c, uint32_t first)
{
	int err = 0;

	while (c->at < c->read_end) {
		size_t skip = (size_t)(c->at - first) * BLOCK_SIZE;
		size_t len = (size_t)(c->read_end - c->at) * BLOCK_SIZE;

		err = check_record(c, c->buffer + skip, len);
		if (err)
			break;
		send_append(c, c->buffer + skip);
		c->at += record_blocks(c->record);
		c->prev_crc = c->record->crc;
		c->prev_sequence = c->record->sequence;
		c->sequence_known = true;
		c->source_failures = 0;
		c->source_unasked = 0;
	}
	/* A record cut by the end of what was read comes with the next read. */
	return err == -EAGAIN && c->at > first ? 0 : err;
}

/* A copy that is damaged, shorter, or not there; not one that cannot be read
 * at the moment. */
static bool is_verdict(const struct peer_call *call)
{
	return !call->err && (call->status == WIRE_EBADCOPY ||
			      call->status == WIRE_EOFFSET ||
			      call->status == WIRE_ENOCHUNK);
}

static void bytes_read(struct peer_call *call)
{
	struct copy *c = call->ctx;
	uint32_t first = c->at;
	bool bad;
	int err;

	c->busy = false;
	err = volume_answer(c->volume, call);
	bad = !err || is_verdict(call);
	if (!err && call->reply_len !=
		    (size_t)(c->read_end - first) * BLOCK_SIZE)
		err = -EBADMSG;
	if (!err)
		err = take_records(c, first);
	if (!err)
		return;			/* appended() goes on */
	log_warning("volume %s: chunk %" PRIu64 " block %u: no good bytes from a source: %s",
		    c->volume->doc.name, c->job.chunk, c->at, strerror(-err));
	if (!bad)
		c->source_unasked++;
	c->source_failed = true;
	if (!c->appends)
		next_source(c);
}

static void send_read(struct copy *c)
{
	struct volume *v = c->volume;
	struct peer *source = peer_find(cluster_peers(v->cluster),
					&c->source[c->source_index]);
	struct wire_read body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(c->job.chunk),
		.attached = cpu_to_le64(v->doc.id),
		.epoch = cpu_to_le64(v->epoch),
		.block = cpu_to_le32(c->at),
	};
	uint32_t blocks = MIN(COPY_BLOCKS, c->job.length - c->at);

	if (!source) {
		c->source_unasked++;
		next_source(c);
		return;
	}
	c->read_end = c->at + blocks;
	body.blocks = cpu_to_le32(blocks);
	c->iov = (struct iovec){ c->buffer, (size_t)blocks * BLOCK_SIZE };
	c->call = (struct peer_call){
		.type = WIRE_READ, .body = &body,
		.reply_data = &c->iov, .reply_data_count = 1,
	};
	send(c, source, &c->call, bytes_read);
}

static void copy_next(struct copy *c)
{
	if (c->at >= c->job.length)
		send_sync(c);
	else
		send_read(c);
}

/* ---- the beginning --------------------------------------------------------------- */

static void target_answered(struct peer_call *call)
{
	struct copy *c = call->ctx;
	const struct wire_chunk_reply *reply = call->reply;
	int err;

	c->busy = false;
	if (!call->err && call->status == WIRE_ENOCHUNK) {
		copy_next(c);
		return;
	}
	err = volume_answer(c->volume, call);
	if (err) {
		copy_end(c, err);
		return;
	}
	c->at = le32_to_cpu(reply->length);
	c->prev_crc = le32_to_cpu(reply->end_crc);
	if (c->at == c->job.length && c->prev_crc != c->job.end_crc)
		copy_end(c, -EIO);
	else
		copy_next(c);
}

struct copy *copy_start(struct volume *v, const struct copy_job *job)
{
	struct wire_chunk body = {
		.volume = cpu_to_le64(v->doc.id),
		.chunk = cpu_to_le64(job->chunk),
		.epoch = cpu_to_le64(v->epoch),
	};
	struct copy *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->volume = v;
	c->job = *job;
	env_timer_init(&c->finish, copy_finished);
	c->job.source = c->source;
	c->job.source_count = MIN(job->source_count, RING_REPLICATION_MAX);
	memcpy(c->source, job->source,
	       c->job.source_count * sizeof(c->source[0]));
	c->target = peer_find(cluster_peers(v->cluster), &job->target);
	c->record = record_new();
	c->buffer = aligned_alloc(BLOCK_SIZE, WIRE_APPEND_MAX);
	if (!c->record || !c->buffer) {
		copy_free(c);
		return NULL;
	}
	if (!c->target || !c->job.source_count) {
		copy_end(c, -EIO);
		return c;
	}
	c->call = (struct peer_call){ .type = WIRE_STAT_CHUNK, .body = &body };
	send(c, c->target, &c->call, target_answered);
	return c;
}

void copy_cancel(struct copy *c)
{
	cancel_calls(c);
	copy_free(c);
}
