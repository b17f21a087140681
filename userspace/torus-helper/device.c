// SPDX-License-Identifier: Apache-2.0
/*
 * Which device a volume gets. One that a helper has left is taken over, with
 * what the driver remembers of it; without one, a new one is added, with an
 * incarnation of our making.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "front/attachment.h"
#include "helper.h"
#include "notify.h"

static int check_existing(const struct helper *h,
			  const struct control_device *d)
{
	if (d->state == TORUS_STATE_FAILED || d->state == TORUS_STATE_DELETING)
		return error_set(-EIO, "/dev/torus%u of volume %s is %s%s%s; 'torusctl detach --force /dev/torus%u' removes it, then attach again",
				 d->id, d->volume, control_state_name(d->state),
				 d->error ? ": " : "",
				 d->error ? strerror(-d->error) : "", d->id);
	if (h->opt->device >= 0 && (uint32_t)h->opt->device != d->id)
		return error_set(-EEXIST, "volume %s is /dev/torus%u on this machine already, not /dev/torus%d",
				 d->volume, d->id, h->opt->device);
	if (h->opt->read_only && !d->read_only)
		return error_set(-EEXIST, "/dev/torus%u of volume %s is writable, and who has it open may write: detach it, then attach with --read-only",
				 d->id, d->volume);
	if (d->session_id && !h->opt->force && !h->opt->replace)
		return error_set(-EBUSY, "volume %s is served as /dev/torus%u on this machine by process %u; 'torus-helper --replace' takes it over",
				 d->volume, d->id, d->helper_pid);
	return 0;
}

static int add_device(struct helper *h, const struct volume_doc *doc)
{
	const struct helper_options *o = h->opt;
	struct control_add add = {
		.id = o->device, .volume = doc->name, .size = doc->size,
		.block_size = o->block_size, .queues = o->queues,
		.depth = o->queue_depth, .io_size_max = TORUS_IO_SIZE_DEFAULT,
		.io_timeout_ms = o->io_timeout_ms,
		.dead_timeout_ms = o->dead_timeout_ms,
		.read_only = o->read_only,
	};
	uint32_t queues;
	int err;

	h->incarnation = attachment_incarnation(h->env);
	add.incarnation = h->incarnation;
	err = control_add(h->control, &add, &h->device, &queues);
	if (err == -EEXIST && o->device >= 0)
		error_prefix("/dev/torus%d", o->device);
	else if (err)
		error_prefix("cannot add a device for volume %s", doc->name);
	else
		h->added = true;
	return err;
}

/*
 * A device that never had a session has nothing to go back behind; but the
 * attachment of the helper that added it may be there, and names it.
 */
static void take_existing(struct helper *h, const struct control_device *d)
{
	h->device = d->id;
	h->incarnation = d->incarnation;
	h->surviving = d->state != TORUS_STATE_NEW;
	h->replaced = h->opt->replace ? (pid_t)d->helper_pid : 0;
	log_info("volume %s: taking over /dev/torus%u, which is %s",
		 d->volume, d->id, control_state_name(d->state));
}

static int find_or_add(struct helper *h, const struct volume_doc *doc)
{
	struct control_device found;
	int err = control_find(h->control, doc->name, &found);

	if (err == -ENOENT && h->opt->replace)
		return error_set(-ENOENT, "volume %s has no device on this machine, so there is no helper to replace; without --replace it is attached",
				 doc->name);
	if (err == -ENOENT)
		return add_device(h, doc);
	if (!err)
		err = check_existing(h, &found);
	if (!err)
		take_existing(h, &found);
	return err;
}

int device_claim(struct helper *h, const struct volume_doc *doc,
		 const struct channel_ops *ops)
{
	struct channel_config cfg = {
		.env = h->env, .form = h->opt->channel,
		.arena_size = h->opt->arena,
		.takeover = h->opt->force || h->opt->replace, .ops = ops, .ctx = h,
	};
	int err = find_or_add(h, doc);

	if (err)
		return err;
	cfg.device = h->device;
	/* Before the other one knows that it is over, or its end is the unit's. */
	if (h->replaced)
		notify_main(getpid());
	err = channel_open(&cfg, &h->channel);
	if (err) {
		if (h->replaced)
			notify_main(h->replaced);
		error_prefix("/dev/torus%u of volume %s", h->device, doc->name);
		device_drop(h);
		return err;
	}
	if (strcmp(channel_device(h->channel)->volume, doc->name) != 0) {
		channel_close(h->channel);
		h->channel = NULL;
		return error_set(-EAGAIN, "/dev/torus%u went while it was being taken over; try again",
				 h->device);
	}
	return 0;
}

void device_drop(struct helper *h)
{
	if (!h->added)
		return;
	h->added = false;
	if (control_delete(h->control, h->device, true))
		log_warning("/dev/torus%u cannot be deleted: %s", h->device,
			    error_text(-EIO));
}

void device_fail(struct helper *h)
{
	const struct control_set fail = { .fail = true };

	if (control_change(h->control, h->device, &fail))
		log_error("/dev/torus%u cannot be failed: %s", h->device,
			  error_text(-EIO));
}

int device_fit(struct helper *h)
{
	struct control_set set = { .set_size = true,
				   .size = volume_size(h->volume) };
	int err;

	if (set.size == channel_device(h->channel)->size)
		return 0;
	err = control_change(h->control, h->device, &set);
	if (err) {
		error_prefix("/dev/torus%u cannot get the volume's size",
			     h->device);
		return err;
	}
	channel_resize(h->channel, set.size);
	return 0;
}
