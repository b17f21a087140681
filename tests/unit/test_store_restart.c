// SPDX-License-Identifier: Apache-2.0
/* What a store makes of a directory: identity, journal, files it finds. */
#include "store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/error.h"

#define CHUNK_FILE "chunks/0000000000000011/000000000005"

static void opens_with(struct fixture *f, int err, const char *text)
{
	fixture_disconnect(f);
	assert_int_equal(fixture_open(f), err);
	assert_non_null(strstr(error_text(err), text));
	fixture_kill(f);
}

/* ---- files behind the store's back ------------------------------------------ */

struct file_op {
	struct env_file_op op;
	bool done;
};

static void file_done(struct env_file_op *op)
{
	((struct file_op *)op->ctx)->done = true;
}

static int64_t file_do(struct fixture *f, struct file_op *o)
{
	if (!sim_node_running(f->node))
		sim_node_start(f->node);
	o->done = false;
	o->op.done = file_done;
	o->op.ctx = o;
	env_file_submit(sim_node_env(f->node), &o->op);
	assert_true(sim_run_until(f->sim, &o->done, NSEC_PER_SEC));
	return o->op.result;
}

static void file_remove(struct fixture *f, const char *path)
{
	struct file_op o = { .op = { .type = FILE_UNLINK, .path = path } };

	assert_int_equal(file_do(f, &o), 0);
}

static void file_make(struct fixture *f, const char *path, const void *bytes,
		      size_t len)
{
	struct file_op o = { .op = { .type = FILE_OPEN, .path = path,
				     .flags = FILE_CREATE } };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	int64_t file = file_do(f, &o);

	assert_true(file >= 0);
	o = (struct file_op){ .op = { .type = FILE_WRITE, .file = (int)file,
				      .iov = &iov, .iov_count = 1 } };
	assert_int_equal(file_do(f, &o), len);
	o = (struct file_op){ .op = { .type = FILE_CLOSE, .file = (int)file } };
	assert_int_equal(file_do(f, &o), 0);
}

static bool file_is_there(struct fixture *f, const char *path)
{
	uint8_t byte;

	return sim_disk_peek(f->node, path, 0, &byte, 1, false) >= 0;
}

static unsigned int aside_count;

static void count_aside(struct env_file_op *op, const char *name, uint64_t size,
			bool is_directory)
{
	aside_count++;
}

static unsigned int files_aside(struct fixture *f)
{
	struct file_op o = { .op = { .type = FILE_LIST, .path = "aside",
				     .entry = count_aside } };

	aside_count = 0;
	return file_do(f, &o) < 0 ? 0 : aside_count;
}

/* ---- identity ----------------------------------------------------------------- */

static void test_another_cluster_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	f->cfg.cluster.byte[3] ^= 1;
	opens_with(f, -EPERM, "belongs to cluster");
}

static void test_another_peer_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	f->cfg.peer.byte[3] ^= 1;
	opens_with(f, -EPERM, "belongs to peer");
}

static void test_directory_knows_who_it_is(void **state)
{
	struct fixture *f = *state;
	struct uuid cluster = f->cfg.cluster, peer = f->cfg.peer;

	fixture_close(f);
	memset(&f->cfg.cluster, 0, sizeof(f->cfg.cluster));
	memset(&f->cfg.peer, 0, sizeof(f->cfg.peer));
	assert_int_equal(fixture_open(f), 0);
	assert_true(uuid_equal(store_cluster(f->store), &cluster));
	assert_true(uuid_equal(store_peer(f->store), &peer));
	f->cfg.cluster = cluster;
	f->cfg.peer = peer;
}

static void test_damaged_identity_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	assert_int_equal(sim_disk_flip(f->node, "identity", 30), 0);
	fixture_disconnect(f);
	assert_true(fixture_open(f) < 0);
	fixture_kill(f);
}

static void test_chunks_without_identity_are_refused(void **state)
{
	struct fixture *f = *state;

	append_new(f, 1);
	fixture_close(f);
	file_remove(f, "identity");
	opens_with(f, -EBADMSG, "identity: missing");
	assert_true(file_is_there(f, CHUNK_FILE));
}

static void test_identity_without_journal_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_close(f);
	file_remove(f, "journal");
	opens_with(f, -ENOENT, "journal: missing");
}

static void note_opened(void *ctx, int err)
{
	struct fixture *f = ctx;

	f->open_err = err;
	f->opened = true;
}

