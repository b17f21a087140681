// SPDX-License-Identifier: Apache-2.0
/*
 * When the cleaner runs, and what makes it safe.
 *
 * A relocation record says: this block lies here now, if it still lay there.
 * Whoever applies it, live or in replay, has overlays in memory, and should not
 * have to load the tree. So the rule is that a block is looked up after the
 * newest checkpoint had begun before its relocation gets a place in the log,
 * and that none begins before the relocation is acknowledged: cleaner_at_rest().
 * Then every change since the lookup is in the overlay, of replay too, which
 * begins at a root whose checkpoint had begun before; and a block that no
 * overlay knows lies where it was found.
 *
 * A victim is below the horizon of the published root, so nothing of the log
 * that replay needs is in it. It leaves the table when all of its headers were
 * walked: every block of it that the map points to was moved, or was
 * overwritten meanwhile; every page of map and table that lies in it will be
 * written anew by the next checkpoint (map_rewrite()), which is the first that
 * can leave the chunk out of its table. Nothing in the head ever begins to
 * point to an old place. Peers are told to delete it when the root that lists
 * it as freed is published (reclaim.c); if we die before, it just stays.
 *
 * One batch is on its way at a time, and its blocks share records with users'
 * writes, half and half. When garbage is found faster than that, users may
 * write no more than what cleaning has made room for, as long as it moves on:
 * that, and nothing else, bounds garbage for ever.
 */
#include "volume/cleaner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "volume/chunk_table.h"
#include "volume/internal.h"

/* Garbage that is no reason to do anything: an unfinished chunk, and the one
 * that it is cleaned into. */
#define SLACK_CHUNKS	2u
#define PAUSE		(10 * NSEC_PER_SEC)
/* Where peers are full: the threshold in percent, and how often a checkpoint
 * finds out what was trimmed. */
#define NO_ROOM_MAX	(300 * NSEC_PER_SEC)
#define FULL_THRESHOLD	5u
#define FULL_INTERVAL	(10 * NSEC_PER_SEC)
/* Freed chunks, or this part of what is stored, before a checkpoint gives
 * their space back. */
#define FREED_CHUNKS	8u
#define FREED_PART	16u
/* So many chunks of garbage beyond what is tolerated, and users wait ... */
#define HOLD_CHUNKS	4u
/* ... unless nothing has moved for so long. */
#define STALL		(200 * NSEC_PER_MSEC)

static void pause_fired(struct env_timer *timer);
static void stall_fired(struct env_timer *timer);

int cleaner_init(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	env_timer_init(&c->pause, pause_fired);
	env_timer_init(&c->stall, stall_fired);
	c->record = record_new();
	c->table = calloc(1, sizeof(*c->table));
	return c->record != NULL && c->table != NULL ? 0 : -ENOMEM;
}

/* What is under way in map and writer ends with them. */
void cleaner_release(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	env_timer_cancel(v->env, &c->pause);
	env_timer_cancel(v->env, &c->stall);
	peer_call_cancel(&c->call);
	if (c->busy && c->state == CLEANER_PICK)
		map_scan_cancel(c->table);
	if (c->busy && c->state == CLEANER_LOOK) {
		map_lookup_cancel(&c->lookup);
		map_locate_cancel(&c->locate);
	}
	record_free(c->record);
	free(c->table);
	free(c->headers);
	free(c->data);
	free(c->writes);
}

static void pause_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, cleaner.pause));
}

static void stall_fired(struct env_timer *timer)
{
	volume_kick(container_of(timer, struct volume, cleaner.stall));
}

/* ---- whether to ------------------------------------------------------- */

static uint64_t garbage(const struct volume *v)
{
	const struct pages *p = &v->pages;

	return p->stored_blocks - MIN(p->live_blocks, p->stored_blocks);
}

/* Without room, hardly anything is tolerated. */
uint32_t cleaner_threshold(const struct volume *v)
{
	return v->tail.full ? MIN(v->cfg.clean_threshold, FULL_THRESHOLD) :
	       v->cfg.clean_threshold;
}

/* Blocks of garbage that are tolerated. */
static uint64_t tolerated(const struct volume *v)
{
	return v->pages.stored_blocks * cleaner_threshold(v) / 100;
}

static uint64_t slack(const struct volume *v)
{
	return v->tail.full ? v->doc.chunk_blocks / 4 :
	       (uint64_t)SLACK_CHUNKS * v->doc.chunk_blocks;
}

