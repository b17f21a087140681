/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a prefix of one chunk from peers that have it to one that lacks it,
 * record by record, verified, then durable by SEAL. Used by recovery (before
 * anything is served) and by sync (a sealed chunk that is short of copies).
 */
#ifndef TORUS_VOLUME_COPY_H
#define TORUS_VOLUME_COPY_H

#include <stdint.h>

#include "base/uuid.h"

struct volume;
struct copy;

struct copy_job {
	uint64_t chunk;
	uint32_t length;		/* blocks, a record boundary */
	uint32_t end_crc;		/* header crc of the record that ends there */
	const struct uuid *source;	/* peers that have it, best first */
	uint32_t source_count;
	struct uuid target;
	uint32_t *bad_block;		/* set with -EBADMSG; may be NULL */
	/*
	 * 0: the target has [0, length), and it is durable (SYNC) there.
	 * -EBADMSG: every source answered, and none has good bytes of the
	 * record at *bad_block; -EIO: no source has them that could be asked;
	 * -ENOSPC; -ESTALE (fenced); or what the connection to the target
	 * said.
	 */
	void (*done)(void *ctx, int err);
	void *ctx;
};

/**
 * copy_start() - start; the target's own valid prefix is kept and continued
 * when it belongs to the same chain. Reads and appends carry v->epoch.
 * Returns the copy (freed by itself after done()), or NULL: out of memory.
 */
struct copy *copy_start(struct volume *v, const struct copy_job *job);

/** copy_cancel() - done() does not follow. */
void copy_cancel(struct copy *copy);

#endif
