// SPDX-License-Identifier: Apache-2.0
/*
 * Operations of the maintenance on one copy: read, verify, seal, delete.
 *
 *   begin --refused--> store->copy_ended --timer--> done()
 *     `--> work on store->copy_works --> done()
 *
 * The work is the store's and outlives the operation, which its owner may
 * cancel at any time (work->op becomes NULL); the buffer of a read is the work's
 * from then on. What the work has begun on the disk always ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/chain.h"
#include "store/delete.h"
#include "store/maintain.h"
#include "store/own_seal.h"
#include "store/private.h"

struct copy_work {
	struct list_head node;		/* store->copy_works */
	struct store *store;
	struct store_copy_op *op;	/* NULL: cancelled */
	struct store_chunk *chunk;	/* held; NULL: a deletion */
	/* read */
	struct store_file_wait file;
	struct env_file_op file_op;
	struct iovec iov;
	void *buffer;			/* of a read that was cancelled */
	uint32_t block;
	/* verify */
	struct store_walk walk;
	uint64_t seal_epoch;		/* when it began */
	struct store_durable_wait bad;
	struct wire_finding finding;
	/* seal */
	struct store_own_seal seal;
	/* delete */
	struct store_delete delete;
};

/* ---- endings --------------------------------------------------------------- */

static void tell_ended(struct env_timer *timer)
{
	struct store *store = container_of(timer, struct store, copy_timer);
	struct store_copy_op *op;
	struct list_head ended;

	/* What done() begins, and is refused, waits for the next turn. */
	list_init(&ended);
	list_splice_tail_init(&store->copy_ended, &ended);
	while (!list_empty(&ended)) {
		op = list_first_entry(&ended, struct store_copy_op, node);
		list_del_init(&op->node);
		op->done(op, op->err);
	}
}

void store_copies_init(struct store *store)
{
	list_init(&store->copy_works);
	list_init(&store->copy_ended);
	env_timer_init(&store->copy_timer, tell_ended);
}

static void work_free(struct copy_work *work)
{
	list_del_init(&work->node);
	free(work->buffer);
	free(work);
}

void store_copies_release(struct store *store)
{
	struct copy_work *work, *next;

	env_timer_cancel(store->env, &store->copy_timer);
	list_for_each_entry_safe(work, next, &store->copy_works, node)
		work_free(work);
}

/* done() comes from the loop, also where the end is known at once. */
static void end_later(struct store *store, struct store_copy_op *op, int err)
{
	op->work = NULL;
	op->err = err;
	list_add_tail(&op->node, &store->copy_ended);
	if (!env_timer_armed(&store->copy_timer))
		env_timer_after(store->env, &store->copy_timer, 0);
}

static void work_end(struct copy_work *work, int err)
{
	struct store *store = work->store;
	struct store_copy_op *op = work->op;
	struct store_chunk *chunk = work->chunk;

	work_free(work);
	if (op != NULL)
		end_later(store, op, err);
	if (chunk != NULL)
		store_chunk_release(chunk);
	store_close_step(store);
}

void store_copy_cancel(struct store *store, struct store_copy_op *op)
{
	struct copy_work *work = op->work;

	if (work == NULL) {
		list_del_init(&op->node);
		free(op->buffer);
	} else {
		work->op = NULL;
		work->buffer = op->buffer;
	}
	op->buffer = NULL;
}

/* ---- beginnings ------------------------------------------------------------ */

static struct store_chunk *find(const struct store *store,
				const struct store_copy_op *op)
{
	struct store_volume *volume = store_volume_find(&store->index,
							op->volume);

	return volume != NULL ? store_chunk_find(volume, op->chunk) : NULL;
}

static int check_sealed(const struct store *store,
			const struct store_chunk *chunk)
{
	if (store->state != STORE_SERVING)
		return -ESHUTDOWN;
	if (chunk == NULL || (chunk->flags & STORE_CHUNK_DELETING))
		return -ENOENT;
	if (chunk->flags & STORE_CHUNK_RESTORING)
		return -EBUSY;
	if (chunk->flags & STORE_CHUNK_BAD)
		return -EUCLEAN;
	return chunk->flags & STORE_CHUNK_SEALED ? 0 : -EAGAIN;
}

static struct copy_work *work_new(struct store *store,
				  struct store_copy_op *op)
{
	struct copy_work *work = calloc(1, sizeof(*work));

