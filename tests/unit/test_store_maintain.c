// SPDX-License-Identifier: Apache-2.0
/* What the maintenance sees of a store: LOOKUP, CHECK, MAINTENANCE, events,
 * and operations on single copies. */
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "store/maintain.h"

/* ---- helpers ---------------------------------------------------------------- */

struct seen {
	struct store_copy last;
	uint32_t changes, checks;
	uint64_t volume, chunk;
	uint32_t flags;
	enum wire_maintenance_action action;
};

static void changed(void *ctx, const struct store_copy *copy)
{
	struct seen *seen = ctx;

	seen->last = *copy;
	seen->changes++;
}

static void check(void *ctx, uint64_t volume, uint64_t chunk, uint32_t flags)
{
	struct seen *seen = ctx;

	seen->checks++;
	seen->volume = volume;
	seen->chunk = chunk;
	seen->flags = flags;
}

static uint32_t maintenance(void *ctx, enum wire_maintenance_action action,
			    struct wire_maintenance_reply *reply,
			    struct wire_finding *findings, uint32_t max)
{
	struct seen *seen = ctx;

	seen->action = action;
	reply->copy_chunks = cpu_to_le64(77);
	assert_int_equal(max, WIRE_FINDINGS_MAX);
	findings[0].chunk = cpu_to_le64(3);
	findings[1].chunk = cpu_to_le64(4);
	return 2;
}

static const struct store_events events = {
	.copy_changed = changed,
	.check = check,
	.maintenance = maintenance,
};

struct op {
	struct store_copy_op op;
	bool done;
	int err;
	uint32_t asked, no_at;		/* still() says no when asked then */
};

static void op_done(struct store_copy_op *copy_op, int err)
{
	struct op *op = container_of(copy_op, struct op, op);

	assert_false(op->done);
	op->done = true;
	op->err = err;
}

static bool op_still(struct store_copy_op *copy_op)
{
	struct op *op = container_of(copy_op, struct op, op);

	return ++op->asked != op->no_at;
}

static void op_init(struct op *op)
{
	memset(op, 0, sizeof(*op));
	op->op.volume = VOLUME;
	op->op.chunk = CHUNK;
	op->op.done = op_done;
}

static int op_wait(struct fixture *f, struct op *op)
{
	assert_false(op->done);		/* never from inside */
	assert_true(sim_run_until(f->sim, &op->done, 100 * NSEC_PER_SEC));
	return op->err;
}

static int delete_copy(struct fixture *f, uint32_t no_at)
{
	struct op op;

	op_init(&op);
	op.op.still = op_still;
	op.no_at = no_at;
	store_copy_delete(f->store, &op.op);
	return op_wait(f, &op);
}

static struct wire_lookup_entry look(struct fixture *f, uint64_t volume,
				     uint64_t chunk)
{
	struct wire_lookup body = { .count = cpu_to_le32(1) };
	struct wire_lookup_entry entry = {
		.volume = cpu_to_le64(volume),
		.chunk = cpu_to_le64(chunk),
		.epoch = 99, .length = 99,	/* not read */
	};
	struct reply r;

	send_request(f, &r, WIRE_LOOKUP, 0, &body, &entry, sizeof(entry));
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	assert_int_equal(r.hdr.data_len, sizeof(entry));
	memcpy(&entry, r.data, sizeof(entry));
	reply_release(&r);
	assert_int_equal(le64_to_cpu(entry.volume), volume);
	assert_int_equal(le64_to_cpu(entry.chunk), chunk);
	return entry;
}

static uint32_t state_of(struct fixture *f)
{
	return le32_to_cpu(look(f, VOLUME, CHUNK).state);
}

static void file_op_done(struct env_file_op *op)
{
	*(bool *)op->ctx = true;
}

