/* SPDX-License-Identifier: Apache-2.0 */
/* Between recover.c (directories) and recover_chain.c (one unsealed chunk). */
#ifndef TORUS_STORE_RECOVER_H
#define TORUS_STORE_RECOVER_H

#include "store/open.h"
#include "store/private.h"

/** store_chain_recover() - read the chain of an unsealed chunk with a live
 * part; counts in open->pending until store_chain_ended(). */
void store_chain_recover(struct store_chunk *chunk);

/** store_chain_ended() - one of open->pending is over. */
void store_chain_ended(struct store *store);

/** store_chains_release() - free those under way. */
void store_chains_release(struct store_open *open);

/** store_set_aside() - plan to move @dir/@name to aside/, and say so. */
void store_set_aside(struct store *store, const char *dir, const char *name,
		     const char *why);

#endif
