// SPDX-License-Identifier: Apache-2.0
/*
 * Slots: the life of a request in the helper.
 *
 *	free --descriptor--> busy --done()--> ended --sent--> free
 *	(the driver's)       (the engine's)   (its completion is in `ready`)
 *
 * A slot becomes the driver's again with the send of its completion, and a
 * descriptor for one that is not free is an error of the driver: so there are
 * never more completions than slots, and none is allocated. Completions
 * leave in the order of done(), which is that of the log, all of a turn
 * together. Each carries the position of the log up to which everything is
 * acknowledged at that moment, also a read's: what a reader has seen the driver
 * must remember, even if the write's own completion comes a moment later.
 *
 * When the session is over, nothing is sent any more. What the engine still
 * has comes back and is forgotten: the driver keeps it for the next session. The
 * arena stays mapped until then.
 */
#include "front/channel.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "front/channel_priv.h"

#define RETRY_NS (1 * NSEC_PER_MSEC)

_Static_assert(TORUS_IO_SIZE_DEFAULT <= VOLUME_IO_MAX,
	       "the engine takes what the driver sends");

static const enum volume_op volume_op_of[] = {
	[TORUS_OP_READ] = VOLUME_READ,
	[TORUS_OP_WRITE] = VOLUME_WRITE,
	[TORUS_OP_FLUSH] = VOLUME_FLUSH,
	[TORUS_OP_DISCARD] = VOLUME_TRIM,
	[TORUS_OP_WRITE_ZEROES] = VOLUME_ZERO,
};

/* ---- the end of a session ------------------------------------------------- */

static void tell_lost(struct env_timer *timer)
{
	struct channel *ch = container_of(timer, struct channel, lost_timer);

	error_set(ch->lost_err, "%s", ch->lost_text);
	ch->cfg.ops->lost(ch->cfg.ctx, ch->lost_err);
}

void channel_lose(struct channel *ch, int err, const char *fmt, ...)
{
	va_list ap;

	if (ch->over)
		return;
	ch->over = true;
	ch->lost_err = err;
	va_start(ap, fmt);
	vsnprintf(ch->lost_text, sizeof(ch->lost_text), fmt, ap);
	va_end(ap);
	/* What still comes would be reported again and again. */
	env_uring_unwatch(ch->cfg.env, &ch->watch);
	if (ch->rings)
		channel_ring_stop(ch);
	env_timer_after(ch->cfg.env, &ch->lost_timer, 0);
}

/* ---- requests --------------------------------------------------------------- */

static void complete(struct channel_slot *slot, int err)
{
	struct channel *ch = slot->channel;
	enum torus_result result = result_of(slot->op, err);

	slot->state = SLOT_ENDED;
	if (ch->over)
		return;
	ch->ready[ch->ready_count++] = (struct torus_completion){
		.queue = slot->queue,
		.tag = slot->tag,
		.generation = slot->generation,
		.result = result,
		.length = result == TORUS_RESULT_OK ? slot->length : 0,
	};
}

static void request_done(struct volume_request *req, int err)
{
	complete(container_of(req, struct channel_slot, req), err);
}

void channel_sent(struct channel *ch, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		ch->slots[ch->ready[i].queue * ch->limits.depth +
			  ch->ready[i].tag].state = SLOT_FREE;
	ch->ready_count -= count;
	memmove(ch->ready, ch->ready + count,
		ch->ready_count * sizeof(*ch->ready));
}

static void mark_position(struct channel *ch)
{
	struct log_position p = ch->cfg.ops->position(ch->cfg.ctx);

	for (unsigned int i = 0; i < ch->ready_count; i++) {
		ch->ready[i].sequence = p.sequence;
		ch->ready[i].header_crc = p.header_crc;
	}
}

static void channel_flush(struct channel *ch)
{
	int err;

	mark_position(ch);
	err = ch->rings ? channel_ring_flush(ch) : channel_message_flush(ch);
	if (err == -ENOMEM || err == -ENOBUFS || err == -EAGAIN) {
		ch->delayed++;
		env_timer_after(ch->cfg.env, &ch->retry, RETRY_NS);
	} else if (err) {
		channel_lose(ch, err, "cannot send completions of torus%u: %s",
			     ch->session.device.id, strerror(-err));
	}
}

