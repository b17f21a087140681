// SPDX-License-Identifier: Apache-2.0
/*
 * Connections of the reactor over loopback: one reactor is client and server.
 * The server answers READ with blocks, LIST with checked data, and keeps what
 * APPEND brings.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"
#include "env/env_uring.h"
#include "env/uring_conn.h"
#include "wire/proto.h"

#define DATA_MAX WIRE_APPEND_MAX

static struct env *env;
static char address[32];

/* What the tests look at; zeroed before each. */
static struct {
	struct env_conn *server, *client;
	int accepted, opened, messages, sent, sent_err, closed, close_err;
	char close_text[256];
	int rooms;			/* calls of data_room() */
	int refuse_room;		/* so many times -EAGAIN */
	int stop_after;			/* messages, on either side */
	bool close_in_message, close_in_sent, close_in_room;
	bool inside;			/* a submission call is running */
	uint64_t next_request, seen[2];
	bool use_room;
	uint32_t last_len;
} t;

static uint8_t pattern[DATA_MAX], got[DATA_MAX];

static void sent(void *arg, int err)
{
	assert_false(t.inside);
	t.sent++;
	t.sent_err = err;
	if (t.close_in_sent && t.client) {
		env_conn_close(env, t.client);
		t.client = NULL;
	}
}

static void send_frame(struct env_conn *conn, struct wire_header hdr,
		       const void *body, const struct iovec *data, int count)
{
	bool was = t.inside;

	t.inside = true;
	assert_int_equal(env_conn_send(env, conn, &hdr, body, data, count,
				       sent, NULL), 0);
	t.inside = was;
}

static void send_append(struct env_conn *conn, uint32_t blocks)
{
	struct wire_append body = { .blocks = cpu_to_le32(blocks) };
	struct iovec iov[WIRE_APPEND_MAX / BLOCK_SIZE];
	uint32_t i;

	for (i = 0; i < blocks; i++)
		iov[i] = (struct iovec){ pattern + i * BLOCK_SIZE, BLOCK_SIZE };
	send_frame(conn, (struct wire_header){ .type = WIRE_APPEND,
		   .body_len = sizeof(body), .data_len = blocks * BLOCK_SIZE,
		   .request = t.next_request++ }, &body, iov, blocks);
}

static void check_pattern(const struct iovec *data, int count, uint32_t len)
{
	uint32_t at = 0;
	int i;

	for (i = 0; i < count; i++) {
		assert_memory_equal(data[i].iov_base, pattern + at,
				    data[i].iov_len);
		at += data[i].iov_len;
	}
	assert_int_equal(at, len);
}

static int data_room(void *ctx, struct env_conn *conn,
		     const struct wire_header *hdr, const void *body,
		     struct iovec *iov, int max)
{
	t.rooms++;
	if (t.close_in_room) {
		env_conn_close(env, conn);
		return 0;
	}
	if (t.refuse_room) {
		t.refuse_room--;
		return -EAGAIN;
	}
	if (!t.use_room)
		return 0;
	assert_true(max >= 2);
	memset(got, 0, hdr->data_len);
	iov[0] = (struct iovec){ got, 1000 };
	iov[1] = (struct iovec){ got + 1000, hdr->data_len - 1000 };
	return 2;
}

static void came(struct env_conn *conn)
{
	t.messages++;
	if (t.messages == t.stop_after)
		env_uring_stop(env);
	if (t.close_in_message)
		env_conn_close(env, conn);
}

static void server_message(void *ctx, struct env_conn *conn,
			   const struct wire_header *hdr, const void *body,
			   const struct iovec *data, int count)
{
	bool side = conn == t.server;

	/* In order, each exactly once. */
	assert_true(hdr->request >= t.seen[side]);
	t.seen[side] = hdr->request + 1;
	t.last_len = hdr->data_len;
	if (hdr->data_len)
		check_pattern(data, count, hdr->data_len);
	came(conn);
}

static void server_closed(void *ctx, struct env_conn *conn, int err)
{
	assert_false(t.inside);
	t.closed++;
	t.close_err = err;
	snprintf(t.close_text, sizeof(t.close_text), "%s", error_text(err));
	t.server = NULL;
	env_uring_stop(env);
}

