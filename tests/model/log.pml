// SPDX-License-Identifier: Apache-2.0
/*
 * One volume's log (DESIGN sections 5 and 6): append, ensemble change, fence,
 * recovery, seal and takeover, with old writers that live on behind a
 * partition.
 *
 * Nobody writes into a chunk but the writer that declared it, and numbers are
 * never declared twice. So of a chunk it suffices to know its writer, what it is
 * chained to, how many records its writer made, and how many of them each store
 * has. A message is a record that was made and is
 * not yet there: it may arrive at any time, also after its writer has given up
 * or has ended; an acknowledgement is a look at the store, at any time later.
 *
 * A chunk takes LENGTH records, the last of which says so. A tail is two
 * chunks. The ensemble of a chunk is the first R of the stores from the chunk's
 * number on that the tail does not exclude.
 *
 * Host 0 has the volume first. Its helper may die and come back (takeover, same
 * incarnation) as long as the metadata name it; host 1 takes it away by force.
 * A store may be lost for ever (DEATHS), or lose what it has not synced
 * (POWER), each at any time.
 *
 * Shown: what is acknowledged is part of every log that is recovered later, as
 * the same record (with POWER: what was flushed); a writer acknowledges nothing
 * that its successor's log lacks; what the metadata call sealed can be read; a
 * device never goes sideways.
 *
 * Mutants (-D):
 *  ACK_EARLY        one member less suffices
 *  NO_FENCE         attach does not fence
 *  EPOCH_IGNORED    stores take records of any epoch
 *  ACK_LATE         answers count after L was decided
 *  NO_COMPARE       transactions do not compare the revision
 *  FENCE_ANY        an answer of any store will do
 *  FENCE_FIRST      only the first chunk of the tail is fenced
 *  NO_COPY          what one store has is published as it is
 *  SEAL_UNACKED     L is what was sent, not what was acknowledged
 *  NO_INCARNATION   a takeover does not ask whose the volume is
 *  FLUSH_EARLY      (POWER) a flush does not sync one of the members
 *  RECOVER_NO_SYNC  (POWER) what recovery publishes is not synced
 *  CUT_UNFENCED     (POWER) a sealed chunk is cut without fencing all stores
 *  FLUSH_SHORT      (POWER) one copy of a sealed chunk suffices for a flush
 */
#ifndef WRITERS
#define WRITERS	2		/* attachments, one after another */
#endif
#ifndef STORES
#define STORES	3
#endif
#ifndef R
#define R	2
#endif
#ifndef MIN
#define MIN	2		/* min_replicas */
#endif
#ifndef LENGTH
#define LENGTH	1
#endif
#ifndef RECORDS
#define RECORDS	2		/* sequences 1 to RECORDS */
#endif
#ifndef CHANGES
#define CHANGES	1		/* ensemble changes of the first writer */
#endif
#ifndef DEATHS
#define DEATHS	0
#endif
#ifndef POWER
#define POWER	0
#endif

#define TAIL	2
#define CHUNKS	(TAIL * (WRITERS + CHANGES))
#define NOBODY	STORES
#define OPEN	255

/* Chunks: who declared it, what was made of it, what it follows. */
byte owner[CHUNKS], made[CHUNKS], excluded[CHUNKS];
byte after[CHUNKS], after_length[CHUNKS];

/* Stores: records of each chunk, and of those the durable ones. */
typedef store { byte epoch; bool dead; byte n[CHUNKS]; byte durable[CHUNKS] }
store st[STORES];
byte deaths, losses;

/* The metadata. */
byte epoch, revision, incarnation, next_chunk, first;
byte sealed[CHUNKS], next_of[CHUNKS];

/* What is true, for the assertions. */
byte acked[RECORDS + 1];	/* who acknowledged it; 0 = nobody */
byte flushed;			/* highest sequence of a completed flush */
byte in_log[RECORDS + 1];	/* the log as last published */
byte published;			/* epoch of whoever published it */
bool others_came;		/* host 1 has had the volume */

/* Position p = 0 ... of a store in the order of chunk c. */
#define MEMBER(c, s) (member_rank(c, s) < R)
#define rank_raw(c, s) (((s) + STORES - (c) % STORES) % STORES)
#define member_rank(c, s) ((s) == excluded[c] -> STORES : \
	(rank_raw(c, s) - \
	 (excluded[c] != NOBODY && \
	  rank_raw(c, excluded[c]) < rank_raw(c, s) -> 1 : 0)))

