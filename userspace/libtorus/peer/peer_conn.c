// SPDX-License-Identifier: Apache-2.0
/*
 * The connection of a peer.
 *
 *	        start                HELLO fits
 *	 DOWN -----------> CONNECTING -----------> UP
 *	  ^  <- - - - - - -    |                   |
 *	  |  retry, call       | refused, timeout, | closed, no progress,
 *	  |                    | wrong HELLO       | bad reply, peer_fail()
 *	  +--------------------+-------------------+
 *	           fail: calls fail, back-off begins
 *
 * peer->conn is set exactly in CONNECTING and UP. Calls are queued while
 * CONNECTING and move to in_flight when UP. A failure moves all of them to
 * set->finished, from where the kick timer completes them: nothing here calls
 * done() or changed() from inside a call of the owner's.
 *
 * restart (for a cancelled call whose memory the env still uses) goes from UP
 * to CONNECTING without a failure; calls in flight are queued again.
 */
#include "peer/peer_priv.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

static void conn_drop(struct peer *peer)
{
	struct env *env = peer->set->env;

	if (peer->conn != NULL)
		env_conn_close(env, peer->conn);
	peer->conn = NULL;
	peer->pinged_at = 0;
	peer->suspected = false;
	env_timer_cancel(env, &peer->handshake);
}

/*
 * The connection is given up, or could not be had. Harmless when there is
 * none; begins a back-off if none is running.
 */
void peer_conn_fail(struct peer *peer, int err)
{
	if (peer->state == PEER_UP)
		log_warning("peer %s at %s: connection lost: %s", peer->name,
			    peer->address, strerror(-err));
	else if (peer->state == PEER_CONNECTING && peer->failures == 0)
		log_warning("peer %s at %s: cannot connect: %s", peer->name,
			    peer->address, strerror(-err));
	peer->tried = true;
	peer->last_err = err;
	peer->resending = false;
	if (!peer_backoff_running(peer))
		peer_backoff_begin(peer);
	env_timer_cancel(peer->set->env, &peer->progress);
	conn_drop(peer);
	peer->state = PEER_DOWN;
	peer_calls_fail(peer, err);
	peer->changed = true;
	peer->changed_err = err;
	peer_set_kick(peer->set);
}

void peer_conn_restart(struct peer *peer)
{
	if (peer->state != PEER_UP)
		return;
	log_info("peer %s at %s: connecting anew, since a call was given up while its data was on the way",
		 peer->name, peer->address);
	conn_drop(peer);
	peer->state = PEER_DOWN;
	peer_calls_requeue(peer);
	peer->resending = !list_empty(&peer->queued);
	peer_conn_start(peer);
}

static void hello_body(const struct peer *peer, struct wire_hello *hello)
{
	const struct peer_set_config *cfg = &peer->set->cfg;

	*hello = (struct wire_hello) {
		.version_min = cpu_to_le16(WIRE_VERSION),
		.version_max = cpu_to_le16(WIRE_VERSION),
		.role = cpu_to_le32(cfg->role),
		.features = cpu_to_le64(WIRE_FEATURES_ALL),
		.cluster = cfg->cluster,
		.from = cfg->self,
		.to = peer->id,
	};
}

static void conn_opened(void *ctx, struct env_conn *conn)
{
	struct peer *peer = ctx;
	struct wire_hello hello;
	struct wire_header hdr = {
		.type = WIRE_HELLO,
		.body_len = sizeof(hello),
	};
	int err;

	hello_body(peer, &hello);
	err = env_conn_send(peer->set->env, conn, &hdr, &hello, NULL, 0, NULL,
			    NULL);
	if (err < 0)
		peer_conn_fail(peer, err);
}

static int bad_hello(const struct peer *peer, int err, const char *what)
{
	log_error("peer %s: %s does not answer as it should: %s", peer->name,
		  peer->address, what);
	return err;
}

static int check_hello(const struct peer *peer, const struct wire_header *hdr,
		       const struct wire_hello *hello)
{
	const struct uuid *cluster = &peer->set->cfg.cluster;

	if (hdr->type != WIRE_HELLO || !(hdr->flags & WIRE_REPLY))
		return bad_hello(peer, -EPROTO, "its first frame is no HELLO");
	if (hdr->status != WIRE_OK)
		return bad_hello(peer, wire_status_errno(hdr->status),
				 wire_status_text(hdr->status));
	if (le16_to_cpu(hello->version_min) > WIRE_VERSION ||
	    le16_to_cpu(hello->version_max) < WIRE_VERSION)
		return bad_hello(peer, -EPROTONOSUPPORT,
				 "no common protocol version");
	if (le64_to_cpu(hello->features) & ~WIRE_FEATURES_ALL)
		return bad_hello(peer, -EPROTO,
				 "it uses features that were not offered");
	if (!uuid_is_null(cluster) && !uuid_equal(&hello->cluster, cluster))
		return bad_hello(peer, -EPERM, "it belongs to another cluster");
	if (!uuid_equal(&hello->from, &peer->id))
		return bad_hello(peer, -EADDRNOTAVAIL,
				 "another peer listens there");
	return 0;
}