static const struct env_conn_ops server_ops = {
	.data_room = data_room, .message = server_message,
	.closed = server_closed,
};

static void opened(void *ctx, struct env_conn *conn)
{
	assert_false(t.inside);
	t.opened++;
	env_uring_stop(env);
}

static const struct env_conn_ops client_ops = {
	.opened = opened, .data_room = data_room, .message = server_message,
	.closed = server_closed,
};

static const struct env_conn_ops *accepted(void *listen_ctx,
					   struct env_conn *conn, void **ctx)
{
	t.accepted++;
	t.server = conn;
	return &server_ops;
}

static int setup(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(pattern); i++)
		pattern[i] = i * 31 + (i >> 9);
	memset(&t, 0, sizeof(t));
	env = env_uring_new(&(struct env_uring_config){ .frames_max = 5000 });
	assert_non_null(env);
	assert_int_equal(env_listen(env, "127.0.0.1:0", accepted, NULL), 0);
	snprintf(address, sizeof(address), "127.0.0.1:%d", env_uring_port(env));
	return 0;
}

static int teardown(void **state)
{
	env_uring_free(env);
	return 0;
}

static void turn_until(const int *counter, int value)
{
	int i;

	for (i = 0; *counter < value; i++) {
		assert_true(i < 20000);
		assert_int_equal(env_uring_turn(env, NSEC_PER_SEC), 0);
	}
	env_uring_turn(env, 0);
}

static void connect_both(void)
{
	t.inside = true;
	t.client = env_connect(env, address, &client_ops, NULL);
	t.inside = false;
	assert_non_null(t.client);
	turn_until(&t.opened, 1);
	turn_until(&t.accepted, 1);
}

/* ---- frames ----------------------------------------------------------------- */

static void frames_of_all_sizes_arrive(void **state)
{
	static const uint32_t blocks[] = { 1, 2, 7, 8, 9, 16, 64, 256, 260 };
	int way;
	size_t i;

	connect_both();
	for (way = 0; way < 2; way++) {
		t.use_room = way;
		for (i = 0; i < 9; i++) {
			t.messages = 0;
			send_append(t.client, blocks[i]);
			turn_until(&t.messages, 1);
			assert_int_equal(t.last_len, blocks[i] * BLOCK_SIZE);
		}
	}
	turn_until(&t.sent, 18);
	assert_int_equal(t.sent_err, 0);
	assert_string_equal(env_conn_name(env, t.client), address);
	assert_int_equal(env_uring_conn_queued(t.client), 0);
}

static void many_frames_in_one_go(void **state)
{
	int i;

	connect_both();
	for (i = 0; i < 4000; i++) {
		if (i % 3)
			send_frame(t.client, (struct wire_header){
				   .type = WIRE_PING,
				   .request = t.next_request++ }, NULL, NULL, 0);
		else
			send_append(t.client, 1 + i % 40);
	}
	turn_until(&t.messages, 4000);
	turn_until(&t.sent, 4000);
}

static void both_ways_at_once(void **state)
{
	int i;

	connect_both();
	t.use_room = false;
	for (i = 0; i < 64; i++) {
		send_append(t.client, 200);
		send_append(t.server, 200);
	}
	turn_until(&t.messages, 128);
	turn_until(&t.sent, 128);
}

static void data_crc_is_filled_in_and_checked(void **state)
{
	struct wire_list_reply body = { .count = cpu_to_le32(64) };
	struct iovec iov[2] = { { pattern, 48 }, { pattern + 48, 2000 } };

	connect_both();
	send_frame(t.client, (struct wire_header){ .type = WIRE_LIST,
		   .flags = WIRE_REPLY, .body_len = sizeof(body),
		   .data_len = 2048 }, &body, iov, 2);
	turn_until(&t.messages, 1);
	assert_int_equal(t.last_len, 2048);
}

static void paused_reader_goes_on_after_resume(void **state)
{
	int i;

	connect_both();
	t.refuse_room = 2;
	for (i = 0; i < 100; i++)
		send_append(t.client, 16);
	turn_until(&t.rooms, 1);
	for (i = 0; i < 10; i++)
		assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	assert_int_equal(t.rooms, 1);
	assert_int_equal(t.messages, 0);
	t.inside = true;
	env_conn_resume(env, t.server);
	env_conn_resume(env, t.server);
	t.inside = false;
	turn_until(&t.rooms, 2);
	assert_int_equal(t.messages, 0);
	env_conn_resume(env, t.server);
	turn_until(&t.messages, 100);
}

