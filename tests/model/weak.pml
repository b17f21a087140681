// SPDX-License-Identifier: Apache-2.0
/*
 * Weakly ordered memory for the models of this folder.
 *
 * The technique is that of M. Desnoyers, P. E. McKenney, M. R. Dagenais,
 * "Multi-core systems modeling for formal verification of parallel algorithms",
 * ACM SIGOPS Operating Systems Review 47(2), 2013 (the models of liburcu): what
 * a processor has written and not yet published, and what it has read ahead, is
 * state of the model, and another process moves it at any time. Theirs is a
 * cache with one dirty copy per variable. Ours is a store buffer with a release
 * mark per entry, as in operational definitions of PSO, because release orders
 * what came before and nothing that comes after.
 *
 *  stores  Enter the buffer of their processor and reach memory later, in any
 *          order, but those to one location in the order of the program, and
 *          one with release after all before it. Later ones may overtake it.
 *          A store waits for room in the buffer.
 *  loads   Take the newest of their own stores, else memory, either when their
 *          turn comes or at any time earlier: across other loads, branches,
 *          address dependencies and own stores to other locations. Loads of one
 *          location keep their order. What follows a load with acquire in the
 *          program is not satisfied before it; what precedes it may be later.
 *          When a load is satisfied early makes a difference only if memory
 *          changes before its turn. So it is decided at each change, for each
 *          other processor, whether it has read the old value just before.
 *  atomics A read-modify-write acts on memory. With full order, the buffer is
 *          empty before it, and no load that follows was satisfied before it.
 *          A lock is taken with acquire and left with release only.
 *
 * So TSO, PSO and reordered loads are covered, with a memory that is the same
 * for all (other multi-copy atomic, as on x86, arm64, RISC-V). Not covered: a
 * load that is satisfied after a later store of its processor is visible (load
 * buffering), memory that shows a store to one processor before another
 * (POWER), values that a compiler invents. A failed compare-and-exchange is
 * taken as fully ordered, which it need not be.
 *
 * Who includes this defines CPUS (at most 5), LOCS, DEPTH (of a buffer, 3 to 5),
 * ACQUIRED(l) (location l is always loaded with acquire) and READ_AHEAD(c, l)
 * (processor c loads l at all, by other means than atomics; what it has read
 * ahead makes a difference only then; with -DIN_ORDER, for sizes that are too
 * large otherwise, loads are satisfied in their turn). A value is at most 254. In a process
 * that uses the operations, me is its processor.
 */
typedef buffer {
	byte n;
	byte loc[DEPTH];
	byte val[DEPTH];
	bit rel[DEPTH];
};

typedef read_ahead {
	byte val[LOCS];		/* 0: nothing, else one more than what it is */
};

byte mem[LOCS];
buffer pending[CPUS];
read_ahead early[CPUS];
bit resting[CPUS];
byte by, changed, changed_to;	/* scratch of an atomic, 0 between */
hidden byte seek;		/* scratch of a d_step */

#define EMPTY(c)	(pending[c].n == 0)

/* Entry i of a buffer, if there is one, is not of l. */
#define OTHER(c, i, l)	(pending[c].n <= i || pending[c].loc[i] != l)
#define NO_STORE3(c, l)	(OTHER(c, 0, l) && OTHER(c, 1, l) && OTHER(c, 2, l))
#if DEPTH == 3
#define NO_STORE(c, l)	NO_STORE3(c, l)
#elif DEPTH == 4
#define NO_STORE(c, l)	(NO_STORE3(c, l) && OTHER(c, 3, l))
#elif DEPTH == 5
#define NO_STORE(c, l)	(NO_STORE3(c, l) && OTHER(c, 3, l) && OTHER(c, 4, l))
#else
#error DEPTH is 3 to 5
#endif

inline forget(c)
{
	early[c].val[0] = 0;
	early[c].val[1] = 0;
	early[c].val[2] = 0;
	early[c].val[3] = 0;
#if LOCS > 4
	early[c].val[4] = 0;
#endif
#if LOCS > 5
	early[c].val[5] = 0;
#endif
#if LOCS > 6
	early[c].val[6] = 0;
#endif
#if LOCS > 7
	early[c].val[7] = 0;
#endif
	true
}

/* Whether c has a load of l before it in its program is not known: it may. */
#ifdef IN_ORDER
#undef READ_AHEAD
#define READ_AHEAD(c, l) 0
#endif
#define MAY_KEEP(c, l)	(READ_AHEAD(c, l) && !resting[c] && early[c].val[l] == 0 && \
			 NO_STORE(c, l))

inline keep(c, l)
{
	if
	:: c != by && MAY_KEEP(c, l) ->
		d_step {
			if
			:: ACQUIRED(l) -> forget(c)
			:: else
			fi;
			early[c].val[l] = mem[l] + 1
		}
	:: true
	fi
}

/* Part of an atomic: memory changes; each other processor may have seen it as it was. */
inline change(from, l, v)
{
	by = from;
	if
	:: mem[l] != (v) ->
		keep(0, l);
#if CPUS > 1
		keep(1, l);
#endif
#if CPUS > 2
		keep(2, l);
#endif
#if CPUS > 3
		keep(3, l);
#endif
#if CPUS > 4
		keep(4, l);
#endif
		mem[l] = v
	:: else
	fi;
	by = 0
}

