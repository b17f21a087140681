// SPDX-License-Identifier: Apache-2.0
/*
 * Reads queue in order; each is cut into runs of blocks that lie one after the
 * other in one chunk, as many as there are free runs (READER_RUNS_MAX bounds
 * what is in flight or waits for a peer, and is all the memory there is). A
 * read is finished when it has been cut completely and all its runs are over.
 *
 * done() is only called from the turn, which runs on a timer and at the end of
 * each answer, never while a run is being started.
 */
#include "volume/reader.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "volume/reader_private.h"

#define IO_TIMEOUT_NS	   (120 * NSEC_PER_SEC)
#define REPLICA_TIMEOUT_NS NSEC_PER_SEC

static void turn_timer(struct env_timer *timer)
{
	reader_turn(container_of(timer, struct reader, turn));
}

struct reader *reader_new(struct env *env, struct cluster *cluster,
			  const struct reader_config *cfg)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->env = env;
	reader->cluster = cluster;
	reader->cfg = *cfg;
	if (!reader->cfg.io_timeout_ns)
		reader->cfg.io_timeout_ns = IO_TIMEOUT_NS;
	if (!reader->cfg.replica_timeout_ns)
		reader->cfg.replica_timeout_ns = REPLICA_TIMEOUT_NS;
	list_init(&reader->queue);
	list_init(&reader->finished);
	list_init(&reader->spare);
	list_init(&reader->asking);
	list_init(&reader->waiting);
	for (unsigned int i = 0; i < READER_RUNS_MAX; i++)
		list_add_tail(&reader->runs[i].node, &reader->spare);
	env_timer_init(&reader->turn, turn_timer);
	reader_hedge_init(reader);
	return reader;
}

void reader_free(struct reader *reader)
{
	struct read_run *run;

	if (!reader)
		return;
	list_for_each_entry(run, &reader->asking, node) {
		if (run->active)
			peer_call_cancel(&run->call);
		if (run->hedge.active)
			peer_call_cancel(&run->hedge.call);
	}
	reader_hedge_release(reader);
	env_timer_cancel(reader->env, &reader->turn);
	reader->dead = true;
	if (!reader->in_callback)
		free(reader);
}

void reader_set_epoch(struct reader *reader, uint64_t epoch)
{
	reader->epoch = epoch;
	reader->fenced = false;
}

const struct reader_stats *reader_stats(const struct reader *reader)
{
	return &reader->stats;
}

uint64_t reader_serial(const struct reader *reader)
{
	return reader->stats.reads;
}

static bool none_to(const struct list_head *reads, uint64_t serial)
{
	const struct block_read *read;

	list_for_each_entry(read, reads, node)
		if (read->serial <= serial)
			return false;
	return true;
}

static bool no_run_to(const struct list_head *runs, uint64_t serial)
{
	const struct read_run *run;

	list_for_each_entry(run, runs, node)
		if (run->read->serial <= serial)
			return false;
	return true;
}

bool reader_done_to(const struct reader *reader, uint64_t serial)
{
	return none_to(&reader->queue, serial) &&
	       none_to(&reader->finished, serial) &&
	       no_run_to(&reader->asking, serial) &&
	       no_run_to(&reader->waiting, serial);
}

void reader_peers_changed(struct reader *reader)
{
	struct read_run *run;

	list_for_each_entry(run, &reader->waiting, node)
		run->wake = 0;
	if (!list_empty(&reader->waiting))
		env_timer_after(reader->env, &reader->turn, 0);
}

static struct block_read *first_read(const struct list_head *list)
{
	return list_first_entry(list, struct block_read, node);
}

/* The whole of the read has been cut, and all its runs are over. */
static void finish_if_over(struct reader *reader, struct block_read *read)
{
	if (read->pending || read->started < read->count)
		return;
	list_del_init(&read->node);
	list_add_tail(&read->node, &reader->finished);
}

/* Nothing more of the read is worth starting. */
static void fail_read(struct reader *reader, struct block_read *read, int err)
{
	if (!read->err)
		read->err = err;
	read->started = read->count;
	list_del_init(&read->node);
	finish_if_over(reader, read);
}

void reader_run_done(struct read_run *run, int err)
{
	struct block_read *read = run->read;
	struct reader *reader = run->reader;

	list_add(&run->node, &reader->spare);
	read->pending--;
	if (err)
		fail_read(reader, read, err);
	else
		finish_if_over(reader, read);
}