/* A first start that is cut short anywhere is simply begun again. */
static void test_crash_during_the_first_start_is_harmless(void **state)
{
	struct fixture *f = *state;
	uint32_t steps;

	for (steps = 1; steps < 40; steps++) {
		uint32_t i;

		fixture_release(f);
		fixture_init(f);
		f->store = store_open(sim_node_env(f->node), &f->cfg,
				      note_opened, f);
		for (i = 0; i < steps; i++)
			sim_step(f->sim);
		fixture_crash(f);
		assert_int_equal(fixture_open(f), 0);
	}
}

/* ---- journal ------------------------------------------------------------------- */

static void test_damage_in_the_middle_of_the_journal_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch;

	for (epoch = 1; epoch < 6; epoch++)
		assert_int_equal(fence(f, epoch, NULL), WIRE_OK);
	fixture_kill(f);
	assert_int_equal(sim_disk_flip(f->node, "journal", 3 * 4096 + 40), 0);
	opens_with(f, -EBADMSG, "damaged at byte 12288");
}

static void test_torn_end_of_the_journal_is_overwritten(void **state)
{
	struct fixture *f = *state;
	uint8_t garbage[10000];
	struct store_stats stats;
	struct file_op o = { .op = { .type = FILE_OPEN, .path = "journal" } };
	struct iovec iov = { garbage, sizeof(garbage) };
	int64_t file;

	f->epoch = 5;
	assert_int_equal(fence(f, 5, NULL), WIRE_OK);
	append_new(f, 2);
	store_stats(f->store, &stats);
	fixture_kill(f);
	memset(garbage, 0x5a, sizeof(garbage));
	file = file_do(f, &o);
	assert_true(file >= 0);
	/* The journal is all that is not blocks of the chunk. */
	o = (struct file_op){ .op = {
		.type = FILE_WRITE, .file = (int)file, .iov = &iov,
		.iov_count = 1, .offset = stats.used - 3 * BLOCK_SIZE } };
	assert_int_equal(file_do(f, &o), sizeof(garbage));
	fixture_reopen(f);
	assert_int_equal(fence(f, 4, NULL), WIRE_EFENCED);
	assert_int_equal(fence(f, 6, NULL), WIRE_OK);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(fence(f, 5, NULL), WIRE_EFENCED);
}

static void test_journal_of_another_store_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char identity[] =
		"torus-store 1\n"
		"cluster c1c1c1c1-c1c1-c1c1-c1c1-c1c1c1c1c1c1\n"
		"peer 0f0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e\n";

	fixture_close(f);
	file_remove(f, "identity");
	file_make(f, "identity", identity, sizeof(identity) - 1);
	memset(&f->cfg.peer, 0, sizeof(f->cfg.peer));
	opens_with(f, -EPERM, "another store");
}

static void test_journal_is_compacted_and_forgets_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch = 1, i;
	struct store_stats stats;
	struct wire_chunk_reply chunk;
	uint32_t crc;

	crc = append_new(f, 3);
	assert_int_equal(seal(f, CHUNK, 1, 4, crc), WIRE_OK);
	assert_int_equal(seal(f, 9, 1, 0, 0), WIRE_OK);
	for (i = 0; i < 1500; i++)
		assert_int_equal(fence(f, ++epoch, NULL), WIRE_OK);
	store_stats(f->store, &stats);
	assert_true(stats.used < 3 << 20);	/* 1500 batches are 6 MB */
	for (i = 0; i < 2; i++) {
		fixture_crash(f);
		fixture_reopen(f);
		assert_int_equal(fence(f, epoch - 1, NULL), WIRE_EFENCED);
		assert_int_equal(stat_chunk(f, CHUNK, epoch, &chunk), WIRE_OK);
		assert_int_equal(le32_to_cpu(chunk.length), 4);
		assert_int_equal(le32_to_cpu(chunk.end_crc), crc);
		assert_int_equal(le32_to_cpu(chunk.sealed), 1);
		assert_int_equal(stat_chunk(f, 9, epoch, &chunk), WIRE_OK);
		assert_int_equal(le32_to_cpu(chunk.sealed), 1);
	}
}

