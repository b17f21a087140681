/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring: a versioned pure function from a chunk to a permutation of all
 * peers, owners first. No state, no I/O; equal specs give equal answers on
 * every machine and for ever (test vectors pin them).
 */
#ifndef TORUS_RING_RING_H
#define TORUS_RING_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

#define RING_MEMBERS_MAX 256u
#define RING_LABEL_MAX	 64u
#define RING_REPLICATION_MAX 8u

enum ring_type { RING_EMPTY, RING_SINGLE, RING_MOD, RING_KETAMA,
		 RING_ZONES, RING_TYPE_COUNT };

struct ring_member {
	struct uuid peer;
	uint64_t weight;		/* bytes of capacity when it joined; 0 =
					 * to own nothing while others can */
	char zone[RING_LABEL_MAX];	/* may be empty */
	char rack[RING_LABEL_MAX];
	char host[RING_LABEL_MAX];
};

struct ring_spec {
	uint64_t version;		/* grows by one with every change */
	enum ring_type type;
	uint32_t replication;		/* R, the default of new volumes */
	uint32_t member_count;
	struct ring_member members[RING_MEMBERS_MAX];
};

struct ring;

/** ring_type_name() / ring_type_parse() - "ketama" ...; -EINVAL. */
const char *ring_type_name(enum ring_type type);
int ring_type_parse(const char *name, enum ring_type *type);

/**
 * ring_create() - build the function that @spec describes.
 * Copies @spec. Returns 0, -EINVAL (error text names what is wrong: duplicate
 * or null peer, too many members, single with more than one ...), -ENOMEM.
 */
int ring_create(const struct ring_spec *spec, struct ring **ring);
void ring_free(struct ring *ring);

const struct ring_spec *ring_spec(const struct ring *ring);

/**
 * ring_permutation() - all members in the order of preference for a chunk.
 * @order: room for spec->member_count indices into spec->members.
 * Returns how many were written (member_count; 0 for an empty ring).
 */
uint32_t ring_permutation(const struct ring *ring, uint64_t volume,
			  uint64_t chunk, uint16_t *order);

/**
 * ring_ensemble() - the first @replication peers not among @excluded (5.2).
 * Returns how many were written to @out (fewer when there are too few).
 */
uint32_t ring_ensemble(const struct ring *ring, uint64_t volume,
		       uint64_t chunk, uint32_t replication,
		       const struct uuid *excluded, uint32_t excluded_count,
		       struct uuid *out);

#endif
