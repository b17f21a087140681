// SPDX-License-Identifier: Apache-2.0
#include "peer/ring_change.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

/* Index of a member, or member_count. */
static uint32_t find(const struct ring_spec *spec, const struct uuid *peer)
{
	uint32_t i = 0;

	while (i < spec->member_count &&
	       !uuid_equal(&spec->members[i].peer, peer))
		i++;
	return i;
}

bool ring_change_has(const struct ring_spec *spec, const struct uuid *peer)
{
	return find(spec, peer) < spec->member_count;
}

static int check_room(const struct ring_spec *spec, const struct peer_doc *peer)
{
	if (ring_change_has(spec, &peer->id))
		return error_set(-EEXIST, "peer %s is in the ring already",
				 peer->address);
	if (spec->type == RING_EMPTY ||
	    (spec->type == RING_SINGLE && spec->member_count))
		return error_set(-EINVAL, "a ring of type %s takes no further member; see 'torusctl ring manual-change'",
				 ring_type_name(spec->type));
	if (spec->member_count == RING_MEMBERS_MAX)
		return error_set(-ENOSPC, "the ring is full: it has %u members",
				 RING_MEMBERS_MAX);
	return 0;
}

int ring_change_add(struct ring_spec *spec, const struct peer_doc *peer)
{
	struct ring_member *m = &spec->members[spec->member_count];
	int err = check_room(spec, peer);

	if (err)
		return err;
	memset(m, 0, sizeof(*m));
	m->peer = peer->id;
	m->weight = peer->size;
	memcpy(m->zone, peer->zone, sizeof(m->zone));
	memcpy(m->rack, peer->rack, sizeof(m->rack));
	memcpy(m->host, peer->host, sizeof(m->host));
	spec->member_count++;
	return 0;
}

int ring_change_remove(struct ring_spec *spec, const struct uuid *peer)
{
	char text[UUID_TEXT_SIZE];
	uint32_t i = find(spec, peer);

	if (i == spec->member_count) {
		uuid_format(peer, text);
		return error_set(-ENOENT, "peer %s is not in the ring", text);
	}
	spec->member_count--;
	memmove(&spec->members[i], &spec->members[i + 1],
		(spec->member_count - i) * sizeof(spec->members[0]));
	return 0;
}
