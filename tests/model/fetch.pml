// SPDX-License-Identifier: Apache-2.0
/*
 * The data of deferred writes (kernel/channel_ring.c): a submitter sends a slot,
 * sets the slot's bit, and publishes the descriptor, all under the lock of the
 * ring; a drain reads the tail, takes the bits, copies the data of those slots,
 * and then tells that everything before that tail has its data. (That the claim
 * of a slot decides against completions and the end of a session is shown by
 * claim.pml.)
 *
 * Shown: what the helper finds before data_tail has its data; a bit that was
 * taken is never lost.
 *
 * Mutants (-D):
 *  BIT_EARLY        nothing orders the bit after the slot's word
 *  BIT_AFTER_PUT    the bit is set when the descriptor is out
 *  PUT_PLAIN        the tail is written without release
 *  GET_PLAIN        the tail is read without acquire
 *  TAIL_AFTER       the tail is read after the bits
 *  DATA_PLAIN       data_tail is written without release
 *  HELPER_PLAIN     the helper reads it without acquire
 */
#define ENTRIES	2
#define SUBMITTER 0
#define DRAIN	1
#define HELPER	2
#define CPUS	3
#define DEPTH	5

#define WORD	0		/* of the slots: 1 when sent */
#define BIT	2		/* of the slots */
#define DATA	4		/* in the arena */
#define TAIL	6		/* torus_ring_end.desc_tail */
#define DATA_TAIL 7
#define LOCS	8

#ifdef GET_PLAIN
#define TAIL_ACQUIRED 0
#else
#define TAIL_ACQUIRED 1
#endif
#ifdef HELPER_PLAIN
#define DATA_ACQUIRED 0
#else
#define DATA_ACQUIRED 1
#endif
#define ACQUIRED(l)	((l == TAIL && TAIL_ACQUIRED) || (l == DATA_TAIL && DATA_ACQUIRED))
#define READ_AHEAD(c, l) ((c == DRAIN && (l <= BIT + 1 || l == TAIL)) || \
			  (c == HELPER && (l == DATA || l == DATA + 1 || l == DATA_TAIL)))

#include "weak.pml"

/*
 * In torus_ring_channel_submit(). Unordered: it may be there before what precedes
 * it, or after what follows.
 */
inline set_bit(i)
{
	if
	:: add_return_relaxed(BIT + i, 1, seen);
		assert(seen == 1);
		seen = 0
	:: store(BIT + i, 1)
	fi
}

inline put(i)
{
#ifdef PUT_PLAIN
	store(TAIL, i + 1)
#else
	store_release(TAIL, i + 1)
#endif
}

proctype submitter(byte me)
{
	byte i, seen;

	do
	:: i < ENTRIES ->
		store_release(WORD + i, 1);
#ifdef BIT_AFTER_PUT
		put(i);
		full_barrier();
		set_bit(i);
#else
#ifndef BIT_EARLY
		full_barrier();
#endif
		set_bit(i);
		put(i);
#endif
		i++
	:: else -> break
	od;
	rest()
}

/* fetch_one() */
inline fetch(i)
{
	load(BIT + i, seen);
	if
	:: seen ->
		exchange(BIT + i, 0, seen);
		load(WORD + i, seen);
		if
		:: seen -> store(DATA + i, 1)
		:: else
		fi
	:: else
	fi;
	seen = 0
}

inline get()
{
#ifdef GET_PLAIN
	load(TAIL, tail)
#else
	load_acquire(TAIL, tail)
#endif
}

/* fetch_data(), as often as there are descriptors, and once more */
proctype drain(byte me)
{
	byte rounds, seen, tail;

	do
	:: rounds <= ENTRIES ->
#ifndef TAIL_AFTER
		get();
#endif
		fetch(0);
		fetch(1);
#ifdef TAIL_AFTER
		get();
#endif
#ifdef DATA_PLAIN
		store(DATA_TAIL, tail);
#else
		store_release(DATA_TAIL, tail);
#endif
		tail = 0;
		rounds++
	:: else -> break
	od;
	rest()
}

proctype helper(byte me)
{
	byte tail, seen, i;

	do
	:: i < ENTRIES ->
#ifdef HELPER_PLAIN
		load(DATA_TAIL, tail);
#else
		load_acquire(DATA_TAIL, tail);
#endif
		if
		:: tail > i ->
			load(DATA + i, seen);
			atomic { assert(seen == 1); seen = 0; i++ }
		:: tail <= i -> break
		fi;
		tail = 0
	:: else -> break
	od;
	rest()
}

init {
	atomic {
		run submitter(SUBMITTER);
		run drain(DRAIN);
		run helper(HELPER);
		run processor(SUBMITTER);
		run processor(DRAIN);
		run processor(HELPER)
	};
	timeout;
	/* Nobody runs and no store is pending: what the helper may take now is good. */
	d_step {
		assert(mem[DATA_TAIL] < 1 || mem[DATA] == 1);
		assert(mem[DATA_TAIL] < 2 || mem[DATA + 1] == 1)
	}
}
