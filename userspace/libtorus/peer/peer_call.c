// SPDX-License-Identifier: Apache-2.0
/*
 * Calls: submit, send, match replies, end.
 *
 * A call is on exactly one list: peer->queued (waits for the connection),
 * peer->in_flight (handed to the env, waits for its reply), or set->finished
 * (has failed, done() comes with the next kick). call->peer is NULL when it is
 * on none, that is before peer_call() and from done() or cancel on.
 *
 * The caller's memory is in the env's hands in two cases: call->flight is set
 * (request data is being sent) or call->receiving (reply data is coming in).
 * A call that ends then without its reply takes the connection with it, since
 * only closing it makes the env let go. A reply that outruns sent() is kept in
 * the flight.
 */
#include "peer/peer_priv.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

/* ---- flights ------------------------------------------------------------ */

static struct list_head orphans = LIST_HEAD_INIT(orphans);

static struct peer_flight *flight_get(struct peer_set *set,
				      struct peer_call *call)
{
	struct peer_flight *flight;

	if (list_empty(&set->spare_flights)) {
		flight = calloc(1, sizeof(*flight));
		if (flight == NULL)
			return NULL;
	} else {
		flight = list_first_entry(&set->spare_flights,
					  struct peer_flight, node);
		list_del_init(&flight->node);
	}
	flight->set = set;
	flight->call = call;
	flight->answered = false;
	list_add_tail(&flight->node, &set->flights);
	call->flight = flight;
	return flight;
}

static void flight_put(struct peer_flight *flight)
{
	free(flight->data);
	flight->data = NULL;
	if (flight->set == NULL) {
		list_del_init(&flight->node);
		free(flight);
		return;
	}
	list_move_tail(&flight->node, &flight->set->spare_flights);
}

/* The env has let go of the call's memory, or the connection is closed. */
static void call_release(struct peer_call *call)
{
	if (call->flight != NULL)
		call->flight->call = NULL;
	call->flight = NULL;
	call->receiving = false;
}

/* ---- ending ------------------------------------------------------------- */

static void call_leave(struct peer_call *call)
{
	list_del_init(&call->node);
	env_timer_cancel(call->peer->set->env, &call->timer);
}

static void call_done(struct peer_call *call)
{
	call_leave(call);
	call->peer = NULL;
	call->done(call);
}

/* done() follows from the kick. The env does not use the call's memory. */
static void call_fail(struct peer_call *call, int err)
{
	struct peer *peer = call->peer;

	call_leave(call);
	call->err = err;
	peer->stats.failures++;
	list_add_tail(&call->node, &peer->set->finished);
	peer_set_kick(peer->set);
}

static void measure(struct peer_stats *stats, const struct peer_call *call,
		    uint64_t now)
{
	uint64_t latency = now - call->submitted;

	stats->latency_sum_ns += latency;
	stats->latency_max_ns = MAX(stats->latency_max_ns, latency);
	if (call->type == WIRE_READ)
		latency_add(&stats->reads, now, latency);
	else if (call->type == WIRE_SYNC || (call->flags & WIRE_DURABLE))
		latency_add(&stats->syncs, now, latency);
	else if (call->type == WIRE_APPEND)
		latency_add(&stats->appends, now, latency);
}

static void call_answered(struct peer_call *call, uint32_t status,
			  const void *body, const struct iovec *data,
			  int data_count, uint32_t data_len)
{
	struct peer *peer = call->peer;

	peer->stats.bytes_received += data_len;
	measure(&peer->stats, call, env_now(peer->set->env));
	peer->failures = 0;
	peer->resending = false;
	call->err = 0;
	call->status = status;
	call->reply = body;
	call->reply_len = data_len;
	if (call->reply_data == NULL && data_len > 0) {
		call->scratch = data;
		call->scratch_count = data_count;
	}
	call_done(call);
}

/* End a call before its reply; the other calls go on. */
static void call_abandon(struct peer_call *call)
{
	bool held = call->flight != NULL || call->receiving;
	struct peer *peer = call->peer;

	call_leave(call);
	call_release(call);
	if (held)
		peer_conn_restart(peer);
}

static void call_timed_out(struct env_timer *timer)
{
	struct peer_call *call = container_of(timer, struct peer_call, timer);

	call_abandon(call);
	call_fail(call, -ETIMEDOUT);
}

void peer_call_cancel(struct peer_call *call)
{
	if (call->peer == NULL)
		return;
	call_abandon(call);
	call->peer = NULL;
}

