// SPDX-License-Identifier: Apache-2.0
/*
 * Connections. The first frame is HELLO, which settles who talks to whom; then
 * every frame becomes a request, many at a time, answered as they end.
 *
 *   accepted --HELLO ok--> greeted --frames--> requests --> answers
 *      |  HELLO refused: answered, and the next frame closes
 *      |  no good HELLO within HELLO_TIMEOUT_S: closed
 *
 * Memory is bounded three times: the data of appends and of restored copies goes
 * to pools of the store (no room: the connection is not read on until there is some),
 * a connection has at most STORE_CONN_REQUESTS_MAX requests at work, the store
 * STORE_REQUESTS_MAX; beyond that the answer is EBUSY.
 *
 * A request outlives its connection: writes that were begun are finished, only
 * the answer is dropped (request->ctx becomes NULL).
 */
#include "store/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/private.h"
#include "store/request.h"

#define HELLO_TIMEOUT_S 10

struct server_conn {
	struct list_head node;		/* store->conns */
	struct store *store;
	struct env_conn *conn;
	struct env_timer hello;		/* armed: not greeted yet */
	bool greeted;
	bool refused;
	bool stranger;			/* did not name the cluster */
	uint32_t role;
	struct list_head requests;	/* request->owner_node */
	uint32_t request_count;
	/* The append that is being received. */
	struct store_buffer room;
	struct store_pool *room_pool;
	bool stalled;
	struct store_pool_wait pool_wait;
};

static void conn_free(struct server_conn *sc)
{
	struct store_request *request;

	while (!list_empty(&sc->requests)) {
		request = list_first_entry(&sc->requests, struct store_request,
					   owner_node);
		list_del_init(&request->owner_node);
		request->ctx = NULL;
	}
	if (sc->stalled)
		list_del_init(&sc->pool_wait.node);
	env_timer_cancel(sc->store->env, &sc->hello);
	list_del_init(&sc->node);
	if (sc->room.count > 0)
		store_buffer_give(sc->room_pool, &sc->room);
	free(sc);
}

static void conn_drop(struct server_conn *sc)
{
	struct env_conn *conn = sc->conn;
	struct env *env = sc->store->env;

	conn_free(sc);
	env_conn_close(env, conn);
}

/* ---- answers --------------------------------------------------------------- */

static void answer_sent(void *arg, int err)
{
	store_request_free(arg);
}

static int reply_data(struct store_request *request, struct iovec **iov)
{
	if (request->out.count > 0) {
		*iov = request->out.iov;
		return (int)DIV_ROUND_UP(request->out.bytes,
					 STORE_SEGMENT_SIZE);
	}
	*iov = &request->out_copied;
	return request->out_copied.iov_len > 0;
}

static void request_done(struct store_request *request)
{
	struct server_conn *sc = request->ctx;
	struct iovec *iov;
	int err, i, count = reply_data(request, &iov);
	struct wire_header hdr = {
		.type = request->type,
		.request = request->id,
		.flags = WIRE_REPLY,
		.status = request->status,
		.body_len = (uint32_t)wire_body_size(request->type, true),
	};

	store_request_give_data(request);
	if (sc == NULL) {
		store_request_free(request);
		return;
	}
	list_del_init(&request->owner_node);
	sc->request_count--;
	request->ctx = NULL;
	for (i = 0; i < count; i++)
		hdr.data_len += (uint32_t)iov[i].iov_len;
	err = env_conn_send(request->store->env, sc->conn, &hdr,
			    &request->reply, iov, count,
			    count > 0 ? answer_sent : NULL, request);
	if (err < 0 || count == 0)
		store_request_free(request);
	if (err < 0)
		conn_drop(sc);	/* the client tries again, elsewhere or here */
}

static void answer_at_once(struct server_conn *sc,
			   const struct wire_header *in, uint32_t status)
{
	static const uint8_t zeros[WIRE_BODY_MAX];
	struct wire_header hdr = {
		.type = in->type,
		.request = in->request,
		.flags = WIRE_REPLY,
		.status = status,
		.body_len = (uint32_t)wire_body_size(in->type, true),
	};

	if (env_conn_send(sc->store->env, sc->conn, &hdr, zeros, NULL, 0, NULL,
			  NULL) < 0)
		conn_drop(sc);
}

/* ---- HELLO ------------------------------------------------------------------ */

static void hello_missing(struct env_timer *timer)
{
	struct server_conn *sc = container_of(timer, struct server_conn, hello);

	log_warning("store: connection to %s: ended, since no good HELLO came within %d s",
		    env_conn_name(sc->store->env, sc->conn), HELLO_TIMEOUT_S);
	conn_drop(sc);
}