static void queue_is_bounded(void **state)
{
	struct wire_header hdr = { .type = WIRE_PING };
	int i;

	connect_both();
	for (i = 0; i < 5000; i++) {
		hdr.request = i;
		assert_int_equal(env_conn_send(env, t.client, &hdr, NULL, NULL,
					       0, NULL, NULL), 0);
	}
	assert_int_equal(env_uring_conn_queued(t.client),
			 5000 * sizeof(struct disk_wire_header));
	assert_int_equal(env_conn_send(env, t.client, &hdr, NULL, NULL, 0,
				       sent, NULL), -ENOMEM);
	turn_until(&t.messages, 5000);
	assert_int_equal(t.sent, 0);
}

static void wrong_lengths_are_the_callers_error(void **state)
{
	struct wire_header hdr = { .type = WIRE_APPEND, .data_len = 4096 };
	struct iovec iov = { pattern, 4095 };

	connect_both();
	assert_int_equal(env_conn_send(env, t.client, &hdr, NULL, &iov, 1,
				       sent, NULL), -EINVAL);
	hdr = (struct wire_header){ .type = WIRE_PING,
				    .body_len = WIRE_BODY_MAX + 1 };
	assert_int_equal(env_conn_send(env, t.client, &hdr, pattern, NULL, 0,
				       sent, NULL), -EINVAL);
}

/* ---- ends ---------------------------------------------------------------------- */

static void other_side_sees_the_close(void **state)
{
	connect_both();
	env_conn_close(env, t.client);
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, 0);
	assert_null(t.server);
	assert_int_equal(env_uring_turn(env, 0), 0);
	assert_int_equal(t.closed, 1);
}

static void close_gives_back_queued_frames(void **state)
{
	uint8_t *data = malloc(BLOCK_SIZE);
	struct wire_append body = { 0 };
	struct iovec iov = { data, BLOCK_SIZE };
	int i;

	connect_both();
	t.refuse_room = 1000;
	for (i = 0; i < 5000; i++)
		send_frame(t.client, (struct wire_header){ .type = WIRE_APPEND,
			   .body_len = sizeof(body), .data_len = BLOCK_SIZE },
			   &body, &iov, 1);
	for (i = 0; i < 10; i++)
		env_uring_turn(env, NSEC_PER_MSEC);
	assert_in_range(t.sent, 0, 4999);
	t.inside = true;
	env_conn_close(env, t.client);
	t.inside = false;
	free(data);	/* ASan would see a late use */
	turn_until(&t.sent, 5000);
	assert_int_equal(t.sent_err, -ECANCELED);
}

static void death_gives_back_queued_frames_first(void **state)
{
	int i;

	connect_both();
	t.refuse_room = 1000;
	for (i = 0; i < 300; i++)
		send_append(t.client, 256);
	turn_until(&t.rooms, 1);
	env_conn_close(env, t.server);
	turn_until(&t.closed, 1);
	assert_int_equal(t.sent, 300);
	assert_true(t.sent_err < 0);
	/* The end of the stream, or the failing write: whichever is seen first. */
	assert_true(t.close_err <= 0);
}

static void closing_inside_callbacks(void **state)
{
	connect_both();
	t.close_in_message = true;
	send_append(t.client, 3);
	send_append(t.client, 3);
	turn_until(&t.messages, 1);
	turn_until(&t.closed, 1);	/* the client's */
	assert_int_equal(t.messages, 1);
}

static void closing_inside_data_room(void **state)
{
	connect_both();
	t.close_in_room = true;
	send_append(t.client, 3);
	turn_until(&t.closed, 1);
	assert_int_equal(t.messages, 0);
}

static void closing_inside_sent(void **state)
{
	int i;

	connect_both();
	t.close_in_sent = true;
	for (i = 0; i < 10; i++)
		send_append(t.client, 1);
	turn_until(&t.sent, 10);
	turn_until(&t.closed, 1);	/* the server's, not the client's */
	assert_null(t.server);
}

