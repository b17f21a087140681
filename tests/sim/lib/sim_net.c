// SPDX-License-Identifier: Apache-2.0
/*
 * The network: connections of whole frames.
 *
 * A connection is two ends; each end owns the queue of frames on their way to
 * it. Frames keep their order within a connection and nothing else does. A
 * frame is encoded and its data copied when it is sent, decoded and checked
 * when it arrives; when sent() is called the sender's memory must still hold
 * what was sent.
 *
 * How an end ends:
 *	the other side closes it	END 0 behind the frames, or a reset
 *	the other process dies		reset
 *	the other machine dies		nothing; a later send meets nobody, and is
 *					answered by a reset once it has rebooted
 *	the fault injector		reset on both sides, a random part of
 *					what was under way is lost
 *
 * A closed or dead end is freed when no callback of it is running, those of a
 * dead process when its node is started again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crc32c.h"
#include "sim_net.h"

#define SIM_IOV_MAX 1024
#define NO_ROUTE_NS (2 * NSEC_PER_SEC)

/* ---- arrival ------------------------------------------------------------ */

/* The frames on their way to both ends are gone; @c hears of it now. */
static void conn_end(struct env_conn *c, int err)
{
	struct env_conn *other = c->other;

	c->other = NULL;
	if (other) {
		other->other = NULL;
		sim_conn_reset(other, -ECONNRESET, true);
	}
	c->busy++;
	while (!c->dead && !list_empty(&c->unsent))
		sim_unsent_call(list_first_entry(&c->unsent, struct unsent, node),
				err ? err : -ECONNRESET);
	if (!c->dead && c->ops && c->owner->running) {
		c->dead = true;
		sim_trace(c->owner->sim, c->owner, "connection over: %lld",
			  (uint64_t)err, 0, 0, 0);
		if (c->ops->closed)
			c->ops->closed(c->ctx, c, err);
	}
	c->dead = true;
	sim_conn_unbusy(c);
}

static int frame_decode(const struct frame *f, struct wire_header *hdr)
{
	int err = wire_decode_header(&f->head, hdr);

	if (!err)
		err = wire_check_crc(&f->head, f->body);
	if (!err && wire_data_checked(hdr) && hdr->data_len &&
	    crc32c(0, f->data->bytes, f->data->len) != hdr->data_crc)
		err = -EBADMSG;
	return err;
}

static void scatter(const struct payload *data, struct iovec *iov, int count)
{
	size_t at = 0, n;
	int i;

	for (i = 0; i < count && at < data->len; i++, at += n) {
		n = MIN(iov[i].iov_len, data->len - at);
		memcpy(iov[i].iov_base, data->bytes + at, n);
	}
}

