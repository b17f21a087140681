// SPDX-License-Identifier: Apache-2.0
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/log.h"

#define ADDRESS "store:1"

/* ---- the store ------------------------------------------------------------ */

void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->sim = sim_new(7);
	sim_log_attach(f->sim);
	f->node = sim_node_new(f->sim, "store");
	f->client = sim_node_new(f->sim, "client");
	memset(f->cfg.cluster.byte, 0xc1, sizeof(f->cfg.cluster.byte));
	memset(f->cfg.peer.byte, 0x0e, sizeof(f->cfg.peer.byte));
	f->cfg.size = 1ull << 29;
	f->cfg.chunk_size = 1 << 20;
	f->epoch = 1;
	list_init(&f->waiting);
	new_chain(f);
}

void fixture_release(struct fixture *f)
{
	fixture_disconnect(f);
	if (f->store != NULL)
		fixture_kill(f);
	sim_node_kill(f->client);
	sim_free(f->sim);
	log_set_sink(NULL);
}

static void opened(void *ctx, int err)
{
	struct fixture *f = ctx;

	f->open_err = err;
	f->opened = true;
}

int fixture_open(struct fixture *f)
{
	if (!sim_node_running(f->node))
		sim_node_start(f->node);
	snprintf(f->cfg.boot_id, sizeof(f->cfg.boot_id), "boot-%u",
		 sim_node_boots(f->node));
	f->opened = false;
	f->store = store_open(sim_node_env(f->node), &f->cfg, opened, f);
	assert_non_null(f->store);
	assert_true(sim_run_until(f->sim, &f->opened, 100 * NSEC_PER_SEC));
	if (f->open_err == 0) {
		f->incarnation = *store_incarnation(f->store);
		assert_int_equal(store_serve(f->store, ADDRESS), 0);
	}
	return f->open_err;
}

void fixture_kill(struct fixture *f)
{
	sim_node_kill(f->node);
	store_free(f->store);
	f->store = NULL;
}

void fixture_crash(struct fixture *f)
{
	sim_node_crash(f->node);
	store_free(f->store);
	f->store = NULL;
}

static void closed_store(void *ctx, int err)
{
	struct fixture *f = ctx;

	assert_int_equal(err, 0);
	f->closed = true;
}

void fixture_close(struct fixture *f)
{
	f->closed = false;
	store_close(f->store, closed_store, f);
	assert_true(sim_run_until(f->sim, &f->closed, 100 * NSEC_PER_SEC));
	fixture_kill(f);
}

/* ---- the client ----------------------------------------------------------- */

static void conn_opened(void *ctx, struct env_conn *conn)
{
	struct fixture *f = ctx;

	f->connected = true;
}

static void take_data(struct reply *r, const struct iovec *data, int count)
{
	uint32_t at = 0;
	int i;

	r->data = malloc(r->hdr.data_len + 1);
	for (i = 0; i < count && at < r->hdr.data_len; i++) {
		memcpy(r->data + at, data[i].iov_base, data[i].iov_len);
		at += (uint32_t)data[i].iov_len;
	}
}

static void conn_message(void *ctx, struct env_conn *conn,
			 const struct wire_header *hdr, const void *body,
			 const struct iovec *data, int data_count)
{
	struct fixture *f = ctx;
	struct reply *r, *next;

	list_for_each_entry_safe(r, next, &f->waiting, node) {
		if (r->id != hdr->request)
			continue;
		list_del_init(&r->node);
		r->hdr = *hdr;
		memcpy(&r->body, body, hdr->body_len);
		take_data(r, data, data_count);
		r->done = true;
		return;
	}
	fail_msg("an answer to nothing");
}

static void lose_all(struct fixture *f)
{
	struct reply *r, *next;

	list_for_each_entry_safe(r, next, &f->waiting, node) {
		list_del_init(&r->node);
		r->lost = true;
		r->done = true;
	}
}

static void conn_closed(void *ctx, struct env_conn *conn, int err)
{
	struct fixture *f = ctx;

	f->conn = NULL;
	f->connected = false;
	lose_all(f);
}

static const struct env_conn_ops client_ops = {
	.opened = conn_opened,
	.message = conn_message,
	.closed = conn_closed,
};

void fixture_connect(struct fixture *f)
{
	fixture_disconnect(f);
	f->conn = env_connect(sim_node_env(f->client), ADDRESS, &client_ops, f);
	assert_non_null(f->conn);
	assert_true(sim_run_until(f->sim, &f->connected, 10 * NSEC_PER_SEC));
}

