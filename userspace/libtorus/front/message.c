// SPDX-License-Identifier: Apache-2.0
#include "front/message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "front/netlink.h"

_Static_assert(sizeof(struct torus_desc) == TORUS_DESC_SIZE, "uapi");
_Static_assert(offsetof(struct torus_desc, arena_offset) == 24, "uapi");
_Static_assert(sizeof(struct torus_completion) == TORUS_COMPLETION_SIZE, "uapi");
_Static_assert(offsetof(struct torus_completion, header_crc) == 24, "uapi");

#define ZEROES_SIZE_MAX (1u << 30)

/* ---- in ------------------------------------------------------------------- */

struct attributes {
	const uint8_t *data[TORUS_A_IO_MAX + 1];
	size_t len[TORUS_A_IO_MAX + 1];
};

/* Attributes that are not known are skipped; the last one of a type counts. */
static int find_attributes(const uint8_t *at, size_t left, struct attributes *a)
{
	struct nlattr attr;
	unsigned int type;
	size_t step;

	memset(a, 0, sizeof(*a));
	while (left >= NLA_HDRLEN) {
		memcpy(&attr, at, sizeof(attr));
		if (attr.nla_len < NLA_HDRLEN || attr.nla_len > left)
			return -EBADMSG;
		type = attr.nla_type & NLA_TYPE_MASK;
		if (type <= TORUS_A_IO_MAX) {
			a->data[type] = at + NLA_HDRLEN;
			a->len[type] = attr.nla_len - NLA_HDRLEN;
		}
		step = NLA_ALIGN((size_t)attr.nla_len);
		if (step >= left)
			return 0;
		at += step;
		left -= step;
	}
	return 0;
}

static int read_descriptors(const uint8_t *at, size_t len, struct message *m)
{
	struct attributes a;
	size_t bytes;

	if (find_attributes(at, len, &a) ||
	    a.len[TORUS_A_IO_DEV_ID] != sizeof(m->device) ||
	    a.len[TORUS_A_IO_SESSION_ID] != sizeof(m->session) ||
	    !a.data[TORUS_A_IO_DESCRIPTORS])
		return -EBADMSG;
	bytes = a.len[TORUS_A_IO_DESCRIPTORS];
	if (bytes == 0 || bytes % TORUS_DESC_SIZE)
		return -EBADMSG;
	memcpy(&m->device, a.data[TORUS_A_IO_DEV_ID], sizeof(m->device));
	memcpy(&m->session, a.data[TORUS_A_IO_SESSION_ID], sizeof(m->session));
	m->descriptors = a.data[TORUS_A_IO_DESCRIPTORS];
	m->count = bytes / TORUS_DESC_SIZE;
	m->kind = MESSAGE_DESCRIPTORS;
	return 0;
}

static int read_one(const struct nlmsghdr *hdr, uint16_t family,
		    struct message *m)
{
	const uint8_t *genl = (const uint8_t *)hdr + NLMSG_HDRLEN;
	size_t len = hdr->nlmsg_len - NLMSG_HDRLEN;

	memset(m, 0, sizeof(*m));
	m->kind = MESSAGE_OTHER;
	if (hdr->nlmsg_type == NLMSG_ERROR) {
		m->sentence = netlink_refusal(hdr, &m->err);
		if (m->err)
			m->kind = MESSAGE_REFUSAL;
		return 0;
	}
	if (hdr->nlmsg_type != family || len < GENL_HDRLEN ||
	    genl[0] != TORUS_CMD_REQUEST)
		return 0;
	return read_descriptors(genl + GENL_HDRLEN, len - GENL_HDRLEN, m);
}

int message_next(struct message_reader *r, struct message *m)
{
	const struct nlmsghdr *hdr = (const struct nlmsghdr *)r->at;
	size_t step;

	if (r->left == 0)
		return 0;
	if (r->left < NLMSG_HDRLEN || hdr->nlmsg_len < NLMSG_HDRLEN ||
	    hdr->nlmsg_len > r->left)
		return -EBADMSG;
	if (read_one(hdr, r->family, m))
		return -EBADMSG;
	step = NLMSG_ALIGN((size_t)hdr->nlmsg_len);
	if (step > r->left)
		step = r->left;
	r->at += step;
	r->left -= step;
	return 1;
}

