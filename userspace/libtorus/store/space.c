// SPDX-License-Identifier: Apache-2.0
/*
 * Space (DESIGN invariant 10). Two limits hold: the store's size, and what the
 * file system has left, which is looked at now and then and estimated in
 * between. What is left is kept for those who free space, or let others do so:
 *
 *	new data, copies for repair	down to the larger of the reserve and
 *					what full_percent leaves
 *	cleaning, which gives back more than it takes, but only after the next
 *	checkpoint; a copy that replaces a bad one, until it has its place
 *					down to half of the reserve
 *	trims, map pages, roots, last records of chunks, copies that recovery or
 *	a flush makes			down to what the journal needs
 *	journal: fences, seals, deletions	all
 */
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/maintain.h"
#include "store/private.h"

#define LOOK_AGAIN (5 * NSEC_PER_SEC)	/* at a disk that others have filled */

/* The larger of 2 % and two chunks per volume open here; a small store is not
 * all reserve, however many volumes are open. */
static uint64_t reserve_for(const struct store *store, uint64_t volumes)
{
	uint64_t open = volumes * 2 * store->cfg.chunk_size;

	return MIN(MAX(store->size / 50, open), store->size / 4);
}

static uint64_t reserve(const struct store *store)
{
	return reserve_for(store, store->index.open_volumes);
}

uint64_t store_space_used(const struct store *store)
{
	return store->chunk_bytes + store->journal.offset;
}

static uint64_t left_of(uint64_t all, uint64_t taken)
{
	return all > taken ? all - taken : 0;
}

/* What can be written at all, by the store's size and by the disk. */
static uint64_t left(const struct store *store)
{
	return MIN(left_of(store->size, store_space_used(store)),
		   left_of(store->disk_free, store->appended_since));
}

static uint64_t percent_left(const struct store *store, uint32_t used)
{
	return store->size / 100 * (100 - used);
}

/* What must be left when @use has had its share. */
static uint64_t kept_from(const struct store *store, enum store_space_use use)
{
	const uint64_t least = JOURNAL_BATCH_MAX, most = JOURNAL_COMPACT_MIN;

	switch (use) {
	case STORE_SPACE_USER:
		return MAX(reserve(store),
			   percent_left(store, store->cfg.full_percent));
	case STORE_SPACE_CLEANING:
		return MAX(reserve(store) / 2, least);
	case STORE_SPACE_META:
		break;
	}
	return MIN(MAX(reserve(store) / 4, least), most);
}

bool store_space_check(struct store *store, uint64_t bytes,
		       enum store_space_use use)
{
	uint64_t need = bytes + kept_from(store, use);

	if (store->appended_since >= STORE_STATFS_BYTES ||
	    left_of(store->disk_free, store->appended_since) < need)
		store_space_look(store);
	return left(store) >= need;
}

/*
 * What a volume that is not written here yet must leave: it brings its own
 * reserve. Else a full store would seem to have room to whoever left it for
 * that reason, and took its reserve along.
 */
static uint64_t kept_from_newcomer(const struct store *store)
{
	uint64_t volumes = (uint64_t)store->index.open_volumes + 1;

	return MAX(kept_from(store, STORE_SPACE_USER),
		   reserve_for(store, volumes));
}

uint64_t store_space_left(const struct store *store)
{
	return left_of(left(store), kept_from_newcomer(store));
}

/* It is full when it may not take the next record any more, though a smaller
 * one would still find room. */
static enum wire_space_state state_with(const struct store *store,
					uint64_t more)
{
	uint64_t record = MIN((uint64_t)WIRE_APPEND_MAX, store->size / 100);

	if (left(store) < kept_from(store, STORE_SPACE_USER) + record + more)
		return WIRE_SPACE_FULL;
	if (left(store) <= percent_left(store, store->cfg.near_full_percent) +
			   more)
		return WIRE_SPACE_NEAR_FULL;
	return WIRE_SPACE_OK;
}

enum wire_space_state store_space_state(const struct store *store)
{
	return state_with(store, 0);
}

static void say_state(const struct store *store)
{
	uint64_t percent = MAX(store->size / 100, (uint64_t)1);
	uint64_t used = MIN(left_of(store->size, left(store)) / percent,
			    (uint64_t)100);

	if (store->space_said == WIRE_SPACE_FULL)
		log_warning("store: full (%" PRIu64 " %% used): writes to it fail with ENOSPC; delete, trim and detach go on. Add peers, or delete volumes",
			    used);
	else if (store->space_said == WIRE_SPACE_NEAR_FULL)
		log_warning("store: nearly full (%" PRIu64 " %% used). Add peers, or delete volumes, before it is full",
			    used);
	else
		log_info("store: has room again (%" PRIu64 " %% used)", used);
}

/* Said once on the way up; on the way down only when it is two percent past. */
static void watch_state(struct store *store)
{
	enum wire_space_state state = store_space_state(store);

	if (store->state != STORE_SERVING)
		return;
	if (state < store->space_said)
		state = MIN(state_with(store, store->size / 50),
			    store->space_said);
	if (state == store->space_said)
		return;
	store->space_said = state;
	say_state(store);
}

static void tell_space(struct store *store)
{
	uint64_t now = store->chunk_bytes, told = store->chunk_bytes_told;

	if (left_of(now, told) + left_of(told, now) < STORE_SPACE_STEP)
		return;
	store->chunk_bytes_told = now;
	store->cfg.space_moved(store->cfg.ctx);
}

void store_space_add(struct store *store, int64_t bytes)
{
	store->chunk_bytes += (uint64_t)bytes;
	if (store->cfg.space_moved != NULL)
		tell_space(store);
	if (bytes > 0)
		store->appended_since += (uint64_t)bytes;
	else
		store->appended_since = left_of(store->appended_since,
						(uint64_t)-bytes);
	watch_state(store);
}

/*
 * While others fill the disk nobody may write here, so nothing would show that
 * they have made room: whoever came next would be refused once more.
 */
void store_space_look_later(struct store *store)
{
	if (store_space_state(store) == WIRE_SPACE_FULL &&
	    left_of(store->disk_free, store->appended_since) <
	    left_of(store->size, store_space_used(store)))
		env_timer_after(store->env, &store->space_timer, LOOK_AGAIN);
}

static void look_again(struct env_timer *timer)
{
	struct store *store = container_of(timer, struct store, space_timer);

	if (store->state == STORE_SERVING)
		store_space_look(store);
}

void store_space_init(struct store *store)
{
	env_timer_init(&store->space_timer, look_again);
}

static void looked(struct env_file_op *op)
{
	struct store *store = op->ctx;

	store->statfs_running = false;
	if (op->result < 0) {
		store_space_look_later(store);
		return;
	}
	/* What came after it had begun, it may not have seen. */
	store->disk_free = op->free_bytes;
	store->appended_since = left_of(store->appended_since,
					store->appended_before);
	watch_state(store);
	store_space_look_later(store);
}

void store_space_look(struct store *store)
{
	if (store->statfs_running)
		return;
	store->statfs_running = true;
	store->appended_before = store->appended_since;
	store_op_path(store, &store->statfs_op, FILE_STATFS, "", looked, store);
}
