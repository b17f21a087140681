/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document of a volume of which only the id is known, which is all that a
 * store's copies say: its name is looked up first.
 */
#ifndef TORUS_MAINT_FETCH_H
#define TORUS_MAINT_FETCH_H

#include <stdint.h>

#include "meta/schema.h"
#include "volume/metacall.h"

struct volume_fetch {
	/* Set by the caller, who keeps this until done, or until its metacalls
	 * are released. */
	struct metacalls *calls;
	const struct uuid *cluster;
	uint64_t volume;
	/* @doc is valid in the call alone; NULL with err 0: there is none. */
	void (*done)(void *ctx, int err, const struct volume_doc *doc);
	void *ctx;
};

/** volume_fetch() - ends with done(), which may be called from within. */
void volume_fetch(struct volume_fetch *f);

#endif