static void remove_file(struct fixture *f, const char *path)
{
	bool done = false;
	struct env_file_op op = {
		.type = FILE_UNLINK, .path = path, .file = -1,
		.done = file_op_done, .ctx = &done,
	};

	env_file_submit(sim_node_env(f->node), &op);
	assert_true(sim_run_until(f->sim, &done, 10 * NSEC_PER_SEC));
	assert_int_equal(op.result, 0);
}

static uint32_t sealed_chunk(struct fixture *f)
{
	append_new(f, 3);
	append_new(f, 200);
	assert_int_equal(seal(f, CHUNK, 1, f->block, f->prev_crc), WIRE_OK);
	return f->block;
}

/* ---- LOOKUP ----------------------------------------------------------------- */

static void test_lookup_says_what_is_here(void **state)
{
	struct fixture *f = *state;
	struct wire_lookup_entry e;

	assert_int_equal(state_of(f), WIRE_COPY_NONE);
	append_new(f, 3);
	e = look(f, VOLUME, CHUNK);
	assert_int_equal(le32_to_cpu(e.state), WIRE_COPY_OPEN);
	assert_int_equal(le32_to_cpu(e.length), 4);
	assert_int_equal(le64_to_cpu(e.epoch), 0);
	assert_int_equal(seal(f, CHUNK, 1, 4, f->prev_crc), WIRE_OK);
	e = look(f, VOLUME, CHUNK);
	assert_int_equal(le32_to_cpu(e.state), WIRE_COPY_SEALED);
	assert_int_equal(le32_to_cpu(e.length), 4);
	assert_int_equal(le32_to_cpu(e.end_crc), f->prev_crc);
	assert_int_equal(le64_to_cpu(e.epoch), 1);
	e = look(f, VOLUME, CHUNK + 1);
	assert_int_equal(le32_to_cpu(e.state), WIRE_COPY_NONE);
	assert_int_equal(le32_to_cpu(e.length), 0);
	assert_int_equal(le64_to_cpu(e.epoch), 0);
}

static void deleted_volume(void *ctx, int err)
{
	assert_int_equal(err, 0);
	*(bool *)ctx = true;
}

static void volume_not_deleted(void *ctx, int err)
{
	assert_int_equal(err, -EIO);
	*(bool *)ctx = true;
}

static void test_lookup_knows_deleted_volumes(void **state)
{
	struct fixture *f = *state;
	bool done = false;

	sealed_chunk(f);
	store_delete_volume(f->store, VOLUME, deleted_volume, &done);
	assert_int_equal(state_of(f), WIRE_COPY_DELETED);
	assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
	assert_int_equal(state_of(f), WIRE_COPY_DELETED);
	done = false;
	store_delete_volume(f->store, 0x99, deleted_volume, &done);
	assert_int_equal(le32_to_cpu(look(f, 0x99, 1).state),
			 WIRE_COPY_DELETED);
}

static void test_lookup_finds_a_lost_file_bad(void **state)
{
	struct fixture *f = *state;

	sealed_chunk(f);
	fixture_close(f);
	sim_node_start(f->node);
	remove_file(f, "chunks/0000000000000011/000000000005");
	fixture_reopen(f);
	assert_int_equal(state_of(f), WIRE_COPY_BAD);
}

static void test_lookup_counts_what_it_says(void **state)
{
	struct fixture *f = *state;
	struct wire_lookup body = { .count = cpu_to_le32(2) };
	struct wire_lookup_entry entries[2] = { 0 };
	struct reply r;

	store_set_ring_version(f->store, 12);
	send_request(f, &r, WIRE_LOOKUP, 0, &body, entries, sizeof(entries[0]));
	assert_int_equal(wait_reply(f, &r), WIRE_EINVAL);
	reply_release(&r);
	send_request(f, &r, WIRE_LOOKUP, 0, &body, entries, sizeof(entries));
	assert_int_equal(wait_reply(f, &r), WIRE_OK);
	assert_int_equal(le64_to_cpu(r.body.lookup.ring_version), 12);
	assert_int_equal(le32_to_cpu(r.body.lookup.count), 2);
	reply_release(&r);
	body.count = 0;
	send_request(f, &r, WIRE_LOOKUP, 0, &body, NULL, 0);
	assert_int_equal(wait_reply(f, &r), WIRE_EINVAL);
	reply_release(&r);
}