/* How many of the entries from @first on lie one after the other. */
static uint32_t run_length(const struct block_read *read, uint32_t first)
{
	const struct map_entry *entry = &read->entries[first];
	uint32_t n = 1;

	while (first + n < read->count && entry[n].addr == entry->addr + n &&
	       entry[n].lineage == entry->lineage &&
	       block_addr_chunk(entry[n].addr) == block_addr_chunk(entry->addr))
		n++;
	return n;
}

static void fill_zeros(struct block_read *read)
{
	while (read->started < read->count &&
	       !read->entries[read->started].addr) {
		memset(read->buffer + (size_t)read->started * BLOCK_SIZE, 0,
		       BLOCK_SIZE);
		read->started++;
	}
}

/* Cut as much of the first read as there are free runs. */
static void start_read(struct reader *reader, struct block_read *read)
{
	read->pending++;	/* it is not over while this goes on */
	fill_zeros(read);
	while (read->started < read->count && !list_empty(&reader->spare)) {
		struct read_run *run = list_first_entry(&reader->spare,
							struct read_run, node);
		uint32_t first = read->started;
		uint32_t count = run_length(read, first);

		list_del_init(&run->node);
		read->started += count;
		read->pending++;
		run_start(reader, run, read, first, count);
		fill_zeros(read);
	}
	read->pending--;
	if (read->started == read->count)
		list_del_init(&read->node);
	finish_if_over(reader, read);
}

/* Each has its own deadline: the first in the queue is not the first due. */
static void expire_reads(struct reader *reader)
{
	uint64_t now = env_now(reader->env);
	struct block_read *read, *next;

	list_for_each_entry_safe(read, next, &reader->queue, node)
		if (now >= read->expires)
			fail_read(reader, read, -ETIMEDOUT);
}

static void start_reads(struct reader *reader)
{
	expire_reads(reader);
	while (!list_empty(&reader->queue)) {
		struct block_read *read = first_read(&reader->queue);

		if (reader->fenced)
			fail_read(reader, read, -ESTALE);
		else if (!list_empty(&reader->spare))
			start_read(reader, read);
		else
			break;
	}
}

static void retry_runs(struct reader *reader)
{
	uint64_t now = env_now(reader->env);
	struct list_head due;

	list_init(&due);
	list_splice_tail_init(&reader->waiting, &due);
	while (!list_empty(&due)) {
		struct read_run *run = list_first_entry(&due, struct read_run,
							node);

		if (reader->fenced || run->wake <= now ||
		    run->read->expires <= now)
			run_retry(run);
		else
			list_move_tail(&run->node, &reader->waiting);
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When something must happen although nobody answers. */
static uint64_t next_wake(const struct reader *reader)
{
	uint64_t wake = UINT64_MAX;
	const struct block_read *read;
	const struct read_run *run;

	list_for_each_entry(run, &reader->waiting, node)
		wake = earlier(wake, earlier(run->wake, run->read->expires));
	list_for_each_entry(read, &reader->queue, node)
		wake = earlier(wake, read->expires);
	return wake;
}

static void call_back(struct reader *reader)
{
	reader->in_callback = true;
	if (reader->fenced_due) {
		reader->fenced_due = false;
		if (reader->cfg.fenced)
			reader->cfg.fenced(reader->cfg.ctx,
					   reader->fenced_epoch);
	}
	while (!reader->dead && !list_empty(&reader->finished)) {
		struct block_read *read = first_read(&reader->finished);

		list_del_init(&read->node);
		read->done(read, read->err);
	}
	reader->in_callback = false;
}

void reader_turn(struct reader *reader)
{
	uint64_t wake;

	retry_runs(reader);
	start_reads(reader);
	call_back(reader);
	if (reader->dead) {
		free(reader);
		return;
	}
	wake = next_wake(reader);
	if (!list_empty(&reader->queue) && !list_empty(&reader->spare))
		wake = env_now(reader->env);
	if (wake != UINT64_MAX)
		env_timer_set(reader->env, &reader->turn, wake);
}

void reader_read(struct reader *reader, struct block_read *read)
{
	assert(read->count && read->count <= RECORD_PAYLOAD_BLOCKS_MAX);
	read->started = 0;
	read->pending = 0;
	read->err = 0;
	read->expires = read->deadline;
	if (!read->expires)
		read->expires = env_now(reader->env) +
				reader->cfg.io_timeout_ns;
	list_add_tail(&read->node, &reader->queue);
	reader->stats.reads++;
	read->serial = reader->stats.reads;
	env_timer_after(reader->env, &reader->turn, 0);
}