static void hello_arrived(struct peer *peer, const struct wire_header *hdr,
			  const void *body)
{
	struct peer_set *set = peer->set;
	struct wire_hello hello = { 0 };
	int err;

	if (hdr->body_len == sizeof(hello))
		memcpy(&hello, body, sizeof(hello));
	err = check_hello(peer, hdr, &hello);
	if (err < 0) {
		peer_conn_fail(peer, err);
		return;
	}
	env_timer_cancel(set->env, &peer->handshake);
	peer->state = PEER_UP;
	peer->up_since = env_now(set->env);
	if (peer->reachable && !uuid_equal(&hello.incarnation,
					   &peer->incarnation))
		log_warning("peer %s at %s: is there again, but may have lost what was not durable",
			    peer->name, peer->address);
	else
		log_info("peer %s at %s: connected", peer->name, peer->address);
	peer->reachable = true;
	peer->incarnation = hello.incarnation;
	/* Before changed(), which may submit more: calls keep their order. */
	peer_calls_flush(peer);
	peer->changed = false;
	if (set->cfg.ops != NULL && set->cfg.ops->changed != NULL)
		set->cfg.ops->changed(set->cfg.ctx, peer, 0);
}

/* An answered ping shows that the peer lives, not that a call gets on. */
static void heard(struct peer *peer, const struct wire_header *hdr)
{
	uint64_t now = env_now(peer->set->env);

	peer->last_heard = now;
	peer->heard_at = now;
	peer->suspected = false;
	if (hdr->type != WIRE_PING)
		peer->last_progress = now;
	if (peer->pinged_at == 0)
		return;
	/* The timer waits for this; the next silence begins now. */
	peer->pinged_at = 0;
	env_timer_cancel(peer->set->env, &peer->progress);
	peer_conn_watch(peer);
}

static int conn_data_room(void *ctx, struct env_conn *conn,
			  const struct wire_header *hdr, const void *body,
			  struct iovec *iov, int max)
{
	struct peer *peer = ctx;

	if (peer->state != PEER_UP || !(hdr->flags & WIRE_REPLY))
		return 0;
	heard(peer, hdr);
	return peer_calls_room(peer, hdr, iov, max);
}

static void conn_message(void *ctx, struct env_conn *conn,
			 const struct wire_header *hdr, const void *body,
			 const struct iovec *data, int data_count)
{
	struct peer *peer = ctx;
	int err;

	if (peer->state == PEER_CONNECTING) {
		hello_arrived(peer, hdr, body);
		return;
	}
	heard(peer, hdr);
	/* The set may be gone after a reply that was good. */
	err = peer_calls_reply(peer, hdr, body, data, data_count);
	if (err < 0) {
		log_error("peer %s at %s: %s", peer->name, peer->address,
			  error_text(err));
		peer_conn_fail(peer, err);
	}
}

static void conn_closed(void *ctx, struct env_conn *conn, int err)
{
	struct peer *peer = ctx;

	peer->conn = NULL;	/* it does not exist any more */
	peer->pinged_at = 0;
	peer_conn_fail(peer, err < 0 ? err : -ECONNRESET);
}

static const struct env_conn_ops conn_ops = {
	.opened = conn_opened,
	.data_room = conn_data_room,
	.message = conn_message,
	.closed = conn_closed,
};

/* In PEER_DOWN: connect, whatever is left of a back-off. */
void peer_conn_start(struct peer *peer)
{
	struct env *env = peer->set->env;

	env_timer_cancel(env, &peer->retry);
	peer->tried = true;
	peer->conn = env_connect(env, peer->address, &conn_ops, peer);
	if (peer->conn == NULL) {
		peer_conn_fail(peer, -ENOMEM);
		return;
	}
	peer->state = PEER_CONNECTING;
	env_timer_after(env, &peer->handshake,
			peer->set->cfg.connect_timeout_ns);
}

static void handshake_fired(struct env_timer *timer)
{
	peer_conn_fail(container_of(timer, struct peer, handshake), -ETIMEDOUT);
}