static void test_crash_at_any_moment_of_many_changes_keeps_promises(void **state)
{
	struct fixture *f = *state;
	uint64_t epoch = 1, granted = 0;
	uint32_t round;

	for (round = 0; round < 80; round++) {
		struct wire_fence body = { .volume = cpu_to_le64(VOLUME) };
		struct wire_fence_reply now;
		struct reply r[3];
		uint32_t i, steps = 5 + round % 37;

		for (i = 0; i < 3; i++) {
			body.epoch = cpu_to_le64(++epoch);
			send_request(f, &r[i], WIRE_FENCE, 0, &body, NULL, 0);
		}
		for (i = 0; i < steps; i++)
			sim_step(f->sim);
		for (i = 0; i < 3; i++) {
			if (r[i].done && r[i].hdr.status == WIRE_OK)
				granted = le64_to_cpu(r[i].body.fence.epoch);
			reply_release(&r[i]);
		}
		fixture_crash(f);
		fixture_reopen(f);
		fence(f, 1, &now);
		assert_true(le64_to_cpu(now.epoch) >= granted);
		/* Epochs only grow; what is there now is promised, too. */
		granted = le64_to_cpu(now.epoch);
	}
}

/* ---- chunk files ------------------------------------------------------------------ */

static void test_foreign_files_are_set_aside(void **state)
{
	struct fixture *f = *state;
	uint8_t *record = calloc(4, BLOCK_SIZE);

	append_new(f, 3);
	assert_int_equal(sim_disk_peek(f->node, CHUNK_FILE, 0, record,
				       4 * BLOCK_SIZE, false), 4 * BLOCK_SIZE);
	fixture_close(f);
	/* Right bytes, wrong name. */
	file_make(f, "chunks/0000000000000011/000000000006", record,
		  4 * BLOCK_SIZE);
	memset(record, 'x', 4 * BLOCK_SIZE);
	file_make(f, "chunks/0000000000000011/000000000007", record,
		  4 * BLOCK_SIZE);
	file_make(f, "chunks/0000000000000011/README", "hello", 5);
	file_make(f, "chunks/junk", "hello", 5);
	fixture_reopen(f);
	assert_int_equal(files_aside(f), 4);
	assert_false(file_is_there(f, "chunks/junk"));
	assert_false(file_is_there(f, "chunks/0000000000000011/000000000007"));
	assert_int_equal(stat_chunk(f, 6, 1, NULL), WIRE_ENOCHUNK);
	assert_int_equal(stat_chunk(f, 7, 1, NULL), WIRE_ENOCHUNK);
	append_new(f, 1);
	free(record);
}

static void test_truncated_sealed_chunk_is_a_bad_copy(void **state)
{
	struct fixture *f = *state;
	uint8_t *record = calloc(4, BLOCK_SIZE);

	append_new(f, 5);
	assert_int_equal(seal(f, CHUNK, 1, 6, f->prev_crc), WIRE_OK);
	assert_int_equal(sim_disk_peek(f->node, CHUNK_FILE, 0, record,
				       4 * BLOCK_SIZE, false), 4 * BLOCK_SIZE);
	fixture_close(f);
	file_remove(f, CHUNK_FILE);
	file_make(f, CHUNK_FILE, record, 4 * BLOCK_SIZE);
	fixture_reopen(f);
	assert_int_equal(files_aside(f), 1);
	assert_int_equal(stat_chunk(f, CHUNK, 1, NULL), WIRE_EBADCOPY);
	assert_int_equal(read_blocks(f, 1, 0, 1, NULL), WIRE_EBADCOPY);
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, NULL), WIRE_EBADCOPY);
	free(record);
}

static void test_missing_file_is_a_bad_copy(void **state)
{
	struct fixture *f = *state;

	append_new(f, 5);
	assert_int_equal(seal(f, CHUNK, 1, 6, f->prev_crc), WIRE_OK);
	fixture_close(f);
	file_remove(f, CHUNK_FILE);
	fixture_reopen(f);
	assert_int_equal(read_blocks(f, 1, 0, 1, NULL), WIRE_EBADCOPY);
}

static void test_unsynced_record_with_a_bad_payload_is_not_counted(void **state)
{
	struct fixture *f = *state;
	struct wire_chunk_reply chunk;
	uint32_t good;

	append_new(f, 5);
	good = f->block;
	append_new(f, 100);
	fixture_kill(f);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE,
				       (good + 90) * BLOCK_SIZE), 0);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.length), good);
}

