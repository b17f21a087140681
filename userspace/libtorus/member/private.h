/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TORUS_MEMBER_PRIVATE_H
#define TORUS_MEMBER_PRIVATE_H

#include "member/member.h"

/** registration_start() - tell the others where this peer is and that it
 * lives; again whenever the lease was lost. */
void registration_start(struct member *m);

/** registration_stop() - give the lease back; see member_stop(). */
bool registration_stop(struct member *m);

/** tombstones_start() - follow the list of deleted volumes. */
void tombstones_start(struct member *m);
void tombstones_release(struct member *m);

/** confirming_start() - before tombstones_start(). */
void confirming_start(struct member *m);
void confirming_release(struct member *m);

/** confirming_add() - @volume has a tombstone, and no chunk here any more. */
void confirming_add(struct member *m, uint64_t volume);

/** confirmed_by() - whether @peer is in the tombstone's list. */
bool confirmed_by(const struct tombstone_doc *doc, const struct uuid *peer);

/** remembering_start() - hand the cluster's documents to the store. */
void remembering_start(struct member *m);

#endif
