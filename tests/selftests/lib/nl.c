// SPDX-License-Identifier: Apache-2.0
/*
 * Just enough of generic netlink, on plain sockets, so that tests can also send
 * what no library would.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/genetlink.h>
#include <linux/torus.h>

#include "nl.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static struct nlmsghdr *header(const struct nl_msg *msg)
{
	return (struct nlmsghdr *)msg->data;
}

static void begin(struct nl *nl, struct nl_msg *msg, uint16_t type, uint8_t cmd,
		  uint16_t flags)
{
	struct genlmsghdr *genl;

	memset(msg->data, 0, NLMSG_LENGTH(GENL_HDRLEN));
	msg->len = NLMSG_LENGTH(GENL_HDRLEN);
	header(msg)->nlmsg_type = type;
	header(msg)->nlmsg_flags = NLM_F_REQUEST | flags;
	header(msg)->nlmsg_seq = ++nl->seq;
	genl = NLMSG_DATA(header(msg));
	genl->cmd = cmd;
	genl->version = 1;
}

void nl_begin(struct nl *nl, struct nl_msg *msg, uint8_t cmd, uint16_t flags)
{
	begin(nl, msg, nl->family, cmd, flags);
}

void nl_put(struct nl_msg *msg, uint16_t type, const void *data, size_t len)
{
	struct nlattr *attr = (struct nlattr *)(msg->data + msg->len);

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy((char *)attr + NLA_HDRLEN, data, len);
	msg->len += NLA_ALIGN(attr->nla_len);
}

void nl_put_u8(struct nl_msg *msg, uint16_t type, uint8_t value)
{
	nl_put(msg, type, &value, sizeof(value));
}

void nl_put_u32(struct nl_msg *msg, uint16_t type, uint32_t value)
{
	nl_put(msg, type, &value, sizeof(value));
}

void nl_put_u64(struct nl_msg *msg, uint16_t type, uint64_t value)
{
	nl_put(msg, type, &value, sizeof(value));
}

void nl_put_str(struct nl_msg *msg, uint16_t type, const char *value)
{
	nl_put(msg, type, value, strlen(value) + 1);
}

void nl_put_flag(struct nl_msg *msg, uint16_t type)
{
	nl_put(msg, type, NULL, 0);
}

int nl_send(struct nl *nl, struct nl_msg *msg)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };

	header(msg)->nlmsg_len = msg->len;
	if (sendto(nl->fd, msg->data, msg->len, 0, (void *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

int nl_receive(struct nl *nl, struct nl_msg *msg, int timeout_ms)
{
	struct pollfd pfd = { .fd = nl->fd, .events = POLLIN };
	struct sockaddr_nl from;
	socklen_t from_len;
	ssize_t n;

	for (;;) {
		n = poll(&pfd, 1, timeout_ms);
		if (n < 0)
			return -errno;
		if (!n)
			return -EAGAIN;
		from_len = sizeof(from);
		n = recvfrom(nl->fd, msg->data, sizeof(msg->data), MSG_DONTWAIT,
			     (void *)&from, &from_len);
		if (n < 0)
			return -errno;
		/* Only the kernel is believed. */
		if (from.nl_pid != 0)
			continue;
		msg->len = n;
		return 0;
	}
}

