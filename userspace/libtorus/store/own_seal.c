// SPDX-License-Identifier: Apache-2.0
/*
 * An open copy becomes exactly the settled blocks, for ever, without a SEAL.
 *
 *   all of them read, payload and all: a record ends at L, with the CRC that
 *   is known of it -> chunk marked RESTORING: who comes is told to try again
 *     -> nobody uses the chunk any more -> still settled at L?
 *     -> data and name durable -> JOURNAL_SEAL durable -> sealed -> done
 *
 * It is SEAL as a recoverer would send it again: the same L, the same last
 * record, since a chunk number has one writer, and what a root counts on has
 * one chain. The epoch is that of the volume's value which said so, and a later
 * one, whose writer may have gone back, calls it off at every step; its own
 * SEAL would decide otherwise.
 *
 * Within one epoch the value says one length of a chunk, with two exceptions,
 * and neither leaves a seal behind that disagrees with the writer about what is
 * read. An attach after a loss of power may find less than the list says, and
 * have the list say so: only when each peer that could have the chunk has
 * answered that it has less, and here all of it had to be read. And pages that no
 * root will name are given up with their whole chunk, by a writer whose list is
 * full and by an attach: the list then says 0, or nothing, of a number that is
 * never used again, which leads nobody into it, and until a root makes it garbage
 * the seal of a later epoch cuts it. What is said last counts here too: a seal
 * that is not in the journal by then is called off.
 *
 * The long part, reading, keeps nobody out: records only ever come behind. A
 * crash at any point leaves the open copy as it was, or the sealed one, since
 * nothing of the file changes before the journal has the length.
 */
#include <errno.h>
#include <string.h>

#include "store/own_seal.h"
#include "store/private.h"
#include "store/request.h"

static struct store *seal_store(const struct store_own_seal *seal)
{
	return seal->chunk->volume->store;
}

/* 0: it may be sealed at seal->length. */
static int check(const struct store_own_seal *seal)
{
	const struct store_chunk *chunk = seal->chunk;

	if (seal_store(seal)->state != STORE_SERVING)
		return -ESHUTDOWN;
	if (store_refuses_changes(seal_store(seal)))
		return -EIO;
	if (chunk->flags & (STORE_CHUNK_DELETING | STORE_CHUNK_SEALED))
		return -EBUSY;
	if ((chunk->flags & STORE_CHUNK_BAD) || chunk->live->broken)
		return -EUCLEAN;
	if (store_chunk_settled(chunk) != seal->length || seal->length == 0)
		return -ECANCELED;
	return store_chunk_length(chunk) < seal->length ? -EAGAIN : 0;
}

/* The chunk goes on as it is, or as it was made. */
static void end_held(struct store_own_seal *seal, int err)
{
	struct store_chunk *chunk = seal->chunk;

	chunk->flags &= ~STORE_CHUNK_RESTORING;
	seal->done(seal, err);
}

static void logged(struct store_journal_entry *entry, int err)
{
	struct store_own_seal *seal = container_of(entry, struct store_own_seal,
						   entry);

	if (err == 0)
		store_seal_finish(seal->chunk, seal->epoch, seal->length,
				  seal->end_crc);
	end_held(seal, err == 0 ? 0 : -EIO);
}

static void log_it(struct store_own_seal *seal)
{
	const struct store_volume *volume = seal->chunk->volume;
	struct disk_journal_seal *body = &seal->entry.body.seal;

	seal->entry.type = JOURNAL_SEAL;
	seal->entry.done = logged;
	body->volume = cpu_to_le64(volume->id);
	body->chunk = cpu_to_le64(seal->chunk->number);
	seal->epoch = seal->chunk->live->settled_epoch;
	body->epoch = cpu_to_le64(seal->epoch);
	body->length = cpu_to_le32(seal->length);
	body->end_crc = cpu_to_le32(seal->end_crc);
	body->root = cpu_to_le64(volume->root);
	body->root_sequence = cpu_to_le64(volume->root_sequence);
	store_journal_submit(&seal_store(seal)->journal, &seal->entry);
}

static void made_durable(struct store_durable_wait *wait, int err)
{
	struct store_own_seal *seal = container_of(wait, struct store_own_seal,
						   durable);

	if (err == 0)
		err = check(seal);
	if (err == 0)
		log_it(seal);
	else
		end_held(seal, err);
}

/* Held again: the caller's hold was lent, so that others could be waited for. */
static void unused(struct store_chunk_idle_wait *wait)
{
	struct store_own_seal *seal = container_of(wait, struct store_own_seal,
						   idle);
	int err = check(seal);

	store_chunk_hold(seal->chunk);
	if (err < 0) {
		end_held(seal, err);
		return;
	}
	seal->durable.fn = made_durable;
	store_chunk_make_durable(seal->chunk, seal->length, &seal->durable);
}

static void wait_for_users(struct store_own_seal *seal)
{
	struct store_chunk *chunk = seal->chunk;

	if (chunk->flags & STORE_CHUNK_RESTORING) {
		seal->done(seal, -EBUSY);
		return;
	}
	chunk->flags |= STORE_CHUNK_RESTORING;
	seal->idle.fn = unused;
	store_chunk_when_idle(chunk, &seal->idle);
	store_chunk_release(chunk);
}

static void bad_durable(struct store_durable_wait *wait, int err)
{
	struct store_own_seal *seal = container_of(wait, struct store_own_seal,
						   durable);

	seal->done(seal, err);
}

static void found_bad(struct store_own_seal *seal, const char *why)
{
	store_chunk_mark_bad(seal->chunk, why);
	seal->durable.fn = bad_durable;
	store_chunk_make_durable(seal->chunk, 0, &seal->durable);
}

static void walked(struct store_walk *walk, int err)
{
	struct store_own_seal *seal = container_of(walk, struct store_own_seal,
						   walk);
	int now = check(seal);

	/* What was cut meanwhile is not damaged, and who deletes it waits. */
	if (now < 0) {
		seal->done(seal, now);
	} else if (store_walk_disk_failed(err)) {
		found_bad(seal, strerror(-err));
	} else if (store_walk_failed(err)) {
		seal->done(seal, err);
	} else if (err < 0) {
		found_bad(seal, "what a root needs of it was damaged");
	} else if (walk->tail.block != seal->length ||
		 (seal->end_crc != 0 && walk->tail.crc != seal->end_crc)) {
		seal->done(seal, -EILSEQ);
	} else {
		seal->end_crc = walk->tail.crc;
		wait_for_users(seal);
	}
}

/* Not by the walk's end: a record across L is no damage, but another chain. */
static int at_cut(struct store_walk *walk, const struct record *record,
		  const void *header)
{
	const struct store_own_seal *seal =
		container_of(walk, struct store_own_seal, walk);

	return walk->tail.block >= seal->length;
}

void store_own_seal(struct store_own_seal *seal)
{
	struct store_chunk_live *live = seal->chunk->live;
	int err;

	seal->length = store_chunk_settled(seal->chunk);
	err = check(seal);
	if (err < 0) {
		seal->done(seal, err);
		return;
	}
	if (seal->end_crc == 0)
		seal->end_crc = live->settled_crc;
	seal->walk.chunk = seal->chunk;
	seal->walk.end = store_chunk_length(seal->chunk);
	seal->walk.check_from = 0;
	seal->walk.background = true;
	seal->walk.record = at_cut;
	seal->walk.done = walked;
	store_walk_start(&seal->walk);
}