/* ---- CHECK, MAINTENANCE ------------------------------------------------------ */

static uint32_t ask_check(struct fixture *f, uint64_t chunk, uint32_t flags)
{
	struct wire_check body = {
		.volume = cpu_to_le64(VOLUME),
		.chunk = cpu_to_le64(chunk),
		.flags = cpu_to_le32(flags),
	};
	struct reply r;

	send_request(f, &r, WIRE_CHECK, 0, &body, NULL, 0);
	wait_reply(f, &r);
	reply_release(&r);
	return r.hdr.status;
}

static void test_check_reaches_the_maintenance(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { .checks = 0 };

	assert_int_equal(ask_check(f, 7, WIRE_CHECK_VERIFY), WIRE_OK);
	store_set_events(f->store, &events, &seen);
	assert_int_equal(ask_check(f, 7, WIRE_CHECK_VERIFY), WIRE_OK);
	assert_int_equal(seen.checks, 1);
	assert_int_equal(seen.volume, VOLUME);
	assert_int_equal(seen.chunk, 7);
	assert_int_equal(seen.flags, WIRE_CHECK_VERIFY);
	assert_int_equal(ask_check(f, 7, 0), WIRE_EINVAL);
	assert_int_equal(ask_check(f, 7, 4), WIRE_EINVAL);
	assert_int_equal(ask_check(f, 0, 1), WIRE_EINVAL);
	assert_int_equal(seen.checks, 1);
}

static uint32_t ask_maintenance(struct fixture *f, uint32_t action,
				struct reply *r)
{
	struct wire_maintenance body = { .action = cpu_to_le32(action) };

	send_request(f, r, WIRE_MAINTENANCE, 0, &body, NULL, 0);
	return wait_reply(f, r);
}

static void test_maintenance_is_for_peers_and_admins(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { .checks = 0 };
	struct wire_finding findings[2];
	struct reply r;

	store_set_events(f->store, &events, &seen);
	assert_int_equal(ask_maintenance(f, WIRE_SCRUB_START, &r),
			 WIRE_EINVAL);
	reply_release(&r);
	fixture_reconnect(f, WIRE_ROLE_ADMIN);
	assert_int_equal(ask_maintenance(f, WIRE_MAINTENANCE_ACTION_COUNT, &r),
			 WIRE_EINVAL);
	reply_release(&r);
	assert_int_equal(ask_maintenance(f, WIRE_SCRUB_START, &r), WIRE_OK);
	assert_int_equal(seen.action, WIRE_SCRUB_START);
	assert_int_equal(le64_to_cpu(r.body.maintenance.copy_chunks), 77);
	assert_int_equal(le32_to_cpu(r.body.maintenance.count), 2);
	assert_int_equal(r.hdr.data_len, sizeof(findings));
	memcpy(findings, r.data, sizeof(findings));
	assert_int_equal(le64_to_cpu(findings[1].chunk), 4);
	reply_release(&r);
	store_set_events(f->store, NULL, NULL);
	assert_int_equal(ask_maintenance(f, WIRE_MAINTENANCE_SHOW, &r),
			 WIRE_EINVAL);
	reply_release(&r);
}

/* ---- iteration, events ------------------------------------------------------- */

