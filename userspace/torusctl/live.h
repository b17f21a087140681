/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunks that a volume cannot do without: those that its newest root's table
 * calls live, and those of its log from there on. Read from the peers, as
 * whoever attaches would.
 */
#ifndef TORUSCTL_LIVE_H
#define TORUSCTL_LIVE_H

#include "ctl.h"
#include "survey.h"
#include "view.h"

struct live_chunks {
	uint64_t *chunks;
	size_t count, room, max;	/* max: what is beyond is left out */
};

/**
 * live_chunks_read() - append the live chunks of @v to @live.
 * Returns 0; -ENODATA: no peer that answers has the root, or a page of the
 * table, and others may; -EAGAIN: that cannot be told now. Without error text.
 * Free with live_chunks_release() in any case.
 */
int live_chunks_read(struct ctl *ctl, struct cluster *cluster,
		     const struct view *view, const struct survey *survey,
		     const struct volume_doc *v, struct live_chunks *live);
void live_chunks_release(struct live_chunks *live);

#endif
