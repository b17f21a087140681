// SPDX-License-Identifier: Apache-2.0
/* The seal of an open copy that missed its SEAL, by its own store. */
#include "restore_bed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* What a root counts on: the first three records of four. */
#define L	456u

static void seal_done(struct store_copy_op *copy_op, int err)
{
	struct op *op = container_of(copy_op, struct op, op);

	op->done = true;
	op->err = err;
}

static void begin(struct fixture *f, struct op *op, uint32_t end_crc)
{
	memset(op, 0, sizeof(*op));
	op->op.volume = VOLUME;
	op->op.chunk = CHUNK;
	op->op.end_crc = end_crc;
	op->op.done = seal_done;
	store_copy_seal(f->store, &op->op);
	assert_false(op->done);
}

static int own_seal(struct fixture *f, uint32_t end_crc)
{
	struct op op;

	begin(f, &op, end_crc);
	assert_true(sim_run_until(f->sim, &op.done, 100 * NSEC_PER_SEC));
	return op.err;
}

static bool settle(struct fixture *f, uint32_t blocks, uint32_t end_crc)
{
	return store_copy_settle(f->store, VOLUME, CHUNK, blocks, end_crc, 2);
}

static uint32_t record_crc_at(const struct source *s, uint32_t block)
{
	struct record *r = record_new();
	uint32_t crc;

	assert_non_null(r);
	assert_int_equal(record_decode(s->bytes + block * BLOCK_SIZE,
				       (s->blocks - block) * BLOCK_SIZE, r), 0);
	crc = r->crc;
	record_free(r);
	return crc;
}

/* @s, cut behind its third record, as epoch 2 would seal it. */
static struct source cut(const struct source *s)
{
	struct source shorter = *s;

	shorter.blocks = L;
	shorter.end_crc = record_crc_at(s, 205);
	shorter.epoch = 2;
	return shorter;
}

static void test_becomes_exactly_what_counts(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);
	uint32_t crc;

	/* Whether the last record is known or not. */
	for (crc = 0; crc < 2; crc++) {
		fixture_teardown(state);
		assert_int_equal(peer_setup(state), 0);
		f = *state;
		append_source(f, &s, s.blocks);
		assert_int_equal(fence(f, 2, NULL), WIRE_OK);
		assert_true(settle(f, L, crc ? want.end_crc : 0));
		assert_int_equal(own_seal(f, 0), 0);
		assert_restored(f, &want);
		assert_int_equal(own_seal(f, 0), -EALREADY);
		/* A SEAL that comes late finds it done. */
		assert_int_equal(seal(f, CHUNK, 2, L, want.end_crc), WIRE_OK);
		/* And it is so after a loss of power. */
		fixture_disconnect(f);
		fixture_crash(f);
		fixture_reopen(f);
		fixture_reconnect(f, WIRE_ROLE_PEER);
		assert_restored(f, &want);
	}
	free(s.bytes);
}

/* A loss of power has left less of it than the sealed list said at first. */
static void test_what_is_said_last_counts(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);

	append_source(f, &s, s.blocks);
	assert_true(settle(f, s.blocks + 7, 0x77777777));
	assert_false(settle(f, s.blocks + 7, 0x77777777));
	assert_int_equal(own_seal(f, 0), -EAGAIN);
	assert_true(settle(f, L, want.end_crc));
	assert_int_equal(own_seal(f, 0), 0);
	assert_restored(f, &want);
	free(s.bytes);
}

static void test_not_without_knowing_what_counts(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);

	assert_int_equal(own_seal(f, 0), -ENOENT);
	append_source(f, &s, L);
	assert_int_equal(own_seal(f, 0), -ECANCELED);
	assert_true(settle(f, L, 0));
	/* A later epoch has come: its writer may have gone back. */
	assert_int_equal(fence(f, 3, NULL), WIRE_OK);
	assert_int_equal(own_seal(f, 0), -ECANCELED);
	assert_int_equal(copy_now(f).state, WIRE_COPY_OPEN);
	free(s.bytes);
}

