/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP connection of the reactor; shared by uring_tcp.c (life),
 * uring_listen.c, uring_send.c and uring_recv.c.
 *
 * States: RESOLVING -> CONNECTING -> OPEN -> DEAD, or OPEN -> DEAD when
 * accepted. A connection that is DEAD has no descriptor, no frames, and calls
 * nobody; its memory goes when no poll is armed, no task is queued, nobody has
 * pinned it (a callback of it is running) and no resolver works for it.
 */
#ifndef TORUS_ENV_URING_CONN_H
#define TORUS_ENV_URING_CONN_H

#include "env/uring_internal.h"
#include "env/uring_resolve.h"

/* Pieces that data_room() may give: a whole record and a little more. */
#define CONN_ROOM_MAX	272
#define CONN_BUFFER	(32u << 10)
#define CONN_NAME_MAX	72
/*
 * Who has begun a frame and sends nothing more of it for so long is given up:
 * the room that data_room() gave for it is kept from others.
 */
#define CONN_FRAME_STALL_S 30

enum conn_state { CONN_RESOLVING, CONN_CONNECTING, CONN_OPEN, CONN_DEAD };

enum recv_step {
	RECV_HEADER,	/* next in the buffer: a header */
	RECV_BODY,	/* header is decoded, body not complete */
	RECV_ROOM,	/* body is checked, data_room() is to be asked */
	RECV_DATA,	/* room is known, data not complete */
};

struct env_conn {
	struct uring *u;
	const struct env_conn_ops *ops;
	void *ctx;
	enum conn_state state;
	int fd;
	int pins;
	struct list_head node;		/* uring.conns */
	struct uring_poll in, out;
	struct uring_task task;		/* resume or fail */
	int fail;			/* -errno for the task, 0: resume */
	char name[CONN_NAME_MAX];

	/* while connecting */
	struct resolve resolve;
	int next_address;

	/* sending: uring_send.c */
	struct list_head frames;
	unsigned int frame_count;
	uint64_t queued;		/* bytes */
	struct list_head flush_node;	/* uring.flush */

	/* receiving: uring_recv.c */
	enum recv_step step;
	bool paused;			/* data_room() said -EAGAIN */
	struct env_timer stall;		/* armed: waiting for the rest of a frame */
	uint64_t last_bytes;		/* ns: when some came */
	uint32_t begin, end;		/* unread part of buffer */
	struct disk_wire_header disk;
	struct wire_header hdr;
	uint8_t body[WIRE_BODY_MAX] __attribute__((aligned(16)));
	struct iovec room[CONN_ROOM_MAX];
	int room_count;
	uint32_t received;		/* bytes of data */
	void *scratch;
	uint32_t scratch_size;
	uint8_t buffer[CONN_BUFFER] __attribute__((aligned(16)));
};

/* uring_tcp.c */
struct env_conn *conn_new(struct uring *u, const struct env_conn_ops *ops,
			  void *ctx);
/* The socket of @fd is connected: options, first read. */
void conn_start(struct env_conn *conn, int fd);
/* From the loop only: sent() for every frame, then closed(). */
void conn_die(struct env_conn *conn, int err);
static inline void conn_pin(struct env_conn *conn)
{
	conn->pins++;
}
void conn_unpin(struct env_conn *conn);
static inline bool conn_is_dead(const struct env_conn *conn)
{
	return conn->state == CONN_DEAD;
}

/* uring_send.c */
void conn_writable(struct uring_poll *poll, int res);
/* Fail all frames: now, or (@later) from the loop. */
void conn_drop_frames(struct env_conn *conn, int err, bool later);

/* uring_recv.c */
void conn_readable(struct uring_poll *poll, int res);
void conn_receive_again(struct env_conn *conn);
void conn_stalled(struct env_timer *timer);

#endif
