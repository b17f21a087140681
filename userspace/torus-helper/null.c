// SPDX-License-Identifier: Apache-2.0
/*
 * An engine that has nothing behind it.
 *
 * A request is handled when it is submitted, and put on `done`; a hook of the
 * reactor, which runs before the channel's, completes those of the turn. So
 * done() is called neither from inside of submit() nor later than need be, and
 * the channel sends the completions of a turn together.
 *
 * The driver is told of a log: every turn with a write in it counts as one
 * record, so that it does the work of remembering. A helper that takes a device
 * over goes on from what the driver remembers.
 *
 * The device is called null:N. No volume can have a colon in its name, so no
 * helper of a volume takes a null device for its own, nor the other way round.
 */
#include "null.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/log.h"
#include "helper.h"
#include "notify.h"
#include "wire/record.h"

#define BLOCKS_MAX	(VOLUME_IO_MAX / BLOCK_SIZE)
#define DELETE_FOR_NS	(2 * NSEC_PER_SEC)	/* as in helper.c */
#define DELETE_AGAIN_NS	(50 * NSEC_PER_MSEC)

struct null_helper {
	struct helper h;		/* what device.c works on; no volume */
	struct helper_options opt;	/* ours, with the name of the device */
	char name[32];
	struct list_head done;		/* requests, in order */
	struct env_hook hook;
	struct log_position position;
	bool written;			/* in this turn */
	uint32_t payload_crc[BLOCKS_MAX];
	uint32_t source_crc[BLOCKS_MAX];
	_Alignas(BLOCK_SIZE) uint8_t source[VOLUME_IO_MAX];
};

static struct null_helper *to_null(void *ctx)
{
	return container_of((struct helper *)ctx, struct null_helper, h);
}

/* ---- the engine ----------------------------------------------------------- */

/* One for each block, the last of which may be a part: as in a record. */
static void checksum(const uint8_t *data, size_t length, uint32_t *crc)
{
	for (; length > BLOCK_SIZE; length -= BLOCK_SIZE, data += BLOCK_SIZE)
		*crc++ = crc32c(0, data, BLOCK_SIZE);
	*crc = crc32c(0, data, length);
}

/* Blocks of 512 bytes have no checksum of their own to be compared with. */
static int fill(struct null_helper *n, struct volume_request *req)
{
	size_t whole = req->length / BLOCK_SIZE;

	memcpy(req->buffer, n->source, req->length);
	checksum(req->buffer, req->length, n->payload_crc);
	return memcmp(n->payload_crc, n->source_crc,
		      whole * sizeof(*n->source_crc)) ? -EIO : 0;
}

static void on_submit(void *ctx, struct volume_request *req)
{
	struct null_helper *n = to_null(ctx);

	req->err = 0;
	if (n->opt.no_data)
		;	/* what lies in the arena is as good as anything */
	else if (req->op == VOLUME_READ)
		req->err = fill(n, req);
	else if (req->op == VOLUME_WRITE)
		checksum(req->buffer, req->length, n->payload_crc);
	if (req->op != VOLUME_READ && req->op != VOLUME_FLUSH)
		n->written = true;
	list_add_tail(&req->node, &n->done);
}

static void complete_turn(struct env_hook *hook)
{
	struct null_helper *n = container_of(hook, struct null_helper, hook);
	struct volume_request *req;

	if (n->written) {
		n->position.sequence++;
		n->position.header_crc = n->payload_crc[0];
		n->written = false;
	}
	while (!list_empty(&n->done)) {
		req = list_first_entry(&n->done, struct volume_request, node);
		list_del_init(&req->node);
		req->done(req, req->err);
	}
}

static struct log_position on_position(void *ctx)
{
	return to_null(ctx)->position;
}

/* ---- the device ----------------------------------------------------------- */

static void announce(struct helper *h)
{
	h->ready = true;
	h->added = false;	/* it has a disk, which others may use */
	log_info("/dev/torus%u is a null device", h->device);
	notify_ready(h->device, h->opt->volume);
}

static void session_ended(struct helper *h, const struct control_device *d)
{
	char text[128];
	bool failed = d->state == TORUS_STATE_FAILED;

	if (failed)
		snprintf(text, sizeof(text), "/dev/torus%u has failed: %s",
			 h->device, strerror(-d->error));
	else if (d->session_id)
		snprintf(text, sizeof(text), "/dev/torus%u was taken over by process %u",
			 h->device, d->helper_pid);
	else
		snprintf(text, sizeof(text), "the driver ended our session with /dev/torus%u (%s)",
			 h->device, control_state_name(d->state));
	helper_end(h, failed ? HELPER_LOST : HELPER_ENDED,
		   failed ? -EIO : -ESTALE, text);
}

/* Events only say when to look. */
static void look(struct helper *h)
{
	struct control_device d;
	int err = control_get(h->control, h->device, &d);

	if (err && err != -ENODEV) {
		log_warning("/dev/torus%u: %s", h->device, error_text(err));
		return;
	}
	if (err || d.state == TORUS_STATE_DELETING ||
	    !uuid_equal(&d.incarnation, &h->incarnation)) {
		h->added = false;
		helper_end(h, HELPER_OK, 0, "The null device is gone");
	} else if (d.session_id != channel_session(h->channel)) {
		session_ended(h, &d);
	} else if (d.state == TORUS_STATE_LIVE && !h->ready) {
		announce(h);
	}
}