	if (work == NULL)
		return NULL;
	work->store = store;
	work->op = op;
	op->work = work;
	list_add_tail(&work->node, &store->copy_works);
	return work;
}

/* ---- read ------------------------------------------------------------------ */

static void read_done(struct env_file_op *file_op)
{
	struct copy_work *work = file_op->ctx;
	int err = 0;

	if (file_op->result < 0)
		err = (int)file_op->result;
	else if ((uint64_t)file_op->result < file_op->length)
		err = -EIO;
	work_end(work, err);
}

static void read_open(struct store_file_wait *wait, int err)
{
	struct copy_work *work = container_of(wait, struct copy_work, file);

	if (err < 0)
		work_end(work, err == -ENOENT ? -EIO : err);
	else
		store_op_read(work->store, &work->file_op,
			      work->chunk->live->file, &work->iov, 1,
			      (uint64_t)work->block * BLOCK_SIZE, read_done,
			      work);
}

static int read_begin(struct store *store, struct store_copy_op *op,
		      struct store_chunk *chunk)
{
	struct copy_work *work;

	if (op->blocks == 0 || op->blocks > STORE_COPY_READ_MAX ||
	    op->blocks > chunk->length || op->block > chunk->length - op->blocks)
		return -ERANGE;
	if (store_chunk_live(chunk) == NULL)
		return -ENOMEM;
	work = work_new(store, op);
	if (work == NULL)
		return -ENOMEM;
	work->iov = (struct iovec){ op->buffer,
				    (size_t)op->blocks * BLOCK_SIZE };
	work->block = op->block;
	work->chunk = chunk;
	store_chunk_hold(chunk);
	work->file.fn = read_open;
	if (store_file_get(chunk, false, &work->file) == 0)
		read_open(&work->file, 0);
	return 0;
}

void store_copy_read(struct store *store, struct store_copy_op *op)
{
	struct store_chunk *chunk = find(store, op);
	int err = check_sealed(store, chunk);

	if (err == 0)
		err = read_begin(store, op, chunk);
	if (err < 0)
		end_later(store, op, err);
}

/* ---- verify ---------------------------------------------------------------- */

static void note_wrong(struct store_walk *walk, const struct record *r,
		       uint32_t block)
{
	struct copy_work *work = container_of(walk, struct copy_work, walk);
	struct wire_finding *finding = &work->finding;
	uint32_t i, at;

	finding->block = cpu_to_le32(block);
	if (r == NULL)
		return;
	at = block - walk->tail.block - r->header_blocks;
	for (i = 0; i < r->extent_count; i++) {
		const struct extent *e = &r->extents[i];

		if (!extent_has_payload(e->kind))
			continue;
		if (at >= e->count) {
			at -= e->count;
			continue;
		}
		finding->kind = cpu_to_le32(e->kind);
		if (e->kind == EXTENT_DATA || e->kind == EXTENT_RELOCATION)
			finding->volume_block = cpu_to_le64(e->first + at);
		return;
	}
}

static void marked_bad(struct store_durable_wait *wait, int err)
{
	struct copy_work *work = container_of(wait, struct copy_work, bad);

	if (work->op != NULL)
		work->op->finding = work->finding;
	work_end(work, err);
}

static void found_bad(struct copy_work *work, uint32_t block, const char *why)
{
	if (work->finding.block == cpu_to_le32(UINT32_MAX))
		work->finding.block = cpu_to_le32(block);
	store_chunk_mark_bad(work->chunk, why);
	work->bad.fn = marked_bad;
	store_chunk_make_durable(work->chunk, 0, &work->bad);
}

/* Who waits may tell how far it is: a slow rate takes its time over a chunk. */
static int verifying(struct store_walk *walk, const struct record *r,
		     const void *header)
{
	struct copy_work *work = container_of(walk, struct copy_work, walk);

	(void)r;
	(void)header;
	if (work->op != NULL)
		work->op->verified = (uint64_t)walk->tail.block * BLOCK_SIZE;
	return 0;
}

