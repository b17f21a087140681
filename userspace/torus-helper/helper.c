// SPDX-License-Identifier: Apache-2.0
#include "helper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "env/flusher.h"
#include "front/attachment.h"
#include "notify.h"

/*
 * Who looks at a disk whenever somebody has closed it (udev) has it open for a
 * moment. The driver refuses at once while it is open, and tells no end of it.
 */
#define DELETE_FOR_NS	(2 * NSEC_PER_SEC)
#define DELETE_AGAIN_NS	(50 * NSEC_PER_MSEC)

/* For what serving takes now and then: frames, pages of the map, calls. */
#define HEAP_RESERVE	(8u << 20)

/* ---- the end ------------------------------------------------------------ */

void helper_end(struct helper *h, enum helper_exit status, int err,
		const char *sentence)
{
	if (h->state == HELPER_OVER)
		return;
	h->state = HELPER_OVER;
	h->status = (int)status;
	if (status == HELPER_OK) {
		log_info("%s", sentence);
		notify_status("%s", sentence);
	} else {
		log_error("%s", sentence);
		notify_failed(err, sentence);
	}
	env_uring_stop(h->env);
}

/* To whoever speaks for the volume now; not a word to who started us. */
static void leave(struct helper *h, enum helper_exit status)
{
	h->state = HELPER_OVER;
	h->status = (int)status;
	env_uring_stop(h->env);
}

/* Keeps the sentence: what is cleaned up meanwhile may set another. */
static void end_with_error(struct helper *h, enum helper_exit status, int err)
{
	char sentence[ERROR_TEXT_MAX];

	snprintf(sentence, sizeof(sentence), "%s", error_text(err));
	helper_end(h, status, err, sentence);
}

static void detached(void *ctx, int err)
{
	struct helper *h = ctx;

	if (h->reason != HELPER_OK)
		helper_end(h, h->reason, h->reason_err, h->reason_text);
	else if (err)
		end_with_error(h, HELPER_FAILED, err);
	else
		helper_end(h, HELPER_OK, 0, "Detached");
}

/*
 * The volume is well, but its device is not: it is given back, so that it can
 * be attached again, before we end with the error.
 */
static void detach_with_error(struct helper *h, enum helper_exit status,
			      int err, const char *sentence)
{
	h->reason = status;
	h->reason_err = err;
	snprintf(h->reason_text, sizeof(h->reason_text), "%s", sentence);
	h->state = HELPER_DETACHING;
	volume_detach(h->volume, detached, h);
}

/* There is no device any more, and nothing comes. */
static void begin_detach(struct helper *h)
{
	h->state = HELPER_DETACHING;
	h->added = false;
	log_info("volume %s: /dev/torus%u is gone; detaching", h->opt->volume,
		 h->device);
	notify_stopping();
	notify_status("Detaching volume %s", h->opt->volume);
	volume_detach(h->volume, detached, h);
}

/* ---- what the driver says ------------------------------------------------ */

static void announce(struct helper *h)
{
	h->ready = true;
	h->added = false;	/* it has a disk, which others may use */
	log_info("volume %s is /dev/torus%u", h->opt->volume, h->device);
	notify_ready(h->device, h->opt->volume);
}

/* Our session is over and the device is not ours any more. */
static void session_ended(struct helper *h, const struct control_device *d)
{
	char text[256];

	if (d->state == TORUS_STATE_FAILED) {
		snprintf(text, sizeof(text), "/dev/torus%u of volume %s has failed: %s",
			 h->device, h->opt->volume, strerror(-d->error));
		detach_with_error(h, HELPER_LOST, d->error ? d->error : -EIO,
				  text);
	} else if (d->session_id) {
		log_info("/dev/torus%u of volume %s was taken over by process %u",
			 h->device, h->opt->volume, d->helper_pid);
		leave(h, HELPER_ENDED);
	} else {
		snprintf(text, sizeof(text), "the driver ended our session with /dev/torus%u of volume %s (%s); its requests wait for another helper: torusctl attach %s",
			 h->device, h->opt->volume,
			 control_state_name(d->state), h->opt->volume);
		helper_end(h, HELPER_ENDED, -ESTALE, text);
	}
}

static void delete_refused(struct helper *h)
{
	h->state = HELPER_SERVING;
	log_warning("/dev/torus%u of volume %s is in use (mounted?): not detached, still serving",
		    h->device, h->opt->volume);
	notify_status("/dev/torus%u is in use (mounted?): not detached, still serving volume %s",
		      h->device, h->opt->volume);
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
	    !uuid_equal(&d.incarnation, &h->incarnation))
		begin_detach(h);
	else if (d.session_id != channel_session(h->channel))
		session_ended(h, &d);
	else if (d.state == TORUS_STATE_LIVE && !h->ready)
		announce(h);
}