static void submit(struct channel *ch, struct channel_slot *slot,
		   const struct torus_desc *desc)
{
	struct volume_request *req = &slot->req;

	memset(req, 0, sizeof(*req));
	req->op = volume_op_of[desc->op];
	req->fua = desc->flags & TORUS_IO_FLAG_FUA;
	req->offset = desc->offset;
	req->length = desc->length;
	if (desc->op == TORUS_OP_READ || desc->op == TORUS_OP_WRITE)
		req->buffer = ch->arena.memory + desc->arena_offset;
	req->done = request_done;
	req->ctx = slot;
	slot->state = SLOT_BUSY;
	ch->cfg.ops->submit(ch->cfg.ctx, req);
}

void channel_request(struct channel *ch, const struct torus_desc *desc)
{
	struct channel_slot *slot;
	int err = descriptor_check_slot(&ch->limits, desc);

	if (!err) {
		slot = &ch->slots[desc->queue * ch->limits.depth + desc->tag];
		err = slot->state == SLOT_FREE ? 0 : -EPROTO;
	}
	if (err) {
		channel_lose(ch, err, "the driver sent a request for queue %u, tag %u, which does not exist or is in use",
			     desc->queue, desc->tag);
		return;
	}
	slot->generation = desc->generation;
	slot->length = desc->length;
	slot->op = desc->op;
	err = descriptor_check(&ch->limits, desc);
	if (!err) {
		submit(ch, slot, desc);
		return;
	}
	log_warning("torus%u: refused a request: operation %u, %u bytes at %llu, arena offset %llu",
		    ch->session.device.id, desc->op, desc->length,
		    (unsigned long long)desc->offset,
		    (unsigned long long)desc->arena_offset);
	complete(slot, err);
}

/* ---- life ------------------------------------------------------------------- */

static void run_hook(struct env_hook *hook)
{
	struct channel *ch = container_of(hook, struct channel, hook);
	bool wants_data = ch->rings && ch->rings->wants_data;

	if ((ch->ready_count || wants_data) && !ch->over &&
	    !env_timer_armed(&ch->retry))
		channel_flush(ch);
}

static void retry(struct env_timer *timer)
{
	struct channel *ch = container_of(timer, struct channel, retry);

	if (!ch->over)
		channel_flush(ch);
}

static void readable(struct env_watch *watch, uint32_t revents)
{
	(void)revents;
	channel_receive(watch->ctx);
}

static void init_room(struct receive_room *room)
{
	for (int i = 0; i < RECEIVE_BATCH; i++) {
		room->iovs[i] = (struct iovec){ room->data[i],
						MESSAGE_SIZE_MAX };
		room->msgs[i].msg_hdr.msg_iov = &room->iovs[i];
		room->msgs[i].msg_hdr.msg_iovlen = 1;
		room->msgs[i].msg_hdr.msg_name = &room->from[i];
	}
}

static void init_slots(struct channel *ch)
{
	uint32_t depth = ch->limits.depth;

	for (uint32_t i = 0; i < ch->ready_room; i++) {
		ch->slots[i].channel = ch;
		ch->slots[i].queue = (uint16_t)(i / depth);
		ch->slots[i].tag = (uint16_t)(i % depth);
	}
}

int channel_prepare(struct channel *ch)
{
	const struct session_device *d = &ch->session.device;

	ch->limits = (struct descriptor_limits){
		.size = d->size, .block_size = d->block_size,
		.io_size_max = d->io_size_max, .queues = d->queues,
		.depth = d->depth, .arena_size = ch->arena.size,
	};
	ch->ready_room = d->queues * d->depth;
	ch->slots = calloc(ch->ready_room, sizeof(*ch->slots));
	ch->ready = calloc(ch->ready_room, sizeof(*ch->ready));
	ch->room = calloc(1, sizeof(*ch->room));
	if (!ch->slots || !ch->ready || !ch->room)
		return error_set(-ENOMEM, "out of memory");
	init_slots(ch);
	init_room(ch->room);
	list_init(&ch->hook.node);
	ch->hook.fn = run_hook;
	ch->watch.fn = readable;
	ch->watch.ctx = ch;
	env_timer_init(&ch->retry, retry);
	env_timer_init(&ch->lost_timer, tell_lost);
	data_head_init(&ch->head.data, TORUS_CMD_COMPLETE,
		       (uint16_t)ch->data.family, d->id, ch->session.id);
	return d->ring_entries ? channel_ring_prepare(ch) : 0;
}

