// SPDX-License-Identifier: Apache-2.0
/*
 * FENCE with an epoch above all that was ever seen ends old writers for good,
 * even where the metadata that gave them their epoch are gone. What they wrote
 * until then may have been acknowledged: so the stores are surveyed once more,
 * and what they then have is sealed. SEAL proves that a copy is durable, and
 * cuts off what is no part of the log.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "recover/internal.h"

static void take_fence(struct peer_call *call)
{
	struct recover_peer *p = call->ctx;

	if (call->status)
		p->r->take.err = error_set(wire_status_errno(call->status),
					   "peer %s: %s (asked to fence)",
					   p->address,
					   wire_status_text(call->status));
}

static int fence_volume(struct recover *r, const struct recover_volume *v)
{
	struct wire_fence body = {
		.volume = cpu_to_le64(v->id),
		.epoch = cpu_to_le64(MAX(v->epoch, v->doc.epoch) + 1),
	};
	int err = 0;

	r->take.err = 0;
	for (uint32_t i = 0; i < r->peer_count && !err; i++) {
		err = recover_ask(r, &r->peers[i], WIRE_FENCE, &body,
				  take_fence);
		if (!err)
			err = r->take.err;
	}
	return err;
}

/* One that cannot be sealed counts as no copy; attaching makes another. */
static void take_seal(struct peer_call *call)
{
	struct recover_peer *p = call->ctx;

	if (!call->status)
		return;
	p->r->take.err = -EUCLEAN;
	log_info("peer %s: a copy could not be sealed: %s", p->address,
		 wire_status_text(call->status));
}

static int seal_step(struct recover *r, const struct recover_volume *v,
		     struct recover_step *step)
{
	struct wire_seal body = {
		.volume = cpu_to_le64(v->id),
		.chunk = cpu_to_le64(step->chunk),
		.epoch = cpu_to_le64(v->epoch),
		.length = cpu_to_le32(step->length),
		.end_crc = cpu_to_le32(step->end_crc),
	};
	int err = 0;

	step->copies = 0;
	for (size_t i = 0; i < r->copy_count && !err; i++) {
		struct recover_copy *copy = &r->copies[i];

		if (copy->volume != v->id || copy->chunk != step->chunk ||
		    copy->length < step->length || copy->odd)
			continue;
		r->take.err = 0;
		err = recover_ask(r, copy->peer, WIRE_SEAL, &body, take_seal);
		step->copies += !err && !r->take.err;
	}
	if (!err && !step->copies)
		return error_set(-EUCLEAN, "volume %s: no copy of chunk %" PRIu64 " can be sealed at %u blocks",
				 v->doc.name, step->chunk, step->length);
	return err;
}

static int seal_volume(struct recover *r, struct recover_volume *v,
		       struct recover_path *path)
{
	int err = 0;

	for (uint32_t i = 0; i < path->count && !err; i++)
		if (path->steps[i].length)
			err = seal_step(r, v, &path->steps[i]);
	if (!err && recover_list_sealed(v, path))
		err = error_set(-EUCLEAN, "volume %s: too many chunks for its list of sealed chunks",
				v->doc.name);
	return err;
}

static bool concerns(const struct recover_volume *v)
{
	return v->action == RECOVER_WRITE && v->state == RECOVER_GOOD;
}

int recover_fence(struct recover *r)
{
	int err = 0;

	for (uint32_t i = 0; i < r->volume_count && !err; i++)
		if (concerns(&r->volumes[i]))
			err = fence_volume(r, &r->volumes[i]);
	if (!err)
		err = recover_survey(r);
	if (!err && recover_refused(r))
		err = error_set(-EUCLEAN, "something changed while old writers were ended, and needs a decision now: look again");
	for (uint32_t i = 0; i < r->volume_count && !err; i++)
		if (concerns(&r->volumes[i]))
			err = seal_volume(r, &r->volumes[i], &r->paths[i]);
	return err;
}
