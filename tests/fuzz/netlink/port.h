/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_PORT_H
#define FUZZ_PORT_H

#include <linux/netlink.h>

#include "message.h"

/*
 * A netlink socket. The driver answers inside of the send, so an answer that
 * is not there after it will never come; nobody here waits for one.
 */
struct port {
	int fd;
	uint32_t seq;
};

/* What became of a message. */
struct answer {
	bool answered;
	/* 0 or what the driver said, if it is answered */
	int error;
	char text[120];
	/* the first message of the family before that; length 0: none */
	size_t len;
	_Alignas(8) uint8_t data[2048];
	/* how many there were, and which devices they named (dump) */
	unsigned int nr_parts;
	unsigned int nr_ids;
	uint16_t ids[64];
};

/* Gets what the driver sends of its own accord. */
typedef void port_event(void *ctx, const struct nlmsghdr *hdr);

/* Finds out the family. 0 or -errno. To be called once, before all others. */
int port_init(void);
uint16_t port_family(void);

/* 0 or -errno. */
int port_open(struct port *port);
void port_close(struct port *port);
int port_join(struct port *port);

/*
 * Sends a message and takes all that is there then; event may be NULL. Returns
 * 0, or -errno if it could not be sent.
 */
int port_call(struct port *port, const struct message *m, struct answer *answer,
	      port_event *event, void *ctx);

/* Takes what is there. answer may be NULL. Returns 0 or what ended it. */
int port_take(struct port *port, uint32_t seq, struct answer *answer,
	      port_event *event, void *ctx);

/* The attribute of a message of the family; NULL if it has none. */
const struct nlattr *port_attr(const struct nlmsghdr *hdr, uint16_t type);
uint32_t port_u32(const struct nlmsghdr *hdr, uint16_t type);
uint64_t port_u64(const struct nlmsghdr *hdr, uint16_t type);

/* The same of the first part of an answer. */
uint64_t answer_number(const struct answer *answer, uint16_t type);
const struct nlattr *answer_attr(const struct answer *answer, uint16_t type);

#endif
