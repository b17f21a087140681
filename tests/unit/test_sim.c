// SPDX-License-Identifier: Apache-2.0
/* The simulated world keeps the promises of env.h and meta.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "wire/proto.h"
#include "../sim/lib/env_sim.h"

#define SECOND NSEC_PER_SEC

struct end {
	struct env *env;
	struct env_conn *conn;
	struct env_conn_ops ops;
	bool opened, closed, answered, full;
	int err, sent, messages;
	uint64_t requests[64];
	uint8_t data[8192];
	size_t data_len;
};

struct pair {
	struct sim *sim;
	struct sim_node *a, *b;
	struct end client, server;
};

static void on_opened(void *ctx, struct env_conn *conn)
{
	struct end *e = ctx;

	e->opened = true;
}

static int on_room(void *ctx, struct env_conn *conn,
		   const struct wire_header *hdr, const void *body,
		   struct iovec *iov, int max)
{
	struct end *e = ctx;

	if (e->full)
		return -EAGAIN;
	iov[0] = (struct iovec){ e->data, hdr->data_len / 2 };
	iov[1] = (struct iovec){ e->data + hdr->data_len / 2,
				 hdr->data_len - hdr->data_len / 2 };
	return 2;
}

static void on_message(void *ctx, struct env_conn *conn,
		       const struct wire_header *hdr, const void *body,
		       const struct iovec *data, int count)
{
	struct end *e = ctx;

	e->requests[e->messages++ % 64] = hdr->request;
	e->data_len = hdr->data_len;
	e->answered = true;
}

static void on_closed(void *ctx, struct env_conn *conn, int err)
{
	struct end *e = ctx;

	assert_false(e->closed);
	e->closed = true;
	e->err = err;
	e->conn = NULL;
}

static const struct env_conn_ops *on_accept(void *listen_ctx,
					    struct env_conn *conn, void **ctx)
{
	struct end *e = listen_ctx;

	e->conn = conn;
	e->closed = false;
	*ctx = e;
	return &e->ops;
}

static void end_init(struct end *e, struct sim_node *node)
{
	memset(e, 0, sizeof(*e));
	e->env = sim_node_env(node);
	e->ops = (struct env_conn_ops){ on_opened, on_room, on_message,
					on_closed };
}

static void pair_connect(struct pair *p)
{
	p->client.closed = false;
	p->client.opened = false;
	p->client.conn = env_connect(p->client.env, "b:1", &p->client.ops,
				     &p->client);
	assert_non_null(p->client.conn);
	assert_true(sim_run_until(p->sim, &p->client.opened, SECOND));
	sim_run(p->sim, SECOND);
	assert_non_null(p->server.conn);
}

static void pair_init(struct pair *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->sim = sim_new(seed);
	p->a = sim_node_new(p->sim, "a");
	p->b = sim_node_new(p->sim, "b");
	end_init(&p->client, p->a);
	end_init(&p->server, p->b);
	assert_int_equal(env_listen(p->server.env, "b:1", on_accept,
				    &p->server), 0);
}

static void on_sent(void *arg, int err)
{
	struct end *e = arg;

	e->sent++;
}

static void send_ping(struct end *e, uint64_t request)
{
	struct wire_header hdr = { .type = WIRE_PING, .request = request };

	assert_int_equal(env_conn_send(e->env, e->conn, &hdr, NULL, NULL, 0,
				       on_sent, e), 0);
}

static void send_read_reply(struct end *e, void *data, uint32_t len)
{
	struct wire_header hdr = {
		.type = WIRE_READ, .request = 1, .flags = WIRE_REPLY,
		.body_len = sizeof(struct wire_read_reply), .data_len = len,
	};
	struct wire_read_reply body = { .blocks = cpu_to_le32(len / BLOCK_SIZE) };
	struct iovec iov = { data, len };

	assert_int_equal(env_conn_send(e->env, e->conn, &hdr, &body, &iov, 1,
				       on_sent, e), 0);
}

static void frames_keep_their_order(void **state)
{
	struct pair p;
	int i;

	pair_init(&p, 1);
	pair_connect(&p);
	for (i = 0; i < 50; i++)
		send_ping(&p.client, 100 + (uint64_t)i);
	assert_int_equal(p.client.sent, 0);
	sim_run(p.sim, SECOND);
	assert_int_equal(p.server.messages, 50);
	assert_int_equal(p.client.sent, 50);
	for (i = 0; i < 50; i++)
		assert_int_equal(p.server.requests[i], 100 + i);
	sim_free(p.sim);
}

static void data_arrives_where_the_receiver_says(void **state)
{
	uint8_t block[8192];
	struct pair p;
	size_t i;

	for (i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7);
	pair_init(&p, 2);
	pair_connect(&p);
	p.client.full = true;
	send_read_reply(&p.server, block, sizeof(block));
	sim_run(p.sim, SECOND);
	assert_int_equal(p.client.messages, 0);
	p.client.full = false;
	env_conn_resume(p.client.env, p.client.conn);
	assert_int_equal(p.client.messages, 0);
	sim_run(p.sim, SECOND);
	assert_int_equal(p.client.messages, 1);
	assert_memory_equal(p.client.data, block, sizeof(block));
	assert_int_equal(p.server.sent, 1);
	sim_free(p.sim);
}

static void note_failure(void *ctx, const char *what)
{
	*(bool *)ctx = true;
}

static void data_changed_before_sent_is_caught(void **state)
{
	static uint8_t block[4096];
	bool caught = false;
	struct pair p;

	pair_init(&p, 3);
	pair_connect(&p);
	sim_fail_hook(p.sim, note_failure, &caught);
	send_read_reply(&p.server, block, sizeof(block));
	block[100] ^= 1;
	sim_run(p.sim, SECOND);
	assert_true(caught);
	sim_free(p.sim);
}

static void close_says_nothing_here_and_zero_there(void **state)
{
	struct pair p;

	pair_init(&p, 4);
	pair_connect(&p);
	send_ping(&p.client, 1);
	env_conn_close(p.client.env, p.client.conn);
	assert_int_equal(p.client.sent, 0);
	sim_run(p.sim, SECOND);
	assert_int_equal(p.client.sent, 1);
	assert_false(p.client.closed);
	assert_true(p.server.closed);
	assert_true(p.server.err == 0 || p.server.err == -ECONNRESET);
	sim_free(p.sim);
}

static void nobody_listening_is_refused(void **state)
{
	struct pair p;

	pair_init(&p, 5);
	p.client.conn = env_connect(p.client.env, "b:2", &p.client.ops,
				    &p.client);
	sim_run(p.sim, SECOND);
	assert_true(p.client.closed);
	assert_int_equal(p.client.err, -ECONNREFUSED);
	sim_free(p.sim);
}

static void a_killed_process_resets_its_connections(void **state)
{
	struct pair p;

	pair_init(&p, 6);
	pair_connect(&p);
	sim_node_kill(p.b);
	env_conn_close(p.server.env, p.server.conn);
	sim_run(p.sim, SECOND);
	assert_true(p.client.closed);
	assert_int_equal(p.client.err, -ECONNRESET);
	sim_node_start(p.b);
	assert_int_equal(env_listen(p.server.env, "b:1", on_accept, &p.server),
			 0);
	pair_connect(&p);
	sim_free(p.sim);
}

static void a_crashed_host_answers_only_after_its_boot(void **state)
{
	struct pair p;

	pair_init(&p, 7);
	pair_connect(&p);
	sim_node_crash(p.b);
	send_ping(&p.client, 1);
	sim_run(p.sim, 60 * SECOND);
	assert_false(p.client.closed);
	assert_int_equal(p.client.sent, 1);
	sim_node_start(p.b);
	sim_run(p.sim, SECOND);
	assert_true(p.client.closed);
	assert_int_equal(p.client.err, -ECONNRESET);
	sim_free(p.sim);
}

static void a_partition_works_one_way(void **state)
{
	struct pair p;

	pair_init(&p, 8);
	pair_connect(&p);
	sim_net_block(p.a, p.b, 5 * SECOND);
	send_ping(&p.client, 1);
	send_ping(&p.server, 2);
	sim_run(p.sim, SECOND);
	assert_int_equal(p.client.messages, 1);
	assert_int_equal(p.server.messages, 0);
	sim_run(p.sim, 5 * SECOND);
	assert_int_equal(p.server.messages, 1);
	sim_free(p.sim);
}

static void a_hung_process_does_nothing_and_loses_nothing(void **state)
{
	struct pair p;

	pair_init(&p, 9);
	pair_connect(&p);
	sim_node_hang(p.b, 5 * SECOND);
	send_ping(&p.client, 1);
	send_ping(&p.client, 2);
	sim_run(p.sim, 4 * SECOND);
	assert_int_equal(p.server.messages, 0);
	sim_run(p.sim, 2 * SECOND);
	assert_int_equal(p.server.messages, 2);
	assert_int_equal(p.server.requests[0], 1);
	sim_free(p.sim);
}

/* ---- disk --------------------------------------------------------------- */

