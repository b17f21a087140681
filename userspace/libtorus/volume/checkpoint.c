// SPDX-License-Identifier: Apache-2.0
/*
 * Checkpoint.
 *
 * At its start the overlays of map and chunk table are frozen, at the same
 * record S; what is acknowledged from then on belongs to the next checkpoint,
 * and to replay, which starts at S + 1. Pages go through the writer like
 * everything else, bottom up, since a parent needs the address of its child.
 * When the top entries are known the root record is written, and when all of
 * it is durable the metadata store is told.
 *
 *   IDLE -> MAP -> TABLE -> ROOT -> FLUSH -> PUBLISH -> IDLE
 *             \______\________________________> ABORT -> IDLE
 *
 * None begins while blocks that the cleaner moves are on their way: what that
 * is good for is in cleaner.c.
 *
 * A page that cannot be loaded aborts the checkpoint; it is tried again later,
 * and the log since the last root just grows meanwhile. Pages that the writer
 * has cannot be called back, so ABORT waits for them.
 *
 * A chunk that the log went through is as long as its SEAL says, the sealed list
 * or, below the horizon of a root, the chunk table. Where the SEAL was lost, and
 * one copy goes bad, maintenance may take the other for good only when one of the
 * latter tells it how much of it counts. And what tails that were given up have
 * left is garbage only below the horizon. So the root does not stay far behind,
 * however slowly the log grows: a timer, armed when the log goes on in another
 * chunk and not before, has a new one made. The log of a volume that is not
 * written to does not go on, but for what that checkpoint wrote.
 */
#include "volume/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "volume/chunk_table.h"
#include "base/cleanup.h"
#include "volume/internal.h"
#include "volume/root.h"
#include "volume/sealed.h"

#define RETRY_MIN	(1 * NSEC_PER_SEC)
#define RETRY_MAX_SHIFT	6u

struct page_write {
	struct list_head node;		/* free_pages, or none */
	struct volume *volume;
	struct map *map;
	struct map_dirty_page *page;
	struct log_write write;
};

static void page_written(struct log_write *write, block_addr_t header,
			 uint32_t crc, block_addr_t payload,
			 const uint32_t *payload_crc);
static void root_written(struct log_write *write, block_addr_t header,
			 uint32_t crc, block_addr_t payload,
			 const uint32_t *payload_crc);
static void flushed(struct sync_wait *wait);
static int publish_apply(struct doc_change *change, struct volume_doc *doc);
static void publish_done(struct doc_change *change, int err);
static void retry_fired(struct env_timer *timer);
static void lag_fired(struct env_timer *timer);

int checkpoint_init(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	unsigned int i;

	list_init(&c->free_pages);
	list_init(&c->wait.node);
	env_timer_init(&c->retry, retry_fired);
	env_timer_init(&c->lag, lag_fired);
	c->root_write.done = root_written;
	c->root_write.ctx = v;
	c->root_write.kind = EXTENT_ROOT;
	c->wait.done = flushed;
	c->wait.ctx = v;
	c->publish.apply = publish_apply;
	c->publish.done = publish_done;
	c->publish.ctx = v;
	c->pages = calloc(CHECKPOINT_PAGES_MAX, sizeof(*c->pages));
	if (c->pages == NULL)
		return -ENOMEM;
	for (i = 0; i < CHECKPOINT_PAGES_MAX; i++) {
		c->pages[i].volume = v;
		c->pages[i].write.done = page_written;
		list_add_tail(&c->pages[i].node, &c->free_pages);
	}
	return 0;
}

void checkpoint_release(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;

	env_timer_cancel(v->env, &c->retry);
	env_timer_cancel(v->env, &c->lag);
	free(c->pages);
	free(c->root_data);
	c->pages = NULL;
	c->root_data = NULL;
}

void checkpoint_start(struct volume *v)
{
	v->checkpoint.wanted = true;
	volume_kick(v);
}

