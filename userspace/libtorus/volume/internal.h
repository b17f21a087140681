/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a volume: what its parts are, what each owns, and who may call
 * whom. Included by the files of volume/ only.
 *
 *   volume.c      life of a volume, its states, submit and the turn
 *   attach.c      section 6 of the design: claim, fence, scan, copy, publish,
 *                 replay (attach.h is the border); recover.c, copy.c help it
 *   batch.c       waiting requests -> one record
 *   writer.c      records in flight: append, acknowledge in order, requeue
 *   active.c      chunks with records that are not yet settled everywhere
 *   tail.c        the declared window, its extension, change of ensemble
 *   health.c      which peers may be members of the next ensemble
 *   sync.c        flush, FUA, background sync
 *   sealed.c      the sealed list in the volume's value
 *   sealer.c      SEAL, copies of sealed chunks that have too few
 *   docwriter.c   serialised changes of the volume's value in the metadata
 *   checkpoint.c  fold, write pages, write root, publish
 *   cleaner*.c    moves what is live out of chunks that are mostly garbage
 *   reclaim.c     tells the peers which chunks a published root has freed
 *   pages.c       owner of map and chunk table: loads their pages; applies
 *                 records to them, live and in replay
 *   readpath.c    VOLUME_READ
 *   lease.c       torus/ID/owners/HEX, a hint
 *   detach.c      the orderly end
 *   metacall.c    metadata calls that survive their volume harmlessly
 *
 * States of a volume:
 *
 *   ATTACHING --attach_done(0)--> SERVING --volume_detach()--> DETACHING
 *       |                            |                             |
 *       | attach_done(err)           | volume_fail(why)            | done
 *       v                            v                             v
 *     FAILED <-----------------------+                          DETACHED
 *
 * ATTACHING: attach.c owns doc, epoch, map, table and `end`; requests that
 * are submitted wait. SERVING and DETACHING: the parts own their state;
 * DETACHING differs in that detach.c watches for everything to be finished.
 * FAILED and DETACHED: every request is refused, nothing is sent any more.
 *
 * Rules that hold everywhere:
 *
 * - Callbacks of the front end (request done, failed, state, attach and detach
 *   done) are made by volume.c's turn only, which is a timer: so no part is
 *   ever re-entered from the front end, and volume_free() may be called from
 *   any of those callbacks. A part hands a request back with
 *   volume_finish(request, err), and asks for a turn with volume_kick().
 * - volume_fail() only notes the reason; the turn stops the parts. A part that
 *   called it goes on to a state that is consistent, and returns.
 * - The log order is the truth: map, chunk table, `end` and `durable` change
 *   when records are acknowledged, in the order of their sequence.
 * - One thing writes the volume's value: docwriter. `doc` is what was last
 *   known to be committed there, never what we wish.
 * - xxx_release() of a part may be called at any moment, once, after
 *   xxx_init(); it cancels calls and timers and frees memory.
 */
#ifndef TORUS_VOLUME_INTERNAL_H
#define TORUS_VOLUME_INTERNAL_H

#include "base/error.h"
#include "peer/cluster.h"
#include "volume/active.h"
#include "volume/attach.h"
#include "volume/checkpoint.h"
#include "volume/cleaner.h"
#include "volume/detach.h"
#include "volume/docwriter.h"
#include "volume/health.h"
#include "volume/lease.h"
#include "volume/map.h"
#include "volume/metacall.h"
#include "volume/pages.h"
#include "volume/reader.h"
#include "volume/readpath.h"
#include "volume/readrepair.h"
#include "volume/reclaim.h"
#include "volume/sealer.h"
#include "volume/sync.h"
#include "volume/tail.h"
#include "volume/unaligned.h"
#include "volume/volume.h"
#include "volume/writer.h"

/*
 * A call to a member may take so many replica timeouts in all: the connection
 * may make progress with other things for ever while one call does not.
 */
#define VOLUME_CALL_TIMEOUTS 4

/*
 * A disk that is behind may take this part of io_timeout to make a copy
 * durable, while its peer answers pings: what waits for it still has time to
 * go on without that copy.
 */
#define VOLUME_SYNC_PART 4

enum volume_state {
	VOLUME_ATTACHING,
	VOLUME_SERVING,
	VOLUME_DETACHING,
	VOLUME_DETACHED,
	VOLUME_FAILED,
};