static void closing_inside_sent_of_a_dying_connection(void **state)
{
	int i;

	connect_both();
	t.refuse_room = 1000;
	for (i = 0; i < 300; i++)
		send_append(t.client, 256);
	turn_until(&t.rooms, 1);
	t.close_in_sent = true;
	env_conn_close(env, t.server);
	turn_until(&t.sent, 300);
	assert_int_equal(t.closed, 0);
}

/* ---- connecting ------------------------------------------------------------------ */

static void refused_connection_is_reported_from_the_loop(void **state)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	char to[32];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* Bound and not listening: nobody else gets the port. */
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(to, sizeof(to), "127.0.0.1:%d", ntohs(sa.sin_port));
	t.inside = true;
	t.client = env_connect(env, to, &client_ops, NULL);
	t.inside = false;
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, -ECONNREFUSED);
	assert_non_null(strstr(t.close_text, to));
	close(fd);
}

static void bad_address_is_reported_from_the_loop(void **state)
{
	t.inside = true;
	assert_non_null(env_connect(env, "nowhere", &client_ops, NULL));
	t.inside = false;
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, -EINVAL);
	assert_non_null(strstr(t.close_text, "nowhere"));
}

static void names_are_connected_to(void **state)
{
	char to[32];

	snprintf(to, sizeof(to), "localhost:%d", env_uring_port(env));
	t.client = env_connect(env, to, &client_ops, NULL);
	turn_until(&t.opened, 1);
	t.client = env_connect(env, to, &client_ops, NULL);
	env_conn_close(env, t.client);
}

static void closed_while_connecting(void **state)
{
	struct env_conn *conn = env_connect(env, address, &client_ops, NULL);

	env_conn_close(env, conn);
	conn = env_connect(env, "bad", &client_ops, NULL);
	env_conn_close(env, conn);
	assert_int_equal(env_uring_turn(env, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(env_uring_turn(env, 10 * NSEC_PER_MSEC), 0);
	assert_int_equal(t.opened, 0);
	/* The server side may or may not have seen it come and go. */
	assert_int_equal(t.closed, t.accepted);
}

static void sending_before_opened_fails_from_the_loop(void **state)
{
	t.client = env_connect(env, address, &client_ops, NULL);
	send_frame(t.client, (struct wire_header){ .type = WIRE_PING }, NULL,
		   NULL, 0);
	turn_until(&t.sent, 1);
	assert_int_equal(t.sent_err, -ENOTCONN);
}

static void port_in_use_is_named(void **state)
{
	assert_int_equal(env_listen(env, address, accepted, NULL), -EADDRINUSE);
	assert_non_null(strstr(error_text(-EADDRINUSE), address));
	assert_int_equal(env_listen(env, "127.0.0.1", accepted, NULL), -EINVAL);
}

/* ---- bad bytes -------------------------------------------------------------------- */

static int raw_connect(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(env_uring_port(env)) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

/* Its machine goes on to say that there is no room: that is no progress. */
static void one_who_takes_nothing_is_given_up(void **state)
{
	int fd = raw_connect(), stall_ms, i;
	socklen_t len = sizeof(stall_ms);

	turn_until(&t.accepted, 1);
	assert_int_equal(getsockopt(t.server->fd, IPPROTO_TCP,
				    TCP_USER_TIMEOUT, &stall_ms, &len), 0);
	assert_in_range(stall_ms, 1000, 60000);
	/* The test has not got so much time. */
	stall_ms = 500;
	assert_int_equal(setsockopt(t.server->fd, IPPROTO_TCP,
				    TCP_USER_TIMEOUT, &stall_ms, len), 0);
	for (i = 0; i < 64; i++)
		send_append(t.server, 256);
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, -ETIMEDOUT);
	assert_int_equal(t.sent, 64);
	close(fd);
}

/* @bytes go to the server; how it ends. */
static int end_after(const void *bytes, size_t len)
{
	int fd = raw_connect();

	t.closed = 0;
	assert_int_equal(write(fd, bytes, len), len);
	shutdown(fd, SHUT_WR);
	turn_until(&t.closed, 1);
	close(fd);
	return t.close_err;
}

static void bad_frames_end_the_connection(void **state)
{
	struct wire_list_reply body = { 0 };
	struct wire_header hdr = { .type = WIRE_LIST, .flags = WIRE_REPLY,
		.body_len = sizeof(body), .data_len = 32, .data_crc = 1 };
	struct disk_wire_header *disk;
	uint8_t frame[sizeof(*disk) + sizeof(body) + 32] = { 0 };

	disk = (struct disk_wire_header *)frame;
	wire_encode_header(&hdr, &body, disk);
	assert_int_equal(end_after(frame, sizeof(frame)), -EBADMSG);
	assert_non_null(strstr(t.close_text, "list"));
	assert_int_equal(end_after(frame, sizeof(frame) - 1), -ECONNRESET);
	assert_int_equal(end_after(frame, sizeof(*disk) - 1), -ECONNRESET);
	disk->crc ^= cpu_to_le32(1);
	assert_int_equal(end_after(frame, sizeof(frame)), -EBADMSG);
	disk->data_len = cpu_to_le32(~0u);
	assert_int_equal(end_after(frame, sizeof(frame)), -EBADMSG);
	disk->version = cpu_to_le16(9);
	assert_int_equal(end_after(frame, sizeof(frame)), -EPROTONOSUPPORT);
	memset(frame, 'x', sizeof(frame));
	assert_int_equal(end_after(frame, sizeof(frame)), -EBADMSG);
	assert_non_null(strstr(t.close_text, "127.0.0.1:"));
	assert_int_equal(t.messages, 0);
}

#define APPEND_HEAD (sizeof(struct disk_wire_header) + \
		     sizeof(struct wire_append))

/* One of one block. */
static void make_append(uint8_t frame[APPEND_HEAD + BLOCK_SIZE])
{
	struct wire_append body = { .blocks = cpu_to_le32(1) };
	struct wire_header hdr = { .type = WIRE_APPEND,
		.body_len = sizeof(body), .data_len = BLOCK_SIZE };

	wire_encode_header(&hdr, &body, (struct disk_wire_header *)frame);
	memcpy(frame + sizeof(struct disk_wire_header), &body, sizeof(body));
	memcpy(frame + APPEND_HEAD, pattern, BLOCK_SIZE);
}

static void frame_in_single_bytes(void **state)
{
	uint8_t frame[APPEND_HEAD + BLOCK_SIZE];
	int fd = raw_connect();
	size_t i;

	make_append(frame);
	for (i = 0; i < sizeof(frame); i++) {
		assert_int_equal(write(fd, frame + i, 1), 1);
		if (i < 100 || i % 512 == 0)
			assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
	}
	turn_until(&t.messages, 1);
	close(fd);
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, 0);
}

