// SPDX-License-Identifier: Apache-2.0
/*
 * A walk reads the file through a window of WINDOW_BLOCKS. Chains of small
 * records are read window by window; with large records only the headers are
 * read, SMALL_READ blocks at a time, unless the payload is to be checked too.
 *
 *   header in window? --no--> read --> decode, check the chain
 *        ^                                  |
 *        |                       payload wanted? --yes--> read, check pieces
 *        +---- record(), advance <----------+------------------'
 */
#include "store/chain.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "store/private.h"

#define WINDOW_BLOCKS	64u
#define PACE_MAX	NSEC_PER_SEC
#define SMALL_READ	RECORD_HEADER_BLOCKS_MAX
#define SMALL_RECORD	16u	/* blocks: below, read whole windows */

static struct store *walk_store(const struct store_walk *walk)
{
	return walk->store;
}

bool store_walk_failed(int err)
{
	return err < 0 && err != -EILSEQ && err != -ENODATA &&
	       err != -EBADMSG && err != -EPROTONOSUPPORT;
}

bool store_walk_disk_failed(int err)
{
	return store_walk_failed(err) && err != -ENOMEM && err != -EMFILE &&
	       err != -ENFILE && err != -EAGAIN && err != -EINTR &&
	       err != -EBUSY;
}

static void walk_memory_free(struct store_walk *walk)
{
	free(walk->window);
	if (walk->rec != NULL)
		record_free(walk->rec);
	walk->window = NULL;
	walk->rec = NULL;
}

static void start_next(struct store *store);

static void finish(struct store_walk *walk, int err)
{
	struct store *store = walk_store(walk);

	list_del_init(&walk->node);
	walk_memory_free(walk);
	store->walk_count--;
	store->walk_background_count -= walk->background;
	start_next(store);
	walk->done(walk, err);
}

static void step(struct store_walk *walk);

static void window_read(struct env_file_op *op)
{
	struct store_walk *walk = op->ctx;

	/* Disks have errors that sound like the end of a chain. */
	if (op->result < 0) {
		finish(walk, store_walk_failed((int)op->result) ?
			     (int)op->result : -EIO);
		return;
	}
	walk->window_blocks = (uint32_t)op->result / BLOCK_SIZE;
	step(walk);
}

static void submit_read(struct store_walk *walk)
{
	store_op_read(walk_store(walk), &walk->op, walk->chunk->live->file,
		      &walk->iov, 1, (uint64_t)walk->window_block * BLOCK_SIZE,
		      window_read, walk);
}

static void pace_fired(struct env_timer *timer)
{
	submit_read(container_of(timer, struct store_walk, pace));
}

/* How long the next read waits, so that the disk has time for others. A store
 * that is being closed waits for its walks. */
static uint64_t pace(const struct store_walk *walk)
{
	const struct store *store = walk->store;
	uint64_t bytes = (uint64_t)(walk->window_block - walk->start) *
			 BLOCK_SIZE;
	uint64_t due, now = env_now(store->env);

	if (walk->rate == 0 || store->state != STORE_SERVING)
		return 0;
	due = walk->began + bytes * NSEC_PER_SEC / walk->rate;
	return due > now ? MIN(due - now, PACE_MAX) : 0;
}

static void read_window(struct store_walk *walk, uint32_t block,
			uint32_t blocks)
{
	uint64_t wait;

	walk->window_block = block;
	walk->window_blocks = 0;
	walk->iov.iov_base = walk->window;
	walk->iov.iov_len = (size_t)MIN(blocks, walk->end - block) * BLOCK_SIZE;
	wait = pace(walk);
	if (wait > 0)
		env_timer_after(walk_store(walk)->env, &walk->pace, wait);
	else
		submit_read(walk);
}

/* Bytes of the window from @block on; 0: not in the window. */
static size_t window_at(const struct store_walk *walk, uint32_t block,
			const uint8_t **at)
{
	uint32_t skip = block - walk->window_block;

	if (block < walk->window_block || skip >= walk->window_blocks)
		return 0;
	*at = walk->window + (size_t)skip * BLOCK_SIZE;
	return (size_t)(walk->window_blocks - skip) * BLOCK_SIZE;
}

bool store_tail_continues(const struct store_tail *tail, bool first,
			  const struct record *r, uint32_t end)
{
	if (r->block != tail->block || record_blocks(r) > end - tail->block)
		return false;
	return first || (r->prev_crc == tail->crc && !tail->last &&
			 r->sequence == tail->sequence + 1);
}

void store_tail_advance(struct store_tail *tail, const struct record *r)
{
	tail->block += record_blocks(r);
	tail->crc = r->crc;
	tail->sequence = r->sequence;
	tail->last = (r->flags & RECORD_LAST) != 0;
}

static int check_chain(struct store_walk *walk)
{
	const struct record *r = walk->rec;
	const struct store_tail *tail = &walk->tail;

	if (r->volume != walk->chunk->volume->id ||
	    r->chunk != walk->chunk->number) {
		walk->foreign = true;
		return -EILSEQ;
	}
	return store_tail_continues(tail, tail->block == walk->start, r,
				    walk->end) ? 0 : -EILSEQ;
}

static void accept_record(struct store_walk *walk, const void *header)
{
	const struct record *r = walk->rec;

	store_tail_advance(&walk->tail, r);
	walk->in_payload = false;
	if (walk->record != NULL && walk->record(walk, r, header) > 0)
		walk->end = walk->tail.block;
}

