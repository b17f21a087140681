// SPDX-License-Identifier: Apache-2.0
/*
 * A call is a message out and messages in until the acknowledgement (or the
 * end of a dump) comes. What is not from the kernel, and answers to an earlier
 * call that was given up, are skipped.
 */
#include "front/netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <linux/torus.h>

#include "base/error.h"

/* Handlers run inside of our send: only a lost answer can take longer. */
#define ANSWER_TIMEOUT_S 3
#define ERRNO_MAX 4095

struct call {
	netlink_answer_fn answer;
	void *ctx;
	uint32_t seq;
	int err;
	bool done;
	bool interrupted;
};

static int from_libnl(int err, const char *what)
{
	switch (-err) {
	case NLE_AGAIN:
		return error_set(-ETIMEDOUT, "%s: the kernel does not answer", what);
	case NLE_NOMEM:
		return error_set(-ENOMEM, "%s: out of memory", what);
	case NLE_PERM:
	case NLE_NOACCESS:
		return error_set(-EPERM, "%s: %s (are you root?)", what,
				 nl_geterror(err));
	default:
		return error_set(-EIO, "%s: %s", what, nl_geterror(err));
	}
}

static int resolve(struct netlink *nl)
{
	nl->family = genl_ctrl_resolve(nl->sock, TORUS_FAMILY_NAME);
	if (nl->family == -NLE_OBJ_NOTFOUND)
		return error_set(-ENODEV, "the torus module is not loaded: modprobe torus");
	if (nl->family < 0)
		return from_libnl(nl->family, "netlink family torus");
	nl->group = genl_ctrl_resolve_grp(nl->sock, TORUS_FAMILY_NAME,
					  TORUS_MCGRP_STATE);
	if (nl->group < 0)
		return from_libnl(nl->group, "netlink group of torus");
	return 0;
}

static int set_options(struct nl_sock *sock)
{
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
	int fd = nl_socket_get_fd(sock), one = 1;

	/* Without these two, errors are only numbers, and longer. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)))
		return error_set(-errno, "netlink: %s", strerror(errno));
	return 0;
}

int netlink_open(struct netlink *nl)
{
	int err;

	memset(nl, 0, sizeof(*nl));
	nl->sock = nl_socket_alloc();
	if (!nl->sock)
		return error_set(-ENOMEM, "out of memory");
	err = genl_connect(nl->sock);	/* opens it with SOCK_CLOEXEC */
	err = err < 0 ? from_libnl(err, "netlink") : set_options(nl->sock);
	if (!err)
		err = resolve(nl);
	if (err)
		netlink_close(nl);
	return err;
}

void netlink_close(struct netlink *nl)
{
	if (nl->sock)
		nl_socket_free(nl->sock);
	nl->sock = NULL;
}

int netlink_fd(const struct netlink *nl)
{
	return nl_socket_get_fd(nl->sock);
}

struct nl_msg *netlink_message(struct netlink *nl, uint8_t command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, nl->family, 0,
				flags, command, TORUS_FAMILY_VERSION)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

/* The attributes begin after the message that was refused, if that is there. */
static const char *find_sentence(const struct nlmsghdr *hdr,
				 const struct nlmsgerr *e)
{
	size_t len = hdr->nlmsg_len - NLMSG_HDRLEN, skip = sizeof(*e);
	struct nlattr *attr;

	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < NLMSG_HDRLEN || e->msg.nlmsg_len > len)
			return NULL;
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - NLMSG_HDRLEN;
	}
	if (skip > len)
		return NULL;
	attr = nla_find((const struct nlattr *)((const char *)e + skip),
			(int)(len - skip), NLMSGERR_ATTR_MSG);
	if (!attr || nla_len(attr) < 1 ||
	    !memchr(nla_data(attr), 0, (size_t)nla_len(attr)))
		return NULL;
	return nla_data(attr);
}

const char *netlink_refusal(const struct nlmsghdr *hdr, int *err)
{
	const struct nlmsgerr *e = NLMSG_DATA(hdr);

	if (hdr->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) || e->error > 0 ||
	    e->error < -ERRNO_MAX) {
		*err = -EBADMSG;
		return NULL;
	}
	*err = e->error;
	return find_sentence(hdr, e);
}

static int check_sender(struct nl_msg *msg, void *arg)
{
	const struct call *call = arg;
	const struct sockaddr_nl *from = nlmsg_get_src(msg);

	if (from->nl_pid != 0 || nlmsg_hdr(msg)->nlmsg_seq != call->seq)
		return NL_SKIP;
	return NL_OK;
}

static int take_answer(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;

	if (call->answer && genlmsg_valid_hdr(nlmsg_hdr(msg), 0))
		call->answer(call->ctx, nlmsg_hdr(msg));
	return NL_OK;
}

static int take_end(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;

	(void)msg;
	call->done = true;
	return NL_STOP;
}

static int take_interruption(struct nl_msg *msg, void *arg)
{
	struct call *call = arg;

	(void)msg;
	call->interrupted = true;
	return NL_OK;
}

static int take_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	const struct nlmsghdr *hdr =
		(const struct nlmsghdr *)((const char *)e - NLMSG_HDRLEN);
	struct call *call = arg;
	const char *sentence;

	(void)from;
	sentence = netlink_refusal(hdr, &call->err);
	if (sentence)
		error_set(call->err, "%s", sentence);
	else
		error_set(call->err, "the torus driver: %s",
			  strerror(-call->err));
	call->done = true;
	return NL_STOP;
}

static struct nl_cb *new_callbacks(struct call *call)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_CUSTOM);

	if (!cb)
		return NULL;
	nl_cb_set(cb, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, check_sender, call);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, take_answer, call);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, take_end, call);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, take_end, call);
	nl_cb_set(cb, NL_CB_DUMP_INTR, NL_CB_CUSTOM, take_interruption, call);
	nl_cb_err(cb, NL_CB_CUSTOM, take_error, call);
	return cb;
}

static int wait_for_end(struct netlink *nl, struct call *call)
{
	struct nl_cb *cb = new_callbacks(call);
	int err = 0;

	if (!cb)
		return error_set(-ENOMEM, "out of memory");
	while (!call->done && err >= 0)
		err = nl_recvmsgs(nl->sock, cb);
	nl_cb_put(cb);
	if (call->err)
		return call->err;
	if (!call->done)
		return from_libnl(err, "the torus driver");
	if (call->interrupted)
		return error_set(-EAGAIN, "devices came or went meanwhile");
	return 0;
}

int netlink_call(struct netlink *nl, struct nl_msg *msg,
		 netlink_answer_fn answer, void *ctx)
{
	struct call call = { .answer = answer, .ctx = ctx };
	int err;

	if (!msg)
		return error_set(-ENOMEM, "out of memory");
	if (!(nlmsg_hdr(msg)->nlmsg_flags & NLM_F_DUMP))
		nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
	nl_complete_msg(nl->sock, msg);
	call.seq = nlmsg_hdr(msg)->nlmsg_seq;
	err = nl_send(nl->sock, msg);
	nlmsg_free(msg);
	if (err < 0)
		return from_libnl(err, "the torus driver");
	return wait_for_end(nl, &call);
}
