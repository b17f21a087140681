// SPDX-License-Identifier: Apache-2.0
/* HELLO, what a connection may say, and what becomes of requests at its end. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_init(f);
	assert_int_equal(fixture_open(f), 0);
	fixture_connect(f);
	*state = f;
	return 0;
}

static struct wire_hello good_hello(const struct fixture *f)
{
	return (struct wire_hello){
		.version_min = cpu_to_le16(WIRE_VERSION),
		.version_max = cpu_to_le16(WIRE_VERSION),
		.role = cpu_to_le32(WIRE_ROLE_VOLUME),
		.cluster = f->cfg.cluster,
	};
}

static uint32_t hello(struct fixture *f, const struct wire_hello *h,
		      struct wire_hello *answer)
{
	struct reply r;

	send_request(f, &r, WIRE_HELLO, 0, h, NULL, 0);
	wait_reply(f, &r);
	if (answer != NULL)
		*answer = r.body.hello;
	reply_release(&r);
	return r.hdr.status;
}

static void is_dropped(struct fixture *f, enum wire_type type, const void *body)
{
	struct reply r;

	send_request(f, &r, type, 0, body, NULL, 0);
	assert_true(sim_run_until(f->sim, &r.done, NSEC_PER_SEC));
	assert_true(r.lost);
}

static void test_hello_says_who_is_there(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f), answer;

	h.from.byte[0] = 9;
	assert_int_equal(hello(f, &h, &answer), WIRE_OK);
	assert_true(uuid_equal(&answer.from, &f->cfg.peer));
	assert_true(uuid_equal(&answer.to, &h.from));
	assert_true(uuid_equal(&answer.cluster, &f->cfg.cluster));
	assert_true(uuid_equal(&answer.incarnation, &f->incarnation));
}

static void test_other_cluster_is_refused_and_may_say_no_more(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	h.cluster.byte[0] ^= 1;
	assert_int_equal(hello(f, &h, NULL), WIRE_ECLUSTER);
	is_dropped(f, WIRE_PING, NULL);
}

static void test_unknown_cluster_is_for_admins(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	memset(&h.cluster, 0, sizeof(h.cluster));
	assert_int_equal(hello(f, &h, NULL), WIRE_ECLUSTER);
	fixture_connect(f);
	h.role = cpu_to_le32(WIRE_ROLE_ADMIN);
	assert_int_equal(hello(f, &h, NULL), WIRE_OK);
}

static uint32_t delete_chunk(struct fixture *f)
{
	struct wire_chunk body = { .volume = cpu_to_le64(VOLUME),
				   .chunk = cpu_to_le64(CHUNK) };
	struct reply r;

	send_request(f, &r, WIRE_DELETE, 0, &body, NULL, 0);
	wait_reply(f, &r);
	reply_release(&r);
	return r.hdr.status;
}

static void test_admin_without_a_cluster_may_only_ask(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);
	struct wire_fence_reply reply;
	struct made m;
	struct reply r;

	assert_int_equal(hello(f, &h, NULL), WIRE_OK);
	append_new(f, 3);
	fixture_connect(f);
	memset(&h.cluster, 0, sizeof(h.cluster));
	h.role = cpu_to_le32(WIRE_ROLE_ADMIN);
	assert_int_equal(hello(f, &h, NULL), WIRE_OK);
	assert_int_equal(delete_chunk(f), WIRE_ECLUSTER);
	assert_int_equal(fence(f, 100, NULL), WIRE_ECLUSTER);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ECLUSTER);
	assert_int_equal(read_blocks(f, 0, 0, 1, NULL), WIRE_ECLUSTER);
	send_request(f, &r, WIRE_PING, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	reply_release(&r);
	send_request(f, &r, WIRE_STAT, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	assert_int_equal(le64_to_cpu(r.body.stat.chunks), 1);
	reply_release(&r);
	fixture_connect(f);
	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	assert_int_equal(fence(f, 1, &reply), WIRE_OK);
	assert_int_equal(le64_to_cpu(reply.epoch), 1);
	made_free(&m);
}

static void test_other_peer_is_refused(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	h.to.byte[0] = 1;
	assert_int_equal(hello(f, &h, NULL), WIRE_EPEER);
}

static void test_other_versions_are_refused(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	h.version_min = cpu_to_le16(WIRE_VERSION + 1);
	h.version_max = cpu_to_le16(WIRE_VERSION + 4);
	assert_int_equal(hello(f, &h, NULL), WIRE_EVERSION);
}

static void test_unknown_role_is_refused(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	h.role = cpu_to_le32(4);
	assert_int_equal(hello(f, &h, NULL), WIRE_EINVAL);
}

static void test_first_frame_must_be_hello(void **state)
{
	is_dropped(*state, WIRE_PING, NULL);
}

/* ---- who does not say HELLO ------------------------------------------------ */

#define HELLO_NS (10 * NSEC_PER_SEC)

static char logged[256];

static void keep_line(enum log_level level, const char *line)
{
	snprintf(logged, sizeof(logged), "%s", line);
}

static void ends_without_hello(struct fixture *f)
{
	logged[0] = 0;
	log_set_sink(keep_line);
	sim_run(f->sim, HELLO_NS - NSEC_PER_SEC);
	assert_true(f->connected);
	assert_string_equal(logged, "");
	sim_run(f->sim, 2 * NSEC_PER_SEC);
	assert_false(f->connected);
	assert_non_null(strstr(logged, sim_node_name(f->client)));
	assert_non_null(strstr(logged, "HELLO"));
	log_set_sink(NULL);
}

static void test_who_says_no_hello_is_ended(void **state)
{
	ends_without_hello(*state);
}