void fixture_disconnect(struct fixture *f)
{
	if (f->conn != NULL)
		env_conn_close(sim_node_env(f->client), f->conn);
	f->conn = NULL;
	f->connected = false;
	lose_all(f);
}

static void request_sent(void *arg, int err)
{
	free(arg);
}

void send_request(struct fixture *f, struct reply *r, enum wire_type type,
		  uint32_t flags, const void *body, const void *data,
		  uint32_t len)
{
	struct wire_header hdr = {
		.type = type,
		.flags = flags,
		.request = ++f->next_id,
		.body_len = (uint32_t)wire_body_size(type, false),
		.data_len = len,
	};
	struct iovec iov = { .iov_len = len };

	memset(r, 0, sizeof(*r));
	r->id = hdr.request;
	list_add_tail(&r->node, &f->waiting);
	if (len > 0) {
		iov.iov_base = malloc(len);
		memcpy(iov.iov_base, data, len);
	}
	assert_int_equal(env_conn_send(sim_node_env(f->client), f->conn, &hdr,
				       body, &iov, len > 0, request_sent,
				       iov.iov_base), 0);
}

uint32_t wait_reply(struct fixture *f, struct reply *r)
{
	assert_true(sim_run_until(f->sim, &r->done, 100 * NSEC_PER_SEC));
	assert_false(r->lost);
	return r->hdr.status;
}

void reply_release(struct reply *r)
{
	free(r->data);
	r->data = NULL;
}

/* A request without data, and the status and body of its answer in @r. */
static uint32_t ask(struct fixture *f, struct reply *r, enum wire_type type,
		    const void *body)
{
	send_request(f, r, type, 0, body, NULL, 0);
	wait_reply(f, r);
	reply_release(r);
	return r->hdr.status;
}

uint32_t fixture_hello(struct fixture *f, enum wire_role role)
{
	struct wire_hello hello = {
		.version_min = cpu_to_le16(WIRE_VERSION),
		.version_max = cpu_to_le16(WIRE_VERSION),
		.role = cpu_to_le32(role),
		.cluster = f->cfg.cluster,
		.to = f->cfg.peer,
	};
	struct reply r;

	return ask(f, &r, WIRE_HELLO, &hello);
}

void fixture_reconnect(struct fixture *f, enum wire_role role)
{
	fixture_connect(f);
	assert_int_equal(fixture_hello(f, role), WIRE_OK);
}

void fixture_reopen(struct fixture *f)
{
	fixture_disconnect(f);
	assert_int_equal(fixture_open(f), 0);
	fixture_reconnect(f, WIRE_ROLE_VOLUME);
}

int fixture_setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	fixture_init(f);
	assert_int_equal(fixture_open(f), 0);
	fixture_reconnect(f, WIRE_ROLE_VOLUME);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_release(*state);
	free(*state);
	return 0;
}

/* ---- records --------------------------------------------------------------- */

void new_chain(struct fixture *f)
{
	f->block = 0;
	f->prev_crc = 0;
}

struct made make_record(struct fixture *f, uint32_t payload, uint16_t flags)
{
	struct extent extent = {
		.first = 10, .count = payload > 0 ? payload : 1,
		.kind = payload == 0 ? EXTENT_ZERO :
			f->kind != 0 ? f->kind : EXTENT_DATA,
		.source = f->kind == EXTENT_RELOCATION ? block_addr(1, 1) : 0,
	};
	uint32_t crcs[RECORD_PAYLOAD_BLOCKS_MAX], i;
	struct record r = {
		.volume = VOLUME, .chunk = CHUNK, .epoch = f->epoch,
		.sequence = ++f->sequence, .prev_crc = f->prev_crc,
		.block = f->block, .flags = flags, .payload_blocks = payload,
		.extent_count = 1, .extents = &extent, .payload_crc = crcs,
		.root = block_addr(3, 7), .root_crc = 99,
	};
	uint32_t header = record_header_blocks(1, payload);
	struct made m = { .block = f->block, .chunk = CHUNK,
			  .epoch = f->epoch, .blocks = header + payload };

	m.bytes = malloc((size_t)m.blocks * BLOCK_SIZE);
	for (i = 0; i < payload; i++) {
		uint8_t *block = m.bytes + (size_t)(header + i) * BLOCK_SIZE;

		memset(block, (int)(f->sequence + i), BLOCK_SIZE);
		crcs[i] = crc32c(0, block, BLOCK_SIZE);
	}
	record_encode(&r, m.bytes);
	m.crc = r.crc;
	f->prev_crc = r.crc;
	f->block += m.blocks;
	return m;
}