struct op {
	struct env_file_op op;
	struct iovec iov;
	bool done;
};

static void op_done(struct env_file_op *op)
{
	container_of(op, struct op, op)->done = true;
}

static int64_t op_run(struct sim *sim, struct sim_node *node,
		      struct env_file_op what, void *buf, size_t len)
{
	struct op o = { .op = what, .iov = { buf, len } };

	o.op.iov = &o.iov;
	o.op.iov_count = buf ? 1 : 0;
	o.op.done = op_done;
	env_file_submit(sim_node_env(node), &o.op);
	assert_false(o.done);
	assert_true(sim_run_until(sim, &o.done, SECOND));
	return o.op.result;
}

static int file_open(struct sim *sim, struct sim_node *n, const char *path,
		     int flags)
{
	return (int)op_run(sim, n, (struct env_file_op){ .type = FILE_OPEN,
			   .path = path, .flags = flags }, NULL, 0);
}

static int64_t file_do(struct sim *sim, struct sim_node *n,
		       enum env_file_type type, int file, uint64_t offset,
		       void *buf, size_t len)
{
	return op_run(sim, n, (struct env_file_op){ .type = type, .file = file,
		      .offset = offset, .length = len, .path = "" }, buf, len);
}

static void synced_bytes_survive_and_others_are_torn_by_sectors(void **state)
{
	static uint8_t old[16384], new[16384], got[16384];
	int f, torn = 0, kept = 0, lost = 0;
	unsigned int i, seed;

	memset(old, 1, sizeof(old));
	memset(new, 2, sizeof(new));
	for (seed = 0; seed < 50; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_node *n = sim_node_new(sim, "n");
		int olds = 0;

		f = file_open(sim, n, "f", FILE_CREATE);
		file_do(sim, n, FILE_WRITE, f, 0, old, sizeof(old));
		assert_int_equal(file_do(sim, n, FILE_SYNC, f, 0, NULL, 0), 0);
		assert_int_equal(file_do(sim, n, FILE_SYNC_DIR, 0, 0, NULL, 0),
				 0);
		file_do(sim, n, FILE_WRITE, f, 4096, new, 8192);
		sim_node_crash(n);
		sim_node_start(n);
		f = file_open(sim, n, "f", 0);
		assert_true(f >= 0);
		assert_int_equal(file_do(sim, n, FILE_READ, f, 0, got,
					 sizeof(got)), sizeof(got));
		assert_memory_equal(got, old, 4096);
		assert_memory_equal(got + 12288, old, 4096);
		for (i = 4096; i < 12288; i += 512) {
			assert_true(got[i] == 1 || got[i] == 2);
			assert_memory_equal(got + i, got[i] == 1 ? old : new,
					    512);
			olds += got[i] == 1;
		}
		torn += olds > 0 && olds < 16;
		kept += olds == 0;
		lost += olds == 16;
		sim_free(sim);
	}
	assert_true(torn > 5 && kept > 5 && lost > 5);
}

