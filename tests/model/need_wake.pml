// SPDX-License-Identifier: Apache-2.0
/*
 * Who wakes the helper (kernel/ring.c, struct torus_ring).
 *
 * Submitters publish descriptors under a lock and then, outside of it, look
 * whether the helper sleeps; the first to see a ticket rings. A doorbell that
 * could not be sent is taken back and tried again by a timer. Shown: no entry is
 * read before it was written or twice; when all is quiet none is left (the
 * helper does not sleep over one); and no ticket is rung twice, unless a
 * submitter that was held up since an earlier ticket has rung for that one in
 * between (LATE_RINGER says that this does happen; a doorbell too many does no
 * harm, as the helper only looks).
 *
 * Mutants (-D):
 *  TAIL_PLAIN       the driver stores its tail without release
 *  TAIL_NO_ACQUIRE  the helper loads the tail without acquire
 *  DRIVER_NO_MB     no full barrier between tail and helper_waits
 *  HELPER_NO_MB     no full barrier between helper_waits and tail
 *  NO_RECHECK       the helper does not look again before it sleeps
 *  RING_SPLIT       read, then write, instead of xchg() of rung
 *  NO_UNTICKET      a doorbell that was not sent counts as rung
 *  NO_RETRY         nobody tries it again
 *  TICKET_REUSED    a ticket only differs from the one before
 *  NO_LOCK          publishing without the lock
 *  LATE_RINGER      nothing is changed; asserts that no ticket is rung twice
 */
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef ENTRIES
#define ENTRIES	2
#endif
#ifndef FAILURES
#define FAILURES 1
#endif
#ifndef OTHERS
#define OTHERS 0
#endif
#define HELPER	SUBMITTERS
#define TIMER	(SUBMITTERS + 1)
#define CPUS	(SUBMITTERS + 2)
#define DEPTH	3

#define TAIL	0		/* torus_ring.desc_tail */
#define WAITS	1		/* torus_ring.helper_waits */
#define RUNG	2		/* torus_ring_end.rung */
#define LOCK	3		/* torus_ring_end.lock */
#define ENTRY	4		/* and on; an entry is 1 when written */
#define LOCS	(ENTRY + ENTRIES)

#ifdef TAIL_NO_ACQUIRE
#define ACQUIRED(l)	0
#else
#define ACQUIRED(l)	(l == TAIL)
#endif
#define READ_AHEAD(c, l) ((c == HELPER && (l == TAIL || (l >= ENTRY && l >= consumed + ENTRY))) || \
			  (c != HELPER && (l == WAITS || l == RUNG)))

byte begun;			/* descriptors that a submitter has taken on */
byte consumed;			/* entries that the helper has read */

/* Whether a submitter has something to do: number 0 begins, and once only. */
#if SUBMITTERS > 1
#define MORE		(begun < ENTRIES && (me == 0) == (begun == 0))
#else
#define MORE		(begun < ENTRIES)
#endif

#include "weak.pml"

byte desc_tail;			/* torus_ring_end.desc_tail, under the lock */
byte bells;			/* doorbells in the helper's socket */
bit armed;			/* torus_queue.retry_work */
byte failures = FAILURES;	/* sends that may still fail */
byte others = OTHERS;		/* wake-ups of the helper for something else */

#define TICKETS	8
byte newest;			/* ticket of the helper */
byte rings[TICKETS];		/* doorbells sent for each */
byte late;			/* rings for a ticket that was not the newest */

/*
 * One step is at most one thing that others can see or that depends on when it
 * comes: a load, an atomic, a barrier. Stores join the step before, since they
 * are seen later in any case.
 */

/* torus_ring_channel_submit() with torus_ring_put() */
inline submit()
{
	atomic {
#ifdef NO_LOCK
		MORE ->
#else
		MORE && mem[LOCK] == 0 ->
		lock(LOCK);
#endif
		begun++;
		at = desc_tail
	};
	atomic {
		store(ENTRY + at, 1);
		desc_tail = at + 1;
#ifdef TAIL_PLAIN
		store(TAIL, at + 1);
#else
		store_release(TAIL, at + 1);
#endif
#ifndef NO_LOCK
		unlock(LOCK);
#endif
		at = 0
	}
}