void made_free(struct made *m)
{
	free(m->bytes);
	m->bytes = NULL;
}

/* ---- calls ------------------------------------------------------------------ */

void send_append(struct fixture *f, struct reply *r, const struct made *m,
		 uint32_t flags)
{
	struct wire_append body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(m->chunk),
		.epoch = cpu_to_le64(m->epoch),
		.block = cpu_to_le32(m->block),
		.blocks = cpu_to_le32(m->blocks),
	};

	send_request(f, r, WIRE_APPEND, flags, &body, m->bytes,
		     m->blocks * BLOCK_SIZE);
}

uint32_t append(struct fixture *f, const struct made *m, uint32_t flags,
		uint32_t *length)
{
	struct reply r;
	uint32_t status;

	send_append(f, &r, m, flags);
	status = wait_reply(f, &r);
	if (length != NULL)
		*length = le32_to_cpu(r.body.append.length);
	reply_release(&r);
	return status;
}

uint32_t append_new(struct fixture *f, uint32_t payload)
{
	struct made m = make_record(f, payload, 0);
	uint32_t length;

	assert_int_equal(append(f, &m, 0, &length), WIRE_OK);
	assert_int_equal(length, f->block);
	made_free(&m);
	return m.crc;
}

uint32_t sync_chunk(struct fixture *f, uint64_t epoch, uint32_t length)
{
	struct wire_sync body = {
		.volume = cpu_to_le64(VOLUME),
		.epoch = cpu_to_le64(epoch),
		.count = cpu_to_le32(1),
	};
	struct wire_range range = {
		.chunk = cpu_to_le64(CHUNK),
		.length = cpu_to_le32(length),
	};
	struct reply r;
	uint32_t status;

	send_request(f, &r, WIRE_SYNC, 0, &body, &range, sizeof(range));
	status = wait_reply(f, &r);
	if (status == WIRE_OK) {
		assert_int_equal(r.hdr.data_len, sizeof(range));
		memcpy(&range, r.data, sizeof(range));
		status = le32_to_cpu(range.status);
	}
	reply_release(&r);
	return status;
}

uint32_t fence(struct fixture *f, uint64_t epoch,
	       struct wire_fence_reply *reply)
{
	struct wire_fence body = {
		.volume = cpu_to_le64(VOLUME),
		.epoch = cpu_to_le64(epoch),
	};
	struct reply r;
	uint32_t status = ask(f, &r, WIRE_FENCE, &body);

	if (reply != NULL)
		*reply = r.body.fence;
	return status;
}

uint32_t seal(struct fixture *f, uint64_t chunk, uint64_t epoch,
	      uint32_t length, uint32_t crc)
{
	struct wire_seal body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(chunk),
		.epoch = cpu_to_le64(epoch),
		.length = cpu_to_le32(length),
		.end_crc = cpu_to_le32(crc),
	};
	struct reply r;

	return ask(f, &r, WIRE_SEAL, &body);
}

uint32_t stat_chunk(struct fixture *f, uint64_t chunk, uint64_t epoch,
		    struct wire_chunk_reply *reply)
{
	struct wire_chunk body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(chunk),
		.epoch = cpu_to_le64(epoch),
	};
	struct reply r;
	uint32_t status = ask(f, &r, WIRE_STAT_CHUNK, &body);

	if (reply != NULL)
		*reply = r.body.chunk;
	return status;
}

uint32_t read_blocks(struct fixture *f, uint64_t epoch, uint32_t block,
		     uint32_t blocks, uint8_t *out)
{
	struct wire_read body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(CHUNK),
		.attached = cpu_to_le64(VOLUME),
		.epoch = cpu_to_le64(epoch),
		.block = cpu_to_le32(block),
		.blocks = cpu_to_le32(blocks),
	};
	struct reply r;

	send_request(f, &r, WIRE_READ, 0, &body, NULL, 0);
	wait_reply(f, &r);
	if (r.hdr.status == WIRE_OK) {
		assert_int_equal(r.hdr.data_len, blocks * BLOCK_SIZE);
		if (out != NULL)
			memcpy(out, r.data, r.hdr.data_len);
	} else {
		assert_int_equal(r.hdr.data_len, 0);
	}
	reply_release(&r);
	return r.hdr.status;
}

uint32_t scan(struct fixture *f, uint64_t epoch, struct reply *r)
{
	struct wire_scan body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(CHUNK),
		.epoch = cpu_to_le64(epoch),
		.bytes_max = cpu_to_le32(1 << 20),
	};

	send_request(f, r, WIRE_SCAN, 0, &body, NULL, 0);
	return wait_reply(f, r);
}