static bool has_session(const struct helper *h)
{
	return h->state == HELPER_SERVING || h->state == HELPER_DELETING;
}

static void on_event(void *ctx, const struct control_event *e)
{
	struct helper *h = ctx;

	if ((!has_session(h) && h->state != HELPER_ATTACHING) ||
	    (!e->lost && e->id != h->device))
		return;
	if (!e->lost && e->error == -EBUSY && h->state == HELPER_DELETING)
		delete_refused(h);
	look(h);
	/* Events were missed: the refusal may have been among them. */
	if (e->lost && h->state == HELPER_DELETING)
		helper_signal(h);
}

static void on_lost(void *ctx, int err)
{
	char sentence[ERROR_TEXT_MAX];
	struct helper *h = ctx;

	snprintf(sentence, sizeof(sentence), "%s", error_text(err));
	if (has_session(h))
		look(h);
	/* The driver still believes in a session whose messages make no sense. */
	if (has_session(h))
		helper_end(h, HELPER_ENDED, err, sentence);
}

static void on_submit(void *ctx, struct volume_request *req)
{
	struct helper *h = ctx;

	volume_submit(h->volume, req);
}

static struct log_position on_position(void *ctx)
{
	struct helper *h = ctx;

	return volume_acknowledged(h->volume);
}

static const struct channel_ops channel_ops = {
	.submit = on_submit,
	.position = on_position,
	.lost = on_lost,
};

/* ---- what the volume says ----------------------------------------------- */

/*
 * The device fails with its volume, if it is ours still. Who fences us on this
 * machine has taken the device over before, and the event that says so may come
 * after this: so ask.
 */
static void fail_device(struct helper *h, int err, const char *sentence)
{
	if (has_session(h) || h->state == HELPER_ATTACHING)
		look(h);
	if (has_session(h) || h->state == HELPER_ATTACHING)
		device_fail(h);
	helper_end(h, HELPER_LOST, err, sentence);
}

/*
 * A volume that is lost takes its device with it: what was acknowledged may not
 * be what another helper would serve. Without memory it is still all there, and
 * the device waits for a helper with more.
 */
static void on_failed(void *ctx, enum volume_failure why)
{
	char sentence[ERROR_TEXT_MAX];
	struct helper *h = ctx;

	snprintf(sentence, sizeof(sentence), "%s", error_text(-EIO));
	if (why == VOLUME_OUT_OF_MEMORY) {
		helper_end(h, HELPER_ENDED, -ENOMEM, sentence);
		return;
	}
	fail_device(h, why == VOLUME_FENCED ? -ESTALE : -EIO, sentence);
}

static void on_state(void *ctx, const char *sentence)
{
	struct helper *h = ctx;

	notify_status("Volume %s, /dev/torus%u: %s", h->opt->volume, h->device,
		      sentence);
}

static const struct volume_ops volume_ops = {
	.failed = on_failed,
	.state = on_state,
};

/* ---- the beginning ------------------------------------------------------ */

static void start_serving(struct helper *h)
{
	char sentence[ERROR_TEXT_MAX];
	int err = device_fit(h);

	/* Before the device is live, and memory may wait for it. */
	if (flusher_reserve(HEAP_RESERVE))
		log_warning("no memory could be set aside for serving");
	if (!err)
		err = channel_start(h->channel, volume_acknowledged(h->volume),
				    volume_remembered(h->volume),
				    &h->incarnation);
	if (err) {
		error_prefix("/dev/torus%u of volume %s", h->device,
			     h->opt->volume);
		snprintf(sentence, sizeof(sentence), "%s", error_text(err));
		detach_with_error(h, HELPER_FAILED, err, sentence);
		return;
	}
	h->state = HELPER_SERVING;
	/* The device may be live already, and its event have come before. */
	look(h);
	if (h->stop_wanted && has_session(h))
		helper_signal(h);
}

static void attached(void *ctx, int err)
{
	struct helper *h = ctx;

	if (h->state != HELPER_ATTACHING)
		return;		/* given up meanwhile: detached() tells */
	if (!err) {
		start_serving(h);
		return;
	}
	if (h->surviving && (err == -ESTALE || err == -EUCLEAN)) {
		char sentence[ERROR_TEXT_MAX];

		snprintf(sentence, sizeof(sentence), "%s", error_text(err));
		fail_device(h, err, sentence);
		return;
	}
	end_with_error(h, err == -EBUSY ? HELPER_BUSY : HELPER_FAILED, err);
}

