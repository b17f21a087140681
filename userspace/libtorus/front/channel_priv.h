/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the channel share, and its tests; not for anyone else. */
#ifndef TORUS_FRONT_CHANNEL_PRIV_H
#define TORUS_FRONT_CHANNEL_PRIV_H

#include <sys/socket.h>

#include "front/arena.h"
#include "front/channel.h"
#include "front/message.h"

#define RECEIVE_BATCH 16		/* datagrams in one system call */

enum slot_state { SLOT_FREE, SLOT_BUSY, SLOT_ENDED };

/* One per (queue, tag); channel.c draws its life. */
struct channel_slot {
	struct volume_request req;
	struct channel *channel;
	uint32_t generation;
	uint32_t length;
	uint16_t queue, tag;
	uint8_t op;
	enum slot_state state;
};

/* Where recvmmsg() puts what comes. */
struct receive_room {
	struct mmsghdr msgs[RECEIVE_BATCH];
	struct iovec iovs[RECEIVE_BATCH];
	struct sockaddr_nl from[RECEIVE_BATCH];
	_Alignas(8) uint8_t data[RECEIVE_BATCH][MESSAGE_SIZE_MAX];
};

/* Our end of the rings of one queue, and those of all queues. */
struct ring_end {
	struct torus_ring *shared;
	struct torus_desc *descs;
	struct torus_completion *completions;
	uint32_t desc_head, completion_tail;
};

struct channel_rings {
	uint32_t mask;
	uint32_t ticket;		/* of the last sleep */
	struct env_poller poller;
	struct channel *channel;
	bool wants_data;		/* of deferred writes, by a drain */
	struct ring_end ends[];
};

struct channel {
	struct channel_config cfg;
	struct session session;
	struct netlink data;		/* for all queues */
	int fd;				/* of data */
	struct arena arena;
	struct descriptor_limits limits;
	struct channel_slot *slots;	/* queue * depth + tag */

	/* Completions that wait for the end of the turn, in order. */
	struct torus_completion *ready;
	unsigned int ready_count, ready_room;
	struct completions_head head;	/* in the message form */
	struct data_head drain;		/* in the ring form */
	struct channel_rings *rings;	/* NULL: the message form */

	struct receive_room *room;
	struct env_watch watch;
	struct env_hook hook;		/* sends what is ready */
	struct env_timer retry;
	struct env_timer lost_timer;	/* tells that the session is over */
	bool started, over;
	int lost_err;
	char lost_text[256];
	uint64_t delayed;		/* times the driver took not all */
};

/* channel.c */

/** channel_prepare() - memory for the session that is bound; 0 or -ENOMEM. */
int channel_prepare(struct channel *ch);

/** channel_request() - a descriptor that came. */
void channel_request(struct channel *ch, const struct torus_desc *desc);

/** channel_sent() - the driver has the first @count of what was ready. */
void channel_sent(struct channel *ch, unsigned int count);

/** channel_lose() - the session is over; told from the loop. */
void channel_lose(struct channel *ch, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* channel_message.c: the message form */

/** channel_take() - one datagram from the driver. */
void channel_take(struct channel *ch, const uint8_t *datagram, size_t len);

void channel_receive(struct channel *ch);

/** channel_message_flush() - send what is ready; 0 or -errno, some sent. */
int channel_message_flush(struct channel *ch);

/* channel_ring.c: the ring form */

/** channel_ring_prepare() - for the session that is bound; 0 or -ENOMEM. */
int channel_ring_prepare(struct channel *ch);

/** channel_ring_start() - look at the rings from now on. */
void channel_ring_start(struct channel *ch);
void channel_ring_stop(struct channel *ch);

/** channel_ring_flush() - publish what is ready and tell; 0 or -errno if it
 * could not be told. */
int channel_ring_flush(struct channel *ch);

#endif
