/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The volume engine: one attached volume = one log = one writer. Front ends
 * (the kernel channel, the nbdkit plugin, the simulator) submit requests; the
 * engine batches them into records, replicates these, and completes the
 * requests in record order.
 */
#ifndef TORUS_VOLUME_VOLUME_H
#define TORUS_VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/uuid.h"
#include "env/env.h"
#include "meta/meta.h"
#include "meta/schema.h"

struct volume;

enum volume_op { VOLUME_READ, VOLUME_WRITE, VOLUME_FLUSH, VOLUME_TRIM,
		 VOLUME_ZERO };

#define VOLUME_IO_MAX	(1u << 20)	/* bytes of one read or write */
#define VOLUME_TRIM_MAX	(1ull << 30)	/* bytes of one trim or zero */

/*
 * Memory and buffer belong to the submitter, and must stay in place until
 * done(). Offsets and lengths are multiples of 512; what is not a multiple of
 * BLOCK_SIZE costs a read-modify-write, serialised per block. Trims round
 * inwards to blocks, zeroes are exact.
 */
struct volume_request {
	enum volume_op op;
	bool fua;			/* WRITE, ZERO */
	uint64_t offset;		/* bytes */
	uint64_t length;		/* bytes */
	void *buffer;			/* READ, WRITE */
	/*
	 * @err: 0, -EIO, -ENOSPC, -ETIMEDOUT, -ESTALE (fenced: another writer
	 * has the volume; the front end says LOST). Completions of writes and
	 * flushes come in record order.
	 */
	void (*done)(struct volume_request *req, int err);
	void *ctx;
	struct list_head node;		/* private from here on */
	uint64_t sequence;		/* of the record that ends it; FLUSH:
					 * the last one that it covers */
	uint64_t submitted;
	uint32_t header_crc;		/* of a change: that record's */
	uint32_t progress;		/* blocks that are in a record already */
	int err;
	void *engine;
};

/* What the kernel must remember of a completion (invariant 5). */
struct log_position {
	uint64_t sequence;		/* 0 = none yet */
	uint32_t header_crc;
};

enum volume_failure {
	VOLUME_FENCED,			/* somebody else attached */
	VOLUME_LOST_DATA,		/* acknowledged data is gone everywhere */
	VOLUME_META_CONFLICT,		/* the volume's key was changed by others */
	VOLUME_OUT_OF_MEMORY,		/* for the map */
};

struct volume_ops {
	/* The volume can serve no more; requests from now on fail. Once. */
	void (*failed)(void *ctx, enum volume_failure why);
	/* A state for people changed: degraded, waiting for peers, healthy. */
	void (*state)(void *ctx, const char *sentence);
};

#define CLEAN_NEVER	100u

struct volume_config {
	char name[VOLUME_NAME_MAX];
	bool read_only;
	bool force;			/* take the attachment from its owner */
	bool from_maintenance;		/* take over from another torusd, too,
					 * but from nobody else */
	struct attachment attachment;	/* host, pid, device, incarnation */
	/*
	 * A surviving device (DESIGN 6.5): the recovered log must contain this
	 * record and the metadata must still name the incarnation.
	 */
	bool surviving;
	struct log_position remembered;
	uint64_t replica_timeout_ns;	/* 0 = defaults of DESIGN 12 */
	uint64_t io_timeout_ns;
	uint32_t min_replicas;		/* 0 = majority */
	uint64_t map_cache_bytes;
	uint64_t overlay_bytes;
	uint64_t checkpoint_log_bytes;	/* log since the last root */
	uint64_t checkpoint_lag_ns;	/* that the root may be in an earlier
					 * chunk than the log's end; 0 = 1 h */
	uint64_t tail_chunks;		/* declared ahead; 0 = 16, or 120 s at
					 * the recent rate */
	uint64_t sync_interval_ns;	/* 0 = 5 s */
	/* Part of the stored bytes that may be garbage before the cleaner
	 * runs, in percent, 1 to 90; 0 = 25; CLEAN_NEVER: it does not run. */
	uint32_t clean_threshold;
	const struct volume_ops *ops;
	void *ctx;
};

/* @err: 0, -ENOENT, -EBUSY (attached elsewhere; the text says by whom),
 * -ESTALE, -EUCLEAN (log shorter than it must be), -ETIMEDOUT ... */
typedef void (*volume_done_fn)(void *ctx, int err);

/**
 * volume_attach() - DESIGN section 6, steps 1 to 4; serves after @done(0).
 * @env, @meta outlive the volume. Returns NULL when out of memory.
 * After an error the caller calls volume_free().
 */
struct volume *volume_attach(struct env *env, struct meta *meta,
			     const struct volume_config *cfg,
			     volume_done_fn done, void *ctx);

/** volume_submit() - done() always follows, never from inside. */
void volume_submit(struct volume *volume, struct volume_request *req);

/**
 * volume_detach() - finish what is in flight, checkpoint, seal, remove the
 * attachment. No request may be submitted after the call.
 */
void volume_detach(struct volume *volume, volume_done_fn done, void *ctx);

/** volume_free() - drop everything at once (a crash, to the cluster); done()
 * functions of requests in flight are not called. */
void volume_free(struct volume *volume);

const struct volume_doc *volume_doc(const struct volume *volume);
uint64_t volume_size(const struct volume *volume);

/** volume_acknowledged() - highest record acknowledged in order of those that
 * change what the volume holds, to be given to the kernel with completions. */
struct log_position volume_acknowledged(const struct volume *volume);

/**
 * volume_remembered() - the record that attaching found in the log at the
 * sequence of cfg.remembered. Sequence 0: what was read of the log begins
 * after it, since the root is newer; that root was published under the same
 * incarnation, or the attachment would not have been granted.
 */
struct log_position volume_remembered(const struct volume *volume);

struct volume_stats {
	uint64_t reads, writes, flushes, trims, read_bytes, written_bytes;
	uint64_t records, record_bytes, header_bytes, map_page_bytes;
	uint64_t checkpoints, ensemble_changes, read_retries, crc_errors;
	uint64_t log_bytes_since_root, overlay_bytes;
	uint64_t hedged_reads, hedge_wins;	/* asked of a second peer; and
						 * that one was sooner */
	uint64_t read_repairs;			/* peers told that a copy of
						 * theirs is bad or missing */
	/* Of the chunks of the volume, one copy; live is an estimate, garbage
	 * is all else, headers included. */
	uint64_t stored_bytes, live_bytes, garbage_bytes;
	uint64_t relocated_bytes;	/* by the cleaner, since attach */
	uint64_t cleaned_chunks;	/* freed by it, since attach */
};
void volume_stats(const struct volume *volume, struct volume_stats *stats);

/** volume_log_stats() - the same for people, and the recent latencies of each
 * peer, into the log. */
void volume_log_stats(const struct volume *volume);

#endif