static void test_not_what_is_shorter_or_another_chain(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);

	append_source(f, &s, 205);
	assert_true(settle(f, L, 0));
	assert_int_equal(own_seal(f, 0), -EAGAIN);
	new_chain(f);
	fixture_teardown(state);
	assert_int_equal(peer_setup(state), 0);
	f = *state;
	append_source(f, &s, s.blocks);
	/* No record ends there. */
	assert_true(settle(f, 300, 0));
	assert_int_equal(own_seal(f, 0), -EILSEQ);
	/* One does, but others had another one there. */
	assert_true(settle(f, L, 0));
	assert_int_equal(own_seal(f, want.end_crc + 1), -EILSEQ);
	assert_int_equal(copy_now(f).state, WIRE_COPY_OPEN);
	assert_int_equal(copy_now(f).length, s.blocks);
	assert_int_equal(own_seal(f, want.end_crc), 0);
	assert_restored(f, &want);
	free(s.bytes);
}

/* Rot in a payload, in what counts and behind it. */
static void test_damage_is_found_first(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);

	append_source(f, &s, s.blocks);
	assert_int_equal(sync_chunk(f, 1, s.blocks), WIRE_OK);
	assert_true(settle(f, L, 0));
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE, L * BLOCK_SIZE + 9),
			 0);
	assert_int_equal(own_seal(f, 0), 0);
	assert_restored(f, &want);

	fixture_teardown(state);
	assert_int_equal(peer_setup(state), 0);
	f = *state;
	append_source(f, &s, s.blocks);
	assert_int_equal(sync_chunk(f, 1, s.blocks), WIRE_OK);
	assert_true(settle(f, L, 0));
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE,
				       300 * BLOCK_SIZE + 9), 0);
	assert_int_equal(own_seal(f, 0), -EUCLEAN);
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	/* A good one takes its place. */
	assert_int_equal(restore(f, &want), WIRE_OK);
	assert_restored(f, &want);
	free(s.bytes);
}

/* Whoever comes in between, the copy is sealed as one of the two says. */
static void test_others_come_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);
	uint32_t i, own = 0, busy = 0;

	for (i = 0; i < 40; i++) {
		struct wire_seal body = {
			.volume = cpu_to_le64(VOLUME),
			.chunk = cpu_to_le64(CHUNK),
			.epoch = cpu_to_le64(2),
			.length = cpu_to_le32(L),
			.end_crc = cpu_to_le32(want.end_crc),
		};
		struct reply r;
		struct op op;

		fixture_teardown(state);
		assert_int_equal(peer_setup(state), 0);
		f = *state;
		append_source(f, &s, s.blocks);
		assert_int_equal(fence(f, 2, NULL), WIRE_OK);
		assert_true(settle(f, L, 0));
		begin(f, &op, 0);
		sim_run(f->sim, i * NSEC_PER_MSEC / 4);
		send_request(f, &r, WIRE_SEAL, 0, &body, NULL, 0);
		busy += wait_reply(f, &r) == WIRE_EBUSY;
		assert_true(r.hdr.status == WIRE_OK ||
			    r.hdr.status == WIRE_EBUSY);
		if (!op.done)
			assert_true(sim_run_until(f->sim, &op.done,
						  100 * NSEC_PER_SEC));
		assert_true(op.err == 0 || op.err == -EBUSY);
		own += op.err == 0;
		assert_restored(f, &want);
		reply_release(&r);
	}
	assert_true(own > 0);
	free(s.bytes);
}

/* So that others can do all of their work while the copy is read. */
static void slow_disk(struct fixture *f)
{
	sim_node_disk_faults(f->node)->slow_until = UINT64_MAX;
	sim_node_disk_faults(f->node)->slow_extra = 2 * NSEC_PER_MSEC;
}

/* A deletion waits for the one who reads, who must not wait behind it. */
static void test_deleted_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);
	uint32_t i, own = 0, gone = 0;

	for (i = 0; i < 40; i++) {
		struct wire_chunk body = {
			.volume = cpu_to_le64(VOLUME),
			.chunk = cpu_to_le64(CHUNK),
		};
		struct reply r;
		struct op op;

		f = peer_setup_again(state);
		append_source(f, &s, s.blocks);
		assert_true(settle(f, L, 0));
		slow_disk(f);
		begin(f, &op, 0);
		sim_run(f->sim, i * NSEC_PER_MSEC);
		send_request(f, &r, WIRE_DELETE, 0, &body, NULL, 0);
		assert_true(wait_reply(f, &r) == WIRE_OK ||
			    r.hdr.status == WIRE_EBUSY);
		if (!op.done)
			assert_true(sim_run_until(f->sim, &op.done,
						  100 * NSEC_PER_SEC));
		assert_true(op.err == 0 || op.err == -EBUSY);
		own += op.err == 0;
		gone += op.err == -EBUSY;
		reply_release(&r);
	}
	assert_true(own > 0 && gone > 0);
	free(s.bytes);
}

