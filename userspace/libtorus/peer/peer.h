/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client side of a torusd: one connection per peer, kept up by itself,
 * with pipelined calls, deadlines and health. Used by volumes, by torusd's
 * maintenance and by torusctl.
 */
#ifndef TORUS_PEER_PEER_H
#define TORUS_PEER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "peer/latency.h"
#include "wire/proto.h"

struct peer_set;
struct peer;

enum peer_state {
	PEER_DOWN,		/* not connected; next attempt after a back-off */
	PEER_CONNECTING,	/* TCP or HELLO under way */
	PEER_UP,		/* HELLO done, both ids match */
};

#define PEER_CALL_BODY_MAX 64
#define PEER_CALL_IOV_MAX (RECORD_PAYLOAD_BLOCKS_MAX + 8)

/*
 * One request to one peer. The caller owns the memory and all that it points
 * to until done(); peer_call_cancel() ends it without done(), after which none
 * of its memory is touched. Fields that are not used are zero.
 *
 * Every request may be sent twice (after a reconnect on behalf of another
 * call, see peer_call_cancel()): all types of wire/proto.h allow that.
 */
struct peer_call {
	/* in */
	enum wire_type type;
	uint32_t flags;			/* WIRE_DURABLE, WIRE_COPY */
	const void *body;		/* fixed size of the type, copied */
	const struct iovec *data;	/* request data, by reference */
	int data_count;
	uint32_t data_len;
	struct iovec *reply_data;	/* room for reply data; may be NULL */
	int reply_data_count;		/* with NULL, reply data is in scratch */
	uint64_t timeout_ns;		/* from submit to the whole reply; 0 = none:
					 * only the peer's no-progress timeout. With
					 * one, what waits for the store's disk to
					 * become durable (SYNC, SEAL, FENCE, DELETE, RESTORE,
					 * durable APPEND) may take all of it, as
					 * long as the peer answers pings */
	void (*done)(struct peer_call *call);
	void *ctx;
	/* out */
	int err;			/* 0: answered, see status. Else the reason
					 * no answer came: -ETIMEDOUT, -ECONNRESET,
					 * -ECONNREFUSED, -EPROTO ... */
	uint32_t status;		/* enum wire_status */
	const void *reply;		/* body, valid during done(), aligned to
					 * 8 bytes as the env gives it */
	const struct iovec *scratch;	/* reply data when reply_data is NULL */
	int scratch_count;
	uint32_t reply_len;		/* bytes of reply data */
	/* private */
	struct peer *peer;
	struct list_head node;
	struct env_timer timer;
	uint8_t body_copy[PEER_CALL_BODY_MAX];
	uint64_t request;
	uint64_t submitted;
	uint64_t sent;			/* all of its data has left; 0: not yet */
	bool receiving;			/* reply_data is in the env's hands */
	struct peer_flight *flight;	/* data is in the env's hands */
};

struct peer_set_ops {
	/*
	 * A peer came up (@err 0; its incarnation may be a new one), or went
	 * down or could not be reached (@err says why). From the loop.
	 */
	void (*changed)(void *ctx, struct peer *peer, int err);
};

struct peer_set_config {
	struct uuid cluster;
	struct uuid self;		/* null for clients */
	enum wire_role role;
	uint64_t replica_timeout_ns;	/* the oldest call was sent, and then
					 * there was no progress (a reply begun
					 * or ended; a frame sent, while the
					 * call waits for that) for so long, or
					 * a ping unanswered when all of them
					 * wait for the store's disk: the
					 * connection is given up; 0 = 1 s */
	uint64_t connect_timeout_ns;	/* TCP and HELLO together; 0 = 3 s */
	const struct peer_set_ops *ops;	/* may be NULL */
	void *ctx;
};

/** peer_set_new() - NULL: out of memory. */
struct peer_set *peer_set_new(struct env *env, const struct peer_set_config *cfg);

/** peer_set_free() - every call must be done or cancelled. */
void peer_set_free(struct peer_set *set);

/**
 * peer_set_update() - add a peer, or give it a new address (reconnects).
 * Returns the peer, which lives until peer_set_free(); NULL: out of memory.
 */
struct peer *peer_set_update(struct peer_set *set, const struct uuid *id,
			     const char *address);
struct peer *peer_find(struct peer_set *set, const struct uuid *id);

const struct uuid *peer_id(const struct peer *peer);
const char *peer_address(const struct peer *peer);
enum peer_state peer_state(const struct peer *peer);

/**
 * peer_usable() - whether a call is worth making: up, or never tried. After a
 * failure not before it is up again: the connection is tried by itself after
 * a back-off (1 s doubling to 60 s, up to a quarter less by chance), and until
 * one succeeds calls fail at once with the reason of the last failure.
 * The back-off starts from 1 s again once a call was answered.
 */
bool peer_usable(struct peer *peer);

/** peer_incarnation() - as of the last HELLO; null before. */
const struct uuid *peer_incarnation(const struct peer *peer);

/**
 * peer_connect() - bring the connection up without a call; at once, whatever
 * is left of a back-off (the caller has reason to think that it will do).
 */
void peer_connect(struct peer *peer);

/** peer_disconnect() - drop the connection and do not try again before the
 * next call or peer_connect(); calls fail with -ECANCELED. */
void peer_disconnect(struct peer *peer);

/**
 * peer_fail() - the owner has decided against this peer: drop the connection,
 * fail all its calls with @err, begin a back-off.
 */
void peer_fail(struct peer *peer, int err);

/**
 * peer_call() - submit. Connects first where necessary; calls keep their order
 * on the wire. done() comes from the loop, never from inside.
 */
void peer_call(struct peer *peer, struct peer_call *call);

/**
 * peer_call_cancel() - harmless for calls that are done or were never
 * submitted (zeroed memory). Costs nothing once the request has left; while
 * the env still sends the request's data, or receives into reply_data, the
 * connection is dropped, made anew, and the other calls are sent again. The
 * same holds for a call whose timeout passes.
 */
void peer_call_cancel(struct peer_call *call);

/** peer_call_receiving() - a reply is coming into reply_data: to cancel would
 * cost the connection. */
bool peer_call_receiving(const struct peer_call *call);

/**
 * peer_call_abandon() - peer_call_cancel(), since the answer came from another
 * peer meanwhile: the time that it has taken until now counts as latency. A
 * peer of which nothing was heard since the submit is asked whether it is
 * alive, and given up after the no-progress timeout.
 */
void peer_call_abandon(struct peer_call *call);

/*
 * For status, hedging and the choice of a replica. Latencies are those of
 * calls that were answered, from submit to the whole reply, in ns; syncs are
 * everything that waits for the store's disk to become durable.
 */
struct peer_stats {
	uint64_t calls, failures, bytes_sent, bytes_received;
	uint64_t latency_sum_ns, latency_max_ns;
	struct latency reads, appends, syncs;
};
const struct peer_stats *peer_stats(const struct peer *peer);

#endif