static void test_copies_are_told_in_order_and_when_they_change(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { .checks = 0 };
	struct store_copy copy;

	store_set_events(f->store, &events, &seen);
	assert_false(store_copy_next(f->store, 0, 0, &copy));
	sealed_chunk(f);
	assert_int_equal(seen.changes, 1);
	assert_int_equal(seen.last.state, WIRE_COPY_SEALED);
	assert_int_equal(seen.last.length, f->block);
	assert_int_equal(seal(f, CHUNK + 1, 1, 0, 0), WIRE_OK);
	assert_true(store_copy_next(f->store, 0, 0, &copy));
	assert_int_equal(copy.chunk, CHUNK);
	assert_int_equal(copy.epoch, 1);
	assert_int_equal(copy.end_crc, f->prev_crc);
	assert_true(store_copy_next(f->store, copy.volume, copy.chunk, &copy));
	assert_int_equal(copy.chunk, CHUNK + 1);
	assert_int_equal(copy.length, 0);
	assert_false(store_copy_next(f->store, copy.volume, copy.chunk,
				     &copy));
	assert_int_equal(delete_copy(f, 0), 0);
	assert_int_equal(seen.last.state, WIRE_COPY_NONE);
	assert_int_equal(seen.last.chunk, CHUNK);
	assert_false(store_copy_get(f->store, VOLUME, CHUNK, &copy));
	assert_true(store_copy_get(f->store, VOLUME, CHUNK + 1, &copy));
}

/* ---- read -------------------------------------------------------------------- */

static int read_copy(struct fixture *f, uint32_t block, uint32_t blocks,
		     uint8_t *buffer)
{
	struct op op;

	op_init(&op);
	op.op.block = block;
	op.op.blocks = blocks;
	op.op.buffer = buffer;
	store_copy_read(f->store, &op.op);
	return op_wait(f, &op);
}

static void test_read_gives_what_lies_in_a_sealed_copy(void **state)
{
	struct fixture *f = *state;
	uint8_t *a = malloc(256 * BLOCK_SIZE), *b = malloc(256 * BLOCK_SIZE);
	uint32_t length;

	assert_int_equal(read_copy(f, 0, 1, a), -ENOENT);
	append_new(f, 3);
	assert_int_equal(read_copy(f, 0, 1, a), -EAGAIN);
	length = sealed_chunk(f);
	assert_int_equal(read_copy(f, 0, length, a), 0);
	assert_int_equal(read_blocks(f, 1, 0, length, b), WIRE_OK);
	assert_memory_equal(a, b, length * BLOCK_SIZE);
	assert_int_equal(read_copy(f, length - 2, 2, b), 0);
	assert_memory_equal(a + (length - 2) * BLOCK_SIZE, b, 2 * BLOCK_SIZE);
	assert_int_equal(read_copy(f, length - 2, 3, b), -ERANGE);
	assert_int_equal(read_copy(f, 0, 0, b), -ERANGE);
	free(a);
	free(b);
}

static void test_cancelled_read_touches_nothing(void **state)
{
	struct fixture *f = *state;
	struct op op, refused;

	sealed_chunk(f);
	op_init(&op);
	op.op.blocks = 4;
	op.op.buffer = malloc(4 * BLOCK_SIZE);
	store_copy_read(f->store, &op.op);
	store_copy_cancel(f->store, &op.op);
	assert_null(op.op.buffer);	/* the read's, until it ends */
	op_init(&refused);
	refused.op.chunk = CHUNK + 7;
	store_copy_read(f->store, &refused.op);
	store_copy_cancel(f->store, &refused.op);
	sim_run(f->sim, 10 * NSEC_PER_SEC);
	assert_false(op.done);
	assert_false(refused.done);
	fixture_close(f);
	fixture_reopen(f);
}

/* ---- delete ------------------------------------------------------------------- */

