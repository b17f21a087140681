/* SPDX-License-Identifier: Apache-2.0 */
/* The seal of an open copy that missed its SEAL, where it is known how much of
 * the chunk counts: by the maintenance of this store, without a writer. */
#ifndef TORUS_STORE_OWN_SEAL_H
#define TORUS_STORE_OWN_SEAL_H

#include "store/chain.h"
#include "store/chunk.h"
#include "store/journal.h"

struct store_own_seal {
	/* in */
	struct store_chunk *chunk;	/* held by the caller until done() */
	uint32_t end_crc;		/* that others have; 0: not known */
	/*
	 * 0: it is sealed. -EUCLEAN: what counts is damaged, and the copy is
	 * bad now, durably. -ECANCELED: it is not known any more how much
	 * counts. -EAGAIN: not all of that is here. -EILSEQ: no record ends
	 * there, or not with that CRC. -EBUSY: something else has the chunk in
	 * hand. -EIO, -ENOMEM.
	 */
	void (*done)(struct store_own_seal *seal, int err);
	/* private */
	uint64_t epoch;
	uint32_t length;
	struct store_walk walk;
	struct store_chunk_idle_wait idle;
	struct store_durable_wait durable;
	struct store_journal_entry entry;
};

/** store_own_seal() - begin; seal->done() follows, perhaps from inside. */
void store_own_seal(struct store_own_seal *seal);

#endif