/* ---- a sync that failed, and a torusd that starts again in the same boot ---- */

static void test_journal_of_a_failed_sync_is_read_from_the_disk(void **state)
{
	struct fixture *f = *state;
	struct wire_fence_reply reply;

	assert_int_equal(fence(f, 5, NULL), WIRE_OK);
	sim_node_disk_faults(f->node)->sync_eio = 1;
	assert_int_equal(fence(f, 6, NULL), WIRE_EIO);
	fixture_kill(f);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	fixture_reopen(f);
	assert_int_equal(fence(f, 7, NULL), WIRE_OK);
	sim_node_disk_faults(f->node)->lose_all = true;
	fixture_crash(f);
	fixture_reopen(f);
	assert_int_equal(fence(f, 6, &reply), WIRE_EFENCED);
	assert_int_equal(le64_to_cpu(reply.epoch), 7);
}

static void test_chunk_of_a_failed_sync_is_not_promised_later(void **state)
{
	struct fixture *f = *state;
	struct wire_chunk_reply chunk;
	uint32_t good;

	append_new(f, 5);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	good = f->block;
	append_new(f, 5);
	/* Nor can the journal note that the copy is bad. */
	sim_node_disk_faults(f->node)->sync_eio = 1;
	sim_node_disk_faults(f->node)->write_eio = 1;
	assert_int_not_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	fixture_kill(f);
	sim_node_disk_faults(f->node)->sync_eio = 0;
	sim_node_disk_faults(f->node)->write_eio = 0;
	fixture_reopen(f);
	assert_int_not_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.length), good);
}

static void test_hole_before_later_records_is_reported(void **state)
{
	struct fixture *f = *state;
	struct store_stats before, after;
	struct reply r;
	uint32_t hole;
	struct made m;

	append_new(f, 5);
	hole = f->block;
	m = make_record(f, 5, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	append_new(f, 70);
	append_new(f, 5);
	fixture_kill(f);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE,
				       hole * BLOCK_SIZE + 9), 0);
	fixture_reopen(f);
	assert_int_equal(scan(f, 1, &r), WIRE_OK);
	assert_int_equal(le32_to_cpu(r.body.scan.length), hole);
	assert_int_equal(le32_to_cpu(r.body.scan.damaged_block), hole);
	reply_release(&r);
	/* It was never durable: the record may be written again. */
	store_stats(f->store, &before);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_OK);
	made_free(&m);
	/* The file is as long as it was. */
	store_stats(f->store, &after);
	assert_int_equal(after.used, before.used);
}