static uint32_t check_hello(const struct store *store,
			    const struct wire_hello *hello)
{
	uint32_t role = le32_to_cpu(hello->role);

	if (le16_to_cpu(hello->version_min) > WIRE_VERSION ||
	    le16_to_cpu(hello->version_max) < WIRE_VERSION)
		return WIRE_EVERSION;
	if (role < WIRE_ROLE_VOLUME || role > WIRE_ROLE_ADMIN)
		return WIRE_EINVAL;
	/* Only a person may not know the cluster yet, to ask for it. */
	if (uuid_is_null(&hello->cluster) ? role != WIRE_ROLE_ADMIN :
	    !uuid_equal(&hello->cluster, &store->cluster))
		return WIRE_ECLUSTER;
	if (!uuid_is_null(&hello->to) &&
	    !uuid_equal(&hello->to, &store->peer))
		return WIRE_EPEER;
	return WIRE_OK;
}

static void run_hello(struct server_conn *sc, const struct wire_header *in,
		      const struct wire_hello *hello)
{
	const struct store *store = sc->store;
	struct wire_hello reply = {
		.version_min = cpu_to_le16(WIRE_VERSION),
		.version_max = cpu_to_le16(WIRE_VERSION),
		.features = cpu_to_le64(le64_to_cpu(hello->features) &
					WIRE_FEATURES_ALL),
		.cluster = store->cluster,
		.from = store->peer,
		.to = hello->from,
		.incarnation = store->incarnation,
	};
	struct wire_header hdr = {
		.type = WIRE_HELLO,
		.request = in->request,
		.flags = WIRE_REPLY,
		.status = check_hello(store, hello),
		.body_len = sizeof(reply),
	};

	if (hdr.status == WIRE_OK) {
		sc->greeted = true;
		env_timer_cancel(store->env, &sc->hello);
		sc->stranger = uuid_is_null(&hello->cluster);
		sc->role = le32_to_cpu(hello->role);
	} else {
		sc->refused = true;
		log_warning("store: a client was refused: %s",
			    wire_status_text(hdr.status));
	}
	if (env_conn_send(store->env, sc->conn, &hdr, &reply, NULL, 0, NULL,
			  NULL) < 0)
		conn_drop(sc);
}

/* ---- requests ---------------------------------------------------------------- */

/* Data in bulk, which has a pool of its own. */
static bool bulky(const struct wire_header *hdr)
{
	return hdr->type == WIRE_APPEND || hdr->type == WIRE_RESTORE;
}

static bool wants_room(const struct server_conn *sc,
		       const struct wire_header *hdr)
{
	return sc->greeted && bulky(hdr) &&
	       !(hdr->flags & WIRE_REPLY) && hdr->data_len > 0 &&
	       hdr->data_len <= STORE_BUFFER_MAX;
}

static void room_again(struct store_pool_wait *wait)
{
	struct server_conn *sc = container_of(wait, struct server_conn,
					      pool_wait);

	sc->stalled = false;
	env_conn_resume(sc->store->env, sc->conn);
}

static int data_room(void *ctx, struct env_conn *conn,
		     const struct wire_header *hdr, const void *body,
		     struct iovec *iov, int max)
{
	struct server_conn *sc = ctx;
	uint32_t i;

	if (!wants_room(sc, hdr) ||
	    max < (int)DIV_ROUND_UP(hdr->data_len, STORE_SEGMENT_SIZE))
		return 0;
	sc->room_pool = store_receive_pool(sc->store, hdr->type);
	if (!store_buffer_take(sc->room_pool, &sc->room, hdr->data_len)) {
		if (!sc->stalled)
			store_pool_queue(sc->room_pool, &sc->pool_wait);
		sc->stalled = true;
		return -EAGAIN;
	}
	for (i = 0; i < sc->room.count; i++)
		iov[i] = sc->room.iov[i];
	return (int)sc->room.count;
}

static bool copy_data(struct store_buffer *buf, const struct iovec *data,
		      int data_count, uint32_t len)
{
	uint32_t at = 0;
	int i;

	for (i = 0; i < data_count && at < len; i++) {
		uint32_t part = (uint32_t)MIN(data[i].iov_len,
					      (size_t)(len - at));

		store_buffer_copy(buf, at, data[i].iov_base, part);
		at += part;
	}
	return at == len;
}

/* The data is in the room that was given, or came in scratch. */
static bool take_bulk(struct server_conn *sc, struct store_request *request,
		      const struct iovec *data, int data_count)
{
	if (sc->room.count > 0) {
		request->in = sc->room;
		sc->room.count = 0;
		return true;
	}
	if (request->data_len > STORE_BUFFER_MAX ||
	    !store_buffer_take(store_receive_pool(sc->store, request->type),
			       &request->in, request->data_len))
		return false;
	return copy_data(&request->in, data, data_count, request->data_len);
}