/* A member that cannot answer never will be counted as one that has. */
#define HAS(c, s, len) (!st[s].dead && st[s].n[c] >= (len))
#define MISSING(c, s, len) (MEMBER(c, s) && !HAS(c, s, len))
#define COUNT_MISSING(c, len) ((MISSING(c, 0, len) -> 1 : 0) + \
	(MISSING(c, 1, len) -> 1 : 0) + (MISSING(c, 2, len) -> 1 : 0))
#define COPIES(c, len) ((HAS(c, 0, len) -> 1 : 0) + \
	(HAS(c, 1, len) -> 1 : 0) + (HAS(c, 2, len) -> 1 : 0))
#define SYNCED(c, s, len) (!st[s].dead && st[s].epoch <= e && \
	st[s].durable[c] >= (len))
#define UNSYNCED(c, s, len) (MEMBER(c, s) && !SYNCED(c, s, len))
#define COUNT_UNSYNCED(c, len) ((UNSYNCED(c, 0, len) -> 1 : 0) + \
	(UNSYNCED(c, 1, len) -> 1 : 0) + (UNSYNCED(c, 2, len) -> 1 : 0))
#define COUNT_SYNCED(c, len) ((SYNCED(c, 0, len) -> 1 : 0) + \
	(SYNCED(c, 1, len) -> 1 : 0) + (SYNCED(c, 2, len) -> 1 : 0))

#ifdef ACK_EARLY
#define ALL_HAVE(c, len) (COUNT_MISSING(c, len) <= 1)
#else
#define ALL_HAVE(c, len) (COUNT_MISSING(c, len) == 0)
#endif
#ifdef FLUSH_EARLY
#define ALL_SYNCED(c, len) (COUNT_UNSYNCED(c, len) <= 1)
#else
#define ALL_SYNCED(c, len) (COUNT_UNSYNCED(c, len) == 0)
#endif
#ifdef FLUSH_SHORT
#define FLUSH_COPIES 1
#else
#define FLUSH_COPIES MIN
#endif
#ifdef NO_COMPARE
#define UNCHANGED(rev) true
#else
#define UNCHANGED(rev) (revision == (rev))
#endif
#ifdef EPOCH_IGNORED
#define ADMITTED(s, c) true
#else
#define ADMITTED(s, c) (st[s].epoch <= owner[c])
#endif

/* A new tail of @e without the store @x, behind record @l of chunk @k. */
inline declare(e, x, k, l)
{
	first = next_chunk;
	j = 0;
	do
	:: j < TAIL ->
		owner[next_chunk + j] = e;
		excluded[next_chunk + j] = x;
		sealed[next_chunk + j] = OPEN;
		after[next_chunk + j] = (j == 0 -> k : next_chunk + j - 1);
		after_length[next_chunk + j] = (j == 0 -> l : LENGTH);
		j++
	:: else -> break
	od;
	next_chunk = next_chunk + TAIL;
	revision++;
	j = 0
}

/* The old tail is over: chunk @k ends at @l and leads to the next tail, those
 * before it are full, those behind it hold nothing. */
inline seal_tail(k, l)
{
	j = first;
	do
	:: j < next_chunk ->
		if
		:: sealed[j] != OPEN
		:: else ->
			sealed[j] = (j < k -> LENGTH : (j == k -> l : 0));
			next_of[j] = (j < k -> j + 1 : next_chunk)
		fi;
		j++
	:: else -> break
	od;
	j = 0
}

/*
 * What nobody commands: messages arrive, in the order of each chunk; stores
 * learn what was sealed, sync, die, and lose power.
 */
proctype world()
{
	byte s, c;

end:	do
	:: atomic {
		s = 0;
		do
		:: s < STORES - 1 -> s++
		:: break
		od;
		c = 0;
		do
		:: c + 1 < next_chunk -> c++
		:: break
		od;
		if
		/* A message. A sealed copy takes no more. */
		:: MEMBER(c, s) && !st[s].dead && st[s].n[c] < made[c] &&
		   ADMITTED(s, c) ->
			st[s].n[c] = st[s].n[c] + 1
		/* SEAL: a longer copy is cut. */
		:: sealed[c] != OPEN && st[s].n[c] > sealed[c] ->
			st[s].n[c] = sealed[c];
			if
			:: st[s].durable[c] > sealed[c] ->
				st[s].durable[c] = sealed[c]
			:: else
			fi
#if POWER
		:: st[s].durable[c] < st[s].n[c] ->
			st[s].durable[c] = st[s].n[c]
		:: losses < POWER && st[s].durable[c] < st[s].n[c] ->
			/* Each file loses what it loses. */
			losses++;
			st[s].n[c] = st[s].durable[c]
#endif
#if DEATHS
		:: deaths < DEATHS && !st[s].dead ->
			deaths++;
			st[s].dead = true
#endif
		:: else
		fi;
		s = 0;
		c = 0
	   }
	od
}

