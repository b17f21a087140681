/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the simulated network: frames, ends of connections. */
#ifndef TORUS_SIM_NET_H
#define TORUS_SIM_NET_H

#include "sim_internal.h"

struct payload {
	int refs;
	size_t len;
	uint8_t bytes[];
};

enum frame_kind { FRAME_CONNECT, FRAME_ACCEPT, FRAME_OPEN, FRAME_DATA,
		  FRAME_END };

struct frame {
	struct list_head node;
	uint64_t due;
	enum frame_kind kind;
	int err;			/* END */
	struct disk_wire_header head;
	uint8_t body[WIRE_BODY_MAX];
	struct payload *data;
};

struct unsent {
	struct list_head node;
	uint64_t due;
	int err;
	env_sent_fn fn;
	void *arg;
	struct payload *copy;
	struct iovec *iov;
	int iov_count;
};

struct env_conn {
	struct list_head node;		/* on owner->conns */
	struct sim_node *owner;
	struct sim_node *remote;	/* NULL: no such host */
	struct env_conn *other;		/* NULL: gone */
	const struct env_conn_ops *ops;	/* NULL before accept */
	void *ctx;
	struct list_head in;
	struct sim_event deliver;
	uint64_t last_due;
	bool paused;			/* data_room() had no room */
	bool dead;			/* closed: no callback any more */
	bool half_open;			/* the other machine died */
	bool unanswered;		/* and something was sent to it */
	int busy;			/* callbacks running */
	struct list_head unsent;
	struct sim_event sent_event;
	char address[64];		/* being connected to */
};

struct listener {
	struct list_head node;
	struct sim_node *owner;		/* NULL: nobody listens any more */
	struct sim_node *host;
	env_accept_fn accept;
	void *ctx;
	char address[64];
};

/* sim_conn.c */
void sim_payload_put(struct payload *p);
struct payload *sim_payload_new(const struct iovec *iov, int count, size_t len);
void sim_frame_free(struct frame *f);
/* Put a frame on its way to @to, behind all others. */
struct frame *sim_frame_push(struct env_conn *to, enum frame_kind kind,
			     uint64_t delay);
/* Keep the first @keep frames on their way to @c. */
void sim_frames_drop(struct env_conn *c, unsigned int keep);
uint64_t sim_net_delay(struct sim *sim);
struct env_conn *sim_conn_new(struct sim_node *owner, struct sim_node *remote);
void sim_conn_free(struct env_conn *c);
/* A callback of @c has returned: free it if it is dead and idle. */
void sim_conn_unbusy(struct env_conn *c);
/* Break the way to the other end; @c will hear of @err, behind what is kept of
 * the frames on their way to it. */
void sim_conn_reset(struct env_conn *c, int err, bool lossy);
void sim_deliver_arm(struct env_conn *c);
void sim_unsent_add(struct env_conn *c, struct payload *copy,
		    const struct iovec *data, int count, uint64_t until,
		    env_sent_fn fn, void *arg);
void sim_unsent_free(struct unsent *u);
void sim_unsent_call(struct unsent *u, int err);

/* sim_net.c */
void sim_deliver_event(struct sim_event *event);
struct listener *sim_listener_find(struct sim *sim, const char *address);

#endif
