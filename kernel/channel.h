/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_CHANNEL_H
#define _TORUS_CHANNEL_H

#include <linux/types.h>
#include <linux/torus.h>

struct netlink_ext_ack;
struct nlattr;
struct request;
struct sock;
struct torus_device;
struct torus_queue;
struct torus_session;

/** torus_channel_init - learn what a message costs a socket; 0 or -ENOMEM */
int torus_channel_init(void);

/**
 * torus_channel_rcvbuf_min - receive buffer that one queue's socket must have
 *
 * Return: bytes, as SO_RCVBUF reads them back.
 */
u32 torus_channel_rcvbuf_min(const struct torus_device *dev,
			     enum torus_channel form);

/**
 * torus_channel_prepare - see to it that a request can be handed over
 * @session: of the queue, which cannot be quiesced meanwhile
 *
 * Never sleeps.
 *
 * Return: false if there is no memory for it.
 */
bool torus_channel_prepare(struct torus_queue *queue,
			   struct torus_session *session);

/**
 * torus_channel_defers - whether a drain is to copy the data of a request
 *
 * True for some writes, in the ring form: the submitter has less to do then.
 * The slot says so when the request is submitted.
 */
bool torus_channel_defers(struct torus_queue *queue,
			  struct torus_session *session, struct request *rq);

/**
 * torus_channel_submit - hand a queued slot over, or list it to be sent soon
 * @session: of the queue, which cannot be quiesced meanwhile
 * @last: no other follows at once; if false, torus_channel_send() will be called
 */
void torus_channel_submit(struct torus_queue *queue,
			  struct torus_session *session, u16 tag, bool last);

/**
 * torus_channel_send - have all that is listed sent, and the helper woken
 * @session: of the queue; the caller has a reference, or the queue cannot be
 *	quiesced meanwhile
 *
 * Never sleeps. What cannot be sent stays listed and is sent at the next
 * completion, or by torus_channel_look().
 */
void torus_channel_send(struct torus_queue *queue,
			struct torus_session *session);

/**
 * torus_channel_look - do what nobody else may have done
 * @session: of the queue; the caller has a reference
 *
 * Sends what could not be sent; in the ring form, takes completions whose
 * message did not come through and has itself called again while requests are
 * in flight.
 */
void torus_channel_look(struct torus_queue *queue,
			struct torus_session *session);

/**
 * torus_channel_complete - carry out a message of completions
 * @session: the active session; the caller has a reference
 * @sk: where it came from
 * @attr: an array of struct torus_completion
 *
 * A batch of which any entry could not come from a correct helper is refused
 * whole. Entries that are correct but late are counted and skipped.
 *
 * Return: 0, -EINVAL, -EPERM, -EOPNOTSUPP in the ring form, or -ESTALE if the
 * session has died meanwhile.
 */
int torus_channel_complete(struct torus_session *session, struct sock *sk,
			   const struct nlattr *attr,
			   struct netlink_ext_ack *extack);

/**
 * torus_channel_drain - carry out the completions in the rings of a socket
 * @session: the active session; the caller has a reference
 * @sk: where the message came from
 *
 * What could not come from a correct helper ends the session.
 *
 * Return: 0, -EPERM if @sk is no queue's, or -EOPNOTSUPP without rings.
 */
int torus_channel_drain(struct torus_session *session, struct sock *sk,
			struct netlink_ext_ack *extack);

#endif /* _TORUS_CHANNEL_H */
