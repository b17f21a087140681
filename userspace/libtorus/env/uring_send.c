// SPDX-License-Identifier: Apache-2.0
/*
 * Sending.
 *
 * A frame copies header and body, and refers to the caller's data. Frames
 * wait on their connection; once a turn, all connections with new frames are
 * written out, many frames per sendmsg(). When the socket is full, a poll for
 * room is armed and the connection leaves the flush list until it fires.
 *
 * sent() is called from the loop: when the last byte of the frame is in the
 * kernel's hands, or when the connection dies. Frames are recycled through a
 * pool, so that in the steady state sending allocates nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/uring_conn.h"

#define SEND_IOV	1024	/* IOV_MAX */
#define SEND_BUDGET	8	/* calls per connection and turn */
#define POOL_MAX	1024
#define FRAME_IOV	8	/* that a new frame has room for */
#define FRAME_IOV_MAX	(1 + 1000)

struct frame {
	struct list_head node;
	env_sent_fn sent;
	void *arg;
	int err;
	int iov_count, iov_room;
	struct iovec *iov;		/* [0] is head */
	size_t bytes, done;		/* of the whole frame */
	uint8_t head[sizeof(struct disk_wire_header) + WIRE_BODY_MAX];
};

/* ---- frames ------------------------------------------------------------- */

static struct frame *frame_new(struct uring *u)
{
	struct frame *frame;

	if (list_empty(&u->frame_pool))
		return calloc(1, sizeof(*frame));
	frame = list_first_entry(&u->frame_pool, struct frame, node);
	list_del_init(&frame->node);
	u->frame_pool_count--;
	return frame;
}

static void frame_free(struct frame *frame)
{
	free(frame->iov);
	free(frame);
}

static void frame_recycle(struct uring *u, struct frame *frame)
{
	if (u->frame_pool_count >= POOL_MAX) {
		frame_free(frame);
		return;
	}
	list_add(&frame->node, &u->frame_pool);
	u->frame_pool_count++;
}

static void frame_end(struct uring *u, struct frame *frame, int err)
{
	env_sent_fn sent = frame->sent;
	void *arg = frame->arg;

	frame_recycle(u, frame);
	if (sent)
		sent(arg, err);
}

static int frame_reserve(struct frame *frame, int count)
{
	struct iovec *iov;

	if (count <= frame->iov_room)
		return 0;
	count = MAX(count, FRAME_IOV);
	iov = realloc(frame->iov, count * sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	frame->iov = iov;
	frame->iov_room = count;
	return 0;
}

static void frame_fill(struct frame *frame, const struct wire_header *hdr,
		       const void *body, const struct iovec *data, int count)
{
	struct disk_wire_header disk;
	struct wire_header h = *hdr;

	h.data_crc = wire_data_crc(hdr, data, count);
	wire_encode_header(&h, body, &disk);
	memcpy(frame->head, &disk, sizeof(disk));
	if (h.body_len)
		memcpy(frame->head + sizeof(disk), body, h.body_len);
	frame->iov[0].iov_base = frame->head;
	frame->iov[0].iov_len = sizeof(disk) + h.body_len;
	if (count)
		memcpy(frame->iov + 1, data, count * sizeof(*data));
	frame->iov_count = 1 + count;
	frame->bytes = frame->iov[0].iov_len + h.data_len;
	frame->done = 0;
}

/* ---- queueing ------------------------------------------------------------ */

static int check_frame(const struct wire_header *hdr, const struct iovec *data,
		       int count)
{
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < count; i++)
		bytes += data[i].iov_len;
	if (hdr->body_len > WIRE_BODY_MAX || bytes != hdr->data_len ||
	    count < 0 || count >= FRAME_IOV_MAX)
		return error_set(-EINVAL, "%s frame: %u bytes of body, %u of data in %d pieces of %llu bytes",
				 wire_type_name(hdr->type), hdr->body_len,
				 hdr->data_len, count,
				 (unsigned long long)bytes);
	return 0;
}

static void queue_flush(struct env_conn *conn)
{
	if (list_empty(&conn->flush_node) && !conn->out.armed)
		list_add_tail(&conn->flush_node, &conn->u->flush);
}

/* Never sent, but its sent() has to come from the loop. */
static void orphan(struct uring *u, struct frame *frame, int err)
{
	frame->err = err;
	list_add_tail(&frame->node, &u->orphans);
}

int uring_conn_send(struct env_conn *conn, const struct wire_header *hdr,
		    const void *body, const struct iovec *data, int data_count,
		    env_sent_fn sent, void *arg)
{
	struct uring *u = conn->u;
	struct frame *frame;
	int err = check_frame(hdr, data, data_count);

	if (err)
		return err;
	if (conn->frame_count >= u->frames_max)
		return error_set(-ENOMEM, "connection to %s: %u frames are waiting",
				 conn->name, conn->frame_count);
	frame = frame_new(u);
	if (!frame)
		return error_set(-ENOMEM, "out of memory");
	if (frame_reserve(frame, 1 + data_count) < 0) {
		frame_recycle(u, frame);
		return error_set(-ENOMEM, "out of memory");
	}
	frame->sent = sent;
	frame->arg = arg;
	if (conn->state != CONN_OPEN) {
		orphan(u, frame, -ENOTCONN);
		return 0;
	}
	frame_fill(frame, hdr, body, data, data_count);
	list_add_tail(&frame->node, &conn->frames);
	conn->frame_count++;
	conn->queued += frame->bytes;
	queue_flush(conn);
	return 0;
}