static bool allowed(const struct volume *v)
{
	return v->state == VOLUME_SERVING && !v->failing &&
	       !v->cfg.read_only && v->cfg.clean_threshold < CLEAN_NEVER &&
	       v->doc.root.addr != 0;
}

static bool wanted(const struct volume *v)
{
	return garbage(v) > tolerated(v) + slack(v);
}

/* A little below what makes it begin, so that it does not begin at once. */
static bool enough(const struct volume *v)
{
	return garbage(v) <= tolerated(v) + slack(v) / 2;
}

/* Where the horizon would be if a root were published now. */
static uint64_t possible_horizon(const struct volume *v)
{
	return MIN(MAX(v->doc.tail.first, tail_lowest_open(v)),
		   block_addr_chunk(tail_log_next(v)));
}

/* ---- resting ---------------------------------------------------------- */

static void free_memory(struct cleaner *c)
{
	free(c->headers);
	free(c->data);
	free(c->writes);
	c->headers = NULL;
	c->data = NULL;
	c->writes = NULL;
}

static void go_idle(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	c->state = CLEANER_IDLE;
	c->victim_count = 0;
	c->count = 0;
	c->batch_begun = false;
	free_memory(c);
	if (c->unpublished > 0)
		checkpoint_start(v);
}

/* Until the log has grown by a chunk, or the horizon has moved. */
static void rest(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	uint64_t horizon = possible_horizon(v);

	go_idle(v);
	c->resting = true;
	c->rest_end = v->end.chunk;
	c->rest_horizon = v->checkpoint.horizon;
	if (horizon > v->checkpoint.horizon && horizon > c->asked_horizon) {
		c->asked_horizon = horizon;
		checkpoint_start(v);
	}
}

static bool rested(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (env_timer_armed(&c->pause))
		return false;
	if (c->resting && c->rest_end == v->end.chunk &&
	    c->rest_horizon == v->checkpoint.horizon)
		return false;
	c->resting = false;
	return true;
}

void cleaner_give_up(struct volume *v, const char *why)
{
	struct cleaner *c = &v->cleaner;

	if (c->victim_count > 0)
		log_info("volume %s: chunk %llu cannot be cleaned now: %s",
			 v->doc.name,
			 (unsigned long long)c->victims[0].chunk, why);
	go_idle(v);
	env_timer_after(v->env, &c->pause, PAUSE);
}

void cleaner_published(struct volume *v)
{
	v->cleaner.unpublished = 0;
}

void cleaner_no_room(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (!cleaner_at_rest(v))
		return;
	cleaner_give_up(v, "peers have no room for what is live in it");
	c->pause_ns = MIN(MAX(c->pause_ns * 2, PAUSE), NO_ROOM_MAX);
	env_timer_after(v->env, &c->pause, c->pause_ns);
}

/* ---- users ------------------------------------------------------------ */

static bool far_too_much(const struct volume *v)
{
	return garbage(v) > tolerated(v) + slack(v) +
			    (uint64_t)HOLD_CHUNKS * v->doc.chunk_blocks;
}

bool cleaner_holds_users(const struct volume *v)
{
	const struct cleaner *c = &v->cleaner;

	return c->state > CLEANER_PICK && c->credit == 0 && far_too_much(v) &&
	       env_now(v->env) < c->moved_on + STALL;
}

void cleaner_users_took(struct volume *v, uint32_t blocks)
{
	v->cleaner.credit -= MIN(v->cleaner.credit, blocks);
}

/*
 * Three quarters of the garbage that was dealt with, so that there will be
 * less; not more than a chunk at once. What is less than a block is kept: the
 * records of a log that was written one by one are worth no more than that.
 */
void cleaner_walked(struct volume *v, uint32_t blocks)
{
	struct cleaner *c = &v->cleaner;
	const struct clean_victim *victim = &c->victims[0];
	uint64_t unit = 4ull * victim->length;

	c->credit_part += (uint64_t)blocks * (victim->length - victim->live) * 3;
	c->credit = MIN(c->credit + c->credit_part / unit, v->doc.chunk_blocks);
	c->credit_part %= unit;
	c->moved_on = env_now(v->env);
}

/* ---- the states ------------------------------------------------------- */

static int get_memory(struct cleaner *c)
{
	c->headers = malloc(CLEANER_SCAN_BYTES);
	c->data = malloc((size_t)CLEANER_BATCH * BLOCK_SIZE);
	c->writes = calloc(CLEANER_BATCH, sizeof(*c->writes));
	if (c->headers != NULL && c->data != NULL && c->writes != NULL)
		return 0;
	free_memory(c);
	return -ENOMEM;
}