static void channel_release(struct channel *ch)
{
	netlink_close(&ch->data);
	session_release(&ch->session);
	arena_release(&ch->arena);
	free(ch->slots);
	free(ch->ready);
	free(ch->room);
	free(ch->rings);
	free(ch);
}

static uint64_t all_queues(uint32_t queues)
{
	return queues == 64 ? UINT64_MAX : (1ull << queues) - 1;
}

static int check_device(const struct session_device *d)
{
	if (d->io_size_max > VOLUME_IO_MAX)
		return error_set(-EOPNOTSUPP, "/dev/torus%u was made for requests of %u KiB; this helper takes up to %u KiB",
				 d->id, d->io_size_max / 1024,
				 VOLUME_IO_MAX / 1024);
	return 0;
}

/* A driver without rings has refused before it changed anything. */
static int bind_device(struct channel *ch)
{
	const struct channel_config *cfg = &ch->cfg;
	int err = -EOPNOTSUPP;

	if (cfg->form != CHANNEL_MESSAGES)
		err = session_bind(&ch->session, cfg->device,
				   TORUS_CHANNEL_RING, ch->arena.fd,
				   cfg->takeover);
	if (err == -EOPNOTSUPP && cfg->form != CHANNEL_RING)
		err = session_bind(&ch->session, cfg->device,
				   TORUS_CHANNEL_MESSAGES, ch->arena.fd,
				   cfg->takeover);
	return err;
}

static int claim(struct channel *ch)
{
	int err = arena_init(&ch->arena, ch->cfg.arena_size);

	if (!err)
		err = bind_device(ch);
	if (!err)
		err = check_device(&ch->session.device);
	if (!err)
		err = netlink_open(&ch->data);
	if (!err)
		err = session_bind_queues(&ch->session, &ch->data,
					  all_queues(ch->session.device.queues));
	return err;
}

int channel_open(const struct channel_config *cfg, struct channel **channel)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	int err;

	if (!ch)
		return error_set(-ENOMEM, "out of memory");
	ch->cfg = *cfg;
	arena_clear(&ch->arena);
	err = claim(ch);
	if (!err)
		err = channel_prepare(ch);
	if (err) {
		channel_release(ch);
		return err;
	}
	ch->fd = netlink_fd(&ch->data);
	*channel = ch;
	return 0;
}

const struct session_device *channel_device(const struct channel *channel)
{
	return &channel->session.device;
}

uint64_t channel_session(const struct channel *channel)
{
	return channel->session.id;
}

void channel_remember(struct channel *channel, struct log_position remembered)
{
	channel->session.device.remembered = remembered;
}

void channel_resize(struct channel *channel, uint64_t size)
{
	channel->session.device.size = size;
	channel->limits.size = size;
}

int channel_start(struct channel *ch, struct log_position recovered,
		  struct log_position found, const struct uuid *incarnation)
{
	int err = env_uring_watch_fd(ch->cfg.env, &ch->watch, ch->fd, POLLIN);

	if (err)
		return error_set(err, "out of memory");
	env_uring_add_hook(ch->cfg.env, &ch->hook);
	if (ch->rings)
		channel_ring_start(ch);
	ch->started = true;
	return session_start(&ch->session, recovered, found, incarnation);
}

void channel_close(struct channel *ch)
{
	if (!ch)
		return;
	if (ch->started) {
		env_uring_unwatch(ch->cfg.env, &ch->watch);
		env_uring_remove_hook(ch->cfg.env, &ch->hook);
		if (ch->rings)
			channel_ring_stop(ch);
	}
	env_timer_cancel(ch->cfg.env, &ch->retry);
	env_timer_cancel(ch->cfg.env, &ch->lost_timer);
	channel_release(ch);
}