/* torus_ring_ticket(): goes to none, or on with a ticket that is to be rung for */
inline take_ticket()
{
#ifndef DRIVER_NO_MB
	atomic { full_barrier(); resume() };
#endif
	atomic {
		load(WAITS, ticket);
		if
		:: ticket == 0 -> goto none
		:: else
		fi
	};
	atomic {
		load(RUNG, old);
		if
		:: old == ticket -> goto none
		:: else
		fi
	};
	atomic {
#ifdef RING_SPLIT
		store(RUNG, ticket);
#else
		exchange(RUNG, ticket, old);
#endif
		if
		:: old == ticket -> goto none
		:: old != ticket && ticket < newest -> late++
		:: else
		fi
	}
}

/* post_doorbell(), which may fail */
inline post()
{
	if
	:: atomic {
			bells++;
			rings[ticket]++;
#ifdef LATE_RINGER
			assert(rings[ticket] <= 1);
#else
			assert(rings[ticket] <= 1 + late);
#endif
			goto none
		}
	:: atomic { failures > 0 -> failures-- }
	fi
}

/*
 * torus_ring_channel_wake(). What a failure leaves to do is done by the look
 * that is due as long as requests are in flight; that it comes at other times
 * too is left out, or it would hide what is to be shown.
 */
inline wake()
{
	take_ticket();
	post();
	atomic {
#ifdef NO_UNTICKET
		full_barrier();
#else
		compare_exchange(RUNG, ticket, 0, old);	/* torus_ring_unticket() */
#endif
#ifndef NO_RETRY
		armed = 1
#endif
	};
none:
	atomic {
		ticket = 0;
		old = 0;
#ifndef DRIVER_NO_MB
		rest()
#endif
	}
}

proctype submitter(byte me)
{
	byte at, ticket, old;

	do
	:: submit();
		wake()
	:: !MORE && begun > me -> break
	od
}

/* torus_ring_channel_look() */
proctype timer(byte me)
{
	byte ticket, old;

end:
	do
	:: atomic { armed -> armed = 0; resume() };
		wake()
	od
}

inline load_tail()
{
#ifdef TAIL_NO_ACQUIRE
	load(TAIL, tail)
#else
	load_acquire(TAIL, tail)
#endif
}

inline read_entry()
{
	atomic {
		load(ENTRY + head, entry);
		assert(entry == 1);
		assert(head == consumed && consumed < ENTRIES);
		consumed++;
		head++;
		entry = 0
	}
}

inline offer_ticket()
{
#ifdef TICKET_REUSED
	newest = (newest == 1 -> 2 : 1);
#else
	newest++;
#endif
#ifndef HELPER_NO_MB
	rest();
#endif
	store(WAITS, newest)
}

proctype helper(byte me)
{
	byte head, tail, entry;

awake:
	atomic {
		load_tail();
		if
		:: head != tail -> goto behind
		:: else -> offer_ticket()
		fi
	};
#ifndef HELPER_NO_MB
	atomic { full_barrier(); resume() };
#endif
#ifndef NO_RECHECK
	atomic {
		load_tail();
		if
		:: head != tail -> store(WAITS, 0); goto awake
		:: else -> rest()
		fi
	};
#endif
end:
	if
	:: atomic { bells > 0 -> bells = 0; resume(); store(WAITS, 0); goto awake }
	:: atomic { others > 0 -> others--; resume(); store(WAITS, 0); goto awake }
	fi;
behind:
	do
	:: head != tail -> read_entry()
	:: else -> goto awake
	od
}

init {
	atomic {
#ifndef DRIVER_NO_MB
		resting[0] = 1;
		resting[SUBMITTERS - 1] = 1;
#endif
		resting[TIMER] = 1;
		run helper(HELPER);
		run timer(TIMER);
		run processor(HELPER);
		run processor(TIMER);
		run submitter(0);
		run processor(0);
#if SUBMITTERS > 1
		run submitter(1);
		run processor(1)
#endif
	};
	timeout;
	/* Nobody runs and no store is pending: the helper sleeps. */
	assert(consumed == ENTRIES)
}
