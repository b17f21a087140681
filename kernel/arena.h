/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _TORUS_ARENA_H
#define _TORUS_ARENA_H

#include <linux/blk-mq.h>
#include <linux/spinlock.h>
#include <linux/torus.h>
#include <linux/types.h>

struct netlink_ext_ack;

/**
 * struct torus_arena - memory that the driver and one session's helper share
 * @pages: the memfd's pages, each held by a reference
 * @nr_pages: length of @pages
 * @units: how many pieces of TORUS_ARENA_UNIT bytes there are
 * @homes: how many units have an owner each; they come after the rings
 * @first: first unit that is handed out to anybody; the homes are before it
 * @reserve: first unit of the part that is kept for one large request
 * @ino: inode number of the memfd
 * @lock: protects what follows; a leaf lock
 * @used: one bit per unit
 * @starved: somebody was refused since the last release
 */
struct torus_arena {
	struct page **pages;
	unsigned long nr_pages;
	unsigned long units;
	unsigned long homes;
	unsigned long first;
	unsigned long reserve;
	unsigned long ino;

	spinlock_t lock; /* protects the rest */
	unsigned long *used;
	bool starved;
};

/**
 * torus_arena_init - take hold of a memfd's pages
 * @arena: zeroed
 * @fd: descriptor of the calling process
 * @io_size_max: bytes; the arena must have room for two of them
 * @rings_size: bytes at its start that are for rings; whole units
 * @homes: units that may get an owner each, if the arena is much larger
 * @extack: gets the reason of a refusal
 *
 * Never waits and reads nothing from disk: a page that is not in memory is a
 * refusal, since the helper is to lock its arena before it binds.
 *
 * Return: 0; -EBADF if @fd is no descriptor; -EINVAL if it is not a sealed
 * memfd of a proper size; -EFAULT if a page is not in memory; -ENOMEM.
 */
int torus_arena_init(struct torus_arena *arena, int fd, u32 io_size_max,
		     u32 rings_size, u32 homes,
		     struct netlink_ext_ack *extack);

/** torus_arena_release - drop the pages; nobody may use the arena any more */
void torus_arena_release(struct torus_arena *arena);

/**
 * torus_arena_get - reserve a contiguous range
 * @bytes: more than zero, at most the io_size_max of torus_arena_init()
 *
 * Return: the first unit, or -ENOSPC, after which the next
 * torus_arena_put() returns true.
 */
long torus_arena_get(struct torus_arena *arena, u32 bytes);

/**
 * torus_arena_get_home - reserve a range, preferably the owner's own unit
 * @owner: who asks, below the homes of torus_arena_init(); has one range at most
 *
 * Else as torus_arena_get(), but it takes neither a lock nor a search if the
 * range fits into one unit and owners have one.
 */
static inline long torus_arena_get_home(struct torus_arena *arena, u32 bytes,
					u32 owner)
{
	if (bytes <= TORUS_ARENA_UNIT && owner < arena->homes)
		return arena->first - arena->homes + owner;
	return torus_arena_get(arena, bytes);
}

/**
 * torus_arena_put - give a range back
 * @unit: what torus_arena_get() or torus_arena_get_home() returned
 * @bytes: as they were given to it
 *
 * Return: whether somebody was refused meanwhile and should try again.
 */
bool torus_arena_put(struct torus_arena *arena, unsigned long unit, u32 bytes);

/** torus_arena_write - copy all data of @rq to the range that starts at @unit */
void torus_arena_write(struct torus_arena *arena, unsigned long unit,
		       struct request *rq);

/** torus_arena_read - copy the range that starts at @unit to all of @rq */
void torus_arena_read(struct torus_arena *arena, unsigned long unit,
		      struct request *rq);

#endif /* _TORUS_ARENA_H */
