// SPDX-License-Identifier: Apache-2.0
/*
 * Who ends a request (kernel/request.c), for one slot and its tag.
 *
 * The block layer starts requests on the tag, one after another; they are queued
 * and sent, by queue_rq() or, in the message form, by the retry work too, where
 * a message may also come back. Helpers complete any generation that was ever
 * sent, in time, late, twice, or before it was delivered to them, from two
 * threads. At any time a timeout or the helper's end kills the session; its
 * requests are revoked and the next session begins.
 *
 * Looser than the driver: completions of a session that is dead are not refused
 * (the driver does so under a lock), and the end of a session waits for them
 * only before it frees the arena, so that the slot's word alone has to decide.
 *
 * Shown: each sending has one winner, which alone touches the request and its
 * unit of the arena while that arena is there, and reads of them what was
 * written before the sending; no completion ends a later sending; a completion
 * in time is not refused; no request ends twice.
 *
 * -DRING leaves out the list of unsent tags and the message that comes back.
 * -DFETCH, with it, defers the data of every request: who drains claims the slot
 * for as long as it copies, and then gives it back. A helper that keeps to the
 * rules completes what the driver has told to be there. Here the end of a
 * session has to wait for its users before it revokes.
 *
 * Mutants (-D):
 *  CLAIM_SPLIT      claim reads, then writes, instead of cmpxchg()
 *  REVOKE_SPLIT     so does revoke
 *  UNSEND_STORE     unsend stores without looking
 *  NO_GENERATION    claim compares the state only
 *  SAME_GENERATION  sending again does not raise the generation
 *  SEND_PLAIN       queue and send store the word without release
 *  POST_FIRST       the descriptor is out before the word says so
 *  END_FIRST        the request is ended before its slot is idle
 *  NO_QUIESCE       revoke does not wait for those who send
 *  NO_REFERENCE     the arena does not wait for completions
 *  TIMEOUT_ENDS     the end of a session ends the request without a claim
 *  FETCH_SPLIT      who fetches reads, then writes, instead of cmpxchg()
 *  TAIL_FIRST       the data is told to be there before the slot is given back
 *  SWEEP_EARLY      revoke does not wait for those who fetch
 */
#ifndef HELPERS
#define HELPERS	2		/* threads that complete */
#endif
#ifndef KILLS
#define KILLS	1		/* whether the session ends */
#endif
#ifdef RING
#define RETRY	0		/* nobody else sends */
#define A_HELPER 1
#else
#define RETRY	1
#define A_HELPER 2
#endif
#define REVOKER	(A_HELPER + HELPERS)
#define FETCHER	(REVOKER + KILLS)
#ifdef FETCH
#define CPUS	(FETCHER + 1)
#else
#define CPUS	FETCHER
#endif
#define DEPTH	3

#define WORD	0		/* torus_slot.word */
#define RQ	1		/* torus_slot.rq */
#define UNIT	2		/* torus_slot.unit */
#define LOCK	3		/* torus_queue.lock */
#define TAG	4		/* of the block layer: 1 when free */
#define POSTED	5		/* newest generation that the helper was told */
#ifdef FETCH
#define FETCHED	6		/* newest whose data is there, as it was told */
#define LOCS	7
#define KNOWN	FETCHED
#else
#define LOCS	6
#define KNOWN	POSTED
#endif

#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef TRIES
#define TRIES	1		/* completions of each thread of the helper */
#endif
#ifndef FAILURES
#define FAILURES 1
#endif

#define ACQUIRED(l)	(l == KNOWN)
#define READ_AHEAD(c, l) (l <= UNIT || (l == KNOWN && c >= A_HELPER && c < REVOKER))

#include "weak.pml"

#define IDLE	0
#define QUEUED	1
#define SENT	2
#define CLAIMED	3
#define pack(generation, state)	((generation) * 4 + (state))
#define generation_of(word)	((word) / 4)
#define state_of(word)		((word) % 4)

#define NOBODY	0		/* the block layer */
#define QUEUE	1
#define HELPER	2
#define OWNER(c) (3 + (c))	/* a processor that may touch the request */

byte holder;			/* of the request in the slot */
byte rq_now, unit_now;		/* what the slot was last queued with */
byte newest;			/* generation */
byte started, ended;		/* requests */
byte requeued;			/* a request that the block layer starts again */
bit listed;			/* torus_queue.unsent, under the lock */
byte failures = FAILURES;

byte session = 1;
bit alive = 1;
bit second;			/* the first thread has begun: they are alike */
byte senders, users;		/* quiescing waits for the former, the arena for both */

#define unit_of(rq, session)	((rq) + 8 * (session))

/* torus_slot_queue() */
inline slot_queue()
{
	atomic {
		load(WORD, word);
		assert(state_of(word) == IDLE);
		assert(holder == NOBODY);
		holder = QUEUE;
		rq_now = rq;
		unit_now = unit_of(rq, session);
		store(RQ, rq_now);
		store(UNIT, unit_now);
		store_word(pack(generation_of(word), QUEUED));
		rq = 0
	}
}

inline store_word(v)
{
#ifdef SEND_PLAIN
	store(WORD, v)
#else
	store_release(WORD, v)
#endif
}