bool peer_call_receiving(const struct peer_call *call)
{
	return call->peer != NULL && call->receiving;
}

void peer_call_abandon(struct peer_call *call)
{
	struct peer *peer = call->peer;

	if (peer == NULL)
		return;
	measure(&peer->stats, call, env_now(peer->set->env));
	peer_call_cancel(call);
	if (peer->heard_at <= call->submitted)
		peer_conn_suspect(peer);
}

void peer_calls_fail(struct peer *peer, int err)
{
	struct peer_call *call, *tmp;

	list_splice_tail_init(&peer->queued, &peer->in_flight);
	list_for_each_entry_safe(call, tmp, &peer->in_flight, node) {
		call_release(call);
		call_fail(call, err);
	}
}

/* The connection is closed and will be made anew. */
void peer_calls_requeue(struct peer *peer)
{
	struct peer_call *call;

	list_for_each_entry(call, &peer->in_flight, node)
		call_release(call);
	list_splice_tail_init(&peer->queued, &peer->in_flight);
	list_splice_tail_init(&peer->in_flight, &peer->queued);
}

bool peer_calls_outstanding(const struct peer *peer)
{
	return !list_empty(&peer->in_flight) ||
	       (peer->resending && !list_empty(&peer->queued));
}

/* Data of some call is on its way out. */
bool peer_calls_sending(const struct peer *peer)
{
	const struct peer_call *call;

	list_for_each_entry(call, &peer->in_flight, node)
		if (call->flight != NULL)
			return true;
	return false;
}

/* Waits for the store's disk, for as long as its own timeout allows. */
static bool is_patient(const struct peer_call *call)
{
	if (call->timeout_ns == 0)
		return false;
	switch (call->type) {
	case WIRE_SYNC:
	case WIRE_SEAL:
	case WIRE_FENCE:
	case WIRE_DELETE:
	case WIRE_RESTORE:
		return true;
	case WIRE_APPEND:
		return call->flags & WIRE_DURABLE;
	default:
		return false;
	}
}

/* The oldest outstanding call that must not be without progress; or NULL. */
const struct peer_call *peer_calls_urgent(const struct peer *peer)
{
	const struct peer_call *call;

	list_for_each_entry(call, &peer->in_flight, node)
		if (!is_patient(call))
			return call;
	if (!peer->resending)
		return NULL;
	list_for_each_entry(call, &peer->queued, node)
		if (!is_patient(call))
			return call;
	return NULL;
}

/* ---- sending ------------------------------------------------------------ */

static void flight_sent(void *arg, int err)
{
	struct peer_flight *flight = arg;
	struct peer_call *call = flight->call;
	struct iovec data = { flight->data, flight->data_len };

	if (call == NULL) {
		flight_put(flight);
		return;
	}
	call->flight = NULL;
	call->sent = env_now(call->peer->set->env);
	call->peer->last_sent = call->sent;
	if (!flight->answered) {
		flight_put(flight);
		return;
	}
	/* The set may go in done(); the flight then goes with flight_put(). */
	call_answered(call, flight->status, flight->body, &data, 1,
		      flight->data_len);
	flight->call = NULL;
	flight_put(flight);
}

static int call_send(struct peer *peer, struct peer_call *call)
{
	struct peer_flight *flight = NULL;
	struct wire_header hdr = {
		.type = (uint16_t)call->type,
		.request = call->request,
		.flags = call->flags,
		.body_len = (uint32_t)wire_body_size(call->type, false),
		.data_len = call->data_len,
	};
	int err;

	if (call->data_len > 0) {
		flight = flight_get(peer->set, call);
		if (flight == NULL)
			return -ENOMEM;
	}
	err = env_conn_send(peer->set->env, peer->conn, &hdr, call->body_copy,
			    call->data, call->data_len > 0 ? call->data_count : 0,
			    flight != NULL ? flight_sent : NULL, flight);
	if (err < 0 && flight != NULL) {
		call_release(call);
		flight_put(flight);
	}
	return err;
}

static void call_start(struct peer *peer, struct peer_call *call)
{
	int err = call_send(peer, call);

	if (err < 0) {
		call_fail(call, err);
		return;
	}
	peer->stats.bytes_sent += call->data_len;
	list_move_tail(&call->node, &peer->in_flight);
	peer_conn_watch(peer);
}