inline append(l, v, r)
{
	d_step {
		pending[me].n < DEPTH ->
		pending[me].loc[pending[me].n] = l;
		pending[me].val[pending[me].n] = v;
		pending[me].rel[pending[me].n] = r;
		pending[me].n++;
		early[me].val[l] = 0
	}
}

/* WRITE_ONCE(), smp_store_release() */
inline store(l, v)		{ append(l, v, 0) }
inline store_release(l, v)	{ append(l, v, 1) }

/* Leaves in seek one more than the place of the newest own store to l, or 0. */
inline find_own(l)
{
	seek = pending[me].n;
	do
	:: seek == 0 -> break
	:: seek > 0 && pending[me].loc[seek - 1] == l -> break
	:: else -> seek--
	od
}

/* READ_ONCE() */
inline load(l, to)
{
	d_step {
		find_own(l);
		if
		:: seek > 0 -> to = pending[me].val[seek - 1]
		:: seek == 0 && early[me].val[l] != 0 -> to = early[me].val[l] - 1
		:: else -> to = mem[l]
		fi;
		early[me].val[l] = 0
	}
}

/*
 * smp_load_acquire(). If it was satisfied early, then whatever else was
 * satisfied before that has been forgotten at that time.
 */
inline load_acquire(l, to)
{
	d_step {
		find_own(l);
		if
		:: seek > 0 -> to = pending[me].val[seek - 1]; forget(me)
		:: seek == 0 && early[me].val[l] != 0 ->
			to = early[me].val[l] - 1;
			early[me].val[l] = 0
		:: else -> to = mem[l]; forget(me)
		fi
	}
}

/* smp_mb() */
inline full_barrier()
{
	d_step { EMPTY(me) -> forget(me) }
}

/* spin_lock(), spin_unlock(); nobody loads a lock */
inline lock(l)
{
	d_step { mem[l] == 0 -> mem[l] = 1; forget(me) }
}

inline unlock(l)		{ store_release(l, 0) }

/* xchg(), atomic_add_return(), cmpxchg() */
inline exchange(l, v, old)
{
	atomic { EMPTY(me) -> d_step { forget(me) }; old = mem[l]; change(me, l, v) }
}

inline add_return(l, v, new)
{
	atomic { EMPTY(me) -> d_step { forget(me) }; new = mem[l] + (v); change(me, l, new) }
}

/* _relaxed(): orders nothing but the location itself */
inline add_return_relaxed(l, v, new)
{
	atomic {
		NO_STORE(me, l) ->
		early[me].val[l] = 0;
		new = mem[l] + (v);
		change(me, l, new)
	}
}

inline compare_exchange(l, from, to, won)
{
	atomic {
		EMPTY(me) -> d_step { forget(me) };
		won = (mem[l] == (from));
		if
		:: won -> change(me, l, to)
		:: else
		fi
	}
}

/* What the memory system does for processors, whatever their programs do. */

inline publish_entry(c, i)
{
	d_step {
		changed = pending[c].loc[i];
		changed_to = pending[c].val[i];
		pending[c].n--;
		seek = i;
		do
		:: seek < pending[c].n ->
			pending[c].loc[seek] = pending[c].loc[seek + 1];
			pending[c].val[seek] = pending[c].val[seek + 1];
			pending[c].rel[seek] = pending[c].rel[seek + 1];
			seek++
		:: else -> break
		od;
		pending[c].loc[pending[c].n] = 0;
		pending[c].val[pending[c].n] = 0;
		pending[c].rel[pending[c].n] = 0
	};
	change(c, changed, changed_to);
	changed = 0;
	changed_to = 0
}

/* Entry i may go: none to its location before it, none at all for a release. */
#define FREE(i, j)	(pending[me].loc[i] != pending[me].loc[j])
#define READY(i)	(pending[me].n > i && !pending[me].rel[i])

proctype processor(byte me)
{
end:
	do
	:: atomic { pending[me].n > 0 -> publish_entry(me, 0) }
	:: atomic { READY(1) && FREE(1, 0) -> publish_entry(me, 1) }
	:: atomic { READY(2) && FREE(2, 0) && FREE(2, 1) -> publish_entry(me, 2) }
#if DEPTH > 3
	:: atomic { READY(3) && FREE(3, 0) && FREE(3, 1) && FREE(3, 2) -> publish_entry(me, 3) }
#endif
#if DEPTH > 4
	:: atomic { READY(4) && FREE(4, 0) && FREE(4, 1) && FREE(4, 2) && FREE(4, 3) ->
		publish_entry(me, 4) }
#endif
	od
}

/*
 * From rest() to resume() a processor has nothing to read ahead: its program is
 * at its end, or goes on with something that orders all loads behind it. Spares
 * the search values that would only be forgotten.
 */
inline rest()			{ d_step { resting[me] = 1; forget(me) } }
inline resume()			{ resting[me] = 0 }