/* One attribute of an error: its text, or which attribute it is about. */
static void take_error_attr(struct nl *nl, const struct nl_msg *sent,
			    const struct nlattr *attr)
{
	const char *data = (const char *)attr + NLA_HDRLEN;
	struct nlattr named;
	uint32_t value;

	if ((attr->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
		snprintf(nl->error, sizeof(nl->error), "%s", data);
		return;
	}
	if (attr->nla_len < NLA_HDRLEN + sizeof(value))
		return;
	memcpy(&value, data, sizeof(value));
	if ((attr->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MISS_TYPE) {
		nl->missing = value;
	} else if ((attr->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_OFFS &&
		   value + sizeof(named) <= sent->len) {
		memcpy(&named, sent->data + value, sizeof(named));
		nl->wrong = named.nla_type & NLA_TYPE_MASK;
	}
}

static void find_error_text(struct nl *nl, const struct nl_msg *sent,
			    const struct nlmsghdr *hdr)
{
	const struct nlmsgerr *err = NLMSG_DATA(hdr);
	size_t skip = sizeof(*err);
	const char *p, *end = (const char *)hdr + hdr->nlmsg_len;

	if (!(hdr->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(hdr->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - NLMSG_HDRLEN;
	for (p = (const char *)err + NLMSG_ALIGN(skip);
	     p + NLA_HDRLEN <= end;) {
		const struct nlattr *attr = (const void *)p;

		if (attr->nla_len < NLA_HDRLEN)
			return;
		take_error_attr(nl, sent, attr);
		p += NLA_ALIGN(attr->nla_len);
	}
}

int nl_call(struct nl *nl, struct nl_msg *msg, struct nl_msg *answer)
{
	uint32_t seq = header(msg)->nlmsg_seq;
	struct nl_msg in;
	int ret;

	nl->error[0] = 0;
	nl->wrong = 0;
	nl->missing = 0;
	if (answer)
		answer->len = 0;
	header(msg)->nlmsg_flags |= NLM_F_ACK;
	ret = nl_send(nl, msg);
	if (ret)
		return ret;
	for (;;) {
		struct nlmsghdr *hdr = header(&in);

		ret = nl_receive(nl, &in, 10000);
		if (ret)
			return ret;
		if (hdr->nlmsg_seq != seq)
			continue;
		if (hdr->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *err = NLMSG_DATA(hdr);

			find_error_text(nl, msg, hdr);
			return err->error;
		}
		if (hdr->nlmsg_type == NLMSG_DONE)
			return *(const int *)NLMSG_DATA(hdr);
		if (answer)
			memcpy(answer, &in, sizeof(in));
	}
}

const struct nlattr *nl_attr_at(const struct nlmsghdr *hdr, uint16_t type)
{
	const char *p = (const char *)hdr + NLMSG_LENGTH(GENL_HDRLEN);
	const char *end = (const char *)hdr + hdr->nlmsg_len;

	while (p + NLA_HDRLEN <= end) {
		const struct nlattr *attr = (const void *)p;

		if (attr->nla_len < NLA_HDRLEN)
			return NULL;
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		p += NLA_ALIGN(attr->nla_len);
	}
	return NULL;
}

const struct nlattr *nl_attr(const struct nl_msg *msg, uint16_t type)
{
	return msg->len ? nl_attr_at(header(msg), type) : NULL;
}

const void *nl_data(const struct nlattr *attr)
{
	return (const char *)attr + NLA_HDRLEN;
}

size_t nl_len(const struct nlattr *attr)
{
	return attr->nla_len - NLA_HDRLEN;
}

uint32_t nl_u32(const struct nl_msg *msg, uint16_t type)
{
	const struct nlattr *attr = nl_attr(msg, type);
	uint32_t value = 0;

	if (attr)
		memcpy(&value, nl_data(attr),
		       nl_len(attr) < 4 ? nl_len(attr) : 4);
	return value;
}

uint64_t nl_u64(const struct nl_msg *msg, uint16_t type)
{
	const struct nlattr *attr = nl_attr(msg, type);
	uint64_t value = 0;

	if (attr && nl_len(attr) >= 8)
		memcpy(&value, nl_data(attr), 8);
	return value;
}

uint8_t nl_cmd(const struct nl_msg *msg)
{
	const struct genlmsghdr *genl = NLMSG_DATA(header(msg));

	return genl->cmd;
}

static int find_group(struct nl *nl, const struct nlattr *groups)
{
	const char *p = nl_data(groups), *end = p + nl_len(groups);

	while (p + NLA_HDRLEN <= end) {
		const struct nlattr *group = (const void *)p;
		const char *q = nl_data(group), *qend = q + nl_len(group);

		for (; q + NLA_HDRLEN <= qend;
		     q += NLA_ALIGN(((const struct nlattr *)q)->nla_len)) {
			const struct nlattr *attr = (const void *)q;

			if (attr->nla_type == CTRL_ATTR_MCAST_GRP_ID)
				memcpy(&nl->group, nl_data(attr), 4);
		}
		p += NLA_ALIGN(group->nla_len);
	}
	return nl->group ? 0 : -ENOENT;
}

static int resolve(struct nl *nl)
{
	struct nl_msg msg, answer;
	const struct nlattr *groups;
	int ret;

	begin(nl, &msg, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	nl_put_str(&msg, CTRL_ATTR_FAMILY_NAME, TORUS_FAMILY_NAME);
	ret = nl_call(nl, &msg, &answer);
	if (ret)
		return ret;
	memcpy(&nl->family, nl_data(nl_attr(&answer, CTRL_ATTR_FAMILY_ID)), 2);
	groups = nl_attr(&answer, CTRL_ATTR_MCAST_GROUPS);
	return groups ? find_group(nl, groups) : -ENOENT;
}

int nl_open(struct nl *nl)
{
	int one = 1, ret;

	memset(nl, 0, sizeof(*nl));
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (nl->fd < 0)
		return -errno;
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	ret = resolve(nl);
	if (ret)
		nl_close(nl);
	return ret;
}

void nl_close(struct nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

int nl_join(struct nl *nl)
{
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &nl->group,
		       sizeof(nl->group)))
		return -errno;
	return 0;
}