static size_t iov_total(const struct iovec *iov, int count)
{
	size_t total = 0;
	int i;

	for (i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

/* For the eyes of somebody who follows a trace. */
static void print_body(const struct sim *sim, const struct wire_header *hdr,
		       const uint8_t *body)
{
	uint32_t word, i;

	if (!sim->live || !hdr->body_len)
		return;
	fprintf(sim->live, "\t\t\t %s%s", wire_type_name(hdr->type),
		hdr->flags & WIRE_REPLY ? " reply:" : ":");
	for (i = 0; i + 4 <= hdr->body_len && i < 48; i += 4) {
		memcpy(&word, body + i, 4);
		fprintf(sim->live, " %x", le32toh(word));
	}
	fprintf(sim->live, "\n");
}

/* Returns false when there is no room: the frame stays. */
static bool deliver_data(struct env_conn *c, struct frame *f)
{
	static struct iovec iov[SIM_IOV_MAX];
	struct sim *sim = c->owner->sim;
	struct wire_header hdr;
	int count = 0, err = frame_decode(f, &hdr);

	if (err) {
		conn_end(c, err);
		return true;
	}
	if (hdr.data_len && c->ops->data_room)
		count = c->ops->data_room(c->ctx, c, &hdr, f->body, iov,
					  SIM_IOV_MAX);
	if (c->dead)
		return true;
	if (count == -EAGAIN) {
		c->paused = true;
		return false;
	}
	if (count > 0) {
		if (iov_total(iov, count) < hdr.data_len)
			sim_failed(sim, "data_room() gave too little room");
		scatter(f->data, iov, count);
	} else if (hdr.data_len) {
		iov[0] = (struct iovec){ f->data->bytes, hdr.data_len };
		count = 1;
	}
	sim_trace(sim, c->owner, "< type %llu request %llu status %llu data %llu",
		  hdr.type, hdr.request, hdr.status, hdr.data_len);
	print_body(sim, &hdr, f->body);
	c->ops->message(c->ctx, c, &hdr, f->body, iov, count);
	return true;
}

struct listener *sim_listener_find(struct sim *sim, const char *address)
{
	struct listener *l;

	list_for_each_entry(l, &sim->listeners, node)
		if (strcmp(l->address, address) == 0)
			return l;
	return NULL;
}

/* The connecting side's own attempt: it is its frame until it succeeds. */
static void deliver_connect(struct env_conn *c)
{
	struct sim *sim = c->owner->sim;
	struct listener *l = sim_listener_find(sim, c->address);
	struct env_conn *server;

	if (!l || (l->host->powered && !l->owner)) {
		conn_end(c, -ECONNREFUSED);
		return;
	}
	if (!l->host->powered) {
		conn_end(c, -EHOSTUNREACH);
		return;
	}
	server = sim_conn_new(l->host, c->owner);
	server->other = c;
	c->other = server;
	c->remote = l->host;	/* nobody may have listened there before */
	snprintf(server->address, sizeof(server->address), "%s", c->address);
	sim_frame_push(server, FRAME_ACCEPT, 0);
	sim_frame_push(c, FRAME_OPEN, sim_net_delay(sim));
}

static void deliver_accept(struct env_conn *c)
{
	struct listener *l = sim_listener_find(c->owner->sim, c->address);

	if (l && l->owner)
		c->ops = l->accept(l->ctx, c, &c->ctx);
	if (!c->ops && !c->dead)
		conn_end(c, 0);
}

/* Returns false when the frame must wait for room. */
static bool deliver_frame(struct env_conn *c, struct frame *f)
{
	switch (f->kind) {
	case FRAME_CONNECT:
		deliver_connect(c);
		return true;
	case FRAME_ACCEPT:
		deliver_accept(c);
		return true;
	case FRAME_OPEN:
		if (c->ops->opened)
			c->ops->opened(c->ctx, c);
		return true;
	case FRAME_END:
		conn_end(c, f->err);
		return true;
	case FRAME_DATA:
		return deliver_data(c, f);
	}
	return true;
}

static uint64_t blocked_until(const struct env_conn *c)
{
	if (!c->remote)
		return 0;
	return c->owner->sim->blocked[c->remote->id][c->owner->id];
}

/* A connect waits for both ways; everything else for the way to here. */
static uint64_t frame_blocked(const struct env_conn *c, const struct frame *f)
{
	struct sim *sim = c->owner->sim;
	struct listener *l;

	if (f->kind != FRAME_CONNECT)
		return blocked_until(c);
	l = sim_listener_find(sim, c->address);
	if (!l)
		return 0;
	return MAX(sim->blocked[c->owner->id][l->host->id],
		   sim->blocked[l->host->id][c->owner->id]);
}

void sim_deliver_event(struct sim_event *event)
{
	struct env_conn *c = container_of(event, struct env_conn, deliver);
	struct frame *f = list_first_entry(&c->in, struct frame, node);
	uint64_t blocked = frame_blocked(c, f);

	if (blocked > c->owner->sim->now) {
		sim_event_at(c->owner->sim, &c->deliver, blocked);
		return;
	}
	c->busy++;
	list_del_init(&f->node);
	if (deliver_frame(c, f))
		sim_frame_free(f);
	else
		list_add(&f->node, &c->in);
	if (!sim_event_armed(&c->deliver))
		sim_deliver_arm(c);
	sim_conn_unbusy(c);
}

/* ---- env_ops ------------------------------------------------------------ */

static struct sim_node *to_node(struct env *env)
{
	return container_of(env, struct sim_node, env);
}

static int net_listen(struct env *env, const char *address, env_accept_fn accept,
		      void *ctx)
{
	struct sim_node *node = to_node(env);
	struct listener *l = sim_listener_find(node->sim, address);

	if (l && l->owner)
		return -EADDRINUSE;
	if (!l) {
		l = sim_alloc(sizeof(*l));
		snprintf(l->address, sizeof(l->address), "%s", address);
		list_add_tail(&l->node, &node->sim->listeners);
	}
	l->owner = node;
	l->host = node;
	l->accept = accept;
	l->ctx = ctx;
	return 0;
}

static struct env_conn *net_connect(struct env *env, const char *address,
				    const struct env_conn_ops *ops, void *ctx)
{
	struct sim_node *node = to_node(env);
	struct listener *l = sim_listener_find(node->sim, address);
	struct env_conn *c;
	uint64_t delay = sim_net_delay(node->sim);

	if (!node->running)
		return NULL;
	c = sim_conn_new(node, l ? l->host : NULL);
	c->ops = ops;
	c->ctx = ctx;
	snprintf(c->address, sizeof(c->address), "%s", address);
	if (l && !l->host->powered)
		delay += NO_ROUTE_NS;
	sim_frame_push(c, FRAME_CONNECT, delay);
	return c;
}

static void flip(struct sim *sim, void *bytes, size_t len)
{
	((uint8_t *)bytes)[sim_below(sim, len)] ^=
		(uint8_t)(1u << sim_below(sim, 8));
}

/* One wrong bit, in the data as a rule; the sender's copy stays as it is. */
static void frame_damage(struct sim *sim, struct frame *f, size_t body_len)
{
	struct iovec iov;

	if (f->data && sim_chance(sim, 3, 4)) {
		iov = (struct iovec){ f->data->bytes, f->data->len };
		sim_payload_put(f->data);
		f->data = sim_payload_new(&iov, 1, iov.iov_len);
		flip(sim, f->data->bytes, f->data->len);
	} else if (body_len && sim_chance(sim, 1, 2)) {
		flip(sim, f->body, body_len);
	} else {
		flip(sim, &f->head, sizeof(f->head));
	}
}

static void frame_send(struct env_conn *to, const struct wire_header *hdr,
		       const void *body, struct payload *data)
{
	struct sim *sim = to->owner->sim;
	struct frame *f = sim_frame_push(to, FRAME_DATA, sim_net_delay(sim));

	if (hdr->body_len)
		memcpy(f->body, body, hdr->body_len);
	wire_encode_header(hdr, f->body, &f->head);
	f->data = data;
	if (data)
		data->refs++;
	if (sim->delays.net_flip && sim_chance(sim, 1, sim->delays.net_flip))
		frame_damage(sim, f, hdr->body_len);
}

/* The machine at the other end died: nobody is there, or one who does not
 * know this connection. */
static void half_open_send(struct env_conn *c)
{
	if (c->remote->powered)
		sim_conn_reset(c, -ECONNRESET, false);
	else
		c->unanswered = true;
}

static int net_send(struct env_conn *c, const struct wire_header *hdr,
		    const void *body, const struct iovec *data, int count,
		    env_sent_fn sent, void *arg)
{
	struct sim *sim = c->owner->sim;
	struct wire_header copy = *hdr;
	struct payload *payload = NULL;

	if (!c->owner->running || c->dead)
		return 0;
	if (hdr->data_len) {
		payload = sim_payload_new(data, count, hdr->data_len);
		if (!payload) {
			sim_failed(sim, "frame with less data than it says");
			return -ENOMEM;
		}
	}
	copy.data_crc = 0;
	if (payload && wire_data_checked(&copy))
		copy.data_crc = crc32c(0, payload->bytes, payload->len);
	if (c->other)
		frame_send(c->other, &copy, body, payload);
	else if (c->half_open)
		half_open_send(c);
	if (sent)
		sim_unsent_add(c, payload, data, payload ? count : 0,
			       c->other ? c->other->last_due
					: sim->now + sim->delays.net_max, sent, arg);
	sim_payload_put(payload);
	return 0;
}

static void net_resume(struct env_conn *c)
{
	if (!c->paused || c->dead)
		return;
	c->paused = false;
	if (!sim_event_armed(&c->deliver))
		sim_deliver_arm(c);
}

static void net_close(struct env_conn *c)
{
	struct sim_node *node = c->owner;
	struct env_conn *other = c->other;
	struct sim *sim = node->sim;
	struct unsent *u;

	if (!node->running || c->dead)
		return;
	c->dead = true;
	c->other = NULL;
	if (other) {
		other->other = NULL;
		if (sim_chance(sim, 1, 4))
			sim_conn_reset(other, -ECONNRESET, true);
		else
			sim_frame_push(other, FRAME_END, sim_net_delay(sim));
	}
	list_for_each_entry(u, &c->unsent, node) {
		free(u->iov);
		u->iov = NULL;
		u->iov_count = 0;
	}
	if (!list_empty(&c->unsent))
		sim_event_after(sim, &node->orphan_event, 0);
	list_splice_tail_init(&c->unsent, &node->orphans);
	sim_event_cancel(sim, &c->deliver);
	sim_event_cancel(sim, &c->sent_event);
	if (!c->busy)
		sim_conn_free(c);
}

static const char *net_conn_name(const struct env_conn *c)
{
	return c->remote ? c->remote->name : c->address;
}

void sim_net_ops(struct env_ops *ops)
{
	ops->listen = net_listen;
	ops->connect = net_connect;
	ops->send = net_send;
	ops->resume = net_resume;
	ops->close = net_close;
	ops->conn_name = net_conn_name;
}
