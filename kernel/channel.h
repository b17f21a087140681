/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_CHANNEL_H
#define _TORUS_CHANNEL_H

#include <linux/types.h>

struct netlink_ext_ack;
struct nlattr;
struct sock;
struct torus_queue;
struct torus_session;

/** torus_channel_init - learn what a message costs a socket; 0 or -ENOMEM */
int torus_channel_init(void);

/** torus_channel_message_size - what one message takes of a receive buffer */
u32 torus_channel_message_size(void);

/**
 * torus_channel_prepare - see to it that there is a message for a descriptor
 *
 * Never sleeps.
 *
 * Return: false if there is no memory for one.
 */
bool torus_channel_prepare(struct torus_queue *queue);

/**
 * torus_channel_send - send the unsent descriptors of a queue
 * @session: its session; the caller has a reference, or the queue cannot be
 *	quiesced meanwhile
 *
 * Never sleeps. What cannot be sent stays listed and is sent at the next
 * completion, or after 10 ms.
 */
void torus_channel_send(struct torus_queue *queue,
			struct torus_session *session);

/**
 * torus_channel_complete - carry out a batch of completions
 * @session: the active session; the caller has a reference
 * @sk: where it came from
 * @attr: an array of struct torus_completion
 *
 * A batch of which any entry could not come from a correct helper is refused
 * whole. Entries that are correct but late are counted and skipped.
 *
 * Return: 0, -EINVAL, -EPERM, or -ESTALE if the session has died meanwhile.
 */
int torus_channel_complete(struct torus_session *session, struct sock *sk,
			   const struct nlattr *attr,
			   struct netlink_ext_ack *extack);

#endif /* _TORUS_CHANNEL_H */
