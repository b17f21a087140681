// SPDX-License-Identifier: Apache-2.0
/*
 * The message form of the channel: several datagrams in one system call, each
 * with several descriptors; up to 64 completions in one message.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "front/channel_priv.h"

/* One wake-up reads at most so often, so that the rest gets its turn. */
#define RECEIVES_MAX 8

/* ---- in ---------------------------------------------------------------- */

static void take_descriptors(struct channel *ch, const struct message *m)
{
	struct torus_desc desc;

	/* Left over from before: the kernel gave this port to us since. */
	if (m->session != ch->session.id ||
	    m->device != ch->session.device.id)
		return;
	for (size_t i = 0; i < m->count && !ch->over; i++) {
		message_descriptor(m, i, &desc);
		channel_request(ch, &desc);
	}
}

static void take_refusal(struct channel *ch, const struct message *m)
{
	channel_lose(ch, m->err, "the driver refused completions of torus%u: %s",
		     ch->session.device.id,
		     m->sentence ? m->sentence : strerror(-m->err));
}

void channel_take(struct channel *ch, const uint8_t *datagram, size_t len)
{
	struct message_reader r = { datagram, len,
				    (uint16_t)ch->data.family };
	struct message m;
	int more;

	while (!ch->over && (more = message_next(&r, &m)) != 0) {
		if (more < 0)
			channel_lose(ch, more, "the driver sent a message about torus%u that is not well-formed",
				     ch->session.device.id);
		else if (m.kind == MESSAGE_DESCRIPTORS)
			take_descriptors(ch, &m);
		else if (m.kind == MESSAGE_REFUSAL)
			take_refusal(ch, &m);
	}
}

static void take_datagram(struct channel *ch, int i)
{
	const struct mmsghdr *msg = &ch->room->msgs[i];

	if (msg->msg_hdr.msg_namelen != sizeof(struct sockaddr_nl) ||
	    ch->room->from[i].nl_pid != 0)
		return;		/* only the kernel is believed */
	if (msg->msg_hdr.msg_flags & MSG_TRUNC)
		channel_lose(ch, -EMSGSIZE, "the driver sent a message about torus%u that is too long",
			     ch->session.device.id);
	else
		channel_take(ch, ch->room->data[i], msg->msg_len);
}

/* How many datagrams came; fewer than RECEIVE_BATCH: there are no more. */
static int receive_batch(struct channel *ch)
{
	struct receive_room *room = ch->room;
	int n;

	for (int i = 0; i < RECEIVE_BATCH; i++)
		room->msgs[i].msg_hdr.msg_namelen = sizeof(room->from[i]);
	n = recvmmsg(ch->fd, room->msgs, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		channel_lose(ch, -errno, "data socket of torus%u: %s",
			     ch->session.device.id, strerror(errno));
	return n;
}

void channel_receive(struct channel *ch)
{
	int n = RECEIVE_BATCH;

	for (int i = 0; i < RECEIVES_MAX && n == RECEIVE_BATCH; i++) {
		n = receive_batch(ch);
		for (int j = 0; j < n && !ch->over; j++)
			take_datagram(ch, j);
		if (ch->over)
			return;
	}
}

/* ---- out --------------------------------------------------------------- */

static int send_batch(struct channel *ch, struct torus_completion *entries,
		      unsigned int count)
{
	struct iovec iov[2] = {
		{ &ch->head, sizeof(ch->head) },
		{ entries, count * sizeof(*entries) },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int n;

	completions_head_set(&ch->head, count);
	n = env_uring_sendmsg(ch->fd, &msg, 0);
	return n < 0 ? n : 0;
}

int channel_message_flush(struct channel *ch)
{
	unsigned int n;
	int err = 0;

	while (ch->ready_count && !err) {
		n = MIN(ch->ready_count, (unsigned int)TORUS_COMPLETION_BATCH);
		err = send_batch(ch, ch->ready, n);
		if (!err)
			channel_sent(ch, n);
	}
	return err;
}
