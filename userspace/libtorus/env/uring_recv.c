// SPDX-License-Identifier: Apache-2.0
/*
 * Receiving.
 *
 * Bytes land in the connection's buffer, which reads ahead, so that many
 * small frames cost one system call. Data of a frame that is not yet in the
 * buffer is received directly where data_room() wants it, with the buffer
 * behind it in the same call for what follows. Steps are in uring_conn.h.
 *
 * Nothing of a frame is believed before its header is decoded (magic,
 * version, lengths within the type's limits), and nothing is passed on before
 * the header's CRC and, where it has one, the data's CRC hold. After a bad
 * frame the connection ends: where the next one begins is not known.
 *
 * A timer runs exactly while the rest of a frame is waited for, from its last
 * byte on: not between frames, where a connection may be idle for ever, and not
 * while it is paused, where it is us who do not go on. When it goes on after
 * that, it has no new time unless something was sent meanwhile: else many that
 * have stopped would get the room one after the other, and hold it each.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "env/uring_conn.h"

#define RECV_BUDGET	8		/* calls per connection and turn */
#define SCRATCH_KEEP	(64u << 10)	/* larger ones are freed after use */
#define STALL_NS	(CONN_FRAME_STALL_S * NSEC_PER_SEC)

/* ---- the buffer ----------------------------------------------------------- */

static uint32_t buffered(const struct env_conn *conn)
{
	return conn->end - conn->begin;
}

static bool take(struct env_conn *conn, void *to, uint32_t len)
{
	if (buffered(conn) < len)
		return false;
	memcpy(to, conn->buffer + conn->begin, len);
	conn->begin += len;
	return true;
}

static void compact(struct env_conn *conn)
{
	uint32_t len = buffered(conn);

	if (conn->begin && len)
		memmove(conn->buffer, conn->buffer + conn->begin, len);
	conn->begin = 0;
	conn->end = len;
}

/* ---- one frame ------------------------------------------------------------ */

static int parse_header(struct env_conn *conn)
{
	if (!take(conn, &conn->disk, sizeof(conn->disk)))
		return -EAGAIN;
	conn->step = RECV_BODY;
	return wire_decode_header(&conn->disk, &conn->hdr);
}

static int parse_body(struct env_conn *conn)
{
	if (!take(conn, conn->body, conn->hdr.body_len))
		return -EAGAIN;
	conn->step = RECV_ROOM;
	return wire_check_crc(&conn->disk, conn->body);
}

static int check_room(const struct env_conn *conn)
{
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < conn->room_count; i++)
		bytes += conn->room[i].iov_len;
	if (bytes != conn->hdr.data_len)
		return error_set(-EPROTO, "%s frame: %u bytes of data, but room for %llu",
				 wire_type_name(conn->hdr.type),
				 conn->hdr.data_len, (unsigned long long)bytes);
	return 0;
}

/* Memory of ours: the buffer itself if all is there and aligned. */
static int give_scratch(struct env_conn *conn)
{
	uint32_t len = conn->hdr.data_len;

	conn->room_count = 1;
	conn->room[0].iov_len = len;
	if (buffered(conn) >= len && conn->begin % 8 == 0) {
		conn->room[0].iov_base = conn->buffer + conn->begin;
		conn->begin += len;
		conn->received = len;
		return 0;
	}
	if (conn->scratch_size < len) {
		free(conn->scratch);
		conn->scratch_size = MAX(len, 4096u);
		conn->scratch = malloc(conn->scratch_size);
	}
	if (!conn->scratch) {
		conn->scratch_size = 0;
		return error_set(-ENOMEM, "out of memory");
	}
	conn->room[0].iov_base = conn->scratch;
	return 0;
}

static int find_room(struct env_conn *conn)
{
	int n = 0;

	conn->received = 0;
	conn->room_count = 0;
	if (conn->hdr.data_len && conn->ops->data_room)
		n = conn->ops->data_room(conn->ctx, conn, &conn->hdr,
					 conn->body, conn->room, CONN_ROOM_MAX);
	if (conn_is_dead(conn))
		return -ECANCELED;
	if (n == -EAGAIN) {
		conn->paused = true;
		return -EAGAIN;
	}
	if (n < 0)
		return error_set(n, "%s frame: no room for its data",
				 wire_type_name(conn->hdr.type));
	conn->step = RECV_DATA;
	if (n == 0)
		return conn->hdr.data_len ? give_scratch(conn) : 0;
	conn->room_count = n;
	return check_room(conn);
}

/* Pieces of data's room that are still empty; the number of entries. */
static int room_left(const struct env_conn *conn, struct iovec *iov)
{
	size_t skip = conn->received;
	int i, n = 0;

	for (i = 0; i < conn->room_count; i++) {
		const struct iovec *room = &conn->room[i];

		if (skip >= room->iov_len) {
			skip -= room->iov_len;
			continue;
		}
		iov[n].iov_base = (uint8_t *)room->iov_base + skip;
		iov[n].iov_len = room->iov_len - skip;
		skip = 0;
		n++;
	}
	return n;
}

static void copy_from_buffer(struct env_conn *conn)
{
	struct iovec iov[CONN_ROOM_MAX];
	int i, n = room_left(conn, iov);

	for (i = 0; i < n && buffered(conn); i++) {
		uint32_t part = MIN(buffered(conn), (uint32_t)iov[i].iov_len);

		take(conn, iov[i].iov_base, part);
		conn->received += part;
	}
}

