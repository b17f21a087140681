// SPDX-License-Identifier: Apache-2.0
#include <stddef.h>
#include <string.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "chance.h"
#include "message.h"

void message_begin(struct message *m, const struct spec_op *op, uint16_t family)
{
	memset(m, 0, offsetof(struct message, pool));
	m->op = op;
	m->family = family;
	m->cmd = op->cmd;
	m->version = 1;
	m->flags = NLM_F_REQUEST | NLM_F_ACK;
}

/* Copies into the pool, which is as long as the longest message. */
static bool store(struct message *m, struct message_field *field,
		  const void *data, size_t len)
{
	if (len > sizeof(m->pool) - m->pool_used)
		return false;
	field->at = m->pool_used;
	field->len = len;
	if (len)
		memcpy(m->pool + field->at, data, len);
	m->pool_used += NLA_ALIGN(len);
	return true;
}

struct message_field *message_put(struct message *m,
				  const struct spec_attr *attr, uint16_t type,
				  const void *data, size_t len)
{
	struct message_field *field = &m->fields[m->nr_fields];

	if (m->nr_fields == MESSAGE_FIELDS)
		return NULL;
	memset(field, 0, sizeof(*field));
	field->attr = attr;
	field->type = type;
	if (!store(m, field, data, len))
		return NULL;
	m->nr_fields++;
	return field;
}

struct message_field *message_find(struct message *m, uint16_t number)
{
	for (unsigned int i = m->nr_fields; i-- > 0;)
		if (m->fields[i].attr && m->fields[i].attr->number == number)
			return &m->fields[i];
	return NULL;
}

void *message_data(struct message *m, const struct message_field *field)
{
	return m->pool + field->at;
}

void message_set(struct message *m, struct message_field *field,
		 const void *data, size_t len)
{
	store(m, field, data, len);
}

void message_set_u32(struct message *m, uint16_t number, uint32_t value)
{
	struct message_field *field = message_find(m, number);

	if (field)
		message_set(m, field, &value, sizeof(value));
}

void message_set_u64(struct message *m, uint16_t number, uint64_t value)
{
	struct message_field *field = message_find(m, number);

	if (field)
		message_set(m, field, &value, sizeof(value));
}

uint64_t message_number(struct message *m, uint16_t number)
{
	const struct message_field *field = message_find(m, number);
	uint64_t value = 0;

	if (field)
		memcpy(&value, message_data(m, field),
		       field->len < sizeof(value) ? field->len : sizeof(value));
	return value;
}

void message_remove(struct message *m, struct message_field *field)
{
	unsigned int i = field - m->fields;

	m->nr_fields--;
	memmove(field, field + 1, (m->nr_fields - i) * sizeof(*field));
}

static size_t encode_field(const struct message *m,
			   const struct message_field *field, uint8_t *to)
{
	struct nlattr header = {
		.nla_type = field->type,
		.nla_len = field->claimed ? field->claimed :
			   NLA_HDRLEN + field->len,
	};

	memset(to, 0, NLA_HDRLEN + NLA_ALIGN(field->len));
	memcpy(to, &header, sizeof(header));
	memcpy(to + NLA_HDRLEN, m->pool + field->at, field->len);
	return NLA_HDRLEN + NLA_ALIGN(field->len);
}

/* Never the header: its type could make it another family's. */
static void flip_bits(const struct message *m, uint8_t *bytes, size_t len)
{
	size_t from = NLMSG_HDRLEN;

	struct chance c = { m->flip_seed };

	for (unsigned int i = 0; i < m->flips; i++)
		bytes[from + chance_below(&c, len - from)] ^=
			1 << chance_below(&c, 8);
}

size_t message_encode(const struct message *m, uint32_t seq, uint8_t *to)
{
	struct nlmsghdr header = {
		.nlmsg_type = m->family,
		.nlmsg_flags = m->flags,
		.nlmsg_seq = seq,
	};
	struct genlmsghdr genl = {
		.cmd = m->cmd,
		.version = m->version,
		.reserved = m->reserved,
	};
	size_t len = NLMSG_HDRLEN + GENL_HDRLEN;

	for (unsigned int i = 0; i < m->nr_fields; i++)
		len += encode_field(m, &m->fields[i], to + len);
	memset(to + len, 0, m->trailing);
	len += m->trailing;
	header.nlmsg_len = m->cut_told ? len - m->cut : len;
	memcpy(to, &header, sizeof(header));
	memcpy(to + NLMSG_HDRLEN, &genl, sizeof(genl));
	flip_bits(m, to, len);
	return len - m->cut;
}