/* ---- progress ----------------------------------------------------------- */

/* The first call after a silence was made. */
void peer_conn_progress(struct peer *peer)
{
	peer->last_progress = env_now(peer->set->env);
	peer->last_heard = peer->last_progress;
}

/*
 * What a hung peer is sent disappears into buffers for as long as there is
 * something new to send. So frames that leave count only while what is waited
 * for has not left itself.
 */
static uint64_t waits_since(const struct peer *peer,
			    const struct peer_call *call)
{
	uint64_t left = call->flight != NULL ? peer->last_sent : call->sent;

	left = MAX(left, call->submitted);
	return MAX(left, peer->last_progress);
}

/* When the peer is given up, unless something is heard until then. */
static uint64_t give_up_at(const struct peer *peer)
{
	const struct peer_call *urgent = peer_calls_urgent(peer);
	uint64_t timeout = peer->set->cfg.replica_timeout_ns;
	uint64_t when = UINT64_MAX, heard;

	if (urgent != NULL)
		when = waits_since(peer, urgent) + timeout;
	if (peer->state != PEER_UP)
		return MIN(when, peer->last_heard + timeout);
	if (peer->pinged_at == 0)
		return when;
	heard = MAX(peer->pinged_at, peer->last_heard);
	if (peer_calls_sending(peer))
		heard = MAX(heard, peer->last_sent);
	return MIN(when, heard + timeout);
}

/* 0 or -errno. The answer is no call's: it is only heard. */
static int ping(struct peer *peer)
{
	struct wire_header hdr = {
		.type = WIRE_PING,
		.request = ++peer->set->next_request,
	};

	peer->pinged_at = env_now(peer->set->env);
	return env_conn_send(peer->set->env, peer->conn, &hdr, NULL, NULL, 0,
			     NULL, NULL);
}

/* Where something urgent is outstanding, that must get on by itself. */
static bool wants_ping(const struct peer *peer)
{
	return peer->state == PEER_UP && peer->pinged_at == 0 &&
	       peer_calls_urgent(peer) == NULL;
}

/*
 * Armed twice per timeout at most, and looks then at when progress was last
 * made, so that calls pay nothing for it. Not armed while nothing is
 * outstanding: an idle process does not wake up.
 *
 * A store says nothing while its disk makes a SYNC durable, however long that
 * takes. Its loop goes on, and answers pings: so a peer that works is told from
 * one that is gone, and the call's own timeout bounds the disk.
 */
static void progress_fired(struct env_timer *timer)
{
	struct peer *peer = container_of(timer, struct peer, progress);
	uint64_t now = env_now(peer->set->env);
	uint64_t half = peer->set->cfg.replica_timeout_ns / 2;
	int err = 0;

	if (!peer_calls_outstanding(peer) && !peer->suspected) {
		peer->pinged_at = 0;
		return;
	}
	if (give_up_at(peer) <= now)
		err = -ETIMEDOUT;
	else if (wants_ping(peer) && peer->last_heard + half <= now)
		err = ping(peer);
	if (err < 0)
		peer_conn_fail(peer, err);
	else
		peer_conn_watch(peer);
}

/* Somebody waited for it in vain. There may be no other call to tell. */
void peer_conn_suspect(struct peer *peer)
{
	if (peer->state != PEER_UP || peer->suspected)
		return;
	peer->suspected = true;
	if (peer->pinged_at == 0 && ping(peer) < 0) {
		peer_conn_fail(peer, -ENOMEM);
		return;
	}
	peer_conn_watch(peer);
}

/* Calls are outstanding, or an answer to a ping. */
void peer_conn_watch(struct peer *peer)
{
	uint64_t silent = peer->last_heard +
			  peer->set->cfg.replica_timeout_ns / 2;
	uint64_t when;

	if (env_timer_armed(&peer->progress))
		return;
	when = give_up_at(peer);
	/* What is urgent now may be over by then, and leave what is not. */
	if (wants_ping(peer) || silent > env_now(peer->set->env))
		when = MIN(when, silent);
	env_timer_set(peer->set->env, &peer->progress, when);
}

void peer_conn_init(struct peer *peer)
{
	peer->state = PEER_DOWN;
	env_timer_init(&peer->handshake, handshake_fired);
	env_timer_init(&peer->progress, progress_fired);
	peer_backoff_init(peer);
}

void peer_conn_release(struct peer *peer)
{
	struct env *env = peer->set->env;

	conn_drop(peer);
	env_timer_cancel(env, &peer->progress);
	env_timer_cancel(env, &peer->retry);
}