void peer_calls_flush(struct peer *peer)
{
	struct peer_call *call, *tmp;

	/* Calls that are sent again have waited since before the restart. */
	if (!peer->resending)
		peer_conn_progress(peer);
	list_for_each_entry_safe(call, tmp, &peer->queued, node)
		call_start(peer, call);
}

void peer_call(struct peer *peer, struct peer_call *call)
{
	struct env *env = peer->set->env;
	int body_len = wire_body_size(call->type, false);

	/* A call may wait for the connection, or be sent again on the next. */
	assert(body_len >= 0 && body_len <= PEER_CALL_BODY_MAX);
	if (body_len > 0)
		memcpy(call->body_copy, call->body, (size_t)body_len);
	call->err = 0;
	call->status = 0;
	call->reply = NULL;
	call->scratch = NULL;
	call->scratch_count = 0;
	call->reply_len = 0;
	call->peer = peer;
	call->request = ++peer->set->next_request;
	call->submitted = env_now(env);
	call->sent = 0;
	call->receiving = false;
	call->flight = NULL;
	list_init(&call->node);
	env_timer_init(&call->timer, call_timed_out);
	peer->stats.calls++;
	if (peer->state == PEER_DOWN && peer_backoff_running(peer)) {
		call_fail(call, peer->last_err);
		return;
	}
	if (call->timeout_ns > 0)
		env_timer_after(env, &call->timer, call->timeout_ns);
	if (peer->state == PEER_UP) {
		/* After a silence: there was nothing to progress. */
		if (list_empty(&peer->in_flight))
			peer_conn_progress(peer);
		call_start(peer, call);
		return;
	}
	list_add_tail(&call->node, &peer->queued);
	if (peer->state == PEER_DOWN)
		peer_conn_start(peer);
}

/* ---- replies ------------------------------------------------------------ */

/* Replies mostly come in order, so that this seldom looks far. */
static struct peer_call *find_call(struct peer *peer, uint64_t request)
{
	struct peer_call *call;

	list_for_each_entry(call, &peer->in_flight, node)
		if (call->request == request)
			return call;
	return NULL;
}

