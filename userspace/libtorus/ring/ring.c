// SPDX-License-Identifier: Apache-2.0
/*
 * What all ring types have in common. A type is one file and one line in the
 * table below. Whatever a type answers for a spec is fixed for ever, since
 * clusters have data where it said: tests/unit/test_ring.c pins it.
 */
#include "ring/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "ring/ring_priv.h"

static const struct ring_ops *const types[RING_TYPE_COUNT] = {
	[RING_EMPTY] = &ring_empty_ops,
	[RING_SINGLE] = &ring_single_ops,
	[RING_MOD] = &ring_mod_ops,
	[RING_KETAMA] = &ring_ketama_ops,
	[RING_ZONES] = &ring_zones_ops,
};

const char *ring_type_name(enum ring_type type)
{
	return (unsigned int)type < RING_TYPE_COUNT ? types[type]->name : "?";
}

int ring_type_parse(const char *name, enum ring_type *type)
{
	unsigned int i;

	for (i = 0; i < RING_TYPE_COUNT; i++) {
		if (strcmp(types[i]->name, name) == 0) {
			*type = (enum ring_type)i;
			return 0;
		}
	}
	return error_set(-EINVAL, "there is no ring type \"%s\": use ketama, zones, mod, single or empty",
			 name);
}

uint64_t ring_hash_peer(const struct uuid *peer)
{
	uint64_t half[2] = { 0, 0 };
	unsigned int i;

	for (i = 0; i < sizeof(peer->byte); i++)
		half[i / 8] |= (uint64_t)peer->byte[i] << (8 * (i % 8));
	return hash_u64_pair(half[0], half[1]);
}

static int check_members(const struct ring_spec *spec)
{
	char text[UUID_TEXT_SIZE];
	uint32_t i, j;

	for (i = 0; i < spec->member_count; i++) {
		const struct uuid *peer = &spec->members[i].peer;

		if (uuid_is_null(peer))
			return error_set(-EINVAL, "ring version %" PRIu64 ": member %u has no uuid",
					 spec->version, i);
		for (j = 0; j < i; j++) {
			if (!uuid_equal(peer, &spec->members[j].peer))
				continue;
			uuid_format(peer, text);
			return error_set(-EINVAL, "ring version %" PRIu64 ": peer %s is a member twice",
					 spec->version, text);
		}
	}
	return 0;
}

static int check_spec(const struct ring_spec *spec)
{
	if ((unsigned int)spec->type >= RING_TYPE_COUNT)
		return error_set(-EINVAL, "ring version %" PRIu64 ": unknown type %u",
				 spec->version, (unsigned int)spec->type);
	if (spec->replication < 1 || spec->replication > RING_REPLICATION_MAX)
		return error_set(-EINVAL, "ring version %" PRIu64 ": replication %u is not within 1 to %u",
				 spec->version, spec->replication,
				 RING_REPLICATION_MAX);
	if (spec->member_count > types[spec->type]->members_max)
		return error_set(-EINVAL, "ring version %" PRIu64 ": %u members, type %s takes at most %u",
				 spec->version, spec->member_count,
				 ring_type_name(spec->type),
				 types[spec->type]->members_max);
	return check_members(spec);
}

int ring_create(const struct ring_spec *spec, struct ring **out)
{
	struct ring *ring;
	int err;

	err = check_spec(spec);
	if (err < 0)
		return err;
	ring = calloc(1, sizeof(*ring));
	if (ring == NULL)
		return -ENOMEM;
	ring->spec = *spec;
	ring->ops = types[spec->type];
	if (ring->ops->build != NULL && spec->member_count > 0) {
		err = ring->ops->build(ring);
		if (err < 0) {
			ring_free(ring);
			return err;
		}
	}
	*out = ring;
	return 0;
}

void ring_free(struct ring *ring)
{
	if (ring == NULL)
		return;
	free(ring->points);
	free(ring);
}

const struct ring_spec *ring_spec(const struct ring *ring)
{
	return &ring->spec;
}

static uint32_t first_members(const struct ring *ring, uint64_t volume,
			      uint64_t chunk, uint32_t want, uint16_t *order)
{
	want = MIN(want, ring->spec.member_count);
	if (want > 0)
		ring->ops->order(ring, volume, chunk, want, order);
	return want;
}

uint32_t ring_permutation(const struct ring *ring, uint64_t volume,
			  uint64_t chunk, uint16_t *order)
{
	return first_members(ring, volume, chunk, RING_MEMBERS_MAX, order);
}

static bool is_excluded(const struct uuid *peer, const struct uuid *excluded,
			uint32_t excluded_count)
{
	uint32_t i;

	for (i = 0; i < excluded_count; i++)
		if (uuid_equal(peer, &excluded[i]))
			return true;
	return false;
}

uint32_t ring_ensemble(const struct ring *ring, uint64_t volume,
		       uint64_t chunk, uint32_t replication,
		       const struct uuid *excluded, uint32_t excluded_count,
		       struct uuid *out)
{
	uint16_t order[RING_MEMBERS_MAX];
	uint32_t count, i, found = 0, want;

	/* So many always do, whoever is excluded. */
	if (__builtin_add_overflow(replication, excluded_count, &want))
		want = RING_MEMBERS_MAX;
	count = first_members(ring, volume, chunk, want, order);
	for (i = 0; i < count && found < replication; i++) {
		const struct uuid *peer = &ring->spec.members[order[i]].peer;

		if (!is_excluded(peer, excluded, excluded_count))
			out[found++] = *peer;
	}
	return found;
}