bool checkpoint_running(const struct volume *v)
{
	return v->checkpoint.wanted || v->checkpoint.state != CHECKPOINT_IDLE;
}

bool checkpoint_needed(const struct volume *v)
{
	return v->doc.root.addr == 0 || v->cleaner.unpublished > 0 ||
	       map_overlay_bytes(v->pages.map) > 0;
}

/*
 * Whether limits demand one. The first is made as soon as a volume is attached:
 * only a root tells what a volume is where the metadata are lost.
 */
static bool demanded(const struct volume *v)
{
	return v->checkpoint.wanted ||
	       (v->doc.root.addr == 0 && !v->cfg.read_only) || map_wants_checkpoint(v->pages.map) ||
	       map_wants_checkpoint(chunk_table_map(v->pages.table)) ||
	       v->log_since_root > v->cfg.checkpoint_log_bytes ||
	       v->doc.sealed_count > CHECKPOINT_SEALED_MAX;
}

static void retry_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, checkpoint.retry));
}

/* ---- a root that lies behind ------------------------------------------- */

/* Whether the log has gone on in another chunk since the root and something has
 * changed, or there is one of which nothing in the metadata says how long it is. */
static bool lies_behind(struct volume *v)
{
	uint64_t chunk = v->checkpoint.replay;
	const struct sealed_chunk *s;

	if (chunk < v->end.chunk &&
	    v->changed.sequence > v->doc.root.sequence)
		return true;
	while (chunk < v->end.chunk) {
		s = sealed_find(&v->doc, chunk);
		if (s == NULL || s->next <= chunk)
			return true;
		chunk = s->next;
	}
	return false;
}

void checkpoint_lags(struct volume *v)
{
	struct env_timer *lag = &v->checkpoint.lag;

	if (!env_timer_armed(lag))
		env_timer_after(v->env, lag, v->cfg.checkpoint_lag_ns);
}

/* The end of one that is under way looks again. */
static void lag_fired(struct env_timer *timer)
{
	struct volume *v = container_of(timer, struct volume, checkpoint.lag);

	if (!v->cfg.read_only && !checkpoint_running(v) && lies_behind(v))
		checkpoint_start(v);
}

/* There is a new root, with as much time as the one before. */
static void lag_again(struct volume *v)
{
	env_timer_cancel(v->env, &v->checkpoint.lag);
	if (lies_behind(v))
		checkpoint_lags(v);
}

void checkpoint_serve(struct volume *v)
{
	if (v->doc.root.addr == 0)
		checkpoint_start(v);
	lag_again(v);
}

/* ---- the end, either way ---------------------------------------------- */

static void over(struct volume *v, int err)
{
	struct checkpoint *c = &v->checkpoint;

	free(c->root_data);
	c->root_data = NULL;
	c->state = CHECKPOINT_IDLE;
	c->failures = err ? c->failures + 1 : 0;
	if (err) {
		c->wanted = true;
		env_timer_after(v->env, &c->retry, RETRY_MIN <<
				(c->failures < RETRY_MAX_SHIFT ?
				 c->failures : RETRY_MAX_SHIFT));
	}
	volume_kick(v);
}

/* The writer has no page of it any more. */
static void abort_now(struct volume *v)
{
	map_checkpoint_abort(v->pages.map);
	chunk_table_checkpoint_abort(v->pages.table);
	over(v, -EIO);
}

/* Takes back what the writer has queued. */
static void recall_writes(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	struct log_write *write;
	struct page_write *pw;

	while (!list_empty(&v->writer.log_writes)) {
		write = list_first_entry(&v->writer.log_writes,
					 struct log_write, node);
		list_del_init(&write->node);
		if (write == &c->root_write)
			continue;
		pw = container_of(write, struct page_write, write);
		list_add_tail(&pw->node, &c->free_pages);
		c->in_flight--;
	}
}

