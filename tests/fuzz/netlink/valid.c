// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices.h"
#include "valid.h"

#define VOLUMES 24

/* Mostly small, sometimes as large as it may be. */
static uint32_t some(struct chance *c, uint32_t usual, uint32_t most)
{
	if (chance_one_in(c, 60))
		return most;
	return 1 + chance_below(c, usual);
}

static uint64_t some_size(struct chance *c)
{
	if (chance_one_in(c, 60))
		return INT64_MAX & ~4095ull;
	return 4096ull * (1 + chance_below(c, 16384));
}

static void put_number(struct message *m, const struct spec_attr *attr,
		       uint64_t value)
{
	message_put(m, attr, attr->number, &value, attr->size);
}

static void put_volume(struct message *m, const struct spec_attr *attr,
		       struct chance *c)
{
	char name[TORUS_VOLUME_NAME_MAX + 1];
	int len = snprintf(name, sizeof(name), "fuzz-%u",
			   (unsigned int)chance_below(c, VOLUMES));

	if (chance_one_in(c, 40)) {
		memset(name + len, '~', sizeof(name) - 1 - len);
		len = sizeof(name) - 1;
		name[len] = 0;
	}
	message_put(m, attr, attr->number, name, len + 1);
}

static uint64_t dev_value(const struct message *m, const struct spec_attr *attr,
			  const struct subject *s, struct chance *c)
{
	switch (attr->number) {
	case TORUS_A_DEV_ID:
		if (m->op->cmd != TORUS_CMD_DEV_ADD)
			return s->dev_id;
		return chance_one_in(c, 40) ? DEVICES_ID_LAST :
					      chance_below(c, DEVICES_IDS);
	case TORUS_A_DEV_SIZE:
		return some_size(c);
	case TORUS_A_DEV_BLOCK_SIZE:
		return chance_one_in(c, 2) ? 512 : 4096;
	case TORUS_A_DEV_QUEUES:
		return some(c, 3, TORUS_QUEUES_MAX);
	case TORUS_A_DEV_DEPTH:
		return some(c, 32, TORUS_DEPTH_MAX);
	case TORUS_A_DEV_IO_SIZE_MAX:
		return 4096ull * some(c, 16, TORUS_IO_SIZE_LIMIT / 4096);
	case TORUS_A_DEV_IO_TIMEOUT_MS:
		return some(c, 2000, TORUS_TIMEOUT_MS_LIMIT);
	case TORUS_A_DEV_DEAD_TIMEOUT_MS:
		return some(c, 3000, TORUS_TIMEOUT_MS_LIMIT) - 1;
	case TORUS_A_DEV_READ_ONLY:
		return chance_one_in(c, 4);
	}
	return chance_u64(c);
}

static uint64_t session_value(const struct spec_attr *attr,
			      const struct subject *s, struct chance *c)
{
	const struct session *session = s->session;

	switch (attr->number) {
	case TORUS_A_SESSION_DEV_ID:
		return s->dev_id;
	case TORUS_A_SESSION_ID:
		return session->id;
	case TORUS_A_SESSION_CHANNEL:
		return session->form;
	case TORUS_A_SESSION_ARENA_FD:
		return session->arena_fd;
	case TORUS_A_SESSION_QUEUE_MASK:
		return s->mask;
	case TORUS_A_SESSION_SEQUENCE:
		return session->remembered + chance_below(c, 3);
	case TORUS_A_SESSION_CHECK_CRC:
		return session->remembered_crc;
	}
	return chance_u64(c);
}

/* The record that a start names is the remembered one, or one after it. */
static void settle_start(struct message *m, struct session *session)
{
	uint64_t sequence = message_number(m, TORUS_A_SESSION_SEQUENCE);

	session->sequence = sequence;
	message_set_u32(m, TORUS_A_SESSION_HEADER_CRC,
			sequence == session->remembered ?
			session->remembered_crc : session_crc(sequence));
}

/* Half of them in the order of their arrival would be too tidy. */
static void put_completions(struct message *m, const struct spec_attr *attr,
			    const struct subject *s, struct chance *c)
{
	unsigned int which = s->port == &s->session->data[1], most, nr = 0;
	struct session_pending *pending = &s->session->pending[which];
	struct torus_completion array[TORUS_COMPLETION_BATCH];
	uint64_t mask = s->session->masks[which];

	most = pending->nr;
	if (most > TORUS_COMPLETION_BATCH)
		most = TORUS_COMPLETION_BATCH;
	if (most && chance_one_in(c, 4))
		most = 1 + chance_below(c, most);
	while (nr < most)
		session_finish(s->session, pending,
			       chance_below(c, pending->nr), &array[nr++]);
	if (!nr) {
		memset(array, 0, sizeof(*array));
		array[nr++].queue = mask ? __builtin_ctzll(mask) : 0;
	}
	message_put(m, attr, attr->number, array, nr * sizeof(*array));
}

static void put_binary(struct message *m, const struct spec_attr *attr,
		       struct subject *s, struct chance *c)
{
	uint8_t bytes[64] = {};

