// SPDX-License-Identifier: Apache-2.0
/*
 * Who takes completions out of a ring (kernel/ring.c, torus_channel_drain()).
 *
 * The helper publishes completions and then asks for a drain, which runs in its
 * own context; the driver's timer may ask at any time. One counter decides: who
 * raises it from 0 drains, until it has taken away all that it saw; the others
 * only count. Shown: one drainer at a time, no entry read before it was written,
 * none twice, and when all is quiet none is left for which a drain was asked.
 *
 * Mutants (-D):
 *  TAIL_PLAIN       the helper stores its tail without release
 *  TAIL_NO_ACQUIRE  the driver loads the tail without acquire
 *  ADD_RELAXED      atomic_inc_return_relaxed()
 *  ADD_SPLIT        read, then write, instead of atomic_inc_return()
 *  READ_RELAXED     atomic_read() of the counter, without acquire
 *  SUB_RELAXED      atomic_sub_return_relaxed()
 *  NO_LOOP          leaves without another look
 *  READ_LATE        reads the counter after the ring, not before
 */
#ifndef CPUS
#define CPUS	3
#endif
#ifndef LOCS
#define LOCS	6
#endif
#define DEPTH	3

#define DRAINS	0		/* torus_ring_end.drains */
#define TAIL	1		/* torus_ring.completion_tail */
#define HEAD	2		/* torus_ring_end.completion_head */
#define ENTRY	3		/* and on; an entry is 1 when written */

#define ENTRIES	(LOCS - ENTRY)
#define HELPER	0

#ifdef READ_RELAXED
#define DRAINS_ACQUIRED 0
#else
#define DRAINS_ACQUIRED 1
#endif
#ifdef TAIL_NO_ACQUIRE
#define TAIL_ACQUIRED 0
#else
#define TAIL_ACQUIRED 1
#endif
#define ACQUIRED(l)	((l == DRAINS && DRAINS_ACQUIRED) || (l == TAIL && TAIL_ACQUIRED))
#define READ_AHEAD(c, l) 1

#include "weak.pml"

byte drainers;			/* how many believe to be the one consumer */
byte asked;			/* completions that a drain was asked for */
bit taken[ENTRIES];

/* torus_ring_take(), for one entry */
inline take()
{
#ifdef TAIL_NO_ACQUIRE
	load(TAIL, tail);
#else
	load_acquire(TAIL, tail);
#endif
	load(HEAD, head);
	if
	:: head != tail ->
		load(ENTRY + head, entry);
		atomic {
			assert(entry == 1);
			assert(!taken[head]);
			taken[head] = 1
		};
		store(HEAD, head + 1)
	:: else
	fi
}

/* torus_channel_drain() */
inline drain()
{
#if defined(ADD_RELAXED)
	add_return_relaxed(DRAINS, 1, count);
#elif defined(ADD_SPLIT)
	load(DRAINS, count);
	count++;
	store(DRAINS, count);
	full_barrier();
#else
	add_return(DRAINS, 1, count);
#endif
	if
	:: count == 1 ->
		atomic { drainers++; assert(drainers == 1) };
		do
		:: count != 0 ->
#ifndef READ_LATE
			load_drains();
#endif
			do
			:: take();
				if
				:: head == tail -> break
				:: else
				fi
			od;
#ifdef READ_LATE
			load_drains();
#endif
			atomic { drainers--; head = 0; tail = 0; entry = 0 };
			subtract();
			atomic {
				if
				:: count != 0 -> drainers++; assert(drainers == 1)
				:: else
				fi
			}
		:: else -> break
		od
	:: else
	fi;
	atomic { count = 0; seen = 0 }
}

inline load_drains()
{
#ifdef READ_RELAXED
	load(DRAINS, seen)
#else
	load_acquire(DRAINS, seen)
#endif
}

inline subtract()
{
#if defined(SUB_RELAXED)
	add_return_relaxed(DRAINS, -seen, count)
#elif defined(NO_LOOP)
	exchange(DRAINS, 0, count);
	count = 0
#else
	add_return(DRAINS, -seen, count)
#endif
}

/* Completes all it has, and asks after each or only after some. */
proctype helper(byte me)
{
	byte count, seen, tail, head, entry, published;

	do
	:: published < ENTRIES ->
		store(ENTRY + published, 1);
		published++;
#ifdef TAIL_PLAIN
		store(TAIL, published);
#else
		store_release(TAIL, published);
#endif
		if
		:: published < ENTRIES
		:: asked = published;
			drain()
		fi
	:: else -> break
	od;
	true;
	rest()
}

proctype timer(byte me)
{
	byte count, seen, tail, head, entry;

	drain();
	if
	:: drain()
	:: true
	fi;
	rest()
}

init {
	atomic {
		run helper(HELPER);
		run timer(1);
		run processor(0);
		run processor(1);
#if CPUS > 2
		run timer(2);
		run processor(2)
#endif
	};
	timeout;
	/* Nobody runs and no store is pending. */
	d_step {
		seek = 0;
		do
		:: seek < asked -> assert(taken[seek]); seek++
		:: else -> break
		od
	}
}