bool checkpoint_abandon(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;

	if (c->state == CHECKPOINT_PUBLISH)
		return false;
	if (c->state == CHECKPOINT_IDLE)
		return true;
	/* Calls that are left of old records still point into the pages. */
	writer_zombies_cancel(v);
	recall_writes(v);
	sync_wait_cancel(&c->wait);
	abort_now(v);
	return true;
}

static void fail(struct volume *v, int err)
{
	log_warning("volume %s: checkpoint failed (%s), will be tried again",
		    v->doc.name, strerror(-err));
	v->checkpoint.state = CHECKPOINT_ABORT;
	volume_kick(v);
}

/* ---- pages ------------------------------------------------------------ */

static int begin(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	int err;

	err = map_checkpoint_begin(v->pages.map);
	if (err)
		return err;
	err = chunk_table_checkpoint_begin(v->pages.table);
	if (err) {
		map_checkpoint_abort(v->pages.map);
		return err;
	}
	c->wanted = false;
	c->blocked = false;
	c->begun++;
	c->sequence = v->end.last.sequence;
	c->record_crc = v->end.last.header_crc;
	c->log_next = tail_log_next(v);
	c->log_bytes = v->log_since_root;
	c->stored_blocks = v->pages.stored_blocks;
	c->live_blocks = v->pages.live_blocks;
	c->state = CHECKPOINT_MAP;
	tail_catch_up(v);
	return 0;
}

static void page_written(struct log_write *write, block_addr_t header,
			 uint32_t crc, block_addr_t payload,
			 const uint32_t *payload_crc)
{
	struct page_write *pw = container_of(write, struct page_write, write);
	struct volume *v = pw->volume;

	v->checkpoint.in_flight--;
	list_add_tail(&pw->node, &v->checkpoint.free_pages);
	map_checkpoint_placed(pw->map, pw->page, payload, payload_crc[0]);
	volume_kick(v);
}

static void map_ready(void *ctx)
{
	struct volume *v = ctx;

	v->checkpoint.blocked = false;
	volume_kick(v);
}

static void write_page(struct volume *v, struct map *map,
		       struct map_dirty_page *page, enum extent_kind kind)
{
	struct checkpoint *c = &v->checkpoint;
	struct page_write *pw;

	pw = list_first_entry(&c->free_pages, struct page_write, node);
	list_del_init(&pw->node);
	c->in_flight++;
	pw->map = map;
	pw->page = page;
	pw->write.kind = kind;
	pw->write.first = (uint64_t)page->level << 56 | page->index;
	pw->write.data = page->page;
	pw->write.blocks = 1;
	writer_log(v, &pw->write);
}

/* Hands out pages of one tree. 0: go on later; -ENODATA: the tree is done. */
static int write_tree(struct volume *v, struct map *map, enum extent_kind kind,
		      struct map_entry *root)
{
	struct checkpoint *c = &v->checkpoint;
	struct map_dirty_page *page;
	int err;

	while (!c->blocked && !list_empty(&c->free_pages)) {
		/* Set first: ready() may come from inside. */
		c->blocked = true;
		err = map_checkpoint_next(map, &page, root, map_ready, v);
		if (err == -EAGAIN)
			return 0;
		c->blocked = false;
		if (err)
			return err;
		write_page(v, map, page, kind);
	}
	return 0;
}

static void run_map(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	int err;

	err = write_tree(v, v->pages.map, EXTENT_MAP_PAGE, &c->map_root);
	if (err == -ENODATA)
		c->state = CHECKPOINT_TABLE;
	else if (err)
		fail(v, err);
}

/* ---- root ------------------------------------------------------------- */