inline post()
{
	store_release(POSTED, generation)
}

/* torus_channel_describe(), then torus_slot_send() */
inline slot_send()
{
	atomic { load(RQ, seen); assert(holder == OWNER(me) && seen == rq_now) };
	atomic { load(UNIT, seen); assert(holder == OWNER(me) && seen == unit_now) };
	atomic {
		load(WORD, word);
		assert(state_of(word) == QUEUED);
#ifdef SAME_GENERATION
		generation = (generation_of(word) == 0 -> 1 : generation_of(word));
#else
		generation = generation_of(word) + 1;
#endif
#ifdef POST_FIRST
		post();
#endif
		newest = generation;
		holder = HELPER;
		store_word(pack(generation, SENT));
		word = 0;
		seen = 0
	}
}

/* torus_queue_push() */
inline push()
{
	atomic { lock(LOCK); assert(!listed); listed = 1; unlock(LOCK) }
}

/* torus_queue_pop() */
inline pop()
{
	atomic {
		lock(LOCK);
		popped = listed;
		listed = 0;
		unlock(LOCK);
		if
		:: popped -> assert(holder == QUEUE); holder = OWNER(me)
		:: else
		fi
	}
}

/* torus_slot_unsend() */
inline slot_unsend()
{
	atomic {
#ifdef UNSEND_STORE
		store(WORD, pack(generation, QUEUED));
		won = 1;
#else
		compare_exchange(WORD, pack(generation, SENT), pack(generation, QUEUED), won);
#endif
		if
		:: won -> assert(holder == HELPER); holder = QUEUE
		:: else
		fi
	}
}

/* torus_channel_send(): with messages send_batch(), else torus_ring_channel_submit() */
inline send()
{
#ifdef RING
	atomic { assert(holder == QUEUE); holder = OWNER(me) };
	slot_send();
#ifndef POST_FIRST
	post();
#endif
#else
	pop();
	if
	:: popped ->
		slot_send();
		if
#ifdef POST_FIRST
		:: true
#else
		:: post()
#endif
		:: failures > 0 -> failures--;
			slot_unsend();
			if
			:: won -> push()
			:: else
			fi
		fi
	:: else
	fi;
	popped = 0;
	won = 0;
#endif
	generation = 0
}

inline queue_rq()
{
	slot_queue();
#ifndef RING
	push();
#endif
	send();
	atomic { senders--; rest() }
}

/* The block layer */
proctype submitter(byte me)
{
	byte rq, word, seen, generation;
	bit won, popped;

	rest();
end:
	do
	:: atomic {
			started < REQUESTS && mem[TAG] == 1 && alive ->
			mem[TAG] = 0;
			resume();
			senders++;
			started++;
			rq = started
		};
		queue_rq()
	:: atomic {
			requeued != 0 && alive ->
			resume();
			senders++;
			rq = requeued;
			requeued = 0
		};
		queue_rq()
	od
}

#ifndef RING
/* retry_work(), with a reference to the session */
proctype retry(byte me)
{
	byte word, seen, generation;
	bit won, popped;

	rest();
end:
	do
	:: atomic { listed && alive && failures < FAILURES -> senders++; resume() };
		send();
		atomic { senders--; rest() }
	od
}
#endif