/* 1: go on; 0: a read was started; -errno. */
static int step_header(struct store_walk *walk)
{
	uint32_t block = walk->tail.block, blocks;
	const uint8_t *at = NULL;
	size_t len = window_at(walk, block, &at);
	int err = len > 0 ? record_decode(at, len, walk->rec) : -EAGAIN;

	if (err == -EAGAIN) {
		/* It was read from here on: more of it there is not. */
		if (walk->started && walk->window_block == block)
			return len == 0 ? -ENODATA : -EBADMSG;
		blocks = walk->check_from != UINT32_MAX ||
			 (block > walk->start &&
			  record_blocks(walk->rec) < SMALL_RECORD) ?
			 WINDOW_BLOCKS : SMALL_READ;
		walk->started = true;
		read_window(walk, block, blocks);
		return 0;
	}
	if (err < 0)
		return err;
	err = check_chain(walk);
	if (err < 0)
		return err;
	if (block + record_blocks(walk->rec) > walk->check_from &&
	    walk->rec->payload_blocks > 0) {
		walk->in_payload = true;
		walk->payload_at = 0;
		return 1;
	}
	accept_record(walk, at);
	return 1;
}

static void find_wrong_block(struct store_walk *walk, const struct record *part,
			     const uint8_t *at, uint32_t block)
{
	struct record one = *part;
	uint32_t i;

	if (walk->wrong == NULL)
		return;
	one.payload_blocks = 1;
	for (i = 0; i + 1 < part->payload_blocks; i++, one.payload_crc++)
		if (record_check_payload(&one, at + (size_t)i * BLOCK_SIZE) < 0)
			break;
	walk->wrong(walk, walk->rec, block + i);
}

/*
 * The header may have left the window by the end of the payload, so record()
 * gets none when payloads are checked: who checks them wants no headers.
 */
static int step_payload(struct store_walk *walk)
{
	struct record part = *walk->rec;
	uint32_t block = walk->tail.block + part.header_blocks +
			 walk->payload_at;
	const uint8_t *at = NULL;
	size_t len = window_at(walk, block, &at);

	if (len == 0) {
		if (walk->window_block == block)
			return -EBADMSG;	/* the file ends here */
		read_window(walk, block, WINDOW_BLOCKS);
		return 0;
	}
	part.payload_crc += walk->payload_at;
	part.payload_blocks = MIN(part.payload_blocks - walk->payload_at,
				  (uint32_t)(len / BLOCK_SIZE));
	if (record_check_payload(&part, at) < 0) {
		find_wrong_block(walk, &part, at, block);
		return -EBADMSG;
	}
	walk->payload_at += part.payload_blocks;
	if (walk->payload_at == walk->rec->payload_blocks)
		accept_record(walk, NULL);
	return 1;
}

static void step(struct store_walk *walk)
{
	int err = 1;

	while (err == 1) {
		if (walk->tail.block >= walk->end) {
			finish(walk, 0);
			return;
		}
		err = walk->in_payload ? step_payload(walk) :
					 step_header(walk);
	}
	if (err == 0)
		return;
	if (!walk->in_payload && walk->wrong != NULL)
		walk->wrong(walk, NULL, walk->tail.block);
	finish(walk, err);
}

static void file_open(struct store_file_wait *wait, int err)
{
	struct store_walk *walk = container_of(wait, struct store_walk,
					       file_wait);

	if (err < 0)
		finish(walk, err == -ENODATA ? -EIO : err);
	else
		step(walk);
}

static void begin(struct store_walk *walk)
{
	struct store *store = walk_store(walk);

	store->walk_count++;
	store->walk_background_count += walk->background;
	list_add_tail(&walk->node, &store->walks);
	env_timer_init(&walk->pace, pace_fired);
	walk->began = env_now(store->env);
	walk->window = aligned_alloc(BLOCK_SIZE, WINDOW_BLOCKS * BLOCK_SIZE);
	walk->rec = record_new();
	if (walk->window == NULL || walk->rec == NULL) {
		finish(walk, -ENOMEM);
		return;
	}
	if (store_file_get(walk->chunk, false, &walk->file_wait) == 0)
		file_open(&walk->file_wait, 0);
}

/* Who attaches a volume must not wait for verification. */
static bool may_begin(const struct store *store, const struct store_walk *walk)
{
	if (store->walk_count >= STORE_WALKS_MAX)
		return false;
	return !walk->background ||
	       store->walk_background_count < STORE_WALKS_MAX / 2;
}

static void start_next(struct store *store)
{
	struct store_walk *walk;

	list_for_each_entry(walk, &store->walk_queue, node) {
		if (!may_begin(store, walk))
			continue;
		list_del_init(&walk->node);
		begin(walk);
		return;
	}
}

void store_walk_start(struct store_walk *walk)
{
	struct store *store = walk->chunk->volume->store;

	walk->store = store;
	walk->tail = (struct store_tail){ .block = walk->start };
	walk->foreign = false;
	walk->started = false;
	walk->in_payload = false;
	walk->window = NULL;
	walk->rec = NULL;
	walk->window_block = walk->start;
	walk->window_blocks = 0;
	walk->file_wait.fn = file_open;
	if (!may_begin(store, walk))
		list_add_tail(&walk->node, &store->walk_queue);
	else
		begin(walk);
}

void store_walks_release(struct store *store)
{
	struct store_walk *walk;

	list_for_each_entry(walk, &store->walks, node) {
		env_timer_cancel(store->env, &walk->pace);
		walk_memory_free(walk);
	}
}