static int write_root(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	struct volume_doc doc = v->doc;
	struct root root;
	char *json;

	json = volume_doc_encode(&doc);
	if (json == NULL)
		return -ENOMEM;
	memset(&root, 0, sizeof(root));
	root.volume = v->doc.id;
	root.sequence = c->sequence;
	root.record_crc = c->record_crc;
	root.log_next = c->log_next;
	root.next_chunk = v->doc.next_chunk;
	/* Replay needs what lies behind S, wherever the tail is by now. */
	root.horizon = MIN(v->doc.tail.first, block_addr_chunk(c->log_next));
	c->root_horizon = root.horizon;
	root.stored_blocks = c->stored_blocks;
	root.live_blocks = c->live_blocks;
	root.map = c->map_root;
	root.chunk_table = c->table_root;
	root.freed_count = chunk_table_freed(v->pages.table, &root.freed);
	root.document = json;
	c->root_write.blocks = root_blocks(&root);
	c->root_data = calloc(c->root_write.blocks, BLOCK_SIZE);
	if (c->root_data != NULL)
		root_encode(&root, c->root_data);
	free(json);
	if (c->root_data == NULL)
		return -ENOMEM;
	c->root_write.data = c->root_data;
	c->state = CHECKPOINT_ROOT;
	writer_log(v, &c->root_write);
	return 0;
}

static void run_table(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	int err;

	err = write_tree(v, chunk_table_map(v->pages.table), EXTENT_CHUNK_PAGE,
			 &c->table_root);
	/* The root says where the tail begins: as far on as possible. */
	if (err == -ENODATA)
		err = v->tail.extending ? 0 : write_root(v);
	if (err)
		fail(v, err);
}

static void root_written(struct log_write *write, block_addr_t header,
			 uint32_t crc, block_addr_t payload,
			 const uint32_t *payload_crc)
{
	struct volume *v = write->ctx;
	struct checkpoint *c = &v->checkpoint;

	c->root.addr = header;
	c->root.crc = crc;
	c->root.sequence = c->sequence;
	c->state = CHECKPOINT_FLUSH;
	c->wait.sequence = write->sequence;
	sync_wait(v, &c->wait);
}

static void flushed(struct sync_wait *wait)
{
	struct volume *v = wait->ctx;

	v->checkpoint.state = CHECKPOINT_PUBLISH;
	docwriter_submit(v, &v->checkpoint.publish);
}

static int publish_apply(struct doc_change *change, struct volume_doc *doc)
{
	struct volume *v = change->ctx;

	doc->root = v->checkpoint.root;
	/* The log before the replay position is not scanned any more. */
	sealed_keep(doc, block_addr_chunk(v->checkpoint.log_next), UINT64_MAX);
	return 0;
}

static void publish_done(struct doc_change *change, int err)
{
	struct volume *v = change->ctx;
	struct checkpoint *c = &v->checkpoint;

	const uint64_t *freed;
	uint32_t count = chunk_table_freed(v->pages.table, &freed);

	reclaim_add(v, freed, count);
	c->horizon = c->root_horizon;
	c->replay = block_addr_chunk(c->log_next);
	map_checkpoint_commit(v->pages.map, &c->map_root);
	chunk_table_checkpoint_commit(v->pages.table, &c->table_root);
	v->log_since_root -= c->log_bytes;
	tail_published(v);
	cleaner_published(v);
	v->stats.checkpoints++;
	lag_again(v);
	over(v, 0);
}

bool checkpoint_due(const struct volume *v)
{
	const struct checkpoint *c = &v->checkpoint;

	return c->state == CHECKPOINT_IDLE && demanded(v) &&
	       v->detach.state < DETACH_FLUSH && !env_timer_armed(&c->retry);
}

void checkpoint_dropped(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;

	if (c->state == CHECKPOINT_MAP && c->live_blocks > 0)
		c->live_blocks--;
}

void checkpoint_run(struct volume *v)
{
	struct checkpoint *c = &v->checkpoint;
	int err;

	if (!volume_serving(v))
		return;
	if (checkpoint_due(v) && cleaner_at_rest(v)) {
		err = begin(v);
		if (err)
			over(v, err);
	}
	if (c->state == CHECKPOINT_MAP)
		run_map(v);
	if (c->state == CHECKPOINT_TABLE)
		run_table(v);
	if (c->state == CHECKPOINT_ABORT && c->in_flight == 0)
		abort_now(v);
}