/* FENCE at store @s, which tells how much it has of chunk @c. */
inline ask(s)
{
	if
	:: st[s].dead || st[s].epoch > e
	:: else ->
#ifndef NO_FENCE
		if
#ifdef FENCE_FIRST
		:: c != first
#endif
		:: else -> st[s].epoch = e
		fi;
#endif
		answers++;
		length = (st[s].n[c] > length -> st[s].n[c] : length)
	fi
}

/* Records of the log in front of which (@c, @length) ends, and who wrote them. */
inline publish_log()
{
	k = 0;
	j = 0;
	last = 0;
	do
	:: k == next_chunk || k == first -> break
	:: else ->
		j = 0;
		do
		:: j < sealed[k] -> last++; in_log[last] = owner[k]; j++
		:: else -> break
		od;
		k = next_of[k]
	od;
	j = last + 1;
	do
	:: j <= RECORDS -> in_log[j] = 0; j++
	:: else -> break
	od;
	j = 1;
	do
	:: j <= RECORDS ->
#if POWER
		assert(j > flushed || in_log[j] == acked[j]);
		acked[j] = (in_log[j] == acked[j] -> acked[j] : 0);
#else
		assert(!acked[j] || in_log[j] == acked[j]);
#endif
		j++
	:: else -> break
	od;
	published = e;
	j = 0;
	k = 0
}