static void fill_config(struct helper *h, struct volume_config *cfg)
{
	const struct helper_options *o = h->opt;
	const struct session_device *d = channel_device(h->channel);
	char device[32];

	memset(cfg, 0, sizeof(*cfg));
	snprintf(cfg->name, sizeof(cfg->name), "%s", o->volume);
	snprintf(device, sizeof(device), "/dev/torus%u", h->device);
	attachment_fill(&cfg->attachment, h->env, device, &h->incarnation);
	cfg->attachment.read_only = d->read_only;
	cfg->read_only = d->read_only;
	cfg->force = o->force;
	cfg->surviving = h->surviving;
	cfg->remembered = d->remembered;
	cfg->replica_timeout_ns = o->replica_timeout_ms * NSEC_PER_MSEC;
	cfg->io_timeout_ns = o->io_timeout_ms * NSEC_PER_MSEC;
	cfg->clean_threshold = o->clean_threshold;
	cfg->min_replicas = o->min_replicas;
	cfg->map_cache_bytes = o->map_cache;
	cfg->overlay_bytes = o->overlay;
	cfg->checkpoint_log_bytes = o->checkpoint_log;
	cfg->ops = &volume_ops;
	cfg->ctx = h;
}

static void begin_attach(struct helper *h)
{
	struct volume_config cfg;
	struct control_device d;

	/* A helper that we ended may have been completing requests until now. */
	if (h->surviving && !control_get(h->control, h->device, &d))
		channel_remember(h->channel, d.remembered);
	fill_config(h, &cfg);
	h->state = HELPER_ATTACHING;
	notify_status("Attaching volume %s as /dev/torus%u", h->opt->volume,
		      h->device);
	h->volume = volume_attach(h->env, h->meta, &cfg, attached, h);
	if (!h->volume)
		helper_end(h, HELPER_FAILED, -ENOMEM, "out of memory");
}

static void looked_up(void *ctx, int err, const struct volume_doc *doc)
{
	struct helper *h = ctx;

	if (h->state == HELPER_OVER)
		return;
	if (!err)
		err = device_claim(h, doc, &channel_ops);
	if (err)
		end_with_error(h, err == -EBUSY ? HELPER_BUSY : HELPER_FAILED,
			       err);
	else
		begin_attach(h);
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
		begin_detach(h);
	else
		log_error("/dev/torus%u cannot be deleted: %s", h->device,
			  error_text(err));
}

static void delete_again(struct env_timer *timer)
{
	struct helper *h = container_of(timer, struct helper, delete_again);

	if (has_session(h))
		begin_delete(h);
}

int helper_start(struct helper *h, const struct helper_options *opt,
		 struct env *env, struct meta *meta)
{
	int err;

	memset(h, 0, sizeof(*h));
	h->opt = opt;
	h->env = env;
	h->meta = meta;
	env_timer_init(&h->delete_again, delete_again);
	err = attachment_check_path("/proc/self/fd/2");
	if (err)
		error_prefix("standard error");
	if (!err)
		err = control_open(&h->control);
	if (!err)
		err = control_events_open(&h->events, on_event, h);
	if (!err)
		err = control_events_watch(h->events, env);
	if (!err)
		lookup_start(&h->lookup, meta, opt->volume, looked_up, h);
	return err;
}

void helper_signal(struct helper *h)
{
	switch (h->state) {
	case HELPER_LOOKUP:
		helper_end(h, HELPER_OK, 0,
			   "Interrupted before the volume was attached");
		return;
	case HELPER_ATTACHING:
		if (h->stop_wanted)
			helper_end(h, HELPER_FAILED, -EINTR,
				   "Interrupted twice while attaching: the attachment may remain in the metadata");
		else
			log_info("stopping as soon as the volume is attached; a second signal stops at once");
		h->stop_wanted = true;
		return;
	case HELPER_DETACHING:
		log_info("volume %s is being detached already",
			 h->opt->volume);
		return;
	case HELPER_OVER:
		return;
	case HELPER_SERVING:
	case HELPER_DELETING:
		h->delete_until_ns = env_now(h->env) + DELETE_FOR_NS;
		begin_delete(h);
	}
}

void helper_log_stats(const struct helper *h)
{
	if (h->volume && has_session(h))
		volume_log_stats(h->volume);
	else
		log_info("no volume is served at the moment");
}

/* The engine first: it writes from and into the channel's arena. */
void helper_release(struct helper *h)
{
	if (h->env)
		env_timer_cancel(h->env, &h->delete_again);
	if (h->volume)
		volume_free(h->volume);
	channel_close(h->channel);
	if (h->control)
		device_drop(h);
	control_events_close(h->events);
	control_close(h->control);
}
