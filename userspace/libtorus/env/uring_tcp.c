// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a connection (states in uring_conn.h).
 *
 * Readiness comes through the ring, bytes are moved by recvmsg() and
 * sendmsg() from the loop: so no request of the kernel ever holds memory of
 * the caller, and closing is immediate, as env_conn_close() promises.
 *
 * conn_die() is the one way from alive to dead that tells the owner, and only
 * the loop calls it. uring_conn_close() is the owner's own way. Both may
 * happen inside a callback of the connection; conn_pin() keeps the memory
 * until the callback is through.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "env/uring_conn.h"

/*
 * A connection ends when the other side has not answered for so long: idle ones
 * are probed for it. It ends as well when the other side has taken nothing of
 * what is to be sent to it, although its machine is well: a process that is
 * stopped must not hold for ever the memory that its answers lie in, which
 * others wait for.
 */
#define KEEPALIVE_IDLE_S	15
#define KEEPALIVE_INTERVAL_S	5
#define KEEPALIVE_COUNT		3
#define STALL_MS (1000 * (KEEPALIVE_IDLE_S + \
			  KEEPALIVE_INTERVAL_S * KEEPALIVE_COUNT))

static void run_task(struct uring_task *task)
{
	struct env_conn *conn = container_of(task, struct env_conn, task);

	if (!conn_is_dead(conn) && conn->fail)
		conn_die(conn, conn->fail);
	else if (!conn_is_dead(conn))
		conn_receive_again(conn);
}

struct env_conn *conn_new(struct uring *u, const struct env_conn_ops *ops,
			  void *ctx)
{
	struct env_conn *conn = malloc(sizeof(*conn));

	if (!conn)
		return NULL;
	/* The buffer stays untouched until bytes come. */
	memset(conn, 0, offsetof(struct env_conn, buffer));
	conn->u = u;
	conn->ops = ops;
	conn->ctx = ctx;
	conn->fd = -1;
	conn->in.fn = conn_readable;
	conn->task.fn = run_task;
	env_timer_init(&conn->stall, conn_stalled);
	list_init(&conn->task.node);
	list_init(&conn->frames);
	list_init(&conn->flush_node);
	list_add_tail(&conn->node, &u->conns);
	u->conn_count++;
	return conn;
}

static void conn_free(struct env_conn *conn)
{
	list_del_init(&conn->node);
	list_del_init(&conn->task.node);
	conn->u->conn_count--;
	free(conn->scratch);
	free(conn);
}

static void free_if_unused(struct env_conn *conn)
{
	if (conn_is_dead(conn) && !conn->pins && !conn->in.armed &&
	    !conn->out.armed)
		conn_free(conn);
}

void conn_unpin(struct env_conn *conn)
{
	conn->pins--;
	free_if_unused(conn);
}

/* Leave the network; frames and callbacks are the caller's business. */
static void shut(struct env_conn *conn)
{
	conn->state = CONN_DEAD;
	list_del_init(&conn->flush_node);
	list_del_init(&conn->task.node);
	resolve_cancel(&conn->resolve);
	env_timer_cancel(&conn->u->env, &conn->stall);
	if (conn->fd < 0)
		return;
	uring_poll_cancel(conn->u, &conn->in);
	uring_poll_cancel(conn->u, &conn->out);
	/* A poll in flight holds the socket open beyond close(). */
	shutdown(conn->fd, SHUT_RDWR);
	close(conn->fd);
	conn->fd = -1;
}

void conn_die(struct env_conn *conn, int err)
{
	const struct env_conn_ops *ops;

	if (conn_is_dead(conn))
		return;
	conn_pin(conn);
	shut(conn);
	conn_drop_frames(conn, err ? err : -ECONNRESET, false);
	/* A sent() function may have closed, which takes the ops away. */
	ops = conn->ops;
	conn->ops = NULL;
	if (ops)
		ops->closed(conn->ctx, conn, err);
	conn_unpin(conn);
}

void uring_conn_close(struct env_conn *conn)
{
	conn->ops = NULL;
	if (conn_is_dead(conn))
		return;
	conn_pin(conn);
	shut(conn);
	conn_drop_frames(conn, -ECANCELED, true);
	conn_unpin(conn);
}

/* ---- connecting --------------------------------------------------------- */

