/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a volume in the metadata, before it is claimed: a device needs a size. */
#ifndef TORUS_HELPER_LOOKUP_H
#define TORUS_HELPER_LOOKUP_H

#include "meta/meta.h"
#include "meta/schema.h"

/* @doc is valid during the call, and only if @err is 0. */
typedef void (*lookup_fn)(void *ctx, int err, const struct volume_doc *doc);

struct lookup {
	struct meta *meta;
	char name[VOLUME_NAME_MAX];
	lookup_fn done;
	void *ctx;
};

/**
 * lookup_start() - done() follows, never from inside, with the error text set.
 * -ENOENT: no cluster, or no such volume. @l stays in place until then; it
 * cannot be taken back, but by closing the store.
 */
void lookup_start(struct lookup *l, struct meta *meta, const char *name,
		  lookup_fn done, void *ctx);

#endif
