/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between front ends and engine: requests in multiples of 512 bytes on one
 * side, of BLOCK_SIZE on the other. A write or zero that begins or ends inside
 * a block costs a read-modify-write of that block, serialised with every other
 * change of it; trims round inwards. The engine's submit function passes each
 * request through here and gets only aligned ones back.
 */
#ifndef TORUS_VOLUME_UNALIGNED_H
#define TORUS_VOLUME_UNALIGNED_H

#include "volume/volume.h"

struct unaligned;

struct unaligned_config {
	/*
	 * An aligned request for the engine. Its done() follows, never from
	 * inside, and may submit again. It counts as submitted when the
	 * request of the front end was that it is a part of.
	 */
	void (*submit)(void *ctx, struct volume_request *req);
	/* Give a request of the front end back with @err, not from inside. */
	void (*finish)(void *ctx, struct volume_request *req, int err);
	void *ctx;
};

/** unaligned_new() - NULL: out of memory. */
struct unaligned *unaligned_new(const struct unaligned_config *cfg);

/** unaligned_free() - no done() is called; the engine drops the requests that
 * it got from here too. */
void unaligned_free(struct unaligned *unaligned);

/**
 * unaligned_submit() - a request from the front end, offset and length checked
 * against the volume's size and multiples of 512. done() follows, never from
 * inside.
 */
void unaligned_submit(struct unaligned *unaligned, struct volume_request *req);

/** unaligned_idle() - no request is between submit and done. Aligned reads
 * and flushes are not counted: they pass straight through. */
bool unaligned_idle(const struct unaligned *unaligned);

#endif