static void a_killed_process_keeps_the_page_cache(void **state)
{
	uint8_t buf[4096] = { 7 }, got[4096];
	struct sim *sim = sim_new(11);
	struct sim_node *n = sim_node_new(sim, "n");
	int f = file_open(sim, n, "f", FILE_CREATE);

	file_do(sim, n, FILE_WRITE, f, 0, buf, sizeof(buf));
	sim_node_kill(n);
	sim_node_start(n);
	f = file_open(sim, n, "f", 0);
	assert_int_equal(file_do(sim, n, FILE_READ, f, 0, got, 4096), 4096);
	assert_memory_equal(got, buf, 4096);
	assert_int_equal(file_do(sim, n, FILE_READ, f, 4096, got, 4096), 0);
	sim_free(sim);
}

static void unsynced_names_vanish_or_stay_and_renames_are_whole(void **state)
{
	int old_names = 0, new_names = 0;
	unsigned int seed;

	for (seed = 0; seed < 40; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_node *n = sim_node_new(sim, "n");
		int f;

		f = file_open(sim, n, "a", FILE_CREATE);
		op_run(sim, n, (struct env_file_op){ .type = FILE_SYNC_DIR,
		       .path = "" }, NULL, 0);
		assert_int_equal(op_run(sim, n, (struct env_file_op){
			.type = FILE_RENAME, .path = "a", .path2 = "b" },
			NULL, 0), 0);
		assert_true(f >= 0);
		sim_node_crash(n);
		sim_node_start(n);
		if (file_open(sim, n, "a", 0) >= 0)
			old_names++;
		else if (file_open(sim, n, "b", 0) >= 0)
			new_names++;
		else
			fail_msg("the file has neither name");
		sim_free(sim);
	}
	assert_true(old_names > 5 && new_names > 5);
}