/* torus_slot_claim() */
inline slot_claim()
{
#ifdef CLAIM_SPLIT
	atomic {
		load(WORD, word);
		won = (word == pack(generation, SENT));
		word = 0
	};
	if
	:: won -> store(WORD, pack(generation, CLAIMED))
	:: else
	fi;
	atomic {
#else
	atomic {
#ifdef NO_GENERATION
		compare_exchange(WORD, pack(generation_of(mem[WORD]), SENT),
				 pack(generation_of(mem[WORD]), CLAIMED), won);
#else
		compare_exchange(WORD, pack(generation, SENT), pack(generation, CLAIMED), won);
#endif
#endif
		if
		:: won ->
			assert(holder == HELPER && generation == newest);
			holder = OWNER(me);
			resume()
		:: else -> assert(!posted || holder != HELPER || generation != newest)
		fi
	}
}

/* torus_slot_idle() */
inline slot_idle()
{
	assert(holder == OWNER(me));
	store(RQ, 0);
	store_release(WORD, pack(generation, IDLE))
}

inline end_request()
{
	assert(holder == OWNER(me));
	holder = NOBODY;
	ended++;
	store_release(TAG, 1)
}

/* finish(); the arena is that of the session that the caller has a reference of */
inline finish()
{
	atomic { load(RQ, seen); assert(holder == OWNER(me) && seen == rq_now) };
	atomic {
		load(UNIT, seen);
		assert(holder == OWNER(me) && seen == unit_now);
		assert(mine == session);
		seen = 0;
#ifdef END_FIRST
	};
	end_request();
	atomic {
		store(RQ, 0);
		store_release(WORD, pack(generation, IDLE))
#else
		slot_idle()
	};
	atomic {
		end_request()
#endif
	}
}

/* A thread of the helper in torus_channel_end() */
proctype completer(byte me)
{
	byte word, seen, generation, mine, tries;
	bit won, posted;

	rest();
end:
	do
	:: atomic {
			tries < TRIES && alive && newest > 0 && (me == A_HELPER || second) ->
			second = 1;
			tries++;
			users++;
			mine = session;
			resume()
		};
		if
		:: atomic {
				load_acquire(KNOWN, generation);
				posted = (generation > 0);
				rest()
			}
		:: atomic { generation = 1; rest() }
		:: atomic { newest > 1 -> generation = newest; rest() }
		:: atomic { newest > 2 -> generation = newest - 1; rest() }
		fi;
		if
		:: generation > 0 -> slot_claim()
		:: else
		fi;
		if
		:: won -> finish()
		:: else
		fi;
		atomic {
			EMPTY(me) ->
			users--;
			won = 0;
			posted = 0;
			mine = 0;
			generation = 0;
			rest()
		}
	od
}

#ifdef FETCH
/* fetch_one(): claim, without a completion that would name the generation */
inline fetch_claim()
{
	atomic { load(WORD, word); generation = generation_of(word); won = 0 };
	if
	:: state_of(word) == SENT && generation > last ->
		last = generation;
		atomic {
#ifdef FETCH_SPLIT
			store(WORD, pack(generation, CLAIMED));
			won = 1;
#else
			compare_exchange(WORD, pack(generation, SENT), pack(generation, CLAIMED), won);
#endif
			if
			:: won -> assert(holder == HELPER); holder = OWNER(me)
			:: else
			fi
		}
	:: else
	fi
}

/* torus_slot_unclaim() */
inline slot_unclaim()
{
	atomic {
		assert(holder == OWNER(me));
		holder = HELPER;
		store_release(WORD, pack(generation, SENT))
	}
}

/* fetch_data(), one at a time, with a reference to the session */
proctype fetcher(byte me)
{
	byte word, seen, generation, mine, tries;
	byte last;		/* the bit of a sending is there but once */
	bit won;

	rest();
end:
	do
	:: atomic {
			tries < TRIES && alive && newest > last ->
			tries++;
			users++;
			mine = session;
			resume()
		};
		fetch_claim();
		if
		:: won ->
			atomic { load(RQ, seen); assert(holder == OWNER(me) && seen == rq_now) };
			atomic {
				load(UNIT, seen);
				assert(holder == OWNER(me) && seen == unit_now && mine == session);
				seen = 0
			};
#ifdef TAIL_FIRST
			store_release(FETCHED, generation);
			slot_unclaim()
#else
			slot_unclaim();
			store_release(FETCHED, generation)
#endif
		:: else
		fi;
		atomic {
			EMPTY(me) ->
			users--;
			won = 0;
			mine = 0;
			word = 0;
			generation = 0;
			rest()
		}
	od
}
#endif

/* torus_slot_revoke() and sweep_request(), for a device that goes on */
inline slot_revoke()
{
	atomic { load(WORD, word); generation = generation_of(word) };
	if
	:: state_of(word) == QUEUED || state_of(word) == SENT ->
		atomic {
#if defined(REVOKE_SPLIT) || defined(TIMEOUT_ENDS)
			store(WORD, pack(generation, CLAIMED));
			won = 1;
#else
			compare_exchange(WORD, word, pack(generation, CLAIMED), won);
#endif
			if
			:: won ->
				assert(holder == QUEUE || holder == HELPER);
				holder = OWNER(me)
			:: else
			fi
		}
	:: else
	fi;
	if
	:: won ->
		atomic {
			load(RQ, seen);
			assert(holder == OWNER(me) && seen == rq_now);
			slot_idle()
		};
#ifdef TIMEOUT_ENDS
		end_request()
#else
		atomic { EMPTY(me) -> holder = NOBODY; requeued = seen }
#endif
	:: else
	fi
}

/* revoke() in lifecycle.c, then activate() */
proctype revoker(byte me)
{
	byte word, seen, generation;
	bit won;

	rest();
	alive = 0;
	atomic {
#ifndef NO_QUIESCE
		senders == 0 && EMPTY(0) && EMPTY(RETRY) ->
#endif
#if defined(FETCH) && !defined(SWEEP_EARLY)
		users == 0 ->
#endif
		resume();
		listed = 0
	};
	slot_revoke();
	rest();
#ifndef NO_REFERENCE
	users == 0;
#endif
	/* Nothing is left with a helper that nobody listens to any more. */
	atomic { EMPTY(me) -> assert(holder != HELPER); session++; alive = 1 }
}

init {
	atomic {
		mem[TAG] = 1;
		run submitter(0);
		run processor(0);
		run completer(A_HELPER);
		run processor(A_HELPER);
#if HELPERS > 1
		run completer(A_HELPER + 1);
		run processor(A_HELPER + 1);
#endif
#if KILLS
		run revoker(REVOKER);
		run processor(REVOKER);
#endif
#ifdef FETCH
		run fetcher(FETCHER);
		run processor(FETCHER);
#endif
#ifndef RING
		run retry(1);
		run processor(1)
#endif
	};
	timeout;
	assert(ended <= started && started <= REQUESTS)
}
