/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELFTEST_NL_H
#define SELFTEST_NL_H

#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>

/* A generic netlink socket that knows the family torus. */
struct nl {
	int fd;
	uint16_t family;
	uint32_t group;
	uint32_t seq;
	char error[160];
	/* of the newest refusal: the attribute that it names as wrong, as missing */
	uint16_t wrong;
	uint16_t missing;
};

/* A message: being built, or received. */
struct nl_msg {
	size_t len;
	_Alignas(8) char data[16384];
};

/* Opens a socket and resolves the family. 0, -ENOENT without it, or -errno. */
int nl_open(struct nl *nl);
void nl_close(struct nl *nl);

/* Joins the multicast group of state changes. */
int nl_join(struct nl *nl);

/* Begins a command of the family. */
void nl_begin(struct nl *nl, struct nl_msg *msg, uint8_t cmd, uint16_t flags);
void nl_put(struct nl_msg *msg, uint16_t type, const void *data, size_t len);
void nl_put_u8(struct nl_msg *msg, uint16_t type, uint8_t value);
void nl_put_u32(struct nl_msg *msg, uint16_t type, uint32_t value);
void nl_put_u64(struct nl_msg *msg, uint16_t type, uint64_t value);
void nl_put_str(struct nl_msg *msg, uint16_t type, const char *value);
void nl_put_flag(struct nl_msg *msg, uint16_t type);

/* Sends without waiting for an answer. 0 or -errno. */
int nl_send(struct nl *nl, struct nl_msg *msg);

/*
 * Sends and waits for the acknowledgement; what comes before it, if anything,
 * is left in answer (may be NULL). Returns 0 or what the kernel said, whose
 * explanation is then in nl->error.
 */
int nl_call(struct nl *nl, struct nl_msg *msg, struct nl_msg *answer);

/* Receives one datagram; timeout in ms, -1 for ever. -EAGAIN after it. */
int nl_receive(struct nl *nl, struct nl_msg *msg, int timeout_ms);

/* The attribute of a genl message, or NULL. */
const struct nlattr *nl_attr(const struct nl_msg *msg, uint16_t type);
const struct nlattr *nl_attr_at(const struct nlmsghdr *hdr, uint16_t type);
uint32_t nl_u32(const struct nl_msg *msg, uint16_t type);
uint64_t nl_u64(const struct nl_msg *msg, uint16_t type);
const void *nl_data(const struct nlattr *attr);
size_t nl_len(const struct nlattr *attr);
uint8_t nl_cmd(const struct nl_msg *msg);

#endif
