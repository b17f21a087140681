/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include <linux/torus.h>
#include <linux/torus_io.h>

#include "port.h"

#define SESSION_PENDING 2048
#define SESSION_SOCKETS 2

enum session_state {
	SESSION_CLOSED,
	SESSION_OPEN,		/* sockets and arena are there */
	SESSION_BOUND,
	SESSION_STARTED,
};

/* Requests that wait, in no order, until somebody answers them. */
struct session_pending {
	unsigned int nr;
	struct torus_desc descs[SESSION_PENDING];
};

/* A helper's side of one session. */
struct session {
	enum session_state state;
	uint32_t dev_id;
	uint64_t id;
	uint32_t form;
	struct port control;
	struct port data[SESSION_SOCKETS];
	/* queues that each of them serves */
	uint64_t masks[SESSION_SOCKETS];
	int arena_fd;
	uint8_t *arena;
	size_t arena_size;
	/* what bind has told */
	uint32_t rcvbuf_min;
	uint32_t queues;
	uint32_t depth;
	uint32_t io_size_max;
	uint32_t ring_entries;
	uint32_t ring_stride;
	uint64_t remembered;
	uint32_t remembered_crc;
	uint8_t incarnation[TORUS_INCARNATION_LEN];
	uint64_t device_size;
	/* log sequence of the newest completion */
	uint64_t sequence;
	uint32_t heads[TORUS_QUEUES_MAX];
	uint32_t tails[TORUS_QUEUES_MAX];
	/* the rings were spoilt: what is in them means nothing any more */
	bool rings_spoilt;
	/* refused as stale, although it may only not be active yet */
	unsigned int doubts;
	/* the first descriptor that no driver may send; empty: none */
	char wrong[120];
	/* by the socket that serves their queue */
	struct session_pending pending[SESSION_SOCKETS];
};

/* As DEV_GET tells it. */
struct session_device {
	uint32_t id;
	uint32_t queues;
	uint32_t depth;
	uint32_t io_size_max;
	uint32_t state;
};

/* A sealed memfd, locked in memory. The descriptor or -errno. */
int session_arena(size_t size, uint8_t **map);

/* Bytes of the rings of all queues of a device; and what one queue takes. */
size_t session_rings_size(uint32_t queues, uint32_t depth);

/* Nothing is open. */
void session_init(struct session *s);

/* From closed to open; 0 or -errno. */
int session_open(struct session *s, const struct session_device *dev,
		 uint32_t form);
void session_close(struct session *s);

/* Takes in the answer to bind. */
void session_bound(struct session *s, const struct answer *answer);

uint64_t session_all_queues(const struct session *s);
uint64_t session_free_queues(const struct session *s);

/* Makes the socket's receive buffer fit so many queues more. 0 or -errno. */
int session_make_room(struct session *s, struct port *port,
		      unsigned int queues);

/* What comes on a data socket; for port_call(). */
void session_event(void *session, const struct nlmsghdr *hdr);

/* Collects what has come, on the sockets and in the rings. */
void session_take(struct session *s);

/* Takes one of the waiting requests and makes the completion of success. */
void session_finish(struct session *s, struct session_pending *pending,
		    unsigned int index, struct torus_completion *completion);

/* Which of the data sockets serves a queue. */
unsigned int session_socket_of(const struct session *s, unsigned int queue);

/* CRC of the imagined log's record. */
uint32_t session_crc(uint64_t sequence);

/* The rings of a queue; NULL without, or if they do not fit the arena. */
struct torus_ring *session_ring(struct session *s, unsigned int queue);
struct torus_completion *session_completions(struct session *s,
					     unsigned int queue);
struct torus_desc *session_descs(struct session *s, unsigned int queue);

/* Puts a completion into its queue's ring, and has its tail say so. */
void session_publish(struct session *s, const struct torus_completion *c);

#endif
