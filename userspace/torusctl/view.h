/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that the metadata store says of the cluster, read once for a command
 * that weighs one thing against the other.
 */
#ifndef TORUSCTL_VIEW_H
#define TORUSCTL_VIEW_H

#include "ctl.h"
#include "survey.h"

struct view {
	struct ring_doc *ring;
	int64_t ring_revision;
	struct ctl_peer *peers;
	size_t peer_count;
	struct volume_doc *volumes;
	size_t volume_count;
};

/** view_load() - 0, or -errno with error text; view_release() either way. */
int view_load(struct ctl *ctl, struct view *view);
void view_release(struct view *view);

/** view_peer() - of this uuid, or NULL. */
const struct ctl_peer *view_peer(const struct view *view,
				 const struct uuid *id);

/** view_volume() - of this id, or NULL. */
const struct volume_doc *view_volume(const struct view *view, uint64_t id);

/**
 * view_awaits() - whether the change of the ring that is under way lasts until
 * this peer has confirmed that it moved: one of the old or of the new ring.
 */
bool view_awaits(const struct view *view, const struct ctl_peer *peer);

/**
 * view_moving() - whether a change of the ring is under way. Where nothing was
 * ever written, or nobody was there to write to, there is nothing to move.
 */
bool view_moving(const struct view *view);

/** ring_weighs() - whether the members' weights count with rings of @type. */
bool ring_weighs(enum ring_type type);

/** ring_members_of_weight() - members that data is put on. */
uint32_t ring_members_of_weight(const struct ring_spec *spec);

#endif
