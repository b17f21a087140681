// SPDX-License-Identifier: Apache-2.0
/*
 * State changes of devices: a socket of their own in the driver's multicast
 * group. Events only tell when to look: the kernel drops what does not fit into
 * the buffer, and says so once (ENOBUFS).
 */
#include <errno.h>
#include <netlink/genl/genl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "front/control.h"
#include "front/netlink.h"

/* One reading handles at most so many: whoever floods does not stop us. */
#define EVENTS_PER_READ 64
#define EVENT_SIZE_MAX 4096

struct control_events {
	struct netlink nl;
	void (*fn)(void *ctx, const struct control_event *e);
	void *ctx;
	struct env *env;		/* that watches it, or NULL */
	struct env_watch watch;
	bool *closed;			/* set when closed inside of fn() */
	_Alignas(8) char buffer[EVENT_SIZE_MAX];
};

int control_events_open(struct control_events **events,
			void (*fn)(void *ctx, const struct control_event *e),
			void *ctx)
{
	struct control_events *ev = calloc(1, sizeof(*ev));
	int err;

	if (!ev)
		return error_set(-ENOMEM, "out of memory");
	err = netlink_open(&ev->nl);
	if (!err && nl_socket_add_membership(ev->nl.sock, ev->nl.group) < 0) {
		netlink_close(&ev->nl);
		err = error_set(-EIO, "cannot join the group of torus state changes");
	}
	if (err) {
		free(ev);
		return err;
	}
	ev->fn = fn;
	ev->ctx = ctx;
	*events = ev;
	return 0;
}

void control_events_close(struct control_events *ev)
{
	if (!ev)
		return;
	if (ev->closed)
		*ev->closed = true;
	if (ev->env)
		env_uring_unwatch(ev->env, &ev->watch);
	netlink_close(&ev->nl);
	free(ev);
}

int control_events_fd(const struct control_events *ev)
{
	return netlink_fd(&ev->nl);
}

static bool parse_event(struct nlmsghdr *hdr, int family,
			struct control_event *e)
{
	static const struct nla_policy policy[TORUS_A_DEV_MAX + 1] = {
		[TORUS_A_DEV_ID] = { .type = NLA_U32 },
		[TORUS_A_DEV_STATE] = { .type = NLA_U32 },
		[TORUS_A_DEV_ERROR] = { .type = NLA_U32 },
	};
	struct nlattr *attrs[TORUS_A_DEV_MAX + 1];

	if (hdr->nlmsg_type != family || !genlmsg_valid_hdr(hdr, 0) ||
	    genlmsg_hdr(hdr)->cmd != TORUS_CMD_DEV_EVENT ||
	    genlmsg_parse(hdr, 0, attrs, TORUS_A_DEV_MAX, policy) < 0 ||
	    !attrs[TORUS_A_DEV_ID] || !attrs[TORUS_A_DEV_STATE])
		return false;
	e->id = nla_get_u32(attrs[TORUS_A_DEV_ID]);
	e->state = nla_get_u32(attrs[TORUS_A_DEV_STATE]);
	if (attrs[TORUS_A_DEV_ERROR])
		e->error = (int32_t)nla_get_u32(attrs[TORUS_A_DEV_ERROR]);
	return true;
}

/* One datagram. -EAGAIN: there was none. */
static int read_one(struct control_events *ev, struct control_event *e,
		    bool *is_event)
{
	struct iovec iov = { ev->buffer, sizeof(ev->buffer) };
	struct sockaddr_nl from = { 0 };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from),
			      .msg_iov = &iov, .msg_iovlen = 1 };
	struct nlmsghdr *hdr = (struct nlmsghdr *)ev->buffer;
	int n = env_uring_recvmsg(control_events_fd(ev), &msg, 0);

	memset(e, 0, sizeof(*e));
	*is_event = false;
	if (n == -ENOBUFS) {
		e->lost = true;
		*is_event = true;
		return 0;
	}
	if (n < 0)
		return n;
	if (from.nl_pid == 0 && !(msg.msg_flags & MSG_TRUNC) &&
	    nlmsg_ok(hdr, n))
		*is_event = parse_event(hdr, ev->nl.family, e);
	return 0;
}

void control_events_read(struct control_events *ev)
{
	struct control_event e;
	bool closed = false, is_event;

	ev->closed = &closed;
	for (int i = 0; i < EVENTS_PER_READ; i++) {
		if (read_one(ev, &e, &is_event))
			break;
		if (is_event)
			ev->fn(ev->ctx, &e);
		if (closed)
			return;
	}
	ev->closed = NULL;
}

static void ready(struct env_watch *watch, uint32_t revents)
{
	(void)revents;
	control_events_read(watch->ctx);
}

int control_events_watch(struct control_events *ev, struct env *env)
{
	int err;

	ev->watch.fn = ready;
	ev->watch.ctx = ev;
	err = env_uring_watch_fd(env, &ev->watch, control_events_fd(ev), POLLIN);
	if (!err)
		ev->env = env;
	return err;
}
