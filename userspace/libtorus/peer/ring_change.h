/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edits of a ring, shared by torusctl (peer add, peer remove) and torusd
 * (--auto-join). They change the members of a spec; who writes it to the
 * metadata store, by compare-and-swap, also keeps the previous ring and counts
 * the version up.
 */
#ifndef TORUS_PEER_RING_CHANGE_H
#define TORUS_PEER_RING_CHANGE_H

#include "base/uuid.h"
#include "meta/schema.h"
#include "ring/ring.h"

/**
 * ring_change_add() - make @peer a member, weighted by its size.
 * Returns 0; -EEXIST (is one already), -ENOSPC (RING_MEMBERS_MAX), -EINVAL (a
 * ring of this type takes no more members); error text is set.
 */
int ring_change_add(struct ring_spec *spec, const struct peer_doc *peer);

/** ring_change_remove() - 0, or -ENOENT (is no member) with error text. */
int ring_change_remove(struct ring_spec *spec, const struct uuid *peer);

/** ring_change_has() - whether @peer is a member. */
bool ring_change_has(const struct ring_spec *spec, const struct uuid *peer);

#endif