static struct frame *take_frame(struct env_conn *conn)
{
	struct frame *frame = list_first_entry(&conn->frames, struct frame,
					       node);

	list_del_init(&frame->node);
	conn->frame_count--;
	conn->queued -= frame->bytes - frame->done;
	return frame;
}

void conn_drop_frames(struct env_conn *conn, int err, bool later)
{
	while (!list_empty(&conn->frames)) {
		struct frame *frame = take_frame(conn);

		if (later)
			orphan(conn->u, frame, err);
		else
			frame_end(conn->u, frame, err);
	}
}

/* ---- writing -------------------------------------------------------------- */

/* Append what is left of @frame; how many entries that took. */
static int gather_frame(const struct frame *frame, struct iovec *iov, int max)
{
	size_t skip = frame->done;
	int i, n = 0;

	for (i = 0; i < frame->iov_count && n < max; i++) {
		const struct iovec *from = &frame->iov[i];

		if (skip >= from->iov_len) {
			skip -= from->iov_len;
			continue;
		}
		iov[n].iov_base = (uint8_t *)from->iov_base + skip;
		iov[n].iov_len = from->iov_len - skip;
		skip = 0;
		n++;
	}
	return n;
}

static int gather(struct env_conn *conn, struct iovec *iov, size_t *bytes)
{
	struct frame *frame;
	int i, n = 0;

	list_for_each_entry(frame, &conn->frames, node) {
		n += gather_frame(frame, iov + n, SEND_IOV - n);
		if (n == SEND_IOV)
			break;
	}
	*bytes = 0;
	for (i = 0; i < n; i++)
		*bytes += iov[i].iov_len;
	return n;
}

/* @n bytes were sent; false: the connection died in a sent(). */
static bool consume(struct env_conn *conn, size_t n)
{
	while (n) {
		struct frame *frame = list_first_entry(&conn->frames,
						       struct frame, node);
		size_t part = MIN(n, frame->bytes - frame->done);

		frame->done += part;
		conn->queued -= part;
		n -= part;
		if (frame->done < frame->bytes)
			break;
		frame_end(conn->u, take_frame(conn), 0);
		if (conn_is_dead(conn))
			return false;
	}
	return true;
}

static void flush_conn(struct env_conn *conn)
{
	struct iovec iov[SEND_IOV];
	int budget = SEND_BUDGET;

	while (budget-- && !list_empty(&conn->frames)) {
		size_t bytes;
		struct msghdr msg = {
			.msg_iov = iov,
			.msg_iovlen = gather(conn, iov, &bytes),
		};
		int n = env_uring_sendmsg(conn->fd, &msg, 0);

		if (n < 0 && n != -EAGAIN) {
			conn_die(conn, error_set(n, "connection to %s: %s",
						 conn->name, strerror(-n)));
			return;
		}
		if (n > 0 && !consume(conn, n))
			return;
		if (n < 0 || (size_t)n < bytes) {
			uring_poll_arm(conn->u, &conn->out, conn->fd, POLLOUT);
			return;
		}
	}
	if (!list_empty(&conn->frames))
		queue_flush(conn);
}

void conn_writable(struct uring_poll *poll, int res)
{
	struct env_conn *conn = container_of(poll, struct env_conn, out);

	conn_pin(conn);
	/* Errors are found by the write. */
	if (!conn_is_dead(conn))
		flush_conn(conn);
	conn_unpin(conn);
}

static void run_orphans(struct uring *u)
{
	struct list_head now;

	list_init(&now);
	list_splice_tail_init(&u->orphans, &now);
	while (!list_empty(&now)) {
		struct frame *frame =
			list_first_entry(&now, struct frame, node);

		list_del_init(&frame->node);
		frame_end(u, frame, frame->err);
	}
}

void uring_send_run(struct uring *u)
{
	struct list_head now;

	run_orphans(u);
	list_init(&now);
	list_splice_tail_init(&u->flush, &now);
	while (!list_empty(&now)) {
		struct env_conn *conn = list_first_entry(&now, struct env_conn,
							 flush_node);

		list_del_init(&conn->flush_node);
		conn_pin(conn);
		flush_conn(conn);
		conn_unpin(conn);
	}
}

static void free_frames(struct list_head *list)
{
	while (!list_empty(list)) {
		struct frame *frame = list_first_entry(list, struct frame,
						       node);

		list_del_init(&frame->node);
		frame_free(frame);
	}
}

void uring_send_free(struct uring *u)
{
	free_frames(&u->orphans);
	free_frames(&u->frame_pool);
}