/* A file that cannot be unlinked: the chunk is what it was, until it can. */
static void test_deletion_that_fails_can_be_repeated(void **state)
{
	struct fixture *f = *state;
	uint32_t length = sealed_chunk(f);

	sim_node_disk_faults(f->node)->unlink_eio = 1;
	assert_int_equal(delete_copy(f, 0), -EIO);
	sim_node_disk_faults(f->node)->unlink_eio = 0;
	assert_int_equal(state_of(f), WIRE_COPY_SEALED);
	assert_int_equal(read_blocks(f, 1, 0, length, NULL), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(state_of(f), WIRE_COPY_SEALED);
	assert_int_equal(delete_copy(f, 0), 0);
	assert_int_equal(state_of(f), WIRE_COPY_NONE);
}

static void test_volume_deletion_that_fails_can_be_repeated(void **state)
{
	struct fixture *f = *state;
	struct store_stats stats;
	bool done = false;

	sealed_chunk(f);
	sim_node_disk_faults(f->node)->unlink_eio = 1;
	store_delete_volume(f->store, VOLUME, volume_not_deleted, &done);
	assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
	sim_node_disk_faults(f->node)->unlink_eio = 0;
	done = false;
	store_delete_volume(f->store, VOLUME, deleted_volume, &done);
	assert_true(sim_run_until(f->sim, &done, 100 * NSEC_PER_SEC));
	store_stats(f->store, &stats);
	assert_int_equal(stats.chunks, 0);
	assert_int_equal(sim_disk_bytes(f->node, "chunks"), 0);
}

static void test_deletion_is_called_off_at_every_question(void **state)
{
	struct fixture *f = *state;
	struct store_stats before, after;
	uint32_t length = sealed_chunk(f);

	store_stats(f->store, &before);
	assert_int_equal(delete_copy(f, 1), -ECANCELED);
	assert_int_equal(state_of(f), WIRE_COPY_SEALED);
	assert_int_equal(delete_copy(f, 2), -ECANCELED);
	assert_int_equal(state_of(f), WIRE_COPY_SEALED);
	assert_int_equal(read_blocks(f, 1, 0, length, NULL), WIRE_OK);
	store_stats(f->store, &after);
	assert_int_equal(after.chunks, before.chunks);
	/* What was called off stays so, whatever the journal says before. */
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(state_of(f), WIRE_COPY_SEALED);
	assert_int_equal(read_blocks(f, 1, 0, length, NULL), WIRE_OK);
	assert_int_equal(delete_copy(f, 0), 0);
	assert_int_equal(state_of(f), WIRE_COPY_NONE);
	assert_int_equal(delete_copy(f, 0), -ENOENT);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(state_of(f), WIRE_COPY_NONE);
}

static void test_copy_on_its_way_out_is_none(void **state)
{
	struct fixture *f = *state;
	struct store_copy copy;
	struct op op, second;

	sealed_chunk(f);
	op_init(&op);
	store_copy_delete(f->store, &op.op);
	assert_false(store_copy_get(f->store, VOLUME, CHUNK, &copy));
	op_init(&second);
	store_copy_delete(f->store, &second.op);
	assert_int_equal(op_wait(f, &second), -EBUSY);
	if (!op.done)
		op_wait(f, &op);
	assert_int_equal(op.err, 0);
	assert_int_equal(state_of(f), WIRE_COPY_NONE);
}

int main(void)
{
#define STORE_TEST(name) \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		STORE_TEST(test_lookup_says_what_is_here),
		STORE_TEST(test_lookup_knows_deleted_volumes),
		STORE_TEST(test_deletion_that_fails_can_be_repeated),
		STORE_TEST(test_volume_deletion_that_fails_can_be_repeated),
		STORE_TEST(test_lookup_finds_a_lost_file_bad),
		STORE_TEST(test_lookup_counts_what_it_says),
		STORE_TEST(test_check_reaches_the_maintenance),
		STORE_TEST(test_maintenance_is_for_peers_and_admins),
		STORE_TEST(test_copies_are_told_in_order_and_when_they_change),
		STORE_TEST(test_read_gives_what_lies_in_a_sealed_copy),
		STORE_TEST(test_cancelled_read_touches_nothing),
		STORE_TEST(test_deletion_is_called_off_at_every_question),
		STORE_TEST(test_copy_on_its_way_out_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