/* What a write that failed has left goes with the seal. */
static void test_rest_of_a_failed_append_is_given_back_by_the_seal(void **state)
{
	struct fixture *f = *state;
	struct sim_disk_faults *disk = sim_node_disk_faults(f->node);
	uint32_t crc = append_new(f, 5), length = f->block;
	struct store_stats stats;
	struct made m;

	m = make_record(f, 70, 0);
	disk->capacity = sim_disk_bytes(f->node, "chunks") +
			 sim_disk_bytes(f->node, "journal") + 32 * BLOCK_SIZE;
	assert_int_equal(append(f, &m, 0, NULL), WIRE_ENOSPC);
	made_free(&m);
	assert_true(sim_disk_bytes(f->node, CHUNK_FILE) > length * BLOCK_SIZE);
	disk->capacity = 0;
	assert_int_equal(sync_chunk(f, 1, length), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_int_equal(sim_disk_bytes(f->node, CHUNK_FILE),
			 length * BLOCK_SIZE);
	store_stats(f->store, &stats);
	assert_in_range(stats.used, length * BLOCK_SIZE,
			length * BLOCK_SIZE + 16 * BLOCK_SIZE);
}

/* What a loss of power left of a block takes a whole one, until the seal. */
static void test_torn_end_counts_and_is_given_back_by_the_seal(void **state)
{
	struct fixture *f = *state;
	uint32_t crc = append_new(f, 5), length = f->block;
	struct store_stats before, after;
	struct iovec iov = { (void *)"torn", 4 };
	struct file_op o = { .op = { .type = FILE_OPEN, .path = CHUNK_FILE } };
	int file;

	assert_int_equal(sync_chunk(f, 1, length), WIRE_OK);
	fixture_close(f);
	file = (int)file_do(f, &o);
	assert_true(file >= 0);
	o = (struct file_op){ .op = { .type = FILE_WRITE, .file = file,
				      .iov = &iov, .iov_count = 1,
				      .offset = length * BLOCK_SIZE } };
	assert_int_equal(file_do(f, &o), 4);
	o = (struct file_op){ .op = { .type = FILE_CLOSE, .file = file } };
	assert_int_equal(file_do(f, &o), 0);
	fixture_reopen(f);
	store_stats(f->store, &before);
	assert_int_equal(before.used, sim_disk_bytes(f->node, "chunks") +
				      sim_disk_bytes(f->node, "journal"));
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_int_equal(sim_disk_bytes(f->node, CHUNK_FILE),
			 length * BLOCK_SIZE);
	store_stats(f->store, &after);
	assert_int_equal(after.used, sim_disk_bytes(f->node, "chunks") +
				     sim_disk_bytes(f->node, "journal"));
}

/* Space that was given back may be there again. */
static void test_end_behind_a_seal_is_given_back_after_a_power_loss(void **state)
{
	struct fixture *f = *state;
	uint32_t length, crc, tries;

	crc = append_new(f, 5);
	length = f->block;
	append_new(f, 70);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	assert_int_equal(seal(f, CHUNK, 1, length, crc), WIRE_OK);
	sim_run(f->sim, NSEC_PER_SEC);
	assert_int_equal(sim_disk_bytes(f->node, CHUNK_FILE),
			 length * BLOCK_SIZE);
	sim_node_disk_faults(f->node)->lose_all = true;
	fixture_crash(f);
	assert_true(sim_disk_bytes(f->node, CHUNK_FILE) > length * BLOCK_SIZE);
	for (tries = 0; tries < 2; tries++) {
		fixture_reopen(f);
		sim_run(f->sim, NSEC_PER_SEC);
		assert_int_equal(sim_disk_bytes(f->node, CHUNK_FILE),
				 length * BLOCK_SIZE);
		fixture_kill(f);
	}
}

/* Kills, so that nothing is written when it ends. */
static void test_rot_of_what_was_durable_is_no_torn_end(void **state)
{
	struct fixture *f = *state;
	struct wire_chunk_reply chunk;
	struct made m;
	uint32_t last;

	append_new(f, 5);
	last = f->block;
	append_new(f, 5);
	assert_int_equal(sync_chunk(f, 1, f->block), WIRE_OK);
	sim_run(f->sim, 11 * NSEC_PER_SEC);
	fixture_kill(f);
	assert_int_equal(sim_disk_flip(f->node, CHUNK_FILE,
				       last * BLOCK_SIZE + 9), 0);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.length), last);
	assert_int_equal(le32_to_cpu(chunk.durable), f->block);
	assert_int_equal(sync_chunk(f, 1, last), WIRE_EBADCOPY);
	/* Nor is it forgotten when it is started once more. */
	sim_run(f->sim, 11 * NSEC_PER_SEC);
	fixture_kill(f);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.durable), f->block);
	m = make_record(f, 1, 0);
	assert_int_equal(append(f, &m, 0, NULL), WIRE_EBADCOPY);
	made_free(&m);
}

static void test_zeros_behind_the_chain_are_not_data(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = calloc(50, BLOCK_SIZE);
	struct wire_chunk_reply chunk;

	append_new(f, 5);
	assert_int_equal(sim_disk_peek(f->node, CHUNK_FILE, 0, bytes,
				       6 * BLOCK_SIZE, false), 6 * BLOCK_SIZE);
	fixture_close(f);
	file_remove(f, CHUNK_FILE);
	file_make(f, CHUNK_FILE, bytes, 50 * BLOCK_SIZE);
	fixture_reopen(f);
	assert_int_equal(stat_chunk(f, CHUNK, 1, &chunk), WIRE_OK);
	assert_int_equal(le32_to_cpu(chunk.length), 6);
	append_new(f, 5);
	free(bytes);
}