static void set_options(int fd)
{
	static const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, STALL_MS },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(options); i++) {
		if (setsockopt(fd, options[i].level, options[i].name,
			       &options[i].value, sizeof(int)) < 0)
			log_debug("socket option %d: %s", options[i].name,
				  strerror(errno));
	}
}

void conn_start(struct env_conn *conn, int fd)
{
	conn->fd = fd;
	conn->state = CONN_OPEN;
	conn->out.fn = conn_writable;
	set_options(fd);
	uring_poll_arm(conn->u, &conn->in, fd, POLLIN);
}

/* From a submission call: closed() comes in the next turn. */
static void fail_later(struct env_conn *conn, int err)
{
	conn->fail = err;
	uring_task_add(conn->u, &conn->task);
}

static int start_one(struct env_conn *conn, int i)
{
	struct resolve_result *r = &conn->resolve.result;
	int fd, err = 0;

	fd = socket(r->address[i].ss_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&r->address[i], r->length[i]) < 0)
		err = -errno;
	if (err && err != -EINPROGRESS) {
		close(fd);
		return err;
	}
	conn->fd = fd;
	/* Writable once it is connected or has failed. */
	uring_poll_arm(conn->u, &conn->out, fd, POLLOUT);
	return 0;
}

/* The next of the addresses that the name has; -errno when none is left. */
static int try_next(struct env_conn *conn, int err)
{
	while (conn->next_address < conn->resolve.result.count) {
		err = start_one(conn, conn->next_address++);
		if (!err)
			return 0;
	}
	return error_set(err, "cannot connect to %s: %s", conn->name,
			 strerror(-err));
}

static void connect_ready(struct uring_poll *poll, int res)
{
	struct env_conn *conn = container_of(poll, struct env_conn, out);
	socklen_t len = sizeof(int);
	int fd = conn->fd, err = 0;

	if (conn_is_dead(conn)) {
		free_if_unused(conn);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err) {
		close(fd);
		conn->fd = -1;
		err = try_next(conn, -err);
		if (err)
			conn_die(conn, err);
		return;
	}
	conn_start(conn, fd);
	conn_pin(conn);
	if (conn->ops->opened)
		conn->ops->opened(conn->ctx, conn);
	conn_unpin(conn);
}

/* Addresses are known, or why not; an error if there is nothing to wait for. */
static int resolved(struct env_conn *conn)
{
	struct resolve_result *r = &conn->resolve.result;

	conn->state = CONN_CONNECTING;
	if (r->err)
		return error_set(r->err, "cannot connect to %s: %s",
				 conn->name, r->text);
	return try_next(conn, -EHOSTUNREACH);
}

static void resolve_done(struct resolve *resolve)
{
	struct env_conn *conn = container_of(resolve, struct env_conn, resolve);
	int err = resolved(conn);

	if (err)
		conn_die(conn, err);
}

struct env_conn *uring_connect(struct env *env, const char *address,
			       const struct env_conn_ops *ops, void *ctx)
{
	struct env_conn *conn = conn_new(to_uring(env), ops, ctx);
	int err;

	if (!conn)
		return NULL;
	snprintf(conn->name, sizeof(conn->name), "%s", address);
	conn->state = CONN_RESOLVING;
	conn->out.fn = connect_ready;
	conn->resolve.fn = resolve_done;
	err = resolve_start(env, address, &conn->resolve);
	if (!err)
		err = resolved(conn);
	if (err && err != -EINPROGRESS)
		fail_later(conn, err);
	return conn;
}

void uring_conn_resume(struct env_conn *conn)
{
	if (conn->paused && !conn_is_dead(conn))
		uring_task_add(conn->u, &conn->task);
}

void uring_conns_free(struct uring *u)
{
	struct env_conn *conn, *tmp;

	list_for_each_entry_safe(conn, tmp, &u->conns, node) {
		conn_drop_frames(conn, -ECANCELED, true);
		resolve_cancel(&conn->resolve);
		env_timer_cancel(&u->env, &conn->stall);
		if (conn->fd >= 0)
			close(conn->fd);
		conn_free(conn);
	}
}

const char *uring_conn_name(const struct env_conn *conn)
{
	return conn->name;
}

uint64_t env_uring_conn_queued(const struct env_conn *conn)
{
	return conn->queued;
}