static void a_failed_sync_loses_what_it_covered(void **state)
{
	uint8_t buf[4096] = { 9 }, got[4096];
	struct sim *sim = sim_new(13);
	struct sim_node *n = sim_node_new(sim, "n");
	int f = file_open(sim, n, "f", FILE_CREATE);

	op_run(sim, n, (struct env_file_op){ .type = FILE_SYNC_DIR,
	       .path = "" }, NULL, 0);
	file_do(sim, n, FILE_WRITE, f, 0, buf, sizeof(buf));
	sim_node_disk_faults(n)->sync_eio = 1;
	assert_int_equal(file_do(sim, n, FILE_SYNC, f, 0, NULL, 0), -EIO);
	sim_node_disk_faults(n)->sync_eio = 0;
	assert_int_equal(file_do(sim, n, FILE_SYNC, f, 0, NULL, 0), 0);
	assert_int_equal(sim_disk_peek(n, "f", 0, got, 4096, false), 4096);
	assert_memory_equal(got, buf, 4096);
	sim_disk_peek(n, "f", 0, got, 4096, true);
	assert_memory_not_equal(got, buf, 4096);
	sim_free(sim);
}

static void a_full_disk_says_enospc(void **state)
{
	static uint8_t buf[16384];
	struct sim *sim = sim_new(14);
	struct sim_node *n = sim_node_new(sim, "n");
	int f = file_open(sim, n, "f", FILE_CREATE);

	sim_node_disk_faults(n)->capacity = 8192;
	assert_int_equal(file_do(sim, n, FILE_WRITE, f, 0, buf, sizeof(buf)),
			 8192);
	assert_int_equal(file_do(sim, n, FILE_WRITE, f, 8192, buf, 4096),
			 -ENOSPC);
	assert_int_equal(file_do(sim, n, FILE_PUNCH, f, 0, NULL, 4096), 0);
	assert_int_equal(file_do(sim, n, FILE_WRITE, f, 8192, buf, 4096), 4096);
	sim_free(sim);
}