static uint64_t iov_bytes(const struct iovec *iov, int count)
{
	uint64_t bytes = 0;
	int i;

	for (i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* The first @len bytes of @from; -1: more than @max pieces. */
static int iov_head(const struct iovec *from, uint32_t len, struct iovec *iov,
		    int max)
{
	int n = 0;

	for (; len > 0; from++) {
		if (n == max)
			return -1;
		iov[n].iov_base = from->iov_base;
		iov[n].iov_len = MIN(from->iov_len, (size_t)len);
		len -= (uint32_t)iov[n].iov_len;
		n++;
	}
	return n;
}

int peer_calls_room(struct peer *peer, const struct wire_header *hdr,
		    struct iovec *iov, int max)
{
	struct peer_call *call = find_call(peer, hdr->request);
	int n;

	/* What does not fit, or fits no call, is judged when it is here. */
	if (call == NULL || call->reply_data == NULL ||
	    call->type != hdr->type ||
	    hdr->data_len > iov_bytes(call->reply_data,
				      call->reply_data_count))
		return 0;
	n = iov_head(call->reply_data, hdr->data_len, iov, max);
	if (n <= 0)
		return 0;
	call->receiving = true;
	return n;
}

static void copy_iov(const struct iovec *to, const struct iovec *from,
		     uint32_t len)
{
	size_t to_at = 0, from_at = 0, part;

	while (len > 0) {
		part = MIN(to->iov_len - to_at, from->iov_len - from_at);
		part = MIN(part, (size_t)len);
		memcpy((uint8_t *)to->iov_base + to_at,
		       (uint8_t *)from->iov_base + from_at, part);
		to_at += part;
		from_at += part;
		len -= (uint32_t)part;
		if (to_at == to->iov_len) {
			to++;
			to_at = 0;
		}
		if (from_at == from->iov_len) {
			from++;
			from_at = 0;
		}
	}
}

/* The reply came before sent(): keep it, which will come. */
static int keep_reply(struct peer_call *call, const struct wire_header *hdr,
		      const void *body, const struct iovec *data)
{
	struct peer_flight *flight = call->flight;

	if (flight->answered)
		return error_set(-EPROTO, "answered request %" PRIu64 " twice",
				 hdr->request);
	flight->data_len = hdr->data_len;
	if (call->reply_data == NULL && hdr->data_len > 0) {
		struct iovec copy = { malloc(hdr->data_len), hdr->data_len };

		if (copy.iov_base == NULL)
			return error_set(-ENOMEM, "out of memory");
		copy_iov(&copy, data, hdr->data_len);
		flight->data = copy.iov_base;
	}
	if (hdr->body_len > 0)
		memcpy(flight->body, body, hdr->body_len);
	flight->status = hdr->status;
	flight->answered = true;
	return 0;
}

static int check_reply(const struct peer *peer, const struct peer_call *call,
		       const struct wire_header *hdr)
{
	if (!(hdr->flags & WIRE_REPLY))
		return error_set(-EPROTO, "sent a %s request, but is a server",
				 wire_type_name(hdr->type));
	if (hdr->request == 0 || hdr->request > peer->set->next_request)
		return error_set(-EPROTO, "answered request %" PRIu64 ", which was never made",
				 hdr->request);
	if (call == NULL)
		return 0;
	if (call->type != hdr->type)
		return error_set(-EPROTO, "answered a %s request with a %s reply",
				 wire_type_name(call->type),
				 wire_type_name(hdr->type));
	if (call->reply_data != NULL &&
	    hdr->data_len > iov_bytes(call->reply_data,
				      call->reply_data_count))
		return error_set(-EPROTO, "answered a %s request with %u bytes, more than were asked for",
				 wire_type_name(call->type), hdr->data_len);
	return 0;
}

/*
 * A frame on a connection that is up. Returns 0 (the set may be gone), or
 * -errno with error text: the connection cannot be trusted any more.
 */
int peer_calls_reply(struct peer *peer, const struct wire_header *hdr,
		     const void *body, const struct iovec *data,
		     int data_count)
{
	struct peer_call *call = find_call(peer, hdr->request);
	int err = check_reply(peer, call, hdr);

	if (err < 0 || call == NULL)
		return err;
	if (call->reply_data != NULL && !call->receiving)
		copy_iov(call->reply_data, data, hdr->data_len);
	call->receiving = false;
	if (call->flight != NULL)
		return keep_reply(call, hdr, body, data);
	call_answered(call, hdr->status, body, data, data_count,
		      hdr->data_len);
	return 0;
}

/* ---- the kick ----------------------------------------------------------- */

void peer_set_kick(struct peer_set *set)
{
	if (!env_timer_armed(&set->kick))
		env_timer_after(set->env, &set->kick, 0);
}

/* False: the set was freed by a callback. */
static bool report_changes(struct peer_set *set, const bool *freed)
{
	const struct peer_set_ops *ops = set->cfg.ops;
	struct peer *peer;

	list_for_each_entry(peer, &set->peers, node) {
		if (!peer->changed)
			continue;
		peer->changed = false;
		if (ops != NULL && ops->changed != NULL)
			ops->changed(set->cfg.ctx, peer, peer->changed_err);
		if (*freed)
			return false;
	}
	return true;
}

/*
 * Only what has failed before this turn: a caller that tries again from
 * done(), and fails again at once, must not keep the loop here.
 */
static void finish_calls(struct peer_set *set, const bool *freed)
{
	struct list_head now = LIST_HEAD_INIT(now);

	list_splice_tail_init(&set->finished, &now);
	while (!*freed && !list_empty(&now))
		call_done(list_first_entry(&now, struct peer_call, node));
}

static void kick_fired(struct env_timer *timer)
{
	struct peer_set *set = container_of(timer, struct peer_set, kick);
	bool freed = false;

	set->freed = &freed;
	if (report_changes(set, &freed))
		finish_calls(set, &freed);
	if (!freed)
		set->freed = NULL;
}

void peer_calls_init(struct peer_set *set)
{
	list_init(&set->finished);
	list_init(&set->flights);
	list_init(&set->spare_flights);
	env_timer_init(&set->kick, kick_fired);
}

void peer_calls_release(struct peer_set *set)
{
	struct peer_flight *flight, *tmp;

	assert(list_empty(&set->finished));
	env_timer_cancel(set->env, &set->kick);
	if (set->freed != NULL)
		*set->freed = true;
	list_for_each_entry_safe(flight, tmp, &set->spare_flights, node)
		free(flight);
	/* sent() will come for these, and free them; unless their process is
	 * over, and then they are still to be found. */
	list_for_each_entry(flight, &set->flights, node)
		flight->set = NULL;
	list_splice_tail_init(&set->flights, &orphans);
}
