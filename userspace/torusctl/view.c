// SPDX-License-Identifier: Apache-2.0
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "peer/ring_change.h"

int view_load(struct ctl *ctl, struct view *view)
{
	int err;

	memset(view, 0, sizeof(*view));
	view->ring = malloc(sizeof(*view->ring));
	if (!view->ring)
		return error_set(-ENOMEM, "out of memory");
	err = ctl_ring_get(ctl, view->ring, &view->ring_revision);
	if (!err)
		err = ctl_peers(ctl, &view->peers, &view->peer_count);
	if (!err)
		err = ctl_volumes(ctl, &view->volumes, &view->volume_count);
	return err;
}

void view_release(struct view *view)
{
	free(view->ring);
	free(view->peers);
	free(view->volumes);
	memset(view, 0, sizeof(*view));
}

const struct ctl_peer *view_peer(const struct view *view, const struct uuid *id)
{
	for (size_t i = 0; i < view->peer_count; i++)
		if (uuid_equal(&view->peers[i].doc.id, id))
			return &view->peers[i];
	return NULL;
}

const struct volume_doc *view_volume(const struct view *view, uint64_t id)
{
	for (size_t i = 0; i < view->volume_count; i++)
		if (view->volumes[i].id == id)
			return &view->volumes[i];
	return NULL;
}

bool view_awaits(const struct view *view, const struct ctl_peer *peer)
{
	const struct ring_doc *ring = view->ring;

	return ring->has_previous && peer->moved < ring->current.version &&
	       (ring_change_has(&ring->current, &peer->doc.id) ||
		ring_change_has(&ring->previous, &peer->doc.id));
}

static bool anything_was_written(const struct view *view)
{
	for (size_t i = 0; i < view->volume_count; i++)
		if (view->volumes[i].next_chunk > 1)
			return true;
	return false;
}

bool view_moving(const struct view *view)
{
	if (!view->ring->has_previous || !anything_was_written(view) ||
	    !view->ring->previous.member_count)
		return false;
	for (size_t i = 0; i < view->peer_count; i++)
		if (view_awaits(view, &view->peers[i]))
			return true;
	return false;
}

bool ring_weighs(enum ring_type type)
{
	return type == RING_KETAMA || type == RING_ZONES;
}

uint32_t ring_members_of_weight(const struct ring_spec *spec)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < spec->member_count; i++)
		n += spec->members[i].weight > 0 || !ring_weighs(spec->type);
	return n;
}
