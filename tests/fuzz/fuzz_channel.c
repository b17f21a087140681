// SPDX-License-Identifier: Apache-2.0
/*
 * What arrives on a data socket: a datagram, read to its end. Whatever passes
 * the checks must lie inside of the device and of the arena.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "front/message.h"

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
	free(copy);
	return 0;
}