static bool take_copy(struct store_request *request, const struct iovec *data,
		      int data_count)
{
	uint8_t *to = malloc(request->data_len);
	uint32_t at = 0;
	int i;

	request->copied = to;
	if (to == NULL)
		return false;
	for (i = 0; i < data_count && at < request->data_len; i++) {
		size_t part = MIN(data[i].iov_len,
				  (size_t)(request->data_len - at));

		memcpy(to + at, data[i].iov_base, part);
		at += (uint32_t)part;
	}
	return at == request->data_len;
}

static struct store_request *make_request(struct server_conn *sc,
					  const struct wire_header *hdr,
					  const void *body,
					  const struct iovec *data,
					  int data_count)
{
	struct store_request *request;
	bool taken = true;

	if (sc->request_count >= STORE_CONN_REQUESTS_MAX)
		return NULL;
	request = store_request_new(sc->store);
	if (request == NULL)
		return NULL;
	request->type = hdr->type;
	request->flags = hdr->flags;
	request->role = sc->role;
	request->id = hdr->request;
	request->data_len = hdr->data_len;
	request->done = request_done;
	memcpy(&request->body, body,
	       MIN(sizeof(request->body), (size_t)hdr->body_len));
	if (bulky(hdr) && hdr->data_len > 0)
		taken = take_bulk(sc, request, data, data_count);
	else if (hdr->data_len > 0)
		taken = take_copy(request, data, data_count);
	if (!taken) {
		store_request_free(request);
		return NULL;
	}
	request->ctx = sc;
	list_add_tail(&request->owner_node, &sc->requests);
	sc->request_count++;
	return request;
}

static void refuse(struct server_conn *sc, const struct wire_header *hdr,
		   uint32_t status)
{
	if (sc->room.count > 0)
		store_buffer_give(sc->room_pool, &sc->room);
	answer_at_once(sc, hdr, status);
}

/*
 * Who has not named the cluster may ask who is there and how it fares; data,
 * fences and deletions are for those who know whose they are.
 */
static bool may_ask(const struct server_conn *sc, uint16_t type)
{
	return !sc->stranger || type == WIRE_PING || type == WIRE_STAT;
}

static void message(void *ctx, struct env_conn *conn,
		    const struct wire_header *hdr, const void *body,
		    const struct iovec *data, int data_count)
{
	struct server_conn *sc = ctx;
	struct store_request *request;

	if ((hdr->flags & WIRE_REPLY) || sc->refused ||
	    sc->greeted == (hdr->type == WIRE_HELLO)) {
		conn_drop(sc);
		return;
	}
	if (hdr->type == WIRE_HELLO) {
		run_hello(sc, hdr, body);
		return;
	}
	if (!may_ask(sc, hdr->type)) {
		refuse(sc, hdr, WIRE_ECLUSTER);
		return;
	}
	request = make_request(sc, hdr, body, data, data_count);
	if (request != NULL)
		store_request_run(request);
	else
		refuse(sc, hdr, WIRE_EBUSY);
}

static void closed(void *ctx, struct env_conn *conn, int err)
{
	/* A client that goes, or whose machine does, is no news. */
	if (err == -EBADMSG || err == -EPROTONOSUPPORT || err == -ETIME)
		log_warning("store: %s", error_text(err));
	conn_free(ctx);
}

static const struct env_conn_ops server_ops = {
	.data_room = data_room,
	.message = message,
	.closed = closed,
};

const struct env_conn_ops *store_accept(struct store *store,
					struct env_conn *conn, void **ctx)
{
	struct server_conn *sc = calloc(1, sizeof(*sc));

	*ctx = sc;
	if (sc == NULL)
		return NULL;	/* closed: the client comes again later */
	sc->store = store;
	sc->conn = conn;
	/* Dropped at its first frame: the client comes again later. */
	sc->refused = store->state != STORE_SERVING;
	sc->pool_wait.fn = room_again;
	env_timer_init(&sc->hello, hello_missing);
	env_timer_after(store->env, &sc->hello,
			HELLO_TIMEOUT_S * NSEC_PER_SEC);
	list_init(&sc->requests);
	list_init(&sc->pool_wait.node);
	list_add_tail(&sc->node, &store->conns);
	return &server_ops;
}

static const struct env_conn_ops *accepted(void *listen_ctx,
					   struct env_conn *conn, void **ctx)
{
	return store_accept(listen_ctx, conn, ctx);
}

int store_serve(struct store *store, const char *address)
{
	return env_listen(store->env, address, accepted, store);
}

void store_server_close(struct store *store)
{
	struct server_conn *sc, *next;

	list_for_each_entry_safe(sc, next, &store->conns, node)
		conn_drop(sc);
}

void store_server_release(struct store *store)
{
	struct server_conn *sc, *next;

	list_for_each_entry_safe(sc, next, &store->conns, node)
		conn_free(sc);
}