/* ---- metadata ----------------------------------------------------------- */

struct answer {
	bool done, succeeded, lost;
	int err, events, deletes, resets;
	int64_t revision, lease;
	char value[64];
};

static void on_get(void *ctx, int err, int64_t revision,
		   const struct meta_kv *kv)
{
	struct answer *a = ctx;

	a->done = true;
	a->err = err;
	a->revision = kv ? kv->mod_revision : 0;
	snprintf(a->value, sizeof(a->value), "%s", kv ? kv->value : "");
}

static void on_txn(void *ctx, int err, bool succeeded, int64_t revision)
{
	struct answer *a = ctx;

	a->done = true;
	a->err = err;
	a->succeeded = succeeded;
	a->revision = revision;
}

static void on_event(void *ctx, enum meta_event_type type,
		     const struct meta_kv *kv)
{
	struct answer *a = ctx;

	a->events += type == META_EVENT_PUT;
	a->deletes += type == META_EVENT_DELETE;
	a->resets += type == META_EVENT_RESET;
}

static void on_lease(void *ctx, int err, int64_t lease)
{
	struct answer *a = ctx;

	a->done = true;
	a->err = err;
	a->lease = lease;
}

static void on_lost(void *ctx, int64_t lease)
{
	((struct answer *)ctx)->lost = true;
}

static struct answer put_if(struct sim *sim, struct sim_node *n,
			    const char *key, int64_t revision,
			    const char *value, int64_t lease)
{
	struct meta *m = sim_node_meta(n);
	struct answer a = { 0 };
	struct meta_txn txn = {
		.compare_count = 1, .compare[0] = { key, revision },
		.put_count = 1, .put[0] = { key, value, lease },
	};

	m->ops->txn(m, &txn, on_txn, &a);
	assert_false(a.done);
	assert_true(sim_run_until(sim, &a.done, 10 * SECOND));
	return a;
}

static struct answer get(struct sim *sim, struct sim_node *n, const char *key)
{
	struct meta *m = sim_node_meta(n);
	struct answer a = { 0 };

	m->ops->get(m, key, on_get, &a);
	assert_true(sim_run_until(sim, &a.done, 10 * SECOND));
	return a;
}

static void a_transaction_compares_revisions(void **state)
{
	struct sim *sim = sim_new(20);
	struct sim_node *n = sim_node_new(sim, "n");
	struct answer a = put_if(sim, n, "k", 0, "1", 0), b;

	assert_true(a.succeeded);
	assert_false(put_if(sim, n, "k", 0, "2", 0).succeeded);
	b = get(sim, n, "k");
	assert_string_equal(b.value, "1");
	assert_int_equal(b.revision, a.revision);
	assert_true(put_if(sim, n, "k", a.revision, NULL, 0).succeeded);
	assert_string_equal(get(sim, n, "k").value, "");
	sim_free(sim);
}

static void a_timed_out_transaction_lands_before_after_or_never(void **state)
{
	int before = 0, after = 0, never = 0;
	unsigned int seed;

	for (seed = 0; seed < 60; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_node *n = sim_node_new(sim, "n");

		sim_meta_faults(sim)->txn_timeout = 1;
		assert_int_equal(put_if(sim, n, "k", 0, "1", 0).err,
				 -ETIMEDOUT);
		if (sim_meta_value(sim, "k")) {
			before++;
		} else {
			sim_node_kill(n);
			sim_run(sim, 10 * SECOND);
			if (sim_meta_value(sim, "k"))
				after++;
			else
				never++;
		}
		sim_free(sim);
	}
	assert_true(before > 5 && after > 5 && never > 5);
}