/* A later epoch cuts it where one reads: that is no damage. */
static void test_cut_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);
	uint32_t i, cancelled = 0;

	want.blocks = 4;
	want.epoch = 3;
	want.end_crc = record_crc_at(&s, 0);
	for (i = 0; i < 40; i++) {
		struct op op;

		f = peer_setup_again(state);
		append_source(f, &s, s.blocks);
		assert_true(settle(f, L, 0));
		slow_disk(f);
		begin(f, &op, 0);
		sim_run(f->sim, i * NSEC_PER_MSEC);
		while (seal(f, CHUNK, 3, want.blocks, want.end_crc) != WIRE_OK)
			sim_run(f->sim, NSEC_PER_MSEC);
		if (!op.done)
			assert_true(sim_run_until(f->sim, &op.done,
						  100 * NSEC_PER_SEC));
		assert_true(op.err == 0 || op.err == -EBUSY ||
			    op.err == -ECANCELED);
		cancelled += op.err != 0;
		assert_restored(f, &want);
	}
	assert_true(cancelled > 0);
	free(s.bytes);
}

/* The power goes at every moment: it is as it was, or sealed. */
static void test_power_loss(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1), want = cut(&s);
	uint32_t i, sealed = 0, open = 0;

	for (i = 0; i < 120; i++) {
		struct store_copy copy;
		struct op op;

		fixture_teardown(state);
		assert_int_equal(peer_setup(state), 0);
		f = *state;
		append_source(f, &s, s.blocks);
		assert_int_equal(sync_chunk(f, 1, L), WIRE_OK);
		assert_true(settle(f, L, 0));
		begin(f, &op, 0);
		sim_run(f->sim, i * NSEC_PER_MSEC / 5);
		if (!op.done)
			store_copy_cancel(f->store, &op.op);
		fixture_disconnect(f);
		fixture_crash(f);
		fixture_reopen(f);
		fixture_reconnect(f, WIRE_ROLE_PEER);
		copy = copy_now(f);
		if (op.done)
			assert_int_equal(copy.state, WIRE_COPY_SEALED);
		if (copy.state == WIRE_COPY_SEALED) {
			assert_restored(f, &want);
			sealed++;
			continue;
		}
		assert_int_equal(copy.state, WIRE_COPY_OPEN);
		assert_true(copy.length >= L);
		open++;
		assert_true(settle(f, L, 0));
		assert_int_equal(own_seal(f, 0), 0);
		assert_restored(f, &want);
	}
	assert_true(sealed > 0 && open > 0);
	free(s.bytes);
}

/* What cannot be made durable is not sealed. */
static void test_failing_disk(void **state)
{
	struct fixture *f = *state;
	struct source s = make_source(f, 1);

	append_source(f, &s, s.blocks);
	assert_true(settle(f, L, 0));
	sim_node_disk_faults(f->node)->sync_eio = 1;
	/* The journal cannot be synced either. */
	assert_int_equal(own_seal(f, 0), -EIO);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	assert_int_equal(copy_now(f).state, WIRE_COPY_BAD);
	free(s.bytes);
}

int main(void)
{
#define SEAL_TEST(name) \
	cmocka_unit_test_setup_teardown(name, peer_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		SEAL_TEST(test_becomes_exactly_what_counts),
		SEAL_TEST(test_what_is_said_last_counts),
		SEAL_TEST(test_not_without_knowing_what_counts),
		SEAL_TEST(test_not_what_is_shorter_or_another_chain),
		SEAL_TEST(test_damage_is_found_first),
		SEAL_TEST(test_others_come_meanwhile),
		SEAL_TEST(test_deleted_meanwhile),
		SEAL_TEST(test_cut_meanwhile),
		SEAL_TEST(test_power_loss),
		SEAL_TEST(test_failing_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
