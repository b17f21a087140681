// SPDX-License-Identifier: Apache-2.0
/*
 * What arrives on a data socket: a datagram, read to its end, and the same
 * given to a channel. Whatever passes the checks must lie inside of the device
 * and of the arena, and there must be room for every completion.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "front/channel_priv.h"

#define FAMILY 31

static const struct descriptor_limits limits = {
	.size = 1 << 30,
	.block_size = 512,
	.io_size_max = 1 << 20,
	.queues = 2,
	.depth = 128,
	.arena_size = 4 << 20,
};

static void check(const struct torus_desc *desc)
{
	if (descriptor_check_slot(&limits, desc) ||
	    descriptor_check(&limits, desc) || desc->op == TORUS_OP_FLUSH)
		return;
	if (desc->offset + desc->length > limits.size || !desc->length)
		abort();
	if (desc->op <= TORUS_OP_WRITE &&
	    desc->arena_offset + desc->length > limits.arena_size)
		abort();
}

static void use(const struct message *m)
{
	struct torus_desc desc;

	if (m->kind == MESSAGE_REFUSAL && m->sentence &&
	    strlen(m->sentence) > MESSAGE_SIZE_MAX)
		abort();
	if (m->kind != MESSAGE_DESCRIPTORS)
		return;
	for (size_t i = 0; i < m->count; i++) {
		message_descriptor(m, i, &desc);
		check(&desc);
	}
}

/* ---- the channel: a clock that stands still, an engine that is at once done */

static uint64_t now(struct env *env)
{
	return 1;
}

static void set_timer(struct env *env, struct env_timer *timer, uint64_t when)
{
}

static const struct env_ops env_ops = { .now = now, .timer_set = set_timer };
static struct env env = { &env_ops };

static void submit(void *ctx, struct volume_request *req)
{
	if (req->buffer)
		memset(req->buffer, 1, req->length);
	req->done(req, req->length % 8192 ? -5 : 0);
}

static const struct channel_ops channel_ops = { .submit = submit };

static struct channel *new_channel(void)
{
	struct channel *ch = calloc(1, sizeof(*ch));

	if (!ch)
		abort();
	ch->cfg = (struct channel_config){ .env = &env, .ops = &channel_ops };
	ch->data.family = FAMILY;
	ch->session.id = 99;
	ch->session.device = (struct session_device){
		.id = 7, .size = limits.size, .block_size = 512, .queues = 2,
		.depth = 4, .io_size_max = limits.io_size_max,
	};
	arena_clear(&ch->arena);
	ch->arena.size = limits.arena_size;
	ch->arena.memory = malloc(limits.arena_size);
	if (!ch->arena.memory || channel_prepare(ch))
		abort();
	return ch;
}

static void feed(const uint8_t *datagram, size_t len)
{
	static struct channel *ch;

	if (!ch)
		ch = new_channel();
	log_set_sink(NULL);
	channel_take(ch, datagram, len);
	if (ch->ready_count > ch->ready_room)
		abort();
	channel_sent(ch, ch->ready_count);
	ch->over = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_reader r = { .family = FAMILY };
	struct message m;
	uint8_t *copy;

	if (size > MESSAGE_SIZE_MAX)
		return 0;
	copy = malloc(size ? size : 1);	/* of its very length, for ASan */
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	r.at = copy;
	r.left = size;
	while (message_next(&r, &m) > 0)
		use(&m);
	feed(copy, size);
	free(copy);
	return 0;
}