static void test_who_is_refused_is_ended(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	h.cluster.byte[0] ^= 1;
	assert_int_equal(hello(f, &h, NULL), WIRE_ECLUSTER);
	ends_without_hello(f);
}

static void test_who_has_said_hello_may_be_idle(void **state)
{
	struct fixture *f = *state;
	struct reply r;

	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	sim_run(f->sim, 100 * HELLO_NS);
	assert_true(f->connected);
	send_request(f, &r, WIRE_PING, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	reply_release(&r);
}

static void test_timer_ends_with_the_connection(void **state)
{
	struct fixture *f = *state;

	fixture_disconnect(f);
	logged[0] = 0;
	log_set_sink(keep_line);
	sim_run(f->sim, 2 * HELLO_NS);
	log_set_sink(NULL);
	assert_string_equal(logged, "");
}

static void test_second_hello_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	struct wire_hello h = good_hello(f);

	assert_int_equal(hello(f, &h, NULL), WIRE_OK);
	is_dropped(f, WIRE_HELLO, &h);
}

static void test_ping_and_stat_answer(void **state)
{
	struct fixture *f = *state;
	struct reply r;

	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	send_request(f, &r, WIRE_PING, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	reply_release(&r);
	append_new(f, 3);
	send_request(f, &r, WIRE_STAT, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	assert_int_equal(le64_to_cpu(r.body.stat.chunks), 1);
	assert_int_equal(le64_to_cpu(r.body.stat.volumes), 1);
	assert_int_equal(le64_to_cpu(r.body.stat.size), f->cfg.size);
	assert_true(le64_to_cpu(r.body.stat.used) >= 4 * BLOCK_SIZE);
	assert_true(uuid_equal(&r.body.stat.peer, &f->cfg.peer));
	reply_release(&r);
}

static void test_too_many_requests_are_busy_not_queued(void **state)
{
	struct fixture *f = *state;
	struct wire_fence body = { .volume = cpu_to_le64(VOLUME) };
	struct reply *r = calloc(5000, sizeof(*r));
	uint32_t i, ok = 0, busy = 0;

	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	sim_delays(f->sim)->sync_min = 3 * NSEC_PER_SEC;
	sim_delays(f->sim)->sync_max = 3 * NSEC_PER_SEC;
	for (i = 0; i < 5000; i++) {
		body.epoch = cpu_to_le64(i + 1);
		send_request(f, &r[i], WIRE_FENCE, 0, &body, NULL, 0);
	}
	for (i = 0; i < 5000; i++) {
		uint32_t status = wait_reply(f, &r[i]);

		busy += status == WIRE_EBUSY;
		ok += status == WIRE_OK || status == WIRE_EFENCED;
		reply_release(&r[i]);
	}
	assert_int_equal(ok + busy, 5000);
	assert_int_equal(busy, 5000 - 4096);
	free(r);
}

static void test_connections_come_and_go_with_requests_at_work(void **state)
{
	struct fixture *f = *state;
	uint32_t round;

	for (round = 0; round < 40; round++) {
		struct reply r[8];
		uint32_t i, steps = round * 7 % 60;

		assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
		for (i = 0; i < 8; i++) {
			struct made m = make_record(f, 60, 0);

			send_append(f, &r[i], &m, WIRE_DURABLE);
			made_free(&m);
		}
		for (i = 0; i < steps; i++)
			sim_step(f->sim);
		fixture_disconnect(f);
		for (i = 0; i < 8; i++)
			reply_release(&r[i]);
		sim_run(f->sim, NSEC_PER_SEC);
		fixture_connect(f);
		assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
		{
			struct wire_chunk_reply chunk;
			struct reply s;

			if (stat_chunk(f, CHUNK, 1, &chunk) != WIRE_OK) {
				new_chain(f);
				f->sequence = 0;
			} else {
				assert_int_equal(scan(f, 1, &s), WIRE_OK);
				f->block = le32_to_cpu(chunk.length);
				f->prev_crc = le32_to_cpu(chunk.end_crc);
				f->sequence = le32_to_cpu(s.body.scan.count);
				reply_release(&s);
			}
		}
		fixture_connect(f);
		if (f->block > 15000)
			break;
	}
	assert_true(f->block > 60);
}

static void test_close_with_requests_at_work_is_clean(void **state)
{
	struct fixture *f = *state;
	struct reply r[8];
	uint32_t i;

	assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
	for (i = 0; i < 8; i++) {
		struct made m = make_record(f, 60, 0);

		send_append(f, &r[i], &m, 0);
		made_free(&m);
	}
	for (i = 0; i < 30; i++)
		sim_step(f->sim);
	fixture_close(f);
	fixture_disconnect(f);
	for (i = 0; i < 8; i++)
		reply_release(&r[i]);
	assert_int_equal(fixture_open(f), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_hello_says_who_is_there),
		TEST(test_other_cluster_is_refused_and_may_say_no_more),
		TEST(test_unknown_cluster_is_for_admins),
		TEST(test_admin_without_a_cluster_may_only_ask),
		TEST(test_other_peer_is_refused),
		TEST(test_other_versions_are_refused),
		TEST(test_unknown_role_is_refused),
		TEST(test_first_frame_must_be_hello),
		TEST(test_who_says_no_hello_is_ended),
		TEST(test_who_is_refused_is_ended),
		TEST(test_who_has_said_hello_may_be_idle),
		TEST(test_timer_ends_with_the_connection),
		TEST(test_second_hello_ends_the_connection),
		TEST(test_ping_and_stat_answer),
		TEST(test_too_many_requests_are_busy_not_queued),
		TEST(test_connections_come_and_go_with_requests_at_work),
		TEST(test_close_with_requests_at_work_is_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