/*
 * There is no room: what was trimmed or overwritten since the last root is
 * known to be garbage only when it is folded, and gone only when a root says
 * so. Not too often: a checkpoint needs room itself.
 */
static void press_on(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	uint64_t now = env_now(v->env);

	if (!v->tail.full ||
	    v->changed.sequence <= v->checkpoint.sequence ||
	    checkpoint_running(v))
		return;
	if (now < c->pressed_at + FULL_INTERVAL) {
		env_timer_set(v->env, &c->stall,
			      c->pressed_at + FULL_INTERVAL);
		return;
	}
	c->pressed_at = now;
	checkpoint_start(v);
}

static void begin(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	press_on(v);
	if (!wanted(v) || !rested(v))
		return;
	if (get_memory(c)) {
		env_timer_after(v->env, &c->pause, PAUSE);
		return;
	}
	c->state = CLEANER_PICK;
	cleaner_pick(v);
}

void cleaner_picked(struct volume *v, int err)
{
	struct cleaner *c = &v->cleaner;

	if (err) {
		cleaner_give_up(v, strerror(-err));
	} else if (c->victim_count == 0) {
		rest(v);
	} else {
		c->state = CLEANER_SCAN;
		cleaner_begin_victim(v);
	}
	volume_kick(v);
}

static void next_victim(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	c->victim_count--;
	memmove(c->victims, c->victims + 1,
		c->victim_count * sizeof(c->victims[0]));
	if (enough(v)) {
		go_idle(v);
	} else if (c->victim_count > 0) {
		c->state = CLEANER_SCAN;
		cleaner_begin_victim(v);
	} else {
		c->state = CLEANER_PICK;
		cleaner_pick(v);
	}
}

static void free_chunk(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	const struct clean_victim *victim = &c->victims[0];
	int err = chunk_table_drop(v->pages.table, victim->chunk);

	if (err) {
		/* The list of the next root is full, or there is no memory. */
		checkpoint_start(v);
		cleaner_give_up(v, strerror(-err));
		return;
	}
	v->pages.stored_blocks -= MIN(victim->length, v->pages.stored_blocks);
	c->unpublished += victim->length;
	v->stats.cleaned_chunks++;
	c->pause_ns = 0;
	if (v->tail.full ||
	    c->unpublished >= MAX((uint64_t)FREED_CHUNKS * v->doc.chunk_blocks,
				  v->pages.stored_blocks / FREED_PART))
		checkpoint_start(v);
	next_victim(v);
}

static void written(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	c->moved_on = env_now(v->env);
	if (c->writes_out > 0)
		return;
	if (c->recalled) {
		cleaner_again(v);
		return;
	}
	c->count = 0;
	c->batch_begun = false;
	c->state = CLEANER_LOOK;
}

bool cleaner_at_rest(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	struct list_head back;

	list_init(&back);
	writer_recall_moves(v, &back);
	while (!list_empty(&back)) {
		list_del_init(back.next);
		c->writes_out--;
		c->recalled = true;
	}
	return c->writes_out == 0;
}

/* One step of the state it is in; false: nothing more can be done now. */
static bool step(struct volume *v)
{
	struct cleaner *c = &v->cleaner;
	enum cleaner_state before = c->state;

	switch (c->state) {
	case CLEANER_IDLE:
		begin(v);
		break;
	case CLEANER_PICK:
		break;
	case CLEANER_SCAN:
	case CLEANER_LOOK:
		cleaner_walk(v);
		break;
	case CLEANER_READ:
		cleaner_move(v);
		break;
	case CLEANER_WRITE:
		written(v);
		break;
	case CLEANER_FREE:
		free_chunk(v);
		return !c->busy && c->state != CLEANER_IDLE;
	}
	return !c->busy && c->state != before;
}

void cleaner_run(struct volume *v)
{
	struct cleaner *c = &v->cleaner;

	if (c->busy)
		return;
	if (!allowed(v)) {
		/* Detaching: what is in flight ends by itself. */
		if (c->state != CLEANER_IDLE && cleaner_at_rest(v))
			go_idle(v);
		return;
	}
	while (step(v))
		;
	if (cleaner_holds_users(v))
		env_timer_set(v->env, &c->stall, c->moved_on + STALL);
}