void message_descriptor(const struct message *m, size_t i,
			struct torus_desc *desc)
{
	memcpy(desc, m->descriptors + i * TORUS_DESC_SIZE, sizeof(*desc));
}

int descriptor_check_slot(const struct descriptor_limits *limits,
			  const struct torus_desc *desc)
{
	if (desc->queue >= limits->queues || desc->tag >= limits->depth)
		return -EPROTO;
	return 0;
}

static bool range_is_good(const struct descriptor_limits *limits,
			  const struct torus_desc *desc, uint32_t length_max)
{
	return desc->length > 0 && desc->length <= length_max &&
	       desc->length % limits->block_size == 0 &&
	       desc->offset % limits->block_size == 0 &&
	       desc->offset <= limits->size &&
	       desc->length <= limits->size - desc->offset;
}

static bool data_is_good(const struct descriptor_limits *limits,
			 const struct torus_desc *desc)
{
	return desc->arena_offset % TORUS_ARENA_UNIT == 0 &&
	       desc->arena_offset <= limits->arena_size &&
	       desc->length <= limits->arena_size - desc->arena_offset;
}

int descriptor_check(const struct descriptor_limits *limits,
		     const struct torus_desc *desc)
{
	bool good;

	if (desc->reserved ||
	    desc->flags & ~(TORUS_IO_FLAG_FUA | TORUS_IO_FLAG_NOUNMAP))
		return -EINVAL;
	switch (desc->op) {
	case TORUS_OP_READ:
	case TORUS_OP_WRITE:
		good = range_is_good(limits, desc, limits->io_size_max) &&
		       data_is_good(limits, desc);
		break;
	case TORUS_OP_DISCARD:
	case TORUS_OP_WRITE_ZEROES:
		good = range_is_good(limits, desc, ZEROES_SIZE_MAX);
		break;
	case TORUS_OP_FLUSH:
		good = desc->length == 0;
		break;
	default:
		return -EOPNOTSUPP;
	}
	return good ? 0 : -EINVAL;
}

/* ---- out ------------------------------------------------------------------ */

static struct nlattr attribute(uint16_t type, size_t len)
{
	return (struct nlattr){ .nla_len = (uint16_t)(NLA_HDRLEN + len),
				.nla_type = type };
}

void data_head_init(struct data_head *head, uint8_t command, uint16_t family,
		    uint32_t device, uint64_t session)
{
	memset(head, 0, sizeof(*head));
	head->nl.nlmsg_len = sizeof(*head);
	head->nl.nlmsg_type = family;
	/* No acknowledgement is asked for: only a refusal is told. */
	head->nl.nlmsg_flags = NLM_F_REQUEST;
	head->genl.cmd = command;
	head->genl.version = TORUS_FAMILY_VERSION;
	head->device_attr = attribute(TORUS_A_IO_DEV_ID, sizeof(device));
	head->device = device;
	head->session_attr = attribute(TORUS_A_IO_SESSION_ID, sizeof(session));
	head->session = session;
}

void completions_head_set(struct completions_head *head, unsigned int count)
{
	size_t bytes = count * sizeof(struct torus_completion);

	head->entries_attr = attribute(TORUS_A_IO_COMPLETIONS, bytes);
	head->data.nl.nlmsg_len = (uint32_t)(sizeof(*head) + bytes);
	head->data.nl.nlmsg_seq++;
}

enum torus_result result_of(uint8_t op, int err)
{
	switch (err) {
	case 0:
		return TORUS_RESULT_OK;
	case -ENOSPC:
		return TORUS_RESULT_NO_SPACE;
	case -ETIMEDOUT:
		return TORUS_RESULT_TIMEOUT;
	case -ESTALE:
		return TORUS_RESULT_LOST;
	case -EOPNOTSUPP:
		return TORUS_RESULT_NOT_SUPPORTED;
	case -EIO:
	case -EBADMSG:
		/* The engine says so only when no owner has a good copy. */
		if (op == TORUS_OP_READ)
			return TORUS_RESULT_MEDIUM;
		return TORUS_RESULT_IO_ERROR;
	default:
		return TORUS_RESULT_IO_ERROR;
	}
}