struct volume {
	struct env *env;
	struct meta *meta;
	struct volume_config cfg;	/* defaults filled in */
	enum volume_state state;

	/* Set by attach.c before attach_done(0). */
	struct volume_doc doc;		/* as committed, with mod_revision; from
					 * SERVING on changed by docwriter only */
	uint64_t epoch;			/* ours; 0 until claimed */
	uint32_t min_replicas;		/* from cfg or majority of doc's R */
	struct log_end end;		/* of the acknowledged log */
	uint64_t durable;		/* highest sequence known durable */
	uint64_t log_since_root;	/* bytes between root position and end */
	struct log_position remembered;	/* see volume_remembered() */
	/* Newest record that changes what the volume holds; where the log has
	 * none, what its root is the state of. */
	struct log_position changed;

	/* Made by volume.c before attach_start(). */
	struct cluster *cluster;
	struct metacalls metacalls;	/* pending metadata calls */

	/* Made by volume_open_reader(), which attach.c calls when it has
	 * claimed the volume. */
	struct reader *reader;
	struct readrepair readrepair;

	/* Made by pages_open(), which attach.c calls when it knows the root. */
	struct pages pages;		/* holds map and chunk table */

	struct attach *attach;		/* NULL once it is over */
	struct health health;
	struct docwriter docwriter;
	struct active active;
	struct log_tail tail;
	struct writer writer;
	struct sync sync;
	struct sealer sealer;
	struct checkpoint checkpoint;
	struct cleaner cleaner;
	struct reclaim reclaim;
	struct readpath readpath;
	struct lease lease;
	struct detach detach;

	/* volume.c's own */
	struct unaligned *unaligned;
	struct env_timer turn;
	struct list_head early;		/* requests before SERVING */
	struct list_head finished;	/* requests to be handed back, in order */
	volume_done_fn attached;	/* NULL: nothing is owed */
	void *attached_ctx;
	int attach_err;
	bool attach_over;
	char attach_text[ERROR_TEXT_MAX];
	bool failing;			/* volume_fail() was called */
	bool stopped;			/* and the parts know */
	enum volume_failure why;
	char why_text[256];
	bool failed_told;
	bool state_changed;		/* state_text is owed to the front end */
	char state_text[256];
	bool in_turn;			/* callbacks of the front end are made */
	bool released;			/* volume_free() was called by one */
	struct volume_stats stats;
};

/* Requests carry private fields for the engine; see volume.h. */

/** volume_kick() - ask for a turn soon; cheap, callable from anywhere. */
void volume_kick(struct volume *v);

/** volume_finish() - hand a request back in the next turn. It is on no list. */
void volume_finish(struct volume *v, struct volume_request *req, int err);

/** volume_fail() - the volume can serve no more. Notes the first reason. */
void volume_fail(struct volume *v, enum volume_failure why,
		 const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** volume_say() - a sentence about the state, for people. */
void volume_say(struct volume *v, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** volume_serving() - whether parts may start new work. */
static inline bool volume_serving(const struct volume *v)
{
	return !v->failing && (v->state == VOLUME_SERVING ||
			       v->state == VOLUME_DETACHING);
}

/** volume_seen_epoch() - which the peer has seen: replies to all that a volume
 * asks begin with it. 0: there was no reply. */
static inline uint64_t volume_seen_epoch(const struct peer_call *call)
{
	const __le64 *epoch = call->reply;

	return epoch != NULL ? le64_to_cpu(*epoch) : 0;
}

/** volume_deadline() - when @req has waited for io_timeout, on the env's clock. */
static inline uint64_t volume_deadline(const struct volume *v,
				       const struct volume_request *req)
{
	return req->submitted + v->cfg.io_timeout_ns;
}

/** volume_sync_timeout() - for calls that end when data is durable. */
static inline uint64_t volume_sync_timeout(const struct volume *v)
{
	return v->cfg.io_timeout_ns / VOLUME_SYNC_PART;
}

/** volume_open_reader() - doc and epoch are known. 0 or -ENOMEM. */
int volume_open_reader(struct volume *v);

/** volume_answer() - what a peer's answer means for the volume as a whole:
 * calls volume_fail() if the peer says that we are fenced.
 * Returns call->err, or the errno of its status; 0 = success. */
int volume_answer(struct volume *v, const struct peer_call *call);

#endif