static void a_watch_sees_every_change_in_order(void **state)
{
	struct sim *sim = sim_new(22);
	struct sim_node *n = sim_node_new(sim, "n");
	struct meta *m = sim_node_meta(n);
	struct answer a = { 0 };
	struct meta_watch *w = m->ops->watch(m, "k/", 1, on_event, &a);

	put_if(sim, n, "k/1", 0, "1", 0);
	put_if(sim, n, "j/1", 0, "1", 0);
	sim_meta_put(sim, "k/1", NULL);
	sim_run(sim, SECOND);
	assert_int_equal(a.events, 1);
	assert_int_equal(a.deletes, 1);
	m->ops->unwatch(m, w);
	put_if(sim, n, "k/2", 0, "1", 0);
	sim_run(sim, SECOND);
	assert_int_equal(a.events, 1);
	sim_free(sim);
}

static void a_lease_ends_with_its_holder(void **state)
{
	struct sim *sim = sim_new(23);
	struct sim_node *n = sim_node_new(sim, "n");
	struct sim_node *other = sim_node_new(sim, "o");
	struct meta *m = sim_node_meta(n);
	struct answer a = { 0 };

	m->ops->lease_grant(m, 10, on_lease, on_lost, &a);
	assert_true(sim_run_until(sim, &a.done, SECOND));
	assert_true(put_if(sim, n, "k", 0, "1", a.lease).succeeded);
	sim_run(sim, 60 * SECOND);
	assert_string_equal(get(sim, other, "k").value, "1");
	sim_meta_unreachable(n, 30 * SECOND);
	sim_run(sim, 20 * SECOND);
	assert_string_equal(get(sim, other, "k").value, "");
	assert_false(a.lost);
	sim_run(sim, 20 * SECOND);
	assert_true(a.lost);
	a.done = false;
	m->ops->lease_grant(m, 10, on_lease, on_lost, &a);
	assert_true(sim_run_until(sim, &a.done, SECOND));
	put_if(sim, n, "k", 0, "1", a.lease);
	sim_node_kill(n);
	sim_run(sim, 5 * SECOND);
	assert_string_equal(get(sim, other, "k").value, "1");
	sim_run(sim, 15 * SECOND);
	assert_string_equal(get(sim, other, "k").value, "");
	sim_free(sim);
}

static uint64_t history(uint64_t seed)
{
	struct pair p;
	uint64_t hash;
	int i;

	pair_init(&p, seed);
	pair_connect(&p);
	for (i = 0; i < 20; i++)
		send_ping(&p.client, (uint64_t)i);
	put_if(p.sim, p.a, "k", 0, "1", 0);
	sim_node_crash(p.b);
	sim_run(p.sim, SECOND);
	hash = sim_hash(p.sim);
	sim_free(p.sim);
	return hash;
}

static void equal_seeds_give_equal_histories(void **state)
{
	assert_true(history(5) == history(5));
	assert_true(history(5) != history(6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_keep_their_order),
		cmocka_unit_test(data_arrives_where_the_receiver_says),
		cmocka_unit_test(data_changed_before_sent_is_caught),
		cmocka_unit_test(close_says_nothing_here_and_zero_there),
		cmocka_unit_test(nobody_listening_is_refused),
		cmocka_unit_test(a_killed_process_resets_its_connections),
		cmocka_unit_test(a_crashed_host_answers_only_after_its_boot),
		cmocka_unit_test(a_partition_works_one_way),
		cmocka_unit_test(a_hung_process_does_nothing_and_loses_nothing),
		cmocka_unit_test(synced_bytes_survive_and_others_are_torn_by_sectors),
		cmocka_unit_test(a_killed_process_keeps_the_page_cache),
		cmocka_unit_test(unsynced_names_vanish_or_stay_and_renames_are_whole),
		cmocka_unit_test(a_failed_sync_loses_what_it_covered),
		cmocka_unit_test(a_full_disk_says_enospc),
		cmocka_unit_test(a_transaction_compares_revisions),
		cmocka_unit_test(a_timed_out_transaction_lands_before_after_or_never),
		cmocka_unit_test(a_watch_sees_every_change_in_order),
		cmocka_unit_test(a_lease_ends_with_its_holder),
		cmocka_unit_test(equal_seeds_give_equal_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
