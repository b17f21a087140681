/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the volume may contain: the history of client operations, and the
 * checks of DESIGN's invariants 2 to 4 against it. The unit is a sector of 512
 * bytes; each write fills its sectors with the sector's number and the
 * operation's, so that a stale or misplaced one is recognised.
 */
#ifndef TORUS_SIM_MODEL_H
#define TORUS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "volume/volume.h"

#define SECTOR 512u
#define BLOCK_SECTORS (BLOCK_SIZE / SECTOR)

struct model;

enum model_state {
	OP_FLIGHT,
	OP_ACKED,
	OP_FAILED,		/* may still be there after a recovery */
	OP_SETTLED,		/* a recovery has decided about it */
};

struct model_op {
	enum volume_op type;
	bool fua;
	bool loose;		/* its place in the log order is not known */
	bool lost;		/* SETTLED: surely not in the volume */
	bool acked;
	bool durable;		/* flushed: no recovery may miss it */
	bool late;		/* acknowledged after a takeover, before the check */
	enum model_state state;
	uint32_t owner;		/* which attachment */
	uint64_t first, count;	/* sectors */
	uint64_t submitted, done;	/* virtual time */
	uint32_t base;		/* recoveries before it was submitted */
};

/* Called with a sentence when an invariant is broken; may return. */
typedef void (*model_fail_fn)(void *ctx, const char *what);

struct model *model_new(uint64_t sectors, model_fail_fn fail, void *ctx);
void model_free(struct model *m);

/** model_fill() - the contents that operation @id writes to @sector. All
 * memory given to the model is aligned to 8 bytes. */
void model_fill(uint64_t sector, uint32_t id, void *buf);

/**
 * model_submit() - a client operation begins; returns its id, from 1.
 * @owner is the number of the attachment, which model_attached() made known.
 */
uint32_t model_submit(struct model *m, uint32_t owner,
		      const struct volume_request *req, uint64_t now);

/** model_done() - it ended. For reads see model_read_done(). */
void model_done(struct model *m, uint32_t id, int err, uint64_t now);

/* A read remembers what was there when it began. Memory is the caller's. */
struct model_read {
	uint32_t owner, oldest;
	uint64_t first, count, submitted;
	uint32_t *before;	/* room for @count, the caller's */
};
void model_read_begin(struct model *m, struct model_read *r, uint32_t owner,
		      uint64_t now);
void model_read_done(struct model *m, const struct model_read *r,
		     const void *data);

/** model_power_loss() - a store lost unsynced bytes: what was acknowledged
 * before and not flushed may be gone after the next recovery. @wide: so many
 * did that this holds for everything that is not flushed by then. */
void model_power_loss(struct model *m, uint64_t now, bool wide);

/** model_attached() - @owner has the volume now: acknowledgements to others
 * count only for what it finds. */
void model_attached(struct model *m, uint32_t owner, uint64_t now);

/** model_survived() - it is for a device that survived, whose attachments so
 * far are @first and later ones: what it was told must be found (invariant 5). */
void model_survived(struct model *m, uint32_t first);

/**
 * model_rebuilt() - the metadata were rebuilt from the stores. The next recovery
 * may find writes that were never acknowledged and that an earlier one had cut
 * off, as long as nothing was found since that followed in the log: only records
 * tell the stores where it went on.
 */
void model_rebuilt(struct model *m);

/**
 * model_detached() - @owner detached in order: everything that it was
 * acknowledged is durable.
 */
void model_detached(struct model *m, uint32_t owner);

/**
 * model_recovered() - the whole volume as the new owner reads it, before it
 * writes anything: it must be the state after a prefix of the log that holds
 * everything that must be there.
 */
void model_recovered(struct model *m, const void *volume);

/** model_op() - for messages and tests. */
const struct model_op *model_op(const struct model *m, uint32_t id);

#endif
