// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/genetlink.h>
#include <linux/torus.h>

#include "nl.h"
#include "port.h"

static uint16_t family;
static uint32_t group;

int port_init(void)
{
	struct nl nl;
	int ret = nl_open(&nl);

	if (ret)
		return ret;
	family = nl.family;
	group = nl.group;
	nl_close(&nl);
	return 0;
}

uint16_t port_family(void)
{
	return family;
}

int port_open(struct port *port)
{
	int one = 1;

	port->seq = 0;
	port->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (port->fd < 0)
		return -errno;
	if (setsockopt(port->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one,
		       sizeof(one)) ||
	    setsockopt(port->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one,
		       sizeof(one))) {
		int ret = -errno;

		port_close(port);
		return ret;
	}
	return 0;
}

void port_close(struct port *port)
{
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
}

/* A socket without a number of its own counts as the kernel's: no events. */
int port_join(struct port *port)
{
	struct sockaddr_nl any = { .nl_family = AF_NETLINK };

	if (bind(port->fd, (void *)&any, sizeof(any)))
		return -errno;
	if (setsockopt(port->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
		       sizeof(group)))
		return -errno;
	return 0;
}

static size_t attr_len(const struct nlattr *attr)
{
	return attr->nla_len - NLA_HDRLEN;
}

/* Walks the attributes from offset first of a netlink message. */
static const struct nlattr *find_attr(const struct nlmsghdr *hdr, size_t first,
				      uint16_t type)
{
	const uint8_t *at = (const uint8_t *)hdr + first;
	const uint8_t *end = (const uint8_t *)hdr + hdr->nlmsg_len;

	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const void *)at;

		if (attr->nla_len < NLA_HDRLEN || at + attr->nla_len > end)
			break;
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		at += NLA_ALIGN(attr->nla_len);
	}
	return NULL;
}

const struct nlattr *port_attr(const struct nlmsghdr *hdr, uint16_t type)
{
	return find_attr(hdr, NLMSG_HDRLEN + GENL_HDRLEN, type);
}

static uint64_t number_of(const struct nlattr *attr)
{
	uint64_t value = 0;

	if (attr)
		memcpy(&value, (const char *)attr + NLA_HDRLEN,
		       attr_len(attr) < 8 ? attr_len(attr) : 8);
	return value;
}

uint32_t port_u32(const struct nlmsghdr *hdr, uint16_t type)
{
	return number_of(port_attr(hdr, type));
}

uint64_t port_u64(const struct nlmsghdr *hdr, uint16_t type)
{
	return number_of(port_attr(hdr, type));
}

const struct nlattr *answer_attr(const struct answer *answer, uint16_t type)
{
	return answer->len ? port_attr((const void *)answer->data, type) : NULL;
}

uint64_t answer_number(const struct answer *answer, uint16_t type)
{
	return number_of(answer_attr(answer, type));
}

static void take_verdict(const struct nlmsghdr *hdr, struct answer *answer)
{
	const struct nlattr *text;

	if (hdr->nlmsg_len < NLMSG_LENGTH(sizeof(int)))
		return;
	answer->answered = true;
	memcpy(&answer->error, NLMSG_DATA(hdr), sizeof(int));
	if (hdr->nlmsg_type != NLMSG_ERROR)
		return;
	text = find_attr(hdr, NLMSG_LENGTH(sizeof(struct nlmsgerr)),
			 NLMSGERR_ATTR_MSG);
	if (text)
		snprintf(answer->text, sizeof(answer->text), "%.*s",
			 (int)attr_len(text), (const char *)text + NLA_HDRLEN);
}

static void take_part(const struct nlmsghdr *hdr, struct answer *answer)
{
	if (!answer->nr_parts++ && hdr->nlmsg_len <= sizeof(answer->data)) {
		memcpy(answer->data, hdr, hdr->nlmsg_len);
		answer->len = hdr->nlmsg_len;
	}
	if (hdr->nlmsg_flags & NLM_F_MULTI &&
	    answer->nr_ids < sizeof(answer->ids) / sizeof(*answer->ids))
		answer->ids[answer->nr_ids++] = port_u32(hdr, TORUS_A_DEV_ID);
}

static void take_datagram(const uint8_t *data, size_t len, uint32_t seq,
			  struct answer *answer, port_event *event, void *ctx)
{
	while (len >= NLMSG_HDRLEN) {
		const struct nlmsghdr *hdr = (const void *)data;
		size_t step = NLMSG_ALIGN(hdr->nlmsg_len);

		if (hdr->nlmsg_len < NLMSG_HDRLEN || hdr->nlmsg_len > len)
			return;
		if (hdr->nlmsg_type == family && !hdr->nlmsg_seq) {
			if (event)
				event(ctx, hdr);
		} else if (answer && hdr->nlmsg_seq == seq) {
			if (hdr->nlmsg_type == NLMSG_ERROR ||
			    hdr->nlmsg_type == NLMSG_DONE)
				take_verdict(hdr, answer);
			else
				take_part(hdr, answer);
		}
		if (step >= len)
			return;
		data += step;
		len -= step;
	}
}

int port_take(struct port *port, uint32_t seq, struct answer *answer,
	      port_event *event, void *ctx)
{
	_Alignas(8) uint8_t data[32768];
	bool lost = false;
	ssize_t n;

	for (;;) {
		n = recv(port->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && errno != ENOBUFS)
			return errno != EAGAIN ? -errno : lost ? -ENOBUFS : 0;
		/* Events were lost; what is behind them is not. */
		lost |= n < 0;
		if (n >= 0)
			take_datagram(data, n, seq, answer, event, ctx);
	}
}

int port_call(struct port *port, const struct message *m, struct answer *answer,
	      port_event *event, void *ctx)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	_Alignas(8) uint8_t bytes[MESSAGE_ENCODED];
	uint32_t seq = ++port->seq;
	size_t len = message_encode(m, seq, bytes);

	memset(answer, 0, offsetof(struct answer, data));
	answer->nr_parts = answer->nr_ids = 0;
	if (sendto(port->fd, bytes, len, 0, (void *)&to, sizeof(to)) < 0)
		return -errno;
	return port_take(port, seq, answer, event, ctx);
}
