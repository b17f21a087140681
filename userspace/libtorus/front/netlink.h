/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One generic netlink socket that knows the family of the driver: what the
 * control client (control.h) and the sessions (session.h) have in common.
 * Calls wait for the driver's answer; none of its handlers waits for I/O.
 */
#ifndef TORUS_FRONT_NETLINK_H
#define TORUS_FRONT_NETLINK_H

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <stdint.h>

struct netlink {
	struct nl_sock *sock;		/* NULL: not open */
	int family;
	int group;			/* multicast group of state changes */
};

/**
 * netlink_open() - connect, and look the family up.
 * Returns 0; -ENODEV with "the torus module is not loaded"; or -errno.
 */
int netlink_open(struct netlink *nl);
void netlink_close(struct netlink *nl);
int netlink_fd(const struct netlink *nl);

/** netlink_message() - begin a command; NULL: out of memory. */
struct nl_msg *netlink_message(struct netlink *nl, uint8_t command, int flags);

/* @hdr: a whole message of the family, its length checked. */
typedef void (*netlink_answer_fn)(void *ctx, struct nlmsghdr *hdr);

/**
 * netlink_call() - send @msg and wait for its end.
 * @msg: freed in any case. NULL is -ENOMEM, so that a message that could not
 *       be built needs no test of its own.
 * @answer: called for every message that comes back; may be NULL
 * Returns 0, what the driver said (its sentence is the error text), -ETIMEDOUT
 * when the kernel does not answer, or -EAGAIN when a dump has to be repeated.
 */
int netlink_call(struct netlink *nl, struct nl_msg *msg,
		 netlink_answer_fn answer, void *ctx);

/**
 * netlink_refusal() - the driver's sentence in an error message, or NULL.
 * @hdr: an NLMSG_ERROR of @len bytes at least its own length
 * @err: gets the error, 0 for an acknowledgement, -EBADMSG if it is malformed
 * The sentence lies in the message.
 */
const char *netlink_refusal(const struct nlmsghdr *hdr, int *err);

#endif
