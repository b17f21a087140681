// SPDX-License-Identifier: Apache-2.0
/*
 * Listening sockets. They live as long as the reactor. When descriptors run
 * out, accepting pauses: the socket stays readable, and trying again at once
 * would turn the loop into a poll.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "env/uring_conn.h"

#define ACCEPT_BATCH	64
#define ACCEPT_PAUSE	(100 * NSEC_PER_MSEC)

struct listener {
	struct uring *u;
	struct list_head node;
	struct env_watch watch;
	struct env_timer pause;
	int fd;
	env_accept_fn accept;
	void *ctx;
};

static void format_name(const struct sockaddr *sa, socklen_t len,
			char name[CONN_NAME_MAX])
{
	char host[48], port[8];

	if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(name, CONN_NAME_MAX, "(unknown)");
	else
		snprintf(name, CONN_NAME_MAX,
			 strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static void accept_conn(struct listener *l, int fd,
			const struct sockaddr_storage *sa, socklen_t len)
{
	const struct env_conn_ops *ops;
	struct env_conn *conn;
	void *ctx = NULL;

	conn = l->u->conn_count < l->u->connections_max ?
		conn_new(l->u, NULL, NULL) : NULL;
	if (!conn) {
		log_warning("connection refused: %u connections, or out of memory",
			    l->u->conn_count);
		close(fd);
		return;
	}
	format_name((const struct sockaddr *)sa, len, conn->name);
	conn_start(conn, fd);
	conn_pin(conn);
	ops = l->accept(l->ctx, conn, &ctx);
	if (!conn_is_dead(conn) && !ops)
		uring_conn_close(conn);
	conn->ops = conn_is_dead(conn) ? NULL : ops;
	conn->ctx = ctx;
	conn_unpin(conn);
}

static void pause_accepting(struct listener *l, int err)
{
	log_warning("accept: %s; trying again in 100 ms", strerror(err));
	env_uring_unwatch(&l->u->env, &l->watch);
	env_timer_after(&l->u->env, &l->pause, ACCEPT_PAUSE);
}

static bool is_of_one_connection(int err)
{
	return err == ECONNABORTED || err == EINTR || err == EPROTO ||
	       err == EPERM || err == ENETDOWN || err == EHOSTUNREACH ||
	       err == ENETUNREACH || err == EHOSTDOWN || err == ENOPROTOOPT;
}

static void listener_ready(struct env_watch *watch, uint32_t revents)
{
	struct listener *l = container_of(watch, struct listener, watch);
	struct sockaddr_storage sa;
	int i, fd;

	for (i = 0; i < ACCEPT_BATCH; i++) {
		socklen_t len = sizeof(sa);

		fd = accept4(l->fd, (struct sockaddr *)&sa, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			accept_conn(l, fd, &sa, len);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (!is_of_one_connection(errno)) {
			pause_accepting(l, errno);
			return;
		}
	}
}

static void listener_continue(struct env_timer *timer)
{
	struct listener *l = container_of(timer, struct listener, pause);

	if (env_uring_watch_fd(&l->u->env, &l->watch, l->fd, POLLIN) < 0)
		env_timer_after(&l->u->env, &l->pause, ACCEPT_PAUSE);
}

static int listen_error(const char *address, int err)
{
	if (err == EADDRINUSE)
		return error_set(-err, "cannot listen on %s: the port is in use by another program (see: ss -ltnp); choose another one",
				 address);
	if (err == EADDRNOTAVAIL)
		return error_set(-err, "cannot listen on %s: this machine has no such address",
				 address);
	return error_set(-err, "cannot listen on %s: %s", address,
			 strerror(err));
}

/* Returns the socket, or -errno. */
static int open_socket(const char *address, const struct resolve_result *r)
{
	int fd, one = 1, err;

	fd = socket(r->address[0].ss_family,
		    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return listen_error(address, errno);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (const struct sockaddr *)&r->address[0],
		 r->length[0]) < 0 ||
	    listen(fd, SOMAXCONN) < 0) {
		err = errno;
		close(fd);
		return listen_error(address, err);
	}
	return fd;
}

static uint16_t socket_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	/* The port is at the same place in both families. */
	return ntohs(((struct sockaddr_in *)&sa)->sin_port);
}

int uring_listen(struct env *env, const char *address, env_accept_fn accept,
		 void *ctx)
{
	struct uring *u = to_uring(env);
	struct resolve_result result;
	struct listener *l;
	int fd, err;

	/* At start-up, so that waiting for a name server is no harm. */
	resolve_now(address, false, true, &result);
	if (result.err)
		return error_set(result.err, "cannot listen on %s: %s", address,
				 result.text);
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(-ENOMEM, "out of memory");
	fd = open_socket(address, &result);
	if (fd < 0) {
		free(l);
		return fd;
	}
	l->u = u;
	l->fd = fd;
	l->accept = accept;
	l->ctx = ctx;
	l->watch.fn = listener_ready;
	env_timer_init(&l->pause, listener_continue);
	err = env_uring_watch_fd(env, &l->watch, fd, POLLIN);
	if (err < 0) {
		close(fd);
		free(l);
		return error_set(err, "out of memory");
	}
	list_add_tail(&l->node, &u->listeners);
	u->port = socket_port(fd);
	return 0;
}

void uring_listeners_free(struct uring *u)
{
	struct listener *l, *tmp;

	list_for_each_entry_safe(l, tmp, &u->listeners, node) {
		list_del_init(&l->node);
		close(l->fd);
		free(l);
	}
}

uint16_t env_uring_port(struct env *env)
{
	return to_uring(env)->port;
}