static void on_lost(void *ctx, int err)
{
	char sentence[ERROR_TEXT_MAX];
	struct helper *h = ctx;

	snprintf(sentence, sizeof(sentence), "%s", error_text(err));
	look(h);
	/* The driver still believes in a session whose messages make no sense. */
	helper_end(h, HELPER_ENDED, err, sentence);
}

static const struct channel_ops channel_ops = {
	.submit = on_submit,
	.position = on_position,
	.lost = on_lost,
};

static void delete_refused(struct helper *h)
{
	h->state = HELPER_SERVING;
	log_warning("/dev/torus%u is in use: not deleted, still serving",
		    h->device);
	notify_status("/dev/torus%u is in use: not deleted, still serving",
		      h->device);
}

static void begin_delete(struct helper *h)
{
	int err = control_delete(h->control, h->device, false);

	if (!err || err == -EALREADY)
		h->state = HELPER_DELETING;
	else if (err == -EBUSY && env_now(h->env) < h->delete_until_ns)
		env_timer_after(h->env, &h->delete_again, DELETE_AGAIN_NS);
	else if (err == -EBUSY)
		delete_refused(h);
	else if (err == -ENODEV)
		look(h);
	else
		log_error("/dev/torus%u cannot be deleted: %s", h->device,
			  error_text(err));
}

static void delete_again(struct env_timer *timer)
{
	begin_delete(container_of(timer, struct helper, delete_again));
}

static void on_signal(void *ctx, int signo)
{
	struct helper *h = ctx;

	(void)signo;
	if (h->state == HELPER_OVER)
		return;
	h->delete_until_ns = env_now(h->env) + DELETE_FOR_NS;
	begin_delete(h);
}

static void on_event(void *ctx, const struct control_event *e)
{
	struct helper *h = ctx;

	if (h->state == HELPER_OVER || (!e->lost && e->id != h->device))
		return;
	if (!e->lost && e->error == -EBUSY && h->state == HELPER_DELETING)
		delete_refused(h);
	look(h);
	/* Events were missed: the refusal may have been among them. */
	if (e->lost && h->state == HELPER_DELETING)
		begin_delete(h);
}

/* ---- the beginning -------------------------------------------------------- */

/* The name has the number in it, so that is chosen here: the lowest free one. */
static int choose_device(struct null_helper *n)
{
	struct control_device *list;
	size_t count;
	int err;

	if (n->opt.device < 0) {
		err = control_list(n->h.control, &list, &count);
		if (err)
			return err;
		n->opt.device = 0;
		for (size_t i = 0; i < count; i++)
			n->opt.device += (int)list[i].id == n->opt.device;
		free(list);
	}
	snprintf(n->name, sizeof(n->name), CONTROL_NULL_PREFIX "%d",
		 n->opt.device);
	n->opt.volume = n->name;
	return 0;
}

static int claim(struct null_helper *n)
{
	struct volume_doc doc = { .size = n->opt.size };
	struct control_device d;
	int err;

	snprintf(doc.name, sizeof(doc.name), "%s", n->name);
	err = device_claim(&n->h, &doc, &channel_ops);
	if (err)
		return err;
	/* A helper that we ended may have been completing requests until now. */
	if (n->h.surviving && !control_get(n->h.control, n->h.device, &d))
		channel_remember(n->h.channel, d.remembered);
	n->position = channel_device(n->h.channel)->remembered;
	return 0;
}

static int start(struct null_helper *n)
{
	struct helper *h = &n->h;
	int err = env_uring_on_signal(h->env, SIGTERM, on_signal, h);

	if (!err)
		err = env_uring_on_signal(h->env, SIGINT, on_signal, h);
	if (!err)
		err = control_open(&h->control);
	if (!err)
		err = control_events_open(&h->events, on_event, h);
	if (!err)
		err = choose_device(n);
	if (!err)
		err = claim(n);
	if (err)
		return err;
	env_uring_add_hook(h->env, &n->hook);	/* before the channel's */
	err = channel_start(h->channel, n->position, n->position,
			    &h->incarnation);
	if (!err)
		err = control_events_watch(h->events, h->env);
	if (!err) {
		h->state = HELPER_SERVING;
		look(h);
	}
	return err;
}

static struct null_helper *create(const struct helper_options *opt,
				  struct env *env)
{
	struct null_helper *n = aligned_alloc(BLOCK_SIZE, sizeof(*n));

	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->opt = *opt;
	n->h.opt = &n->opt;
	n->h.env = env;
	list_init(&n->done);
	list_init(&n->hook.node);
	n->hook.fn = complete_turn;
	env_timer_init(&n->h.delete_again, delete_again);
	checksum(n->source, sizeof(n->source), n->source_crc);
	return n;
}

int null_run(const struct helper_options *opt, struct env *env, int *status)
{
	struct null_helper *n = create(opt, env);
	int err;

	if (!n)
		return error_set(-ENOMEM, "out of memory");
	err = start(n);
	if (!err)
		err = env_uring_run(env);
	*status = n->h.status;
	env_uring_remove_hook(env, &n->hook);
	helper_release(&n->h);
	free(n);
	return err;
}
