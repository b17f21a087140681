/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of peer/ share. */
#ifndef TORUS_PEER_PEER_PRIV_H
#define TORUS_PEER_PEER_PRIV_H

#include "base/hash.h"
#include "peer/peer.h"

/*
 * The argument of sent() for a request with data. It outlives its call (when
 * that is cancelled the connection goes, but sent() still comes later), its
 * connection, and even the set.
 */
struct peer_flight {
	struct peer_set *set;		/* NULL: gone */
	struct peer_call *call;		/* NULL: abandoned */
	struct list_head node;		/* set->flights or set->spare_flights */
	/* A reply that came before sent(), kept until then. */
	bool answered;
	uint32_t status;
	uint8_t body[WIRE_BODY_MAX] __attribute__((aligned(8)));
	void *data;
	uint32_t data_len;
};

struct peer_set {
	struct env *env;
	struct peer_set_config cfg;
	struct list_head peers;
	struct hash_table by_id;
	struct list_head finished;	/* failed calls; done() comes from kick */
	struct env_timer kick;
	struct list_head flights, spare_flights;
	uint64_t next_request;
	bool *freed;			/* set by peer_set_free() for callers of
					 * callbacks further down the stack */
};

struct peer {
	struct peer_set *set;
	struct list_head node;
	struct hash_node by_id;
	struct uuid id;
	char *address;
	char name[UUID_TEXT_SIZE];
	enum peer_state state;
	struct env_conn *conn;		/* NULL: PEER_DOWN */
	struct uuid incarnation;
	struct list_head queued;	/* calls that wait for PEER_UP */
	struct list_head in_flight;	/* calls handed to the env, in order */
	struct env_timer handshake;	/* armed while PEER_CONNECTING */
	struct env_timer progress;
	struct env_timer retry;		/* armed during a back-off */
	uint64_t last_progress;		/* of calls: replies */
	uint64_t last_sent;		/* of a call's data */
	uint64_t heard_at;		/* anything, ever */
	uint64_t last_heard;		/* the same, or the answer to a ping */
	uint64_t pinged_at;		/* nothing was heard since; 0: no ping */
	uint64_t up_since;
	unsigned int failures;		/* since a call was answered */
	int last_err;
	bool tried, reachable;
	bool suspected;			/* a call was abandoned, and nothing
					 * heard since */
	bool resending;			/* reconnected for a cancelled call, and
					 * no answer since */
	bool changed;			/* to be reported by kick ... */
	int changed_err;		/* ... with this */
	struct peer_stats stats;
};

/* peer_conn.c */
void peer_conn_start(struct peer *peer);
void peer_conn_fail(struct peer *peer, int err);
void peer_conn_restart(struct peer *peer);
void peer_conn_init(struct peer *peer);
void peer_conn_release(struct peer *peer);
void peer_conn_progress(struct peer *peer);
void peer_conn_watch(struct peer *peer);
void peer_conn_suspect(struct peer *peer);

/* peer_call.c */
void peer_calls_init(struct peer_set *set);
void peer_calls_release(struct peer_set *set);
void peer_calls_flush(struct peer *peer);
void peer_calls_fail(struct peer *peer, int err);
void peer_calls_requeue(struct peer *peer);
bool peer_calls_outstanding(const struct peer *peer);
bool peer_calls_sending(const struct peer *peer);
const struct peer_call *peer_calls_urgent(const struct peer *peer);
int peer_calls_room(struct peer *peer, const struct wire_header *hdr,
		    struct iovec *iov, int max);
int peer_calls_reply(struct peer *peer, const struct wire_header *hdr,
		     const void *body, const struct iovec *data,
		     int data_count);
void peer_set_kick(struct peer_set *set);

/* peer_backoff.c */
void peer_backoff_init(struct peer *peer);
void peer_backoff_begin(struct peer *peer);
void peer_backoff_reset(struct peer *peer);
bool peer_backoff_running(const struct peer *peer);

#endif
