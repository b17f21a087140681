// SPDX-License-Identifier: Apache-2.0
/* What a store tells `torusctl recover`: its documents and its volumes. */
#include "store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)

#define CLUSTER "{\"version\":1,\"a\":1}"

static uint32_t recall(struct fixture *f, char *text, size_t room)
{
	struct reply r = { 0 };
	uint32_t len;

	send_request(f, &r, WIRE_RECALL, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	len = r.hdr.data_len;
	assert_in_range(len, 0, room);
	if (len)
		memcpy(text, r.data, len);
	reply_release(&r);
	return len;
}

static void assert_remembered(struct fixture *f, const char *ring)
{
	char text[256];
	uint32_t len = recall(f, text, sizeof(text));

	assert_int_equal(len, strlen(CLUSTER) + strlen(ring) + 2);
	assert_string_equal(text, CLUSTER);
	assert_string_equal(text + strlen(CLUSTER) + 1, ring);
}

static void test_documents_survive_a_restart(void **state)
{
	struct fixture *f = *state;
	char text[8];

	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_int_equal(recall(f, text, sizeof(text)), 0);
	store_remember(f->store, 3, CLUSTER, "third");
	assert_remembered(f, "third");
	/* While the first is being written. */
	store_remember(f->store, 4, CLUSTER, "fourth");
	fixture_close(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_remembered(f, "fourth");
}

static void test_an_older_ring_is_not_remembered(void **state)
{
	struct fixture *f = *state;

	store_remember(f->store, 4, CLUSTER, "fourth");
	fixture_close(f);
	fixture_reopen(f);
	store_remember(f->store, 3, CLUSTER, "third");
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_remembered(f, "fourth");
	store_remember(f->store, 5, CLUSTER, "fifth");
	assert_remembered(f, "fifth");
}

static void test_what_could_not_be_written_is_written_later(void **state)
{
	struct fixture *f = *state;
	struct sim_disk_faults *disk = sim_node_disk_faults(f->node);

	disk->write_eio = 1;
	store_remember(f->store, 4, CLUSTER, "fourth");
	sim_run(f->sim, NSEC_PER_SEC);
	disk->write_eio = 0;
	store_remember(f->store, 4, CLUSTER, "fourth");
	fixture_close(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_remembered(f, "fourth");
}

static void test_power_loss_leaves_one_of_both(void **state)
{
	struct fixture *f = *state;

	store_remember(f->store, 4, CLUSTER, "fourth");
	fixture_close(f);
	fixture_reopen(f);
	store_remember(f->store, 5, CLUSTER, "fifth");
	fixture_crash(f);
	fixture_reopen(f);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_remembered(f, "fourth");
}

static void test_damaged_documents_count_as_none(void **state)
{
	struct fixture *f = *state;
	char text[8];

	/* In the head, and in the text. */
	for (uint64_t at = 4; at < 60; at += 50) {
		store_remember(f->store, 4, CLUSTER, "fourth, and long enough");
		fixture_close(f);
		assert_int_equal(sim_disk_flip(f->node, "documents", at), 0);
		fixture_reopen(f);
		fixture_reconnect(f, WIRE_ROLE_ADMIN);
		assert_int_equal(recall(f, text, sizeof(text)), 0);
	}
	store_remember(f->store, 3, CLUSTER, "third");
	assert_remembered(f, "third");
}

static void test_a_volume_may_not_ask(void **state)
{
	struct fixture *f = *state;
	struct wire_volumes body = { .max = cpu_to_le32(1) };
	struct reply r = { 0 };

	send_request(f, &r, WIRE_RECALL, 0, NULL, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_EINVAL);
	reply_release(&r);
	memset(&r, 0, sizeof(r));
	send_request(f, &r, WIRE_VOLUMES, 0, &body, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_EINVAL);
	reply_release(&r);
}

static uint32_t volumes(struct fixture *f, uint64_t after, uint32_t max,
			struct wire_volume_entry *out)
{
	struct wire_volumes body = { .after = cpu_to_le64(after),
				     .max = cpu_to_le32(max) };
	struct reply r = { 0 };
	uint32_t count;

	send_request(f, &r, WIRE_VOLUMES, 0, &body, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	count = le32_to_cpu(r.body.list.count);
	assert_int_equal(r.hdr.data_len, count * sizeof(*out));
	assert_int_equal(le32_to_cpu(r.body.list.more), count == max);
	if (count)
		memcpy(out, r.data, count * sizeof(*out));
	reply_release(&r);
	return count;
}

static void test_volumes_are_told_with_what_is_known(void **state)
{
	struct fixture *f = *state;
	struct wire_volume_entry entry;
	struct wire_fence_reply reply;

	append_new(f, 1);
	assert_int_equal(fence(f, f->epoch + 6, &reply), WIRE_OK);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_int_equal(volumes(f, 0, 1, &entry), 1);
	assert_int_equal(le64_to_cpu(entry.volume), VOLUME);
	assert_int_equal(le64_to_cpu(entry.epoch), f->epoch + 6);
	assert_int_equal(le64_to_cpu(entry.chunk_max), CHUNK);
	assert_int_equal(le32_to_cpu(entry.flags), 0);
	assert_int_equal(volumes(f, VOLUME, 1, &entry), 0);
}

static void deleted(void *ctx, int err)
{
	assert_int_equal(err, 0);
}

static void test_deleted_volumes_are_told_too(void **state)
{
	struct fixture *f = *state;
	struct wire_volume_entry entry;

	append_new(f, 1);
	store_delete_volume(f->store, VOLUME, deleted, NULL);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_int_equal(volumes(f, 0, 1, &entry), 1);
	assert_int_equal(le64_to_cpu(entry.volume), VOLUME);
	assert_int_equal(le64_to_cpu(entry.epoch), 0);
	assert_int_equal(le32_to_cpu(entry.flags), WIRE_VOLUME_DELETED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_documents_survive_a_restart),
		TEST(test_an_older_ring_is_not_remembered),
		TEST(test_what_could_not_be_written_is_written_later),
		TEST(test_power_loss_leaves_one_of_both),
		TEST(test_damaged_documents_count_as_none),
		TEST(test_a_volume_may_not_ask),
		TEST(test_volumes_are_told_with_what_is_known),
		TEST(test_deleted_volumes_are_told_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