/* ---- frames that are not finished -------------------------------------------- */

/* The first @len bytes of an APPEND of one block are sent. */
static int begin_append(size_t len)
{
	uint8_t frame[APPEND_HEAD + BLOCK_SIZE];
	int fd = raw_connect();

	make_append(frame);
	assert_int_equal(write(fd, frame, len), len);
	turn_until(&t.accepted, 1);
	return fd;
}

static void turns(int count)
{
	while (count--)
		assert_int_equal(env_uring_turn(env, NSEC_PER_MSEC), 0);
}

/* The test has not got so much time: what is armed fires now. */
static void let_time_pass(void)
{
	assert_true(env_timer_armed(&t.server->stall));
	assert_in_range(t.server->stall.when - env_now(env), 20 * NSEC_PER_SEC,
			CONN_FRAME_STALL_S * NSEC_PER_SEC);
	env_timer_set(env, &t.server->stall, env_now(env));
}

static void stalls_after(size_t len, int rooms)
{
	int fd;

	t = (typeof(t)){ .use_room = true };
	fd = begin_append(len);
	turn_until(&t.rooms, rooms);
	turns(5);
	let_time_pass();
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, -ETIME);
	assert_non_null(strstr(t.close_text, "127.0.0.1:"));
	assert_int_equal(t.messages, 0);
	close(fd);
}

static void frame_that_is_not_finished_ends_the_connection(void **state)
{
	stalls_after(1, 0);
	stalls_after(sizeof(struct disk_wire_header), 0);
	stalls_after(APPEND_HEAD, 1);
	stalls_after(APPEND_HEAD + 1, 1);
	stalls_after(APPEND_HEAD + BLOCK_SIZE - 1, 1);
}