/* The disk stops giving bytes at every moment of a start. */
static void test_read_errors_at_start_are_said_or_make_a_bad_copy(void **state)
{
	struct fixture *f = *state;
	uint32_t steps, refused = 0, bad = 0;

	for (steps = 0; steps < 30; steps++) {
		uint32_t i;

		fixture_release(f);
		fixture_init(f);
		assert_int_equal(fixture_open(f), 0);
		fixture_connect(f);
		assert_int_equal(fixture_hello(f, WIRE_ROLE_VOLUME), WIRE_OK);
		append_new(f, 5);
		fixture_close(f);
		fixture_disconnect(f);
		sim_node_start(f->node);
		f->opened = false;
		f->store = store_open(sim_node_env(f->node), &f->cfg,
				      note_opened, f);
		for (i = 0; i < steps && !f->opened; i++)
			sim_step(f->sim);
		sim_node_disk_faults(f->node)->read_eio = 1;
		assert_true(sim_run_until(f->sim, &f->opened, NSEC_PER_SEC));
		sim_node_disk_faults(f->node)->read_eio = 0;
		refused += f->open_err < 0;
		if (f->open_err < 0)
			assert_true(strlen(error_text(f->open_err)) > 10);
		fixture_kill(f);
		fixture_reopen(f);
		bad += stat_chunk(f, CHUNK, 1, NULL) == WIRE_EBADCOPY;
	}
	assert_true(refused > 0);
	assert_true(bad > 0);
	assert_true(refused + bad < 30);
}

static void test_many_open_chunks_share_few_handles(void **state)
{
	struct fixture *f = *state;
	struct reply *r = calloc(700, sizeof(*r));
	uint32_t i, crcs[1];
	uint8_t block[2 * BLOCK_SIZE];

	memset(block, 7, sizeof(block));
	crcs[0] = crc32c(0, block + BLOCK_SIZE, BLOCK_SIZE);
	for (i = 0; i < 700; i++) {
		struct extent extent = { .count = 1, .kind = EXTENT_DATA };
		struct record rec = {
			.volume = 1 + i % 7, .chunk = 1 + i / 7, .epoch = 1,
			.sequence = 1, .payload_blocks = 1, .extent_count = 1,
			.extents = &extent, .payload_crc = crcs,
		};
		struct wire_append body = {
			.volume = cpu_to_le64(rec.volume),
			.chunk = cpu_to_le64(rec.chunk),
			.epoch = cpu_to_le64(1), .blocks = cpu_to_le32(2),
		};

		record_encode(&rec, block);
		send_request(f, &r[i], WIRE_APPEND, 0, &body, block,
			     sizeof(block));
	}
	for (i = 0; i < 700; i++) {
		assert_int_equal(wait_reply(f, &r[i]), WIRE_OK);
		reply_release(&r[i]);
	}
	sim_run(f->sim, 20 * NSEC_PER_SEC);
	fixture_crash(f);
	fixture_reopen(f);
	{
		struct store_stats stats;

		store_stats(f->store, &stats);
		assert_int_equal(stats.chunks, 700);
	}
	free(r);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, \
						 fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_another_cluster_is_refused),
		TEST(test_another_peer_is_refused),
		TEST(test_directory_knows_who_it_is),
		TEST(test_damaged_identity_is_refused),
		TEST(test_chunks_without_identity_are_refused),
		TEST(test_identity_without_journal_is_refused),
		TEST(test_crash_during_the_first_start_is_harmless),
		TEST(test_damage_in_the_middle_of_the_journal_is_refused),
		TEST(test_torn_end_of_the_journal_is_overwritten),
		TEST(test_journal_of_another_store_is_refused),
		TEST(test_journal_is_compacted_and_forgets_nothing),
		TEST(test_crash_at_any_moment_of_many_changes_keeps_promises),
		TEST(test_foreign_files_are_set_aside),
		TEST(test_truncated_sealed_chunk_is_a_bad_copy),
		TEST(test_missing_file_is_a_bad_copy),
		TEST(test_unsynced_record_with_a_bad_payload_is_not_counted),
		TEST(test_journal_of_a_failed_sync_is_read_from_the_disk),
		TEST(test_chunk_of_a_failed_sync_is_not_promised_later),
		TEST(test_hole_before_later_records_is_reported),
		TEST(test_rest_of_a_failed_append_is_given_back_by_the_seal),
		TEST(test_torn_end_counts_and_is_given_back_by_the_seal),
		TEST(test_end_behind_a_seal_is_given_back_after_a_power_loss),
		TEST(test_rot_of_what_was_durable_is_no_torn_end),
		TEST(test_zeros_behind_the_chain_are_not_data),
		TEST(test_read_errors_at_start_are_said_or_make_a_bad_copy),
		TEST(test_many_open_chunks_share_few_handles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
