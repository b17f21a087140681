/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as the maintenance in the same process sees it (maint/maint.h):
 * its copies of chunks, without the detour of a
 * connection. All done() functions come from the loop, never from inside.
 */
#ifndef TORUS_STORE_MAINTAIN_H
#define TORUS_STORE_MAINTAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "wire/proto.h"
#include "wire/record.h"

struct store;

struct store_copy {
	uint64_t volume, chunk;
	uint64_t epoch;			/* that sealed it; 0: not sealed */
	uint32_t length;		/* blocks */
	uint32_t end_crc;
	enum wire_copy_state state;	/* SEALED, BAD or OPEN */
	uint32_t settled;		/* store_copy_settle(); 0: not known */
	uint32_t settled_crc;		/* of its last record; 0: not known */
	uint64_t settled_epoch;
};

/**
 * store_copy_next() - the first copy strictly after (@volume, @chunk), whatever
 * its state, except for those that are being deleted. Returns false at the end.
 */
bool store_copy_next(const struct store *store, uint64_t volume, uint64_t chunk,
		     struct store_copy *copy);

/* The newest of a volume that this store has seen, in requests and headers. */
struct store_volume_seen {
	uint64_t epoch;
	block_addr_t root;		/* 0: none */
	bool tombstone;			/* the volume is deleted; epoch is ~0 */
};

/** store_volume_seen() - zeros for a volume that is not known here. */
void store_volume_seen(const struct store *store, uint64_t volume,
		       struct store_volume_seen *seen);

/** store_copy_get() - that copy; false: there is none. */
bool store_copy_get(const struct store *store, uint64_t volume, uint64_t chunk,
		    struct store_copy *copy);

/**
 * store_copy_settle() - a root that was published counts on @blocks of that
 * chunk, and its log goes on in a higher one: nobody will look for the log's end
 * in it any more. So an unsealed copy gives way to a sealed one of that length
 * or longer, whoever has asked for it; or store_copy_seal() makes it one itself.
 * @end_crc: of the last of these records; 0: not known.
 * @epoch: of the value that names the root; no effect where a later one was
 * seen. Kept until the next start, or until a
 * later epoch comes: a person may have gone back to an older root. What is said
 * later counts: who attaches after a loss of power may find less of a chunk than
 * the sealed list says, and has the list say so then, in the same epoch. Returns
 * true: there is an unsealed copy here, of which that was not known.
 */
bool store_copy_settle(struct store *store, uint64_t volume, uint64_t chunk,
		       uint32_t blocks, uint32_t end_crc, uint64_t epoch);

/* What the store tells, from inside itself: remember it, and come back later
 * from a timer. Any may be NULL. */
struct store_events {
	/* This copy is sealed now, was found bad, or is gone (state NONE). */
	void (*copy_changed)(void *ctx, const struct store_copy *copy);
	/*
	 * RESTORE was refused because of an unsealed copy that somebody may
	 * count on: store_copy_settle() would know. May come often.
	 */
	void (*unsettled)(void *ctx, uint64_t volume, uint64_t chunk);
	/* CHECK came. */
	void (*check)(void *ctx, uint64_t volume, uint64_t chunk,
		      uint32_t flags);
	/*
	 * MAINTENANCE came: do it, and fill in @reply and at most @max
	 * @findings. Returns how many; reply->count is set by the store.
	 */
	uint32_t (*maintenance)(void *ctx, enum wire_maintenance_action action,
				struct wire_maintenance_reply *reply,
				struct wire_finding *findings, uint32_t max);
};

/** store_set_events() - @events stays the caller's; NULL: tell nobody. Without
 * maintenance() MAINTENANCE answers EINVAL. */
void store_set_events(struct store *store, const struct store_events *events,
		      void *ctx);

/** store_set_ring_version() - what answers to LOOKUP say. */
void store_set_ring_version(struct store *store, uint64_t version);

/** store_space_state() - near full and full by the thresholds of the
 * configuration; full also where the reserve begins. */
enum wire_space_state store_space_state(const struct store *store);

/** store_has_clients() - volumes have moved 64 KiB within two seconds, less than
 * two seconds ago. */
bool store_has_clients(const struct store *store);

/* ---- operations on one copy ------------------------------------------- */

/*
 * Memory is the caller's and stays until done() or store_copy_cancel(). @err:
 * 0, -ENOENT (no such copy, or gone meanwhile), -EUCLEAN (the copy is bad),
 * -EAGAIN (not sealed, or anew meanwhile), -ERANGE (beyond its length), -EBUSY
 * (it is being deleted or replaced), -EIO, -ENOMEM, -ESHUTDOWN (the store is
 * being closed).
 */
struct store_copy_op {
	/* in */
	uint64_t volume, chunk;
	void (*done)(struct store_copy_op *op, int err);
	void *ctx;
	/*
	 * read: so many blocks, at most STORE_COPY_READ_MAX, from @block on, into
	 * @buffer, which can be freed by free(): store_copy_cancel() leaves it
	 * to the store. Else NULL.
	 */
	uint32_t block, blocks;
	void *buffer;
	/*
	 * delete: asked from inside the call, and again in the step that
	 * unlinks, when nothing can come between; false ends it with -ECANCELED
	 * and the copy stays. May be NULL. From the first true on LOOKUP says
	 * that there is no copy here.
	 */
	bool (*still)(struct store_copy_op *op);
	/* seal: CRC of its last record as others have it; 0: not known */
	uint32_t end_crc;
	/* verify: bytes/s that are read at most; 0 = no limit */
	uint64_t rate;
	/*
	 * verify, out: with -EUCLEAN what is wrong. The copy was marked bad,
	 * durably.
	 */
	struct wire_finding finding;
	uint64_t verified;		/* bytes read, also so far */
	/* private */
	void *work;
	struct list_head node;
	int err;
};
#define STORE_COPY_READ_MAX WIRE_RESTORE_MAX

/** store_copy_read() - a piece of a copy that is sealed. */
void store_copy_read(struct store *store, struct store_copy_op *op);

/** store_copy_verify() - every CRC of a sealed copy, headers and payload,
 * against its chain and against (length, end_crc). */
void store_copy_verify(struct store *store, struct store_copy_op *op);

/**
 * store_copy_seal() - an open copy, at what store_copy_settle() said, which is
 * read first, whole. 0; -EALREADY: it is sealed; -EAGAIN: not all of that is
 * here; -ECANCELED: what counts of it is not known (any more); -EILSEQ: no
 * record ends there, or another one; -EUCLEAN: it is bad, or was found to be.
 */
void store_copy_seal(struct store *store, struct store_copy_op *op);

/** store_copy_delete() - one that does not belong here, whatever its state. */
void store_copy_delete(struct store *store, struct store_copy_op *op);

/**
 * store_copy_cancel() - done() does not come any more, and @op is the caller's;
 * the buffer of a read is the store's, which frees it. A deletion that has not
 * unlinked anything yet is called off if it has a still(), and goes on if not.
 */
void store_copy_cancel(struct store *store, struct store_copy_op *op);

#endif