static void verified(struct store_walk *walk, int err)
{
	struct copy_work *work = container_of(walk, struct copy_work, walk);
	const struct store_chunk *chunk = work->chunk;

	if (work->op != NULL)
		work->op->verified = (uint64_t)walk->tail.block * BLOCK_SIZE;
	if (store_walk_disk_failed(err))
		found_bad(work, walk->tail.block, strerror(-err));
	else if (store_walk_failed(err))
		work_end(work, err);
	else if (chunk->seal_epoch != work->seal_epoch)
		work_end(work, -EAGAIN);	/* cut where it was read */
	else if (err < 0)
		found_bad(work, walk->tail.block, "what it holds was damaged");
	else if (walk->tail.block != chunk->length ||
		 walk->tail.crc != chunk->end_crc)
		found_bad(work, walk->tail.block,
			  "it does not end as it was sealed");
	else
		work_end(work, 0);
}

static int verify_begin(struct store *store, struct store_copy_op *op,
			struct store_chunk *chunk)
{
	struct copy_work *work;

	if (store_chunk_live(chunk) == NULL)
		return -ENOMEM;
	work = work_new(store, op);
	if (work == NULL)
		return -ENOMEM;
	work->finding = (struct wire_finding){
		.volume = cpu_to_le64(op->volume),
		.chunk = cpu_to_le64(op->chunk),
		.volume_block = cpu_to_le64(UINT64_MAX),
		.when_ms = cpu_to_le64(env_realtime(store->env) /
				       NSEC_PER_MSEC),
		.block = cpu_to_le32(UINT32_MAX),
	};
	work->chunk = chunk;
	store_chunk_hold(chunk);
	work->seal_epoch = chunk->seal_epoch;
	work->walk.chunk = chunk;
	work->walk.end = chunk->length;
	work->walk.check_from = 0;
	work->walk.background = true;
	work->walk.rate = op->rate;
	work->walk.record = verifying;
	work->walk.wrong = note_wrong;
	work->walk.done = verified;
	store_walk_start(&work->walk);
	return 0;
}

void store_copy_verify(struct store *store, struct store_copy_op *op)
{
	struct store_chunk *chunk = find(store, op);
	int err = check_sealed(store, chunk);

	op->verified = 0;
	if (err == 0 && chunk->length == 0)
		end_later(store, op, 0);
	else if (err == 0)
		err = verify_begin(store, op, chunk);
	if (err < 0)
		end_later(store, op, err);
}

/* ---- seal ------------------------------------------------------------------ */

static void sealed(struct store_own_seal *seal, int err)
{
	work_end(container_of(seal, struct copy_work, seal), err);
}

static int check_open(const struct store *store,
		      const struct store_chunk *chunk)
{
	int err = check_sealed(store, chunk);

	return err == 0 ? -EALREADY : err == -EAGAIN ? 0 : err;
}

static int seal_begin(struct store *store, struct store_copy_op *op,
		      struct store_chunk *chunk)
{
	struct copy_work *work = work_new(store, op);

	if (work == NULL)
		return -ENOMEM;
	work->chunk = chunk;
	store_chunk_hold(chunk);
	work->seal.chunk = chunk;
	work->seal.end_crc = op->end_crc;
	work->seal.done = sealed;
	store_own_seal(&work->seal);
	return 0;
}

void store_copy_seal(struct store *store, struct store_copy_op *op)
{
	struct store_chunk *chunk = find(store, op);
	int err = check_open(store, chunk);

	if (err == 0)
		err = seal_begin(store, op, chunk);
	if (err < 0)
		end_later(store, op, err);
}

/* ---- delete ---------------------------------------------------------------- */

static bool still_wanted(struct store_delete *del)
{
	struct copy_work *work = container_of(del, struct copy_work, delete);

	return work->op != NULL && work->op->still(work->op);
}

static void deleted(struct store_delete *del, int err)
{
	work_end(container_of(del, struct copy_work, delete), err);
}

static int delete_begin(struct store *store, struct store_copy_op *op)
{
	struct copy_work *work;
	int err;

	if (store->state != STORE_SERVING)
		return -ESHUTDOWN;
	if (store_refuses_changes(store))
		return -EIO;
	work = work_new(store, op);
	if (work == NULL)
		return -ENOMEM;
	work->delete.volume = store_volume_find(&store->index, op->volume);
	work->delete.number = op->chunk;
	work->delete.done = deleted;
	if (op->still != NULL)
		work->delete.still = still_wanted;
	err = work->delete.volume == NULL ? -ENOENT :
	      store_chunk_delete(&work->delete);
	if (err < 0)
		work_free(work);
	return err;
}

void store_copy_delete(struct store *store, struct store_copy_op *op)
{
	int err = delete_begin(store, op);

	if (err < 0)
		end_later(store, op, err);
}