static void each_byte_gives_a_frame_time(void **state)
{
	int fd;

	t.use_room = true;
	fd = begin_append(APPEND_HEAD + BLOCK_SIZE - 2);
	turn_until(&t.rooms, 1);
	let_time_pass();
	env_timer_set(env, &t.server->stall, env_now(env) + NSEC_PER_SEC);
	assert_int_equal(write(fd, pattern + BLOCK_SIZE - 2, 1), 1);
	turns(5);
	let_time_pass();
	/* The byte is there before the timer is looked at, but was not read. */
	assert_int_equal(write(fd, pattern + BLOCK_SIZE - 1, 1), 1);
	turn_until(&t.messages, 1);
	assert_int_equal(t.closed, 0);
	assert_false(env_timer_armed(&t.server->stall));
	close(fd);
}

static void no_timer_between_frames_or_while_paused(void **state)
{
	connect_both();
	assert_false(env_timer_armed(&t.server->stall));
	send_append(t.client, 64);
	turn_until(&t.messages, 1);
	assert_false(env_timer_armed(&t.server->stall));
	t.refuse_room = 1;
	send_append(t.client, 64);
	turn_until(&t.rooms, 2);
	assert_false(env_timer_armed(&t.server->stall));
	env_conn_resume(env, t.server);
	turn_until(&t.messages, 2);
	assert_false(env_timer_armed(&t.server->stall));
}

/* It has stopped before APPEND has room, and room comes after a long time. */
static int stop_before_room(void)
{
	int fd;

	t = (typeof(t)){ .use_room = true, .refuse_room = 1 };
	fd = begin_append(APPEND_HEAD);
	turn_until(&t.rooms, 1);
	turns(2);
	t.server->last_bytes -= CONN_FRAME_STALL_S * NSEC_PER_SEC;
	return fd;
}

static void room_that_comes_late_gives_no_new_time(void **state)
{
	int fd = stop_before_room();

	env_conn_resume(env, t.server);
	turns(5);
	assert_int_equal(t.closed, 1);
	assert_int_equal(t.close_err, -ETIME);
	assert_int_equal(t.rooms, 2);
	close(fd);
}

static void what_was_sent_while_paused_counts(void **state)
{
	int fd = stop_before_room();

	assert_int_equal(write(fd, pattern, BLOCK_SIZE - 1), BLOCK_SIZE - 1);
	env_conn_resume(env, t.server);
	turn_until(&t.rooms, 2);
	turns(5);
	let_time_pass();
	assert_int_equal(write(fd, pattern + BLOCK_SIZE - 1, 1), 1);
	turn_until(&t.messages, 1);
	assert_int_equal(t.closed, 0);
	close(fd);
	turn_until(&t.closed, 1);
	fd = stop_before_room();
	close(fd);
	env_conn_resume(env, t.server);
	turn_until(&t.closed, 1);
	assert_int_equal(t.close_err, -ECONNRESET);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(frames_of_all_sizes_arrive),
		T(many_frames_in_one_go),
		T(both_ways_at_once),
		T(data_crc_is_filled_in_and_checked),
		T(paused_reader_goes_on_after_resume),
		T(queue_is_bounded),
		T(one_who_takes_nothing_is_given_up),
		T(wrong_lengths_are_the_callers_error),
		T(other_side_sees_the_close),
		T(close_gives_back_queued_frames),
		T(death_gives_back_queued_frames_first),
		T(closing_inside_callbacks),
		T(closing_inside_data_room),
		T(closing_inside_sent),
		T(closing_inside_sent_of_a_dying_connection),
		T(refused_connection_is_reported_from_the_loop),
		T(bad_address_is_reported_from_the_loop),
		T(names_are_connected_to),
		T(closed_while_connecting),
		T(sending_before_opened_fails_from_the_loop),
		T(port_in_use_is_named),
		T(bad_frames_end_the_connection),
		T(frame_in_single_bytes),
		T(frame_that_is_not_finished_ends_the_connection),
		T(each_byte_gives_a_frame_time),
		T(no_timer_between_frames_or_while_paused),
		T(room_that_comes_late_gives_no_new_time),
		T(what_was_sent_while_paused_counts),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
