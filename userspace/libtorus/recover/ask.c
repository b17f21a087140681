// SPDX-License-Identifier: Apache-2.0
/* Questions to peers, one after the other. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "recover/internal.h"

#define TIMEOUT_NS (10 * NSEC_PER_SEC)
#define AGAIN_NS (300 * NSEC_PER_MSEC)

static uint64_t timeout(const struct recover *r)
{
	return r->cfg.timeout_ns ? r->cfg.timeout_ns : TIMEOUT_NS;
}

/* ---- who is there? -------------------------------------------------------- */

struct hello {
	struct recover *r;
	struct env_conn *conn;
	struct env_timer timer;
	bool done;
	int err;
	uint32_t status;
	struct uuid cluster, peer;
};

static void end(struct hello *h, int err)
{
	h->err = err;
	recover_wake(h->r, &h->done);
}

static void opened(void *ctx, struct env_conn *conn)
{
	struct hello *h = ctx;
	struct wire_hello body = {
		.version_min = cpu_to_le16(WIRE_VERSION),
		.version_max = cpu_to_le16(WIRE_VERSION),
		.role = cpu_to_le32(WIRE_ROLE_ADMIN),
	};
	struct wire_header hdr = {
		.type = WIRE_HELLO, .request = 1, .body_len = sizeof(body),
	};

	if (env_conn_send(h->r->cfg.env, conn, &hdr, &body, NULL, 0, NULL,
			  NULL))
		end(h, -ENOMEM);
}

static void message(void *ctx, struct env_conn *conn,
		    const struct wire_header *hdr, const void *body,
		    const struct iovec *data, int data_count)
{
	struct hello *h = ctx;
	const struct wire_hello *reply = body;

	if (h->done)
		return;
	if (hdr->type != WIRE_HELLO || !(hdr->flags & WIRE_REPLY)) {
		end(h, -EPROTO);
		return;
	}
	h->status = hdr->status;
	h->cluster = reply->cluster;
	h->peer = reply->from;
	end(h, wire_status_errno(hdr->status));
}

static void closed(void *ctx, struct env_conn *conn, int err)
{
	struct hello *h = ctx;

	h->conn = NULL;
	if (!h->done)
		end(h, err ? err : -ECONNRESET);
}

static void timed_out(struct env_timer *timer)
{
	struct hello *h = container_of(timer, struct hello, timer);

	if (!h->done)
		end(h, -ETIMEDOUT);
}

static int hello_once(struct recover *r, const char *address,
		      struct uuid *cluster, struct uuid *peer)
{
	static const struct env_conn_ops ops = {
		.opened = opened, .message = message, .closed = closed,
	};
	struct hello h = { .r = r };
	int err;

	env_timer_init(&h.timer, timed_out);
	env_timer_after(r->cfg.env, &h.timer, timeout(r));
	h.conn = env_connect(r->cfg.env, address, &ops, &h);
	err = h.conn ? r->cfg.wait(r->cfg.ctx, &h.done) : -ENOMEM;
	env_timer_cancel(r->cfg.env, &h.timer);
	if (h.conn)
		env_conn_close(r->cfg.env, h.conn);
	if (!err)
		err = h.err;
	if (err)
		return error_set(err, "peer %s: %s", address,
				 h.status ? wire_status_text(h.status) :
				 strerror(-err));
	if (uuid_is_null(&h.cluster) || uuid_is_null(&h.peer))
		return error_set(-EPROTO, "peer %s does not say who it is",
				 address);
	*cluster = h.cluster;
	*peer = h.peer;
	return 0;
}

struct pause {
	struct recover *r;
	struct env_timer timer;
	bool over;
};

static void pause_over(struct env_timer *timer)
{
	struct pause *p = container_of(timer, struct pause, timer);

	recover_wake(p->r, &p->over);
}

static int wait_a_little(struct recover *r)
{
	struct pause p = { .r = r };
	int err;

	env_timer_init(&p.timer, pause_over);
	env_timer_after(r->cfg.env, &p.timer, AGAIN_NS);
	err = r->cfg.wait(r->cfg.ctx, &p.over);
	env_timer_cancel(r->cfg.env, &p.timer);
	return err;
}

/* A store that still opens drops connections: it is asked again. */
int recover_hello(struct recover *r, const char *address, struct uuid *cluster,
		  struct uuid *peer)
{
	uint64_t until = env_now(r->cfg.env) + timeout(r);
	int err;

	do {
		err = hello_once(r, address, cluster, peer);
		if (err != -ECONNRESET || env_now(r->cfg.env) >= until)
			return err;
	} while (!wait_a_little(r));
	return err;
}

/* ---- questions ------------------------------------------------------------ */

struct question {
	struct recover *r;
	bool done;
	void (*take)(struct peer_call *call);
	struct recover_peer *peer;
};

/* What is asked is answered one at a time: the peer's own memory will do. */
static void answered(struct peer_call *call)
{
	struct question *q = call->ctx;

	call->ctx = q->peer;
	if (!call->err && q->take)
		q->take(call);
	recover_wake(q->r, &q->done);
}

int recover_ask(struct recover *r, struct recover_peer *p, enum wire_type type,
		const void *body, void (*take)(struct peer_call *call))
{
	struct question q = { .r = r, .take = take, .peer = p };
	int err;

	p->call = (struct peer_call){
		.type = type, .body = body, .timeout_ns = timeout(r),
		.done = answered, .ctx = &q,
	};
	peer_call(p->peer, &p->call);
	err = r->cfg.wait(r->cfg.ctx, &q.done);
	if (err) {
		peer_call_cancel(&p->call);
		return err;
	}
	if (p->call.err)
		return error_set(p->call.err, "peer %s: %s (asked to %s)",
				 p->address, strerror(-p->call.err),
				 wire_type_name(type));
	return 0;
}