proctype writer(byte host)
{
	byte e, rev, c, length, answers, s, j, k, last;
	byte w, a, ac, ai, changes;
	byte base, end;		/* the tail as it was read or declared */
	bool decided;

	/* Claim: the epoch grows. A helper that comes back finds its own name. */
	atomic {
		if
		:: host == 1 -> others_came = true
#ifdef NO_INCARNATION
		:: host == 0
#else
		:: host == 0 && incarnation == 0
#endif
		   -> assert(!others_came)
		:: goto done
		fi;
		incarnation = host;
		epoch++;
		e = epoch;
		revision++;
		rev = revision;
		base = first;
		end = next_chunk
	}

	/* Fence and walk. */
	do
	:: atomic { c >= base -> break }
	:: atomic { c < base ->
		length = 0;
		s = 0;
		do
		:: s < STORES ->
			length = (!st[s].dead && st[s].n[c] > length ->
				  st[s].n[c] : length);
			s++
		:: else -> break
		od;
		s = 0;
#if POWER
		/* Lost with the power of all that had it: it ends there. All
		 * stores have to say so, and are fenced. */
		if
		:: length < sealed[c] ->
			do
			:: s < STORES && st[s].epoch <= e ->
#ifndef CUT_UNFENCED
				st[s].epoch = e;
#endif
				s++
			:: s < STORES && st[s].epoch > e -> goto done
			:: s == STORES -> s = 0; goto publish
			od
		:: else
		fi;
#else
		assert(length >= sealed[c]);
#endif
		length = sealed[c];
		assert(!made[next_of[c]] || (after[next_of[c]] == c &&
					     after_length[next_of[c]] == length));
		c = next_of[c]
	   }
	od;
	do
	:: atomic { c < end ->
		answers = 0;
		length = 0;
		s = 0 }
		/* Some of them answer, in any order, one at least. */
		do
		:: s < STORES ->
			atomic {
				if
#ifdef FENCE_ANY
				:: true
#else
				:: MEMBER(c, s)
#endif
				   -> ask(s)
				:: true
				fi;
				s++
			}
		:: else -> break
		od;
		atomic {
			s = 0;
			if
			:: !answers -> goto done
			:: answers && length == LENGTH && c + 1 < end ->
				c++
			:: else -> goto publish
			fi
		}
	:: atomic { c >= end -> break }
	od;

publish:
	/* Enough copies of what is published. */
#ifndef NO_COPY
	atomic {
		k = (c < base -> c : base);
		do
		:: k < end && k <= c ->
			answers = (k < c -> LENGTH : length);
			s = 0;
			do
			:: s < STORES && COPIES(k, answers) < MIN &&
			   !st[s].dead && st[s].epoch <= e ->
				st[s].n[k] = (st[s].n[k] < answers -> answers :
					      st[s].n[k]);
				s++
			:: s < STORES && COPIES(k, answers) < MIN &&
			   (st[s].dead || st[s].epoch > e) -> s++
			:: s < STORES && COPIES(k, answers) >= MIN -> s = STORES
			:: s >= STORES -> break
			od;
			s = 0;
			if
			:: COPIES(k, answers) < MIN -> goto done
			:: else
			fi;
#if POWER
#ifndef RECOVER_NO_SYNC
			do
			:: s < STORES ->
				if
				:: HAS(k, s, answers) && st[s].durable[k] < answers ->
					st[s].durable[k] = answers
				:: else
				fi;
				s++
			:: else -> break
			od;
			s = 0;
#endif
#endif
			k++
		:: else -> break
		od;
		k = 0;
		answers = 0
	}
#endif
	atomic {
		if
		:: UNCHANGED(rev) ->
			if
			:: c < base ->
				/* Later entries go. */
				sealed[c] = length;
				next_of[c] = next_chunk
			:: else
			fi;
			seal_tail(c, length);
#if POWER && !DEATHS
			k = base;
			do
			:: k < end && k <= c ->
				assert(COUNT_SYNCED(k, sealed[k]) >= MIN);
				k++
			:: else -> break
			od;
#endif
			declare(e, NOBODY, c, length);
			publish_log();
			rev = revision;
			w = last;
			a = last;
			last = 0;
			base = first;
			c = base;
			ac = base;
			ai = 0;
			length = 0
		:: else -> goto done
		fi
	}

	/* Write. */
	do
	:: atomic { w < RECORDS && w - a < TAIL * LENGTH && !decided &&
		    made[c] < LENGTH ->
		made[c]++;
		w++
	   }
	:: atomic { made[c] == LENGTH && c + 1 < base + TAIL && !decided ->
		c++
	   }
#ifdef ACK_LATE
	:: atomic { ai < made[ac] && ALL_HAVE(ac, ai + 1) ->
#else
	:: atomic { !decided && ai < made[ac] && ALL_HAVE(ac, ai + 1) ->
#endif
		ai++;
		a++;
#if !POWER
		assert(!acked[a] || acked[a] == e);
		if
		:: published > e -> assert(in_log[a] == e)
		:: else -> in_log[a] = e
		fi;
		acked[a] = e;
#else
		if
		:: published == e -> in_log[a] = e; acked[a] = e
		:: else
		fi;
#endif
	   }
	:: atomic { ai == LENGTH && ac < c && !decided -> ac++; ai = 0 }
#if POWER
	/* A flush: what this writer wrote is durable where it has to be. */
	:: atomic { !decided && flushed < a ->
		answers = 1;
		j = 0;
		do
		:: j < next_chunk ->
			if
			:: j < base ->
				k = (j == after[base] -> after_length[base] :
				     LENGTH)
			:: else -> k = (j < ac -> LENGTH : ai)
			fi;
			if
			:: owner[j] == e && j <= after[base] && j < base &&
			   COUNT_SYNCED(j, k) < FLUSH_COPIES -> answers = 0
			:: j >= base && j <= ac && !ALL_SYNCED(j, k) ->
				answers = 0
			:: else
			fi;
			j++
		:: else -> break
		od;
		j = 0;
		k = 0;
		if
		:: answers ->
			answers = 0;
			assert(published == e || in_log[a] == e);
			flushed = a
		:: else
		fi
	   }
#endif
	/* A member has failed: no later answer counts. */
	:: atomic { !decided && e == 1 && changes < CHANGES -> decided = true;
#ifdef SEAL_UNACKED
		length = made[ac]
#else
		length = ai
#endif
	   }
	:: atomic { decided ->
		if
		:: UNCHANGED(rev) ->
			s = 0;
			do
			:: s < STORES - 1 -> s++
			:: MEMBER(ac, s) -> break
			od;
			seal_tail(ac, length);
			declare(e, s, ac, length);
			rev = revision;
			s = 0;
#ifdef SEAL_UNACKED
			a = a + length - ai;
#endif
			/* What was not acknowledged is made once more. */
			base = first;
			c = base;
			j = w - a;
			made[c] = (j < LENGTH -> j : LENGTH);
			j = j - made[c];
			if
			:: j -> c++; made[c] = j
			:: else
			fi;
			j = 0;
			ac = base;
			ai = 0;
			length = 0;
			decided = false;
			changes++
		:: else -> goto done
		fi
	   }
	:: atomic { true -> goto done }
	od;
done:	skip
}

init
{
	byte i;

	atomic {
		run world();
		run writer(0);
		i = 1;
		do
		:: i < WRITERS ->
			if
			:: run writer(0)
			:: run writer(1)
			fi;
			i++
		:: else -> break
		od;
		i = 0
	}
}