	if (attr->entry) {
		put_completions(m, attr, s, c);
		return;
	}
	chance_bytes(c, bytes, sizeof(bytes));
	if (m->op->cmd == TORUS_CMD_SESSION_START)
		memcpy(bytes, s->session->incarnation,
		       sizeof(s->session->incarnation));
	message_put(m, attr, attr->number, bytes, attr->size);
}

static uint64_t value_of(const struct message *m, const struct spec_attr *attr,
			 const struct subject *s, struct chance *c)
{
	switch (m->op->cmd) {
	case TORUS_CMD_DEV_ADD:
	case TORUS_CMD_DEV_DEL:
	case TORUS_CMD_DEV_GET:
	case TORUS_CMD_DEV_SET:
		return dev_value(m, attr, s, c);
	case TORUS_CMD_COMPLETE:
	case TORUS_CMD_DRAIN:
		return attr->number == TORUS_A_IO_DEV_ID ? s->dev_id :
							   s->session->id;
	}
	return session_value(attr, s, c);
}

static void put_attr(struct message *m, const struct spec_attr *attr,
		     struct subject *s, struct chance *c)
{
	switch (attr->kind) {
	case SPEC_NUMBER:
		put_number(m, attr, value_of(m, attr, s, c));
		break;
	case SPEC_STRING:
		put_volume(m, attr, c);
		break;
	case SPEC_BINARY:
		put_binary(m, attr, s, c);
		break;
	case SPEC_FLAG:
		message_put(m, attr, attr->number, NULL, 0);
		break;
	}
}

static bool is_wanted(const struct spec_op *op, const struct spec_use *use,
		      const struct subject *s, struct chance *c)
{
	if (use->required || s->whole)
		return true;
	if (op->cmd == TORUS_CMD_SESSION_START)
		return true;
	if (op->cmd == TORUS_CMD_DEV_SET &&
	    use->attr->number == TORUS_A_DEV_FAIL)
		return chance_one_in(c, 10);
	return chance_one_in(c, use->attr->kind == SPEC_FLAG ? 3 : 2);
}

static struct port *port_for(const struct spec_op *op, struct subject *s)
{
	switch (op->cmd) {
	case TORUS_CMD_SESSION_BIND:
	case TORUS_CMD_SESSION_START:
	case TORUS_CMD_SESSION_END:
		return &s->session->control;
	case TORUS_CMD_SESSION_QUEUE:
	case TORUS_CMD_COMPLETE:
	case TORUS_CMD_DRAIN:
		return &s->session->data[!s->session->masks[0]];
	}
	return s->stranger;
}

/* In any order: the driver must not care. */
static void shuffle(struct message *m, struct chance *c)
{
	for (unsigned int i = m->nr_fields; i > 1; i--) {
		struct message_field *a = &m->fields[i - 1];
		struct message_field *b = &m->fields[chance_below(c, i)];
		struct message_field other = *a;

		*a = *b;
		*b = other;
	}
}

void valid_fill(struct message *m, const struct spec_op *op, struct subject *s,
		struct chance *c)
{
	message_begin(m, op, port_family());
	if (!s->port)
		s->port = port_for(op, s);
	if (op->has_dump && !s->whole && chance_one_in(c, 4)) {
		m->flags |= NLM_F_DUMP;
		return;
	}
	for (unsigned int i = 0; i < op->nr_uses; i++)
		if (is_wanted(op, &op->uses[i], s, c))
			put_attr(m, op->uses[i].attr, s, c);
	if (op->cmd == TORUS_CMD_DEV_SET && m->nr_fields == 1)
		put_attr(m, op->uses[1 + chance_below(c, 4)].attr, s, c);
	if (op->cmd == TORUS_CMD_SESSION_START)
		settle_start(m, s->session);
	if (chance_one_in(c, 4))
		shuffle(m, c);
}

bool valid_may_fail(const struct message *m, const struct answer *answer)
{
	static const struct { uint8_t cmd; int errors[6]; } table[] = {
		{ TORUS_CMD_DEV_ADD, { EEXIST, ENOSPC } },
		{ TORUS_CMD_DEV_DEL, { ENODEV, EBUSY, EALREADY } },
		{ TORUS_CMD_DEV_GET, { ENODEV } },
		{ TORUS_CMD_DEV_SET, { ENODEV, EBUSY } },
		{ TORUS_CMD_SESSION_BIND, { ENODEV, EBUSY, EIO } },
		{ TORUS_CMD_SESSION_QUEUE, { ENODEV, ESTALE, EBUSY } },
		{ TORUS_CMD_SESSION_START, { ENODEV, ESTALE, EALREADY } },
		{ TORUS_CMD_SESSION_END, { ENODEV, ESTALE } },
		{ TORUS_CMD_COMPLETE, { ENODEV, ESTALE } },
		{ TORUS_CMD_DRAIN, { ENODEV, ESTALE } },
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(*table); i++)
		for (unsigned int j = 0; table[i].cmd == m->op->cmd &&
		     j < 6 && table[i].errors[j]; j++)
			if (answer->error == -table[i].errors[j])
				return true;
	/*
	 * Its arena was made for the device that had this id before, or is what
	 * a spoilt message has bound already.
	 */
	return m->op->cmd == TORUS_CMD_SESSION_BIND &&
	       answer->error == -EINVAL &&
	       (strstr(answer->text, "io-size-max") ||
		strstr(answer->text, "another session"));
}
