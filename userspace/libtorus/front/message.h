/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message form of the channel: netlink messages with descriptors from the
 * driver, and with completions to it. Pure functions; every length is checked
 * before it is used.
 */
#ifndef TORUS_FRONT_MESSAGE_H
#define TORUS_FRONT_MESSAGE_H

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/torus.h>
#include <linux/torus_io.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the largest datagram that the driver sends to a data socket. */
#define MESSAGE_SIZE_MAX 2048

enum message_kind {
	MESSAGE_DESCRIPTORS,
	MESSAGE_REFUSAL,	/* of something that we sent */
	MESSAGE_OTHER,		/* nothing to us */
};

struct message {
	enum message_kind kind;
	/* DESCRIPTORS */
	uint32_t device;
	uint64_t session;
	const uint8_t *descriptors;	/* not aligned: message_descriptor() */
	size_t count;
	/* REFUSAL */
	int err;
	const char *sentence;		/* or NULL */
};

/* A datagram and how far it was read. */
struct message_reader {
	const uint8_t *at;		/* aligned to 4 */
	size_t left;
	uint16_t family;
};

/**
 * message_next() - 1 with @m filled, 0 at the end, -EBADMSG for a datagram
 * that is not well-formed. @m points into the datagram.
 */
int message_next(struct message_reader *r, struct message *m);

/** message_descriptor() - the @i-th of m->count. */
void message_descriptor(const struct message *m, size_t i,
			struct torus_desc *desc);

/* What a descriptor may name. */
struct descriptor_limits {
	uint64_t size;			/* bytes of the device */
	uint32_t block_size, io_size_max;
	uint32_t queues, depth;
	uint64_t arena_size;
};

/**
 * descriptor_check_slot() - whether queue and tag are there. Without that,
 * nothing can even be answered. 0 or -EPROTO.
 */
int descriptor_check_slot(const struct descriptor_limits *limits,
			  const struct torus_desc *desc);

/** descriptor_check() - all the rest: 0, -EOPNOTSUPP or -EINVAL. */
int descriptor_check(const struct descriptor_limits *limits,
		     const struct torus_desc *desc);

/* What every message to the driver about a session's data begins with. */
struct data_head {
	struct nlmsghdr nl;
	struct genlmsghdr genl;
	struct nlattr device_attr;
	uint32_t device;
	struct nlattr session_attr;
	uint64_t session;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct data_head) == 40, "no padding");

/**
 * data_head_init() - a message that ends here, of @command: TORUS_CMD_DRAIN, or
 * TORUS_CMD_COMPLETE in a completions_head.
 */
void data_head_init(struct data_head *head, uint8_t command, uint16_t family,
		    uint32_t device, uint64_t session);

/* The head of a message with completions; the entries follow it. */
struct completions_head {
	struct data_head data;
	struct nlattr entries_attr;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct completions_head) == 44, "no padding");

/** completions_head_set() - for @count entries, 1 to TORUS_COMPLETION_BATCH. */
void completions_head_set(struct completions_head *head, unsigned int count);

/** result_of() - what the driver is told about how @op ended (0 or -errno). */
enum torus_result result_of(uint8_t op, int err);

#endif