static int finish_frame(struct env_conn *conn)
{
	int err;

	if (conn->received < conn->hdr.data_len && buffered(conn))
		copy_from_buffer(conn);
	if (conn->received < conn->hdr.data_len)
		return -EAGAIN;
	err = wire_check_data(&conn->hdr, conn->room, conn->room_count);
	if (err)
		return err;
	conn->step = RECV_HEADER;
	conn->ops->message(conn->ctx, conn, &conn->hdr, conn->body, conn->room,
			   conn->room_count);
	if (conn_is_dead(conn))
		return -ECANCELED;
	if (conn->scratch_size > SCRATCH_KEEP) {
		free(conn->scratch);
		conn->scratch = NULL;
		conn->scratch_size = 0;
	}
	return 0;
}

static int parse_step(struct env_conn *conn)
{
	switch (conn->step) {
	case RECV_HEADER:
		return parse_header(conn);
	case RECV_BODY:
		return parse_body(conn);
	case RECV_ROOM:
		return find_room(conn);
	default:
		return finish_frame(conn);
	}
}

/*
 * Handle all that is in the buffer. False: the connection is dead or paused,
 * do not read more.
 */
static bool parse(struct env_conn *conn)
{
	int err;

	do {
		err = parse_step(conn);
	} while (!err);
	if (conn_is_dead(conn))
		return false;
	if (err != -EAGAIN) {
		error_prefix("connection to %s", conn->name);
		conn_die(conn, err);
		return false;
	}
	if (conn->paused)
		return false;
	compact(conn);
	return true;
}

/* ---- reading --------------------------------------------------------------- */

static bool inside_frame(const struct env_conn *conn)
{
	return conn->step != RECV_HEADER || buffered(conn);
}

static void end_of_stream(struct env_conn *conn)
{
	int err = 0;

	if (inside_frame(conn))
		err = error_set(-ECONNRESET, "connection to %s ended in the middle of a message",
				conn->name);
	conn_die(conn, err);
}

/* One recvmsg(): bytes, 0 at the end of the stream, -errno. *@asked: room. */
static int receive(struct env_conn *conn, size_t *asked)
{
	struct iovec iov[CONN_ROOM_MAX + 1];
	struct msghdr msg = { .msg_iov = iov };
	uint32_t want = 0, direct;
	int n;

	if (conn->step == RECV_DATA) {
		msg.msg_iovlen = room_left(conn, iov);
		want = conn->hdr.data_len - conn->received;
	}
	iov[msg.msg_iovlen].iov_base = conn->buffer + conn->end;
	iov[msg.msg_iovlen++].iov_len = CONN_BUFFER - conn->end;
	*asked = want + CONN_BUFFER - conn->end;
	n = env_uring_recvmsg(conn->fd, &msg, 0);
	if (n <= 0)
		return n;
	env_timer_cancel(&conn->u->env, &conn->stall);
	conn->last_bytes = env_now(&conn->u->env);
	direct = MIN((uint32_t)n, want);
	conn->received += direct;
	conn->end += n - direct;
	return n;
}

/* False: dead, paused, or nothing more to read now. */
static bool receive_and_parse(struct env_conn *conn)
{
	size_t asked;
	int n = receive(conn, &asked);

	if (n == -EAGAIN)
		return false;
	if (n == 0) {
		end_of_stream(conn);
		return false;
	}
	if (n < 0) {
		conn_die(conn, error_set(n, "connection to %s: %s", conn->name,
					 strerror(-n)));
		return false;
	}
	return parse(conn) && (size_t)n == asked;
}

static void listen_for_more(struct env_conn *conn)
{
	if (conn_is_dead(conn) || conn->paused)
		return;
	uring_poll_arm(conn->u, &conn->in, conn->fd, POLLIN);
	if (inside_frame(conn) && !env_timer_armed(&conn->stall))
		env_timer_set(&conn->u->env, &conn->stall,
			      conn->last_bytes + STALL_NS);
}

/*
 * Bytes, or the end, that the poll will show: when the connection was paused, or
 * this process did not run, for long.
 */
static bool something_waits(const struct env_conn *conn)
{
	uint8_t byte;
	struct iovec iov = { &byte, sizeof(byte) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return env_uring_recvmsg(conn->fd, &msg, MSG_PEEK) != -EAGAIN;
}

void conn_stalled(struct env_timer *timer)
{
	struct env_conn *conn = container_of(timer, struct env_conn, stall);

	if (something_waits(conn)) {
		env_timer_after(&conn->u->env, timer, STALL_NS);
		return;
	}
	conn_die(conn, error_set(-ETIME, "connection to %s: ended, since nothing came for %d s in the middle of a message",
				 conn->name, CONN_FRAME_STALL_S));
}

void conn_readable(struct uring_poll *poll, int res)
{
	struct env_conn *conn = container_of(poll, struct env_conn, in);
	int budget = RECV_BUDGET;

	conn_pin(conn);
	if (!conn_is_dead(conn)) {
		while (budget-- && receive_and_parse(conn))
			;
		listen_for_more(conn);
	}
	conn_unpin(conn);
}

/* env_conn_resume() was called: ask data_room() again, then go on. */
void conn_receive_again(struct env_conn *conn)
{
	conn_pin(conn);
	conn->paused = false;
	if (parse(conn))
		listen_for_more(conn);
	conn_unpin(conn);
}
